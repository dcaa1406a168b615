//! Telling the recorder: which entities a change touched, and what they have become.
//!
//! # Why the order of records is right
//!
//! A change of names is recorded under the tree's lock for writing, a change of one inode under the lock of its
//! state; the recorder's own lock is the last one and is held for one record. So records about names are in the order
//! of the changes, and so are, for each inode, those about its state: [`Superblock::record_changes`] takes the
//! locks of all states that it is about to describe before it describes the first, and gives them back when the record
//! is there. It may hold several at once, and nobody else may, since it has the tree's lock for writing: whoever holds
//! one state waits for no other. Who records again what lives (`keep.rs`) holds one at a time.
//!
//! Between a change of names and its record a state that it touched can be recorded by a change of the inode. What such
//! a record tells too early is a time that the change of names has set, and nothing else: link counts are
//! recorded by nobody.

use std::borrow::Cow;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::acl::Acl;
use super::directory::{Cookie, Dentry};
use super::inode::{Inode, State};
use super::record::{AclKind, Answer, Entity, InodeImage, KindImage};
use super::superblock::{Superblock, Tree};
use crate::slots::failpoint;
use crate::types::{Ino, Kind};

/// Something that a change of names touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Touched {
    /// A new inode, with all that is its own.
    New(Ino),
    /// The state of an inode.
    State(Ino),
    /// What is above a directory.
    Directory(Ino),
    Named(Ino, Cookie),
    Unnamed(Ino, Cookie),
    Gone(Ino),
}

/// What a change of names touched; kept only where somebody wants to know.
#[derive(Debug)]
pub(super) struct Trace {
    on: bool,
    touched: Vec<Touched>,
}

/// The most that a change touches: a rename over a name, with a whiteout.
const MANY: usize = 12;

impl Trace {
    pub(super) fn new(on: bool) -> Trace {
        let touched = if on {
            Vec::with_capacity(MANY)
        } else {
            Vec::new()
        };
        Trace { on, touched }
    }

    pub(super) fn add(&mut self, touched: Touched) {
        if self.on && !self.touched.contains(&touched) {
            self.touched.push(touched);
        }
    }
}

/// An inode whose state is locked.
type Locked<'t> = (&'t Arc<Inode>, MutexGuard<'t, State>);

impl Superblock {
    pub(super) fn record(&self, batch: &[Entity<'_>], answer: Answer) {
        if let Some(recorder) = &self.recorder {
            failpoint("before-journal");
            recorder.record(batch, answer);
            failpoint("after-journal");
        }
    }

    /// The first records of a history.
    pub(super) fn record_all_of_new(&self) {
        if self.recorder.is_none() {
            return;
        }
        let (tree, root) = (self.tree(), self.root());
        let Ok(inode) = tree.inode(root) else {
            return;
        };
        let state = inode.state();
        // All in one record: there is no file system without one of them.
        let mut batch = vec![self.top(), self.limits()];
        batch.extend(whole((inode, &state)));
        batch.extend(directory(&tree, root));
        self.record(&batch, Answer::Unfinished);
    }

    /// Records what a change of names has touched.
    pub(super) fn record_changes(&self, tree: &Tree, trace: &Trace, answer: Answer) {
        if self.recorder.is_none() {
            return;
        }
        let states = lock_states(tree, &trace.touched);
        let mut batch = Vec::with_capacity(MANY);
        for touched in &trace.touched {
            match *touched {
                Touched::New(ino) => batch.extend(find(&states, ino).into_iter().flat_map(whole)),
                Touched::State(ino) if trace.touched.contains(&Touched::New(ino)) => {}
                Touched::State(ino) => {
                    batch.extend(find(&states, ino).map(|(inode, state)| image(inode, state)));
                }
                Touched::Directory(ino) => batch.extend(directory(tree, ino)),
                Touched::Named(dir, cookie) => {
                    let directory = tree.directories.get(&dir);
                    let named = directory.and_then(|directory| directory.at(cookie));
                    batch.extend(named.map(|named| dentry(dir, cookie, named)));
                }
                Touched::Unnamed(dir, cookie) => batch.push(Entity::DentryGone { dir, cookie }),
                Touched::Gone(ino) => batch.push(Entity::InodeGone(ino)),
            }
        }
        self.record(&batch, answer);
    }

    /// Records the state of an inode, and the long parts that changed.
    pub(super) fn record_state<'a>(
        &self,
        inode: &Inode,
        state: &State,
        parts: impl IntoIterator<Item = Entity<'a>>,
        answer: Answer,
    ) {
        // Who had it in hand when it was evicted changes what nobody will see.
        if self.recorder.is_none() || state.gone {
            return;
        }
        let mut batch = Vec::with_capacity(3);
        batch.push(image(inode, state));
        batch.extend(parts);
        self.record(&batch, answer);
    }
}

/// Locks each state that is spoken of, once.
fn lock_states<'t>(tree: &'t Tree, touched: &[Touched]) -> Vec<Locked<'t>> {
    let mut states: Vec<Locked<'t>> = Vec::with_capacity(touched.len());
    for touched in touched {
        let (Touched::New(ino) | Touched::State(ino)) = touched else {
            continue;
        };
        if find(&states, *ino).is_none() {
            let inode = tree.inodes.get(ino);
            states.extend(inode.map(|inode| (inode, inode.state())));
        }
    }
    states
}

fn find<'l>(states: &'l [Locked<'_>], ino: Ino) -> Option<(&'l Inode, &'l State)> {
    let found = states.iter().find(|(inode, _)| inode.ino == ino)?;
    Some((found.0, &found.1))
}

fn image(inode: &Inode, state: &State) -> Entity<'static> {
    let State {
        mode,
        uid,
        gid,
        nlink: _,
        atime,
        mtime,
        ctime,
        btime,
        xattrs: _,
        acls: _,
        data,
        cell: _,
        gone: _,
        kept: _,
    } = state;
    Entity::Inode(InodeImage {
        ino: inode.ino,
        generation: inode.generation,
        kind: KindImage::of(&inode.kind),
        mode: *mode,
        uid: *uid,
        gid: *gid,
        atime: *atime,
        mtime: *mtime,
        ctime: *ctime,
        btime: *btime,
        has_data: data.present,
        mtime_set: data.mtime_set,
        reserved: data.reserved,
        pool: data.pool,
        unseen_ctime: data.unseen_ctime.as_deref().copied(),
    })
}

/// An inode and its long parts, but for its extended attributes.
pub(super) fn whole<'l>(
    (inode, state): (&'l Inode, &'l State),
) -> impl Iterator<Item = Entity<'l>> {
    let lists = [AclKind::Access, AclKind::Default].map(|which| acl(inode, state, which));
    let lists = lists
        .into_iter()
        .filter(|entity| matches!(entity, Entity::Acl { list, .. } if !list.is_empty()));
    [image(inode, state)]
        .into_iter()
        .chain(target(inode))
        .chain(lists)
}

fn target(inode: &Inode) -> Option<Entity<'_>> {
    let Kind::Symlink(target) = &inode.kind else {
        return None;
    };
    Some(Entity::Target {
        ino: inode.ino,
        target: Cow::Borrowed(target),
    })
}

pub(super) fn directory(tree: &Tree, ino: Ino) -> Option<Entity<'_>> {
    let directory = tree.directories.get(&ino)?;
    Some(Entity::Directory {
        ino,
        parent: directory.parent,
        next: directory.next(),
        label: directory.hidden.as_deref().map(Cow::Borrowed),
    })
}

pub(super) fn dentry(dir: Ino, cookie: Cookie, dentry: &Dentry) -> Entity<'_> {
    Entity::Dentry {
        dir,
        cookie,
        name: Cow::Borrowed(&dentry.name),
        ino: dentry.ino,
    }
}

pub(super) fn xattrs<'l>(inode: &Inode, state: &'l State) -> impl Iterator<Item = Entity<'l>> {
    let ino = inode.ino;
    let all = state.xattrs.iter().flat_map(|xattrs| xattrs.iter());
    all.map(move |(name, value)| Entity::Xattr {
        ino,
        name: Cow::Borrowed(name),
        value: Cow::Borrowed(value),
    })
}

/// A list in the form that is saved, empty where there is none.
pub(super) fn acl(inode: &Inode, state: &State, which: AclKind) -> Entity<'static> {
    let acls = state.acls.as_ref();
    let list = acls.and_then(|acls| match which {
        AclKind::Access => acls.access.as_ref(),
        AclKind::Default => acls.default.as_ref(),
    });
    Entity::Acl {
        ino: inode.ino,
        which,
        list: Cow::Owned(list.map(Acl::to_xattr).unwrap_or_default()),
    }
}
