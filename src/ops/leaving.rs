//! Inodes that the kernel is about to forget, and with them the room that a program thinks is free already.
//!
//! On tmpfs unlink(2) frees at once. Here it is FORGET that frees, since until then a mapping or a file
//! handle may lead back to the inode, and it comes some microseconds after the reply to UNLINK. A program that fills
//! the file system, unlinks, and writes again must not meet its own past. RELEASE is slower than close(2), too: an
//! inode without a name and with a handle is either in use or about to go, and only time tells.

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
pub(super) struct Leaving(Mutex<Awaited>);

/// An inode of which the room is needed is being freed, which for many pages takes a while; until this is dropped.
#[derive(Debug)]
pub(super) struct Tight<'a>(&'a Leaving);

impl Drop for Tight<'_> {
    fn drop(&mut self) {
        self.0.0.lock().tight -= 1;
    }
}

#[derive(Debug)]
struct Awaited {
    /// How many are being freed of which the room is needed.
    tight: usize,
    /// Those of earlier rounds were waited for in vain: something uses them.
    round: u32,
    count: usize,
    latest: Option<Instant>,
}

impl Default for Awaited {
    fn default() -> Self {
        Awaited {
            tight: 0,
            round: 1,
            count: 0,
            latest: None,
        }
    }
}

impl Leaving {
    /// An inode has lost its last name, and perhaps its last handle.
    pub(super) fn add(&self, state: &mut State) {
        let mut awaited = self.0.lock();
        let before = state.data.leaving;
        let in_vain = before != 0 && state.nopen() > 0;
        if before == awaited.round || in_vain {
            return;
        }
        state.data.leaving = awaited.round;
        awaited.count += 1;
        awaited.latest = Some(Instant::now());
    }

    /// It is gone, or open again.
    pub(super) fn remove(&self, state: &mut State) {
        if state.data.leaving == 0 {
            return;
        }
        let mut awaited = self.0.lock();
        if std::mem::take(&mut state.data.leaving) == awaited.round {
            awaited.count -= 1;
        }
    }

    fn any(&self) -> bool {
        let awaited = self.0.lock();
        let recent = |latest: Instant| latest.elapsed() < SOON;
        awaited.count > 0 && awaited.latest.is_some_and(recent)
    }

    fn is_tight(&self) -> bool {
        self.0.lock().tight > 0
    }

    /// Takes those that there are for used.
    fn give_up(&self) {
        let mut awaited = self.0.lock();
        awaited.round = awaited.round.checked_add(1).unwrap_or(1);
        awaited.count = 0;
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
            self.leaving.0.lock().tight += 1;
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
