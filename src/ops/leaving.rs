//! Inodes that the kernel is about to forget, and with them the room that a program thinks is free already.
//!
//! On tmpfs unlink(2) frees at once. Here it is FORGET that frees, since until then a mapping or a file
//! handle may lead back to the inode, and it comes some microseconds after the reply to UNLINK. A program that fills
//! the file system, unlinks, and writes again must not meet its own past.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Fs;
use crate::store::{Share, State};

/// A FORGET that takes longer is for an inode that something still uses.
const SOON: Duration = Duration::from_millis(20);
/// Less than this part of a limit is little.
const LITTLE: u64 = 8;

/// How many there are, and since when.
#[derive(Debug, Default)]
pub(super) struct Leaving {
    count: AtomicUsize,
    latest: Mutex<Option<Instant>>,
}

impl Leaving {
    /// An inode has lost its last name and handle.
    pub(super) fn add(&self, state: &mut State) {
        if !std::mem::replace(&mut state.data.leaving, true) {
            *self.latest.lock() = Some(Instant::now());
            self.count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// It is gone, or open again.
    pub(super) fn remove(&self, state: &mut State) {
        if std::mem::take(&mut state.data.leaving) {
            self.count.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn any(&self) -> bool {
        let recent = |latest: &Instant| latest.elapsed() < SOON;
        self.count.load(Ordering::Relaxed) > 0 && self.latest.lock().as_ref().is_some_and(recent)
    }
}

impl Fs {
    /// Whether inodes are about to go.
    pub fn is_freeing(&self) -> bool {
        self.leaving.any() || self.doubts.any_open()
    }

    /// Whether inodes are about to go whose room is needed.
    pub fn is_short(&self) -> bool {
        if !self.is_freeing() {
            return false;
        }
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
