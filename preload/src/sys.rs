//! The only place with unsafe code: C in, C out, and the few calls that rustix does not have.

mod descriptors;
#[cfg(not(test))]
mod exports;
mod lock;
mod next;
pub(crate) mod semaphore;

use std::os::fd::BorrowedFd;

/// A descriptor that the program gave; `None` for one that cannot be.
pub(crate) fn borrowed(fd: i32) -> Option<BorrowedFd<'static>> {
    if fd < 0 {
        return None;
    }
    // SAFETY: the number is not -1; it is used only for the length of the call that got it, and where
    // it is not open the kernel says EBADF.
    Some(unsafe { BorrowedFd::borrow_raw(fd) })
}

/// Bytes to standard error, in one write; what cannot be written is lost.
pub(crate) fn print(bytes: &[u8]) {
    if let Some(stderr) = borrowed(libc::STDERR_FILENO) {
        let _ = rustix::io::write(stderr, bytes);
    }
}

/// As some protocols do between tries. No point of cancellation, as the C library's sleep is.
pub(crate) fn wait_a_second() {
    let mut left = rustix::thread::Timespec {
        tv_sec: 1,
        tv_nsec: 0,
    };
    while let rustix::thread::NanosleepRelativeResult::Interrupted(rest) =
        rustix::thread::nanosleep(&left)
    {
        left = rest;
    }
}

/// The wall clock, for names that nobody else has chosen.
pub(crate) fn nanoseconds() -> u64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos() as u64)
}

/// The size of a page.
pub(crate) fn page_size() -> u64 {
    // SAFETY: sysconf has no conditions.
    let size = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(size).unwrap_or(4096)
}
