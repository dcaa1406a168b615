//! What a change does to names: the tables of inodes and of directories, link counts, and times.

use std::sync::Arc;

use super::Place;
use crate::store::directory::Directory;
use crate::store::history::{Touched, Trace};
use crate::store::inode::{DataState, Inode, NewInode};
use crate::store::superblock::Tree;
use crate::types::{Ino, Timestamp};

/// A table of this size is not worth shrinking.
const SMALL_TABLE: usize = 4096;

impl Tree {
    /// Lets the table of inodes go back to the size that it needs.
    pub(super) fn shrink(&mut self) {
        let (len, capacity) = (self.inodes.len(), self.inodes.capacity());
        if capacity > SMALL_TABLE && len < capacity / 8 {
            self.inodes.shrink_to(len * 2);
        }
    }

    pub(super) fn insert(
        &mut self,
        at: Place<'_>,
        inode: Inode,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Arc<Inode> {
        let (ino, inode) = (inode.ino, Arc::new(inode));
        self.inodes.insert(ino, Arc::clone(&inode));
        trace.add(Touched::New(ino));
        if inode.kind.is_dir() {
            self.directories
                .insert(ino, Box::new(Directory::new(at.dir)));
            trace.add(Touched::Directory(ino));
            self.adjust(at.dir, 1, now, trace);
        }
        self.add_name(at, ino, now, trace);
        inode
    }

    pub(super) fn hide(
        &mut self,
        above: Ino,
        new: NewInode,
        label: &str,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Arc<Inode> {
        let ino = new.identity.ino;
        let inode = Arc::new(Inode::new(new, DataState::default(), now));
        self.inodes.insert(ino, Arc::clone(&inode));
        let mut directory = Directory::new(above);
        directory.hidden = Some(label.into());
        self.directories.insert(ino, Box::new(directory));
        trace.add(Touched::New(ino));
        trace.add(Touched::Directory(ino));
        inode
    }

    pub(super) fn unhide(
        &mut self,
        ino: Ino,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Arc<Inode>> {
        let inode = self.inodes.get(&ino)?;
        let mut state = inode.state();
        state.nlink = 0;
        state.ctime = now;
        drop(state);
        trace.add(Touched::State(ino));
        if let Some(directory) = self.directories.get_mut(&ino) {
            // Nobody's: after a recovery it is a directory that has lost its name.
            directory.hidden = Some("".into());
            trace.add(Touched::Directory(ino));
        }
        Some(Arc::clone(inode))
    }

    pub(super) fn exchange(
        &mut self,
        a: Place<'_>,
        b: Place<'_>,
        now: Timestamp,
        trace: &mut Trace,
    ) {
        let (Ok(Some(at_a)), Ok(Some(at_b))) = (self.find(a.dir, a.name), self.find(b.dir, b.name))
        else {
            return;
        };
        let (at_a, at_b) = (at_a.ino, at_b.ino);
        // Both get new places in their streams, the second the newer one (`simple_offset_rename_exchange`).
        self.take_name(a, now, trace);
        self.take_name(b, now, trace);
        self.add_name(a, at_b, now, trace);
        self.add_name(b, at_a, now, trace);
        self.moved(at_a, (a.dir, b.dir), now, trace);
        self.moved(at_b, (b.dir, a.dir), now, trace);
    }

    /// `ino` has a name in another directory: a directory's `..` is the other one's link.
    pub(super) fn moved(
        &mut self,
        ino: Ino,
        (from, to): (Ino, Ino),
        now: Timestamp,
        trace: &mut Trace,
    ) {
        self.adjust(ino, 0, now, trace);
        if let Some(directory) = self.directories.get_mut(&ino) {
            directory.parent = to;
            trace.add(Touched::Directory(ino));
            self.adjust(from, -1, now, trace);
            self.adjust(to, 1, now, trace);
        }
    }

    pub(super) fn add_name(&mut self, at: Place<'_>, ino: Ino, now: Timestamp, trace: &mut Trace) {
        if let Some(directory) = self.directories.get_mut(&at.dir) {
            let cookie = directory.insert(&self.hasher, at.name, ino);
            trace.add(Touched::Named(at.dir, cookie));
            if let Some(named) = self.directories.get_mut(&ino) {
                named.place = cookie;
            }
        }
        self.touch_directory(at.dir, now, trace);
    }

    pub(super) fn take_name(
        &mut self,
        at: Place<'_>,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Ino> {
        let directory = self.directories.get_mut(&at.dir)?;
        let (cookie, ino) = directory.remove(&self.hasher, at.name)?;
        trace.add(Touched::Unnamed(at.dir, cookie));
        self.touch_directory(at.dir, now, trace);
        Some(ino)
    }

    fn touch_directory(&self, dir: Ino, now: Timestamp, trace: &mut Trace) {
        if let Some(inode) = self.inodes.get(&dir) {
            let mut state = inode.state();
            state.mtime = now;
            state.ctime = now;
            trace.add(Touched::State(dir));
        }
    }

    /// Adds `links` to the link count, and sets ctime.
    pub(super) fn adjust(
        &self,
        ino: Ino,
        links: i32,
        now: Timestamp,
        trace: &mut Trace,
    ) -> Option<Arc<Inode>> {
        let inode = self.inodes.get(&ino)?;
        let mut state = inode.state();
        state.nlink = state.nlink.saturating_add_signed(links);
        state.ctime = now;
        drop(state);
        trace.add(Touched::State(ino));
        Some(Arc::clone(inode))
    }
}
