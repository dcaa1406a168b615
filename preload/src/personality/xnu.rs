//! XNU: the kernel's table, no umask, and descriptors that are good for one ftruncate and for mmap.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::Stat;

use super::{InKernel, Name, Personality, access};
use crate::errno::{Errno, Result};
use crate::object::{self, Rule};
use crate::semaphore::{self, Request, unlink_from_kernel};
use crate::session::Call;
use crate::view::NameOp;

const SEM_VALUE_MAX: u32 = 32_767;

#[derive(Debug)]
pub(super) struct Xnu {
    rule: Rule,
}

impl Xnu {
    /// 4903.270 and later.
    pub(super) const NEW: Xnu = Xnu { rule: Rule::Xnu };
    /// Before.
    pub(super) const OLD: Xnu = Xnu { rule: Rule::XnuOld };
}

/// O_TRUNC is good only as long as no ftruncate gave the object its size.
fn no_truncation_of_sized(stat: &Stat, flags: i32) -> Result<()> {
    if stat.st_size > 0 && flags & libc::O_TRUNC != 0 {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

impl Personality for Xnu {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let view = call.shm();
        let name = name.bytes()?;
        let spot = view.locate(NameOp::Open, name)?;
        if access(flags) == libc::O_ACCMODE {
            return Err(Errno::EINVAL);
        }
        if self.rule == Rule::XnuOld && flags & libc::O_TRUNC != 0 {
            let exclusive = flags & libc::O_CREAT != 0 && flags & libc::O_EXCL != 0;
            let exists = exclusive && view.lstat(&spot).is_ok();
            return Err(if exists { Errno::EEXIST } else { Errno::EINVAL });
        }
        let table = InKernel {
            exact_mode: true,
            existing: no_truncation_of_sized,
        };
        let (file, _) = table.open(&view, name, flags, mode)?;
        if !call.lenient() {
            object::watch(file.as_fd(), self.rule);
        }
        Ok(file)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        let owner = view.lstat(&spot)?.st_uid;
        let flags = libc::O_WRONLY | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        if owner != rustix::process::geteuid().as_raw() {
            view.open(&spot, flags, 0)?;
        }
        unlink_from_kernel(&view, &spot)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        // The value is looked at first, of a semaphore that exists too.
        if request.creates() {
            request.value_within(SEM_VALUE_MAX)?;
        }
        let table = semaphore::InKernel {
            exclusive_alone: false,
        };
        table.open(&view, &spot, request, || Ok(()))
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        unlink_from_kernel(&view, &spot)
    }
}
