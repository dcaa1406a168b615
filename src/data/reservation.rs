//! Room that growing objects take at once, so that no later store can find the file system full.

use std::sync::atomic::{AtomicU64, Ordering};

use super::PAGE_SIZE;
use crate::errno::{Errno, Result};

/// A count of pages against a limit.
///
/// An object's share is the pages of its logical size, or those that it really has where
/// fallocate(2) gave it more. It is a counter and no allocation: `st_blocks` stays what tmpfs shows.
#[derive(Debug)]
pub struct Reservation {
    /// 0 is no limit.
    limit: AtomicU64,
    used: AtomicU64,
}

/// The pages that hold `bytes` bytes.
pub fn pages(bytes: u64) -> u64 {
    bytes.div_ceil(PAGE_SIZE)
}

impl Reservation {
    /// Nothing taken yet of `limit` pages, 0 for no limit.
    pub fn new(limit: u64) -> Reservation {
        Reservation {
            limit: AtomicU64::new(limit),
            used: AtomicU64::new(0),
        }
    }

    /// Takes `more` pages, all or none.
    pub fn take(&self, more: u64) -> Result<()> {
        let limit = match self.limit.load(Ordering::Relaxed) {
            0 => u64::MAX,
            limit => limit,
        };
        let fits = |used: u64| used.checked_add(more).filter(|&sum| sum <= limit);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
        {
            Ok(_) => Ok(()),
            Err(_) => Err(Errno::ENOSPC),
        }
    }

    /// Takes pages that were taken before, whatever the limit.
    pub fn retake(&self, pages: u64) {
        self.used.fetch_add(pages, Ordering::Relaxed);
    }

    /// Gives `less` pages back.
    pub fn give(&self, less: u64) {
        let before = self.used.fetch_sub(less, Ordering::Relaxed);
        debug_assert!(before >= less, "gave back {less} pages of {before}");
    }

    /// Pages taken.
    pub fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit in pages, 0 for none.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Changes the limit.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_all_or_none() {
        let room = Reservation::new(10);
        assert_eq!(room.take(8), Ok(()));
        assert_eq!(room.take(3), Err(Errno::ENOSPC));
        assert_eq!(room.take(u64::MAX), Err(Errno::ENOSPC));
        assert_eq!(room.used(), 8);
        room.give(8);
        assert_eq!(room.take(10), Ok(()));
    }

    #[test]
    fn no_limit() {
        let room = Reservation::new(0);
        assert_eq!(room.take(u64::MAX / 2), Ok(()));
        assert_eq!(room.take(u64::MAX), Err(Errno::ENOSPC));
    }
}
