//! The FUSE file system in the kernel, and its tree at the mount point.
//!
//! What is made first is a mount of the anteroom that is attached nowhere. The tree is a directory
//! of it, and what people see as the mount is that directory, bound.

use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::thread;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags};
use rustix::io::Errno;

use super::place::Place;
use crate::error::{Error, ExitCode, Result};
use crate::options::Options;
use crate::sys::{mount, namespace};

/// Where the kernel's FUSE begins.
pub(crate) const DEVICE: &str = "/dev/fuse";

/// A connection to the kernel and the mount that it serves, attached nowhere.
#[derive(Debug)]
pub(crate) struct Connection {
    /// To be served.
    pub(crate) device: OwnedFd,
    /// The root of the file system.
    pub(crate) anteroom: OwnedFd,
}

/// Opens /dev/fuse.
pub(crate) fn open_device() -> Result<OwnedFd> {
    let device = open_character_device(Path::new(DEVICE));
    device.map_err(|error| {
        let failure = Error::path("open", Path::new(DEVICE), error);
        match error {
            Errno::NOENT | Errno::NXIO | Errno::NODEV => failure
                .hint("Load the kernel's FUSE: modprobe fuse. In a container: --device /dev/fuse"),
            Errno::ACCESS => failure.hint("Only its owner may: as root, chmod 666 /dev/fuse"),
            Errno::PERM => {
                failure.hint("The container's device rules forbid it: --device /dev/fuse")
            }
            Errno::NOTTY => failure
                .hint("It is no device. As root: rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229"),
            _ => failure,
        }
    })
}

fn open_character_device(path: &Path) -> rustix::io::Result<OwnedFd> {
    let device = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    let mode = rustix::fs::fstat(&device)?.st_mode;
    if FileType::from_raw_mode(mode) == FileType::CharacterDevice {
        Ok(device)
    } else {
        Err(Errno::NOTTY)
    }
}

/// Makes the file system in the kernel.
pub(crate) fn connect(options: &Options, source: &OsStr) -> Result<Connection> {
    let device = open_device()?;
    let text = |value: String| CString::new(value).unwrap_or_default();
    let source = CString::new(source.as_bytes())
        .map_err(|_| Error::usage("the source has a zero byte in it"))?;
    let number = text(device.as_raw_fd().to_string());
    let uid = text(rustix::process::geteuid().as_raw().to_string());
    let gid = text(rustix::process::getegid().as_raw().to_string());
    let parameters = [
        (
            c"source",
            if source.is_empty() { c"shmfs" } else { &source },
        ),
        (c"subtype", c"shmfs"),
        (c"fd", &number),
        (c"rootmode", c"40000"),
        (c"user_id", &uid),
        (c"group_id", &gid),
        // As on tmpfs: everybody may come in, and the kernel checks permissions.
        (c"allow_other", c""),
        (c"default_permissions", c""),
    ];
    let anteroom =
        mount::make(c"fuse", &parameters, mount::attributes(options)).map_err(refused)?;
    Ok(Connection { device, anteroom })
}

fn refused(error: Errno) -> Error {
    let failure = Error::system("cannot mount a FUSE file system", error).code(ExitCode::Mount);
    match error {
        Errno::PERM => {
            failure.hint("It needs CAP_SYS_ADMIN in the user namespace of this mount namespace.")
        }
        Errno::NODEV => failure.hint("This kernel has no FUSE: modprobe fuse"),
        Errno::NOSYS => failure.hint("This kernel lacks fsopen(2): Linux 5.2 or later is needed."),
        _ => failure,
    }
}

/// The directory `entrance` of the anteroom, as a mount that is attached nowhere.
pub(crate) fn tree(anteroom: BorrowedFd<'_>, entrance: &CStr) -> Result<OwnedFd> {
    let cloned = mount::clone_tree(anteroom, entrance).map_err(io::Error::from);
    let cloned = cloned.or_else(|error| match error.raw_os_error() {
        // Before Linux 6.15 nothing of a mount that is attached nowhere could be cloned.
        Some(libc::EINVAL) => tree_by_namespace(anteroom, entrance),
        Some(_) | None => Err(error),
    });
    cloned.map_err(|error| Error::system("cannot bind the tree", error).code(ExitCode::Mount))
}

/// The same where the anteroom must be attached for it: in a namespace that ends with the thread.
fn tree_by_namespace(anteroom: BorrowedFd<'_>, entrance: &CStr) -> io::Result<OwnedFd> {
    let clone = || -> io::Result<OwnedFd> {
        namespace::unshare_mounts()?;
        let root = rustix::fs::open(
            "/",
            OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        mount::attach(anteroom, root)?;
        Ok(mount::clone_tree(anteroom, entrance)?)
    };
    let cloned = thread::scope(|scope| scope.spawn(clone).join());
    cloned.unwrap_or_else(|_| Err(io::Error::other("the thread that binds the tree failed")))
}

/// The number of the device of what is mounted, as the table of mounts has it.
pub(crate) fn device_of(tree: &OwnedFd) -> Result<String> {
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let found = rustix::fs::statx(tree, c"", flags, StatxFlags::empty());
    let found = found.map_err(|error| Error::system("cannot find the device", error))?;
    Ok(format!("{}:{}", found.stx_dev_major, found.stx_dev_minor))
}

/// Attaches the `tree` where people want it.
pub(crate) fn attach(tree: &OwnedFd, place: &Place) -> Result<()> {
    mount::attach(tree.as_fd(), place)
        .map_err(|error| Error::path("mount on", place.path(), error).code(ExitCode::Mount))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::{Layout, Service};
    use crate::mount::live::Server;
    use crate::mount::table;

    #[test]
    fn the_tree_is_bound_without_a_detached_clone() {
        let options = Options::default();
        let connection = connect(&options, OsStr::new("test")).expect("needs root and /dev/fuse");
        let started =
            <Service as Server>::start(connection.device, None, Layout::Anteroom, &options, None);
        let service = started.unwrap();
        let entrance = service.entrance().unwrap();
        let tree = tree_by_namespace(connection.anteroom.as_fd(), entrance).unwrap();
        drop(connection.anteroom);
        // It outlives the namespace that it was cloned in, and is not seen in this one.
        rustix::fs::fstat(&tree).unwrap();
        let mut entries = table::entries().unwrap().into_iter();
        assert!(!entries.any(|entry| entry.is_shmfs() && entry.source == "test"));
        drop(tree);
        service.wait().unwrap();
    }
}
