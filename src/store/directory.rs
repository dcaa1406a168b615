//! A directory: names, and an order for streams that stays right while names come and go.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use super::keep::Mark;
use crate::types::Ino;

/// A position in a directory stream.
///
/// Each entry has one as long as it has its place; they are never used twice. Streams run from the
/// highest to the lowest, as tmpfs's do: what is created while one reads is not met, so that a stream
/// always ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Cookie(pub u64);

impl Cookie {
    /// Below all cookies of entries are those of `.` and `..`, and the end of the stream.
    pub const FIRST: Cookie = Cookie(3);
}

/// One name.
#[derive(Debug)]
pub struct Dentry {
    /// The name's bytes.
    pub name: Box<[u8]>,
    /// The inode behind it.
    pub ino: Ino,
    /// When it was last recorded again.
    pub(super) kept: Mark,
}

impl Dentry {
    fn new(name: Box<[u8]>, ino: Ino) -> Dentry {
        let kept = Mark::default();
        Dentry { name, ino, kept }
    }
}

/// An index of this size is not worth shrinking.
const SMALL_INDEX: usize = 4096;

#[derive(Clone, Copy, Debug)]
struct Slot {
    hash: u64,
    cookie: Cookie,
}

/// The names of one directory.
#[derive(Debug)]
pub struct Directory {
    /// The directory above; the root's is the root.
    pub parent: Ino,
    /// It has no name: it holds what a view of the directory above shows besides, or what is one consumer's own,
    /// and this label says whose it is.
    pub hidden: Option<Box<str>>,
    /// Where it stands in the directory above, if it has a name.
    pub(super) place: Cookie,
    entries: BTreeMap<Cookie, Dentry>,
    index: HashTable<Slot>,
    next: Cookie,
}

impl Directory {
    pub(super) fn new(parent: Ino) -> Directory {
        Directory {
            parent,
            hidden: None,
            place: Cookie(0),
            entries: BTreeMap::new(),
            index: HashTable::new(),
            next: Cookie::FIRST,
        }
    }

    /// How many names.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// The name and the inode at a position of a stream.
    pub fn at(&self, cookie: Cookie) -> Option<&Dentry> {
        self.entries.get(&cookie)
    }

    /// Whether only `.` and `..` are left.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn find(&self, hasher: &RandomState, name: &[u8]) -> Option<(Cookie, Ino)> {
        let hash = hasher.hash_one(name);
        let slot = self.index.find(hash, |slot| {
            slot.hash == hash && self.is_at(slot.cookie, name)
        })?;
        self.entries
            .get(&slot.cookie)
            .map(|dentry| (slot.cookie, dentry.ino))
    }

    /// The place that the next name gets.
    pub(super) fn next(&self) -> Cookie {
        self.next
    }

    /// Fills an empty directory with names at their places.
    pub(super) fn restore(
        &mut self,
        hasher: &RandomState,
        next: Cookie,
        entries: BTreeMap<Cookie, (Box<[u8]>, Ino)>,
    ) {
        self.next = next;
        self.index.reserve(entries.len(), |slot| slot.hash);
        for (&cookie, (name, _)) in &entries {
            let hash = hasher.hash_one(&**name);
            self.index
                .insert_unique(hash, Slot { hash, cookie }, |slot| slot.hash);
        }
        let entries = entries.into_iter();
        self.entries = entries
            .map(|(cookie, (name, ino))| (cookie, Dentry::new(name, ino)))
            .collect();
    }

    /// Adds a name that is not there yet; returns its place.
    pub(super) fn insert(&mut self, hasher: &RandomState, name: &[u8], ino: Ino) -> Cookie {
        let cookie = self.next;
        self.next = Cookie(cookie.0 + 1);
        let hash = hasher.hash_one(name);
        self.index
            .insert_unique(hash, Slot { hash, cookie }, |slot| slot.hash);
        self.entries.insert(cookie, Dentry::new(name.into(), ino));
        cookie
    }

    /// Takes a name away and returns its place, and what it named.
    pub(super) fn remove(&mut self, hasher: &RandomState, name: &[u8]) -> Option<(Cookie, Ino)> {
        let (cookie, _) = self.find(hasher, name)?;
        let hash = hasher.hash_one(name);
        if let Ok(slot) = self.index.find_entry(hash, |slot| slot.cookie == cookie) {
            slot.remove();
        }
        if self.index.capacity() > SMALL_INDEX && self.index.len() < self.index.capacity() / 8 {
            self.index.shrink_to(self.index.len() * 2, |slot| slot.hash);
        }
        let dentry = self.entries.remove(&cookie)?;
        Some((cookie, dentry.ino))
    }

    /// The entries that follow `after` in a stream; all of them after `None`.
    pub fn stream(&self, after: Option<Cookie>) -> impl Iterator<Item = (Cookie, &Dentry)> {
        let end = after.unwrap_or(Cookie(u64::MAX));
        self.entries
            .range(..end)
            .rev()
            .map(|(&cookie, dentry)| (cookie, dentry))
    }

    /// The entries in the order in which they got their places.
    pub fn oldest_first(&self) -> impl Iterator<Item = (Cookie, &Dentry)> {
        let entries = self.entries.iter();
        entries.map(|(&cookie, dentry)| (cookie, dentry))
    }

    fn is_at(&self, cookie: Cookie, name: &[u8]) -> bool {
        self.entries
            .get(&cookie)
            .is_some_and(|dentry| *dentry.name == *name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(directory: &Directory, after: Option<Cookie>) -> Vec<&[u8]> {
        directory
            .stream(after)
            .map(|(_, dentry)| dentry.name.as_ref())
            .collect()
    }

    #[test]
    fn streams_run_from_the_newest() {
        let hasher = RandomState::new();
        let mut directory = Directory::new(Ino(1));
        for (name, ino) in [(b"a", 10), (b"b", 11), (b"c", 12)] {
            directory.insert(&hasher, name, Ino(ino));
        }
        assert_eq!(names(&directory, None), [b"c", b"b", b"a"]);
        let (cookie, _) = directory.stream(None).next().unwrap();
        assert_eq!(directory.remove(&hasher, b"b").unwrap().1, Ino(11));
        directory.insert(&hasher, b"d", Ino(13));
        assert_eq!(names(&directory, Some(cookie)), [b"a"]);
        assert_eq!(names(&directory, None), [b"d", b"c", b"a"]);
    }

    #[test]
    fn finds_and_removes() {
        let hasher = RandomState::new();
        let mut directory = Directory::new(Ino(1));
        for number in 0..1000u64 {
            directory.insert(&hasher, &number.to_le_bytes(), Ino(number));
        }
        for number in (0..1000u64).step_by(2) {
            let removed = directory.remove(&hasher, &number.to_le_bytes());
            assert_eq!(removed.unwrap().1, Ino(number));
        }
        assert_eq!(directory.len(), 500);
        assert_eq!(directory.find(&hasher, &2u64.to_le_bytes()), None);
        assert_eq!(
            directory.find(&hasher, &3u64.to_le_bytes()).unwrap().1,
            Ino(3)
        );
        assert_eq!(directory.remove(&hasher, b"none"), None);
    }
}
