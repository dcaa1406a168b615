//! An inode: type, attributes and what is known of its data; it has no name.

use parking_lot::{Mutex, MutexGuard};

use super::acl::Acls;
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
}

/// What is known of an inode's data file.
///
/// What must outlive the process, and changes with each open, is in the inode's slot.
#[derive(Debug)]
pub struct DataState {
    /// The inode's slot.
    pub cell: Cell,

    /// There is one.
    pub present: bool,
    /// mtime was set by a program: what the page cache writes back later does not move it.
    pub mtime_set: bool,
    /// The kernel is about to forget the inode: it has no name and no handle left.
    pub leaving: bool,
    /// Pages taken from the reservation.
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
    pub(super) fn new(new: NewInode, now: Timestamp) -> Inode {
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
            data: DataState::new(slot.cell()),
        };
        Inode {
            ino,
            generation,
            kind,
            slot,
            state: Mutex::new(state),
        }
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

impl DataState {
    /// Of an inode that has no data file yet.
    pub fn new(cell: &Cell) -> DataState {
        DataState {
            cell: cell.clone(),
            present: false,
            mtime_set: false,
            leaving: false,
            reserved: 0,
            file: None,
            unseen_ctime: None,
        }
    }

    /// Open handles.
    pub fn nopen(&self) -> u32 {
        self.cell.nopen()
    }

    /// The connection's registration of the data file for passthrough; 0 is none.
    pub fn backing(&self) -> u32 {
        self.cell.backing()
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
}

impl State {
    /// Whether no name is left.
    pub fn is_orphan(&self) -> bool {
        self.nlink == 0
    }

    /// What the inode draws from the budget for inodes, its links counted by the caller.
    pub fn xattr_space(&self) -> u64 {
        self.xattrs.as_ref().map_or(0, |xattrs| xattrs.space())
    }
}
