//! The one place where the store changes.
//!
//! A change carries everything that it does, the time included, and cannot fail: whoever commits it has
//! checked. So a history of changes, carried out again, gives the same store.

use std::sync::Arc;

use super::acl::Acls;
use super::budget::INODE_SPACE;
use super::directory::Directory;
use super::inode::{Inode, NewInode, State};
use super::superblock::{Superblock, Tree};
use super::xattr;
use crate::types::{Ino, Timestamp};

/// A table of this size is not worth shrinking.
const SMALL_TABLE: usize = 4096;

/// A name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The directory.
    pub dir: Ino,
    /// The name in it.
    pub name: &'a [u8],
}

/// A change of names.
#[derive(Debug)]
pub enum TreeChange<'a> {
    /// A new inode under a new name.
    Insert {
        /// The new name.
        at: Place<'a>,
        /// The new inode.
        inode: NewInode,
        /// Its times: where it has a data file already, that file's.
        born: Timestamp,
    },
    /// A new directory without a name, for what a view of the directory `above` shows besides.
    Hide {
        /// The directory that the view shows.
        above: Ino,
        /// The new inode.
        inode: NewInode,
        /// Whose it is; no two have the same.
        label: &'a str,
    },
    /// A new name of an inode.
    Link {
        /// The new name.
        at: Place<'a>,
        /// The inode.
        ino: Ino,
    },
    /// A name goes: of a file, or of an empty directory.
    Remove {
        /// The name.
        at: Place<'a>,
    },
    /// A name moves; what was at its new place loses that name.
    Rename {
        /// The old place.
        from: Place<'a>,
        /// The new place.
        to: Place<'a>,
        /// What stands at the old place afterwards (`RENAME_WHITEOUT`).
        whiteout: Option<NewInode>,
    },
    /// Two names swap what they stand for.
    Exchange {
        /// One.
        a: Place<'a>,
        /// The other.
        b: Place<'a>,
    },
    /// An inode without a name, reference or handle goes.
    Evict {
        /// The inode.
        ino: Ino,
    },
}

impl<'a> TreeChange<'a> {
    /// The names that it concerns.
    pub fn places(&self) -> [Option<Place<'a>>; 2] {
        match *self {
            TreeChange::Insert { at, .. }
            | TreeChange::Link { at, .. }
            | TreeChange::Remove { at } => [Some(at), None],
            TreeChange::Rename { from, to, .. } => [Some(from), Some(to)],
            TreeChange::Exchange { a, b } => [Some(a), Some(b)],
            TreeChange::Hide { .. } | TreeChange::Evict { .. } => [None, None],
        }
    }

    /// Whether one of them may have stood for something that it stands for no more.
    pub fn takes_names(&self) -> bool {
        match self {
            TreeChange::Remove { .. } | TreeChange::Rename { .. } | TreeChange::Exchange { .. } => {
                true
            }
            TreeChange::Insert { .. }
            | TreeChange::Link { .. }
            | TreeChange::Hide { .. }
            | TreeChange::Evict { .. } => false,
        }
    }
}

/// A change of one inode's attributes. Each part that is `None` stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Attributes {
    /// Permissions, without the type.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Last access.
    pub atime: Option<Timestamp>,
    /// Last change of the contents.
    pub mtime: Option<Timestamp>,
    /// Last change of anything.
    pub ctime: Option<Timestamp>,
    /// Access control lists.
    pub acls: Option<Acls>,
}

/// A change of one inode.
#[derive(Debug)]
pub enum InodeChange<'a> {
    /// Of attributes.
    Attributes(Attributes),
    /// Of an extended attribute.
    Xattr {
        /// Its full name.
        name: &'a [u8],
        /// Its value; `None` takes it away.
        value: Option<&'a [u8]>,
        /// The new ctime.
        now: Timestamp,
    },
}

impl Superblock {
    /// Changes names; returns the inode that the change made, freed or took a name from.
    pub fn commit(
        &self,
        tree: &mut Tree,
        change: TreeChange<'_>,
        now: Timestamp,
    ) -> Option<Arc<Inode>> {
        match change {
            TreeChange::Insert { at, inode, born } => Some(tree.insert(at, inode, born, now)),
            TreeChange::Hide {
                above,
                inode,
                label,
            } => Some(tree.hide(above, inode, label, now)),
            TreeChange::Link { at, ino } => {
                tree.add_name(at, ino, now);
                tree.adjust(ino, 1, now)
            }
            TreeChange::Remove { at } => self.remove(tree, at, now),
            TreeChange::Rename { from, to, whiteout } => self.rename(tree, from, to, whiteout, now),
            TreeChange::Exchange { a, b } => {
                tree.exchange(a, b, now);
                None
            }
            TreeChange::Evict { ino } => self.evict(tree, ino),
        }
    }

    /// Changes one inode, whose state the caller has locked.
    pub fn commit_inode(&self, state: &mut State, change: InodeChange<'_>) {
        match change {
            InodeChange::Attributes(attributes) => state.set(attributes),
            InodeChange::Xattr { name, value, now } => self.set_xattr(state, name, value, now),
        }
    }

    fn remove(&self, tree: &mut Tree, at: Place<'_>, now: Timestamp) -> Option<Arc<Inode>> {
        let ino = tree.take_name(at, now)?;
        self.unlink(tree, ino, at.dir, now)
    }

    /// A name of `ino` in `dir` is gone (`shmem_unlink`, `shmem_rmdir`).
    fn unlink(&self, tree: &mut Tree, ino: Ino, dir: Ino, now: Timestamp) -> Option<Arc<Inode>> {
        let inode = Arc::clone(tree.inodes.get(&ino)?);
        let is_dir = inode.kind.is_dir();
        if is_dir {
            tree.adjust(dir, -1, now);
        }
        let left = {
            let mut state = inode.state();
            state.nlink = if is_dir {
                0
            } else {
                state.nlink.saturating_sub(1)
            };
            state.ctime = now;
            state.nlink
        };
        // Each link after the first has its own share; the first one's goes with the inode.
        if !is_dir && left > 0 {
            self.inodes.give(INODE_SPACE);
        }
        Some(inode)
    }

    /// `shmem_rename2`.
    fn rename(
        &self,
        tree: &mut Tree,
        from: Place<'_>,
        to: Place<'_>,
        whiteout: Option<NewInode>,
        now: Timestamp,
    ) -> Option<Arc<Inode>> {
        let ino = tree.take_name(from, now)?;
        let replaced = match tree.take_name(to, now) {
            Some(target) => self.unlink(tree, target, to.dir, now),
            None => None,
        };
        // The whiteout first: the new name is the newer one in a stream.
        if let Some(whiteout) = whiteout {
            tree.insert(from, whiteout, now, now);
        }
        tree.add_name(to, ino, now);
        tree.moved(ino, from.dir, to.dir, now);
        replaced
    }

    fn evict(&self, tree: &mut Tree, ino: Ino) -> Option<Arc<Inode>> {
        let inode = tree.inodes.remove(&ino)?;
        tree.directories.remove(&ino);
        tree.shrink();
        let space = INODE_SPACE + inode.state().xattr_space();
        self.inodes.give(space);
        Some(inode)
    }

    /// The room for a new value has been taken; that of the old one is given back here.
    fn set_xattr(&self, state: &mut State, name: &[u8], value: Option<&[u8]>, now: Timestamp) {
        let xattrs = state.xattrs.get_or_insert_default();
        if let Some(old) = xattrs.get(name) {
            self.inodes.give(xattr::space(name, old.len()));
        }
        xattrs.set(name, value);
        if xattrs.is_empty() {
            state.xattrs = None;
        }
        state.ctime = now;
    }
}

impl Tree {
    /// Lets the table of inodes go back to the size that it needs.
    fn shrink(&mut self) {
        let (len, capacity) = (self.inodes.len(), self.inodes.capacity());
        if capacity > SMALL_TABLE && len < capacity / 8 {
            self.inodes.shrink_to(len * 2);
        }
    }

    fn insert(
        &mut self,
        at: Place<'_>,
        new: NewInode,
        born: Timestamp,
        now: Timestamp,
    ) -> Arc<Inode> {
        let ino = new.identity.ino;
        let inode = Arc::new(Inode::new(new, born));
        self.inodes.insert(ino, Arc::clone(&inode));
        if inode.kind.is_dir() {
            self.directories.insert(ino, Directory::new(at.dir));
            self.adjust(at.dir, 1, now);
        }
        self.add_name(at, ino, now);
        inode
    }

    fn hide(&mut self, above: Ino, new: NewInode, label: &str, now: Timestamp) -> Arc<Inode> {
        let ino = new.identity.ino;
        let inode = Arc::new(Inode::new(new, now));
        self.inodes.insert(ino, Arc::clone(&inode));
        let mut directory = Directory::new(above);
        directory.hidden = Some(label.into());
        self.directories.insert(ino, directory);
        inode
    }

    fn exchange(&mut self, a: Place<'_>, b: Place<'_>, now: Timestamp) {
        let (Ok(Some(at_a)), Ok(Some(at_b))) = (self.find(a.dir, a.name), self.find(b.dir, b.name))
        else {
            return;
        };
        let (at_a, at_b) = (at_a.ino, at_b.ino);
        // Both get new places in their streams, the second the newer one (`simple_offset_rename_exchange`).
        self.take_name(a, now);
        self.take_name(b, now);
        self.add_name(a, at_b, now);
        self.add_name(b, at_a, now);
        self.moved(at_a, a.dir, b.dir, now);
        self.moved(at_b, b.dir, a.dir, now);
    }

    /// `ino` has a name in `to` instead of `from`: a directory's `..` is the other one's link.
    fn moved(&mut self, ino: Ino, from: Ino, to: Ino, now: Timestamp) {
        self.adjust(ino, 0, now);
        if let Some(directory) = self.directories.get_mut(&ino) {
            directory.parent = to;
            self.adjust(from, -1, now);
            self.adjust(to, 1, now);
        }
    }

    fn add_name(&mut self, at: Place<'_>, ino: Ino, now: Timestamp) {
        if let Some(directory) = self.directories.get_mut(&at.dir) {
            directory.insert(&self.hasher, at.name, ino);
        }
        self.touch_directory(at.dir, now);
    }

    fn take_name(&mut self, at: Place<'_>, now: Timestamp) -> Option<Ino> {
        let ino = self
            .directories
            .get_mut(&at.dir)?
            .remove(&self.hasher, at.name)?;
        self.touch_directory(at.dir, now);
        Some(ino)
    }

    fn touch_directory(&self, dir: Ino, now: Timestamp) {
        if let Some(inode) = self.inodes.get(&dir) {
            let mut state = inode.state();
            state.mtime = now;
            state.ctime = now;
        }
    }

    /// Adds `links` to the link count, and sets ctime.
    fn adjust(&self, ino: Ino, links: i32, now: Timestamp) -> Option<Arc<Inode>> {
        let inode = self.inodes.get(&ino)?;
        let mut state = inode.state();
        state.nlink = state.nlink.saturating_add_signed(links);
        state.ctime = now;
        drop(state);
        Some(Arc::clone(inode))
    }
}

impl State {
    fn set(&mut self, attributes: Attributes) {
        let Attributes {
            mode,
            uid,
            gid,
            atime,
            mtime,
            ctime,
            acls,
        } = attributes;
        self.mode = mode.unwrap_or(self.mode);
        self.uid = uid.unwrap_or(self.uid);
        self.gid = gid.unwrap_or(self.gid);
        self.atime = atime.unwrap_or(self.atime);
        self.mtime = mtime.unwrap_or(self.mtime);
        self.ctime = ctime.unwrap_or(self.ctime);
        if let Some(acls) = acls {
            self.acls = (acls != Acls::default()).then(|| Box::new(acls));
        }
    }
}
