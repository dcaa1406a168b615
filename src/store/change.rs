//! The one place where the store changes.
//!
//! A change carries everything that it does, the time included, and cannot fail: whoever commits it has
//! checked. So a history of changes, carried out again, gives the same store.

mod names;

use std::sync::Arc;

use super::acl::Acls;
use super::budget::INODE_SPACE;
use super::history::{self, Touched, Trace};
use super::inode::{DataState, Inode, NewInode, State};
use super::record::{AclKind, Answer, Entity};
use super::superblock::{Superblock, Tree};
use super::xattr;
use crate::slots::failpoint;
use crate::types::{Ino, Timestamp};

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
        /// What is known of its data file.
        data: DataState,
    },
    /// A new directory without a name, for what a view of the directory `above` shows besides, or for what is one
    /// consumer's own.
    Hide {
        /// The directory that it belongs to.
        above: Ino,
        /// The new inode.
        inode: NewInode,
        /// Whose it is; no two have the same, and it is not empty.
        label: &'a str,
    },
    /// A directory without a name, which is empty, goes.
    Unhide {
        /// The directory.
        ino: Ino,
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
            TreeChange::Hide { .. } | TreeChange::Unhide { .. } | TreeChange::Evict { .. } => {
                [None, None]
            }
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
            | TreeChange::Unhide { .. }
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
    /// Of what is known of the data file, which the caller has changed already.
    Data,
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
    ///
    /// `answer` is what the request in hand has come to with it.
    pub fn commit(
        &self,
        tree: &mut Tree,
        change: TreeChange<'_>,
        now: Timestamp,
        answer: Answer,
    ) -> Option<Arc<Inode>> {
        failpoint("before-change");
        let mut trace = Trace::new(self.recorder.is_some());
        let result = self.change(tree, change, now, &mut trace);
        self.record_changes(tree, &trace, answer);
        result
    }

    fn change(
        &self,
        tree: &mut Tree,
        change: TreeChange<'_>,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Arc<Inode>> {
        match change {
            TreeChange::Insert {
                at,
                inode,
                born,
                data,
            } => {
                let inode = Inode::new(inode, data, born);
                Some(tree.insert(at, inode, now, trace))
            }
            TreeChange::Hide {
                above,
                inode,
                label,
            } => Some(tree.hide(above, inode, label, now, trace)),
            TreeChange::Unhide { ino } => tree.unhide(ino, now, trace),
            TreeChange::Link { at, ino } => {
                tree.add_name(at, ino, now, trace);
                tree.adjust(ino, 1, now, trace)
            }
            TreeChange::Remove { at } => self.remove(tree, at, now, trace),
            TreeChange::Rename { from, to, whiteout } => {
                self.rename(tree, (from, to), whiteout, now, trace)
            }
            TreeChange::Exchange { a, b } => {
                tree.exchange(a, b, now, trace);
                None
            }
            TreeChange::Evict { ino } => self.evict(tree, ino, trace),
        }
    }

    /// Changes one inode, whose state the caller has locked.
    ///
    /// `answer` is what the request in hand has come to with it.
    pub fn commit_inode(
        &self,
        inode: &Inode,
        state: &mut State,
        change: InodeChange<'_>,
        answer: Answer,
    ) {
        failpoint("before-change");
        match change {
            InodeChange::Attributes(attributes) => {
                let lists = attributes.acls.is_some();
                state.set(attributes);
                let kinds = [AclKind::Access, AclKind::Default];
                let lists = kinds.iter().filter(|_| lists);
                let lists: Vec<_> = lists
                    .map(|&which| history::acl(inode, state, which))
                    .collect();
                self.record_state(inode, state, lists, answer);
            }
            InodeChange::Data => self.record_state(inode, state, None, answer),
            InodeChange::Xattr { name, value, now } => {
                let same = value.is_some() && value == state.xattr(name);
                self.set_xattr(state, name, value, now);
                let (ino, name) = (inode.ino, name.into());
                let xattr = match value {
                    Some(value) => Entity::Xattr {
                        ino,
                        name,
                        value: value.into(),
                    },
                    None => Entity::XattrGone { ino, name },
                };
                self.record_state(inode, state, (!same).then_some(xattr), answer);
            }
        }
    }

    fn remove(
        &self,
        tree: &mut Tree,
        at: Place<'_>,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Arc<Inode>> {
        let ino = tree.take_name(at, now, trace)?;
        self.unlink(tree, ino, at.dir, now, trace)
    }

    /// A name of `ino` in `dir` is gone (`shmem_unlink`, `shmem_rmdir`).
    fn unlink(
        &self,
        tree: &mut Tree,
        ino: Ino,
        dir: Ino,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Arc<Inode>> {
        let inode = Arc::clone(tree.inodes.get(&ino)?);
        let is_dir = inode.kind.is_dir();
        if is_dir {
            tree.adjust(dir, -1, now, trace);
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
        trace.add(Touched::State(ino));
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
        (from, to): (Place<'_>, Place<'_>),
        whiteout: Option<NewInode>,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Arc<Inode>> {
        let ino = tree.take_name(from, now, trace)?;
        let replaced = match tree.take_name(to, now, trace) {
            Some(target) => self.unlink(tree, target, to.dir, now, trace),
            None => None,
        };
        // The whiteout first: the new name is the newer one in a stream.
        if let Some(whiteout) = whiteout {
            let whiteout = Inode::new(whiteout, DataState::default(), now);
            tree.insert(from, whiteout, now, trace);
        }
        tree.add_name(to, ino, now, trace);
        tree.moved(ino, (from.dir, to.dir), now, trace);
        replaced
    }

    fn evict(&self, tree: &mut Tree, ino: Ino, trace: &mut Trace) -> Option<Arc<Inode>> {
        let inode = tree.inodes.remove(&ino)?;
        let directory = tree.directories.remove(&ino);
        let hidden = directory.is_some_and(|directory| directory.hidden.is_some());
        tree.shrink();
        let space = {
            let mut state = inode.state();
            state.gone = true;
            // A hidden one is nobody's object.
            let own = if hidden { 0 } else { INODE_SPACE };
            own + state.xattr_space()
        };
        self.inodes.give(space);
        trace.add(Touched::Gone(ino));
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
