//! DragonFly BSD: relative to a descriptor of the directory, and a regular file; before 5.6 a path.

use std::os::fd::OwnedFd;

use super::{Name, Personality, access, is_regular};
use crate::directory::letters;
use crate::errno::{Errno, Result};
use crate::semaphore::{Request, Temporary, link_new};
use crate::session::Call;
use crate::view::NameOp;

#[derive(Debug)]
pub(super) struct DragonFly {
    close_on_exec: bool,
}

impl DragonFly {
    /// 5.6 and later.
    pub(super) const NEW: DragonFly = DragonFly {
        close_on_exec: true,
    };
    /// Before.
    pub(super) const OLD: DragonFly = DragonFly {
        close_on_exec: false,
    };
}

impl Personality for DragonFly {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        if access(flags) == libc::O_WRONLY {
            return Err(Errno::EINVAL);
        }
        let view = call.shm();
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        let file = view.open(&spot, flags, mode)?;
        if !is_regular(&file) {
            return Err(Errno::EINVAL);
        }
        if self.close_on_exec {
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::CLOEXEC)?;
        }
        // F_SETFL with FPOSIXSHM replaces the status flags.
        rustix::fs::fcntl_setfl(&file, rustix::fs::OFlags::empty())?;
        Ok(file)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        request.only_known_flags()?;
        let view = call.sem()?;
        let spot = view.locate(NameOp::Open, name.bytes_or(Errno::EINVAL)?)?;
        let temporary = Temporary {
            name: &|| [b"sem.".as_slice(), &letters::<6>()].concat(),
            flags: libc::O_CLOEXEC,
            tries: Some((10, Errno::ENOSPC)),
            exact_mode: false,
        };
        loop {
            match view.open(&spot, libc::O_RDWR | libc::O_CLOEXEC, 0) {
                Ok(_) if request.flags & libc::O_EXCL != 0 => return Err(Errno::EEXIST),
                Ok(file) if is_regular(&file) => return Ok(file),
                Ok(_) => return Err(Errno::EINVAL),
                Err(Errno::ENOENT) if request.creates() => {}
                Err(errno) => return Err(open_error(errno)),
            }
            request.value_within(u32::MAX)?;
            match link_new(&view, &spot, request, &temporary) {
                Err(Errno::EEXIST) if request.flags & libc::O_EXCL == 0 => {}
                made => return made.map_err(open_error),
            }
        }
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Unlink, name.bytes_or(Errno::EINVAL)?)?;
        view.unlink(&spot).map_err(|errno| match errno {
            Errno::ENAMETOOLONG | Errno::ENOENT => errno,
            _ => Errno::EACCES,
        })
    }
}

fn open_error(errno: Errno) -> Errno {
    match errno {
        Errno::ENOTDIR | Errno::EISDIR | Errno::EMLINK | Errno::ELOOP => Errno::EINVAL,
        Errno::EDQUOT | Errno::EIO => Errno::ENOSPC,
        Errno::EROFS => Errno::EACCES,
        errno => errno,
    }
}
