//! An inode: type, attributes and what is known of its data; it has no name.

use parking_lot::{Mutex, MutexGuard};

use super::acl::Acls;
use super::budget::INODE_SPACE;
use super::keep::Mark;
use super::parts::Parts;
use super::record::InodeImage;
use super::xattr::Xattrs;
use crate::data::DataFile;
use crate::slots::{Cell, Flag, Slot};
use crate::types::{Ino, Kind, Timestamp};

/// One object.
#[derive(Debug)]
pub struct Inode {
    /// Its number.
    pub ino: Ino,
    /// Completes a file handle.
    pub generation: u32,
    /// Its type, for ever.
    pub kind: Kind,
    slot: Slot,
    state: Mutex<State>,
}

/// What can change about an inode.
#[derive(Debug)]
pub struct State {
    /// Permissions, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Link count; changes under the tree's lock for writing only.
    pub nlink: u32,
    /// Last access; of a regular file, only as long as it has no data file.
    pub atime: Timestamp,
    /// Last change of the contents; of a regular file likewise.
    pub mtime: Timestamp,
    /// Last change of anything that the store holds.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
    /// Extended attributes.
    pub xattrs: Option<Box<Xattrs>>,
    /// Access control lists.
    pub acls: Option<Box<Acls>>,
    /// The data file.
    pub data: DataState,
    /// Its slot: what of an open file changes with each open, and must outlive the process.
    pub cell: Cell,
    /// It was evicted: nobody hears of it any more.
    pub gone: bool,
    /// When it was last recorded again as a whole.
    pub kept: Mark,
}

/// An inode that may be about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leaving {
    /// The round in which it is waited for.
    pub round: u32,
    /// It has no handle either.
    pub closed: bool,
}

/// What is known of an inode's data file, but for what is in its slot.
#[derive(Debug, Default)]
pub struct DataState {
    /// There is one.
    pub present: bool,
    /// mtime was set by a program: what the page cache writes back later does not move it.
    pub mtime_set: bool,
    /// It has no name left, and the kernel may be about to forget it.
    pub leaving: Option<Leaving>,
    /// Its owner is charged with it, and with `reserved` pages (`uid_size`, `uid_nr_inodes`).
    pub charged: bool,
    /// Somebody may write whom nobody counts: the file was open when counting began.
    pub uncounted: bool,
    /// The pool that it belongs to for life; 0 is none.
    pub pool: u16,
    /// Pages that its contents need, where they are counted; taken from the reservation, if there is one.
    pub reserved: u64,
    /// Kept open while there are handles.
    pub file: Option<DataFile>,
    /// A ctime of the data file that is none of the object's.
    pub unseen_ctime: Option<Box<Timestamp>>,
}

/// What makes a new inode another than all before.
#[derive(Debug)]
pub struct Identity {
    /// Its number.
    pub ino: Ino,
    /// Completes a file handle.
    pub generation: u32,
    /// Its slot.
    pub slot: Slot,
}

/// An inode to be made.
#[derive(Debug)]
pub struct NewInode {
    /// Its number, generation and slot.
    pub identity: Identity,
    /// Its type.
    pub kind: Kind,
    /// Permissions, without the type.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Access control lists.
    pub acls: Acls,
}

impl Inode {
    pub(super) fn new(new: NewInode, data: DataState, now: Timestamp) -> Inode {
        let NewInode {
            identity,
            kind,
            mode,
            uid,
            gid,
            acls,
        } = new;
        let Identity {
            ino,
            generation,
            slot,
        } = identity;
        let state = State {
            mode,
            uid,
            gid,
            nlink: if kind.is_dir() { 2 } else { 1 },
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            xattrs: None,
            acls: (acls != Acls::default()).then(|| Box::new(acls)),
            data,
            cell: slot.cell().clone(),
            gone: false,
            kept: Mark::default(),
        };
        Inode {
            ino,
            generation,
            kind,
            slot,
            state: Mutex::new(state),
        }
    }

    /// One that was before; `None` where its image is missing.
    pub(super) fn restore(parts: Parts, nlink: u32, slot: Slot) -> Option<Inode> {
        let Parts {
            image,
            target,
            xattrs,
            acls,
            directory: _,
        } = parts;
        let InodeImage {
            ino,
            generation,
            kind,
            mode,
            uid,
            gid,
            atime,
            mtime,
            ctime,
            btime,
            has_data,
            mtime_set,
            reserved,
            pool,
            unseen_ctime,
        } = image?;
        let data = DataState {
            present: has_data,
            mtime_set,
            reserved,
            pool,
            unseen_ctime: unseen_ctime.map(Box::new),
            ..DataState::default()
        };
        let state = State {
            mode,
            uid,
            gid,
            nlink,
            atime,
            mtime,
            ctime,
            btime,
            xattrs: (!xattrs.is_empty()).then(|| Box::new(xattrs)),
            acls: (acls != Acls::default()).then(|| Box::new(acls)),
            data,
            cell: slot.cell().clone(),
            gone: false,
            kept: Mark::default(),
        };
        Some(Inode {
            ino,
            generation,
            kind: kind.with_target(target)?,
            slot,
            state: Mutex::new(state),
        })
    }

    /// What it draws from the budget for inodes with its links; a hidden directory draws nothing.
    pub(super) fn space(&self, hidden: bool) -> u64 {
        let state = self.state();
        let further = if self.kind.is_dir() {
            0
        } else {
            state.nlink.saturating_sub(1)
        };
        let own = if hidden { 0 } else { INODE_SPACE };
        own + u64::from(further) * INODE_SPACE + state.xattr_space()
    }

    /// Locks its attributes.
    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Counts a reference that the kernel gets; under the tree's lock.
    pub fn raise_lookups(&self) {
        self.slot.raise_lookups();
    }

    /// Counts references that the kernel gave back; returns how many are left.
    pub fn lower_lookups(&self, count: u64) -> u64 {
        self.slot.lower_lookups(count)
    }

    /// References of the kernel.
    pub fn lookups(&self) -> u64 {
        self.slot.lookups()
    }
}

impl State {
    /// Open handles.
    pub fn nopen(&self) -> u32 {
        self.cell.nopen()
    }

    /// Opened for writing with passthrough since the kernel last forgot the inode: its attributes may
    /// change without a request.
    pub fn is_exposed(&self) -> bool {
        self.cell.is(Flag::Exposed)
    }

    /// One of the handles that are open together is, or was, for writing.
    pub fn has_writer(&self) -> bool {
        self.cell.is(Flag::Writer)
    }

    /// Whether no name is left.
    pub fn is_orphan(&self) -> bool {
        self.nlink == 0
    }

    /// The value of an extended attribute.
    pub fn xattr(&self, name: &[u8]) -> Option<&[u8]> {
        self.xattrs.as_ref()?.get(name)
    }

    /// What the inode draws from the budget for inodes, its links counted by the caller.
    pub fn xattr_space(&self) -> u64 {
        self.xattrs.as_ref().map_or(0, |xattrs| xattrs.space())
    }
}
