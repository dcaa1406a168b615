//! Numbers for inodes that tell nothing: not how many there are, nor which came first.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use siphasher::sip::SipHasher13;

use crate::types::Ino;

/// Numbers below are the kernel's own (1 is the root of a FUSE connection) or ours for special nodes.
const FIRST: u64 = 1 << 32;
/// One bit less than 64, so that no program sees a negative number.
const HALF: u32 = 31;
const HALF_MASK: u64 = (1 << HALF) - 1;

/// How many numbers are set aside at once, so that a recorder hears of few of them.
const BLOCK: u64 = 1 << 16;

/// The first number that is none.
const END: u64 = 1 << (2 * HALF);

/// Whether an inode can have this number.
pub(super) fn is_number(Ino(number): Ino) -> bool {
    (FIRST..END).contains(&number)
}

/// Whether so many numbers can have been set aside.
pub(super) fn may_be_gone(numbers: u64) -> bool {
    numbers <= END
}

/// A counter seen through a random permutation: numbers never come twice, and cannot be guessed.
///
/// The permutation is a Feistel network of four rounds over 62 bits, its round function a keyed hash.
#[derive(Debug)]
pub(super) struct Ids {
    key: (u64, u64),
    hasher: SipHasher13,
    counter: AtomicU64,
    /// A recorder knows that the numbers below may have been given away.
    known: AtomicU64,
    extending: Mutex<()>,
}

impl Ids {
    pub(super) fn new() -> Ids {
        // The standard library keeps the only random numbers that cannot fail.
        let random = RandomState::new();
        Ids::restore((random.hash_one(0), random.hash_one(1)), 0)
    }

    /// Numbers after the first `numbers`.
    pub(super) fn restore(key: (u64, u64), numbers: u64) -> Ids {
        Ids {
            key,
            hasher: SipHasher13::new_with_keys(key.0, key.1),
            counter: AtomicU64::new(numbers),
            known: AtomicU64::new(numbers),
            extending: Mutex::new(()),
        }
    }

    /// A number, and a generation that is random and never 0. `tell` is told how far numbers may go before any
    /// of them is given away.
    pub(super) fn next(&self, tell: impl Fn((u64, u64), u64)) -> (Ino, u32) {
        loop {
            let count = self.counter.fetch_add(1, Ordering::Relaxed);
            if count >= self.known.load(Ordering::Acquire) {
                self.extend(count, &tell);
            }
            let number = self.permute(count);
            if number >= FIRST {
                let generation = self.hash(&(u8::MAX, count)) as u32;
                return (Ino(number), generation.max(1));
            }
        }
    }

    #[cold]
    fn extend(&self, count: u64, tell: impl Fn((u64, u64), u64)) {
        let _extending = self.extending.lock();
        let known = self.known.load(Ordering::Acquire);
        if count >= known {
            let known = count.saturating_add(BLOCK);
            tell(self.key, known);
            self.known.store(known, Ordering::Release);
        }
    }

    /// Hands what a recorder knows to `tell`, while it stays so.
    pub(super) fn tell<T>(&self, tell: impl FnOnce((u64, u64), u64) -> T) -> T {
        let _extending = self.extending.lock();
        tell(self.key, self.known.load(Ordering::Acquire))
    }

    fn hash(&self, of: &(u8, u64)) -> u64 {
        let mut hasher = self.hasher;
        hasher.write_u8(of.0);
        hasher.write_u64(of.1);
        hasher.finish()
    }

    fn permute(&self, number: u64) -> u64 {
        let (mut left, mut right) = (number >> HALF & HALF_MASK, number & HALF_MASK);
        for round in 0..4u8 {
            (left, right) = (right, left ^ self.hash(&(round, right)) & HALF_MASK);
        }
        left << HALF | right
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashSet;

    use super::*;

    fn nobody(_: (u64, u64), _: u64) {}

    #[test]
    fn numbers_are_distinct_and_in_range() {
        let ids = Ids::new();
        let numbers: HashSet<u64> = (0..100_000).map(|_| ids.next(nobody).0.0).collect();
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
        let numbers: Vec<u64> = (0..1000).map(|_| ids.next(nobody).0.0).collect();
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
        assert!((0..1000).all(|_| ids.next(nobody).1 != 0));
    }

    #[test]
    fn no_number_comes_again_after_a_recovery() {
        let told = Cell::new(((0, 0), 0));
        let tell = |key, numbers| told.set((key, numbers));
        let ids = Ids::new();
        let mut numbers: HashSet<Ino> = (0..BLOCK + 5).map(|_| ids.next(tell).0).collect();
        let (key, known) = told.get();
        let ids = Ids::restore(key, known);
        for _ in 0..1000 {
            assert!(numbers.insert(ids.next(tell).0));
        }
    }
}
