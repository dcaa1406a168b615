//! A mount with exports that nobody else sees.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use rustix::mount::{MountFlags, UnmountFlags};
use tempfile::TempDir;

use crate::model::Way;
use crate::support::{self, site::Daemon};

/// Both ways for data to travel.
pub(crate) const WAYS: [Way; 2] = [Way::Passthrough, Way::PageCache];

/// The uid and gid of the ordinary user, whose most objects are.
pub(crate) const USER: u32 = 1000;

/// A mount, its exports bound where the consumers look; unmounted at the end.
pub(crate) struct World {
    /// How data travels.
    pub(crate) way: Way,
    base: TempDir,
    daemon: Option<Daemon>,
    bound: Mutex<Vec<PathBuf>>,
    is_mounted: bool,
}

impl World {
    /// With this configuration; on a tmpfs it says nothing.
    pub(crate) fn new(way: Way, config: &str) -> World {
        World::with(way, config, "nr_inodes=1m")
    }

    /// With more mount options.
    pub(crate) fn with(way: Way, config: &str, options: &str) -> World {
        let base = tempfile::Builder::new().prefix("shmfs-exports-").tempdir();
        let base = base.expect("a temporary directory");
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (tree, file) = (base.path().join("tree"), base.path().join("exports.toml"));
        fs::create_dir(&tree).unwrap();
        fs::write(&file, config).unwrap();
        let passthrough = match way {
            Way::Plain => None,
            Way::Passthrough => Some("on"),
            Way::PageCache => Some("off"),
        };
        let daemon = passthrough.map(|passthrough| {
            let exports = file.display();
            let options = format!("{options},passthrough={passthrough},exports={exports}");
            Daemon::start(&tree, base.path(), &options)
                .unwrap_or_else(|why| panic!("{why}\nthe configuration:\n{config}"))
        });
        if daemon.is_none() {
            let data = Some(c"mode=1777");
            rustix::mount::mount("tmpfs", &tree, "tmpfs", consumers_flags(), data).unwrap();
        }
        World {
            way,
            base,
            daemon,
            bound: Mutex::default(),
            is_mounted: true,
        }
    }

    /// Where the provider works.
    pub(crate) fn tree(&self) -> PathBuf {
        self.base.path().join("tree")
    }

    /// A path in the tree.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.tree().join(name)
    }

    /// The file with the rules.
    pub(crate) fn config(&self) -> PathBuf {
        self.base.path().join("exports.toml")
    }

    /// What the daemon has said so far.
    pub(crate) fn log(&self) -> String {
        let bytes = fs::read(self.base.path().join("shmfs.log")).expect("the log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// A directory outside the mount that goes with it.
    pub(crate) fn outside(&self, name: &str) -> PathBuf {
        let path = self.base.path().join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }

    /// Where the consumer of this export works: a bind, made at the first call.
    pub(crate) fn export(&self, name: &str) -> PathBuf {
        let target = self.base.path().join(format!("export-{name}"));
        if !target.exists() {
            fs::create_dir(&target).unwrap();
            self.bind(name, &target);
            self.bound.lock().unwrap().push(target.clone());
        }
        target
    }

    /// Binds an export somewhere in this namespace.
    pub(crate) fn bind(&self, name: &str, target: &Path) {
        let source = match self.way {
            Way::Plain => self.tree(),
            Way::Passthrough | Way::PageCache => self.tree().join(".shmfs/exports").join(name),
        };
        rustix::mount::mount_bind(&source, target)
            .unwrap_or_else(|error| panic!("bind the export '{name}': {error}"));
        rustix::mount::mount_remount(target, MountFlags::BIND | consumers_flags(), "").unwrap();
    }

    /// Runs a subcommand of `shmfs export`; what it printed, or what it complained of.
    pub(crate) fn shmfs(&self, arguments: &[&str]) -> Result<String, String> {
        shmfs(arguments)
    }

    /// Ends it before the end of the test.
    pub(crate) fn stop(mut self) {
        self.end().unwrap();
    }

    fn end(&mut self) -> Result<(), String> {
        self.is_mounted = false;
        for bound in self.bound.lock().unwrap().drain(..).rev() {
            unmount(&bound)?;
        }
        // The first such call marks a mount that nobody uses, and leaves it.
        when_free(&self.tree(), |path| {
            match rustix::mount::unmount(path, UnmountFlags::EXPIRE) {
                Err(rustix::io::Errno::AGAIN) => Ok(()),
                other => other,
            }
        })?;
        match self.daemon.take() {
            Some(daemon) => daemon.stop(),
            None if self.way == Way::Plain => {
                rustix::mount::unmount(self.tree(), UnmountFlags::DETACH)
                    .map_err(|error| format!("unmount the tmpfs: {error}"))
            }
            None => Ok(()),
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if !self.is_mounted {
            return;
        }
        if !std::thread::panicking() {
            self.end().unwrap();
            return;
        }
        for bound in self.bound.lock().unwrap().drain(..) {
            let _ = rustix::mount::unmount(&bound, UnmountFlags::DETACH);
        }
        let _ = rustix::mount::unmount(self.tree(), UnmountFlags::DETACH);
    }
}

/// Unmounts what nobody uses, or what nobody uses a moment later.
pub(crate) fn unmount(path: &Path) -> Result<(), String> {
    when_free(path, |path| {
        rustix::mount::unmount(path, UnmountFlags::empty())
    })
}

/// A process that another test forked a moment ago may still have a descriptor of ours.
fn when_free(
    path: &Path,
    unmount: impl Fn(&Path) -> Result<(), rustix::io::Errno>,
) -> Result<(), String> {
    support::wait_until(
        "a mount is free",
        crate::consumer::PATIENCE,
        || match unmount(path) {
            Ok(()) => Ok(true),
            Err(rustix::io::Errno::BUSY) => Ok(false),
            Err(error) => Err(format!("unmount {}: {error}", path.display())),
        },
    )
}

/// What every mount of a consumer has.
fn consumers_flags() -> MountFlags {
    MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC
}

/// A provider's object that everybody may use.
pub(crate) fn provide(world: &World, name: &str) {
    let path = world.path(name);
    drop(crate::sys::put(&path, name.as_bytes()));
    crate::sys::chmod(&path, 0o666).unwrap();
    crate::sys::chown(&path, USER, USER).unwrap();
}

/// Runs `shmfs`; what it printed, or what it complained of.
pub(crate) fn shmfs(arguments: &[&str]) -> Result<String, String> {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_shmfs"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("run shmfs");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(format!("{}{}", text(&output.stdout), text(&output.stderr))),
    }
}
