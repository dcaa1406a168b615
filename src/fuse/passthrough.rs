//! Passthrough: data files registered with the connection, and replies that name them.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use fuser::{FileAttr, FileHandle, FopenFlags, Generation, ReplyCreate, ReplyOpen};

use crate::errno::Result;
use crate::ops::{Backing, Opened};
use crate::sys::fuse_device::{backing_close, backing_open};

/// The connection as the keeper of registrations.
#[derive(Debug)]
pub(super) struct Registry {
    device: Arc<OwnedFd>,
}

impl Registry {
    pub(super) fn new(device: Arc<OwnedFd>) -> Registry {
        Registry { device }
    }

    /// Whether this process may register at all: the kernel grants passthrough in INIT to anybody.
    pub(super) fn probe(&self, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let id = backing_open(&self.device, file)?;
        backing_close(&self.device, id)
    }
}

impl Backing for Registry {
    fn register(&self, file: BorrowedFd<'_>) -> Result<u32> {
        Ok(backing_open(&self.device, file)?)
    }

    fn unregister(&self, id: u32) {
        if let Err(error) = backing_close(&self.device, id) {
            tracing::debug!(id, %error, "cannot take a registration back");
        }
    }
}

/// How the kernel is to use an open file.
fn open_flags(opened: Opened) -> FopenFlags {
    match (opened.backing, opened.counted) {
        // Nothing but the daemon's own writes changes a data file behind the page cache's back.
        (None, _) => FopenFlags::FOPEN_KEEP_CACHE,
        (Some(_), false) => FopenFlags::empty(),
        (Some(_), true) => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES,
    }
}

/// Handles need no table: a request carries the node id, and the kernel has checked the access mode.
const HANDLE: FileHandle = FileHandle(0);

pub(super) fn reply_open(reply: ReplyOpen, opened: Opened) {
    let flags = open_flags(opened);
    let Some(id) = opened.backing else {
        return reply.opened(HANDLE, flags);
    };
    // SAFETY: the id is registered with this connection, and the store keeps it until the inode's last
    // RELEASE; `into_raw` gives the ownership back to the store.
    #[allow(unsafe_code)]
    let backing = unsafe { reply.wrap_backing(id) };
    reply.opened_passthrough(HANDLE, flags, &backing);
    backing.into_raw();
}

pub(super) fn reply_create(
    reply: ReplyCreate,
    ttl: &Duration,
    attr: &FileAttr,
    generation: Generation,
    opened: Opened,
) {
    let flags = open_flags(opened);
    let Some(id) = opened.backing else {
        return reply.created(ttl, attr, generation, HANDLE, flags);
    };
    // SAFETY: as in `reply_open`.
    #[allow(unsafe_code)]
    let backing = unsafe { reply.wrap_backing(id) };
    reply.created_passthrough(ttl, attr, generation, HANDLE, flags, &backing);
    backing.into_raw();
}
