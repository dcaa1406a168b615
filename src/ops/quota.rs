//! Limits for each user: `uid_size` and `uid_nr_inodes`, which answer as tmpfs's quotas.
//!
//! Without such a limit nobody is counted. With one each object's owner is charged with it and with the pages of
//! its logical size, and what a program writes comes to us also with passthrough.

use super::Fs;
use super::access::Caller;
use crate::data::{PAGE_SIZE, pages};
use crate::errno::Result;
use crate::store::{DataState, Share, State, Tree};
use crate::types::{Ino, Kind};

/// A limit for each user; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLimit {
    /// Bytes of data.
    pub size: u64,
    /// Inodes.
    pub nr_inodes: u64,
}

impl From<UserLimit> for Share {
    fn from(limit: UserLimit) -> Share {
        Share {
            pages: limit.size / PAGE_SIZE,
            inodes: limit.nr_inodes,
        }
    }
}

impl Fs {
    /// The limit of each user in pages and inodes.
    pub fn user_limit(&self) -> Share {
        self.superblock.users.limit()
    }

    /// What each user has, by uid; nothing without a limit.
    pub fn user_shares(&self) -> Vec<(u32, Share)> {
        self.superblock.users.shares()
    }

    /// The limit of a new file system, in which there is the root directory.
    pub(super) fn limit_users_at_first(&self, limit: UserLimit) {
        let users = &self.superblock.users;
        users.set_limit(limit.into());
        if users.are_limited() {
            let tree = self.superblock.tree();
            self.mark_charged(&tree, self.root());
            users.force(self.config.uid, share_of(&DataState::default()));
        }
    }

    /// The limit of a file system that was before, with all that there is in it.
    pub(super) fn limit_users_again(&self) -> Result<()> {
        let users = &self.superblock.users;
        users.set_limit(self.config.users.into());
        if !users.are_limited() {
            return Ok(());
        }
        self.count_all(&self.superblock.tree_mut())
    }

    /// Changes the limit of each user; `None` leaves a part alone. Who has more keeps it, and gets no more.
    pub fn set_user_limit(&self, size: Option<u64>, nr_inodes: Option<u64>) -> Result<()> {
        let tree = self.superblock.tree_mut();
        let users = &self.superblock.users;
        let before = users.limit();
        let limit = Share {
            pages: size.map_or(before.pages, |size| size / PAGE_SIZE),
            inodes: nr_inodes.unwrap_or(before.inodes),
        };
        let counted = users.are_limited();
        users.set_limit(limit);
        self.superblock.record_limits(|limits| {
            limits.uid_size = size.unwrap_or(limits.uid_size);
            limits.uid_nr_inodes = nr_inodes.unwrap_or(limits.uid_nr_inodes);
        });
        match (counted, users.are_limited()) {
            (false, true) => self.count_all(&tree),
            (true, false) => {
                self.count_nobody(&tree);
                Ok(())
            }
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// Charges the owners with all that there is. New names wait for the tree; what is opened or grows
    /// from here on is counted, as the limit has been set already.
    fn count_all(&self, tree: &Tree) -> Result<()> {
        let users = &self.superblock.users;
        users.clear();
        for inode in tree.all() {
            if tree.is_hidden(inode.ino) {
                continue;
            }
            let mut state = inode.state();
            // What is in a pool has been counted all the time.
            if !self.reserves() && state.data.present && state.data.pool == 0 {
                state.data.reserved = match inode.kind {
                    Kind::Symlink(_) => 1,
                    Kind::Regular
                    | Kind::Directory
                    | Kind::Fifo
                    | Kind::Socket
                    | Kind::CharDevice(_)
                    | Kind::BlockDevice(_) => {
                        let stat = self.files.stat(inode.ino)?;
                        pages(stat.size).max(pages(stat.blocks * 512))
                    }
                };
            }
            state.data.charged = true;
            state.data.uncounted =
                state.has_writer() && !self.config.reserve && self.is_passthrough();
            users.force(state.uid, share_of(&state.data));
        }
        Ok(())
    }

    fn count_nobody(&self, tree: &Tree) {
        for inode in tree.all() {
            let mut state = inode.state();
            state.data.charged = false;
            state.data.uncounted = false;
            if !self.reserves() && state.data.pool == 0 {
                state.data.reserved = 0;
            }
        }
        self.superblock.users.clear();
    }

    /// Whether what is written through a handle must come to us, to be counted.
    pub(super) fn counts_handle(&self, writable: bool) -> bool {
        self.config.reserve || (writable && self.superblock.users.are_limited())
    }

    /// Charges the owner of a new inode (`dquot_alloc_inode`), before it is inserted under the tree's lock.
    pub(super) fn charge_new(&self, caller: &Caller, data: &mut DataState) -> Result<()> {
        let users = &self.superblock.users;
        if !users.are_limited() {
            return Ok(());
        }
        users.take(caller.uid, share_of(data), || caller.has_no_quota())?;
        data.charged = true;
        Ok(())
    }

    /// The same for an inode that has been inserted.
    pub(super) fn mark_charged(&self, tree: &Tree, ino: Ino) {
        if let Ok(inode) = tree.inode(ino) {
            inode.state().data.charged = self.superblock.users.are_limited();
        }
    }

    /// Lets another user have an object, if that one may (`dquot_transfer`).
    pub(super) fn transfer(&self, caller: &Caller, state: &State, to: u32) -> Result<()> {
        if !state.data.charged || to == state.uid {
            return Ok(());
        }
        let users = &self.superblock.users;
        let share = share_of(&state.data);
        users.take(to, share, || caller.has_no_quota())?;
        users.give(state.uid, share);
        Ok(())
    }

    /// Undoes [`Fs::transfer`] before the owner has changed.
    pub(super) fn transfer_back(&self, state: &State, to: u32) {
        if !state.data.charged || to == state.uid {
            return;
        }
        let share = share_of(&state.data);
        self.superblock.users.give(to, share);
        self.superblock.users.force(state.uid, share);
    }

    /// Gives back what the owner `uid` was charged with.
    pub(super) fn discharge(&self, uid: u32, data: &mut DataState) {
        if std::mem::take(&mut data.charged) {
            self.superblock.users.give(uid, share_of(data));
        }
    }
}

fn share_of(data: &DataState) -> Share {
    Share {
        pages: data.reserved,
        inodes: 1,
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::BorrowedFd;

    use super::*;
    use crate::errno::Errno;
    use crate::ops::{Backing, Config, CreateFlags, DataMode, NewNode, SetAttr, WriteFlags};

    use crate::store::pools::Pool;
    use crate::sys::credentials::{CAP_SYS_RESOURCE, Credentials};

    #[derive(Debug)]
    struct Registry;

    impl Backing for Registry {
        fn register(&self, _: BorrowedFd<'_>) -> Result<u32> {
            Ok(7)
        }

        fn unregister(&self, _: u32) {}
    }

    /// Where the daemon counts nothing by itself: passthrough, without `reserve`.
    fn new_fs(users: UserLimit) -> Fs {
        let config = Config {
            users,
            ..Config::default()
        };
        Fs::of_memfds(config, DataMode::Passthrough(Box::new(Registry)))
    }

    fn user(uid: u32, capabilities: u64) -> Caller {
        let credentials = Credentials {
            capabilities,
            ..Credentials::default()
        };
        Caller::with(uid, uid, credentials)
    }

    fn create(fs: &Fs, uid: u32, name: &[u8]) -> Result<(Ino, bool)> {
        let node = NewNode {
            kind: Kind::Regular,
            mode: 0o644,
            umask: 0,
        };
        let flags = CreateFlags {
            exclusive: true,
            writable: true,
        };
        let made = fs.create(&user(uid, 0), fs.root(), name, node, flags);
        made.map(|(entry, opened)| (entry.attr.ino, opened.counted))
    }

    fn write(fs: &Fs, caller: &Caller, ino: Ino, len: usize) -> Result<usize> {
        fs.write(caller, ino, 0, &vec![1; len], WriteFlags::default())
    }

    fn has(fs: &Fs, uid: u32) -> (u64, u64) {
        let share = fs.superblock.users.share(uid);
        (share.pages, share.inodes)
    }

    const LIMIT: UserLimit = UserLimit {
        size: 4 * PAGE_SIZE,
        nr_inodes: 2,
    };

    #[test]
    fn who_may_ignore_limits_is_counted() {
        let fs = new_fs(LIMIT);
        let (ino, counted) = create(&fs, 1000, b"a").unwrap();
        assert!(counted, "what is written must come to us");
        let capable = user(0, 1 << CAP_SYS_RESOURCE);
        assert_eq!(write(&fs, &user(1000, 0), ino, 5 << 12), Ok(4 << 12));
        assert_eq!(write(&fs, &user(0, 0), ino, 5 << 12), Ok(4 << 12));
        assert_eq!(write(&fs, &capable, ino, 5 << 12), Ok(5 << 12));
        assert_eq!(has(&fs, 1000), (5, 1));
        let contained = Credentials {
            capabilities: u64::MAX,
            contained: true,
            ..Credentials::default()
        };
        let contained = Caller::with(0, 0, contained);
        assert_eq!(write(&fs, &contained, ino, 6 << 12), Ok(5 << 12));
    }

    #[test]
    fn a_limit_that_comes_later_finds_everything() {
        let fs = new_fs(UserLimit::default());
        let (ino, counted) = create(&fs, 1000, b"a").unwrap();
        assert!(!counted);
        write(&fs, &user(1000, 0), ino, 6 << 12).unwrap();
        assert_eq!(fs.user_shares(), []);
        fs.set_user_limit(Some(LIMIT.size), None).unwrap();
        assert_eq!((has(&fs, 0), has(&fs, 1000)), ((0, 1), (6, 1)));
        // More than the limit stays, and does not grow.
        let size = |pages: u64| SetAttr {
            size: Some(pages << 12),
            ..SetAttr::default()
        };
        assert_eq!(
            fs.setattr(&user(1000, 0), ino, size(7)).map(drop),
            Err(Errno::EDQUOT)
        );
        fs.setattr(&user(1000, 0), ino, size(1)).unwrap();
        assert_eq!(has(&fs, 1000), (1, 1));
        // The handle that was open before is not counted: its last close is.
        fs.file(ino, &mut fs.superblock.inode(ino).unwrap().state())
            .map(|file| crate::data::truncate(file, 3 << 12))
            .unwrap()
            .unwrap();
        fs.release(ino);
        assert_eq!(has(&fs, 1000), (3, 1));
        fs.set_user_limit(Some(0), None).unwrap();
        assert_eq!(fs.user_shares(), []);
        fs.unlink(&user(1000, 0), fs.root(), b"a").unwrap();
        fs.forget(ino, 1);
        assert_eq!(fs.inode_count(), 1);
    }

    /// What is promised to an object of a pool stays with it, and goes back to the pool in the end.
    #[test]
    fn a_limit_that_comes_later_leaves_pools_alone() {
        let fs = new_fs(UserLimit::default());
        let limit = Share {
            pages: 100,
            inodes: 10,
        };
        let number = fs.pools.add(Pool::new(limit)).unwrap();
        let pool = fs.pools.get(number).unwrap();
        let (ino, _) = create(&fs, 1000, b"a").unwrap();
        pool.take(Share {
            pages: 0,
            inodes: 1,
        })
        .unwrap();
        fs.superblock.inode(ino).unwrap().state().data.pool = number;
        let keep_size = libc::FALLOC_FL_KEEP_SIZE as u32;
        fs.fallocate(&user(1000, 0), ino, keep_size, 10 << 12, 5 << 12)
            .unwrap();
        assert_eq!(pool.free().pages, 85);
        fs.set_user_limit(Some(1 << 20), None).unwrap();
        assert_eq!((pool.free().pages, has(&fs, 1000)), (85, (15, 1)));
        fs.unlink(&user(1000, 0), fs.root(), b"a").unwrap();
        fs.release(ino);
        fs.forget(ino, 1);
        assert_eq!((pool.free().pages, has(&fs, 1000)), (100, (0, 0)));
    }

    /// Two growths of one object at once, as from two directories: what fails takes nothing from the other.
    #[test]
    fn growths_that_overlap() {
        use crate::ops::growth::Outcome::{Allocated, Cut, Failed, Grown};
        for (first, second, size, left) in [
            (Failed, Grown, 3, 3),
            (Grown, Failed, 2, 2),
            (Failed, Failed, 0, 0),
            (Grown, Grown, 3, 3),
            (Failed, Allocated(3), 0, 3),
            (Allocated(2), Failed, 0, 2),
            (Cut(0), Grown, 3, 3),
        ] {
            let fs = new_fs(LIMIT);
            let (ino, _) = create(&fs, 1000, b"a").unwrap();
            let inode = fs.superblock.inode(ino).unwrap();
            let caller = user(1000, 0);
            let grow = |pages: u64| {
                let mut state = inode.state();
                let end = pages * PAGE_SIZE;
                fs.grow(&caller, &inode, &mut state, 0, end).unwrap()
            };
            let (one, other) = (grow(2), grow(3));
            assert_eq!(has(&fs, 1000), (3, 1));
            fs.end(ino, &mut inode.state(), one.change, first).unwrap();
            assert_eq!(has(&fs, 1000), (3, 1), "{first:?} while the other goes on");
            crate::data::truncate(&other.file, size * PAGE_SIZE).unwrap();
            fs.end(ino, &mut inode.state(), other.change, second)
                .unwrap();
            assert_eq!(has(&fs, 1000), (left, 1), "{first:?}, then {second:?}");
        }
    }

    #[test]
    fn a_refused_owner_changes_nothing() {
        let fs = new_fs(LIMIT);
        let (ino, _) = create(&fs, 1000, b"a").unwrap();
        write(&fs, &user(1000, 0), ino, 3 << 12).unwrap();
        let (other, _) = create(&fs, 1001, b"b").unwrap();
        write(&fs, &user(1001, 0), other, 2 << 12).unwrap();
        let set = SetAttr {
            uid: Some(1001),
            ..SetAttr::default()
        };
        let before = fs.getattr(ino).unwrap();
        let refused = fs.setattr(&user(0, 0), ino, set).map(drop);
        assert_eq!(refused, Err(Errno::EDQUOT));
        assert_eq!(fs.getattr(ino).unwrap(), before);
        assert_eq!((has(&fs, 1000), has(&fs, 1001)), ((3, 1), (2, 1)));
        let capable = user(0, 1 << CAP_SYS_RESOURCE);
        fs.setattr(&capable, ino, set).unwrap();
        assert_eq!((has(&fs, 1000), has(&fs, 1001)), ((0, 0), (5, 2)));
    }
}
