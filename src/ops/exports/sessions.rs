//! Sessions: opened, ended, and the exports that they are of.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};

use parking_lot::{Mutex, RwLock};

use super::gate::ExportView;
use super::kept::{key_of_number, name_in_key};
use super::{ExportId, Served, Session, SessionId, Table};
use crate::errno::{Errno, Result};
use crate::export::Export;
use crate::ops::{Dir, Face, Fs};
use crate::recovery::{Journal, Space};
use crate::store::change::{Place, TreeChange};
use crate::store::record::Answer;
use crate::types::Ino;

/// What labels a session's hidden directory: this, the export's name, a colon, its own name.
const SESSION: &str = "export:";
/// What labels the layer that all sessions of an export share: this and the export's name.
const KEPT: &str = "kept:";
/// Whose the pool of that layer is, in the place of a session.
const ALL: &str = "kept";
/// The session that everybody has who looks an export up by its name.
pub const DEFAULT_SESSION: &str = "default";
/// Permissions of a layer, as of any /dev/shm.
const LAYER_MODE: u32 = 0o1777;
/// Names that go in one step when a session ends: others want the tree meanwhile.
const STEP: usize = 256;

/// What is known of a session.
#[derive(Clone, Debug)]
pub struct SessionInfo {
    /// Which.
    pub id: SessionId,
    /// Of which export.
    pub export: ExportId,
    /// Its own name.
    pub token: String,
    /// The directory of what is its own.
    pub layer: Ino,
}

impl Table {
    /// Lets the exports be these; one that is no more among them keeps its number, and shows nothing.
    fn take(&mut self, exports: Vec<Arc<Export>>, journal: Option<&Journal>) {
        for served in &self.served {
            let now = exports.iter().find(|export| *export.name == *served.name);
            if let Some(now) = now {
                *served.last.write() = Some(Arc::clone(now));
            }
            *served.config.write() = now.cloned();
        }
        for export in exports {
            if self.served.iter().any(|it| *it.name == *export.name) {
                continue;
            }
            let number = self.served.len() as u32;
            if let Some(journal) = journal {
                let key = key_of_number(&export.name);
                journal.set_note(Space::EXPORTS, &key, Some(&number.to_le_bytes()));
            }
            self.add(export.name.as_str().into(), Some(export));
        }
    }

    fn add(&mut self, name: Box<str>, config: Option<Arc<Export>>) {
        self.served.push(Arc::new(Served {
            id: ExportId(self.served.len() as u32),
            name,
            config: RwLock::new(config.clone()),
            last: RwLock::new(config),
            pool: AtomicU16::new(0),
            indexes: Mutex::default(),
        }));
    }

    /// Gives those that were there before a recovery the numbers that they had: nodes of files are made of them.
    fn take_numbers(&mut self, journal: &Journal) {
        let numbered = journal.notes(Space::EXPORTS).into_iter();
        let mut numbered: Vec<(u32, Box<str>)> = numbered
            .filter_map(|(key, number)| {
                let name = name_in_key(&key)?;
                Some((u32::from_le_bytes(number.try_into().ok()?), name.into()))
            })
            .collect();
        numbered.sort_unstable();
        numbered
            .into_iter()
            .for_each(|(_, name)| self.add(name, None));
    }

    fn find(&self, id: ExportId, token: &str) -> Option<&Arc<Session>> {
        let mut sessions = self.sessions.values();
        sessions.find(|it| it.served.id == id && *it.token == *token)
    }
}

impl Fs {
    /// Says which exports there are: at the start, or other ones later.
    ///
    /// From here on names have the rights of the new rules; what is open keeps what it had.
    pub fn set_exports(&self, exports: Vec<Arc<Export>>) {
        let tree = self.superblock.tree_mut();
        let any = !exports.is_empty();
        {
            let mut table = self.exports.table.write();
            if let (true, Some(journal)) = (table.served.is_empty(), &self.journal) {
                table.take_numbers(journal);
            }
            table.take(exports, self.journal.as_deref());
        }
        if any {
            self.exports.configured.store(true, Ordering::Release);
        }
        self.refresh_indexes(&tree);
    }

    /// The exports in force, by name, in their order.
    pub fn exports(&self) -> Vec<(ExportId, Arc<Export>)> {
        let table = self.exports.table.read();
        let served = table.served.iter();
        served
            .filter_map(|it| Some((it.id, it.config()?)))
            .collect()
    }

    /// Each export as it was in force last, also those that are no more: their sessions may go on.
    pub fn exports_so_far(&self) -> Vec<Arc<Export>> {
        let table = self.exports.table.read();
        let last = |served: &Arc<Served>| served.last.read().clone();
        table.served.iter().filter_map(last).collect()
    }

    /// The export called `name`.
    pub fn export_id(&self, name: &str) -> Option<ExportId> {
        let table = self.exports.table.read();
        let found = table.served.iter().find(|it| *it.name == *name)?;
        found.config().map(|_| found.id)
    }

    /// The number of the export that is called so, also of one that is no more.
    pub fn export_number(&self, name: &str) -> Option<ExportId> {
        let table = self.exports.table.read();
        let found = table.served.iter().find(|it| *it.name == *name);
        found.map(|it| it.id)
    }

    /// How an export is called, also one that is no more.
    pub fn export_name(&self, id: ExportId) -> Option<String> {
        let served = self.exports.served(id).ok()?;
        Some(served.name.to_string())
    }

    /// All sessions.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let info = |session: &Arc<Session>| SessionInfo {
            id: session.id,
            export: session.served.id,
            token: session.token.to_string(),
            layer: session.layer,
        };
        self.exports.sessions().iter().map(info).collect()
    }

    /// The session of an export that is called `token`; `ENOENT` where there is none.
    pub fn session(&self, id: ExportId, token: &str) -> Result<Dir> {
        let table = self.exports.table.read();
        let session = table.find(id, token).ok_or(Errno::ENOENT)?;
        Ok(self.face_of(session.id))
    }

    fn face_of(&self, id: SessionId) -> Dir {
        Dir {
            ino: self.root(),
            face: Face::Export(id),
        }
    }

    /// The session of an export that is called `token`, made where there is none; says whether it is the first of all.
    pub fn open_session(&self, id: ExportId, token: &str) -> Result<(Dir, bool)> {
        if let Ok(dir) = self.session(id, token) {
            return Ok((dir, false));
        }
        let was_alone = !self.has_other_faces();
        if let ExportView::Some(_) = self.view_of(&*self.exports.served(id)?) {
            self.open_view_of(id)?;
        }
        let mut tree = self.superblock.tree_mut();
        if let Ok(dir) = self.session(id, token) {
            return Ok((dir, was_alone));
        }
        let served = self.exports.served(id)?;
        let config = served.config().ok_or(Errno::ENOENT)?;
        let label = format!("{SESSION}{}:{token}", served.name);
        let own = self.hide_layer(&mut tree, &label)?;
        let layer = if config.keep {
            self.kept_layer(&mut tree, &served.name)?
        } else {
            own
        };
        let whose = if config.keep { ALL } else { token };
        let owner = format!("{}:{whose}", served.name);
        let session = Session {
            id: SessionId(own),
            token: token.into(),
            pool: self.pool_of(&mut tree, &config, &owner)?,
            served: Arc::clone(&served),
            layer,
        };
        let pool = self.pool_of(&mut tree, &config, &served.name)?;
        served.pool.store(pool, Ordering::Release);
        let id = session.id;
        let mut table = self.exports.table.write();
        table.sessions.insert(id, Arc::new(session));
        self.exports.active.store(true, Ordering::Release);
        Ok((self.face_of(id), was_alone))
    }

    /// Digests are found in a view that is open.
    fn open_view_of(&self, id: ExportId) -> Result<()> {
        let config = self.exports.served(id)?.config();
        let key = config.as_ref().and_then(|config| config.view.as_deref());
        match key.and_then(|key| self.views.find(key)) {
            Some((view, _)) => self.open_view(view).map(drop),
            None => Ok(()),
        }
    }

    fn hide_layer(&self, tree: &mut crate::store::Tree, label: &str) -> Result<Ino> {
        let root = self.root();
        let (uid, gid) = {
            let state = tree.inode(root)?.state();
            (state.uid, state.gid)
        };
        self.hide(tree, root, label, (LAYER_MODE, uid, gid))
    }

    /// The layer that lives as long as the file system.
    fn kept_layer(&self, tree: &mut crate::store::Tree, name: &str) -> Result<Ino> {
        let label = format!("{KEPT}{name}");
        match tree.hidden(&label) {
            Some(ino) => Ok(ino),
            None => self.hide_layer(tree, &label),
        }
    }

    /// Ends a session: from here on its directories are stale, and what was its own goes. Those that everybody has live
    /// as long as the file system.
    pub fn end_session(&self, id: SessionId) {
        let session = {
            let _tree = self.superblock.tree_mut();
            let mut table = self.exports.table.write();
            let ends = |session: &&Arc<Session>| *session.token != *DEFAULT_SESSION;
            let ends = table.sessions.get(&id).filter(ends).is_some();
            ends.then(|| table.sessions.remove(&id)).flatten()
        };
        let Some(session) = session else {
            return;
        };
        if session.layer != session.id.0 {
            return self.drop_hidden(session.id.0);
        }
        if let Err(errno) = self.empty(session.layer) {
            tracing::error!(?id, %errno, "cannot clear what a session left behind");
        }
        self.end_pool(&mut self.superblock.tree_mut(), session.pool);
    }

    /// Removes all that is in a hidden directory, and then itself.
    fn empty(&self, layer: Ino) -> Result<()> {
        let mut below = vec![layer];
        while let Some(&dir) = below.last() {
            match self.empty_some(dir, layer, &mut below)? {
                true => {}
                false => {
                    below.pop();
                }
            }
        }
        self.drop_hidden(layer);
        Ok(())
    }

    /// Removes some names of a directory; says whether there may be more, below or beside.
    fn empty_some(&self, dir: Ino, layer: Ino, below: &mut Vec<Ino>) -> Result<bool> {
        let mut evicted = Vec::new();
        let mut tree = self.superblock.tree_mut();
        let Ok(directory) = tree.directory(dir) else {
            return Ok(false);
        };
        let names = directory.stream(None).take(STEP);
        let names: Vec<Box<[u8]>> = names.map(|(_, entry)| entry.name.clone()).collect();
        if names.is_empty() {
            return Ok(false);
        }
        for name in &names {
            let Some(inode) = tree.find(dir, name)?.cloned() else {
                continue;
            };
            if inode.kind.is_dir() && !tree.directory(inode.ino)?.is_empty() {
                // It is below `layer`, and nothing is above itself: this ends.
                debug_assert!(tree.is_below(inode.ino, layer)?);
                below.push(inode.ino);
                continue;
            }
            let at = Place { dir, name };
            let (change, now) = (TreeChange::Remove { at }, self.clock.now());
            self.commit(&mut tree, change, now, Answer::Unfinished);
            evicted.extend(self.evict(&mut tree, &inode));
        }
        drop(tree);
        evicted.iter().for_each(|inode| self.free_data(inode));
        Ok(true)
    }

    fn drop_hidden(&self, ino: Ino) {
        let mut tree = self.superblock.tree_mut();
        let change = TreeChange::Unhide { ino };
        let now = self.clock.now();
        let gone = self
            .superblock
            .commit(&mut tree, change, now, Answer::Unfinished);
        let evicted = gone.and_then(|inode| self.evict(&mut tree, &inode));
        drop(tree);
        if let Some(inode) = evicted {
            self.free_data(&inode);
        }
    }

    /// Finds the sessions again that the store's hidden directories are of, after the exports were set.
    pub fn restore_sessions(&self) {
        let mut tree = self.superblock.tree_mut();
        let hidden: HashMap<&str, Ino> =
            tree.all_hidden().map(|(ino, label)| (label, ino)).collect();
        let mut table = self.exports.table.write();
        self.restore_pools(&tree, |owner| {
            let name = owner.split_once(':').map_or(owner, |(name, _)| name);
            let served = table.served.iter().find(|it| *it.name == *name)?;
            served.config()
        });
        self.restore_indexes(&tree, &table);
        for (label, &own) in &hidden {
            let named = label
                .strip_prefix(SESSION)
                .and_then(|it| it.split_once(':'));
            let Some((name, token)) = named else {
                continue;
            };
            let Some(served) = table.served.iter().find(|it| *it.name == *name).cloned() else {
                tracing::warn!(name, "a session of an export that is not there any more");
                continue;
            };
            let keep = served.config().is_some_and(|config| config.keep);
            let whose = if keep { ALL } else { token };
            let kept = hidden.get(&*format!("{KEPT}{name}")).copied();
            let session = Session {
                id: SessionId(own),
                token: token.into(),
                pool: self.pool_named(&tree, &format!("{name}:{whose}")),
                served,
                layer: kept.filter(|_| keep).unwrap_or(own),
            };
            let pool = self.pool_named(&tree, name);
            session.served.pool.store(pool, Ordering::Release);
            table.sessions.insert(session.id, Arc::new(session));
            self.exports.active.store(true, Ordering::Release);
        }
        self.end_lost_pools(&mut tree, |name, token| {
            let mut sessions = table.sessions.values();
            token == ALL || sessions.any(|it| *it.served.name == *name && *it.token == *token)
        });
    }
}
