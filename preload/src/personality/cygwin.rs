//! Cygwin: the directory first, then the name, then the flags; a semaphore whose owner may execute it
//! is still being made.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::Mode;

use super::{Name, Personality, checked};
use crate::directory::{Spot, View};
use crate::errno::{Errno, Result};
use crate::semaphore::{Request, initialise};
use crate::session::Call;
use crate::view::NameOp;

const BEING_MADE: u32 = libc::S_IXUSR;
const OPEN_TRIES: u32 = 10;
const SEM_VALUE_MAX: u32 = 1_147_483_648;

#[derive(Debug)]
pub(super) struct Cygwin;

impl Personality for Cygwin {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let view = call.shm();
        directory(call, &view)?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        checked(flags, libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC)?;
        view.open(&spot, flags | libc::O_CLOEXEC, mode & 0o777)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        directory(call, &view)?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        let view = call.sem()?;
        directory(call, &view)?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        loop {
            if request.creates() {
                match create(&view, &spot, request) {
                    Err(Errno::EEXIST) if !request.only_creates() => {}
                    made => return made,
                }
            }
            match open_made(&view, &spot) {
                Err(Errno::ENOENT) if request.creates() => {}
                opened => return opened,
            }
        }
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        directory(call, &view)?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot)
    }
}

fn directory(call: &Call, view: &View<'_>) -> Result<()> {
    if view.is_real_directory() {
        return Ok(());
    }
    call.trail
        .note("the directory must exist and be no symbolic link");
    crate::sys::print(b"Warning: the directory of shared memory does not exist or is none\n");
    Err(Errno::EINVAL)
}

fn create(view: &View<'_>, spot: &Spot, request: &Request) -> Result<OwnedFd> {
    let mode = request.mode & 0o7777 & !BEING_MADE;
    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR | libc::O_CLOEXEC;
    let file = view.open(spot, flags, mode | BEING_MADE)?;
    let made = request
        .value_within(SEM_VALUE_MAX)
        .and_then(|()| initialise(&file, request.value))
        // This mode knows no umask.
        .and_then(|()| Ok(rustix::fs::fchmod(&file, Mode::from_bits_retain(mode))?));
    if let Err(errno) = made {
        // It is our own file, of a moment ago.
        let _ = view.unlink(spot);
        return Err(errno);
    }
    Ok(file)
}

fn open_made(view: &View<'_>, spot: &Spot) -> Result<OwnedFd> {
    let file = view.open(spot, libc::O_RDWR | libc::O_CLOEXEC, 0)?;
    for attempt in 0..OPEN_TRIES {
        if attempt > 0 {
            crate::sys::wait_a_second();
        }
        if rustix::fs::fstat(file.as_fd())?.st_mode & BEING_MADE == 0 {
            return Ok(file);
        }
    }
    Err(Errno::from_raw(libc::ETIMEDOUT))
}
