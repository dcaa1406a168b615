//! Inodes that are read and not made yet.

use super::acl::Acls;
use super::record::InodeImage;
use super::xattr::Xattrs;
use crate::types::{Ino, InoMap};

/// An inode and what is its own. The parts may come in any order.
#[derive(Debug, Default)]
pub(super) struct Parts {
    pub(super) image: Option<InodeImage>,
    pub(super) target: Option<Box<[u8]>>,
    pub(super) xattrs: Xattrs,
    pub(super) acls: Acls,
    pub(super) directory: Option<(Ino, Option<Box<str>>)>,
}

/// All of them, in one piece of memory that goes back to the system while they become inodes.
///
/// Each in memory of its own would leave as many holes, too small for inodes, between what stays.
#[derive(Debug, Default)]
pub(super) struct Table {
    parts: Vec<(Ino, Parts)>,
    places: InoMap<u32>,
}

/// So many are made before memory is given back.
const AT_ONCE: usize = 1024;

impl Table {
    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    pub(super) fn get(&self, ino: Ino) -> Option<&Parts> {
        let &place = self.places.get(&ino)?;
        self.parts.get(place as usize).map(|(_, parts)| parts)
    }

    /// The parts of an inode, none at first.
    pub(super) fn entry(&mut self, ino: Ino) -> &mut Parts {
        let Table { parts, places } = self;
        let place = *places.entry(ino).or_insert(parts.len() as u32);
        if place as usize == parts.len() {
            parts.push((ino, Parts::default()));
        }
        &mut parts[place as usize].1
    }

    pub(super) fn remove(&mut self, ino: Ino) {
        let Some(place) = self.places.remove(&ino) else {
            return;
        };
        self.parts.swap_remove(place as usize);
        if let Some((moved, _)) = self.parts.get(place as usize) {
            self.places.insert(*moved, place);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Ino, &Parts)> {
        self.parts.iter().map(|(ino, parts)| (*ino, parts))
    }

    pub(super) fn drain(self) -> impl Iterator<Item = (Ino, Parts)> {
        let mut parts = self.parts;
        std::iter::from_fn(move || {
            let next = parts.pop()?;
            if parts.len() % AT_ONCE == 0 {
                parts.shrink_to_fit();
            }
            Some(next)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_is_removed_is_gone_and_the_others_stay() {
        let mut table = Table::default();
        for number in 0..5000 {
            table.entry(Ino(number)).directory = Some((Ino(number + 1), None));
        }
        for number in (0..5000).step_by(3) {
            table.remove(Ino(number));
            table.remove(Ino(number));
        }
        let parent = |parts: &Parts| parts.directory.as_ref().map(|it| it.0);
        for number in 0..5001 {
            let found = table.get(Ino(number)).and_then(parent);
            let is_there = number < 5000 && number % 3 != 0;
            assert_eq!(found, is_there.then_some(Ino(number + 1)));
        }
        assert_eq!(table.len(), 3333);
        let mut seen: Vec<u64> = table
            .drain()
            .map(|(ino, parts)| {
                assert_eq!(parent(&parts), Some(Ino(ino.0 + 1)));
                ino.0
            })
            .collect();
        seen.sort_unstable();
        assert!(seen.into_iter().eq((0..5000).filter(|it| it % 3 != 0)));
    }
}
