//! The kernel's node ids: which inode each one stands for.
//!
//! A node id is the number of its inode. Only node 1 is special: the kernel fixes it as the connection's
//! root, with generation 0, so that a file handle of it can be guessed.

use std::ffi::{CStr, CString};
use std::fmt::Write as _;

use fuser::{FileAttr, Generation, INodeNo};

use super::convert::{attr_of, time_of};
use crate::error::{Error, Result};
use crate::types::{Attr, Ino, Timestamp};

/// What node 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An anteroom that lists nothing; the tree is a directory in it that cannot be guessed, and is bound
    /// where people see it.
    Anteroom,
    /// The tree's root, where nothing can be bound (fusermount3).
    Direct,
}

/// A node, told from its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Anteroom,
    Inode(Ino),
}

/// The table of special nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    layout: Layout,
    root: Ino,
    entrance: CString,
    made: Timestamp,
    owner: (u32, u32),
}

impl Nodes {
    pub(super) fn new(layout: Layout, root: &Attr) -> Result<Nodes> {
        let owner = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        Ok(Nodes {
            layout,
            root: root.ino,
            entrance: random_name()?,
            made: root.ctime,
            owner,
        })
    }

    /// The name of the tree in the anteroom.
    pub(super) fn entrance(&self) -> Option<&CStr> {
        (self.layout == Layout::Anteroom).then_some(&self.entrance)
    }

    pub(super) fn node(&self, id: INodeNo) -> Node {
        match (id, self.layout) {
            (INodeNo::ROOT, Layout::Anteroom) => Node::Anteroom,
            (INodeNo::ROOT, Layout::Direct) => Node::Inode(self.root),
            (INodeNo(number), _) => Node::Inode(Ino(number)),
        }
    }

    /// The inode behind an id, for operations that mean nothing in the anteroom.
    pub(super) fn inode(&self, id: INodeNo) -> crate::errno::Result<Ino> {
        match self.node(id) {
            Node::Inode(ino) => Ok(ino),
            Node::Anteroom => Err(crate::errno::Errno::EPERM),
        }
    }

    pub(super) fn root(&self) -> Ino {
        self.root
    }

    /// Whether `name` in the anteroom is the tree.
    pub(super) fn is_entrance(&self, name: &[u8]) -> bool {
        self.layout == Layout::Anteroom && name == self.entrance.to_bytes()
    }

    pub(super) fn id(&self, ino: Ino) -> INodeNo {
        if ino == self.root && self.layout == Layout::Direct {
            INodeNo::ROOT
        } else {
            INodeNo(ino.0)
        }
    }

    pub(super) fn attr(&self, attr: &Attr) -> (FileAttr, Generation) {
        let id = self.id(attr.ino);
        let generation = if id == INodeNo::ROOT {
            0
        } else {
            attr.generation
        };
        (attr_of(id, attr), Generation(u64::from(generation)))
    }

    /// The anteroom lets its owner through to what he knows the name of, and shows nothing.
    pub(super) fn anteroom(&self) -> FileAttr {
        let made = time_of(self.made);
        FileAttr {
            ino: INodeNo::ROOT,
            size: 0,
            blocks: 0,
            atime: made,
            mtime: made,
            ctime: made,
            crtime: made,
            kind: fuser::FileType::Directory,
            perm: 0o100,
            nlink: 2,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

fn random_name() -> Result<CString> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::system("cannot get random numbers", errno))?;
    let name = bytes.iter().fold(String::from("tree-"), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    });
    Ok(CString::new(name).unwrap_or_default())
}
