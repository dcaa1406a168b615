//! OpenBSD: no name is refused, flags are; the object must be a regular file of the caller's own.

use std::os::fd::{AsFd, OwnedFd};

use super::{Name, Personality, checked, is_regular};
use crate::directory::letters;
use crate::errno::{Errno, Result};
use crate::semaphore::{Request, initialise};
use crate::session::Call;
use crate::view::NameOp;

/// The platform tries 2^31 names, whatever the failure; nobody waits so long.
const TEMPLATES: u32 = 100;
/// What its mktemp(3) asks of a template.
const LEAST_XS: usize = 6;

#[derive(Debug)]
pub(super) struct OpenBsd;

impl Personality for OpenBsd {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let known =
            libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_CLOEXEC | libc::O_NOFOLLOW;
        checked(flags, known)?;
        let view = call.shm();
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        let forced = libc::O_CLOEXEC | libc::O_NOFOLLOW;
        let file = view.open(&spot, flags | forced, mode & 0o600)?;
        own_regular(&file)?;
        Ok(file)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        request.only_known_flags()?;
        request.value_within(u32::MAX)?;
        let view = call.sem()?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC | request.flags;
        // The mode argument is read and ignored.
        let file = view.open(&spot, flags, 0o600)?;
        own_regular(&file)?;
        one_page(call, &file, request)?;
        Ok(file)
    }

    fn shm_mkstemp(&self, call: &Call, template: &mut [u8]) -> Result<OwnedFd> {
        let xs = template.iter().rev().take_while(|&&b| b == b'X').count();
        if xs < LEAST_XS {
            // The platform's mktemp says EINVAL 2^31 times, then it is this.
            return Err(Errno::EEXIST);
        }
        let start = template.len() - xs;
        let flags = libc::O_RDWR | libc::O_EXCL | libc::O_CREAT;
        for _ in 0..TEMPLATES {
            let mut name = template.to_vec();
            for byte in &mut name[start..] {
                let [letter] = letters::<1>();
                *byte = letter;
            }
            if let Ok(file) = self.shm_open(call, Name::Bytes(&name), flags, 0o600) {
                template.copy_from_slice(&name);
                return Ok(file);
            }
        }
        call.trail.note("the platform would try 2^31 names");
        Err(Errno::EEXIST)
    }
}

fn own_regular(file: &OwnedFd) -> Result<()> {
    if !is_regular(file) {
        return Err(Errno::EINVAL);
    }
    let owner = rustix::fs::fstat(file.as_fd())?.st_uid;
    if owner != rustix::process::geteuid().as_raw() {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// A semaphore is one page; an empty file becomes one where the call may create.
fn one_page(call: &Call, file: &OwnedFd, request: &Request) -> Result<()> {
    let size = rustix::fs::fstat(file.as_fd())?.st_size as u64;
    let page = crate::sys::page_size();
    if size == 0 && request.creates() {
        rustix::fs::ftruncate(file, page)?;
        return initialise(file, request.value);
    }
    if size != page && !call.lenient() {
        return Err(Errno::EINVAL);
    }
    Ok(())
}
