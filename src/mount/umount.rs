//! `shmfs umount`, and the change of a live mount's options.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::mount::{MountFlags, UnmountFlags, mount_remount, unmount};

use super::control::Daemon;
use super::place::dead_mount_hint;
use super::table::Entry;
use super::{exports, fusermount, table, views};
use crate::error::{Error, ExitCode, Result};
use crate::options::{Atime, Limits, Options, ViewOption};

/// How long the daemon may take to end once nobody can see its mount any more.
const DAEMON_ENDS: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};

/// What `shmfs umount` was asked for.
#[derive(Clone, Debug)]
pub struct UmountArgs {
    /// The mount point.
    pub dir: PathBuf,
    /// It disappears now, and ends with its last user.
    pub lazy: bool,
    /// It ends now, whoever uses it.
    pub force: bool,
}

/// Unmounts, and waits until the daemon has ended.
pub fn umount(arguments: &UmountArgs) -> Result<()> {
    let entry = shmfs_at(&arguments.dir, "unmount")?;
    let daemon = Daemon::connect(&entry.device);
    if let Err(error) = &daemon {
        tracing::debug!(%error, "no daemon to wait for");
    }
    // A view or an export first: it may be bound inside the tree, and where it is busy the same command works later.
    if arguments.force {
        force(&entry, daemon.as_ref().ok())?;
        take_parts_away(&entry, true)?;
    } else {
        take_parts_away(&entry, arguments.lazy)?;
        take_away(&entry, arguments.lazy)?;
    }
    match daemon {
        Ok(daemon) if !arguments.lazy && !entry.is_part() => wait(&daemon, &entry),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Takes an shmfs on `dir` away that nobody can serve any more.
pub(super) fn take_dead_away(dir: &Path) -> Result<()> {
    if rustix::fs::statfs(dir).err() != Some(Errno::NOTCONN) {
        return Ok(());
    }
    let entry = shmfs_at(dir, "unmount")?;
    take_parts_away(&entry, true)?;
    take_away(&entry, true)
}

/// The shmfs whose root directory `dir` is.
pub(super) fn shmfs_at(dir: &Path, verb: &str) -> Result<Entry> {
    let found =
        table::at(dir).map_err(|error| Error::path(verb, dir, error).code(ExitCode::Mount))?;
    let entry = found.ok_or_else(|| {
        refused(format!("{} is not a mount point", dir.display()))
            .hint("Those of shmfs are listed by: findmnt -t fuse.shmfs")
    })?;
    if entry.is_shmfs() {
        return Ok(entry);
    }
    let kind = String::from_utf8_lossy(&entry.kind);
    let other = refused(format!(
        "{} is a mount of the type {kind}, not an shmfs",
        dir.display()
    ));
    Err(match verb {
        "unmount" => other.hint(format!("Use: umount {}", dir.display())),
        _ => other,
    })
}

fn refused(what: String) -> Error {
    Error::new(ExitCode::Mount, what)
}

/// The views and exports that were bound go with their tree.
fn take_parts_away(entry: &Entry, lazy: bool) -> Result<()> {
    if entry.is_part() {
        return Ok(());
    }
    let parts = table::parts_of(&entry.device).unwrap_or_default();
    parts
        .iter()
        .rev()
        .try_for_each(|part| take_away(part, lazy))
}

fn take_away(entry: &Entry, lazy: bool) -> Result<()> {
    let path = entry.mount_point.as_path();
    let flags = if lazy {
        UnmountFlags::DETACH
    } else {
        UnmountFlags::empty()
    };
    match unmount(path, flags | UnmountFlags::NOFOLLOW) {
        Ok(()) => Ok(()),
        Err(Errno::BUSY) => Err(busy(path)),
        Err(Errno::PERM) => match fusermount::unmount(path, lazy) {
            Err(error) if error.to_string().contains("busy") => Err(busy(path)),
            other => other,
        },
        Err(error) => Err(Error::path("unmount", path, error).code(ExitCode::Mount)),
    }
}

/// Ends the connection first: whoever uses the mount gets errors from then on.
fn force(entry: &Entry, daemon: Option<&Daemon>) -> Result<()> {
    let path = entry.mount_point.as_path();
    // For FUSE, MNT_FORCE aborts the connection (fuse_umount_begin), also where EBUSY follows.
    match unmount(path, UnmountFlags::FORCE | UnmountFlags::NOFOLLOW) {
        Ok(()) => return Ok(()),
        Err(Errno::PERM) => {
            if let Some(Err(error)) = daemon.map(|daemon| daemon.ask("umount force")) {
                tracing::debug!(%error, "the daemon was asked to abort");
            }
        }
        Err(Errno::BUSY) => {}
        Err(error) => return Err(Error::path("unmount", path, error).code(ExitCode::Mount)),
    }
    match table::by_id(entry.id) {
        Ok(Some(left)) if left == *entry => {
            take_away(entry, true).or_else(|error| gone(entry, error))
        }
        Ok(Some(_) | None) => Ok(()),
        Err(error) => Err(Error::path("unmount", path, error).code(ExitCode::Mount)),
    }
}

/// The daemon may have taken the mount away first.
fn gone(entry: &Entry, error: Error) -> Result<()> {
    match table::by_id(entry.id) {
        Ok(None) => Ok(()),
        Ok(Some(_)) | Err(_) => Err(error),
    }
}

fn busy(path: &Path) -> Error {
    let mut users = users(path).join(", ");
    if users.is_empty() {
        users.push_str("a process that cannot be seen from here");
    }
    Error::path("unmount", path, Errno::BUSY).code(ExitCode::Mount).hint(format!(
        "It is in use by {users}. With --lazy it disappears now and ends with its last user; with --force it ends now."
    ))
}

/// Some processes that use the mount on `path`, as far as the caller may see.
fn users(path: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let processes = entries.filter_map(|entry| Some(entry.ok()?.path()));
    let processes = processes.filter(|process| uses(process, path).unwrap_or(false));
    let described = processes.filter_map(|process| {
        let name = fs::read_to_string(process.join("comm")).ok()?;
        // Not `self`, nor us: who asks holds it by standing in it, and is listed too.
        let id: u32 = process.file_name()?.to_str()?.parse().ok()?;
        (id != std::process::id()).then(|| format!("process {id} ({})", name.trim_end()))
    });
    described.take(5).collect()
}

fn uses(process: &Path, path: &Path) -> io::Result<bool> {
    let within = |link: PathBuf| fs::read_link(link).is_ok_and(|target| target.starts_with(path));
    if within(process.join("cwd")) || within(process.join("root")) || within(process.join("exe")) {
        return Ok(true);
    }
    let in_files = fs::read_dir(process.join("fd"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .any(within);
    Ok(in_files
        || fs::read_dir(process.join("map_files"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .any(within))
}

/// Waits until the daemon has ended; where others hold the file system it does not.
fn wait(daemon: &Daemon, entry: &Entry) -> Result<()> {
    let Some(process) = daemon.process() else {
        return Ok(());
    };
    let elsewhere = |other: &Entry| other.device == entry.device && other.id != entry.id;
    if table::entries().is_ok_and(|entries| entries.iter().any(elsewhere)) {
        return Ok(());
    }
    let ended = poll(
        &mut [PollFd::new(&process, PollFlags::IN)],
        Some(&DAEMON_ENDS),
    );
    if !matches!(ended, Ok(1)) {
        tracing::warn!(
            "unmounted; the daemon goes on, since the mount is in use elsewhere, as in another namespace"
        );
    }
    Ok(())
}

/// Whether an shmfs with the source `source` is mounted on `dir`, and answers.
pub fn is_mounted(source: &OsStr, dir: &Path) -> bool {
    let is_it = |entry: Entry| entry.is_shmfs() && !entry.is_part() && entry.source == source;
    let found = table::at(dir).ok().flatten();
    found.is_some_and(is_it) && rustix::fs::statfs(dir).is_ok()
}

/// What `mount -o remount` asked for.
#[derive(Clone, Debug)]
pub struct RemountArgs {
    /// The mount point.
    pub dir: PathBuf,
    /// Limits to change.
    pub limits: Limits,
    /// A file of exports to go on with.
    pub exports: Option<PathBuf>,
    /// The generic options, such as `ro`, that the mount shall have; `None` leaves them.
    pub flags: Option<Options>,
    /// Views that it shall have: only those that it has already, perhaps bound at one more directory.
    pub views: Vec<ViewOption>,
}

/// Changes the options of a live mount.
pub fn remount(arguments: &RemountArgs) -> Result<()> {
    let entry = shmfs_at(&arguments.dir, "remount")?;
    let path = entry.mount_point.as_path();
    let failed = |error: io::Error| Error::path("remount", path, error).code(ExitCode::Mount);
    // One request each.
    let daemon = || {
        Daemon::connect(&entry.device).map_err(|error| failed(error).hint(unreachable_hint(path)))
    };
    if !arguments.views.is_empty() {
        let status = daemon()?.ask("status").map_err(failed)?;
        views::check_known(&arguments.views, &status, path)?;
    }
    if arguments.limits != Limits::default() {
        daemon()?.remount(&arguments.limits).map_err(failed)?;
    }
    if let Some(file) = &arguments.exports {
        exports::reload(&arguments.dir, Some(file))?;
    }
    views::bind_more(&arguments.views, &entry)?;
    let Some(options) = &arguments.flags else {
        return Ok(());
    };
    mount_remount(path, flags(options), c"").map_err(|error| failed(error.into()))
}

pub(super) fn unreachable_hint(path: &Path) -> String {
    match rustix::fs::stat(path) {
        Err(Errno::NOTCONN | Errno::CONNABORTED) => dead_mount_hint(path),
        Ok(_) | Err(_) => "Its daemon answers only root and the user who mounted it.".to_owned(),
    }
}

/// Whether the generic options of the two are not the same.
pub fn differ(one: &Options, other: &Options) -> bool {
    flags(one) != flags(other)
}

fn flags(options: &Options) -> MountFlags {
    let mut flags = match options.atime {
        Atime::Relative => MountFlags::RELATIME,
        Atime::Strict => MountFlags::STRICTATIME,
        Atime::Never => MountFlags::NOATIME,
    };
    flags.set(MountFlags::NODIRATIME, options.nodiratime);
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, !options.suid);
    flags.set(MountFlags::NODEV, !options.dev);
    flags.set(MountFlags::NOEXEC, !options.exec);
    flags.set(MountFlags::NOSYMFOLLOW, !options.symfollow);
    flags
}
