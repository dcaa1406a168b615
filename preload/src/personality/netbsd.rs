//! NetBSD: the directory is checked before the name; semaphores are in the kernel.

use std::os::fd::OwnedFd;

use super::{Name, Personality};
use crate::directory::View;
use crate::errno::{Errno, Result};
use crate::semaphore::{InKernel, Request, unlink_from_kernel};
use crate::session::Call;
use crate::view::{NameOp, Place};

/// What `_shm_check_fs` asks of the mode.
const STICKY_FOR_ALL: u32 = 0o1777;

#[derive(Debug)]
pub(super) struct NetBsd;

impl Personality for NetBsd {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let view = call.shm();
        directory(call, &view)?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        view.open(&spot, flags | libc::O_CLOEXEC | libc::O_NOFOLLOW, mode)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        directory(call, &view)?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        let view = call.sem()?;
        let name = name.bytes()?;
        let spot = match view.locate(NameOp::Open, name) {
            Ok(spot) => spot,
            // Only a new one's name is looked at; an odd one is not found.
            Err(Errno::EINVAL) if !request.creates() => return Err(Errno::ENOENT),
            Err(Errno::EINVAL) => {
                request.value_within(u32::MAX)?;
                return Err(Errno::EINVAL);
            }
            Err(errno) => return Err(errno),
        };
        let table = InKernel {
            exclusive_alone: true,
        };
        table.open(&view, &spot, request, || request.value_within(u32::MAX))
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        unlink_from_kernel(&view, &spot)
    }
}

/// The view stands for a tmpfs: shmfs and a tmpfs pass, a directory of a disk does not.
fn directory(call: &Call, view: &View<'_>) -> Result<()> {
    if call.lenient() {
        return Ok(());
    }
    let mode = view.attributes().map_or(0, |stat| stat.st_mode);
    let is_directory = mode & libc::S_IFMT == libc::S_IFDIR;
    if is_directory && mode & STICKY_FOR_ALL == STICKY_FOR_ALL && view.is_memory() {
        return Ok(());
    }
    call.trail.set_place(&Place::Path(b"/var/shm".to_vec()));
    call.trail.note("the directory is no tmpfs of mode 1777");
    Err(Errno::EOPNOTSUPP)
}
