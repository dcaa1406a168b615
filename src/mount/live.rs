//! A mount that answers, and the end of it.

use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::exports::Configuration;
use super::place::Place;
use super::serve::detach;
use super::views::{self, Bindings};
use super::{attach, detached, fusermount, table};
use crate::data::DataFiles;
use crate::error::{Error, ExitCode, Result};
use crate::export::Source;
use crate::fuse::{Handshake, Layout, Resources, Service};
use crate::options::Options;
use crate::supervisor::{Kept, Supervisor};
use crate::sys;

/// What serves a mount.
pub(crate) trait Server: Sized {
    /// Serves a new file system on `device`; returns when it answers.
    fn start(
        device: OwnedFd,
        data: Option<OwnedFd>,
        layout: Layout,
        options: &Options,
        exports: Option<Source>,
    ) -> Result<Self>;

    /// The name of the tree in the anteroom.
    fn entrance(&self) -> Option<&CStr>;

    /// Whether data goes by passthrough.
    fn passthrough(&self) -> bool;
}

/// This process serves.
impl Server for Service {
    fn start(
        device: OwnedFd,
        data: Option<OwnedFd>,
        layout: Layout,
        options: &Options,
        exports: Option<Source>,
    ) -> Result<Service> {
        let resources = Resources {
            device,
            data: data.map_or_else(DataFiles::memfds, DataFiles::on_tmpfs),
            saved: None,
            layout,
            exports,
            handshake: Handshake::Device,
        };
        Service::start(resources, options)
    }

    fn entrance(&self) -> Option<&CStr> {
        Service::entrance(self)
    }

    fn passthrough(&self) -> bool {
        Service::passthrough(self)
    }
}

/// A worker serves.
impl Server for Supervisor {
    fn start(
        device: OwnedFd,
        data: Option<OwnedFd>,
        layout: Layout,
        options: &Options,
        exports: Option<Source>,
    ) -> Result<Supervisor> {
        Supervisor::start(Kept::new(device, data, layout, options)?.with_exports(exports.as_ref())?)
    }

    fn entrance(&self) -> Option<&CStr> {
        Supervisor::entrance(self)
    }

    fn passthrough(&self) -> bool {
        Supervisor::passthrough(self)
    }
}

/// Is told the number of the device, as the table of mounts has it, before any program gets to the file system.
pub(crate) type Announce<'a> = &'a mut dyn FnMut(&str);

/// A mounted file system, which this process serves or has served.
#[derive(Debug)]
pub(crate) struct Live<S> {
    /// What serves it.
    pub(crate) server: S,
    /// What is mounted.
    pub(crate) identity: Identity,
    /// Views and exports that were bound elsewhere when it was mounted.
    pub(crate) views: Vec<Identity>,
}

impl<S: Server> Live<S> {
    /// Mounts on `place`, in the way that the caller's privileges allow.
    pub(crate) fn mount(
        options: &Options,
        source: &OsStr,
        place: &Place,
        announce: Announce<'_>,
    ) -> Result<Live<S>> {
        let exports = Configuration::of(options)?;
        match sys::mount::may_mount() {
            Ok(()) => {
                let bindings = Bindings::resolve(options, exports.as_ref())?;
                Live::by_kernel(options, source, place, &bindings, exports, announce)
            }
            Err(Errno::PERM) => Live::by_fusermount(options, source, place, exports, announce),
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
        exports: Option<Configuration>,
        announce: Announce<'_>,
    ) -> Result<Live<S>> {
        let connection = attach::connect(options, source)?;
        let data = detached::make(options);
        let exports = exports.map(|exports| exports.source);
        let server = S::start(connection.device, data, Layout::Anteroom, options, exports)?;
        let anteroom = connection.anteroom;
        let entrance = server
            .entrance()
            .ok_or_else(|| Error::new(ExitCode::Internal, "the anteroom has no entrance"))?;
        let tree = attach::tree(anteroom.as_fd(), entrance)?;
        announce(&attach::device_of(&tree)?);
        attach::attach(&tree, place)?;
        let identity = Identity::of(&tree, place.path())?;
        if !server.passthrough() {
            lift_dirty_limit(&identity.device);
        }
        let bound = bindings.bind(tree.as_fd());
        let views = bound.inspect_err(|_| detach(&identity))?;
        Ok(Live {
            server,
            identity,
            views,
        })
    }

    /// Mounts with the help of fusermount3.
    fn by_fusermount(
        options: &Options,
        source: &OsStr,
        place: &Place,
        exports: Option<Configuration>,
        announce: Announce<'_>,
    ) -> Result<Live<S>> {
        if options.suid || options.dev {
            tracing::warn!("only root can mount with suid or dev: they are left out");
        }
        views::check_unbound(options, exports.as_ref(), place.path())?;
        let data = detached::make(options);
        let device = fusermount::mount(options, source, place.path())?;
        let unmount = |_: &Error| drop(fusermount::unmount(place.path(), true));
        let identity = Identity::on_top_of(place.path()).inspect_err(unmount)?;
        announce(&identity.device);
        let exports = exports.map(|exports| exports.source);
        let server = S::start(device, data, Layout::Direct, options, exports);
        let server = server.inspect_err(unmount)?;
        let views = Vec::new();
        Ok(Live {
            server,
            identity,
            views,
        })
    }

    /// All that is mounted, the first thing to unmount first, as words.
    pub(crate) fn encode(&self) -> String {
        let mounts = self.views.iter().chain([&self.identity]);
        mounts.map(Identity::encode).collect::<Vec<_>>().join(" ")
    }

    /// Unmounts, the views at other places first, also those that were bound later: those only disappear.
    pub(crate) fn unmount(&self, lazy: bool) -> Result<Unmounted> {
        let views = table::parts_of(&self.identity.device).unwrap_or_default();
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

    /// The mount as a word, for another process of ours.
    pub(crate) fn encode(&self) -> String {
        format!("{}:{}", self.mount_id, self.device)
    }

    /// Reads such a word.
    pub(crate) fn decode(word: &str) -> Option<Identity> {
        let (mount_id, device) = word.split_once(':')?;
        Some(Identity {
            mount_id: mount_id.parse().ok()?,
            device: device.to_owned(),
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
        // Once it is gone both numbers are given to whatever is mounted next.
        let ours = |entry: &table::Entry| {
            entry.is_shmfs() && entry.id == self.mount_id && entry.device == self.device
        };
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
