//! A mount that answers, and the end of it.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::place::Place;
use super::serve::detach;
use super::views::{self, Bindings};
use super::{attach, detached, fusermount, table};
use crate::error::{Error, ExitCode, Result};
use crate::fuse::{Layout, Service};
use crate::options::Options;
use crate::sys;

/// A mounted file system that this process serves.
#[derive(Debug)]
pub(crate) struct Live {
    /// What serves it.
    pub(crate) service: Service,
    /// What is mounted.
    pub(crate) identity: Identity,
}

impl Live {
    /// Mounts on `place`, in the way that the caller's privileges allow.
    pub(crate) fn mount(options: &Options, source: &OsStr, place: &Place) -> Result<Live> {
        match sys::mount::may_mount() {
            Ok(()) => Live::by_kernel(options, source, place, &Bindings::resolve(options)?),
            Err(Errno::PERM) => Live::by_fusermount(options, source, place),
            Err(error) => Err(Error::system("cannot mount by fsopen(2)", error)
                .hint("Linux 5.2 or later is needed, and a sandbox that lets fsopen through.")),
        }
    }

    /// Mounts with the privileges of the caller.
    pub(crate) fn by_kernel(
        options: &Options,
        source: &OsStr,
        place: &Place,
        bindings: &Bindings,
    ) -> Result<Live> {
        let connection = attach::connect(options, source)?;
        let data = detached::make(options);
        let service = Service::start(connection.device, data, options, Layout::Anteroom)?;
        let anteroom = connection.anteroom;
        let entrance = service
            .entrance()
            .ok_or_else(|| Error::new(ExitCode::Internal, "the anteroom has no entrance"))?;
        let tree = attach::tree(anteroom.as_fd(), entrance)?;
        attach::attach(&tree, place)?;
        let identity = Identity::of(&tree, place.path())?;
        if !service.passthrough() {
            lift_dirty_limit(&identity.device);
        }
        bindings
            .bind(tree.as_fd())
            .inspect_err(|_| detach(&identity))?;
        Ok(Live { service, identity })
    }

    /// Mounts with the help of fusermount3.
    fn by_fusermount(options: &Options, source: &OsStr, place: &Place) -> Result<Live> {
        if options.suid || options.dev {
            tracing::warn!("only root can mount with suid or dev: they are left out");
        }
        views::check_unbound(options, place.path())?;
        let data = detached::make(options);
        let device = fusermount::mount(options, source, place.path())?;
        let identity = Identity::on_top_of(place.path())?;
        let service = Service::start(device, data, options, Layout::Direct)
            .inspect_err(|_| drop(fusermount::unmount(place.path(), true)))?;
        Ok(Live { service, identity })
    }

    /// Unmounts, the views at other places first, also those that were bound later: those only disappear.
    pub(crate) fn unmount(&self, lazy: bool) -> Result<Unmounted> {
        let views = table::views_of(&self.identity.device).unwrap_or_default();
        for view in views.into_iter().rev() {
            detach(&Identity {
                mount_id: view.id,
                device: view.device,
            });
        }
        self.identity.unmount(lazy)
    }
}

/// Which mount is ours: a path alone may lead to somebody else's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    mount_id: u64,
    /// The device number of the file system; nobody else's as long as we serve it.
    pub(crate) device: String,
}

/// What came of an attempt to unmount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unmounted {
    /// It is no longer to be seen.
    Done,
    /// It is in use.
    Busy,
    /// Something else is mounted on top of it, which is not ours to unmount.
    Covered,
}

impl Identity {
    pub(super) fn of(mount: impl AsFd, path: &Path) -> Result<Identity> {
        let find = || -> io::Result<Option<table::Entry>> { table::by_id(table::mount_id(mount)?) };
        let entry = find().map_err(|error| Error::path("find the mount on", path, error))?;
        let entry = entry.ok_or_else(|| lost(path))?;
        Ok(Identity {
            mount_id: entry.id,
            device: entry.device,
        })
    }

    fn on_top_of(path: &Path) -> Result<Identity> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let top = rustix::fs::open(path, flags, Mode::empty())
            .map_err(|error| Error::path("find the mount on", path, error))?;
        Identity::of(top, path)
    }

    /// Where it is mounted now; `None` once it is not.
    pub(crate) fn entry(&self) -> io::Result<Option<table::Entry>> {
        let ours = |entry: &table::Entry| entry.id == self.mount_id && entry.device == self.device;
        Ok(table::entries()?.into_iter().find(ours))
    }

    /// Unmounts it, and nothing else.
    pub(crate) fn unmount(&self, lazy: bool) -> Result<Unmounted> {
        let entry = self
            .entry()
            .map_err(|error| Error::system("cannot read the table of mounts", error))?;
        let Some(entry) = entry else {
            return Ok(Unmounted::Done);
        };
        let path = entry.mount_point.as_path();
        if !self.is_on_top_of(path) {
            return Ok(Unmounted::Covered);
        }
        let flags = if lazy {
            UnmountFlags::DETACH
        } else {
            UnmountFlags::empty()
        };
        match unmount(path, flags | UnmountFlags::NOFOLLOW) {
            Ok(()) => Ok(Unmounted::Done),
            Err(Errno::BUSY) => Ok(Unmounted::Busy),
            Err(Errno::PERM) => self.unmount_by_fusermount(path, lazy),
            Err(error) => Err(Error::path("unmount", path, error)),
        }
    }

    fn unmount_by_fusermount(&self, path: &Path, lazy: bool) -> Result<Unmounted> {
        match fusermount::unmount(path, lazy) {
            Ok(()) => Ok(Unmounted::Done),
            Err(error) if error.to_string().contains("busy") => Ok(Unmounted::Busy),
            Err(error) => Err(error),
        }
    }

    fn is_on_top_of(&self, path: &Path) -> bool {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let top = rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from);
        top.and_then(table::mount_id)
            .is_ok_and(|id| id == self.mount_id)
    }
}

fn lost(path: &Path) -> Error {
    Error::new(
        ExitCode::Mount,
        format!("the mount on {} went away at once", path.display()),
    )
}

/// Frees the mount from the kernel's dirty limit for FUSE, 1 % of memory, which makes each store to
/// a dirty page a hundred times slower once it is reached.
fn lift_dirty_limit(device: &str) {
    let path = format!("/sys/class/bdi/{device}/strict_limit");
    match std::fs::write(&path, "0") {
        Ok(()) => tracing::info!("lifted the kernel's dirty limit of this mount: {path} is now 0"),
        Err(error) => {
            tracing::info!(%error, "cannot lift the kernel's dirty limit of this mount by {path}")
        }
    }
}
