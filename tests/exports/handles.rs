//! File handles, which an attacker may change before he uses them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::sys::{self, R};

const MAX: usize = 128;

/// What name_to_handle_at(2) gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Handle {
    pub(crate) kind: i32,
    pub(crate) bytes: Vec<u8>,
}

/// `struct file_handle` with room for the bytes.
#[repr(C)]
struct Raw {
    length: u32,
    kind: i32,
    bytes: [u8; MAX],
}

/// The handle of a name.
pub(crate) fn of(path: impl AsRef<Path>) -> R<Handle> {
    let path = sys::c(path);
    let mut raw = Raw {
        length: MAX as u32,
        kind: 0,
        bytes: [0; MAX],
    };
    let mut mount = 0;
    // SAFETY: `raw` has room for as many bytes as it says.
    sys::check(unsafe {
        libc::name_to_handle_at(
            libc::AT_FDCWD,
            path.as_ptr(),
            (&raw mut raw).cast(),
            &raw mut mount,
            0,
        )
    })?;
    Ok(Handle {
        kind: raw.kind,
        bytes: raw.bytes[..raw.length as usize].to_vec(),
    })
}

/// open_by_handle_at(2) on the mount of `root`.
pub(crate) fn open(root: &impl AsRawFd, handle: &Handle, flags: i32) -> R<OwnedFd> {
    let mut raw = Raw {
        length: handle.bytes.len() as u32,
        kind: handle.kind,
        bytes: [0; MAX],
    };
    raw.bytes[..handle.bytes.len()].copy_from_slice(&handle.bytes);
    // SAFETY: `raw` has as many bytes as it says; the descriptor is new.
    sys::owned(unsafe {
        libc::open_by_handle_at(
            root.as_raw_fd(),
            (&raw mut raw).cast(),
            flags | libc::O_CLOEXEC,
        )
    })
}
