//! Haiku: a plain open of the escaped path; semaphores are in the kernel.

use std::os::fd::OwnedFd;

use super::{Name, Personality};
use crate::errno::{Errno, Result};
use crate::semaphore::{InKernel, Request, unlink_from_kernel};
use crate::session::Call;
use crate::view::NameOp;

#[derive(Debug)]
pub(super) struct Haiku;

impl Personality for Haiku {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let view = call.shm();
        let spot = view.locate(NameOp::Open, name.bytes_or(Errno::EINVAL)?)?;
        view.open(&spot, flags | libc::O_CLOEXEC, mode)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes_or(Errno::EINVAL)?)?;
        view.unlink(&spot)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        request.value_within(i32::MAX as u32)?;
        let view = call.sem()?;
        let spot = view.locate(NameOp::Open, name.bytes_or(Errno::EINVAL)?)?;
        let table = InKernel {
            exclusive_alone: false,
        };
        table.open(&view, &spot, request, || Ok(()))
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Unlink, name.bytes_or(Errno::EINVAL)?)?;
        unlink_from_kernel(&view, &spot)
    }
}
