//! The place of /dev/shm in a mount namespace of our own.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::error::{Error, Result};
use crate::mount::place::Place;
use crate::sys::mount;

pub(super) const SHM: &str = "/dev/shm";

/// Finds the directory to mount on; where there is none, makes one that only this namespace has.
pub(super) fn place() -> Result<Place> {
    match rustix::fs::stat(SHM) {
        Err(Errno::NOENT) => {
            make_dev().map_err(|error| Error::path("make", Path::new(SHM), error))?;
            Place::resolve(Path::new(SHM))
        }
        Ok(_) | Err(_) => Place::resolve(Path::new(SHM)),
    }
}

/// Covers /dev by a directory with the same entries, and `shm` besides.
fn make_dev() -> std::io::Result<()> {
    let directory = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let old = rustix::fs::open("/dev", directory, Mode::empty())?;
    let parameters = [
        (c"source", c"shmfs-dev"),
        (c"mode", c"0755"),
        (c"size", c"64k"),
    ];
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let made = mount::make(c"tmpfs", &parameters, attributes)?;
    // Mounts can only be attached to what is attached itself.
    mount::attach(made.as_fd(), &old)?;
    for entry in Dir::read_from(&old)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." || name == c"shm" {
            continue;
        }
        if let Err(error) = show(&old, &made, name) {
            tracing::debug!(?name, %error, "left out of the new /dev");
        }
    }
    rustix::fs::mkdirat(&made, "shm", Mode::from(0o1777))?;
    Ok(())
}

/// Shows the entry `name` of `old` in `new`.
fn show(old: &OwnedFd, new: &OwnedFd, name: &std::ffi::CStr) -> std::io::Result<()> {
    let status = rustix::fs::statat(old, name, AtFlags::SYMLINK_NOFOLLOW)?;
    let only_place = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match FileType::from_raw_mode(status.st_mode) {
        FileType::Symlink => {
            let target = rustix::fs::readlinkat(old, name, Vec::new())?;
            let target = std::ffi::OsStr::from_bytes(target.as_bytes());
            rustix::fs::symlinkat(target, new, name)?;
            return Ok(());
        }
        FileType::Directory => rustix::fs::mkdirat(new, name, Mode::from(0o755))?,
        _ => drop(rustix::fs::openat(
            new,
            name,
            OFlags::CREATE | OFlags::CLOEXEC,
            Mode::empty(),
        )?),
    }
    let tree = mount::clone_trees(old, name)?;
    let target = rustix::fs::openat(new, name, only_place, Mode::empty())?;
    mount::attach(tree.as_fd(), target)?;
    Ok(())
}
