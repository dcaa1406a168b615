//! The ioctls of `/dev/fuse` for passthrough (include/uapi/linux/fuse.h).

use std::os::fd::{AsFd, AsRawFd};

use rustix::io;
use rustix::ioctl::{Ioctl, IoctlOutput, Opcode, Setter, opcode};

#[repr(C)]
struct BackingMap {
    fd: i32,
    flags: u32,
    padding: u64,
}

const BACKING_OPEN: Opcode = opcode::write::<BackingMap>(229, 1);
const BACKING_CLOSE: Opcode = opcode::write::<u32>(229, 2);

/// `FUSE_DEV_IOC_BACKING_OPEN`: its answer is the backing id, which rustix's own patterns drop.
struct BackingOpen(BackingMap);

// SAFETY: the kernel reads one `struct fuse_backing_map` and answers with a number.
unsafe impl Ioctl for BackingOpen {
    type Output = u32;
    const IS_MUTATING: bool = false;

    fn opcode(&self) -> Opcode {
        BACKING_OPEN
    }

    fn as_ptr(&mut self) -> *mut std::ffi::c_void {
        (&raw mut self.0).cast()
    }

    unsafe fn output_from_ptr(out: IoctlOutput, _: *mut std::ffi::c_void) -> io::Result<u32> {
        Ok(out as u32)
    }
}

/// Registers `data` as a backing file of the connection; the id is the connection's own.
pub fn backing_open(device: impl AsFd, data: impl AsFd) -> io::Result<u32> {
    let map = BackingMap {
        fd: data.as_fd().as_raw_fd(),
        flags: 0,
        padding: 0,
    };
    // SAFETY: the opcode goes with the argument's type, and the descriptors outlive the call.
    unsafe { rustix::ioctl::ioctl(device, BackingOpen(map)) }
}

/// Whether the kernel has an inode for the node `id`: it says when it has none whose attributes it is to drop
/// (`FUSE_NOTIFY_INVAL_INODE`).
pub fn is_known(device: impl AsFd, id: u64) -> bool {
    const INVAL_INODE: i32 = 2;
    const LENGTH: usize = 16 + 24;
    // A `struct fuse_out_header` and a `struct fuse_notify_inval_inode_out`; a negative offset leaves the
    // data alone.
    let mut notice = [0; LENGTH];
    notice[..4].copy_from_slice(&(LENGTH as u32).to_ne_bytes());
    notice[4..8].copy_from_slice(&INVAL_INODE.to_ne_bytes());
    notice[16..24].copy_from_slice(&id.to_ne_bytes());
    notice[24..32].copy_from_slice(&(-1i64).to_ne_bytes());
    rustix::io::write(device, &notice) != Err(io::Errno::NOENT)
}

/// Takes a registration back.
pub fn backing_close(device: impl AsFd, id: u32) -> io::Result<()> {
    // SAFETY: the opcode goes with the argument's type: the kernel reads one u32.
    unsafe { rustix::ioctl::ioctl(device, Setter::<BACKING_CLOSE, u32>::new(id)) }
}
