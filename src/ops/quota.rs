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
            if !self.reserves() && state.data.present {
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
                state.data.writer && !self.config.reserve && self.is_passthrough();
            users.force(state.uid, share_of(&state.data));
        }
        Ok(())
    }

    fn count_nobody(&self, tree: &Tree) {
        for inode in tree.all() {
            let mut state = inode.state();
            state.data.charged = false;
            state.data.uncounted = false;
            if !self.reserves() {
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
