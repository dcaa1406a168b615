//! Views: the tree's root under other names.
//!
//! A view shows each entry of the root that it has a name for, and besides what programs put beside objects:
//! temporary names, locks, other files of a platform's /tmp. Those are in a hidden directory of the view's own.
//! Below the root a view is the tree. What a name stands for is settled under the tree's lock, in one step with
//! the operation, so that no two views can make two objects of one name.
//!
//! A digest tells no name. While no entry of the root has it, its object is *unclaimed*, in the view's own
//! directory, and moves into the root as soon as an entry with that digest is looked up or made anywhere.

use std::fmt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;

use super::digests::Digests;
use super::faces::{Dir, Face, Located};
use super::{Entry, Fs};
use crate::errno::{Errno, Result};
use crate::store::Tree;
use crate::store::acl::Acls;
use crate::store::change::{Place, TreeChange};
use crate::store::inode::NewInode;
use crate::store::record::Answer;
use crate::types::{Ino, Kind, Meaning, Names};

/// Which view, in the order in which [`Fs::set_views`] got them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ViewId(pub usize);

/// Hears of names that stand for something else from now on, or for nothing.
pub trait Listener: Send + Sync + fmt::Debug {
    /// Each name as each directory has it. The tree is locked: only to be noted.
    fn names_gone(&self, names: Vec<(Dir, Vec<u8>)>);
}

/// The views of one file system.
#[derive(Debug, Default)]
pub(super) struct Views {
    all: OnceLock<Vec<View>>,
    /// One of them has been opened.
    active: AtomicBool,
    listener: OnceLock<Box<dyn Listener>>,
}

#[derive(Debug)]
pub(super) struct View {
    names: Box<dyn Names>,
    has_digests: bool,
    nests: bool,
    /// Its own directory, once it has been opened; set under the tree's lock.
    own: OnceLock<Ino>,
    /// Changed under the tree's lock for writing, and taken after it.
    digests: RwLock<Digests>,
}

impl Views {
    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    fn all(&self) -> &[View] {
        self.all.get().map_or(&[], Vec::as_slice)
    }

    /// All, if there are any.
    pub(super) fn chosen(&self) -> Option<&[View]> {
        self.all.get().map(Vec::as_slice)
    }

    /// The one with this key.
    pub(super) fn find(&self, key: &str) -> Option<(ViewId, &View)> {
        let at = self.all().iter().position(|view| view.names.key() == key)?;
        Some((ViewId(at), &self.all()[at]))
    }

    pub(super) fn tell_gone(&self, names: Vec<(Dir, Vec<u8>)>) {
        if let (Some(listener), false) = (self.listener.get(), names.is_empty()) {
            listener.names_gone(names);
        }
    }

    pub(super) fn get(&self, id: ViewId) -> Result<&View> {
        self.all().get(id.0).ok_or(Errno::ESTALE)
    }

    /// Those that have been opened, with their own directories.
    pub(super) fn opened(&self) -> impl Iterator<Item = (ViewId, &View, Ino)> {
        let all = self.all().iter().enumerate();
        all.filter_map(|(at, view)| Some((ViewId(at), view, *view.own.get()?)))
    }
}

impl View {
    fn new(names: Box<dyn Names>) -> View {
        View {
            has_digests: names.has_digests(),
            nests: names.nests(),
            names,
            own: OnceLock::new(),
            digests: RwLock::default(),
        }
    }

    /// What its own directory is labelled with.
    fn label(&self) -> String {
        format!("view:{}", self.names.key())
    }

    /// Opens it with a directory of its own.
    fn take(&self, tree: &Tree, root: Ino, own: Ino) {
        if let (true, Ok(directory)) = (self.has_digests, tree.directory(root)) {
            let entries = directory.stream(None);
            entries.for_each(|(_, entry)| self.follow(tree, root, &entry.name));
        }
        let _ = self.own.set(own);
    }

    /// The entry of the root that a name of the view's directory stands for; `None`: none.
    pub(super) fn entry_of(&self, tree: &Tree, root: Ino, name: &[u8]) -> Option<Vec<u8>> {
        match self.names.meaning(name) {
            Meaning::Entry(entry) => Some(entry),
            Meaning::Digest => self.entry_of_digest(tree, root, name),
            Meaning::Own => None,
        }
    }

    /// The name of an entry in the view's directory itself; `None` where it has none.
    pub(super) fn name_of(&self, entry: &[u8]) -> Option<Vec<u8>> {
        let path = self.names.path(entry)?;
        (!path.contains(&b'/')).then_some(path)
    }

    /// All names of an entry in the view's directory itself.
    pub(super) fn names_of(&self, entry: &[u8]) -> Vec<Vec<u8>> {
        let mut paths = self.names.paths(entry);
        paths.retain(|path| !path.contains(&b'/'));
        paths
    }

    fn digest_paths(&self, entry: &[u8]) -> Vec<Vec<u8>> {
        if !self.has_digests {
            return Vec::new();
        }
        let mut paths = self.names.paths(entry);
        paths.retain(|path| self.names.meaning(path) == Meaning::Digest);
        paths
    }

    /// The entry of the root that has this digest; the oldest, where the platform takes several for one.
    fn entry_of_digest(&self, tree: &Tree, root: Ino, path: &[u8]) -> Option<Vec<u8>> {
        let directory = tree.directory(root).ok()?;
        let digests = self.digests.read();
        let found = digests.at(path).filter(|&cookie| {
            let entry = directory.at(cookie);
            entry.is_some_and(|entry| self.names.paths(&entry.name).iter().any(|it| it == path))
        });
        let entry = directory.at(found.min()?)?;
        Some(entry.name.to_vec())
    }

    /// Lets the digests of the root's entry be what the root has now.
    pub(super) fn follow(&self, tree: &Tree, root: Ino, entry: &[u8]) {
        let paths = self.digest_paths(entry);
        if paths.is_empty() {
            return;
        }
        let now = tree.position(root, entry).map(|(cookie, _)| cookie);
        let Ok(directory) = tree.directory(root) else {
            return;
        };
        let mut digests = self.digests.write();
        for path in &paths {
            // What had this name and lost it has no place any more.
            digests.remove_if(path, |cookie| {
                directory
                    .at(cookie)
                    .is_none_or(|there| *there.name == *entry)
            });
            if let Some(cookie) = now {
                digests.insert(path, cookie);
            }
        }
    }
}

impl Fs {
    /// Says which views there are, once, before the first request.
    pub fn set_views(&self, views: Vec<Box<dyn Names>>, listener: Box<dyn Listener>) {
        let views: Vec<View> = views.into_iter().map(View::new).collect();
        // Exports have names that go too.
        let _ = self.views.listener.set(listener);
        if views.is_empty() {
            return;
        }
        if self.views.all.set(views).is_err() {
            tracing::error!("the views are chosen already");
        }
        // In a file system that was before, some may have been opened already.
        let tree = self.superblock.tree();
        for view in self.views.all() {
            if let Some(own) = tree.hidden(&view.label()) {
                view.take(&tree, self.root(), own);
                self.views.active.store(true, Ordering::Release);
            }
        }
    }

    /// The directory of a view, which lives from here on; says whether it is the first of all.
    pub fn open_view(&self, id: ViewId) -> Result<(Dir, bool)> {
        let root = self.root();
        let dir = Dir {
            ino: root,
            face: Face::View(id),
        };
        let view = self.views.get(id)?;
        if view.own.get().is_some() {
            return Ok((dir, false));
        }
        let mut tree = self.superblock.tree_mut();
        if view.own.get().is_some() {
            return Ok((dir, false));
        }
        let own = self.hide(&mut tree, root, &view.label(), (0, 0, 0))?;
        view.take(&tree, root, own);
        let first = !self.has_other_faces();
        self.views.active.store(true, Ordering::Release);
        Ok((dir, first))
    }

    /// Makes a directory without a name, with these permissions, owner and group.
    pub(super) fn hide(
        &self,
        tree: &mut Tree,
        above: Ino,
        label: &str,
        (mode, uid, gid): (u32, u32, u32),
    ) -> Result<Ino> {
        let inode = NewInode {
            identity: self.superblock.fresh(),
            kind: Kind::Directory,
            mode,
            uid,
            gid,
            acls: Acls::default(),
        };
        let now = self.clock.now();
        let change = TreeChange::Hide {
            above,
            inode,
            label,
        };
        let made = self
            .superblock
            .commit(tree, change, now, Answer::Unfinished);
        made.map(|inode| inode.ino).ok_or(Errno::EIO)
    }

    /// The inodes that the kernel knows.
    pub fn referenced(&self) -> Vec<Ino> {
        self.superblock.tree().referenced()
    }

    pub(super) fn locate_in_view<'n>(
        &self,
        view: &View,
        tree: &Tree,
        dir: Ino,
        name: &'n [u8],
    ) -> Result<Located<'n>> {
        let root = self.root();
        let own = *view.own.get().ok_or(Errno::ESTALE)?;
        if dir != root {
            let lent = below(view, tree, own, dir).and_then(|mut path| {
                path.extend_from_slice(name);
                match view.names.meaning(&path) {
                    Meaning::Entry(entry) => Some(entry),
                    Meaning::Digest | Meaning::Own => None,
                }
            });
            return Ok(match lent {
                Some(entry) => Located::lent(root, entry),
                None => Located::new(dir, name),
            });
        }
        Ok(match view.names.meaning(name) {
            Meaning::Entry(entry) => Located::new(root, entry),
            Meaning::Own => Located::new(own, name),
            Meaning::Digest if tree.find(own, name)?.is_some() => Located::new(own, name),
            Meaning::Digest => match view.entry_of_digest(tree, root, name) {
                Some(entry) => Located::new(root, entry),
                None => Located::new(own, name),
            },
        })
    }

    /// The unclaimed object that a name without one can claim.
    pub(super) fn unclaimed(&self, tree: &Tree, at: Place<'_>) -> Option<(Ino, Vec<u8>)> {
        let root = self.root();
        if !self.views.is_active() || at.dir != root || tree.position(root, at.name).is_some() {
            return None;
        }
        let mut views = self.views.opened().filter(|(_, view, own)| {
            view.has_digests && tree.directory(*own).is_ok_and(|own| !own.is_empty())
        });
        views.find_map(|(_, view, own)| {
            let mut paths = view.digest_paths(at.name).into_iter();
            let path = paths.find(|path| tree.position(own, path).is_some())?;
            Some((own, path))
        })
    }

    /// The place as each directory that shows it has it.
    pub(super) fn spellings(
        &self,
        tree: &Tree,
        dir: Ino,
        name: Vec<u8>,
        into: &mut Vec<(Dir, Vec<u8>)>,
    ) {
        let root = self.root();
        let hidden = tree.is_hidden(dir);
        if self.exports.is_active() {
            self.spell_for_sessions(tree, dir, &name, into);
        }
        for (id, view, own) in self.views.opened() {
            let seen = |ino: Ino| Dir {
                ino,
                face: Face::View(id),
            };
            if dir == root {
                for path in view.names.paths(&name) {
                    let (dir, leaf) = walk(tree, root, own, &path);
                    into.extend(dir.map(|ino| (seen(ino), leaf.to_vec())));
                }
            } else if dir == own {
                into.push((seen(root), name.clone()));
            } else if !hidden {
                into.push((seen(dir), name.clone()));
            }
        }
        // A view's own directory is nobody's but the view's; a session's is its owner's to see.
        if !hidden || tree.authority(dir) == dir {
            into.push((dir.into(), name));
        }
    }

    /// What a view's directory is beside the root: the names of its own count too.
    pub(super) fn add_own(&self, tree: &Tree, id: ViewId, entry: &mut Entry) -> Result<()> {
        let own = *self.views.get(id)?.own.get().ok_or(Errno::ESTALE)?;
        let of_own = self.entry(tree, tree.inode(own)?)?.attr;
        let attr = &mut entry.attr;
        attr.size += of_own.size - super::attr::EMPTY_DIRECTORY;
        attr.nlink += of_own.nlink - 2;
        attr.mtime = attr.mtime.max(of_own.mtime);
        attr.ctime = attr.ctime.max(of_own.ctime);
        Ok(())
    }

    /// What of the root `dir` shows besides its own; `None` where it is a directory like any.
    pub(super) fn window(&self, tree: &Tree, dir: Dir) -> Result<Option<Window<'_>>> {
        let Face::View(id) = dir.face else {
            return Ok(None);
        };
        let view = self.views.get(id)?;
        let own = *view.own.get().ok_or(Errno::ESTALE)?;
        let (own, above) = if dir.ino == self.root() {
            (own, Some(Vec::new()))
        } else {
            (dir.ino, below(view, tree, own, dir.ino))
        };
        let root = self.root();
        Ok(above.map(|above| Window {
            own,
            view,
            root,
            above,
        }))
    }
}

/// A directory of a view that shows entries of the root.
#[derive(Debug)]
pub(super) struct Window<'v> {
    /// The directory of its own entries.
    pub(super) own: Ino,
    view: &'v View,
    root: Ino,
    /// Its path below the view's, with a slash at the end.
    above: Vec<u8>,
}

impl Window<'_> {
    /// The name by which it shows an entry of the root.
    pub(super) fn shows(&self, tree: &Tree, entry: &[u8]) -> Option<Vec<u8>> {
        let path = self.view.names.path(entry)?;
        let digests = self.view.digests.read();
        let shared = digests.at(&path).nth(1).is_some();
        drop(digests);
        if shared {
            let first = self.view.entry_of_digest(tree, self.root, &path)?;
            if first != entry {
                return None;
            }
        }
        let leaf = path.strip_prefix(&*self.above)?;
        (!leaf.contains(&b'/')).then(|| leaf.to_vec())
    }
}

/// The path of a directory two below a view's, with a slash at the end.
fn below(view: &View, tree: &Tree, own: Ino, dir: Ino) -> Option<Vec<u8>> {
    if !view.nests {
        return None;
    }
    let above = tree.directory(dir).ok()?.parent;
    if above == own || tree.directory(above).ok()?.parent != own {
        return None;
    }
    let mut path = tree.name_of(above)?.to_vec();
    path.push(b'/');
    path.extend_from_slice(tree.name_of(dir)?);
    path.push(b'/');
    Some(path)
}

/// The directory of a path below a view's, and its last name.
fn walk<'p>(tree: &Tree, root: Ino, own: Ino, path: &'p [u8]) -> (Option<Ino>, &'p [u8]) {
    let mut dir = Some(root);
    let mut from = own;
    let mut rest = path;
    while let Some(slash) = rest.iter().position(|&byte| byte == b'/') {
        let found = tree.position(from, &rest[..slash]).map(|(_, ino)| ino);
        (dir, rest) = (found, &rest[slash + 1..]);
        match found {
            Some(ino) => from = ino,
            None => break,
        }
    }
    (dir, rest)
}
