//! What a request's directory and name stand for: the tree, or the tree seen otherwise.
//!
//! A name is found in the store under the same lock as the operation that needs it.

use std::borrow::Cow;
use std::sync::Arc;

use super::Fs;
use super::exports::SessionId;
use super::exports::gate::{Gate, Zone};
use super::views::ViewId;
use crate::errno::{Errno, Result};
use crate::store::change::{Place, TreeChange};
use crate::store::record::Answer;
use crate::store::{Inode, Tree};
use crate::types::{Ino, RESERVED, Timestamp};

/// A directory as a request means it: an inode, and the face that it has there.
///
/// The root seen in a view is that view's directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Dir {
    /// The inode.
    pub ino: Ino,
    /// How it is seen.
    pub face: Face,
}

/// How a directory is seen: what is below it has the same face.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Face {
    /// As it is.
    Tree,
    /// Under the names of a view.
    View(ViewId),
    /// As a session of an export shows it.
    Export(SessionId),
}

impl From<Ino> for Dir {
    fn from(ino: Ino) -> Dir {
        Dir {
            ino,
            face: Face::Tree,
        }
    }
}

/// Where a name that a request bears is in the store.
#[derive(Debug)]
pub(super) struct Located<'n> {
    dir: Ino,
    name: Cow<'n, [u8]>,
    /// It is in the root, though the directory of the request is another one.
    pub(super) lent: bool,
    /// Whose it is.
    pub(super) zone: Zone<'n>,
}

impl<'n> Located<'n> {
    pub(super) fn new(dir: Ino, name: impl Into<Cow<'n, [u8]>>) -> Located<'n> {
        Located {
            dir,
            name: name.into(),
            lent: false,
            zone: Zone::Free,
        }
    }

    /// What is a session's own.
    pub(super) fn own(dir: Ino, name: &'n [u8], id: SessionId) -> Located<'n> {
        Located {
            zone: Zone::Layer(id),
            ..Located::new(dir, name)
        }
    }

    /// The same, where only files can be.
    pub(super) fn scratch(self, id: SessionId) -> Located<'n> {
        let zone = Zone::Scratch(id);
        Located { zone, ..self }
    }

    /// What the rules of an export are on.
    pub(super) fn ruled(dir: Ino, name: impl Into<Cow<'n, [u8]>>, gate: Gate<'n>) -> Located<'n> {
        Located {
            zone: Zone::Ruled(Box::new(gate)),
            ..Located::new(dir, name)
        }
    }

    /// An entry that the root lends to another directory.
    pub(super) fn lent(root: Ino, entry: Vec<u8>) -> Located<'n> {
        Located {
            lent: true,
            ..Located::new(root, entry)
        }
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place {
            dir: self.dir,
            name: &self.name,
        }
    }
}

impl Fs {
    /// Where `name` of `dir` is. `EBUSY` for the name that leads to the views and exports.
    pub(super) fn locate<'n>(&self, tree: &Tree, dir: Dir, name: &'n [u8]) -> Result<Located<'n>> {
        if self.views.chosen().is_none() && !self.exports.is_configured() {
            return Ok(Located::new(dir.ino, name));
        }
        let root = self.root();
        match dir.face {
            Face::Tree if dir.ino == root && name == RESERVED => Err(Errno::EBUSY),
            Face::Tree => Ok(Located::new(dir.ino, name)),
            Face::View(id) => self.locate_in_view(self.views.get(id)?, tree, dir.ino, name),
            Face::Export(id) => self.locate_in_export(tree, id, dir.ino, name),
        }
    }

    /// As [`Fs::locate`], and the name gets the object that waits for it under its digest.
    pub(super) fn locate_mut<'n>(
        &self,
        tree: &mut Tree,
        dir: Dir,
        name: &'n [u8],
    ) -> Result<Located<'n>> {
        let located = self.locate(tree, dir, name)?;
        if let Some((own, path)) = self.unclaimed(tree, located.place()) {
            let from = Place {
                dir: own,
                name: &path,
            };
            let claim = TreeChange::Rename {
                from,
                to: located.place(),
                whiteout: None,
            };
            // The request goes on: looking up, or making what it finds made now.
            self.commit(tree, claim, self.clock.now(), Answer::Unfinished);
        }
        Ok(located)
    }

    /// Changes names, and lets what shows them otherwise follow.
    pub(super) fn commit(
        &self,
        tree: &mut Tree,
        change: TreeChange<'_>,
        now: Timestamp,
        answer: Answer,
    ) -> Option<Arc<Inode>> {
        if !self.has_other_faces() {
            return self.superblock.commit(tree, change, now, answer);
        }
        let places = change.places().into_iter().flatten();
        let noted = self.note(tree, places);
        let loses = change.takes_names();
        let result = self.superblock.commit(tree, change, now, answer);
        if self.exports.is_active() {
            self.follow(tree, &noted, now);
        }
        let mut gone = Vec::new();
        for (dir, name, _) in noted {
            if dir == self.root() {
                let views = self.views.opened();
                views.for_each(|(_, view, _)| view.follow(tree, dir, &name));
            }
            if loses {
                self.spellings(tree, dir, name, &mut gone);
            }
        }
        self.views.tell_gone(gone);
        result
    }

    /// Whether the name stands for a directory now.
    pub fn is_directory(&self, dir: Dir, name: &[u8]) -> bool {
        let tree = self.superblock.tree();
        let found = self
            .locate(&tree, dir, name)
            .and_then(|at| self.seen(&tree, &at));
        matches!(found, Ok(Some(inode)) if inode.kind.is_dir())
    }

    /// Whether a directory, seen in a view, has no entries.
    pub(super) fn is_empty(&self, tree: &Tree, dir: Dir) -> Result<bool> {
        if !tree.directory(dir.ino)?.is_empty() {
            return Ok(false);
        }
        // What is hidden counts: a directory that is not empty cannot go.
        let Some(window) = self.window(tree, dir)? else {
            return Ok(true);
        };
        let mut entries = tree.directory(self.root())?.stream(None);
        Ok(!entries.any(|(_, entry)| window.shows(tree, &entry.name).is_some()))
    }
}
