//! Views and exports that are bound at a directory with the mount: `view=KEY:DIR`, `to = "DIR"`.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use serde::Deserialize;

use super::attach;
use super::exports::{self, Configuration};
use super::live::Identity;
use super::place::Place;
use super::serve::detach;
use super::table::{self, Entry};
use crate::error::{Error, ExitCode, Result};
use crate::options::{Options, ViewOption};
use crate::sys::mount;
use crate::types::{Names, RESERVED};

/// A part of the tree that can be bound.
#[derive(Debug)]
enum Part {
    /// A view, by its key.
    View(&'static str),
    /// An export, by its name.
    Export(String),
}

/// Views and exports and the directories to bind them at, which are looked up once and for good.
#[derive(Debug, Default)]
pub(crate) struct Bindings(Vec<(Part, Place)>);

impl Bindings {
    /// Looks up the directories that `options` and the exports name.
    pub(crate) fn resolve(options: &Options, exports: Option<&Configuration>) -> Result<Bindings> {
        let mut bindings = Vec::new();
        for view in &options.views {
            if let Some(directory) = &view.directory {
                let part = Part::View(view.naming.key());
                bindings.push((part, Place::resolve(directory)?));
            }
        }
        for export in exports.iter().flat_map(|it| &it.exports) {
            if let Some(directory) = &export.to {
                let part = Part::Export(export.name.clone());
                bindings.push((part, Place::resolve_strictly(directory)?));
            }
        }
        Ok(Bindings(bindings))
    }

    /// The descriptors of the directories.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.0.iter().map(|(_, place)| place.as_fd())
    }

    /// Binds all of them, or none. `tree` is the root of the mounted file system, which answers.
    pub(crate) fn bind(&self, tree: BorrowedFd<'_>) -> Result<Vec<Identity>> {
        let mut bound = Vec::new();
        for (part, place) in &self.0 {
            match bind(tree, part, place) {
                Ok(identity) => bound.push(identity),
                Err(error) => {
                    bound.iter().for_each(detach);
                    return Err(error);
                }
            }
        }
        Ok(bound)
    }
}

fn bind(tree: BorrowedFd<'_>, part: &Part, place: &Place) -> Result<Identity> {
    let part = match part {
        Part::View(key) => view(tree, key, place)?,
        Part::Export(name) => exports::tree_of(tree, name)?,
    };
    attach::attach(&part, place)?;
    Identity::of(&part, place.path())
}

fn view(tree: BorrowedFd<'_>, key: &str, place: &Place) -> Result<OwnedFd> {
    let failed = |error| Error::path("bind a view at", place.path(), error).code(ExitCode::Mount);
    let path = format!("{}/views/{key}", String::from_utf8_lossy(RESERVED));
    let path = CString::new(path).map_err(|_| Error::usage("a zero byte in a view's name"))?;
    mount::clone_tree(tree, &path).map_err(failed)
}

/// Refuses views that a live mount does not have: `status` is what its daemon says of itself.
///
/// mount(8) repeats the options of fstab for a remount, so those that are there already must do.
pub(crate) fn check_known(views: &[ViewOption], status: &str, target: &Path) -> Result<()> {
    #[derive(Deserialize)]
    struct Status {
        views: Vec<String>,
    }
    let status: Status = serde_json::from_str(status).map_err(|error| {
        Error::path("remount", target, std::io::Error::from(error)).code(ExitCode::Mount)
    })?;
    let mut keys = views.iter().map(|view| view.naming.key());
    let Some(new) = keys.find(|key| !status.views.iter().any(|known| known == key)) else {
        return Ok(());
    };
    let has = match status.views.as_slice() {
        [] => "none".to_owned(),
        known => known.join(", "),
    };
    let what = format!("cannot add the view {new} to a live mount: it has {has}");
    let hint =
        format!("Views are chosen when it is mounted: unmount it, and mount it with view={new}.");
    Err(Error::new(ExitCode::Mount, what).hint(hint))
}

/// Binds views of the live mount `tree` where they are not bound yet.
pub(crate) fn bind_more(views: &[ViewOption], tree: &Entry) -> Result<()> {
    let failed = |error| Error::system("cannot read the table of mounts", error);
    let bound = table::parts_of(&tree.device).map_err(failed)?;
    let is_there = |view: &ViewOption| {
        let place = view.directory.as_ref().map(std::fs::canonicalize);
        let key = view.naming.key();
        let same = |entry: &Entry, place: &Path| {
            entry.mount_point == place && entry.root.ends_with(Path::new("views").join(key))
        };
        matches!(place, Some(Ok(place)) if bound.iter().any(|entry| same(entry, &place)))
    };
    let options = Options {
        views: views
            .iter()
            .filter(|view| !is_there(view))
            .cloned()
            .collect(),
        ..Options::default()
    };
    bind_here(&options, None, &tree.mount_point)
}

/// Refuses what only a mount of our own can do.
pub(crate) fn check_unbound(
    options: &Options,
    exports: Option<&Configuration>,
    target: &Path,
) -> Result<()> {
    let target = target.display();
    let refused = |part: String, hint: String| {
        let what =
            format!("cannot bind the {part}: a mount by fusermount3 cannot be bound elsewhere");
        Err(Error::new(ExitCode::Mount, what).hint(hint))
    };
    if let Some(view) = options.views.iter().find(|view| view.directory.is_some()) {
        let key = view.naming.key();
        let hint = format!(
            "Use view={key} without a directory: it is at {target}/.shmfs/views/{key}. In `shmfs run` it can be bound."
        );
        return refused(format!("view {key}"), hint);
    }
    let mut exports = exports.iter().flat_map(|it| &it.exports);
    if let Some(export) = exports.find(|export| export.to.is_some()) {
        let name = &export.name;
        let hint = format!(
            "Leave `to` out: it is at {target}/.shmfs/exports/{name}, and `shmfs run --export {name} --from {target}` runs a command with it."
        );
        return refused(format!("export {name:?}"), hint);
    }
    Ok(())
}

/// Binds the views and exports in the namespace of this process, where the file system is mounted on `target`.
pub(crate) fn bind_here(
    options: &Options,
    exports: Option<&Configuration>,
    target: &Path,
) -> Result<()> {
    let bindings = Bindings::resolve(options, exports)?;
    if bindings.0.is_empty() {
        return Ok(());
    }
    let tree = rustix::fs::open(target, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|error| Error::path("open", target, error))?;
    bindings.bind(tree.as_fd()).map(drop)
}
