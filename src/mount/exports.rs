//! Exports of a mount: the file that is read before there is one, and the places where they are bound.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::place::Place;
use super::table::Entry;
use super::umount::{shmfs_at, unreachable_hint};
use super::{attach, control::Daemon};
use crate::error::{Error, ExitCode, Result};
use crate::export::{Exports, Problems, Source, Warning};
use crate::options::Options;
use crate::sys::mount;
use crate::types::RESERVED;
use crate::view::Naming;

/// A configuration that can be served.
#[derive(Debug)]
pub(crate) struct Configuration {
    /// As it was read.
    pub(crate) source: Source,
    /// What it means.
    pub(crate) exports: Exports,
}

impl Configuration {
    /// The one that `options` name, if they do.
    pub(crate) fn of(options: &Options) -> Result<Option<Configuration>> {
        options
            .exports
            .as_deref()
            .map(Configuration::read)
            .transpose()
    }

    /// Reads a file, and says what in it is probably not meant.
    pub(crate) fn read(path: &Path) -> Result<Configuration> {
        let path = std::path::absolute(path)
            .map_err(|error| Error::path("find the exports", path, error))?;
        let source = Source::read(&path).map_err(wrong)?;
        let (exports, warnings) = source.parse().map_err(wrong)?;
        for warning in &warnings {
            tracing::warn!("{warning}");
        }
        for export in &exports {
            check_view(&export.name, export.view.as_deref())?;
        }
        Ok(Configuration { source, exports })
    }
}

/// What the exports of a mount mean.
pub fn parse(source: &Source) -> Result<(Exports, Vec<Warning>)> {
    source.parse().map_err(wrong)
}

/// All that is wrong with a file.
fn wrong(problems: Problems) -> Error {
    for warning in &problems.warnings {
        tracing::warn!("{warning}");
    }
    Error::from(problems)
}

fn check_view(export: &str, key: Option<&str>) -> Result<()> {
    let Some(key) = key else {
        return Ok(());
    };
    Naming::of(key).map(drop).map_err(|_| {
        Error::usage(format!(
            "export {export:?}: view = {key:?}: there is no such view"
        ))
        .hint("They are listed by `shmfs name list`.")
    })
}

/// The exports in force on the mount on `dir`.
pub fn in_force(dir: &Path) -> Result<Source> {
    let (entry, daemon) = daemon_of(dir)?;
    let answer = daemon.ask("export-text").map_err(|error| {
        failed(&entry, error).hint("Exports are given at the mount: shmfs mount --exports FILE DIR")
    })?;
    let unclear = || Error::new(ExitCode::Internal, "the daemon is not understood");
    let (origin, text): (PathBuf, String) = serde_json::from_str(&answer).map_err(|_| unclear())?;
    Ok(Source { origin, text })
}

/// Lets the mount on `dir` go on with the exports of `file`, or of the file that it has its exports from.
pub fn reload(dir: &Path, file: Option<&Path>) -> Result<()> {
    let (entry, daemon) = daemon_of(dir)?;
    let file = match file {
        Some(file) => file.to_owned(),
        None => in_force(dir)?.origin,
    };
    let stay = "The rules that were in force stay so.";
    let new = Configuration::read(&file).map_err(|error| error.hint(stay))?;
    let reloaded = daemon.reload_exports(&new.source);
    reloaded
        .map(drop)
        .map_err(|error| failed(&entry, error).hint(stay))
}

fn daemon_of(dir: &Path) -> Result<(Entry, Daemon)> {
    let entry = shmfs_at(dir, "use the exports of")?;
    let daemon = Daemon::connect(&entry.device).map_err(|error| {
        Error::path("use the exports of", dir, error)
            .code(ExitCode::Mount)
            .hint(unreachable_hint(dir))
    })?;
    Ok((entry, daemon))
}

fn failed(entry: &Entry, error: std::io::Error) -> Error {
    Error::path("use the exports of", &entry.mount_point, error).code(ExitCode::Mount)
}

/// A session of an export, before it is bound anywhere.
#[derive(Debug)]
pub(crate) struct Session {
    /// The mount, as one reaches it.
    dir: PathBuf,
    device: String,
    /// The directory under `.shmfs/exports`.
    name: String,
}

impl Session {
    /// Opens one of the mount on `dir`. It ends when nothing leads to it any more.
    pub(crate) fn open(dir: &Path, export: &str) -> Result<Session> {
        let (entry, daemon) = daemon_of(dir)?;
        if !export.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(unknown(export, &Exports::default()));
        }
        let asked = daemon.ask(&format!("export-session {export}"));
        Ok(Session {
            name: asked.map_err(|error| {
                let list = format!("See: shmfs export list {}", dir.display());
                failed(&entry, error).hint(list)
            })?,
            dir: entry.mount_point,
            device: entry.device,
        })
    }

    /// A mount of it that is attached nowhere, made in the namespace of this process.
    pub(crate) fn tree(&self) -> Result<OwnedFd> {
        let root = Place::resolve(&self.dir)?;
        let same = shmfs_at(&self.dir, "use").is_ok_and(|entry| entry.device == self.device);
        if !same {
            let what = format!("another file system is on {} now", self.dir.display());
            return Err(Error::new(ExitCode::Mount, what));
        }
        tree_of(root.as_fd(), &self.name)
    }

    /// Says that it has been bound: it ends as soon as it is bound no more.
    pub(crate) fn is_bound(&self) {
        self.tell("export-bound");
    }

    /// Says that nobody uses it any more. The daemon would find out by itself, somewhat later.
    pub(crate) fn is_left(&self) {
        self.tell("export-left");
    }

    fn tell(&self, verb: &str) {
        let daemon = Daemon::connect(&self.device);
        let told = daemon.and_then(|daemon| daemon.ask(&format!("{verb} {}", self.name)));
        if let Err(error) = told {
            tracing::debug!(verb, %error, "the daemon was not told");
        }
    }
}

/// The export in the directory `name` of the file system with the root `tree`, attached nowhere.
pub(super) fn tree_of(tree: BorrowedFd<'_>, name: &str) -> Result<OwnedFd> {
    let failed = |error: rustix::io::Errno| {
        Error::system(format!("cannot bind the export {name:?}"), error).code(ExitCode::Mount)
    };
    let path = format!("{}/exports/{name}", String::from_utf8_lossy(RESERVED));
    let path = CString::new(path).map_err(|_| Error::usage("a zero byte in an export's name"))?;
    let export = mount::clone_tree(tree, &path).map_err(|error| match error {
        rustix::io::Errno::PERM => failed(error)
            .hint("Only root may bind; `shmfs run --export` does it in a namespace of its own."),
        _ => failed(error),
    })?;
    mount::restrict(&export).map_err(failed)?;
    Ok(export)
}

/// Binds a session of an export of the mount on `dir` at `target`, or where the configuration says.
pub fn bind(export: &str, dir: &Path, target: Option<&Path>) -> Result<()> {
    let place = match target {
        Some(target) => Place::resolve_strictly(target)?,
        None => Place::resolve_strictly(&configured_place(export, dir)?)?,
    };
    let session = Session::open(dir, export)?;
    let bound = session
        .tree()
        .and_then(|tree| attach::attach(&tree, &place));
    match &bound {
        Ok(()) => session.is_bound(),
        Err(_) => session.is_left(),
    }
    bound
}

fn configured_place(export: &str, dir: &Path) -> Result<PathBuf> {
    let source = in_force(dir)?;
    let (exports, _) = source.parse().map_err(wrong)?;
    let found = exports
        .get(export)
        .ok_or_else(|| unknown(export, &exports))?;
    found.to.clone().ok_or_else(|| {
        Error::usage(format!("where to bind the export {export:?}?"))
            .hint("Give a TARGET, or write `to = \"PATH\"` into the export.")
    })
}

/// There is no such export.
pub fn unknown(export: &str, exports: &Exports) -> Error {
    let names: Vec<&str> = exports.iter().map(|export| export.name.as_str()).collect();
    let hint = match names.as_slice() {
        [] => "There is none at all.".to_owned(),
        names => format!("There are: {}.", names.join(", ")),
    };
    Error::usage(format!("there is no export {export:?}")).hint(hint)
}
