//! The beginning of a session: with the kernel's INIT, or with a copy of it.
//!
//! fuser begins by reading an INIT. The kernel sends one in the life of a connection, so a process that goes
//! on with a connection shows fuser the copy that was kept, through a socket, and takes the answer from there;
//! then the device takes the socket's place, under the socket's number.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use fuser::{Session, SessionACL};

use super::adapter::Adapter;
use crate::error::{Error, Result};
use crate::sys::{buffers, channel, descriptors};

/// Where the INIT comes from, and where its answer goes.
#[derive(Debug)]
pub enum Handshake<'a> {
    /// The kernel, by the device.
    Device,
    /// It has been read from the device.
    Kept(Kept<'a>),
}

/// An INIT that was read before.
pub struct Kept<'a> {
    /// The request.
    pub request: &'a [u8],
    /// Takes the answer; on return the kernel has it.
    pub answer: &'a mut dyn FnMut(&[u8]) -> io::Result<()>,
}

impl std::fmt::Debug for Kept<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kept").finish_non_exhaustive()
    }
}

/// Begins a session on `device`.
pub(super) fn session(
    adapter: Adapter,
    device: &OwnedFd,
    config: fuser::Config,
    handshake: Handshake<'_>,
) -> Result<Session<Adapter>> {
    let begun = match handshake {
        Handshake::Device => device
            .try_clone()
            .and_then(|own| Session::from_fd(adapter, own, SessionACL::All, config)),
        Handshake::Kept(kept) => from_copy(adapter, device, config, kept),
    };
    begun.map_err(|error| {
        Error::system(
            "the kernel and shmfs do not agree on a FUSE connection",
            error,
        )
    })
}

fn from_copy(
    adapter: Adapter,
    device: &OwnedFd,
    config: fuser::Config,
    kept: Kept<'_>,
) -> io::Result<Session<Adapter>> {
    let (ours, theirs) = channel::pair()?;
    channel::send(&ours, kept.request, None)?;
    let begin = || Session::from_fd(adapter, theirs, SessionACL::All, config);
    let session = buffers::unprepared(begin)?;
    let answer = channel::receive(&ours)?;
    (kept.answer)(&answer.bytes)?;
    descriptors::replace(session.as_fd(), device.as_fd())?;
    Ok(session)
}
