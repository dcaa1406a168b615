//! The vocabulary of the decision table: what a program can try with a name.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::handles;
use crate::proc::mmap;
use crate::sys::{self, E, R};

/// Always there, with all rights: the other end of a copy.
pub(crate) const SEED: &str = "seed";

/// The attribute that files have where an operation asks for one.
pub(crate) const XATTR: &str = "user.k";

/// One attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Call {
    Stat,
    Statx,
    Access(i32),
    Open(i32),
    Truncate,
    Chmod,
    Chown(Ids),
    Utimes(Times),
    SetXattr(&'static str),
    RemoveXattr(&'static str),
    GetXattr(&'static str),
    ListXattr,
    Unlink,
    Rmdir,
    Mkdir,
    /// With this type of file.
    Mknod(u32),
    Symlink,
    Bind,
    Readlink,
    ReadDir,
    /// Opened with these flags, and then by the descriptor.
    By(i32, Descriptor),
    /// O_PATH, and then the link in /proc/self/fd with these flags.
    Reopen(i32),
    /// open_by_handle_at with these flags.
    Handle(i32),
    Link,
    /// O_PATH, and then linkat of the link in /proc/self/fd.
    LinkPath,
    Rename(u32),
}

/// What is done with a descriptor.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Descriptor {
    Fstat,
    Read,
    Write,
    Ftruncate,
    Fallocate(i32),
    CopyTo,
    CopyFrom,
    Fchmod,
    Fchown,
    Futimes(Times),
    Fsetxattr,
    Fgetxattr,
    Mmap {
        prot: i32,
        shared: bool,
    },
    /// Mapped readable, then changed to this.
    Mprotect {
        prot: i32,
        shared: bool,
    },
    Flock(i32),
    Lock {
        kind: i32,
        ofd: bool,
    },
    Seek(i32),
    Fsync,
    /// By the link in /proc/self/fd.
    Reopen(i32),
    /// fchmodat2 and utimensat with AT_EMPTY_PATH.
    EmptyPathChmod,
}

/// Which owner is asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ids {
    /// The one that it has.
    Same,
    /// Neither.
    Neither,
}

/// Which times are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Times {
    Now,
    Given,
    /// Access time now, modification time left alone.
    HalfNow,
}

impl Times {
    fn pair(self) -> Option<[(i64, i64); 2]> {
        match self {
            Times::Now => None,
            Times::Given => Some([(1_000_000, 5), (1_000_001, 7)]),
            Times::HalfNow => Some([(0, libc::UTIME_NOW), (0, libc::UTIME_OMIT)]),
        }
    }
}

impl Call {
    /// Whether a second name takes part.
    pub(crate) fn has_target(self) -> bool {
        matches!(self, Call::Link | Call::LinkPath | Call::Rename(_))
    }

    /// Tries it with the names `a` and, where there is a second, `b` of a directory.
    pub(crate) fn run(self, directory: &Path, a: &str, b: &str) -> R {
        let (path, other) = (directory.join(a), directory.join(b));
        match self {
            Call::Stat => sys::stat(&path).map(drop),
            Call::Statx => statx(&path),
            Call::Access(mode) => sys::access(&path, mode),
            Call::Open(flags) => sys::open_mode(&path, flags, 0o666).map(drop),
            Call::Truncate => sys::truncate(&path, 3),
            Call::Chmod => sys::chmod(&path, 0o700),
            Call::Chown(Ids::Same) => sys::chown(&path, 1000, 1000),
            Call::Chown(Ids::Neither) => sys::chown(&path, u32::MAX, u32::MAX),
            Call::Utimes(times) => sys::utimens(&path, times.pair(), 0),
            Call::SetXattr(name) => sys::setxattr(&path, name, value_of(name), 0),
            Call::RemoveXattr(name) => sys::removexattr(&path, name),
            Call::GetXattr(name) => sys::getxattr(&path, name).map(drop),
            Call::ListXattr => sys::listxattr_len(&path, 4096).map(drop),
            Call::Unlink => sys::unlink(&path),
            Call::Rmdir => sys::rmdir(&path),
            Call::Mkdir => sys::mkdir(&path, 0o777),
            Call::Mknod(kind) => sys::mknod(&path, kind | 0o666, 0),
            Call::Symlink => sys::symlink(SEED, &path),
            Call::Bind => bind(&path),
            Call::Readlink => sys::readlink(&path).map(drop),
            Call::ReadDir => read_directory(&path),
            Call::By(flags, then) => {
                let file = sys::open_mode(&path, flags, 0o666)?;
                then.run(&file, directory)
            }
            Call::Reopen(flags) => {
                let file = sys::open(&path, libc::O_PATH)?;
                reopen(&file, flags)
            }
            Call::Handle(flags) => {
                let handle = handles::of(&path)?;
                let root = sys::open(directory, libc::O_RDONLY | libc::O_DIRECTORY)?;
                handles::open(&root, &handle, flags).map(drop)
            }
            Call::Link => sys::link(&path, &other),
            Call::LinkPath => {
                let file = sys::open(&path, libc::O_PATH)?;
                sys::linkat(proc_link(&file), &other, libc::AT_SYMLINK_FOLLOW)
            }
            Call::Rename(flags) => sys::rename2(&path, &other, flags),
        }
    }
}

impl Descriptor {
    fn run(self, file: &OwnedFd, directory: &Path) -> R {
        match self {
            Descriptor::Fstat => sys::fstat(file).map(drop),
            Descriptor::Read => sys::read(file, 4).map(drop),
            Descriptor::Write => sys::write(file, b"consumer").map(drop),
            Descriptor::Ftruncate => sys::ftruncate(file, 3),
            Descriptor::Fallocate(mode) => sys::fallocate(file, mode, 0, 8192),
            Descriptor::CopyTo => {
                let from = sys::open(directory.join(SEED), libc::O_RDONLY)?;
                copy(&from, file)
            }
            Descriptor::CopyFrom => {
                let to = sys::open(directory.join(SEED), libc::O_RDWR)?;
                copy(file, &to)
            }
            Descriptor::Fchmod => sys::fchmod(file, 0o700),
            Descriptor::Fchown => sys::fchown(file, 1000, 1000),
            Descriptor::Futimes(times) => futimes(file, times),
            Descriptor::Fsetxattr => fsetxattr(file),
            Descriptor::Fgetxattr => fgetxattr(file),
            Descriptor::Mmap { prot, shared } => map(file, prot, shared).map(drop),
            Descriptor::Mprotect { prot, shared } => {
                map(file, libc::PROT_READ, shared)?.protect(prot)
            }
            Descriptor::Flock(kind) => flock(file, kind | libc::LOCK_NB),
            Descriptor::Lock { kind, ofd } => lock(file, kind, ofd),
            Descriptor::Seek(whence) => sys::lseek(file, 0, whence).map(drop),
            Descriptor::Fsync => sys::fsync(file),
            Descriptor::Reopen(flags) => reopen(file, flags),
            Descriptor::EmptyPathChmod => fchmodat_empty(file),
        }
    }
}

fn value_of(name: &str) -> &'static [u8] {
    /// vfs_cap_data of revision 2 with nothing in it.
    const CAPABILITY: &[u8] = &[0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    /// user::rw-, group::rw-, other::rw-.
    const ACL: &[u8] = &[
        2, 0, 0, 0, 1, 0, 6, 0, 255, 255, 255, 255, 4, 0, 6, 0, 255, 255, 255, 255, 0x20, 0, 6, 0,
        255, 255, 255, 255,
    ];
    match name {
        "security.capability" => CAPABILITY,
        name if name.starts_with("system.posix_acl_") => ACL,
        _ => b"value",
    }
}

/// Where /proc has an open file.
pub(crate) fn proc_link(file: &impl AsRawFd) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}

/// The same file again, with other flags.
pub(crate) fn reopen(file: &impl AsRawFd, flags: i32) -> R {
    sys::open(proc_link(file), flags).map(drop)
}

fn map(file: &OwnedFd, prot: i32, shared: bool) -> R<crate::proc::Map> {
    let kind = if shared {
        libc::MAP_SHARED
    } else {
        libc::MAP_PRIVATE
    };
    mmap(file, 4096, prot, kind, 0)
}

fn statx(path: &Path) -> R {
    let path = sys::c(path);
    // SAFETY: all-zero is a valid statx, and the path is NUL-terminated.
    unsafe {
        let mut seen: libc::statx = std::mem::zeroed();
        let all = libc::STATX_BASIC_STATS | libc::STATX_BTIME;
        sys::check(libc::statx(
            libc::AT_FDCWD,
            path.as_ptr(),
            0,
            all,
            &mut seen,
        ))
        .map(drop)
    }
}

/// bind(2) of a Unix socket.
pub(crate) fn bind(path: &Path) -> R {
    let bytes = path.as_os_str().as_encoded_bytes();
    // SAFETY: all-zero is a valid sockaddr_un, and the copied path fits.
    unsafe {
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        assert!(bytes.len() < address.sun_path.len(), "{path:?} is too long");
        address.sun_family = libc::AF_UNIX as u16;
        for (to, from) in address.sun_path.iter_mut().zip(bytes) {
            *to = *from as libc::c_char;
        }
        let socket = sys::owned(libc::socket(libc::AF_UNIX, libc::SOCK_STREAM, 0))?;
        let length = size_of::<libc::sockaddr_un>() as u32;
        let address = (&raw const address).cast();
        sys::check(libc::bind(socket.as_raw_fd(), address, length)).map(drop)
    }
}

fn read_directory(path: &Path) -> R {
    let refused = |error: std::io::Error| E(error.raw_os_error().unwrap_or(0));
    let entries = std::fs::read_dir(path).map_err(refused)?;
    for entry in entries {
        entry.map_err(refused)?;
    }
    Ok(())
}

fn copy(from: &impl AsRawFd, to: &impl AsRawFd) -> R {
    let null = std::ptr::null_mut::<i64>();
    // SAFETY: null offsets are allowed.
    sys::check(unsafe { libc::copy_file_range(sys::raw(from), null, sys::raw(to), null, 4, 0) })
        .map(drop)
}

fn futimes(file: &OwnedFd, times: Times) -> R {
    let now = [(0, libc::UTIME_NOW); 2];
    sys::futimens(file, times.pair().unwrap_or(now))
}

fn fsetxattr(file: &OwnedFd) -> R {
    let name = sys::c(XATTR);
    // SAFETY: one byte of value.
    sys::check(unsafe {
        libc::fsetxattr(file.as_raw_fd(), name.as_ptr(), b"v".as_ptr().cast(), 1, 0)
    })
    .map(drop)
}

fn fgetxattr(file: &OwnedFd) -> R {
    let (name, mut value) = (sys::c(XATTR), [0u8; 64]);
    // SAFETY: the buffer is as long as said.
    sys::check(unsafe {
        libc::fgetxattr(
            file.as_raw_fd(),
            name.as_ptr(),
            value.as_mut_ptr().cast(),
            value.len(),
        )
    })
    .map(drop)
}

/// flock(2).
pub(crate) fn flock(file: &impl AsRawFd, kind: i32) -> R {
    // SAFETY: no pointers.
    sys::check(unsafe { libc::flock(file.as_raw_fd(), kind) }).map(drop)
}

/// A lock of the whole file by fcntl(2), without waiting.
pub(crate) fn lock(file: &impl AsRawFd, kind: i32, ofd: bool) -> R {
    // SAFETY: all-zero is a valid flock; the call reads it.
    unsafe {
        let mut wanted: libc::flock = std::mem::zeroed();
        wanted.l_type = kind as libc::c_short;
        let command = if ofd {
            libc::F_OFD_SETLK
        } else {
            libc::F_SETLK
        };
        sys::check(libc::fcntl(file.as_raw_fd(), command, &wanted)).map(drop)
    }
}

fn fchmodat_empty(file: &OwnedFd) -> R {
    // SAFETY: an empty path, NUL-terminated. 452 is fchmodat2.
    sys::check(unsafe {
        libc::syscall(
            452,
            file.as_raw_fd(),
            c"".as_ptr(),
            0o700,
            libc::AT_EMPTY_PATH,
        )
    })
    .map(drop)
}
