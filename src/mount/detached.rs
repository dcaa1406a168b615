//! The tmpfs that holds the data and is attached nowhere: one descriptor is all there is of it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;

use rustix::mount::MountAttrFlags;

use crate::options::{Huge, Options};
use crate::sys::mount;
use crate::sys::namespace::{IdMaps, from_user_namespace};

/// Makes it with the limits of `options`; `None` where this host does not let us.
///
/// A caller without privileges gets it from a child in a user namespace of its own.
pub(crate) fn make(options: &Options) -> Option<OwnedFd> {
    let settings = Settings::of(options);
    let made = settings.make().map_err(io::Error::from).or_else(|direct| {
        tracing::debug!(%direct, "no detached tmpfs of our own; trying in a user namespace");
        settings.make_in_user_namespace()
    });
    match made {
        Ok(root) => Some(root),
        Err(error) => {
            tracing::info!(%error, "no detached tmpfs on this host: each object is a memfd");
            None
        }
    }
}

/// All that is needed to make it, in a form that can be used after fork(2).
struct Settings {
    size: CString,
    huge: &'static CStr,
    attributes: MountAttrFlags,
}

impl Settings {
    fn of(options: &Options) -> Settings {
        let huge = match options.huge {
            Huge::Never => c"never",
            Huge::Always => c"always",
            Huge::WithinSize => c"within_size",
            Huge::Advise => c"advise",
        };
        let hidden = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
        let attributes = hidden | mount::atime_attributes(options);
        // tmpfs(5): a size of 0 is no limit, here as in our own options.
        let size = CString::new(options.size.to_string()).unwrap_or_default();
        Settings {
            size,
            huge,
            attributes,
        }
    }

    fn make(&self) -> rustix::io::Result<OwnedFd> {
        let base = [
            (c"source", c"shmfs"),
            (c"size", self.size.as_c_str()),
            // The store counts inodes: data files are not the objects.
            (c"nr_inodes", c"0"),
            (c"mode", c"0700"),
            (c"huge", self.huge),
        ];
        // A kernel without huge pages does not know the parameter at all.
        let parameters = if self.huge == c"never" {
            &base[..4]
        } else {
            &base[..]
        };
        mount::make(c"tmpfs", parameters, self.attributes)
    }

    fn make_in_user_namespace(&self) -> io::Result<OwnedFd> {
        let maps = IdMaps::of_caller();
        // SAFETY: `make` passes prepared strings to system calls, and does nothing else.
        unsafe { from_user_namespace(&maps, || self.make()) }
    }
}
