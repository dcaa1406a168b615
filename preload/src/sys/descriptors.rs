//! read, write, lseek, ftruncate, mmap and fstat, for the platforms whose descriptors of shared memory
//! are less than a file's.
//!
//! Each goes straight to the host's function as long as no such object was opened. They are called in
//! signal handlers, so that nothing here locks or allocates. They are points of cancellation, which
//! unwinds: they are "C-unwind", and no frame here has anything to drop.

use std::ffi::{c_int, c_void};

use super::next::{Next, function};
use crate::errno::Errno;
use crate::object::{self, Access, Truncation};

type Bytes = *mut c_void;
type ConstBytes = *const c_void;
type Vectors = *const libc::iovec;

macro_rules! hosts {
    ($($static:ident = $name:literal;)*) => {
        $(static $static: Next = Next::new($name);)*

        /// Looks for the host's functions.
        pub(super) fn find_hosts() {
            $($static.find();)*
        }
    };
}

hosts! {
    READ = c"read";
    READ_CHK = c"__read_chk";
    WRITE = c"write";
    PREAD = c"pread";
    PREAD64 = c"pread64";
    PREAD_CHK = c"__pread_chk";
    PREAD64_CHK = c"__pread64_chk";
    PWRITE = c"pwrite";
    PWRITE64 = c"pwrite64";
    READV = c"readv";
    WRITEV = c"writev";
    PREADV = c"preadv";
    PREADV64 = c"preadv64";
    PWRITEV = c"pwritev";
    PWRITEV64 = c"pwritev64";
    LSEEK = c"lseek";
    LSEEK64 = c"lseek64";
    FTRUNCATE = c"ftruncate";
    FTRUNCATE64 = c"ftruncate64";
    MMAP = c"mmap";
    MMAP64 = c"mmap64";
    FSTAT = c"fstat";
    FSTAT64 = c"fstat64";
    FXSTAT = c"__fxstat";
    FXSTAT64 = c"__fxstat64";
}

/// The host's function; the system call where it was not found, or not yet, because somebody else's
/// constructor runs before ours. syscall(2) reads whole registers: an int must be made long.
macro_rules! host {
    ($next:expr, ($($type:ty),*) -> $result:ty, ($($argument:expr),*), $number:ident($($raw:expr),*)) => {{
        type Host = unsafe extern "C-unwind" fn($($type),*) -> $result;
        match function!($next.address(), Host) {
            // SAFETY: our caller's arguments, or fewer bytes of the same array.
            Some(host) => unsafe { host($($argument),*) },
            // SAFETY: the system call behind the function, with its arguments.
            None => unsafe { libc::syscall(libc::$number, $($raw as libc::c_long),*) as $result },
        }
    }};
}

/// Exports functions of one form, which differ in the host's function behind them.
macro_rules! export {
    ($first:ident = $next:ident, $($rest:tt)*) => {
        export!(@both $first = $next, $($rest)*);
    };
    (@both $one:ident = $one_next:ident, $two:ident = $two_next:ident: $($form:tt)*) => {
        export!($one = $one_next: $($form)*);
        export!($two = $two_next: $($form)*);
    };
    ($name:ident = $next:ident: $body:ident($($argument:ident: $type:ty),*) -> $result:ty) => {
        /// The function of this name in C.
        ///
        /// # Safety
        /// As in C.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub(crate) unsafe extern "C-unwind" fn $name($($argument: $type),*) -> $result {
            // SAFETY: our caller's word.
            unsafe { $body(&$next, $($argument),*) }
        }
    };
}

export!(read = READ: read_by(fd: c_int, bytes: Bytes, count: usize) -> isize);
export!(__read_chk = READ_CHK: read_chk_by(fd: c_int, bytes: Bytes, count: usize, room: usize) -> isize);
export!(write = WRITE: write_by(fd: c_int, bytes: ConstBytes, count: usize) -> isize);
export!(pread = PREAD, pread64 = PREAD64: pread_by(fd: c_int, bytes: Bytes, count: usize, offset: i64) -> isize);
export!(__pread_chk = PREAD_CHK, __pread64_chk = PREAD64_CHK: pread_chk_by(fd: c_int, bytes: Bytes, count: usize, offset: i64, room: usize) -> isize);
export!(pwrite = PWRITE, pwrite64 = PWRITE64: pwrite_by(fd: c_int, bytes: ConstBytes, count: usize, offset: i64) -> isize);
export!(readv = READV: readv_by(fd: c_int, vectors: Vectors, count: c_int) -> isize);
export!(writev = WRITEV: writev_by(fd: c_int, vectors: Vectors, count: c_int) -> isize);
export!(preadv = PREADV, preadv64 = PREADV64: preadv_by(fd: c_int, vectors: Vectors, count: c_int, offset: i64) -> isize);
export!(pwritev = PWRITEV, pwritev64 = PWRITEV64: pwritev_by(fd: c_int, vectors: Vectors, count: c_int, offset: i64) -> isize);
export!(lseek = LSEEK, lseek64 = LSEEK64: lseek_by(fd: c_int, offset: i64, whence: c_int) -> i64);
export!(ftruncate = FTRUNCATE, ftruncate64 = FTRUNCATE64: ftruncate_by(fd: c_int, length: i64) -> c_int);
export!(mmap = MMAP, mmap64 = MMAP64: mmap_by(address: Bytes, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> Bytes);
export!(fstat = FSTAT, fstat64 = FSTAT64: fstat_by(fd: c_int, stat: *mut libc::stat) -> c_int);
export!(__fxstat = FXSTAT, __fxstat64 = FXSTAT64: fxstat_by(version: c_int, fd: c_int, stat: *mut libc::stat) -> c_int);

fn fail<T>(errno: Errno, failed: T) -> T {
    // SAFETY: the address of this thread's errno is always good.
    unsafe { *libc::__errno_location() = errno.raw() };
    failed
}

unsafe fn read_by(next: &Next, fd: c_int, bytes: Bytes, count: usize) -> isize {
    if let Some(errno) = object::refuse(fd, Access::Read) {
        return fail(errno, -1);
    }
    host!(next, (c_int, Bytes, usize) -> isize, (fd, bytes, count), SYS_read(fd, bytes, count))
}

unsafe fn read_chk_by(next: &Next, fd: c_int, bytes: Bytes, count: usize, room: usize) -> isize {
    if let Some(errno) = object::refuse(fd, Access::Read) {
        return fail(errno, -1);
    }
    host!(next, (c_int, Bytes, usize, usize) -> isize, (fd, bytes, count, room),
        SYS_read(fd, bytes, count))
}

unsafe fn write_by(next: &Next, fd: c_int, bytes: ConstBytes, count: usize) -> isize {
    if let Some(errno) = object::refuse(fd, Access::Write) {
        return fail(errno, -1);
    }
    let count = object::writable(fd, None, count);
    host!(next, (c_int, ConstBytes, usize) -> isize, (fd, bytes, count), SYS_write(fd, bytes, count))
}

unsafe fn pread_by(next: &Next, fd: c_int, bytes: Bytes, count: usize, offset: i64) -> isize {
    if let Some(errno) = object::refuse(fd, Access::At) {
        return fail(errno, -1);
    }
    host!(next, (c_int, Bytes, usize, i64) -> isize, (fd, bytes, count, offset),
        SYS_pread64(fd, bytes, count, offset))
}

unsafe fn pread_chk_by(
    next: &Next,
    fd: c_int,
    bytes: Bytes,
    count: usize,
    offset: i64,
    room: usize,
) -> isize {
    if let Some(errno) = object::refuse(fd, Access::At) {
        return fail(errno, -1);
    }
    host!(next, (c_int, Bytes, usize, i64, usize) -> isize, (fd, bytes, count, offset, room),
        SYS_pread64(fd, bytes, count, offset))
}

unsafe fn pwrite_by(next: &Next, fd: c_int, bytes: ConstBytes, count: usize, offset: i64) -> isize {
    if let Some(errno) = object::refuse(fd, Access::At) {
        return fail(errno, -1);
    }
    let count = object::writable(fd, Some(offset), count);
    host!(next, (c_int, ConstBytes, usize, i64) -> isize, (fd, bytes, count, offset),
        SYS_pwrite64(fd, bytes, count, offset))
}

unsafe fn readv_by(next: &Next, fd: c_int, vectors: Vectors, count: c_int) -> isize {
    if let Some(errno) = object::refuse(fd, Access::Read) {
        return fail(errno, -1);
    }
    host!(next, (c_int, Vectors, c_int) -> isize, (fd, vectors, count), SYS_readv(fd, vectors, count))
}

unsafe fn writev_by(next: &Next, fd: c_int, vectors: Vectors, count: c_int) -> isize {
    if let Some(errno) = object::refuse(fd, Access::Write) {
        return fail(errno, -1);
    }
    // SAFETY: our caller's word.
    if let Some(first) = unsafe { too_much(fd, None, vectors, count) } {
        // SAFETY: as above: the first vector's bytes.
        return unsafe { write_by(&WRITE, fd, first.iov_base, first.iov_len) };
    }
    host!(next, (c_int, Vectors, c_int) -> isize, (fd, vectors, count), SYS_writev(fd, vectors, count))
}

unsafe fn preadv_by(next: &Next, fd: c_int, vectors: Vectors, count: c_int, offset: i64) -> isize {
    if let Some(errno) = object::refuse(fd, Access::At) {
        return fail(errno, -1);
    }
    host!(next, (c_int, Vectors, c_int, i64) -> isize, (fd, vectors, count, offset),
        SYS_preadv(fd, vectors, count, offset, 0))
}

unsafe fn pwritev_by(next: &Next, fd: c_int, vectors: Vectors, count: c_int, offset: i64) -> isize {
    if let Some(errno) = object::refuse(fd, Access::At) {
        return fail(errno, -1);
    }
    // SAFETY: our caller's word.
    if let Some(first) = unsafe { too_much(fd, Some(offset), vectors, count) } {
        // SAFETY: as above: the first vector's bytes.
        return unsafe { pwrite_by(&PWRITE, fd, first.iov_base, first.iov_len, offset) };
    }
    host!(next, (c_int, Vectors, c_int, i64) -> isize, (fd, vectors, count, offset),
        SYS_pwritev(fd, vectors, count, offset, 0))
}

/// The first vector that has bytes, where all of them together are more than may be written: then it
/// alone is, which any write may do.
///
/// # Safety
/// `vectors` has `count` elements.
unsafe fn too_much(
    fd: c_int,
    offset: Option<i64>,
    vectors: Vectors,
    count: c_int,
) -> Option<libc::iovec> {
    let all = usize::MAX >> 1;
    let left = object::writable(fd, offset, all);
    let count = usize::try_from(count).ok().filter(|&count| count > 0)?;
    if left == all {
        return None;
    }
    // SAFETY: the caller's word.
    let vectors = unsafe { std::slice::from_raw_parts(vectors, count) };
    let total = vectors
        .iter()
        .fold(0_usize, |sum, vector| sum.saturating_add(vector.iov_len));
    if total <= left {
        return None;
    }
    vectors.iter().find(|vector| vector.iov_len > 0).copied()
}

unsafe fn lseek_by(next: &Next, fd: c_int, offset: i64, whence: c_int) -> i64 {
    if let Some(errno) = object::refuse(fd, Access::Seek) {
        return fail(errno, -1);
    }
    host!(next, (c_int, i64, c_int) -> i64, (fd, offset, whence), SYS_lseek(fd, offset, whence))
}

unsafe fn ftruncate_by(next: &Next, fd: c_int, length: i64) -> c_int {
    let done = match object::truncation(fd, length) {
        Truncation::Refused(errno) => return fail(errno, -1),
        Truncation::Host(length) => {
            host!(next, (c_int, i64) -> c_int, (fd, length), SYS_ftruncate(fd, length))
        }
        Truncation::Reopened(length) => truncate_by_path(fd, length),
    };
    if done != 0 {
        object::truncation_failed(fd);
    }
    done
}

/// ftruncate of what the descriptor may not write: by its path in /proc.
fn truncate_by_path(fd: c_int, length: i64) -> c_int {
    const DIRECTORY: &[u8] = b"/proc/self/fd/";
    let mut path = [0_u8; 32];
    path[..DIRECTORY.len()].copy_from_slice(DIRECTORY);
    let mut at = DIRECTORY.len();
    let mut place = 1_000_000_000;
    while place > 0 {
        let digit = fd / place % 10;
        if digit > 0 || at > DIRECTORY.len() || place == 1 {
            path[at] = b'0' + digit as u8;
            at += 1;
        }
        place /= 10;
    }
    // SAFETY: the path ends with a NUL, because the array is longer than it can be.
    unsafe { libc::truncate(path.as_ptr().cast(), length) }
}

unsafe fn mmap_by(
    next: &Next,
    address: Bytes,
    len: usize,
    prot: c_int,
    flags: c_int,
    fd: c_int,
    offset: i64,
) -> Bytes {
    if flags & libc::MAP_ANONYMOUS == 0 {
        if let Some(errno) = object::mapping(fd, len, prot, flags, offset) {
            return fail(errno, libc::MAP_FAILED);
        }
    }
    host!(next, (Bytes, usize, c_int, c_int, c_int, i64) -> Bytes,
        (address, len, prot, flags, fd, offset), SYS_mmap(address, len, prot, flags, fd, offset))
}

unsafe fn fstat_by(next: &Next, fd: c_int, stat: *mut libc::stat) -> c_int {
    let done = host!(next, (c_int, *mut libc::stat) -> c_int, (fd, stat), SYS_fstat(fd, stat));
    // SAFETY: our caller's word.
    unsafe { hide_type(done, fd, stat) }
}

unsafe fn fxstat_by(next: &Next, version: c_int, fd: c_int, stat: *mut libc::stat) -> c_int {
    let done = host!(next, (c_int, c_int, *mut libc::stat) -> c_int, (version, fd, stat),
        SYS_fstat(fd, stat));
    // SAFETY: our caller's word.
    unsafe { hide_type(done, fd, stat) }
}

unsafe fn hide_type(done: c_int, fd: c_int, stat: *mut libc::stat) -> c_int {
    if done == 0 && object::hides_type(fd) {
        // SAFETY: fstat has just filled it in.
        unsafe { (*stat).st_mode &= !libc::S_IFMT };
    }
    done
}
