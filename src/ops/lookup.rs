//! lookup and forget: the references that the kernel holds.

use std::sync::Arc;

use super::faces::Located;
use super::{Dir, Entry, Fs, Object, check_name};
use crate::errno::{Errno, Result};
use crate::slots::Flag;
use crate::store::change::TreeChange;
use crate::store::record::Answer;
use crate::store::{Inode, Tree};
use crate::types::Ino;

impl Fs {
    /// Finds `name` in the directory `dir` and counts a reference to it.
    ///
    /// `.` of any inode is itself and `..` of a directory the one above: so file handles are opened
    /// (`fuse_get_dentry`, `fuse_get_parent`).
    pub fn lookup(&self, dir: impl Into<Dir>, name: &[u8]) -> Result<Entry> {
        let dir = dir.into();
        check_name(name)?;
        let tree = self.superblock.tree();
        match name {
            b"." => self.found(&tree, tree.inode(dir.ino)?, dir),
            b".." => {
                let above = self.above(&tree, dir)?.ok_or(Errno::ENOENT)?;
                self.found(&tree, tree.inode(above)?, dir)
            }
            _ => {
                let at = self.locate(&tree, dir, name)?;
                if self.unclaimed(&tree, at.place()).is_some() {
                    drop(tree);
                    return self.lookup_and_claim(dir, name);
                }
                let inode = self.seen(&tree, &at)?.ok_or(Errno::ENOENT)?;
                self.found_at(&tree, inode, dir, &at)
            }
        }
    }

    /// The object itself, by its node.
    pub fn lookup_self(&self, object: &Object) -> Result<Entry> {
        let tree = self.superblock.tree();
        let entry = self.found(&tree, tree.inode(object.ino)?, object.dir())?;
        Ok(self.mask_object(object, entry))
    }

    fn lookup_and_claim(&self, dir: Dir, name: &[u8]) -> Result<Entry> {
        let mut tree = self.superblock.tree_mut();
        let at = self.locate_mut(&mut tree, dir, name)?;
        let inode = self.seen(&tree, &at)?.ok_or(Errno::ENOENT)?;
        self.found_at(&tree, inode, dir, &at)
    }

    /// What the kernel learns of an inode, and the reference that it has from then on: none without an answer.
    pub(super) fn found(&self, tree: &Tree, inode: &Inode, dir: Dir) -> Result<Entry> {
        let entry = self.entry_in(tree, inode, dir)?;
        inode.raise_lookups();
        Ok(entry)
    }

    /// As [`Fs::found`], under a name.
    pub(super) fn found_at(
        &self,
        tree: &Tree,
        inode: &Inode,
        dir: Dir,
        at: &Located<'_>,
    ) -> Result<Entry> {
        let entry = self.entry_at(tree, inode, dir, at)?;
        inode.raise_lookups();
        Ok(entry)
    }

    /// The same of what was made or linked, which has been counted before.
    pub(super) fn made_at(
        &self,
        tree: &Tree,
        inode: &Inode,
        dir: Dir,
        at: &Located<'_>,
    ) -> Result<Entry> {
        let entry = self.entry_at(tree, inode, dir, at);
        entry.inspect_err(|_| {
            inode.lower_lookups(1);
        })
    }

    /// Gives `count` references to `ino` back.
    pub fn forget(&self, ino: Ino, count: u64) {
        let Ok(inode) = self.superblock.inode(ino) else {
            // After a recovery one that the kernel did not know any more may have been evicted before this arrived.
            if self.journal.is_none() {
                tracing::error!(?ino, "the kernel forgets an inode that is not there");
            }
            return;
        };
        if inode.lower_lookups(count) != 0 {
            return;
        }
        let orphan = {
            let state = inode.state();
            // A lookup may have come in between, and an open that exposes it: that one locks the state later.
            if inode.lookups() == 0 {
                state.cell.set(Flag::Exposed, false);
            }
            state.is_orphan()
        };
        if orphan {
            self.evict_if_unused(&inode);
        }
    }

    /// Frees an inode that nothing leads to any more.
    pub(super) fn evict_if_unused(&self, inode: &Arc<Inode>) {
        let mut tree = self.superblock.tree_mut();
        let evicted = self.evict(&mut tree, inode);
        drop(tree);
        if let Some(inode) = evicted {
            self.free_data(&inode);
        }
    }

    /// Takes it out of the table, if it is unused; its data is the caller's to free, without the lock.
    pub(super) fn evict(&self, tree: &mut Tree, inode: &Inode) -> Option<Arc<Inode>> {
        {
            let mut state = inode.state();
            if !state.is_orphan() {
                return None;
            }
            self.departures.add(&mut state);
            if state.nopen() > 0 {
                return None;
            }
            if inode.lookups() > 0 {
                self.doubts.add(inode.ino, &state.cell);
                return None;
            }
        }
        self.exports
            .forget_directory(inode.ino, self.journal.as_deref());
        let change = TreeChange::Evict { ino: inode.ino };
        self.superblock
            .commit(tree, change, Default::default(), Answer::Unfinished)
    }
}
