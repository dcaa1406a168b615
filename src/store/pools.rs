//! Limits beside the file system's: an export's, or of what is one consumer's own. An object belongs to a pool for life.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::RwLock;

use super::users::Share;
use crate::errno::{Errno, Result};

/// One limit and what there is under it.
#[derive(Debug)]
pub struct Pool {
    limit: Share,
    pages: AtomicU64,
    inodes: AtomicU64,
    /// Its owner is gone: it goes with the last that is in it.
    ended: AtomicBool,
}

/// All pools by their numbers; 0 is none.
#[derive(Debug, Default)]
pub struct Pools(RwLock<Vec<Option<Arc<Pool>>>>);

impl Pool {
    /// With nothing in it but a root; 0 is no limit.
    pub fn new(limit: Share) -> Pool {
        Pool {
            limit,
            pages: AtomicU64::new(0),
            inodes: AtomicU64::new(1),
            ended: AtomicBool::new(false),
        }
    }

    /// Takes all or none; `ENOSPC` beyond the limit.
    pub fn take(&self, share: Share) -> Result<()> {
        take(&self.pages, share.pages, self.limit.pages)?;
        let taken = take(&self.inodes, share.inodes, self.limit.inodes);
        taken.inspect_err(|_| {
            self.pages.fetch_sub(share.pages, Ordering::Relaxed);
        })
    }

    /// Takes what is there already.
    pub fn force(&self, share: Share) {
        self.pages.fetch_add(share.pages, Ordering::Relaxed);
        self.inodes.fetch_add(share.inodes, Ordering::Relaxed);
    }

    /// Gives back.
    pub fn give(&self, share: Share) {
        self.pages.fetch_sub(share.pages, Ordering::Relaxed);
        self.inodes.fetch_sub(share.inodes, Ordering::SeqCst);
    }

    /// The limits; 0 is none.
    pub fn limit(&self) -> Share {
        self.limit
    }

    /// What is left of them; `u64::MAX` where there is none.
    pub fn free(&self) -> Share {
        let left = |limit: u64, used: &AtomicU64| match limit {
            0 => u64::MAX,
            limit => limit.saturating_sub(used.load(Ordering::Relaxed)),
        };
        Share {
            pages: left(self.limit.pages, &self.pages),
            inodes: left(self.limit.inodes, &self.inodes),
        }
    }

    /// Its owner is gone.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
    }

    /// Whether its owner is gone, and nothing is in it. Of two threads, of which one ends it and the other one takes
    /// the last out of it, one sees both.
    pub fn is_spent(&self) -> bool {
        self.ended.load(Ordering::SeqCst) && self.inodes.load(Ordering::SeqCst) <= 1
    }
}

fn take(used: &AtomicU64, more: u64, limit: u64) -> Result<()> {
    let limit = if limit == 0 { u64::MAX } else { limit };
    let fits = |used: u64| used.checked_add(more).filter(|&sum| sum <= limit);
    let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits);
    taken.map(drop).map_err(|_| Errno::ENOSPC)
}

impl Pools {
    /// The pool of this number; `None` for 0, and where it is gone.
    pub fn get(&self, number: u16) -> Option<Arc<Pool>> {
        let at = usize::from(number).checked_sub(1)?;
        self.0.read().get(at).cloned().flatten()
    }

    /// A new pool under a free number; `ENOSPC` where there is none.
    pub fn add(&self, pool: Pool) -> Result<u16> {
        let mut pools = self.0.write();
        let free = pools.iter().position(Option::is_none);
        let at = free.unwrap_or(pools.len());
        let number = u16::try_from(at + 1).map_err(|_| Errno::ENOSPC)?;
        if at == pools.len() {
            pools.push(None);
        }
        pools[at] = Some(Arc::new(pool));
        Ok(number)
    }

    /// A pool under the number that it had before.
    pub fn restore(&self, number: u16, pool: Pool) {
        let mut pools = self.0.write();
        let at = usize::from(number).saturating_sub(1);
        if pools.len() <= at {
            pools.resize(at + 1, None);
        }
        pools[at] = Some(Arc::new(pool));
    }

    /// Lets a pool go.
    pub fn remove(&self, number: u16) {
        let at = usize::from(number).checked_sub(1);
        if let Some(place) = at.and_then(|at| self.0.write().get_mut(at).map(Option::take)) {
            drop(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_limits_or_nothing() {
        let pool = Pool::new(Share {
            pages: 10,
            inodes: 3,
        });
        let share = |pages, inodes| Share { pages, inodes };
        assert_eq!(pool.take(share(4, 2)), Ok(()));
        assert_eq!(pool.take(share(4, 1)), Err(Errno::ENOSPC));
        assert_eq!(pool.free(), share(6, 0));
        assert_eq!(pool.take(share(7, 0)), Err(Errno::ENOSPC));
        pool.end();
        assert!(!pool.is_spent());
        pool.give(share(4, 2));
        assert!(pool.is_spent());
    }

    #[test]
    fn numbers_are_kept() {
        let pools = Pools::default();
        pools.restore(3, Pool::new(Share::default()));
        assert!(pools.get(3).is_some() && pools.get(2).is_none() && pools.get(0).is_none());
        assert_eq!(pools.add(Pool::new(Share::default())), Ok(1));
        pools.remove(3);
        assert!(pools.get(3).is_none());
    }
}
