//! Which name a consumer means, and what he may do with it.

use std::borrow::Cow;
use std::sync::Arc;

use super::{ExportId, Served, Session, SessionId};
use crate::errno::{Errno, Result};
use crate::export::{Export, Operation, Presence, Rights, Rules, verdict};
use crate::ops::faces::{Dir, Face, Located};
use crate::ops::views::View;
use crate::ops::{Entry, Fs};
use crate::store::{Inode, Tree};
use crate::types::{Attr, Ino, Kind, RESERVED};

/// What a file of an export is to the kernel: the same file under a name with other rights is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileKey {
    /// Which export.
    pub export: ExportId,
    /// To read, to write: what the name gave by which it was found.
    pub class: Rights,
}

/// How a file of an export was come by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// What it is to the kernel.
    pub key: FileKey,
    /// Its name, as a path below the export's root; empty where it is the consumer's own.
    pub path: Box<[u8]>,
}

impl Way {
    /// Whether it is the consumer's own, which no rule is on.
    pub(super) fn is_own(&self) -> bool {
        self.path.is_empty()
    }
}

/// Whose a place is, as the directory of a request has it.
#[derive(Debug)]
pub(in crate::ops) enum Zone<'n> {
    /// No export's: nothing is decided here.
    Free,
    /// The consumer's own: neither.
    Layer(SessionId),
    /// The same, for a file that is about to get another name.
    Scratch(SessionId),
    /// Under the rules of an export.
    Ruled(Box<Gate<'n>>),
}

/// The rules on one name.
#[derive(Debug)]
pub(in crate::ops) struct Gate<'n> {
    served: Arc<Served>,
    /// `None`: nothing is granted any more.
    config: Option<Arc<Export>>,
    /// Below the export's root.
    path: Cow<'n, [u8]>,
    file: Rights,
}

/// Under whose names an export is seen.
pub(super) enum ExportView<'f> {
    /// The tree's.
    None,
    /// A view's.
    Some(&'f View),
    /// Those of a view that is not there.
    Lost,
}

impl ExportView<'_> {
    /// The name of an entry of the root; `None` where it has none.
    pub(super) fn name_of(&self, entry: &[u8]) -> Option<Vec<u8>> {
        match self {
            ExportView::None => Some(entry.to_vec()),
            ExportView::Some(view) => view.name_of(entry),
            ExportView::Lost => None,
        }
    }
}

/// Where a directory is for a session.
#[derive(Debug)]
pub(super) enum Inside {
    /// It is the export's root.
    Root,
    /// Below it, at this path.
    Below(Vec<u8>),
    /// In what is the consumer's own.
    Layer,
    /// It was removed.
    Gone,
}

impl<'n> Gate<'n> {
    fn new(served: Arc<Served>, path: Cow<'n, [u8]>) -> Gate<'n> {
        // In the tree that name is none of an object's.
        let config = served.config().filter(|_| *path != *RESERVED);
        let file = config.as_ref().map(|config| config.rules.of_file(&path));
        Gate {
            file: file.unwrap_or_default(),
            served,
            config,
            path,
        }
    }

    /// Of a name that can be nothing.
    fn closed(served: Arc<Served>, name: &'n [u8]) -> Gate<'n> {
        Gate {
            served,
            config: None,
            path: Cow::Borrowed(name),
            file: Rights::NONE,
        }
    }

    /// The rights of the name as a file's or as a directory's.
    pub(in crate::ops) fn rights(&self, is_dir: bool) -> Rights {
        match &self.config {
            Some(config) if is_dir => config.rules.of_directory(&self.path),
            Some(_) | None => self.file,
        }
    }

    fn leads(&self) -> bool {
        let rules = self.config.as_ref().map(|config| &config.rules);
        rules.is_some_and(|rules| rules.leads(&self.path))
    }

    fn presence(&self, kind: Option<&Kind>) -> Presence {
        let leads = kind.is_some_and(Kind::is_dir) && self.leads();
        Presence::of(kind, leads)
    }

    /// Whether the consumer may know of what is there.
    pub(in crate::ops) fn shows(&self, kind: &Kind) -> bool {
        let rights = self.rights(kind.is_dir());
        self.presence(Some(kind)).is_visible(rights)
    }

    /// What `operation` answers where `kind` is; `makes_dir`: what would come there is a directory.
    pub(in crate::ops) fn check(
        &self,
        operation: Operation,
        kind: Option<&Kind>,
        makes_dir: bool,
    ) -> Result<()> {
        let is_dir = kind.map_or(makes_dir, Kind::is_dir);
        verdict(operation, self.rights(is_dir), self.presence(kind))
    }

    pub(super) fn served(&self) -> &Served {
        &self.served
    }

    pub(super) fn export(&self) -> ExportId {
        self.served.id
    }

    pub(in crate::ops) fn path(&self) -> &[u8] {
        &self.path
    }

    pub(in crate::ops) fn config(&self) -> Option<&Arc<Export>> {
        self.config.as_ref()
    }

    /// Names in the export's root are not the sticky bit's.
    fn is_without_sticky(&self) -> bool {
        let free = self.config.as_ref().is_some_and(|config| !config.sticky);
        free && !self.path.contains(&b'/')
    }
}

impl Located<'_> {
    /// The rules on it, if there are any.
    pub(in crate::ops) fn gate(&self) -> Option<&Gate<'_>> {
        match &self.zone {
            Zone::Ruled(gate) => Some(gate),
            Zone::Free | Zone::Layer(_) | Zone::Scratch(_) => None,
        }
    }

    /// What an operation answers there.
    pub(in crate::ops) fn check(
        &self,
        operation: Operation,
        there: Option<&Arc<Inode>>,
        makes_dir: bool,
    ) -> Result<()> {
        match (&self.zone, operation) {
            (Zone::Ruled(gate), _) => {
                gate.check(operation, there.map(|inode| &inode.kind), makes_dir)
            }
            // Only files have temporary names.
            (Zone::Scratch(_), Operation::Mkdir) => Err(Errno::EACCES),
            (Zone::Scratch(_), Operation::Special) => Err(Errno::EPERM),
            (Zone::Free | Zone::Layer(_) | Zone::Scratch(_), _) => Ok(()),
        }
    }

    pub(in crate::ops) fn is_without_sticky(&self) -> bool {
        self.gate().is_some_and(Gate::is_without_sticky)
    }
}

/// The mode that a class shows: what its name does not give is not there.
pub(in crate::ops) fn masked(mode: u32, class: Rights) -> u32 {
    let mut hidden = 0;
    if !class.contains(Rights::READ) {
        hidden |= 0o444;
    }
    if !class.contains(Rights::WRITE) {
        hidden |= 0o222;
    }
    mode & !hidden
}

impl Fs {
    /// Where `name` is for a session that names `dir`.
    pub(in crate::ops) fn locate_in_export<'n>(
        &self,
        tree: &Tree,
        id: SessionId,
        dir: Ino,
        name: &'n [u8],
    ) -> Result<Located<'n>> {
        let session = self.exports.session(id)?;
        let served = Arc::clone(&session.served);
        let entry = match self.inside(tree, &session, dir)? {
            Inside::Layer | Inside::Gone => return Ok(Located::own(dir, name, id)),
            Inside::Below(mut path) => {
                path.push(b'/');
                path.extend_from_slice(name);
                return Ok(Located::ruled(
                    dir,
                    name,
                    Gate::new(served, Cow::Owned(path)),
                ));
            }
            Inside::Root => self.entry_named(tree, &served, name),
        };
        let gate = match &entry {
            Some(entry) => Gate::new(served, entry.clone()),
            None => Gate::closed(served, name),
        };
        let own = entry.as_deref().unwrap_or(name);
        if gate.file.is_empty() && session.is_own(own) {
            let own = Located::own(session.layer, name, id);
            return Ok(if session.has_scratch_alone() {
                own.scratch(id)
            } else {
                own
            });
        }
        Ok(Located::ruled(
            dir,
            entry.unwrap_or(Cow::Borrowed(name)),
            gate,
        ))
    }

    /// The entry of the root that a name of an export's root stands for; `None`: none that the tree could hold.
    fn entry_named<'n>(
        &self,
        tree: &Tree,
        served: &Served,
        name: &'n [u8],
    ) -> Option<Cow<'n, [u8]>> {
        match self.view_of(served) {
            ExportView::None => Some(Cow::Borrowed(name)),
            ExportView::Some(view) => view.entry_of(tree, self.root(), name).map(Cow::Owned),
            ExportView::Lost => None,
        }
    }

    /// Under whose names an export is seen.
    pub(super) fn view_of(&self, served: &Served) -> ExportView<'_> {
        let config = served.config();
        let Some(key) = config.as_ref().and_then(|config| config.view.as_deref()) else {
            return ExportView::None;
        };
        match self.views.find(key) {
            Some((_, view)) => ExportView::Some(view),
            None => ExportView::Lost,
        }
    }

    /// Whether an export can be seen under these names.
    pub fn has_view(&self, key: &str) -> bool {
        self.views.find(key).is_some()
    }

    /// Where a directory is for a session.
    pub(super) fn inside(&self, tree: &Tree, session: &Session, dir: Ino) -> Result<Inside> {
        let root = self.root();
        let mut names = Vec::new();
        let mut at = dir;
        while at != root {
            if at == session.layer {
                return Ok(Inside::Layer);
            }
            let Some(name) = tree.name_of(at) else {
                let gone = tree.inode(dir)?.state().is_orphan();
                return if gone {
                    Ok(Inside::Gone)
                } else {
                    Err(Errno::ESTALE)
                };
            };
            names.push(name);
            at = tree.directory(at)?.parent;
        }
        names.reverse();
        Ok(match names.as_slice() {
            [] => Inside::Root,
            names => Inside::Below(names.join(&b'/')),
        })
    }

    /// The path of a directory of the tree; `None` where it is not below the root.
    pub(super) fn path(&self, tree: &Tree, dir: Ino) -> Option<Vec<u8>> {
        let mut names = Vec::new();
        let mut at = dir;
        while at != self.root() {
            names.push(tree.name_of(at)?);
            at = tree.directory(at).ok()?.parent;
        }
        names.reverse();
        Some(names.join(&b'/'))
    }

    /// What the request may see at a place.
    pub(in crate::ops) fn seen<'t>(
        &self,
        tree: &'t Tree,
        at: &Located<'_>,
    ) -> Result<Option<&'t Arc<Inode>>> {
        let place = at.place();
        let found = tree.find(place.dir, place.name)?;
        Ok(match at.gate() {
            Some(gate) => found.filter(|inode| gate.shows(&inode.kind)),
            None => found,
        })
    }

    /// What is told of an inode that was found at a place of a directory.
    pub(in crate::ops) fn entry_at(
        &self,
        tree: &Tree,
        inode: &Inode,
        dir: Dir,
        at: &Located<'_>,
    ) -> Result<Entry> {
        let mut entry = self.entry_in(tree, inode, dir)?;
        if inode.kind != Kind::Regular {
            return Ok(entry);
        }
        match &at.zone {
            Zone::Free => {}
            Zone::Layer(id) | Zone::Scratch(id) => {
                let key = self.key_of_own(&*self.exports.session(*id)?);
                let path = Box::default();
                entry.way = key.map(|key| Arc::new(Way { key, path }));
            }
            Zone::Ruled(gate) => {
                let key = self.file_key(&gate.served, gate.file);
                mask(&mut entry, gate.file);
                let path = gate.path().into();
                entry.way = key.map(|key| Arc::new(Way { key, path }));
            }
        }
        Ok(entry)
    }

    /// What a file of a session's own is to the kernel.
    ///
    /// One that may get an exported name is the same from the start: glibc's sem_open makes a semaphore under another
    /// name, and knows it again by its number.
    pub(super) fn key_of_own(&self, session: &Session) -> Option<FileKey> {
        let config = session.served.config();
        let private = config.is_none_or(|config| config.private);
        let key = || self.file_key(&session.served, Rights::ALL);
        (!private).then(key).flatten()
    }

    /// What a file is to the kernel; `None`: what it is in the tree.
    ///
    /// Without passthrough a name that gives all shares the tree's memory and locks.
    pub(super) fn file_key(&self, served: &Served, rights: Rights) -> Option<FileKey> {
        let class = rights.access();
        let whole = class == Rights::READ.union(Rights::WRITE);
        (self.is_passthrough() || !whole).then_some(FileKey {
            export: served.id,
            class,
        })
    }

    /// What is above a directory; `None`: nothing that the request may know of.
    pub(in crate::ops) fn above(&self, tree: &Tree, dir: Dir) -> Result<Option<Ino>> {
        let parent = tree.directory(dir.ino)?.parent;
        let Face::Export(id) = dir.face else {
            return Ok(Some(tree.authority(parent)));
        };
        let session = self.exports.session(id)?;
        Ok(match self.inside(tree, &session, dir.ino)? {
            Inside::Root => None,
            Inside::Layer if parent == session.layer => Some(self.root()),
            Inside::Layer | Inside::Below(_) | Inside::Gone => Some(parent),
        })
    }
}

/// What rules say of a path, where they show what is there.
pub(super) fn shown(rules: &Rules, path: &[u8], kind: &Kind) -> Option<Rights> {
    let is_dir = kind.is_dir();
    let rights = match is_dir {
        true => rules.of_directory(path),
        false => rules.of_file(path),
    };
    let leads = is_dir && rules.leads(path);
    let presence = Presence::of(Some(kind), leads);
    presence.is_visible(rights).then_some(rights)
}

pub(super) fn mask(entry: &mut Entry, rights: Rights) {
    let Attr { mode, .. } = &mut entry.attr;
    *mode = masked(*mode, rights);
}
