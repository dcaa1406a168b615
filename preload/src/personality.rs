//! What each platform's functions do with a name: one file per family, its checks in their order.

mod cygwin;
mod dragonfly;
mod freebsd;
mod haiku;
mod illumos;
mod linux;
mod netbsd;
mod openbsd;
mod small;
mod xnu;

use std::fmt::Debug;
use std::os::fd::{AsFd, OwnedFd};

use crate::directory::View;
use crate::errno::{Errno, Result};
use crate::semaphore::Request;
use crate::session::Call;
use crate::view::NameOp;

/// The name that a program passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Name<'n> {
    /// A C string.
    Bytes(&'n [u8]),
    /// The null pointer.
    Null,
    /// The pointer value 1, which is SHM_ANON where there is one.
    Anonymous,
}

impl<'n> Name<'n> {
    /// The C string; EFAULT for what is none: where the platform would crash we do not.
    pub(crate) fn bytes(self) -> Result<&'n [u8]> {
        self.bytes_or(Errno::EFAULT)
    }

    /// The C string, or this.
    pub(crate) fn bytes_or(self, null: Errno) -> Result<&'n [u8]> {
        match self {
            Name::Bytes(bytes) => Ok(bytes),
            Name::Null => Err(null),
            Name::Anonymous => Err(Errno::EFAULT),
        }
    }
}

/// One platform's functions.
pub(crate) trait Personality: Debug + Sync {
    /// shm_open(3).
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd>;

    /// shm_unlink(3).
    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot)
    }

    /// sem_open(3): a file that begins with a semaphore of the host.
    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd>;

    /// sem_unlink(3).
    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot)
    }

    /// shm_mkstemp(3): the template is filled in.
    fn shm_mkstemp(&self, call: &Call, _template: &mut [u8]) -> Result<OwnedFd> {
        absent(call)
    }

    /// shm_open2(2).
    fn shm_open2(
        &self,
        call: &Call,
        _name: Name<'_>,
        _flags: i32,
        _mode: u32,
        _shmflags: i32,
    ) -> Result<OwnedFd> {
        absent(call)
    }

    /// shm_create_largepage(3).
    fn shm_create_largepage(&self, call: &Call) -> Result<OwnedFd> {
        absent(call)
    }

    /// shm_rename(2).
    fn shm_rename(&self, call: &Call, _from: Name<'_>, _to: Name<'_>, _flags: i32) -> Result<()> {
        absent(call)
    }

    /// Its own checks of memfd_create, which then is the host's.
    fn memfd_create(&self, call: &Call, _name: Name<'_>, _flags: u32) -> Result<()> {
        call.trail.note("as on the host");
        Ok(())
    }
}

/// For a function that the platform does not have.
fn absent<T>(call: &Call) -> Result<T> {
    call.trail.note("the platform has no such function");
    Err(Errno::ENOSYS)
}

/// The functions of the platform of this key.
pub(crate) fn of(key: &str) -> Option<&'static dyn Personality> {
    linux::of(key).or(match key {
        "openbsd" => Some(&openbsd::OpenBsd),
        "netbsd" => Some(&netbsd::NetBsd),
        "dragonfly" => Some(&dragonfly::DragonFly::NEW),
        "dragonfly-old" => Some(&dragonfly::DragonFly::OLD),
        "freebsd" => Some(&freebsd::FreeBsd),
        "illumos" | "illumos-be" => Some(&illumos::Illumos),
        "haiku" => Some(&haiku::Haiku),
        "cygwin" | "cygwin-1.7" | "cygwin-1.5" => Some(&cygwin::Cygwin),
        "xnu" => Some(&xnu::Xnu::NEW),
        "xnu-old" => Some(&xnu::Xnu::OLD),
        "rtems" => Some(&small::Rtems),
        "zephyr" => Some(&small::Zephyr),
        "nuttx" => Some(&small::NuttX),
        _ => None,
    })
}

/// The access mode among open flags.
fn access(flags: i32) -> i32 {
    flags & libc::O_ACCMODE
}

/// EINVAL unless the access mode is O_RDONLY or O_RDWR and every other flag is one of `known`.
fn checked(flags: i32, known: i32) -> Result<()> {
    let readable = matches!(access(flags), libc::O_RDONLY | libc::O_RDWR);
    if !readable || flags & !(libc::O_ACCMODE | known) != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Whether it is a regular file.
fn is_regular(file: &OwnedFd) -> bool {
    rustix::fs::fstat(file.as_fd()).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
}

/// An object in a kernel's table, for which a file stands.
struct InKernel {
    /// The mode is what the caller said, whatever the umask.
    exact_mode: bool,
    /// What is asked of an object that exists, before the permission.
    existing: fn(&rustix::fs::Stat, i32) -> Result<()>,
}

impl InKernel {
    /// Finds or makes it; the second is whether it is new. O_TRUNC is left to the caller.
    fn open(&self, view: &View<'_>, name: &[u8], flags: i32, mode: u32) -> Result<(OwnedFd, bool)> {
        let spot = view.locate(NameOp::Open, name)?;
        let forced = libc::O_CLOEXEC | libc::O_NOFOLLOW;
        let creates = flags & libc::O_CREAT != 0;
        loop {
            match view.lstat(&spot) {
                Ok(_) if creates && flags & libc::O_EXCL != 0 => return Err(Errno::EEXIST),
                Ok(stat) => {
                    (self.existing)(&stat, flags)?;
                    match view.open(&spot, access(flags) | forced, 0) {
                        Err(Errno::ENOENT) if creates => continue,
                        opened => return Ok((opened?, false)),
                    }
                }
                Err(Errno::ENOENT) if creates => {}
                Err(errno) => return Err(errno),
            }
            let new = access(flags) | libc::O_CREAT | libc::O_EXCL | forced;
            match view.open(&spot, new, mode) {
                Err(Errno::EEXIST) => {}
                opened => return Ok((self.with_mode(opened?, mode)?, true)),
            }
        }
    }

    fn with_mode(&self, file: OwnedFd, mode: u32) -> Result<OwnedFd> {
        if self.exact_mode {
            rustix::fs::fchmod(&file, rustix::fs::Mode::from_bits_retain(mode & 0o7777))?;
        }
        Ok(file)
    }
}
