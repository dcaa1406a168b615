//! unlink and rmdir.

use super::access::{Caller, may_delete};
use super::faces::Located;
use super::{Dir, Fs, check_name};
use crate::errno::{Errno, Result};
use crate::export::Operation;
use crate::store::Tree;
use crate::store::change::TreeChange;
use crate::store::record::Answer;
use crate::types::Ino;

impl Fs {
    /// Takes a name of a file away.
    pub fn unlink(&self, caller: &Caller, dir: impl Into<Dir>, name: &[u8]) -> Result<()> {
        let dir = dir.into();
        self.remove(caller, dir, name, Operation::Unlink, |_, kind_is_dir, _| {
            if kind_is_dir {
                Err(Errno::EISDIR)
            } else {
                Ok(())
            }
        })
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, caller: &Caller, dir: impl Into<Dir>, name: &[u8]) -> Result<()> {
        let dir = dir.into();
        self.remove(
            caller,
            dir,
            name,
            Operation::Rmdir,
            |tree, kind_is_dir, ino| {
                if !kind_is_dir {
                    return Err(Errno::ENOTDIR);
                }
                let face = dir.face;
                if self.is_empty(tree, Dir { ino, face })? {
                    Ok(())
                } else {
                    Err(Errno::ENOTEMPTY)
                }
            },
        )
    }

    fn remove(
        &self,
        caller: &Caller,
        dir: Dir,
        name: &[u8],
        operation: Operation,
        check: impl FnOnce(&Tree, bool, Ino) -> Result<()>,
    ) -> Result<()> {
        check_name(name)?;
        self.may_free()?;
        let mut tree = self.superblock.tree_mut();
        let located = self.locate_mut(&mut tree, dir, name)?;
        self.check_lent(Some(caller), &tree, &located)?;
        let at = located.place();
        let there = self.seen(&tree, &located)?;
        located.check(operation, there, false)?;
        let inode = there.ok_or(Errno::ENOENT)?.clone();
        may_remove(caller, &tree, &located, inode.ino)?;
        check(&tree, inode.kind.is_dir(), inode.ino)?;
        let now = self.clock.now();
        self.commit(&mut tree, TreeChange::Remove { at }, now, Answer::Done);
        let evicted = self.evict(&mut tree, &inode);
        drop(tree);
        if let Some(inode) = evicted {
            self.free_data(&inode);
        }
        Ok(())
    }
}

/// The sticky bit, checked again under the tree's lock: the kernel's check held a lock on one directory only.
pub(super) fn may_remove(caller: &Caller, tree: &Tree, at: &Located<'_>, ino: Ino) -> Result<()> {
    if at.is_without_sticky() {
        return Ok(());
    }
    // Two states are never locked at once: what the rule needs of the directory is taken first.
    let (mode, uid) = {
        let dir = tree.inode(tree.authority(at.place().dir))?.state();
        (dir.mode, dir.uid)
    };
    may_delete(caller, mode, uid, &tree.inode(ino)?.state())
}
