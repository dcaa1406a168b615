//! Inodes that the kernel is about to forget, and with them the room that a program thinks is free already.
//!
//! On tmpfs unlink(2) frees at once. Here it is FORGET that frees, since until then a mapping or a file
//! handle may lead back to the inode, and it comes some microseconds after the reply to UNLINK. A program that fills
//! the file system, unlinks, and writes again must not meet its own past. RELEASE is slower than close(2), too: an
//! inode without a name and with a handle is either in use or about to go, and only time tells.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Fs;
use crate::store::{Leaving, Share, State};

/// A FORGET that takes longer is for an inode that something still uses.
const SOON: Duration = Duration::from_secs(1);
/// Less than this part of a limit is little.
const LITTLE: u64 = 8;

/// Those that lost their last name a moment ago.
#[derive(Debug, Default)]
pub(super) struct Departures {
    /// How many, to be read without the lock by requests that have nothing to wait for.
    count: AtomicUsize,
    awaited: Mutex<Awaited>,
}

#[derive(Debug, Default)]
struct Awaited {
    /// Those of earlier rounds were waited for in vain: something uses them.
    round: u32,
    latest: Option<Instant>,
    /// How many of them have no handle.
    closed: usize,
    /// How many are being freed of which the room is needed.
    tight: usize,
}

/// An inode of which the room is needed is being freed, which for many pages takes a while; until this is dropped.
#[derive(Debug)]
pub(super) struct Tight<'a>(&'a Departures);

impl Drop for Tight<'_> {
    fn drop(&mut self) {
        self.0.awaited.lock().tight -= 1;
    }
}

impl Departures {
    /// An inode has lost its last name, and perhaps its last handle.
    pub(super) fn add(&self, state: &mut State) {
        let mut awaited = self.awaited.lock();
        let closed = state.nopen() == 0;
        let before = state.data.leaving;
        if before.is_some_and(|before| !closed || before.closed && before.round == awaited.round) {
            return;
        }
        let round = awaited.round;
        state.data.leaving = Some(Leaving { round, closed });
        awaited.latest = Some(Instant::now());
        awaited.closed += usize::from(closed);
        if before.is_none_or(|before| before.round != round) {
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is gone, or open again.
    pub(super) fn remove(&self, state: &mut State) {
        let Some(left) = state.data.leaving.take() else {
            return;
        };
        let mut awaited = self.awaited.lock();
        if left.round == awaited.round {
            awaited.closed -= usize::from(left.closed);
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether there are some, or some that have no handle.
    fn any(&self, closed: bool) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let mut awaited = self.awaited.lock();
        let recent = |latest: Instant| latest.elapsed() < SOON;
        if !awaited.latest.is_some_and(recent) {
            self.begin_round(&mut awaited);
            return false;
        }
        !closed || awaited.closed > 0
    }

    fn is_tight(&self) -> bool {
        self.awaited.lock().tight > 0
    }

    /// Takes those that there are for used.
    fn give_up(&self) {
        self.begin_round(&mut self.awaited.lock());
    }

    fn begin_round(&self, awaited: &mut Awaited) {
        awaited.round = awaited.round.wrapping_add(1);
        awaited.closed = 0;
        self.count.store(0, Ordering::Relaxed);
    }
}

impl Fs {
    /// Whether inodes are about to go that nobody has open.
    pub fn is_freeing(&self) -> bool {
        self.departures.any(true) || self.doubts.any_open()
    }

    /// Those that are about to go were waited for long enough: something uses them.
    pub fn stop_awaiting(&self) {
        self.departures.give_up();
    }

    /// Whether inodes may be about to go whose room is needed.
    pub fn is_short(&self) -> bool {
        let may_go = self.departures.any(false) || self.doubts.any_open();
        may_go && (self.departures.is_tight() || self.has_little())
    }

    /// Says that what is needed is being freed.
    pub(super) fn free_tightly(&self) -> Option<Tight<'_>> {
        self.has_little().then(|| {
            self.departures.awaited.lock().tight += 1;
            Tight(&self.departures)
        })
    }

    fn has_little(&self) -> bool {
        let statfs = self.statfs();
        let little = |free: u64, limit: u64| limit != 0 && free <= limit / LITTLE;
        if little(statfs.blocks_free, statfs.blocks) || little(statfs.files_free, statfs.files) {
            return true;
        }
        let limit = self.user_limit();
        let short = |has: Share| {
            little(limit.pages.saturating_sub(has.pages), limit.pages)
                || little(limit.inodes.saturating_sub(has.inodes), limit.inodes)
        };
        self.user_shares().into_iter().any(|(_, has)| short(has))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::ops::access::Caller;
    use crate::ops::{Config, DataMode, NewNode};
    use crate::store::Inode;
    use crate::sys::credentials::Credentials;
    use crate::types::Kind;

    fn make(fs: &Fs, name: &[u8]) -> Arc<Inode> {
        let node = NewNode {
            kind: Kind::Regular,
            mode: 0o644,
            umask: 0,
        };
        let caller = Caller::with(0, 0, Credentials::default());
        let made = fs.mknod(&caller, fs.root(), name, node).unwrap();
        fs.superblock.inode(made.attr.ino).unwrap()
    }

    /// One inode that is open, and has no name any more.
    fn with_an_open_one() -> (Fs, Departures, Arc<Inode>) {
        let fs = Fs::of_memfds(Config::default(), DataMode::PageCache);
        let departures = Departures::default();
        let inode = make(&fs, b"a");
        inode.state().cell.open_one();
        departures.add(&mut inode.state());
        (fs, departures, inode)
    }

    #[test]
    fn what_was_waited_for_in_vain_is_waited_for_again_when_it_is_closed() {
        let (_fs, departures, inode) = with_an_open_one();
        let mut state = inode.state();
        assert!(departures.any(false), "it may be about to go");
        assert!(!departures.any(true), "somebody may have it open");
        departures.give_up();
        departures.add(&mut state);
        assert!(!departures.any(false), "it is in use");
        state.cell.close_one();
        departures.add(&mut state);
        assert!(departures.any(true), "nobody has it open any more");
        departures.remove(&mut state);
        assert!(!departures.any(false));
    }

    #[test]
    fn one_that_is_closed_in_time_is_counted_once() {
        let (_fs, departures, inode) = with_an_open_one();
        let mut state = inode.state();
        departures.add(&mut state);
        state.cell.close_one();
        departures.add(&mut state);
        departures.add(&mut state);
        assert!(departures.any(true));
        departures.remove(&mut state);
        assert!(!departures.any(true) && !departures.any(false));
    }

    #[test]
    fn one_of_an_earlier_round_does_not_count() {
        let fs = Fs::of_memfds(Config::default(), DataMode::PageCache);
        let departures = Departures::default();
        let (first, second) = (make(&fs, b"a"), make(&fs, b"b"));
        departures.add(&mut first.state());
        departures.give_up();
        departures.add(&mut second.state());
        departures.remove(&mut first.state());
        assert!(departures.any(true));
        departures.remove(&mut second.state());
        assert!(!departures.any(true));
    }
}
