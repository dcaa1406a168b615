//! What a directory shows through an export: positions, size, link count and times that nothing hidden moves.

use std::collections::{BTreeMap, HashMap, HashSet, hash_map};
use std::sync::Arc;

use super::gate::{ExportView, Inside, shown};
use super::kept::{Head, Unsaved};
use super::{Served, SessionId};
use crate::errno::Result;
use crate::export::{Export, Rights};
use crate::ops::attr::{DIRENT_SIZE, EMPTY_DIRECTORY};
use crate::ops::{Dir, Entry, Face, Fs};
use crate::store::change::Place;
use crate::store::{Cookie, Directory, Tree};
use crate::types::{Attr, Ino, Kind, Timestamp};

/// The entries of one directory that an export shows.
///
/// Streams run from the newest to the oldest, as the store's do.
#[derive(Debug)]
pub(super) struct Index {
    entries: BTreeMap<u64, Shown>,
    positions: HashMap<Cookie, u64>,
    next: u64,
    directories: u32,
    atime: Timestamp,
    mtime: Timestamp,
    ctime: Timestamp,
    /// What of it is kept already ([`super::kept`]), and what is not.
    pub(super) saved: Option<Head>,
    pub(super) unsaved: Unsaved,
    /// First positions of the runs in which it is kept.
    pub(super) runs: Vec<u64>,
}

/// One of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shown {
    pub(super) cookie: Cookie,
    pub(super) rights: Rights,
    is_dir: bool,
    /// It is kept by itself, not in a run.
    alone: bool,
}

/// A path of which the last name changes.
struct Path {
    bytes: Vec<u8>,
    above: usize,
}

impl Path {
    fn below(dir: &[u8]) -> Path {
        let mut bytes = dir.to_vec();
        if !bytes.is_empty() {
            bytes.push(b'/');
        }
        let above = bytes.len();
        Path { bytes, above }
    }

    fn of(&mut self, name: &[u8]) -> &[u8] {
        self.bytes.truncate(self.above);
        self.bytes.extend_from_slice(name);
        &self.bytes
    }
}

impl Index {
    /// Of a directory that nobody has looked at: its times are those of what it shows.
    pub(super) fn new(born: Timestamp) -> Index {
        Index {
            entries: BTreeMap::new(),
            positions: HashMap::new(),
            next: Cookie::FIRST.0,
            directories: 0,
            atime: born,
            mtime: born,
            ctime: born,
            saved: None,
            unsaved: Unsaved::default(),
            runs: Vec::new(),
        }
    }

    pub(super) fn head(&self) -> Head {
        Head {
            next: self.next,
            atime: self.atime,
            mtime: self.mtime,
            ctime: self.ctime,
        }
    }

    pub(super) fn set_head(&mut self, head: Head) {
        self.next = self.next.max(head.next);
        (self.atime, self.mtime, self.ctime) = (head.atime, head.mtime, head.ctime);
        self.saved = Some(head);
    }

    /// All positions with the places in the store, in their order.
    pub(super) fn all(&self) -> Vec<(u64, Cookie)> {
        let entries = self.entries.iter();
        entries.map(|(&at, shown)| (at, shown.cookie)).collect()
    }

    pub(super) fn is_alone(&self, at: u64) -> bool {
        self.entries.get(&at).is_some_and(|shown| shown.alone)
    }

    /// From now on all are kept in runs; returns the positions that had notes of their own.
    pub(super) fn none_alone(&mut self) -> Vec<u64> {
        let entries = self.entries.iter_mut();
        let alone =
            entries.filter_map(|(&at, shown)| std::mem::take(&mut shown.alone).then_some(at));
        alone.collect()
    }

    /// Gives a place in the store the position that it had; `None` where nothing is there any more.
    pub(super) fn put(&mut self, at: u64, cookie: Cookie, is_dir: Option<bool>, alone: bool) {
        self.next = self.next.max(at + 1);
        let Some(is_dir) = is_dir else {
            self.unsaved.removed.extend(alone.then_some(at));
            return;
        };
        self.remove(cookie);
        self.insert(at, cookie, (Rights::NONE, is_dir), alone);
    }

    /// Lets it show what the rules say; says whether that is something else than before.
    pub(super) fn refresh(
        &mut self,
        tree: &Tree,
        directory: &Directory,
        rules: Option<&Shows<'_>>,
        path: &[u8],
    ) -> bool {
        let mut stale: HashSet<Cookie> = self.positions.keys().copied().collect();
        let mut path = Path::below(path);
        let mut changed = false;
        // From the oldest: positions tell nothing but the order.
        for (cookie, entry) in directory.oldest_first() {
            let Ok(inode) = tree.inode(entry.ino) else {
                continue;
            };
            let rights = rules.and_then(|it| it.rights(path.of(&entry.name), &inode.kind));
            let Some(rights) = rights else {
                continue;
            };
            stale.remove(&cookie);
            match self.positions.get(&cookie).copied() {
                Some(at) => {
                    if let Some(there) = self.entries.get_mut(&at) {
                        there.rights = rights;
                    }
                }
                None => {
                    changed = true;
                    self.add(cookie, rights, inode.kind.is_dir());
                    let born = inode.state().btime;
                    self.moved(born);
                }
            }
        }
        changed |= !stale.is_empty();
        for cookie in stale {
            self.remove(cookie);
        }
        changed
    }

    fn add(&mut self, cookie: Cookie, rights: Rights, is_dir: bool) {
        let at = self.next;
        self.next += 1;
        self.insert(at, cookie, (rights, is_dir), true);
        self.unsaved.added.push((at, cookie));
    }

    fn insert(&mut self, at: u64, cookie: Cookie, (rights, is_dir): (Rights, bool), alone: bool) {
        self.positions.insert(cookie, at);
        let shown = Shown {
            cookie,
            rights,
            is_dir,
            alone,
        };
        self.entries.insert(at, shown);
        self.directories += u32::from(is_dir);
    }

    fn remove(&mut self, cookie: Cookie) -> bool {
        let at = self.positions.remove(&cookie);
        let entry = at.and_then(|at| self.entries.remove(&at));
        let Some(entry) = entry else {
            return false;
        };
        self.unsaved.removed.extend(at.filter(|_| entry.alone));
        self.directories -= u32::from(entry.is_dir);
        true
    }

    /// Its contents changed, not earlier than before.
    fn moved(&mut self, now: Timestamp) {
        self.mtime = self.mtime.max(now);
        self.ctime = self.ctime.max(now);
    }

    pub(super) fn read_at(&mut self, now: Timestamp) {
        self.atime = now;
    }

    pub(super) fn atime_is_stale(&self, now: Timestamp) -> bool {
        crate::ops::io::is_stale((self.atime, self.mtime, self.ctime), now)
    }

    /// The entries after a position of a stream.
    pub(super) fn stream(&self, after: Option<u64>) -> impl Iterator<Item = (u64, Shown)> {
        let end = after.unwrap_or(u64::MAX);
        let entries = self.entries.range(..end).rev();
        entries.map(|(&at, &shown)| (at, shown))
    }

    fn show(&self, attr: &mut Attr) {
        attr.size = EMPTY_DIRECTORY + self.entries.len() as u64 * DIRENT_SIZE;
        attr.nlink = 2 + self.directories;
        attr.atime = self.atime;
        attr.mtime = self.mtime;
        attr.ctime = self.ctime;
    }
}

/// A name before a change: its directory, itself, where it stood.
pub(in crate::ops) type Noted = (Ino, Vec<u8>, Option<Cookie>);

impl Fs {
    /// Hands what an export shows of a directory to `use_index`.
    pub(super) fn with_index<T>(
        &self,
        tree: &Tree,
        served: &Served,
        (dir, path): (Ino, &[u8]),
        use_index: impl FnOnce(&mut Index) -> T,
    ) -> Result<T> {
        let mut indexes = served.indexes.lock();
        let index = match indexes.entry(dir) {
            hash_map::Entry::Occupied(there) => there.into_mut(),
            hash_map::Entry::Vacant(free) => {
                let mut index = Index::new(tree.inode(dir)?.state().btime);
                let rules = self.shows(served);
                index.refresh(tree, tree.directory(dir)?, rules.as_ref(), path);
                free.insert(index)
            }
        };
        let used = use_index(index);
        self.keep_index(served, dir, index);
        Ok(used)
    }

    /// What a session's directory is besides the tree's.
    pub(in crate::ops) fn show_directory(
        &self,
        tree: &Tree,
        id: SessionId,
        dir: Ino,
        entry: &mut Entry,
    ) -> Result<()> {
        let session = self.exports.session(id)?;
        let config = session.served.config();
        let attr = &mut entry.attr;
        let path = match self.inside(tree, &session, dir)? {
            Inside::Layer | Inside::Gone => return Ok(()),
            Inside::Below(path) => path,
            Inside::Root => Vec::new(),
        };
        let at = (dir, path.as_slice());
        self.with_index(tree, &session.served, at, |index| index.show(attr))?;
        if dir != self.root() {
            return Ok(());
        }
        let own = self.entry(tree, tree.inode(session.layer)?)?.attr;
        if config.as_ref().is_some_and(|config| config.private) {
            *attr = Attr {
                ino: attr.ino,
                generation: attr.generation,
                ..own
            };
            return Ok(());
        }
        attr.size += own.size - EMPTY_DIRECTORY;
        attr.nlink += own.nlink - 2;
        attr.atime = attr.atime.max(own.atime);
        attr.mtime = attr.mtime.max(own.mtime);
        attr.ctime = attr.ctime.max(own.ctime);
        if config.is_some_and(|config| !config.sticky) {
            attr.mode &= !libc::S_ISVTX;
        }
        Ok(())
    }

    /// Where names stand that are about to change.
    pub(in crate::ops) fn note<'a>(
        &self,
        tree: &Tree,
        places: impl Iterator<Item = Place<'a>>,
    ) -> Vec<Noted> {
        let note = |at: Place<'_>| {
            let position = tree.position(at.dir, at.name);
            let cookie = position.map(|(cookie, _)| cookie);
            (at.dir, at.name.to_vec(), cookie)
        };
        places.map(note).collect()
    }

    /// Lets what the exports show follow a change of these names.
    pub(in crate::ops) fn follow(&self, tree: &Tree, noted: &[Noted], now: Timestamp) {
        let table = self.exports.table.read();
        for served in &table.served {
            let mut indexes = served.indexes.lock();
            if indexes.is_empty() {
                continue;
            }
            let rules = self.shows(served);
            for (dir, name, before) in noted {
                if let Some(index) = indexes.get_mut(dir) {
                    self.follow_one(tree, index, rules.as_ref(), (*dir, name, *before), now);
                    self.keep_index(served, *dir, index);
                }
            }
        }
    }

    fn follow_one(
        &self,
        tree: &Tree,
        index: &mut Index,
        rules: Option<&Shows<'_>>,
        (dir, name, before): (Ino, &[u8], Option<Cookie>),
        now: Timestamp,
    ) {
        let position = tree.position(dir, name);
        let after = position.map(|(cookie, _)| cookie);
        if before == after {
            return;
        }
        let mut changed = before.is_some_and(|cookie| index.remove(cookie));
        if let (Some((cookie, ino)), Some(rules), Some(above)) =
            (position, rules, self.path(tree, dir))
        {
            let mut path = Path::below(&above);
            let inode = tree.inode(ino).ok();
            let rights = inode.and_then(|inode| rules.rights(path.of(name), &inode.kind));
            if let (Some(inode), Some(rights)) = (inode, rights) {
                index.add(cookie, rights, inode.kind.is_dir());
                changed = true;
            }
        }
        if changed {
            index.moved(now);
        }
    }

    /// Lets all of them follow new rules.
    pub(super) fn refresh_indexes(&self, tree: &Tree) {
        let now = self.clock.now();
        for served in &self.exports.table.read().served {
            let rules = self.shows(served);
            for (&dir, index) in served.indexes.lock().iter_mut() {
                let (Ok(directory), Some(path)) = (tree.directory(dir), self.path(tree, dir))
                else {
                    continue;
                };
                if index.refresh(tree, directory, rules.as_ref(), &path) {
                    index.moved(now);
                }
                self.keep_index(served, dir, index);
            }
        }
    }

    /// A directory that was moved has another path: what it shows, and what is below, is looked at again.
    pub(in crate::ops) fn follow_moved(&self, tree: &Tree, ino: Ino, now: Timestamp) {
        for served in &self.exports.table.read().served {
            let rules = self.shows(served);
            for (&dir, index) in served.indexes.lock().iter_mut() {
                let below = tree.is_below(dir, ino).unwrap_or(false);
                let (true, Ok(directory)) = (below, tree.directory(dir)) else {
                    continue;
                };
                let path = self.path(tree, dir);
                let rules = rules.as_ref().filter(|_| path.is_some());
                if index.refresh(tree, directory, rules, &path.unwrap_or_default()) {
                    index.moved(now);
                }
                if dir == ino {
                    index.ctime = index.ctime.max(now);
                }
                self.keep_index(served, dir, index);
            }
        }
    }

    /// The attributes of a directory were changed.
    pub(in crate::ops) fn follow_attributes(
        &self,
        ino: Ino,
        (atime, mtime): (Option<Timestamp>, Option<Timestamp>),
        now: Timestamp,
    ) {
        if !self.exports.is_active() {
            return;
        }
        for served in &self.exports.table.read().served {
            if let Some(index) = served.indexes.lock().get_mut(&ino) {
                index.atime = atime.unwrap_or(index.atime);
                index.mtime = mtime.unwrap_or(index.mtime);
                index.ctime = now;
                self.keep_index(served, ino, index);
            }
        }
    }

    /// Names that went, as each session's directories have them.
    pub(in crate::ops) fn spell_for_sessions(
        &self,
        tree: &Tree,
        dir: Ino,
        name: &[u8],
        into: &mut Vec<(Dir, Vec<u8>)>,
    ) {
        for session in self.exports.sessions() {
            let face = Face::Export(session.id);
            if dir == session.layer {
                let ino = self.root();
                into.push((Dir { ino, face }, name.to_vec()));
                continue;
            }
            let Some(rules) = self.shows(&session.served) else {
                continue;
            };
            let names = match self.inside(tree, &session, dir) {
                Ok(Inside::Layer) => vec![name.to_vec()],
                Ok(Inside::Root) => rules.names(name),
                Ok(Inside::Below(above)) => {
                    let is_shown = rules.may_show(Path::below(&above).of(name));
                    is_shown.then(|| name.to_vec()).into_iter().collect()
                }
                Ok(Inside::Gone) | Err(_) => Vec::new(),
            };
            into.extend(names.into_iter().map(|name| (Dir { ino: dir, face }, name)));
        }
    }

    /// The rules in force of an export, and the names under which it is seen.
    pub(super) fn shows<'f>(&'f self, served: &Served) -> Option<Shows<'f>> {
        Some(Shows {
            config: served.config()?,
            view: self.view_of(served),
        })
    }
}

/// What an export shows.
pub(super) struct Shows<'f> {
    config: Arc<Export>,
    view: ExportView<'f>,
}

impl Shows<'_> {
    /// The rights of what is at a path; `None` where it is not shown.
    pub(super) fn rights(&self, path: &[u8], kind: &Kind) -> Option<Rights> {
        if !path.contains(&b'/') {
            self.view.name_of(path)?;
        }
        shown(&self.config.rules, path, kind)
    }

    fn may_show(&self, path: &[u8]) -> bool {
        !self.config.rules.is_unmatched(path)
    }

    /// All names of an entry of the root.
    fn names(&self, entry: &[u8]) -> Vec<Vec<u8>> {
        match &self.view {
            _ if !self.may_show(entry) => Vec::new(),
            ExportView::None => vec![entry.to_vec()],
            ExportView::Some(view) => view.names_of(entry),
            ExportView::Lost => Vec::new(),
        }
    }
}
