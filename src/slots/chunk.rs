//! Memory in arrays of words: shared by a mapping, or our own.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Weak;
use std::sync::atomic::AtomicU64;

use rustix::io;

use super::table::Shared;
use crate::sys::mapping::Mapping;

/// An inode's slot.
pub(super) type Words = [AtomicU64; 4];

/// Slots in a chunk.
pub(super) const SLOTS: usize = 2048;
/// Bytes of a chunk.
pub(super) const CHUNK: usize = SLOTS * size_of::<Words>();

/// Arrays of `N` words.
#[derive(Debug)]
pub(super) enum Memory<const N: usize> {
    Shared(Mapping),
    Own(Box<[[AtomicU64; N]]>),
}

impl<const N: usize> Memory<N> {
    pub(super) fn shared(file: impl AsFd, offset: usize, len: usize) -> io::Result<Memory<N>> {
        Mapping::new(file, offset as u64, len).map(Memory::Shared)
    }

    pub(super) fn own(count: usize) -> Memory<N> {
        let zero = || std::array::from_fn(|_| AtomicU64::new(0));
        Memory::Own(std::iter::repeat_with(zero).take(count).collect())
    }

    pub(super) fn all(&self) -> &[[AtomicU64; N]] {
        match self {
            Memory::Shared(mapping) => mapping.arrays(),
            Memory::Own(arrays) => arrays,
        }
    }
}

/// Some slots that stay where they are.
#[derive(Debug)]
pub(super) struct Chunk {
    memory: Memory<4>,
    pub(super) number: usize,
    pub(super) table: Weak<Shared>,
}

impl Chunk {
    /// The chunk `number` of `file`.
    pub(super) fn shared(
        file: BorrowedFd<'_>,
        number: usize,
        table: Weak<Shared>,
    ) -> io::Result<Chunk> {
        let memory = Memory::shared(file, place(number), CHUNK)?;
        Ok(Chunk {
            memory,
            number,
            table,
        })
    }

    /// One of our own memory.
    pub(super) fn own(number: usize, table: Weak<Shared>) -> Chunk {
        let memory = Memory::own(SLOTS);
        Chunk {
            memory,
            number,
            table,
        }
    }

    pub(super) fn words(&self) -> &[Words] {
        self.memory.all()
    }
}

/// Where a chunk is in the file: behind what does not grow, which is as long as one.
pub(super) fn place(number: usize) -> usize {
    CHUNK * (number + 1)
}
