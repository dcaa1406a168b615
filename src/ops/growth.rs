//! Room for contents that grow: taken before, given back where nothing came of it.
//!
//! A change of contents runs without the inode's lock, and another may run beside it, from another directory of
//! this tree. What of the taken room nobody needs is known when the last of them has ended.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use super::Fs;
use super::access::Caller;
use crate::data::{self, DataFile, pages};
use crate::errno::{Errno, Result};
use crate::store::pools::Pool;
use crate::store::{Inode, Share, State};
use crate::types::Ino;

/// Room that was taken for a file to grow into.
pub(super) struct Growth {
    pub(super) file: DataFile,
    /// How far.
    pub(super) end: u64,
    pub(super) change: Change,
}

/// A change of contents that has begun, and must end.
#[must_use]
pub(super) struct Change {
    counted: bool,
}

/// What came of a change of contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The file has become as long as the room that was taken, or stayed as it was.
    Grown,
    /// It has so many pages, beyond its size or not (fallocate(2)).
    Allocated(u64),
    /// Beyond so many pages it needs none.
    Cut(u64),
    /// It did not become what the room was taken for.
    Failed,
}

/// The changes of one file's contents that have begun.
#[derive(Debug, Default)]
struct Ongoing {
    count: usize,
    /// There was more than one at a time.
    together: bool,
    /// Pages that the file needs, whatever its size says.
    floor: u64,
    /// More may have been taken than is needed.
    doubtful: bool,
}

/// All changes of contents that have begun where room is counted.
#[derive(Debug, Default)]
pub(super) struct Changes(Mutex<HashMap<Ino, Ongoing>>);

impl Changes {
    fn begin(&self, ino: Ino, reserved: u64) {
        let mut changes = self.0.lock();
        let ongoing = changes.entry(ino).or_default();
        if ongoing.count == 0 {
            ongoing.floor = reserved;
        }
        ongoing.count += 1;
        ongoing.together |= ongoing.count > 1;
    }

    /// With the last change, the pages that the file needs at least, where more may have been taken.
    fn end(&self, ino: Ino, outcome: Outcome) -> Option<u64> {
        let mut changes = self.0.lock();
        let ongoing = changes.get_mut(&ino)?;
        match outcome {
            Outcome::Grown => {}
            Outcome::Allocated(pages) => ongoing.floor = ongoing.floor.max(pages),
            // What another change has allocated meanwhile is not to be told from what was cut.
            Outcome::Cut(_) if ongoing.together => {}
            Outcome::Cut(left) => ongoing.floor = ongoing.floor.min(left),
            Outcome::Failed => {}
        }
        ongoing.doubtful |= outcome != Outcome::Grown;
        ongoing.count -= 1;
        if ongoing.count > 0 {
            return None;
        }
        let ended = changes.remove(&ino)?;
        ended.doubtful.then_some(ended.floor)
    }
}

impl Fs {
    /// Whether growing objects take their logical size from the reservation.
    pub(super) fn reserves(&self) -> bool {
        self.config.reserve || !self.is_passthrough()
    }

    /// Whether the pages of this object are counted, for the file system or for its owner.
    fn counts(&self, state: &State) -> bool {
        self.reserves() || state.data.charged || state.data.pool != 0
    }

    /// Announces a change of contents; before room is taken for it.
    pub(super) fn begin(&self, ino: Ino, state: &State) -> Change {
        let counted = self.counts(state);
        if counted {
            self.changes.begin(ino, state.data.reserved);
        }
        Change { counted }
    }

    /// Ends a change of contents, and gives back what was taken for nothing.
    pub(super) fn end(
        &self,
        ino: Ino,
        state: &mut State,
        change: Change,
        outcome: Outcome,
    ) -> Result<()> {
        let floor = if change.counted {
            self.changes.end(ino, outcome)
        } else {
            // Where counting began meanwhile, it did not see this.
            state.data.charged.then_some(state.data.reserved)
        };
        match floor {
            Some(floor) => self.settle(ino, state, floor),
            None => Ok(()),
        }
    }

    /// Takes room for as much of `start..end` as there is.
    pub(super) fn grow(
        &self,
        caller: &Caller,
        inode: &Inode,
        state: &mut State,
        start: u64,
        end: u64,
    ) -> Result<Growth> {
        let ino = inode.ino;
        self.make_present(inode, state)?;
        let file = self.file(ino, state)?;
        let change = self.begin(ino, state);
        match self.reserve_some(caller, state, start, end) {
            Ok(end) => Ok(Growth { file, end, change }),
            Err(errno) => {
                self.end(ino, state, change, Outcome::Failed)?;
                Err(errno)
            }
        }
    }

    /// Takes room for the first `end` bytes of the file, all or none: `ENOSPC` for the file system's limit, which
    /// is looked at first, `EDQUOT` for the owner's (`shmem_inode_acct_blocks`).
    pub(super) fn reserve(&self, caller: &Caller, state: &mut State, end: u64) -> Result<()> {
        let wanted = pages(end);
        if !self.counts(state) || wanted <= state.data.reserved {
            return Ok(());
        }
        let more = wanted - state.data.reserved;
        if self.reserves() {
            self.room.take(more)?;
        }
        let pool = self.pools.get(state.data.pool);
        let pooled = pool
            .as_ref()
            .map_or(Ok(()), |pool| pool.take(Share::pages(more)));
        let taken = pooled.and_then(|()| {
            let charged = self.charge(caller, state, more);
            let give = |pool: &Arc<Pool>| pool.give(Share::pages(more));
            charged.inspect_err(|_| pool.iter().for_each(give))
        });
        taken.inspect_err(|_| {
            if self.reserves() {
                self.room.give(more);
            }
        })?;
        state.data.reserved = wanted;
        Ok(())
    }

    fn charge(&self, caller: &Caller, state: &State, more: u64) -> Result<()> {
        if !state.data.charged {
            return Ok(());
        }
        let users = &self.superblock.users;
        let taken = users.take(state.uid, Share::pages(more), || caller.has_no_quota());
        // A tmpfs that counts for itself has not been asked yet.
        taken.map_err(|errno| if self.is_full() { Errno::ENOSPC } else { errno })
    }

    fn is_full(&self) -> bool {
        let limit = self.room.limit();
        !self.reserves() && limit != 0 && self.used_pages() >= limit
    }

    /// As [`Fs::reserve`], or for as much as there is room; returns the end of what fits.
    fn reserve_some(
        &self,
        caller: &Caller,
        state: &mut State,
        start: u64,
        end: u64,
    ) -> Result<u64> {
        let Err(errno) = self.reserve(caller, state, end) else {
            return Ok(end);
        };
        let free = if errno == Errno::EDQUOT {
            self.superblock.users.free_pages(state.uid)
        } else {
            let pool = self.pools.get(state.data.pool);
            let pooled = pool.map_or(u64::MAX, |pool| pool.free().pages);
            let room = match self.room.limit() {
                limit if limit != 0 && self.reserves() => limit.saturating_sub(self.room.used()),
                _ => u64::MAX,
            };
            room.min(pooled)
        };
        let fits = state
            .data
            .reserved
            .saturating_add(free)
            .saturating_mul(data::PAGE_SIZE)
            .min(end);
        if fits <= start {
            return Err(errno);
        }
        match self.reserve(caller, state, fits) {
            Ok(()) => Ok(fits),
            // The file system has room for more than its owner may have.
            Err(Errno::EDQUOT) if errno == Errno::ENOSPC => {
                self.reserve_some(caller, state, start, fits)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Lets the reservation be what the file has become: the pages of its size, or those that it has where
    /// these are more, but no fewer than `floor`.
    ///
    /// What fallocate(2) gave beyond the size cannot be told from a page below it, so that only a truncation,
    /// which frees it, or a hole up to its end gives room back.
    pub(super) fn settle(&self, ino: Ino, state: &mut State, floor: u64) -> Result<()> {
        if !self.counts(state) || !state.data.present {
            return Ok(());
        }
        let stat = self.files.stat(ino)?;
        let wanted = pages(stat.size).max(pages(stat.blocks * 512)).max(floor);
        if wanted < state.data.reserved {
            let less = state.data.reserved - wanted;
            state.data.reserved = wanted;
            self.give_pages(state, less);
        } else if wanted > state.data.reserved {
            // Only where huge pages made more of it than was asked for, or where nobody counted.
            let more = wanted - state.data.reserved;
            if !self.reserves() || self.room.take(more).is_ok() {
                if let Some(pool) = self.pools.get(state.data.pool) {
                    pool.force(Share::pages(more));
                }
                if state.data.charged {
                    self.superblock.users.force(state.uid, Share::pages(more));
                }
                state.data.reserved = wanted;
            }
        }
        Ok(())
    }

    fn give_pages(&self, state: &State, less: u64) {
        if self.reserves() {
            self.room.give(less);
        }
        if let Some(pool) = self.pools.get(state.data.pool) {
            pool.give(Share::pages(less));
        }
        if state.data.charged {
            self.superblock.users.give(state.uid, Share::pages(less));
        }
    }

    /// Pages of data in use, or promised.
    pub(super) fn used_pages(&self) -> u64 {
        if self.reserves() {
            return self.room.used();
        }
        self.files.used_pages().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INO: Ino = Ino(7);

    #[test]
    fn one_that_grew_needs_no_look() {
        let changes = Changes::default();
        changes.begin(INO, 10);
        assert_eq!(changes.end(INO, Outcome::Grown), None);
        assert!(changes.0.lock().is_empty());
    }

    #[test]
    fn a_failure_waits_for_the_other() {
        let changes = Changes::default();
        changes.begin(INO, 10);
        changes.begin(INO, 20);
        assert_eq!(changes.end(INO, Outcome::Failed), None);
        assert_eq!(changes.end(INO, Outcome::Grown), Some(10));
    }

    #[test]
    fn what_was_allocated_stays() {
        let changes = Changes::default();
        changes.begin(INO, 10);
        changes.begin(INO, 20);
        assert_eq!(changes.end(INO, Outcome::Allocated(25)), None);
        assert_eq!(changes.end(INO, Outcome::Failed), Some(25));
    }

    #[test]
    fn a_cut_alone_counts() {
        let changes = Changes::default();
        changes.begin(INO, 10);
        assert_eq!(changes.end(INO, Outcome::Cut(3)), Some(3));
        changes.begin(INO, 10);
        changes.begin(INO, 10);
        assert_eq!(changes.end(INO, Outcome::Cut(0)), None);
        assert_eq!(changes.end(INO, Outcome::Grown), Some(10));
    }
}
