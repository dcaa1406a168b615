//! What of old records is still so, recorded again: so a recorder can forget them.
//!
//! Who keeps records goes over them in passes, each from the oldest record up to where the newest was when the pass
//! began. Whatever lives has its last record there or after it, so a pass meets all of it; how often it meets one thing
//! does not matter, as it is recorded again once in a pass.

use std::sync::atomic::{AtomicU8, Ordering};

use super::directory::Cookie;
use super::history::{dentry, directory, whole, xattrs};
use super::record::{Answer, Entity, InodeImage};
use super::superblock::{Superblock, Tree};
use crate::types::Ino;

/// The passes, and those of which there is one.
#[derive(Debug, Default)]
pub(super) struct Passes {
    /// The number of the last one that began; 0 only before the first.
    number: AtomicU8,
    top: Mark,
    limits: Mark,
}

/// The pass in which something was recorded again; 0 is none.
#[derive(Debug, Default)]
pub struct Mark(AtomicU8);

impl Passes {
    /// A few numbers are enough: what lives is marked in every pass but the one in which it was made.
    fn begin(&self) {
        let next = match self.number.load(Ordering::Relaxed) {
            u8::MAX => 1,
            number => number + 1,
        };
        self.number.store(next, Ordering::Relaxed);
    }

    fn is_first(&self, mark: &Mark) -> bool {
        let number = self.number.load(Ordering::Relaxed);
        mark.0.swap(number, Ordering::Relaxed) != number
    }
}

impl Superblock {
    /// From now on old records are given to [`Superblock::keep`] from the oldest one: another pass.
    pub fn begin_pass(&self) {
        self.passes.begin();
    }

    /// Records again, as it is now, what of an old record still lives, but once in a pass.
    pub fn keep(&self, old: &[Entity<'_>]) {
        let tree = self.tree();
        for entity in old {
            match entity {
                Entity::Super(_) if self.passes.is_first(&self.passes.top) => self.record_top(),
                Entity::Limits(_) if self.passes.is_first(&self.passes.limits) => {
                    self.record_limits(|_| {});
                }
                Entity::Inode(InodeImage { ino, .. })
                | Entity::Target { ino, .. }
                | Entity::Directory { ino, .. }
                | Entity::Xattr { ino, .. }
                | Entity::Acl { ino, .. } => self.keep_inode(&tree, *ino),
                Entity::Dentry { dir, cookie, .. } => self.keep_name(&tree, *dir, *cookie),
                Entity::Super(_) | Entity::Limits(_) => {}
                // Of what is gone nothing older is left.
                Entity::InodeGone(_) | Entity::DentryGone { .. } | Entity::XattrGone { .. } => {}
                // Others than the store keep it.
                Entity::Note { .. } => {}
            }
        }
    }

    /// All that is an inode's own. Each record is true for itself, and the old ones are still there should the
    /// process die between two of them.
    fn keep_inode(&self, tree: &Tree, ino: Ino) {
        let Ok(inode) = tree.inode(ino) else {
            return;
        };
        let state = inode.state();
        if !self.passes.is_first(&state.kept) {
            return;
        }
        let mut batch: Vec<Entity<'_>> = whole((inode, &state)).collect();
        batch.extend(directory(tree, ino));
        self.record(&batch, Answer::Unfinished);
        for xattr in xattrs(inode, &state) {
            self.record(&[xattr], Answer::Unfinished);
        }
    }

    fn keep_name(&self, tree: &Tree, dir: Ino, cookie: Cookie) {
        let directory = tree.directories.get(&dir);
        let Some(name) = directory.and_then(|directory| directory.at(cookie)) else {
            return;
        };
        if self.passes.is_first(&name.kept) {
            self.record(&[dentry(dir, cookie, name)], Answer::Unfinished);
        }
    }
}
