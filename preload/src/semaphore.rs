//! How a semaphore comes to its name: the protocols that several platforms share.
//!
//! Whatever a platform's own `sem_t` is, the file begins with one of the host, so that the host's
//! sem_wait and sem_post work on it.

use std::os::fd::OwnedFd;

use crate::directory::{Spot, View, private_name};
use crate::errno::{Errno, Result};
use crate::sys::semaphore::image;

/// The arguments of sem_open after the name.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    /// As passed.
    pub(crate) flags: i32,
    /// As passed; 0 where the call does not create.
    pub(crate) mode: u32,
    /// As passed; 0 where the call does not create.
    pub(crate) value: u32,
}

impl Request {
    /// The call may create.
    pub(crate) fn creates(&self) -> bool {
        self.flags & libc::O_CREAT != 0
    }

    /// The call must create.
    pub(crate) fn only_creates(&self) -> bool {
        self.flags & (libc::O_CREAT | libc::O_EXCL) == libc::O_CREAT | libc::O_EXCL
    }

    /// EINVAL where another flag is set.
    pub(crate) fn only_known_flags(&self) -> Result<()> {
        if self.flags & !(libc::O_CREAT | libc::O_EXCL) != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    /// EINVAL where the value is more than `max` or than the host can hold.
    pub(crate) fn value_within(&self, max: u32) -> Result<()> {
        if self.value > max.min(i32::MAX as u32) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

/// How the temporary file of a new semaphore is made.
pub(crate) struct Temporary<'f> {
    /// Its name, a new one each time.
    pub(crate) name: &'f dyn Fn() -> Vec<u8>,
    /// Its flags beside O_RDWR, O_CREAT and O_EXCL.
    pub(crate) flags: i32,
    /// How often a name that exists is replaced by another, and the errno after that.
    pub(crate) tries: Option<(u32, Errno)>,
    /// The mode is what the caller said, whatever the umask.
    pub(crate) exact_mode: bool,
}

impl Temporary<'_> {
    fn create(&self, view: &View<'_>, mode: u32) -> Result<(Spot, OwnedFd)> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | self.flags;
        let mut left = self.tries.map_or(u32::MAX, |(tries, _)| tries);
        loop {
            let spot = Spot::beside((self.name)());
            match view.open(&spot, flags, mode) {
                Ok(file) => return Ok((spot, file)),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
            left -= 1;
            if left == 0 {
                return Err(self.tries.map_or(Errno::EEXIST, |(_, errno)| errno));
            }
        }
    }
}

/// Makes a whole semaphore under a temporary name, then gives it its own by link(2): nobody ever
/// opens half a semaphore, and EEXIST is the kernel's word.
pub(crate) fn link_new(
    view: &View<'_>,
    target: &Spot,
    request: &Request,
    temporary: &Temporary<'_>,
) -> Result<OwnedFd> {
    let (spot, file) = temporary.create(view, request.mode)?;
    let linked = fill(&file, request, temporary.exact_mode).and_then(|()| view.link(&spot, target));
    // The name is ours alone; where it cannot be removed there is nobody to tell.
    let _ = view.unlink(&spot);
    linked.map(|()| file)
}

fn fill(file: &OwnedFd, request: &Request, exact_mode: bool) -> Result<()> {
    initialise(file, request.value)?;
    if exact_mode {
        let mode = rustix::fs::Mode::from_bits_retain(request.mode & 0o7777);
        rustix::fs::fchmod(file, mode)?;
    }
    Ok(())
}

/// Puts a semaphore of this value at the start of the file.
pub(crate) fn initialise(file: &OwnedFd, value: u32) -> Result<()> {
    write_at_start(file, &image(value)?)
}

/// Writes all of the bytes at the start of the file.
pub(crate) fn write_at_start(file: &OwnedFd, bytes: &[u8]) -> Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match rustix::io::pwrite(file, &bytes[done..], done as u64) {
            Ok(0) => return Err(Errno::ENOSPC),
            Ok(count) => done += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// A semaphore in a kernel's table, for which a file stands.
pub(crate) struct InKernel {
    /// O_EXCL counts without O_CREAT.
    pub(crate) exclusive_alone: bool,
}

impl InKernel {
    /// Finds or makes it; `check` is what the platform asks of a new one.
    pub(crate) fn open(
        &self,
        view: &View<'_>,
        target: &Spot,
        request: &Request,
        check: impl Fn() -> Result<()>,
    ) -> Result<OwnedFd> {
        let exclusive =
            request.flags & libc::O_EXCL != 0 && (self.exclusive_alone || request.creates());
        let temporary = Temporary {
            name: &private_name,
            flags: libc::O_CLOEXEC | libc::O_NOFOLLOW,
            tries: None,
            exact_mode: true,
        };
        loop {
            // The name is looked at before the permission.
            if exclusive && view.lstat(target).is_ok() {
                return Err(Errno::EEXIST);
            }
            match view.open(target, OPEN, 0) {
                Err(Errno::ENOENT) if request.creates() => check()?,
                opened => return opened,
            }
            match link_new(view, target, request, &temporary) {
                Err(Errno::EEXIST) if !exclusive => {}
                made => return made,
            }
        }
    }
}

const OPEN: i32 = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW;

/// There is no directory to write in a kernel's table, and no sticky bit.
pub(crate) fn unlink_from_kernel(view: &View<'_>, target: &Spot) -> Result<()> {
    view.unlink(target).map_err(|errno| match errno {
        Errno::EPERM => Errno::EACCES,
        errno => errno,
    })
}
