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
use crate::store::{Share, State};

/// A FORGET that takes longer is for an inode that something still uses.
const SOON: Duration = Duration::from_secs(1);
/// Less than this part of a limit is little.
const LITTLE: u64 = 8;

/// Those that lost their last name a moment ago.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    /// How many, to be read without the lock by requests that have nothing to wait for.
    count: AtomicUsize,
    awaited: Mutex<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    /// Those of earlier rounds were waited for in vain: something uses them.
    round: u32,
    latest: Option<Instant>,
    /// How many are being freed of which the room is needed.
    tight: usize,
}

impl Default for Awaited {
    fn default() -> Self {
        Awaited {
            round: 1,
            latest: None,
            tight: 0,
        }
    }
}

/// An inode of which the room is needed is being freed, which for many pages takes a while; until this is dropped.
#[derive(Debug)]
pub(super) struct Tight<'a>(&'a Leaving);

impl Drop for Tight<'_> {
    fn drop(&mut self) {
        self.0.awaited.lock().tight -= 1;
    }
}

impl Leaving {
    /// An inode has lost its last name, and perhaps its last handle.
    pub(super) fn add(&self, state: &mut State) {
        let mut awaited = self.awaited.lock();
        let before = state.data.leaving;
        let in_vain = before != 0 && state.nopen() > 0;
        if before == awaited.round || in_vain {
            return;
        }
        state.data.leaving = awaited.round;
        awaited.latest = Some(Instant::now());
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// It is gone, or open again.
    pub(super) fn remove(&self, state: &mut State) {
        if state.data.leaving == 0 {
            return;
        }
        let awaited = self.awaited.lock();
        if std::mem::take(&mut state.data.leaving) == awaited.round {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn any(&self) -> bool {
        if self.count.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let recent = |latest: Instant| latest.elapsed() < SOON;
        let mut awaited = self.awaited.lock();
        let recent = awaited.latest.is_some_and(recent);
        if !recent {
            self.begin_round(&mut awaited);
        }
        recent
    }

    fn is_tight(&self) -> bool {
        self.awaited.lock().tight > 0
    }

    /// Takes those that there are for used.
    fn give_up(&self) {
        self.begin_round(&mut self.awaited.lock());
    }

    fn begin_round(&self, awaited: &mut Awaited) {
        awaited.round = awaited.round.checked_add(1).unwrap_or(1);
        self.count.store(0, Ordering::Relaxed);
    }
}

impl Fs {
    /// Whether inodes are about to go.
    pub fn is_freeing(&self) -> bool {
        self.leaving.any() || self.doubts.any_open()
    }

    /// Those that are about to go were waited for long enough: something uses them.
    pub fn stop_awaiting(&self) {
        self.leaving.give_up();
    }

    /// Whether inodes are about to go whose room is needed.
    pub fn is_short(&self) -> bool {
        self.is_freeing() && (self.leaving.is_tight() || self.has_little())
    }

    /// Says that what is needed is being freed.
    pub(super) fn free_tightly(&self) -> Option<Tight<'_>> {
        self.has_little().then(|| {
            self.leaving.awaited.lock().tight += 1;
            Tight(&self.leaving)
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
    use super::*;
    use crate::data::{DataFiles, KernelClock};
    use crate::ops::access::Caller;
    use crate::ops::{Config, NewNode};
    use crate::sys::credentials::Credentials;
    use crate::types::Kind;

    fn file_system() -> Fs {
        let files = DataFiles::memfds();
        let clock = Box::new(KernelClock::of(&files).unwrap());
        Fs::new(Config::default(), files, clock)
    }

    fn make(fs: &Fs, name: &[u8]) -> std::sync::Arc<crate::store::Inode> {
        let node = NewNode {
            kind: Kind::Regular,
            mode: 0o644,
            umask: 0,
        };
        let caller = Caller::with(0, 0, Credentials::default());
        let made = fs.mknod(&caller, fs.root(), name, node).unwrap();
        fs.superblock.inode(made.attr.ino).unwrap()
    }

    #[test]
    fn what_was_waited_for_in_vain_is_waited_for_again_when_it_is_closed() {
        let (fs, leaving) = (file_system(), Leaving::default());
        let inode = make(&fs, b"a");
        let mut state = inode.state();
        state.cell.open_one();
        leaving.add(&mut state);
        assert!(leaving.any(), "it may be about to go");
        leaving.give_up();
        leaving.add(&mut state);
        assert!(!leaving.any(), "it is in use");
        state.cell.close_one();
        leaving.add(&mut state);
        assert!(leaving.any(), "nobody has it open any more");
        leaving.remove(&mut state);
        assert!(!leaving.any());
    }

    #[test]
    fn one_of_an_earlier_round_does_not_count() {
        let (fs, leaving) = (file_system(), Leaving::default());
        let (first, second) = (make(&fs, b"a"), make(&fs, b"b"));
        leaving.add(&mut first.state());
        leaving.give_up();
        leaving.add(&mut second.state());
        leaving.remove(&mut first.state());
        assert!(leaving.any());
        leaving.remove(&mut second.state());
        assert!(!leaving.any());
    }
}
