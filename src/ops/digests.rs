//! The index of a view whose names are digests.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::store::Cookie;

/// From digests to the root's entries: 16 bytes for each, the digest itself is made again to compare.
#[derive(Debug, Default)]
pub(super) struct Digests {
    hasher: RandomState,
    table: HashTable<(u64, Cookie)>,
}

impl Digests {
    /// The places that a digest may be of.
    pub(super) fn at(&self, path: &[u8]) -> impl Iterator<Item = Cookie> {
        let hash = self.hasher.hash_one(path);
        let slots = self.table.iter_hash(hash);
        slots
            .filter(move |slot| slot.0 == hash)
            .map(|&(_, cookie)| cookie)
    }

    /// Adds a place.
    pub(super) fn insert(&mut self, path: &[u8], cookie: Cookie) {
        let hash = self.hasher.hash_one(path);
        self.table
            .insert_unique(hash, (hash, cookie), |slot| slot.0);
    }

    /// Takes the places of a digest away that are `gone`.
    pub(super) fn remove_if(&mut self, path: &[u8], gone: impl Fn(Cookie) -> bool) {
        let hash = self.hasher.hash_one(path);
        while let Ok(slot) = self
            .table
            .find_entry(hash, |slot| slot.0 == hash && gone(slot.1))
        {
            slot.remove();
        }
    }
}
