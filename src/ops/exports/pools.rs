//! Limits of exports and of what is a consumer's own: `size`, `nr_inodes`.
//!
//! They are within the file system's. What is written under one comes to us also with passthrough, to be counted.

use std::sync::Arc;

use super::gate::Zone;
use super::{Inside, Served};
use crate::data::PAGE_SIZE;
use crate::errno::Result;
use crate::export::Export;
use crate::ops::faces::{Dir, Face, Located};
use crate::ops::{Fs, Statfs};
use crate::store::change::TreeChange;
use crate::store::pools::Pool;
use crate::store::record::Answer;
use crate::store::{DataState, Share, Tree};

/// What labels the hidden directory that keeps a pool's number: this, the number, a colon, and whose it is.
const POOL: &str = "pool:";

fn limit_of(config: &Export) -> Option<Share> {
    (config.size.is_some() || config.nr_inodes.is_some()).then(|| Share {
        pages: config.size.map_or(0, |size| size / PAGE_SIZE),
        inodes: config.nr_inodes.unwrap_or(0),
    })
}

/// The number and the owner that a label tells of.
fn read_label(label: &str) -> Option<(u16, &str)> {
    let (number, owner) = label.strip_prefix(POOL)?.split_once(':')?;
    Some((number.parse().ok()?, owner))
}

impl Fs {
    /// The pool of `owner`, made where there is none; 0 where the export has no limits.
    pub(super) fn pool_of(&self, tree: &mut Tree, config: &Export, owner: &str) -> Result<u16> {
        let Some(limit) = limit_of(config) else {
            return Ok(0);
        };
        let found = self.pool_named(tree, owner);
        if found != 0 {
            return Ok(found);
        }
        let number = self.pools.add(Pool::new(limit))?;
        let label = format!("{POOL}{number}:{owner}");
        let made = self.hide(tree, self.root(), &label, (0, 0, 0));
        made.inspect_err(|_| self.pools.remove(number))?;
        Ok(number)
    }

    /// The pool of `owner`; 0 where there is none.
    pub(super) fn pool_named(&self, tree: &Tree, owner: &str) -> u16 {
        let mut labels = tree.all_hidden().filter_map(|(_, label)| read_label(label));
        let found = labels.find_map(|(number, of)| (of == owner).then_some(number));
        found.unwrap_or(0)
    }

    /// The owner of a pool is gone; what was published from it stays in it.
    pub(super) fn drop_pool(&self, tree: &mut Tree, number: u16) {
        if self.pools.get(number).is_none_or(|pool| !pool.is_empty()) {
            return;
        }
        self.pools.remove(number);
        let of_it = |(ino, label)| {
            let is_it = read_label(label).is_some_and(|(other, _)| other == number);
            is_it.then_some(ino)
        };
        let Some(ino) = tree.all_hidden().find_map(of_it) else {
            return;
        };
        let (change, now) = (TreeChange::Unhide { ino }, self.clock.now());
        let gone = self
            .superblock
            .commit(tree, change, now, Answer::Unfinished);
        if let Some(inode) = gone {
            self.evict(tree, &inode);
        }
    }

    /// Finds the pools again that the store's hidden directories are of, with all that is in them.
    pub(super) fn restore_pools(&self, tree: &Tree, limit: impl Fn(&str) -> Option<Arc<Export>>) {
        for (number, owner) in tree.all_hidden().filter_map(|(_, label)| read_label(label)) {
            let limit = limit(owner).and_then(|config| limit_of(&config));
            self.pools
                .restore(number, Pool::new(limit.unwrap_or_default()));
        }
        for inode in tree.all() {
            let state = inode.state();
            if let Some(pool) = self.pools.get(state.data.pool) {
                pool.force(Share {
                    pages: state.data.reserved,
                    inodes: 1,
                });
            }
        }
    }

    fn pool_at(&self, at: &Located<'_>) -> u16 {
        match &at.zone {
            Zone::Free => 0,
            Zone::Layer(id) | Zone::Scratch(id) => {
                let session = self.exports.session(*id);
                session.map_or(0, |session| session.pool)
            }
            Zone::Ruled(gate) => gate.served().pool(),
        }
    }

    /// Lets a new object belong to the pool of its place (`ENOSPC`).
    pub(in crate::ops) fn enter_pool(&self, at: &Located<'_>, data: &mut DataState) -> Result<()> {
        let number = self.pool_at(at);
        let Some(pool) = self.pools.get(number) else {
            return Ok(());
        };
        pool.take(Share {
            pages: data.reserved,
            inodes: 1,
        })?;
        data.pool = number;
        Ok(())
    }

    /// Limits and use as a directory shows them.
    pub fn statfs_of(&self, dir: Dir) -> Statfs {
        let whole = self.statfs();
        match self.pool_seen(dir) {
            Some(pool) => within(whole, &pool),
            None => whole,
        }
    }

    fn pool_seen(&self, dir: Dir) -> Option<Arc<Pool>> {
        let Face::Export(id) = dir.face else {
            return None;
        };
        let session = self.exports.session(id).ok()?;
        let tree = self.superblock.tree();
        let private = session.served.config().is_some_and(|config| config.private);
        let own = private || matches!(self.inside(&tree, &session, dir.ino), Ok(Inside::Layer));
        let number = if own {
            session.pool
        } else {
            session.served.pool()
        };
        self.pools.get(number)
    }
}

/// What a pool leaves of the whole.
fn within(whole: Statfs, pool: &Pool) -> Statfs {
    let (limit, free) = (pool.limit(), pool.free());
    let either = |limit: u64, free: u64, (all, left): (u64, u64)| match limit {
        0 => (all, left),
        limit if all == 0 => (limit, free),
        limit => (limit, free.min(left)),
    };
    let (blocks, blocks_free) = either(limit.pages, free.pages, (whole.blocks, whole.blocks_free));
    let (files, files_free) = either(limit.inodes, free.inodes, (whole.files, whole.files_free));
    Statfs {
        blocks,
        blocks_free,
        files,
        files_free,
    }
}

impl Served {
    fn pool(&self) -> u16 {
        self.pool.load(std::sync::atomic::Ordering::Acquire)
    }
}
