//! The kernel's node ids: which inode each one stands for.
//!
//! A node id is the number of its inode, but for directories seen in a view, which have one in each, and a
//! few special nodes. Node 1 the kernel fixes as the connection's root, with generation 0, so that a file
//! handle of it can be guessed.

use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::sync::Arc;

use fuser::{FileAttr, Generation, INodeNo};

use super::aliases::{Aliases, random_id};
use super::convert::{attr_of, time_of};
use crate::error::{Error, Result};
use crate::ops::{Dir, Face};
use crate::recovery::{Journal, Space};
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
    /// `.shmfs`.
    Way,
    /// `.shmfs/views`.
    Views,
    Inode(Dir),
}

/// The table of special nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    layout: Layout,
    root: Ino,
    entrance: CString,
    made: Timestamp,
    owner: (u32, u32),
    views: Option<ViewNodes>,
}

/// The nodes that there are only with views.
#[derive(Debug)]
struct ViewNodes {
    way: INodeNo,
    views: INodeNo,
    keys: Vec<&'static str>,
    aliases: Aliases,
}

impl Nodes {
    /// The nodes that `journal` has kept, or new ones, which it keeps.
    pub(super) fn new(
        layout: Layout,
        root: &Attr,
        keys: Vec<&'static str>,
        journal: Option<&Arc<Journal>>,
    ) -> Result<Nodes> {
        let owner = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        Ok(Nodes {
            layout,
            root: root.ino,
            entrance: kept_name(journal)?,
            // The same after a recovery.
            made: root.btime,
            owner,
            views: match keys.as_slice() {
                [] => None,
                [..] => Some(ViewNodes {
                    way: kept_id(journal, b"way")?,
                    views: kept_id(journal, b"views")?,
                    aliases: Aliases::kept(journal, &keys),
                    keys,
                }),
            },
        })
    }

    /// The name of the tree in the anteroom.
    pub(super) fn entrance(&self) -> Option<&CStr> {
        (self.layout == Layout::Anteroom).then_some(&self.entrance)
    }

    pub(super) fn node(&self, id: INodeNo) -> Node {
        match (id, self.layout) {
            (INodeNo::ROOT, Layout::Anteroom) => Node::Anteroom,
            (INodeNo::ROOT, Layout::Direct) => Node::Inode(self.root.into()),
            (id, _) => match &self.views {
                None => Node::Inode(Ino(id.0).into()),
                Some(views) => views.node(id),
            },
        }
    }

    /// The inode behind an id, for operations that mean nothing in the anteroom.
    pub(super) fn inode(&self, id: INodeNo) -> crate::errno::Result<Ino> {
        match self.node(id) {
            Node::Inode(dir) => Ok(dir.ino),
            Node::Anteroom | Node::Way | Node::Views => Err(crate::errno::Errno::EPERM),
        }
    }

    /// The same for a directory, as it is seen.
    pub(super) fn dir(&self, id: INodeNo) -> crate::errno::Result<Dir> {
        match self.node(id) {
            Node::Inode(dir) => Ok(dir),
            Node::Anteroom | Node::Way | Node::Views => Err(crate::errno::Errno::EPERM),
        }
    }

    /// The keys of the views, in their order.
    pub(super) fn keys(&self) -> &[&'static str] {
        self.views.as_ref().map_or(&[], |views| &views.keys)
    }

    /// Whether `name` in `dir` leads to the views.
    pub(super) fn is_way(&self, dir: Dir, name: &[u8]) -> bool {
        self.views.is_some() && dir == self.root.into() && name == crate::types::RESERVED
    }

    /// The attributes of the nodes above the views.
    pub(super) fn special(&self, node: Node) -> FileAttr {
        let (id, perm) = match (node, &self.views) {
            (Node::Way, Some(views)) => (views.way, 0o711),
            (Node::Views, Some(views)) => (views.views, 0o755),
            (Node::Anteroom | Node::Way | Node::Views | Node::Inode(_), _) => {
                (INodeNo::ROOT, 0o100)
            }
        };
        FileAttr {
            ino: id,
            perm,
            ..self.anteroom()
        }
    }

    /// The node of a directory in a view, if the kernel may know it; of anything else its own.
    pub(super) fn known(&self, dir: Dir) -> Option<INodeNo> {
        match (dir.face, &self.views) {
            (Face::View(_), Some(views)) => views.aliases.find(dir),
            (Face::View(_), None) => None,
            (Face::Tree, _) => Some(self.id(dir.ino)),
        }
    }

    /// The node of what was found in a directory that has the face `face`.
    pub(super) fn id_in(&self, face: Face, ino: Ino, is_dir: bool) -> INodeNo {
        match (&self.views, face, is_dir) {
            (Some(views), Face::View(_), true) => views.aliases.id(Dir { ino, face }),
            (Some(_) | None, Face::Tree | Face::View(_), _) => self.id(ino),
        }
    }

    /// As [`Nodes::attr`], of what was found in a directory that has the face `face`.
    pub(super) fn attr_in(&self, face: Face, attr: &Attr) -> (FileAttr, Generation) {
        let is_dir = attr.mode & libc::S_IFMT == libc::S_IFDIR;
        match self.id_in(face, attr.ino, is_dir) {
            id if face != Face::Tree && is_dir => {
                (attr_of(id, attr), Generation(u64::from(attr.generation)))
            }
            _ => self.attr(attr),
        }
    }

    /// Counts a reference that the kernel gets to what was found in a directory that has the face `face`.
    pub(super) fn enter(&self, face: Face, attr: &Attr, id: INodeNo) {
        let is_dir = attr.mode & libc::S_IFMT == libc::S_IFDIR;
        if let (Some(views), Face::View(_), true) = (&self.views, face, is_dir) {
            let ino = attr.ino;
            views.aliases.raise(id, Dir { ino, face });
        }
    }

    /// Counts references that the kernel gave back; the inode is to be told of them too.
    pub(super) fn forget(&self, id: INodeNo, count: u64) -> Option<Ino> {
        let Node::Inode(dir) = self.node(id) else {
            return None;
        };
        if let (Some(views), Face::View(_)) = (&self.views, dir.face) {
            views.aliases.lower(id, count);
        }
        Some(dir.ino)
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

impl ViewNodes {
    fn node(&self, id: INodeNo) -> Node {
        if id == self.way {
            return Node::Way;
        }
        if id == self.views {
            return Node::Views;
        }
        Node::Inode(self.aliases.get(id).unwrap_or(Ino(id.0).into()))
    }
}

/// A node id that stays the same after a recovery.
fn kept_id(journal: Option<&Arc<Journal>>, key: &[u8]) -> Result<INodeNo> {
    let kept = journal.and_then(|journal| journal.note(Space::MOUNT, key));
    if let Some(id) = kept.and_then(|kept| kept.try_into().ok()) {
        return Ok(INodeNo(u64::from_le_bytes(id)));
    }
    let id = random_id()?;
    if let Some(journal) = journal {
        journal.set_note(Space::MOUNT, key, Some(&id.0.to_le_bytes()));
    }
    Ok(id)
}

fn kept_name(journal: Option<&Arc<Journal>>) -> Result<CString> {
    const KEY: &[u8] = b"entrance";
    let kept = journal.and_then(|journal| journal.note(Space::MOUNT, KEY));
    if let Some(name) = kept.and_then(|kept| CString::new(kept).ok()) {
        return Ok(name);
    }
    let name = random_name()?;
    if let Some(journal) = journal {
        journal.set_note(Space::MOUNT, KEY, Some(name.to_bytes()));
    }
    Ok(name)
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
