//! System calls as the cases make them: raw flags in, an errno out.
//!
//! Nothing here retries, resolves or guesses: a case must see what the kernel answers.

use std::ffi::CString;
use std::fmt;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use libc::c_int;

/// An errno, shown by its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct E(pub c_int);

/// What a system call gives.
pub(crate) type R<T = ()> = Result<T, E>;

macro_rules! errnos {
    ($($name:ident)*) => {
        $(#[allow(dead_code)] pub(crate) const $name: E = E(libc::$name);)*
        impl fmt::Debug for E {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $(libc::$name => f.write_str(stringify!($name)),)*
                    other => write!(f, "errno {other}"),
                }
            }
        }
    };
}

errnos! {
    E2BIG EACCES EAGAIN EBADF EBUSY EDQUOT EEXIST EFAULT EFBIG EINTR EINVAL EIO EISDIR ELOOP
    EMFILE EMLINK ENAMETOOLONG ENFILE ENODATA ENODEV ENOENT ENOMEM ENOSPC ENOSYS ENOTCONN ENOTDIR
    ENOTEMPTY ENOTTY ENXIO EOPNOTSUPP EOVERFLOW EPERM ERANGE EROFS ESPIPE ESTALE ETXTBSY EXDEV
    EDEADLK ECONNREFUSED EADDRINUSE ENOTSOCK EPIPE ECHILD ESRCH EPROTOTYPE
}

/// The errno that the last call left.
pub(crate) fn errno() -> E {
    E(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
}

/// The result of a call that answers −1 on failure.
pub(crate) fn check<T: PartialEq + From<i8>>(ret: T) -> R<T> {
    if ret == T::from(-1) {
        Err(errno())
    } else {
        Ok(ret)
    }
}

fn done<T: PartialEq + From<i8>>(ret: T) -> R {
    check(ret).map(drop)
}

/// `path` as C wants it.
pub(crate) fn c(path: impl AsRef<Path>) -> CString {
    CString::new(path.as_ref().as_os_str().as_bytes()).expect("a path without NUL")
}

fn cs(name: &str) -> CString {
    CString::new(name).expect("a name without NUL")
}

/// The raw number of a descriptor.
pub(crate) fn raw(fd: &impl AsRawFd) -> c_int {
    fd.as_raw_fd()
}

/// Fails the case unless `result` is exactly the error `expected`.
#[track_caller]
pub(crate) fn fails<T>(result: R<T>, expected: E) {
    match result {
        Ok(_) => panic!("succeeded, but {expected:?} was expected"),
        Err(e) => assert_eq!(e, expected),
    }
}

/// A descriptor of our own from a call's answer.
pub(crate) fn owned(fd: c_int) -> R<OwnedFd> {
    // SAFETY: the kernel just made this descriptor for us.
    check(fd).map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}

macro_rules! calls {
    ($($(#[$m:meta])* $name:ident($($a:ident: $t:ty),*) = $e:expr;)*) => {
        $($(#[$m])* #[allow(dead_code)] pub(crate) fn $name($($a: $t),*) -> R {
            // SAFETY: every pointer passed is to a live, NUL-terminated or sized buffer.
            done(unsafe { $e })
        })*
    };
}

type P<'a> = &'a Path;

/// Anything that names a path.
pub(crate) trait AsP: AsRef<Path> {}
impl<T: AsRef<Path> + ?Sized> AsP for T {}

/// open(2), with O_CLOEXEC added.
pub(crate) fn open(p: impl AsP, flags: c_int) -> R<OwnedFd> {
    open_mode(p, flags, 0o644)
}

/// open(2) with a mode.
pub(crate) fn open_mode(p: impl AsP, flags: c_int, mode: u32) -> R<OwnedFd> {
    let p = c(p);
    // SAFETY: `p` is NUL-terminated.
    owned(unsafe { libc::open(p.as_ptr(), flags | libc::O_CLOEXEC, mode) })
}

/// openat(2).
pub(crate) fn openat(dir: &impl AsRawFd, p: impl AsP, flags: c_int, mode: u32) -> R<OwnedFd> {
    let p = c(p);
    // SAFETY: `p` is NUL-terminated.
    owned(unsafe { libc::openat(raw(dir), p.as_ptr(), flags | libc::O_CLOEXEC, mode) })
}

mod calls {
    use super::*;
    calls! {
        mkdir(p: P<'_>, mode: u32) = libc::mkdir(c(p).as_ptr(), mode);
        rmdir(p: P<'_>) = libc::rmdir(c(p).as_ptr());
        unlink(p: P<'_>) = libc::unlink(c(p).as_ptr());
        rename2(a: P<'_>, b: P<'_>, flags: u32) =
            libc::syscall(libc::SYS_renameat2, libc::AT_FDCWD, c(a).as_ptr(), libc::AT_FDCWD, c(b).as_ptr(), flags);
        linkat(a: P<'_>, b: P<'_>, flags: c_int) =
            libc::linkat(libc::AT_FDCWD, c(a).as_ptr(), libc::AT_FDCWD, c(b).as_ptr(), flags);
        symlink(to: P<'_>, p: P<'_>) = libc::symlink(c(to).as_ptr(), c(p).as_ptr());
        mknod(p: P<'_>, mode: u32, dev: u64) = libc::mknod(c(p).as_ptr(), mode, dev);
        chmod(p: P<'_>, mode: u32) = libc::chmod(c(p).as_ptr(), mode);
        chown(p: P<'_>, uid: u32, gid: u32) = libc::chown(c(p).as_ptr(), uid, gid);
        lchown(p: P<'_>, uid: u32, gid: u32) = libc::lchown(c(p).as_ptr(), uid, gid);
        truncate(p: P<'_>, len: i64) = libc::truncate(c(p).as_ptr(), len);
        access(p: P<'_>, mode: c_int) = libc::access(c(p).as_ptr(), mode);
        chdir(p: P<'_>) = libc::chdir(c(p).as_ptr());
    }
}

macro_rules! by_path {
    ($($name:ident($p:ident $(, $a:ident: $t:ty)*);)*) => {
        $(#[allow(dead_code)] pub(crate) fn $name($p: impl AsP $(, $a: $t)*) -> R {
            calls::$name($p.as_ref() $(, $a)*)
        })*
    };
}

by_path! {
    mkdir(p, mode: u32);
    rmdir(p);
    unlink(p);
    mknod(p, mode: u32, dev: u64);
    chmod(p, mode: u32);
    chown(p, uid: u32, gid: u32);
    lchown(p, uid: u32, gid: u32);
    truncate(p, len: i64);
    access(p, mode: c_int);
    chdir(p);
}

/// rename(2).
pub(crate) fn rename(a: impl AsP, b: impl AsP) -> R {
    calls::rename2(a.as_ref(), b.as_ref(), 0)
}

/// renameat2(2).
pub(crate) fn rename2(a: impl AsP, b: impl AsP, flags: u32) -> R {
    calls::rename2(a.as_ref(), b.as_ref(), flags)
}

/// link(2).
pub(crate) fn link(a: impl AsP, b: impl AsP) -> R {
    calls::linkat(a.as_ref(), b.as_ref(), 0)
}

/// linkat(2) by path.
pub(crate) fn linkat(a: impl AsP, b: impl AsP, flags: c_int) -> R {
    calls::linkat(a.as_ref(), b.as_ref(), flags)
}

/// symlink(2): `p` becomes a link to `to`.
pub(crate) fn symlink(to: impl AsP, p: impl AsP) -> R {
    calls::symlink(to.as_ref(), p.as_ref())
}

/// readlink(2).
pub(crate) fn readlink(p: impl AsP) -> R<Vec<u8>> {
    let p = c(p);
    let mut buf = vec![0u8; 8192];
    // SAFETY: `buf` is as long as said.
    let n = check(unsafe { libc::readlink(p.as_ptr(), buf.as_mut_ptr().cast(), buf.len()) })?;
    buf.truncate(n as usize);
    Ok(buf)
}

calls! {
    /// ftruncate(2).
    ftruncate(fd: &impl AsRawFd, len: i64) = libc::ftruncate(raw(fd), len);
    /// fallocate(2).
    fallocate(fd: &impl AsRawFd, mode: c_int, at: i64, len: i64) = libc::fallocate(raw(fd), mode, at, len);
    /// fchmod(2).
    fchmod(fd: &impl AsRawFd, mode: u32) = libc::fchmod(raw(fd), mode);
    /// fchown(2).
    fchown(fd: &impl AsRawFd, uid: u32, gid: u32) = libc::fchown(raw(fd), uid, gid);
    /// fsync(2).
    fsync(fd: &impl AsRawFd) = libc::fsync(raw(fd));
    /// unlinkat(2).
    unlinkat(dir: &impl AsRawFd, name: &str, flags: c_int) = libc::unlinkat(raw(dir), cs(name).as_ptr(), flags);
    /// fchmodat2(2), the one with flags.
    fchmodat2(p: &Path, mode: u32, flags: c_int) = libc::syscall(452, libc::AT_FDCWD, c(p).as_ptr(), mode, flags);
    /// faccessat2(2).
    faccessat2(p: &Path, mode: c_int, flags: c_int) = libc::syscall(libc::SYS_faccessat2, libc::AT_FDCWD, c(p).as_ptr(), mode, flags);
}

/// Where a descriptor's flags are O_CREAT | O_EXCL and so on: makes a file with `data`.
pub(crate) fn put(p: impl AsP, data: &[u8]) -> OwnedFd {
    let fd = open_mode(p, libc::O_RDWR | libc::O_CREAT, 0o644).expect("create a file");
    assert_eq!(write(&fd, data), Ok(data.len()));
    fd
}

/// Makes an empty file of mode 0644.
pub(crate) fn touch(p: impl AsP) {
    drop(put(p, b""));
}

/// The whole contents.
pub(crate) fn slurp(p: impl AsP) -> Vec<u8> {
    std::fs::read(p.as_ref()).expect("read a whole file")
}

/// write(2).
pub(crate) fn write(fd: &impl AsRawFd, data: &[u8]) -> R<usize> {
    // SAFETY: `data` is as long as said.
    check(unsafe { libc::write(raw(fd), data.as_ptr().cast(), data.len()) }).map(|n| n as usize)
}

/// read(2) of up to `len` bytes.
pub(crate) fn read(fd: &impl AsRawFd, len: usize) -> R<Vec<u8>> {
    let mut buf = vec![0u8; len];
    // SAFETY: `buf` is as long as said.
    let n = check(unsafe { libc::read(raw(fd), buf.as_mut_ptr().cast(), len) })?;
    buf.truncate(n as usize);
    Ok(buf)
}

/// pwrite(2).
pub(crate) fn pwrite(fd: &impl AsRawFd, data: &[u8], at: i64) -> R<usize> {
    // SAFETY: `data` is as long as said.
    check(unsafe { libc::pwrite(raw(fd), data.as_ptr().cast(), data.len(), at) })
        .map(|n| n as usize)
}

/// pread(2) of up to `len` bytes.
pub(crate) fn pread(fd: &impl AsRawFd, len: usize, at: i64) -> R<Vec<u8>> {
    let mut buf = vec![0u8; len];
    // SAFETY: `buf` is as long as said.
    let n = check(unsafe { libc::pread(raw(fd), buf.as_mut_ptr().cast(), len, at) })?;
    buf.truncate(n as usize);
    Ok(buf)
}

/// lseek(2).
pub(crate) fn lseek(fd: &impl AsRawFd, at: i64, whence: c_int) -> R<i64> {
    // SAFETY: no pointers.
    check(unsafe { libc::lseek(raw(fd), at, whence) })
}

/// What stat(2) tells, in words that compare.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stat {
    pub(crate) ino: u64,
    pub(crate) mode: u32,
    pub(crate) nlink: u64,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u64,
    pub(crate) size: i64,
    pub(crate) blksize: i64,
    pub(crate) blocks: i64,
    pub(crate) atime: (i64, i64),
    pub(crate) mtime: (i64, i64),
    pub(crate) ctime: (i64, i64),
}

impl Stat {
    /// The permission bits with setuid, setgid and sticky.
    pub(crate) fn perm(&self) -> u32 {
        self.mode & 0o7777
    }

    /// The file type, one of S_IF*.
    pub(crate) fn kind(&self) -> u32 {
        self.mode & libc::S_IFMT
    }
}

fn stat_at(dir: c_int, p: &Path, flags: c_int) -> R<Stat> {
    let p = c(p);
    // SAFETY: all-zero is a valid stat.
    let mut st: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `p` is NUL-terminated and `st` is writable.
    check(unsafe { libc::fstatat(dir, p.as_ptr(), &mut st, flags) })?;
    Ok(Stat {
        ino: st.st_ino,
        mode: st.st_mode,
        nlink: st.st_nlink,
        uid: st.st_uid,
        gid: st.st_gid,
        rdev: st.st_rdev,
        size: st.st_size,
        blksize: st.st_blksize,
        blocks: st.st_blocks,
        atime: (st.st_atime, st.st_atime_nsec),
        mtime: (st.st_mtime, st.st_mtime_nsec),
        ctime: (st.st_ctime, st.st_ctime_nsec),
    })
}

/// stat(2).
pub(crate) fn stat(p: impl AsP) -> R<Stat> {
    stat_at(libc::AT_FDCWD, p.as_ref(), 0)
}

/// lstat(2).
pub(crate) fn lstat(p: impl AsP) -> R<Stat> {
    stat_at(libc::AT_FDCWD, p.as_ref(), libc::AT_SYMLINK_NOFOLLOW)
}

/// fstat(2).
pub(crate) fn fstat(fd: &impl AsRawFd) -> R<Stat> {
    stat_at(raw(fd), Path::new(""), libc::AT_EMPTY_PATH)
}

/// utimensat(2) by path; `None` for the times is "both now".
pub(crate) fn utimens(p: impl AsP, times: Option<[(i64, i64); 2]>, flags: c_int) -> R {
    let p = c(p);
    let times = times.map(|t| {
        t.map(|(s, n)| libc::timespec {
            tv_sec: s,
            tv_nsec: n,
        })
    });
    let ptr = times.as_ref().map_or(std::ptr::null(), |t| t.as_ptr());
    // SAFETY: `ptr` is null or two timespecs.
    done(unsafe { libc::utimensat(libc::AT_FDCWD, p.as_ptr(), ptr, flags) })
}

/// futimens(3).
pub(crate) fn futimens(fd: &impl AsRawFd, times: [(i64, i64); 2]) -> R {
    let times = times.map(|(s, n)| libc::timespec {
        tv_sec: s,
        tv_nsec: n,
    });
    // SAFETY: two timespecs.
    done(unsafe { libc::futimens(raw(fd), times.as_ptr()) })
}

/// statfs(2).
pub(crate) fn statfs(p: impl AsP) -> R<libc::statfs> {
    let p = c(p);
    // SAFETY: all-zero is a valid statfs.
    let mut st: libc::statfs = unsafe { std::mem::zeroed() };
    // SAFETY: `st` is writable.
    check(unsafe { libc::statfs(p.as_ptr(), &mut st) })?;
    Ok(st)
}

/// setxattr(2), or lsetxattr(2) with `nofollow`.
pub(crate) fn setxattr(p: impl AsP, name: &str, value: &[u8], flags: c_int) -> R {
    let (p, name) = (c(p), cs(name));
    // SAFETY: `value` is as long as said.
    done(unsafe {
        libc::setxattr(
            p.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flags,
        )
    })
}

/// lsetxattr(2).
pub(crate) fn lsetxattr(p: impl AsP, name: &str, value: &[u8], flags: c_int) -> R {
    let (p, name) = (c(p), cs(name));
    // SAFETY: `value` is as long as said.
    done(unsafe {
        libc::lsetxattr(
            p.as_ptr(),
            name.as_ptr(),
            value.as_ptr().cast(),
            value.len(),
            flags,
        )
    })
}

/// getxattr(2) into a buffer of `len` bytes; gives what the call said and the buffer.
pub(crate) fn getxattr_len(p: impl AsP, name: &str, len: usize) -> R<(usize, Vec<u8>)> {
    let (p, name) = (c(p), cs(name));
    let mut buf = vec![0u8; len];
    // SAFETY: `buf` is as long as said.
    let n =
        check(unsafe { libc::lgetxattr(p.as_ptr(), name.as_ptr(), buf.as_mut_ptr().cast(), len) })?;
    buf.truncate(n as usize);
    Ok((n as usize, buf))
}

/// lgetxattr(2), the whole value.
pub(crate) fn getxattr(p: impl AsP, name: &str) -> R<Vec<u8>> {
    getxattr_len(p, name, 70_000).map(|(_, value)| value)
}

/// lremovexattr(2).
pub(crate) fn removexattr(p: impl AsP, name: &str) -> R {
    let (p, name) = (c(p), cs(name));
    // SAFETY: both are NUL-terminated.
    done(unsafe { libc::lremovexattr(p.as_ptr(), name.as_ptr()) })
}

/// llistxattr(2) into a buffer of `len` bytes; gives what the call said and the raw list.
pub(crate) fn listxattr_len(p: impl AsP, len: usize) -> R<(usize, Vec<u8>)> {
    let p = c(p);
    let mut buf = vec![0u8; len];
    // SAFETY: `buf` is as long as said.
    let n = check(unsafe { libc::llistxattr(p.as_ptr(), buf.as_mut_ptr().cast(), len) })?;
    buf.truncate(n as usize);
    Ok((n as usize, buf))
}

/// The names that llistxattr(2) gives, sorted.
pub(crate) fn listxattr(p: impl AsP) -> Vec<String> {
    let (_, list) = listxattr_len(p, 65_536).expect("list xattrs");
    let mut names: Vec<String> = list
        .split(|&b| b == 0)
        .filter(|name| !name.is_empty())
        .map(|name| String::from_utf8_lossy(name).into_owned())
        .collect();
    names.sort();
    names
}

/// umask(2).
pub(crate) fn umask(mask: u32) -> u32 {
    // SAFETY: no pointers.
    unsafe { libc::umask(mask) }
}

/// The names in a directory, sorted, without `.` and `..`.
pub(crate) fn ls(p: impl AsP) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(p.as_ref())
        .expect("open a directory")
        .map(|e| {
            e.expect("read a directory")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}
