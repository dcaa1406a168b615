//! Namespaces of mounts and users.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountPropagationFlags, fsopen, mount_change};
use rustix::thread::UnshareFlags;

use super::channel;

/// What a user namespace maps: the caller onto himself.
#[derive(Debug)]
pub struct IdMaps {
    uid_map: CString,
    gid_map: CString,
}

impl IdMaps {
    /// Maps for the calling process as it is now, outside the namespace.
    pub fn of_caller() -> IdMaps {
        let uid = rustix::process::geteuid().as_raw();
        let gid = rustix::process::getegid().as_raw();
        IdMaps {
            uid_map: map_line(uid),
            gid_map: map_line(gid),
        }
    }

    /// Writes the maps of the namespace that the calling process has just made. Allocates nothing.
    fn write(&self) -> rustix::io::Result<()> {
        // user_namespaces(7): without privilege gid_map can only be written after this.
        write_file(c"/proc/self/setgroups", b"deny")?;
        write_file(c"/proc/self/uid_map", self.uid_map.as_bytes())?;
        write_file(c"/proc/self/gid_map", self.gid_map.as_bytes())
    }
}

fn map_line(id: u32) -> CString {
    CString::new(format!("{id} {id} 1")).unwrap_or_default()
}

fn write_file(path: &CStr, bytes: &[u8]) -> rustix::io::Result<()> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, bytes).map(drop)
}

/// Moves the calling thread into a mount namespace of its own, from which nothing goes back.
pub fn unshare_mounts() -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWNS)?;
    make_slave()
}

/// The same in a user namespace of its own, in which it has every capability.
pub fn unshare_user_and_mounts(maps: &IdMaps) -> rustix::io::Result<()> {
    unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS)?;
    maps.write()?;
    make_slave()
}

/// What is mounted outside later still appears; what is mounted here stays here.
fn make_slave() -> rustix::io::Result<()> {
    mount_change(
        c"/",
        MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC,
    )
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the table of descriptors stays shared.
    unsafe { rustix::thread::unshare_unsafe(flags) }
}

/// Runs `make` in a child with a user and a mount namespace of its own, and takes the descriptor
/// that it makes.
///
/// `make` and all that it calls must not allocate nor take a lock, since the calling process may
/// have other threads.
///
/// # Safety
///
/// As said: in a child of a process with several threads only async-signal-safe calls are sound.
pub unsafe fn from_user_namespace(
    maps: &IdMaps,
    make: impl Fn() -> rustix::io::Result<OwnedFd>,
) -> io::Result<OwnedFd> {
    let (ours, theirs) = channel::pair()?;
    // SAFETY: the child makes system calls alone, by the caller's promise, and ends by `_exit`.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let made = unshare_user_and_mounts(maps).and_then(|()| make());
        answer(theirs.as_fd(), made);
        super::process::exit_now(0);
    }
    let Some(pid) = rustix::process::Pid::from_raw(pid).filter(|_| pid > 0) else {
        return Err(io::Error::last_os_error());
    };
    drop(theirs);
    let message = channel::receive(&ours);
    // A program that uses the library may reap all children itself: that is no failure.
    drop(super::process::wait_for(pid));
    let message = message?;
    match (message.descriptor, message.bytes.as_slice().try_into()) {
        (Some(made), _) => Ok(made),
        (None, Ok(number)) => Err(io::Error::from_raw_os_error(i32::from_ne_bytes(number))),
        (None, Err(_)) => Err(io::Error::other(
            "the child that makes the namespace ended early",
        )),
    }
}

fn answer(socket: BorrowedFd<'_>, made: Result<OwnedFd, Errno>) {
    let sent = match &made {
        Ok(made) => channel::send(socket, b"made", Some(made.as_fd())),
        Err(error) => channel::send(socket, &error.raw_os_error().to_ne_bytes(), None),
    };
    // Without an answer the parent sees the end of the channel.
    drop(sent);
}

/// Whether the caller gets a user namespace in which he may mount file systems of the type `kind`.
pub fn probe_user_namespace(maps: &IdMaps, kind: &CStr) -> io::Result<()> {
    // Whether the type may be mounted by a user shows when it is opened; nothing is mounted.
    let open = || fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC);
    // SAFETY: `open` makes one system call.
    unsafe { from_user_namespace(maps, open) }.map(drop)
}

/// Moves the calling process, which has one thread, into the mount namespace that `path` is.
pub fn enter_mounts(path: &std::path::Path) -> rustix::io::Result<()> {
    let namespace = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let kind = rustix::thread::LinkNameSpaceType::Mount;
    rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))
}
