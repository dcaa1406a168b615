//! What a recorder of the store's history is told: after each change the whole state of each entity that it
//! touched.
//!
//! Link counts and what is in use of the budgets are told by nobody: both follow from names and inodes, so that
//! they cannot contradict them.

use std::borrow::Cow;

use super::directory::Cookie;
use crate::types::{Ino, Kind, Timestamp};

/// Keeps what changes. It is called under the locks of the change, in the order of the changes.
pub trait Recorder: Send + Sync + std::fmt::Debug {
    /// Keeps one batch, all of it or nothing, with the answer of the request that this thread has in hand.
    ///
    /// It cannot fail: a recorder that can keep nothing more ends the process, and what was not kept did not
    /// happen.
    fn record(&self, batch: &[Entity<'_>], answer: Answer);
}

/// What a request has come to with a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Answer {
    /// Nothing yet, or no request asked for it: carried out again, the rest of it is done.
    #[default]
    Unfinished,
    /// It is done.
    Done,
    /// It made this inode, or a name of it.
    Made(Ino),
    /// It is about to do this, which could not be told afterwards: carried out again, it does the same.
    Planned(u64),
}

/// One thing that changes as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entity<'a> {
    /// What there is one of.
    Super(SuperImage),
    /// The limits.
    Limits(Limits),
    /// An inode but for its long parts, which are entities of their own.
    Inode(InodeImage),
    /// An inode is gone, and what was its own with it.
    InodeGone(Ino),
    /// Where a symbolic link leads.
    Target {
        /// The link.
        ino: Ino,
        /// Its target.
        target: Cow<'a, [u8]>,
    },
    /// A directory, but for its names.
    Directory {
        /// Itself.
        ino: Ino,
        /// The directory above.
        parent: Ino,
        /// The next place in its stream.
        next: Cookie,
        /// Whose it is, where it is hidden.
        label: Option<Cow<'a, str>>,
    },
    /// A name.
    Dentry {
        /// The directory.
        dir: Ino,
        /// The place in its stream.
        cookie: Cookie,
        /// The name.
        name: Cow<'a, [u8]>,
        /// The inode.
        ino: Ino,
    },
    /// A name is gone.
    DentryGone {
        /// The directory.
        dir: Ino,
        /// The place in its stream.
        cookie: Cookie,
    },
    /// An extended attribute.
    Xattr {
        /// The inode.
        ino: Ino,
        /// The attribute's full name.
        name: Cow<'a, [u8]>,
        /// Its value.
        value: Cow<'a, [u8]>,
    },
    /// An extended attribute is gone.
    XattrGone {
        /// The inode.
        ino: Ino,
        /// The attribute's full name.
        name: Cow<'a, [u8]>,
    },
    /// An access control list.
    Acl {
        /// The inode.
        ino: Ino,
        /// Which of its two.
        which: AclKind,
        /// The list in the form of an extended attribute; empty where there is none any more.
        list: Cow<'a, [u8]>,
    },
    /// Something that others than the store want to find again.
    Note {
        /// Whose.
        space: u8,
        /// Its name among theirs.
        key: Cow<'a, [u8]>,
        /// What it says; `None` where it is gone.
        value: Option<Cow<'a, [u8]>>,
    },
}

/// Which of an inode's lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AclKind {
    /// Who may do what.
    Access,
    /// What new entries of a directory inherit.
    Default,
}

/// What there is one of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SuperImage {
    /// The root directory.
    pub root: Ino,
    /// The key by which numbers of inodes are made.
    pub key: (u64, u64),
    /// Numbers made so far are among the first so many.
    pub numbers: u64,
}

/// The limits as they were last set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of data; 0 is no limit.
    pub size: u64,
    /// Inodes; 0 is no limit.
    pub nr_inodes: u64,
    /// Bytes of each user; 0 is no limit.
    pub uid_size: u64,
    /// Inodes of each user; 0 is no limit.
    pub uid_nr_inodes: u64,
}

/// A file's type without a symbolic link's target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KindImage {
    /// Regular file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link.
    Symlink,
    /// Named pipe.
    Fifo,
    /// Unix-domain socket.
    Socket,
    /// Character device.
    CharDevice(u32),
    /// Block device.
    BlockDevice(u32),
}

/// An inode as it is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InodeImage {
    /// Its number.
    pub ino: Ino,
    /// Completes a file handle.
    pub generation: u32,
    /// Its type.
    pub kind: KindImage,
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
    /// It has a data file.
    pub has_data: bool,
    /// mtime was set by a program.
    pub mtime_set: bool,
    /// Pages taken from the reservation.
    pub reserved: u64,
    /// The pool that it belongs to; 0 is none.
    pub pool: u16,
    /// A ctime of the data file that is none of the object's.
    pub unseen_ctime: Option<Timestamp>,
}

impl KindImage {
    pub(super) fn of(kind: &Kind) -> KindImage {
        match kind {
            Kind::Regular => KindImage::Regular,
            Kind::Directory => KindImage::Directory,
            Kind::Symlink(_) => KindImage::Symlink,
            Kind::Fifo => KindImage::Fifo,
            Kind::Socket => KindImage::Socket,
            Kind::CharDevice(rdev) => KindImage::CharDevice(*rdev),
            Kind::BlockDevice(rdev) => KindImage::BlockDevice(*rdev),
        }
    }

    /// The type; `None` where a link's target is missing.
    pub(super) fn with_target(self, target: Option<Box<[u8]>>) -> Option<Kind> {
        Some(match self {
            KindImage::Regular => Kind::Regular,
            KindImage::Directory => Kind::Directory,
            KindImage::Symlink => Kind::Symlink(target?),
            KindImage::Fifo => Kind::Fifo,
            KindImage::Socket => Kind::Socket,
            KindImage::CharDevice(rdev) => Kind::CharDevice(rdev),
            KindImage::BlockDevice(rdev) => Kind::BlockDevice(rdev),
        })
    }
}
