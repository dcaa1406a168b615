//! Just enough of io_uring to open and to write.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::proc::{Map, mmap};
use crate::sys;

/// `struct io_uring_params`.
#[repr(C)]
#[derive(Default)]
struct Params {
    sq_entries: u32,
    cq_entries: u32,
    flags: u32,
    sq_thread_cpu: u32,
    sq_thread_idle: u32,
    features: u32,
    wq_fd: u32,
    resv: [u32; 3],
    sq_off: [u32; 10],
    cq_off: [u32; 10],
}

const SINGLE_MMAP: u32 = 1;
const OFF_SQES: i64 = 0x1000_0000;
const OP_OPENAT: u8 = 18;
const OP_WRITE: u8 = 23;
const GETEVENTS: u32 = 1;

/// A ring of one entry at a time.
pub(super) struct Ring {
    descriptor: OwnedFd,
    rings: Map,
    entries: Map,
    params: Params,
}

impl Ring {
    /// `None` where the host allows no rings.
    pub(super) fn new() -> Option<Ring> {
        let mut params = Params::default();
        let made = crate::syscall!(libc::SYS_io_uring_setup, 4, &raw mut params);
        let descriptor = sys::owned(made.ok()? as i32).ok()?;
        assert!(params.features & SINGLE_MMAP != 0, "an old io_uring");
        let (sq, cq) = (&params.sq_off, &params.cq_off);
        let submissions = sq[6] as usize + params.sq_entries as usize * 4;
        let completions = cq[5] as usize + params.cq_entries as usize * 16;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let map = |length, at| mmap(&descriptor, length, both, libc::MAP_SHARED, at);
        let rings = map(submissions.max(completions), 0).expect("map the rings");
        let entries = map(params.sq_entries as usize * 64, OFF_SQES).expect("map the entries");
        Some(Ring {
            descriptor,
            rings,
            entries,
            params,
        })
    }

    fn word(&self, at: u32) -> u32 {
        u32::from_ne_bytes(self.rings.copy(at as usize, 4).try_into().unwrap())
    }

    fn set_word(&self, at: u32, value: u32) {
        self.rings.fill(at as usize, &value.to_ne_bytes());
    }

    /// Submits one entry and waits for its result.
    fn submit(&mut self, entry: &[u8; 64]) -> i32 {
        let (tail_at, mask_at, array) = (
            self.params.sq_off[1],
            self.params.sq_off[2],
            self.params.sq_off[6],
        );
        let tail = self.word(tail_at);
        let index = tail & self.word(mask_at);
        self.entries.fill(index as usize * 64, entry);
        self.set_word(array + index * 4, index);
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.set_word(tail_at, tail.wrapping_add(1));
        let (fd, null) = (self.descriptor.as_raw_fd(), std::ptr::null::<u8>());
        let entered = crate::syscall!(libc::SYS_io_uring_enter, fd, 1, 1, GETEVENTS, null, 0);
        assert_eq!(entered, Ok(1), "io_uring_enter");
        let (head_at, mask_at, cqes) = (
            self.params.cq_off[0],
            self.params.cq_off[2],
            self.params.cq_off[5],
        );
        let head = self.word(head_at);
        let result = self.word(cqes + (head & self.word(mask_at)) * 16 + 8);
        self.set_word(head_at, head.wrapping_add(1));
        result as i32
    }

    /// A negative errno, or a descriptor.
    pub(super) fn open(&mut self, path: &Path, flags: i32) -> i32 {
        let path = sys::c(path);
        let mut entry = [0u8; 64];
        entry[0] = OP_OPENAT;
        entry[4..8].copy_from_slice(&libc::AT_FDCWD.to_ne_bytes());
        entry[16..24].copy_from_slice(&(path.as_ptr() as u64).to_ne_bytes());
        entry[28..32].copy_from_slice(&flags.to_ne_bytes());
        self.submit(&entry)
    }

    /// A negative errno, or how many bytes were written.
    pub(super) fn write(&mut self, descriptor: i32, data: &[u8]) -> i32 {
        let mut entry = [0u8; 64];
        entry[0] = OP_WRITE;
        entry[4..8].copy_from_slice(&descriptor.to_ne_bytes());
        entry[16..24].copy_from_slice(&(data.as_ptr() as u64).to_ne_bytes());
        entry[24..28].copy_from_slice(&(data.len() as u32).to_ne_bytes());
        self.submit(&entry)
    }
}
