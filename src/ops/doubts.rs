//! Inodes of which nobody is sure that the kernel still knows them.
//!
//! A process that dies may have counted references that the kernel never got, or have read of a FORGET and not
//! counted it. As long as an inode has a name that does no harm. Without one it would stay for ever; but the
//! kernel says whether it knows a node.

use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Fs;
use crate::slots::{Cell, Flag};
use crate::types::Ino;

/// Those without a name.
#[derive(Debug, Default)]
pub(super) struct Doubts {
    all: Mutex<Vec<Doubt>>,
    count: AtomicUsize,
    /// Those of which the kernel has not said yet that it knows them.
    open: AtomicUsize,
}

#[derive(Debug)]
struct Doubt {
    ino: Ino,
    /// The kernel did not know it when it had this many references.
    unknown_at: Option<u64>,
    /// The kernel knew it when it was asked last.
    known: bool,
}

impl Doubts {
    /// An inode has no name and no handle, and references that may be none.
    pub(super) fn add(&self, ino: Ino, cell: &Cell) {
        if !cell.is(Flag::Uncertain) {
            return;
        }
        let mut all = self.all.lock();
        if all.iter().all(|doubt| doubt.ino != ino) {
            all.push(Doubt {
                ino,
                unknown_at: None,
                known: false,
            });
            self.count_all(&all);
        }
    }

    fn count_all(&self, all: &[Doubt]) {
        let open = all.iter().filter(|doubt| !doubt.known).count();
        self.open.store(open, Ordering::Relaxed);
        self.count.store(all.len(), Ordering::Relaxed);
    }

    fn any(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Whether one may go at any moment: what somebody has goes when he likes.
    pub(super) fn any_open(&self) -> bool {
        self.open.load(Ordering::Relaxed) > 0
    }
}

impl Fs {
    /// Whether there is somebody to ask the kernel about.
    pub fn has_doubts(&self) -> bool {
        self.doubts.any()
    }

    /// Asks `is_known` of each inode without a name whether the kernel knows it, and evicts those that it does not.
    ///
    /// An answer of ours may be on its way to become a node of the kernel's: it must say so twice, and nothing
    /// may have been counted in between.
    pub fn settle_doubts(&self, is_known: impl Fn(Ino) -> bool) {
        let mut doubts = std::mem::take(&mut *self.doubts.all.lock());
        doubts.retain_mut(|doubt| self.is_doubtful(doubt, &is_known));
        let mut all = self.doubts.all.lock();
        all.append(&mut doubts);
        self.doubts.count_all(&all);
    }

    fn is_doubtful(&self, doubt: &mut Doubt, is_known: &impl Fn(Ino) -> bool) -> bool {
        let Ok(inode) = self.superblock.inode(doubt.ino) else {
            return false;
        };
        {
            let state = inode.state();
            if !state.is_orphan() || state.nopen() > 0 {
                return false;
            }
        }
        let lookups = inode.lookups();
        doubt.known = is_known(doubt.ino);
        if doubt.known {
            // Somebody uses it.
            self.departures.remove(&mut inode.state());
            doubt.unknown_at = None;
            return true;
        }
        if doubt.unknown_at != Some(lookups) {
            doubt.unknown_at = Some(lookups);
            return true;
        }
        tracing::debug!(ino = ?doubt.ino, lookups, "the kernel does not know it");
        inode.lower_lookups(lookups);
        self.evict_if_unused(&inode);
        false
    }
}

#[cfg(test)]
mod tests {
    use crate::ops::access::Caller;
    use crate::ops::{Config, DataMode, Fs, NewNode};
    use crate::slots::Flag;
    use crate::sys::credentials::Credentials;
    use crate::types::Kind;

    #[test]
    fn what_the_kernel_knows_keeps_nobody_waiting() {
        let fs = Fs::of_memfds(Config::default(), DataMode::PageCache);
        let caller = Caller::with(0, 0, Credentials::default());
        let node = NewNode {
            kind: Kind::Directory,
            mode: 0o755,
            umask: 0,
        };
        let made = fs.mknod(&caller, fs.root(), b"d", node).unwrap();
        let inode = fs.superblock.inode(made.attr.ino).unwrap();
        inode.state().cell.set(Flag::Uncertain, true);
        fs.rmdir(&caller, fs.root(), b"d").unwrap();
        assert!(fs.has_doubts() && fs.is_freeing());
        fs.settle_doubts(|_| true);
        assert!(fs.has_doubts() && !fs.is_freeing());
        fs.settle_doubts(|_| false);
        assert!(fs.has_doubts() && fs.is_freeing());
        fs.settle_doubts(|_| false);
        assert!(!fs.has_doubts() && !fs.is_freeing());
        assert_eq!(fs.inode_count(), 1);
    }
}
