//! unlink and rmdir.

use super::access::{Caller, may_delete};
use super::{Fs, check_name};
use crate::errno::{Errno, Result};
use crate::store::Tree;
use crate::store::change::{Place, TreeChange};
use crate::types::Ino;

impl Fs {
    /// Takes a name of a file away.
    pub fn unlink(&self, caller: &Caller, dir: Ino, name: &[u8]) -> Result<()> {
        self.remove(caller, Place { dir, name }, |_, kind_is_dir, _| {
            if kind_is_dir {
                Err(Errno::EISDIR)
            } else {
                Ok(())
            }
        })
    }

    /// Removes an empty directory.
    pub fn rmdir(&self, caller: &Caller, dir: Ino, name: &[u8]) -> Result<()> {
        self.remove(caller, Place { dir, name }, |tree, kind_is_dir, ino| {
            if !kind_is_dir {
                return Err(Errno::ENOTDIR);
            }
            if tree.directory(ino)?.is_empty() {
                Ok(())
            } else {
                Err(Errno::ENOTEMPTY)
            }
        })
    }

    fn remove(
        &self,
        caller: &Caller,
        at: Place<'_>,
        check: impl FnOnce(&Tree, bool, Ino) -> Result<()>,
    ) -> Result<()> {
        check_name(at.name)?;
        let mut tree = self.superblock.tree_mut();
        let inode = tree.find(at.dir, at.name)?.ok_or(Errno::ENOENT)?.clone();
        may_remove(caller, &tree, at.dir, inode.ino)?;
        check(&tree, inode.kind.is_dir(), inode.ino)?;
        let now = self.clock.now();
        self.superblock
            .commit(&mut tree, TreeChange::Remove { at }, now);
        let evicted = self.evict(&mut tree, &inode);
        drop(tree);
        if let Some(inode) = evicted {
            self.free_data(&inode);
        }
        Ok(())
    }
}

/// The sticky bit, checked again under the tree's lock: the kernel's check held a lock on one directory only.
pub(super) fn may_remove(caller: &Caller, tree: &Tree, dir: Ino, ino: Ino) -> Result<()> {
    // Two states are never locked at once: what the rule needs of the directory is taken first.
    let (mode, uid) = {
        let dir = tree.inode(dir)?.state();
        (dir.mode, dir.uid)
    };
    may_delete(caller, mode, uid, &tree.inode(ino)?.state())
}
