//! Numbers for inodes that tell nothing: not how many there are, nor which came first.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::types::Ino;

/// Numbers below are the kernel's own (1 is the root of a FUSE connection) or ours for special nodes.
const FIRST: u64 = 1 << 32;
/// One bit less than 64, so that no program sees a negative number.
const HALF: u32 = 31;
const HALF_MASK: u64 = (1 << HALF) - 1;

/// A counter seen through a random permutation: numbers never come twice, and cannot be guessed.
///
/// The permutation is a Feistel network of four rounds over 62 bits, its round function a keyed hash.
#[derive(Debug)]
pub(super) struct Ids {
    key: RandomState,
    counter: AtomicU64,
    generations: AtomicU32,
}

impl Ids {
    pub(super) fn new() -> Ids {
        Ids {
            key: RandomState::new(),
            counter: AtomicU64::new(0),
            generations: AtomicU32::new(0),
        }
    }

    pub(super) fn next_ino(&self) -> Ino {
        loop {
            let number = self.permute(self.counter.fetch_add(1, Ordering::Relaxed));
            if number >= FIRST {
                return Ino(number);
            }
        }
    }

    /// Random, and never 0.
    pub(super) fn next_generation(&self) -> u32 {
        let count = self.generations.fetch_add(1, Ordering::Relaxed);
        (self.key.hash_one(("generation", count)) as u32).max(1)
    }

    fn permute(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number >> HALF & HALF_MASK, number & HALF_MASK);
        for round in 0..4u8 {
            (left, right) = (right, left ^ self.key.hash_one((round, right)) & HALF_MASK);
        }
        left << HALF | right
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn numbers_are_distinct_and_in_range() {
        let ids = Ids::new();
        let numbers: HashSet<u64> = (0..100_000).map(|_| ids.next_ino().0).collect();
        assert_eq!(numbers.len(), 100_000);
        assert!(
            numbers
                .iter()
                .all(|&number| (FIRST..1 << 62).contains(&number))
        );
    }

    #[test]
    fn neighbours_are_far_apart() {
        let ids = Ids::new();
        let numbers: Vec<u64> = (0..1000).map(|_| ids.next_ino().0).collect();
        assert!(
            numbers
                .windows(2)
                .filter(|pair| pair[0].abs_diff(pair[1]) < 1 << 40)
                .count()
                < 10
        );
    }

    #[test]
    fn generations_are_not_zero() {
        let ids = Ids::new();
        assert!((0..1000).all(|_| ids.next_generation() != 0));
    }
}
