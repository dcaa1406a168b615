//! RTEMS, Zephyr, NuttX: shared memory only; their semaphores are not known here.

use std::os::fd::OwnedFd;

use super::{InKernel, Name, Personality, access, is_regular};
use crate::directory::{Spot, View};
use crate::errno::{Errno, Result};
use crate::semaphore::Request;
use crate::session::Call;
use crate::view::NameOp;

const TABLE: InKernel = InKernel {
    exact_mode: false,
    existing: |_, _| Ok(()),
};

/// The object, emptied if O_TRUNC says so.
fn truncated(call: &Call, name: &[u8], flags: i32, mode: u32) -> Result<OwnedFd> {
    let (file, new) = TABLE.open(&call.shm(), name, flags, mode)?;
    if !new && flags & libc::O_TRUNC != 0 {
        rustix::fs::ftruncate(&file, 0)?;
    }
    Ok(file)
}

fn no_semaphores(call: &Call) -> Result<OwnedFd> {
    call.sem()?;
    Err(Errno::ENOSYS)
}

#[derive(Debug)]
pub(super) struct Rtems;

impl Personality for Rtems {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        // Flags come first, and EACCES is what the platform says of them.
        let known = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC;
        super::checked(flags, known).or(Err(Errno::EACCES))?;
        if flags & libc::O_TRUNC != 0 && access(flags) != libc::O_RDWR {
            return Err(Errno::EACCES);
        }
        truncated(call, name.bytes_or(Errno::EINVAL)?, flags, mode)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes_or(Errno::EINVAL)?)?;
        view.unlink(&spot)
    }

    fn sem_open(&self, call: &Call, _name: Name<'_>, _request: &Request) -> Result<OwnedFd> {
        no_semaphores(call)
    }
}

#[derive(Debug)]
pub(super) struct Zephyr;

impl Personality for Zephyr {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        if mode & 0o777 == 0 {
            return Err(Errno::EINVAL);
        }
        match access(flags) {
            libc::O_RDWR => {}
            libc::O_RDONLY if flags & libc::O_TRUNC == 0 => {}
            _ => return Err(Errno::EINVAL),
        }
        truncated(call, name.bytes_or(Errno::EINVAL)?, flags, mode & 0o777)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes_or(Errno::EINVAL)?)?;
        view.unlink(&spot)
    }

    fn sem_open(&self, call: &Call, _name: Name<'_>, _request: &Request) -> Result<OwnedFd> {
        no_semaphores(call)
    }
}

#[derive(Debug)]
pub(super) struct NuttX;

impl Personality for NuttX {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let view = call.shm();
        let spot = view.locate(NameOp::Open, name.bytes_or(Errno::EINVAL)?)?;
        if flags & libc::O_CREAT != 0 {
            make_parents(&view, &spot);
        }
        let file = match view.open(&spot, flags | libc::O_CLOEXEC | libc::O_NOFOLLOW, mode) {
            Err(Errno::EISDIR) => return Err(Errno::EINVAL),
            opened => opened?,
        };
        if !is_regular(&file) {
            return Err(Errno::EINVAL);
        }
        Ok(file)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes_or(Errno::ENOENT)?)?;
        view.unlink(&spot).map_err(|errno| match errno {
            Errno::EISDIR => Errno::ENOENT,
            errno => errno,
        })
    }

    fn sem_open(&self, call: &Call, _name: Name<'_>, _request: &Request) -> Result<OwnedFd> {
        no_semaphores(call)
    }
}

/// Slashes make sub-nodes of the pseudo file system, without asking.
fn make_parents(view: &View<'_>, spot: &Spot) {
    for (at, _) in spot.path.iter().enumerate().filter(|&(_, &b)| b == b'/') {
        // Where one cannot be made, the open says why.
        let _ = view.mkdir(&Spot::beside(&spot.path[..at]), 0o777);
    }
}
