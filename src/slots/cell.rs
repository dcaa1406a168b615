//! One slot of an inode: four words, and what they mean.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::chunk::{Chunk, Words};
use super::requests;

/// Words: whose it is, 0 for nobody's.
pub(super) const KEY: usize = 0;
const LOOKUPS: usize = 1;
/// Open handles in the low half, in the high half the backing id.
const HANDLES: usize = 2;
const FLAGS: usize = 3;

/// Something that is so or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Opened for writing with passthrough since the kernel last forgot the inode.
    Exposed,
    /// One of the handles that are open together is, or was, for writing.
    Writer,
    /// A data file is being registered: in the place of the id stands the last one that was given before.
    Registering,
    /// The registration is being taken back.
    Unregistering,
    /// The lookup count may be too high: a process has died since.
    Uncertain,
}

impl Flag {
    fn bit(self) -> u64 {
        match self {
            Flag::Exposed => 1,
            Flag::Writer => 2,
            Flag::Registering => 4,
            Flag::Unregistering => 8,
            Flag::Uncertain => 16,
        }
    }
}

/// A place in the table; it says nothing of who may use it. Only [`super::Slot`] gives it back.
///
/// Handles, backing id and flags are changed by one thread at a time: whoever has locked the inode's state.
#[derive(Clone)]
pub struct Cell {
    pub(super) chunk: Arc<Chunk>,
    pub(super) index: u32,
}

impl fmt::Debug for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cell")
            .field("key", &self.key())
            .field("lookups", &self.lookups())
            .field("nopen", &self.nopen())
            .field("backing", &self.backing())
            .field("flags", &self.words()[FLAGS].load(Relaxed))
            .finish()
    }
}

impl Cell {
    pub(super) fn words(&self) -> &Words {
        &self.chunk.words()[self.index as usize]
    }

    /// Whose it is.
    pub fn key(&self) -> u64 {
        self.words()[KEY].load(Acquire)
    }

    /// References of the kernel.
    pub fn lookups(&self) -> u64 {
        self.words()[LOOKUPS].load(Acquire)
    }

    /// Counts a reference that the kernel gets.
    pub fn raise_lookups(&self) {
        self.words()[LOOKUPS].fetch_add(1, Relaxed);
    }

    /// Counts references that the kernel gave back; returns how many are left.
    pub fn lower_lookups(&self, count: u64) -> u64 {
        let lower = |lookups: u64| Some(lookups.saturating_sub(count));
        let before = self.words()[LOOKUPS].fetch_update(AcqRel, Acquire, lower);
        let before = before.unwrap_or_else(|lookups| lookups);
        debug_assert!(before >= count, "forgot {count} of {before} lookups");
        before.saturating_sub(count)
    }

    /// Open handles.
    pub fn nopen(&self) -> u32 {
        self.words()[HANDLES].load(Acquire) as u32
    }

    /// One handle more.
    pub fn open_one(&self) {
        requests::change_handles(self, 1);
    }

    /// One handle less.
    pub fn close_one(&self) {
        requests::change_handles(self, -1);
    }

    /// The handle of an inode that nobody knows yet, and that comes to nothing if we die now.
    pub fn open_new(&self) {
        self.set_nopen(1);
    }

    pub(super) fn set_nopen(&self, nopen: u32) {
        let backing = u64::from(self.backing());
        self.words()[HANDLES].store(backing << 32 | u64::from(nopen), Release);
    }

    /// The connection's registration of the data file for passthrough; 0 is none.
    pub fn backing(&self) -> u32 {
        (self.words()[HANDLES].load(Acquire) >> 32) as u32
    }

    /// Sets it.
    pub fn set_backing(&self, id: u32) {
        let nopen = u64::from(self.nopen());
        self.words()[HANDLES].store(u64::from(id) << 32 | nopen, Release);
    }

    /// Whether it is so.
    pub fn is(&self, flag: Flag) -> bool {
        self.words()[FLAGS].load(Acquire) & flag.bit() != 0
    }

    /// Lets it be so or not.
    pub fn set(&self, flag: Flag, so: bool) {
        let before = self.words()[FLAGS].load(Acquire);
        let after = if so {
            before | flag.bit()
        } else {
            before & !flag.bit()
        };
        if after != before {
            self.words()[FLAGS].store(after, Release);
        }
    }

    /// Makes it `key`'s: nothing is counted yet.
    pub(super) fn take(&self, key: u64) {
        self.words()[KEY].store(key, Release);
    }

    /// Makes it nobody's. The key goes first: whoever finds the rest has nothing to do with it.
    pub(super) fn clear(&self) {
        for word in self.words() {
            word.store(0, Release);
        }
    }
}
