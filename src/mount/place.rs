//! A mount point, resolved once and then named by its descriptor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use super::table;
use crate::error::{Error, ExitCode, Result};

/// A directory to mount on.
#[derive(Debug)]
pub(crate) struct Place {
    directory: OwnedFd,
    path: PathBuf,
}

impl Place {
    /// Looks `path` up, for good.
    pub(crate) fn resolve(path: &Path) -> Result<Place> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| unusable(path, error))?;
        // O_PATH asks the file system nothing, and fstat may be answered from a cache; this goes to
        // the file system: a dead mount shows itself here.
        rustix::fs::fstatfs(&directory).map_err(|error| unusable(path, error))?;
        let path =
            table::path_of(&directory).map_err(|error| Error::path("resolve", path, error))?;
        Ok(Place { directory, path })
    }

    /// Looks `path` up, for good, and follows no symbolic link on the way: in a container's root somebody else could
    /// put one there.
    pub(crate) fn resolve_strictly(path: &Path) -> Result<Place> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let strictly = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
        let absolute =
            std::path::absolute(path).map_err(|error| Error::path("find", path, error))?;
        let root =
            rustix::fs::open("/", flags, Mode::empty()).map_err(|error| unusable(path, error))?;
        let directory = rustix::fs::openat2(root, &absolute, flags, Mode::empty(), strictly);
        let directory = directory.map_err(|error| match error {
            Errno::LOOP => unusable(path, error)
                .hint("No symbolic link may be on the way: name the directory itself, as realpath(1) does."),
            _ => unusable(path, error),
        })?;
        let path =
            table::path_of(&directory).map_err(|error| Error::path("resolve", path, error))?;
        Ok(Place { directory, path })
    }

    /// Its path, without symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl AsFd for Place {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

fn unusable(path: &Path, error: Errno) -> Error {
    let failure = Error::path("mount on", path, error).code(ExitCode::Mount);
    match error {
        Errno::NOENT => failure.hint(format!(
            "Make the mount point first: mkdir {}",
            path.display()
        )),
        Errno::NOTDIR => failure.hint("A mount point is a directory."),
        Errno::NOTCONN | Errno::CONNABORTED => failure.hint(dead_mount_hint(path)),
        _ => failure,
    }
}

/// What to do about a mount whose daemon is gone.
pub(crate) fn dead_mount_hint(path: &Path) -> String {
    let path = path.display();
    format!(
        "A mount whose daemon is gone is still there. Clean it with: shmfs umount --lazy {path}"
    )
}
