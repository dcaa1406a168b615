//! How the file system gets to /dev/shm: what of it is done before the command exists, and what after.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};

use super::{Lent, RunArgs, shm};
use crate::error::{Error, Result};
use crate::fuse::Layout;
use crate::mount::exports::{Configuration, Session};
use crate::mount::live::{Identity, Live};
use crate::mount::place::Place;
use crate::mount::views::{Bindings, bind_here};
use crate::mount::{attach, detached, fusermount};
use crate::options::Options;
use crate::supervisor::{Kept, Supervisor};
use crate::sys::mount;
use crate::sys::namespace::{self, IdMaps};

/// One of three ways.
#[derive(Debug)]
pub(super) enum Way {
    /// The server is in the command's namespace, and mounts there.
    Inside(Inside),
    /// fusermount3 has mounted outside; the command enters a namespace, and takes the mount with it.
    Outside(Outside),
    /// An export of another mount is there already, and somebody else serves it.
    Lent(Session),
}

/// What is needed to mount in a namespace.
#[derive(Debug)]
pub(super) struct Inside {
    place: Place,
    bindings: Bindings,
    exports: Option<Configuration>,
}

impl Way {
    /// Chooses, and does what is to be done before the command is forked.
    pub(super) fn prepare(arguments: &RunArgs) -> Result<Way> {
        let options = &arguments.options;
        if let Some(lent) = &arguments.lent {
            return lend(lent);
        }
        let exports = Configuration::of(options)?;
        match mount::may_mount() {
            Ok(()) => namespace::unshare_mounts().map_err(no_namespace)?,
            Err(Errno::PERM) => match probe() {
                Ok(()) => namespace::unshare_user_and_mounts(&IdMaps::of_caller())
                    .map_err(no_namespace)?,
                Err(error) => {
                    // Without a namespace the command could not see what fusermount3 mounts.
                    namespace::probe_user_namespace(&IdMaps::of_caller(), c"tmpfs")
                        .map_err(no_namespace)?;
                    tracing::debug!(%error, "no FUSE in a user namespace; trying fusermount3");
                    return Outside::mount(options, exports).map(Way::Outside);
                }
            },
            Err(error) => return Err(no_namespace(error)),
        }
        Ok(Way::Inside(Inside {
            place: shm::place()?,
            bindings: Bindings::resolve(options, exports.as_ref())?,
            exports,
        }))
    }

    /// The descriptors that it needs later.
    pub(super) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        match self {
            Way::Inside(inside) => {
                let views = inside.bindings.descriptors();
                views.chain([inside.place.as_fd()]).collect()
            }
            Way::Lent(_) => Vec::new(),
            Way::Outside(outside) => {
                let data = outside.data.iter().map(AsFd::as_fd);
                data.chain([outside.device.as_fd()]).collect()
            }
        }
    }

    /// What the command's process does, before it waits for the server.
    pub(super) fn enter(&self) -> Result<()> {
        match self {
            Way::Inside(_) | Way::Lent(_) => Ok(()),
            Way::Outside(outside) => outside.enter(),
        }
    }

    /// What the command's process does once the file system answers.
    pub(super) fn bind_views(&self, options: &Options) -> Result<()> {
        match self {
            Way::Inside(_) | Way::Lent(_) => Ok(()),
            Way::Outside(outside) => {
                bind_here(options, outside.exports.as_ref(), Path::new(shm::SHM))
            }
        }
    }

    /// Serves, once the command's process has entered.
    pub(super) fn serve(self, options: &Options) -> Result<Served> {
        match self {
            Way::Lent(session) => Ok(Served::Elsewhere(session)),
            Way::Inside(inside) => {
                let source = OsStr::new("shmfs");
                let Inside {
                    place,
                    bindings,
                    exports,
                } = inside;
                let announce = &mut |_: &str| {};
                let mut live: Live<Supervisor> =
                    Live::by_kernel(options, source, &place, &bindings, exports, announce)?;
                live.server.set_mounts(live.encode());
                Ok(Served::Here(Box::new(live.server), Some(live.identity)))
            }
            Way::Outside(mut outside) => {
                outside.disappear();
                let device = outside.device.try_clone();
                let device =
                    device.map_err(|error| Error::system("cannot keep the connection", error))?;
                let kept = Kept::new(device, outside.data.take(), Layout::Direct, options)?;
                let exports = outside.exports.take().map(|exports| exports.source);
                let supervisor = Supervisor::start(kept.with_exports(exports.as_ref())?)?;
                Ok(Served::Here(Box::new(supervisor), None))
            }
        }
    }
}

/// Who serves.
pub(super) enum Served {
    /// A worker of this process, which can unmount itself what it is told of.
    Here(Box<Supervisor>, Option<Identity>),
    /// The daemon of the mount that the session is of.
    Elsewhere(Session),
}

/// Takes the export away that [`lend`] has put at /dev/shm.
pub(super) fn give_back(session: &Session) {
    if let Err(error) = unmount(shm::SHM, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW) {
        tracing::debug!(%error, "cannot unmount the export");
    }
    session.is_left();
}

/// Puts an export at /dev/shm in a namespace of our own.
fn lend(lent: &Lent) -> Result<Way> {
    let session = Session::open(&lent.from, &lent.export)?;
    match mount::may_mount() {
        Ok(()) => namespace::unshare_mounts(),
        Err(Errno::PERM) => namespace::unshare_user_and_mounts(&IdMaps::of_caller()),
        Err(error) => Err(error),
    }
    .map_err(no_namespace)?;
    let place = shm::place();
    let attached = place.and_then(|place| attach::attach(&session.tree()?, &place));
    attached.inspect_err(|_| session.is_left())?;
    session.is_bound();
    Ok(Way::Lent(session))
}

/// Whether this user can mount FUSE in a user namespace of his own.
///
/// Where `SHMFS_BY_FUSERMOUNT` is set it is not asked: so the other way can be tried anywhere.
fn probe() -> io::Result<()> {
    if std::env::var_os("SHMFS_BY_FUSERMOUNT").is_some() {
        return Err(io::Error::other("SHMFS_BY_FUSERMOUNT is set"));
    }
    attach::open_device().map_err(io::Error::other)?;
    namespace::probe_user_namespace(&IdMaps::of_caller(), c"fuse")
}

fn no_namespace(error: impl Into<io::Error>) -> Error {
    Error::system("cannot make a namespace of mounts", error).hint(
        "An ordinary user needs user namespaces: sysctl user.max_user_namespaces must not be 0, \
         kernel.unprivileged_userns_clone not 0, kernel.apparmor_restrict_unprivileged_userns not 1, \
         and a container's seccomp profile must let unshare(2) through. Otherwise run it as root.",
    )
}

/// A mount that was made outside, on a directory that nobody else can enter.
#[derive(Debug)]
pub(super) struct Outside {
    directory: PathBuf,
    device: OwnedFd,
    data: Option<OwnedFd>,
    exports: Option<Configuration>,
    visible: bool,
}

impl Outside {
    fn mount(options: &Options, exports: Option<Configuration>) -> Result<Outside> {
        let data = detached::make(options);
        let directory = private_directory()?;
        let mounted = fusermount::mount(options, OsStr::new("shmfs"), &directory);
        let device = mounted.inspect_err(|_| remove(&directory))?;
        Ok(Outside {
            directory,
            device,
            data,
            exports,
            visible: true,
        })
    }

    fn enter(&self) -> Result<()> {
        namespace::unshare_user_and_mounts(&IdMaps::of_caller()).map_err(no_namespace)?;
        let failed = |error: Errno| Error::path("bind", &self.directory, error);
        let root = rustix::fs::open(
            &self.directory,
            OFlags::PATH | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed)?;
        let tree = mount::clone_tree(root, c"").map_err(failed)?;
        attach::attach(&tree, &shm::place()?)
    }

    /// Takes the mount away from outside: from here on it is only in the command's namespace.
    fn disappear(&mut self) {
        if !std::mem::take(&mut self.visible) {
            return;
        }
        if let Err(error) = fusermount::unmount(&self.directory, true) {
            tracing::error!(%error, "cannot detach the mount outside");
        }
        remove(&self.directory);
    }
}

impl Drop for Outside {
    fn drop(&mut self) {
        self.disappear();
    }
}

fn remove(directory: &Path) {
    if let Err(error) = fs::remove_dir(directory) {
        tracing::warn!(%error, directory = %directory.display(), "cannot remove the directory");
    }
}

/// A new directory that only this user can enter.
fn private_directory() -> Result<PathBuf> {
    let parent =
        std::env::var_os("XDG_RUNTIME_DIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let failed = |error: io::Error| Error::path("make a directory in", &parent, error);
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|error| failed(error.into()))?;
    let directory = parent.join(format!("shmfs-{:016x}", u64::from_ne_bytes(bytes)));
    fs::DirBuilder::new()
        .mode(0o700)
        .create(&directory)
        .map_err(failed)?;
    Ok(directory)
}
