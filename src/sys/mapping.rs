//! A part of a file in our memory, shared with all who have it mapped, the process after us included.

use std::os::fd::AsFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, AtomicU64};

use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// The bytes of a file from an offset on.
///
/// The file must be as long as the mapping as long as it lasts: a page behind its end is SIGBUS.
#[derive(Debug)]
pub struct Mapping {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the memory belongs to the mapping alone and is reached through its methods, of which those that
// take `&self` only hand out atomics.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// Maps `len` bytes of `file` from `offset`, a multiple of the page size.
    pub fn new(file: impl AsFd, offset: u64, len: usize) -> io::Result<Mapping> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses the place, so nothing that is in use is replaced.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                len,
                protection,
                MapFlags::SHARED,
                file,
                offset,
            )
        }?;
        let base = NonNull::new(base.cast()).ok_or(io::Errno::NOMEM)?;
        Ok(Mapping { base, len })
    }

    /// How many bytes it has.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has none, which no mapping can be.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All of it as arrays of `N` words; what is left of them at the end is left out.
    pub fn arrays<const N: usize>(&self) -> &[[AtomicU64; N]] {
        let count = self.len / size_of::<[AtomicU64; N]>();
        // SAFETY: within the mapping and aligned to a page; any bits are a number, and atomics may be changed by
        // whoever shares the memory. It lives as long as `self`, and `&mut self` excludes it.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().cast(), count) }
    }

    /// Copies `bytes` to the place `at`; what does not fit is left out and said so.
    #[must_use]
    pub fn write(&mut self, at: usize, bytes: &[u8]) -> bool {
        let fits = at
            .checked_add(bytes.len())
            .is_some_and(|end| end <= self.len);
        if fits {
            // SAFETY: the target lies within the mapping, and `&mut self` says that nobody of us uses it.
            unsafe {
                std::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    self.base.as_ptr().add(at),
                    bytes.len(),
                );
            }
        }
        fits
    }

    /// Zeroes all from the place `at` on.
    pub fn clear_from(&mut self, at: usize) {
        if at < self.len {
            // SAFETY: from `at` to the end is within the mapping, and `&mut self` as in `write`.
            unsafe { std::ptr::write_bytes(self.base.as_ptr().add(at), 0, self.len - at) };
        }
    }

    /// The four bytes at `at`, a multiple of four.
    pub fn word32(&self, at: usize) -> Option<&AtomicU32> {
        let place = self.aligned::<AtomicU32>(at)?;
        // SAFETY: within the mapping, aligned, and any bits are a number; it lives as long as `self`.
        Some(unsafe { place.as_ref() })
    }

    /// The eight bytes at `at`, a multiple of eight.
    pub fn word64(&self, at: usize) -> Option<&AtomicU64> {
        let place = self.aligned::<AtomicU64>(at)?;
        // SAFETY: as for `word32`.
        Some(unsafe { place.as_ref() })
    }

    fn aligned<T>(&self, at: usize) -> Option<NonNull<T>> {
        let size = size_of::<T>();
        let fits = at.checked_add(size).is_some_and(|end| end <= self.len);
        // SAFETY: `at` is within the mapping.
        (fits && at % size == 0).then(|| unsafe { self.base.add(at) }.cast())
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: made by `mmap` with this length, and nothing borrowed from it is left.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len) };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering;

    use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

    use super::*;

    #[test]
    fn two_mappings_are_one_memory() {
        let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
        ftruncate(&file, 8192).unwrap();
        let mut one = Mapping::new(&file, 4096, 4096).unwrap();
        let other = Mapping::new(&file, 4096, 4096).unwrap();
        assert!(one.write(8, &7u64.to_ne_bytes()));
        assert_eq!(other.word64(8).unwrap().load(Ordering::Relaxed), 7);
        one.clear_from(8);
        assert_eq!(other.word32(8).unwrap().load(Ordering::Relaxed), 0);
        assert!(!one.write(4090, &[0; 7]));
        assert!(other.word64(4).is_none() && other.word64(4096).is_none());
    }
}
