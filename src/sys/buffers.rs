//! The buffers that requests are read into, and why they need care.
//!
//! The kernel copies a request into the buffer of the thread that reads it. A page that was never
//! touched is allocated meanwhile, and where the process is killed at that moment the allocation
//! fails: the request then ends with EIO instead of waiting for the next worker (fuse_dev_do_read()
//! in fs/fuse/dev.c). So the part that requests use is touched before the first one, and locked where
//! RLIMIT_MEMLOCK lets us. fuser makes the buffers itself: only the allocator sees them.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// Zeroed memory of at least this size is such a buffer: fuser's have 16 MiB.
const BUFFER: usize = 16 << 20;
/// Requests are never longer: a write of 1 MiB (`MAX_WRITE`) and its headers.
const USED: usize = (1 << 20) + (8 << 10);
const PAGE: usize = 4096;

thread_local! {
    static PLAIN: Cell<bool> = const { Cell::new(false) };
}

/// Does something that allocates a buffer into which no request will be read.
pub fn unprepared<T>(work: impl FnOnce() -> T) -> T {
    let before = PLAIN.replace(true);
    let result = work();
    PLAIN.set(before);
    result
}

/// The system's allocator; buffers for requests come from it touched and locked.
#[derive(Debug)]
pub struct Allocator;

// SAFETY: everything is the system's allocator's, whose contract this is; what is done besides writes
// zeros into memory that is zeroed and ours.
unsafe impl GlobalAlloc for Allocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        let memory = unsafe { System.alloc_zeroed(layout) };
        if layout.size() >= BUFFER && !memory.is_null() && !PLAIN.get() {
            // SAFETY: the allocation is at least as long as what is touched.
            unsafe { prepare(memory) };
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        if layout.size() >= BUFFER {
            // SAFETY: the range is ours; the system may keep it, but needs it locked no longer.
            unsafe { libc::munlock(memory.cast(), USED) };
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

/// # Safety
///
/// `memory` is `USED` bytes of zeros that nobody else has yet.
unsafe fn prepare(memory: *mut u8) {
    // This brings all pages in at once, which takes less time than as many faults.
    // SAFETY: the range is ours.
    if unsafe { libc::mlock(memory.cast(), USED) } == 0 {
        return;
    }
    // Where it is refused the pages are there all the same, until memory gets short.
    for offset in (0..USED).step_by(PAGE) {
        // SAFETY: within the range, by the caller's promise; volatile, so that it is not left out.
        unsafe { memory.add(offset).write_volatile(0) };
    }
}
