//! What each user has, against one limit for all of them (`uid_size`, `uid_nr_inodes`).
//!
//! The rules are those of quotas on tmpfs (mm/shmem_quota.c, fs/quota/dquot.c), but that pages are those of
//! the logical size: who owns an object is charged for it, root has no limit, and what a user has
//! more than a limit that came later stays.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use crate::errno::{Errno, Result};

/// Root's objects are counted and not limited (Documentation/filesystems/tmpfs.rst).
const ROOT: u32 = 0;

/// Pages and inodes: what somebody has, gets or may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// Pages of data.
    pub pages: u64,
    /// Inodes.
    pub inodes: u64,
}

impl Share {
    /// So many pages and no inode.
    pub fn pages(pages: u64) -> Share {
        Share { pages, inodes: 0 }
    }
}

/// All users that have something.
#[derive(Debug)]
pub struct Users {
    /// 0 is no limit.
    pages: AtomicU64,
    inodes: AtomicU64,
    shares: Mutex<HashMap<u32, Share>>,
}

impl Users {
    /// Nobody has anything yet; 0 is no limit.
    pub fn new(limit: Share) -> Users {
        Users {
            pages: AtomicU64::new(limit.pages),
            inodes: AtomicU64::new(limit.inodes),
            shares: Mutex::default(),
        }
    }

    /// What each user may have; 0 is no limit.
    pub fn limit(&self) -> Share {
        Share {
            pages: self.pages.load(Ordering::Relaxed),
            inodes: self.inodes.load(Ordering::Relaxed),
        }
    }

    /// Changes the limit, also to less than somebody has.
    pub fn set_limit(&self, limit: Share) {
        self.pages.store(limit.pages, Ordering::Relaxed);
        self.inodes.store(limit.inodes, Ordering::Relaxed);
    }

    /// Whether there is a limit; without one nobody counts.
    pub fn are_limited(&self) -> bool {
        self.limit() != Share::default()
    }

    /// Charges `uid` with `more`, all or nothing: `EDQUOT`, unless `exempt`, which is asked only then.
    pub fn take(&self, uid: u32, more: Share, exempt: impl FnOnce() -> bool) -> Result<()> {
        if self.add(uid, more, false) || (exempt() && self.add(uid, more, true)) {
            Ok(())
        } else {
            Err(Errno::EDQUOT)
        }
    }

    /// Charges `uid` with `more`, whatever the limit.
    pub fn force(&self, uid: u32, more: Share) {
        self.add(uid, more, true);
    }

    fn add(&self, uid: u32, more: Share, force: bool) -> bool {
        let limit = self.limit();
        let mut shares = self.shares.lock();
        let share = shares.get(&uid).copied().unwrap_or_default();
        let sum = Share {
            pages: share.pages.saturating_add(more.pages),
            inodes: share.inodes.saturating_add(more.inodes),
        };
        let fits = |more: u64, sum: u64, limit: u64| more == 0 || limit == 0 || sum <= limit;
        let fits =
            fits(more.pages, sum.pages, limit.pages) && fits(more.inodes, sum.inodes, limit.inodes);
        if !(fits || force || uid == ROOT) {
            return false;
        }
        if sum != Share::default() {
            shares.insert(uid, sum);
        }
        true
    }

    /// Gives back `less` of what `uid` has.
    pub fn give(&self, uid: u32, less: Share) {
        let mut shares = self.shares.lock();
        let share = shares.get(&uid).copied().unwrap_or_default();
        debug_assert!(
            share.pages >= less.pages,
            "{uid} gave {less:?} of {share:?}"
        );
        debug_assert!(
            share.inodes >= less.inodes,
            "{uid} gave {less:?} of {share:?}"
        );
        let left = Share {
            pages: share.pages.saturating_sub(less.pages),
            inodes: share.inodes.saturating_sub(less.inodes),
        };
        if left == Share::default() {
            shares.remove(&uid);
        } else {
            shares.insert(uid, left);
        }
    }

    /// Pages that `uid` may still get.
    pub fn free_pages(&self, uid: u32) -> u64 {
        match self.limit().pages {
            0 => u64::MAX,
            _ if uid == ROOT => u64::MAX,
            limit => limit.saturating_sub(self.share(uid).pages),
        }
    }

    /// What `uid` has.
    pub fn share(&self, uid: u32) -> Share {
        self.shares.lock().get(&uid).copied().unwrap_or_default()
    }

    /// What everybody has, by uid.
    pub fn shares(&self) -> Vec<(u32, Share)> {
        let mut shares: Vec<(u32, Share)> = self
            .shares
            .lock()
            .iter()
            .map(|(uid, share)| (*uid, *share))
            .collect();
        shares.sort_unstable_by_key(|(uid, _)| *uid);
        shares
    }

    /// Forgets what everybody has.
    pub fn clear(&self) {
        self.shares.lock().clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO: fn() -> bool = || false;

    fn users() -> Users {
        Users::new(Share {
            pages: 10,
            inodes: 2,
        })
    }

    #[test]
    fn all_or_nothing_for_each_user() {
        let users = users();
        let one = Share {
            pages: 8,
            inodes: 1,
        };
        assert_eq!(users.take(1000, one, NO), Ok(()));
        assert_eq!(users.take(1000, one, NO), Err(Errno::EDQUOT));
        assert_eq!(users.take(1001, one, NO), Ok(()));
        assert_eq!(users.free_pages(1000), 2);
        assert_eq!(users.take(1000, Share::pages(2), NO), Ok(()));
        assert_eq!(
            users.shares(),
            [
                (
                    1000,
                    Share {
                        pages: 10,
                        inodes: 1
                    }
                ),
                (1001, one)
            ]
        );
        users.give(
            1000,
            Share {
                pages: 10,
                inodes: 1,
            },
        );
        assert_eq!(users.shares(), [(1001, one)]);
    }

    #[test]
    fn root_and_the_exempt_are_counted_only() {
        let users = users();
        let much = Share {
            pages: 100,
            inodes: 100,
        };
        assert_eq!(users.take(0, much, || panic!("asked for nothing")), Ok(()));
        assert_eq!(users.take(1000, much, || true), Ok(()));
        assert_eq!(users.share(0), much);
        assert_eq!(users.share(1000), much);
        // Who has too much of one thing may still get another.
        users.set_limit(Share {
            pages: 1,
            inodes: 200,
        });
        assert_eq!(
            users.take(
                1000,
                Share {
                    pages: 0,
                    inodes: 1
                },
                NO
            ),
            Ok(())
        );
        assert_eq!(users.take(1000, Share::pages(1), NO), Err(Errno::EDQUOT));
        assert_eq!(users.free_pages(1000), 0);
    }

    #[test]
    fn no_limit() {
        let users = Users::new(Share::default());
        assert!(!users.are_limited());
        assert_eq!(users.take(7, Share::pages(u64::MAX), NO), Ok(()));
        assert_eq!(users.free_pages(7), u64::MAX);
    }
}
