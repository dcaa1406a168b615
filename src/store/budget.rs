//! `nr_inodes`, counted as the kernel's tmpfs counts it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::errno::{Errno, Result};

/// What one inode, or one more link to it, takes (`BOGO_INODE_SIZE`, mm/shmem.c).
pub const INODE_SPACE: u64 = 1024;

/// The budget for inodes in bytes: inodes, further hard links and xattrs draw on it.
#[derive(Debug)]
pub struct InodeBudget {
    /// In bytes; `u64::MAX` is no limit.
    limit: AtomicU64,
    used: AtomicU64,
}

impl InodeBudget {
    /// Nothing taken of `inodes`, 0 for no limit.
    pub fn new(inodes: u64) -> InodeBudget {
        InodeBudget {
            limit: AtomicU64::new(space_of(inodes)),
            used: AtomicU64::new(0),
        }
    }

    /// Takes `space` bytes or answers `ENOSPC`.
    pub fn take(&self, space: u64) -> Result<()> {
        let limit = self.limit.load(Ordering::Relaxed);
        let fits = |used: u64| used.checked_add(space).filter(|&sum| sum <= limit);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    /// Gives `space` bytes back.
    pub fn give(&self, space: u64) {
        let before = self.used.fetch_sub(space, Ordering::Relaxed);
        debug_assert!(before >= space, "gave back {space} bytes of {before}");
    }

    /// The limit in inodes and how many are free; zeros where there is no limit, as tmpfs shows it.
    pub fn inodes(&self) -> (u64, u64) {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == u64::MAX {
            return (0, 0);
        }
        let free = limit.saturating_sub(self.used.load(Ordering::Relaxed));
        (limit / INODE_SPACE, free / INODE_SPACE)
    }

    /// Sets the limit that there was before.
    pub(super) fn restore_limit(&self, inodes: u64) {
        self.limit.store(space_of(inodes), Ordering::Relaxed);
    }

    /// Changes the limit: refused when more is in use, or when there was none before
    /// (`shmem_reconfigure`).
    pub fn set_limit(&self, inodes: u64) -> Result<()> {
        self.check_limit(inodes)?;
        self.limit.store(space_of(inodes), Ordering::Relaxed);
        Ok(())
    }

    /// Whether the limit can become this.
    pub fn check_limit(&self, inodes: u64) -> Result<()> {
        let limited_before = self.limit.load(Ordering::Relaxed) != u64::MAX;
        let limit = space_of(inodes);
        if limit != u64::MAX && (!limited_before || self.used.load(Ordering::Relaxed) > limit) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

fn space_of(inodes: u64) -> u64 {
    match inodes {
        0 => u64::MAX,
        inodes => inodes.saturating_mul(INODE_SPACE),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_in_inodes() {
        let budget = InodeBudget::new(2);
        assert_eq!(budget.take(INODE_SPACE), Ok(()));
        assert_eq!(budget.inodes(), (2, 1));
        assert_eq!(budget.take(100), Ok(()));
        assert_eq!(budget.inodes(), (2, 0));
        assert_eq!(budget.take(INODE_SPACE), Err(Errno::ENOSPC));
        assert_eq!(budget.set_limit(1), Err(Errno::EINVAL));
        assert_eq!(budget.set_limit(3), Ok(()));
        assert_eq!(budget.take(INODE_SPACE), Ok(()));
    }

    #[test]
    fn no_limit_cannot_become_one() {
        let budget = InodeBudget::new(0);
        assert_eq!(budget.take(u64::MAX / 2), Ok(()));
        assert_eq!(budget.inodes(), (0, 0));
        assert_eq!(budget.set_limit(5), Err(Errno::EINVAL));
    }
}
