//! rename, with its flags.

use std::sync::Arc;

use super::access::Caller;
use super::faces::Located;
use super::remove::may_remove;
use super::{Dir, Fs, NewNode, check_name};
use crate::errno::{Errno, Result};
use crate::store::budget::INODE_SPACE;
use crate::store::change::TreeChange;
use crate::store::inode::NewInode;
use crate::store::record::Answer;
use crate::store::{DataState, Inode, Tree};
use crate::types::{Ino, Kind};

/// The flags of renameat2(2), of which few go together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameMode {
    /// Replaces what is there.
    Replace,
    /// `RENAME_NOREPLACE`.
    NoReplace,
    /// `RENAME_EXCHANGE`.
    Exchange,
    /// `RENAME_WHITEOUT`; with `RENAME_NOREPLACE` where true.
    Whiteout(bool),
}

impl Fs {
    /// Moves a name.
    pub fn rename(
        &self,
        caller: &Caller,
        from: (impl Into<Dir>, &[u8]),
        to: (impl Into<Dir>, &[u8]),
        mode: RenameMode,
    ) -> Result<()> {
        check_name(from.1)?;
        check_name(to.1)?;
        if mode == RenameMode::Replace {
            // With the tree's lock nobody can wait for room; whether it must be there is known only then.
            let _ = self.may_free();
        }
        let mut tree = self.superblock.tree_mut();
        let source = self.locate_mut(&mut tree, from.0.into(), from.1)?;
        let target = self.locate_mut(&mut tree, to.0.into(), to.1)?;
        self.check_lent(Some(caller), &tree, &source)?;
        self.check_lent(Some(caller), &tree, &target)?;
        let (from_at, to_at) = (&source, &target);
        let (from, to) = (from_at.place(), to_at.place());
        let source = self.seen(&tree, from_at)?.cloned();
        let target = tree.find(to.dir, to.name).map(Option::<&_>::cloned);
        let there = (
            source.as_ref(),
            target.as_ref().ok().and_then(Option::as_ref),
        );
        self.check_rules(&tree, (from_at, to_at), there, mode)?;
        let source = source.ok_or(Errno::ENOENT)?;
        let target = target?;
        let pair = ((from_at, &source), (to_at, target.as_ref()));
        if self.check_rename(caller, &tree, pair.0, pair.1, mode)? == Same::Inode {
            return Ok(());
        }
        let exchange = mode == RenameMode::Exchange;
        match target {
            Some(_) if mode == RenameMode::Replace => self.may_free_now()?,
            Some(_) | None => self.may_add()?,
        }
        let whiteout = match mode {
            RenameMode::Exchange | RenameMode::Replace | RenameMode::NoReplace => None,
            RenameMode::Whiteout(_) => Some(self.whiteout(caller, &tree, from.dir)?),
        };
        let left_behind = whiteout.as_ref().map(|new| new.identity.ino);
        let change = if exchange {
            TreeChange::Exchange { a: from, b: to }
        } else {
            TreeChange::Rename { from, to, whiteout }
        };
        let now = self.clock.now();
        let replaced = self.commit(&mut tree, change, now, Answer::Done);
        if let Some(ino) = left_behind {
            self.mark_charged(&tree, ino);
        }
        self.follow_renamed(&tree, &source, target.as_ref().filter(|_| exchange), now);
        let evicted = replaced.and_then(|inode| self.evict(&mut tree, &inode));
        drop(tree);
        if let Some(inode) = evicted {
            self.free_data(&inode);
        }
        Ok(())
    }

    /// `vfs_rename` and `lock_rename`, whose locks another directory of this tree does not share.
    fn check_rename(
        &self,
        caller: &Caller,
        tree: &Tree,
        (from_at, source): (&Located<'_>, &Arc<Inode>),
        (to_at, target): (&Located<'_>, Option<&Arc<Inode>>),
        mode: RenameMode,
    ) -> Result<Same> {
        let (from, to) = (from_at.place(), to_at.place());
        if tree.inode(to.dir)?.state().is_orphan() {
            return Err(Errno::ENOENT);
        }
        if source.kind.is_dir() && tree.is_below(to.dir, source.ino)? {
            return Err(Errno::EINVAL);
        }
        let exchange = mode == RenameMode::Exchange;
        match target {
            None if exchange => return Err(Errno::ENOENT),
            None => {}
            Some(_) if matches!(mode, RenameMode::NoReplace | RenameMode::Whiteout(true)) => {
                return Err(Errno::EEXIST);
            }
            Some(target) if target.ino == source.ino => return Ok(Same::Inode),
            Some(target) => {
                may_remove(caller, tree, to_at, target.ino)?;
                if exchange {
                    check_not_below(tree, from.dir, target)?;
                } else {
                    check_replaced(tree, source, target)?;
                }
            }
        }
        may_remove(caller, tree, from_at, source.ino)?;
        Ok(Same::Neither)
    }

    /// What stays behind: a device made in `dir` like any other (`shmem_whiteout`).
    fn whiteout(&self, caller: &Caller, tree: &Tree, dir: Ino) -> Result<NewInode> {
        self.superblock.inodes.take(INODE_SPACE)?;
        self.charge_new(caller, &mut DataState::default())
            .inspect_err(|_| self.superblock.inodes.give(INODE_SPACE))?;
        let identity = self.superblock.fresh();
        // `WHITEOUT_MODE`, `WHITEOUT_DEV` (include/linux/fs.h).
        let node = NewNode {
            kind: Kind::CharDevice(0),
            mode: 0,
            umask: 0,
        };
        self.new_inode(caller, tree, dir, identity, node)
    }
}

/// Whether both names stand for one inode: then rename(2) does nothing.
#[derive(PartialEq, Eq)]
enum Same {
    Inode,
    Neither,
}

fn check_not_below(tree: &Tree, dir: Ino, inode: &Inode) -> Result<()> {
    if inode.kind.is_dir() && tree.is_below(dir, inode.ino)? {
        Err(Errno::EINVAL)
    } else {
        Ok(())
    }
}

fn check_replaced(tree: &Tree, source: &Inode, target: &Inode) -> Result<()> {
    match (source.kind.is_dir(), target.kind.is_dir()) {
        (true, false) => Err(Errno::ENOTDIR),
        (false, true) => Err(Errno::EISDIR),
        (true, true) if !tree.directory(target.ino)?.is_empty() => Err(Errno::ENOTEMPTY),
        _ => Ok(()),
    }
}
