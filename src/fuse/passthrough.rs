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
        // The page cache is the tree's own.
        (None, _) if opened.direct => FopenFlags::FOPEN_DIRECT_IO,
        // Nothing but the daemon's own writes changes a data file behind the page cache's back.
        (None, _) => FopenFlags::FOPEN_KEEP_CACHE,
        (Some(_), false) => FopenFlags::empty(),
        (Some(_), true) => FopenFlags::FOPEN_DIRECT_IO | FopenFlags::FOPEN_PARALLEL_DIRECT_WRITES,
    }
}

/// Handles need no table: a request carries the node id, and the kernel has checked the access mode. All that a handle
/// says is whether it is for writing: an `O_TRUNC` of one that is not must not pass in an export.
fn handle(writable: bool) -> FileHandle {
    FileHandle(u64::from(writable))
}

/// Whether a handle of ours is for reading alone.
pub(super) fn is_read_only(handle: FileHandle) -> bool {
    handle.0 == 0
}

/// What the kernel gets of a file that was made.
pub(super) struct Made {
    pub(super) attr: FileAttr,
    pub(super) generation: Generation,
    pub(super) ttl: Duration,
}

pub(super) fn reply_open(reply: ReplyOpen, opened: Opened, writable: bool) {
    let (flags, handle) = (open_flags(opened), handle(writable));
    let Some(id) = opened.backing else {
        return reply.opened(handle, flags);
    };
    // SAFETY: the id is registered with this connection, and the store keeps it until the inode's last
    // RELEASE; `into_raw` gives the ownership back to the store.
    #[allow(unsafe_code)]
    let backing = unsafe { reply.wrap_backing(id) };
    reply.opened_passthrough(handle, flags, &backing);
    backing.into_raw();
}

pub(super) fn reply_create(reply: ReplyCreate, made: &Made, opened: Opened, writable: bool) {
    let (flags, handle) = (open_flags(opened), handle(writable));
    let Made {
        attr,
        generation,
        ttl,
    } = made;
    let Some(id) = opened.backing else {
        return reply.created(ttl, attr, *generation, handle, flags);
    };
    // SAFETY: as in `reply_open`.
    #[allow(unsafe_code)]
    let backing = unsafe { reply.wrap_backing(id) };
    reply.created_passthrough(ttl, attr, *generation, handle, flags, &backing);
    backing.into_raw();
}
