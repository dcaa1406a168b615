//! Operations on a node of an export: what its name gave, and what the rules give it now.

use std::sync::Arc;

use super::gate::{FileKey, Way, masked};
use super::{ExportId, Inside};
use crate::errno::{Errno, Result};
use crate::export::{Operation, Presence, Rights, XattrClass, verdict};
use crate::ops::faces::{Dir, Face};
use crate::ops::{Entry, Fs, SetAttr, SetTime};
use crate::store::acl::{XATTR_ACCESS, XATTR_DEFAULT};
use crate::store::{Inode, Tree};
use crate::types::{Ino, Kind};

/// An inode as a request means it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// The inode.
    pub ino: Ino,
    /// How it is seen, if it is a directory.
    pub face: Face,
    /// By which name of an export it was found, if it is a file there.
    pub way: Option<Arc<Way>>,
}

impl From<Ino> for Object {
    fn from(ino: Ino) -> Object {
        Dir::from(ino).into()
    }
}

impl From<Dir> for Object {
    fn from(Dir { ino, face }: Dir) -> Object {
        let way = None;
        Object { ino, face, way }
    }
}

impl Object {
    /// As a directory.
    pub fn dir(&self) -> Dir {
        let Object { ino, face, .. } = *self;
        Dir { ino, face }
    }

    fn is_free(&self) -> bool {
        self.way.is_none() && !matches!(self.face, Face::Export(_))
    }
}

/// What a node may do, and what it is.
struct Standing {
    rights: Rights,
    presence: Presence,
}

impl Standing {
    fn check(&self, operation: Operation) -> Result<()> {
        verdict(operation, self.rights, self.presence)
    }
}

impl Fs {
    /// What the rules give a node now; `None`: all.
    fn standing(&self, tree: &Tree, object: &Object) -> Result<Option<Standing>> {
        match (&object.way, object.face) {
            (Some(way), _) => self.standing_of_file(tree, object.ino, way).map(Some),
            (None, Face::Export(id)) => self.standing_of_directory(tree, id, object.ino),
            (None, Face::Tree | Face::View(_)) => Ok(None),
        }
    }

    fn standing_of_file(&self, tree: &Tree, ino: Ino, way: &Way) -> Result<Standing> {
        if way.is_own() {
            return Ok(Standing {
                rights: Rights::ALL,
                presence: Presence::File,
            });
        }
        // A name that now leads elsewhere gives nothing: the kernel looks it up again.
        if !tree.inode(ino)?.state().is_orphan() && self.at_path(tree, &way.path) != Some(ino) {
            return Err(Errno::ESTALE);
        }
        let config = self.exports.served(way.key.export)?.config();
        let rights = config.map(|config| config.rules.of_file(&way.path));
        let rights = rights.unwrap_or_default();
        // What the name did not give the node does not get, whatever the rules say now.
        let access = rights.access().intersection(way.key.class);
        Ok(Standing {
            rights: rights.without(rights.access()).union(access),
            presence: Presence::File,
        })
    }

    fn standing_of_directory(
        &self,
        tree: &Tree,
        id: super::SessionId,
        ino: Ino,
    ) -> Result<Option<Standing>> {
        let session = self.exports.session(id)?;
        let path = match self.inside(tree, &session, ino)? {
            Inside::Layer | Inside::Gone => return Ok(None),
            Inside::Below(path) => path,
            Inside::Root => Vec::new(),
        };
        let config = session.served.config();
        let rules = config.as_ref().map(|config| &config.rules);
        let rights = rules.map(|rules| rules.of_directory(&path));
        // The root can be read, whatever the rules say of what is in it.
        let root = if path.is_empty() {
            Rights::READ
        } else {
            Rights::NONE
        };
        Ok(Some(Standing {
            rights: rights.unwrap_or_default().union(root),
            presence: Presence::Directory {
                leads: rules.is_some_and(|rules| rules.leads(&path)),
            },
        }))
    }

    /// What a path of the tree leads to.
    fn at_path(&self, tree: &Tree, path: &[u8]) -> Option<Ino> {
        let mut at = self.root();
        for name in path.split(|&byte| byte == b'/') {
            (_, at) = tree.position(at, name)?;
        }
        Some(at)
    }

    /// Checks one operation on a node.
    fn check_object(&self, object: &Object, operation: Operation) -> Result<()> {
        if object.is_free() {
            return Ok(());
        }
        let tree = self.superblock.tree();
        match self.standing(&tree, object)? {
            Some(standing) => standing.check(operation),
            None => Ok(()),
        }
    }

    pub(in crate::ops) fn check_open(
        &self,
        object: &Object,
        read: bool,
        write: bool,
    ) -> Result<()> {
        let truncate = false;
        let open = Operation::Open {
            read,
            write,
            truncate,
        };
        self.check_object(object, open)
    }

    /// Opens a directory for listing.
    pub fn opendir(&self, of: impl Into<Object>) -> Result<()> {
        self.check_object(&of.into(), Operation::ReadDir)
    }

    /// A change of attributes, all parts of which must be allowed.
    pub(in crate::ops) fn check_setattr(&self, object: &Object, set: &SetAttr) -> Result<()> {
        if object.is_free() {
            return Ok(());
        }
        let wanted = self.operations_of(object, set)?;
        if wanted.is_empty() {
            // An open descriptor keeps what it has, wherever the name leads.
            return Ok(());
        }
        let tree = self.superblock.tree();
        match self.standing(&tree, object)? {
            Some(standing) => wanted.into_iter().try_for_each(|it| standing.check(it)),
            None => Ok(()),
        }
    }

    fn operations_of(&self, object: &Object, set: &SetAttr) -> Result<Vec<Operation>> {
        let mut wanted = Vec::new();
        match (set.size, set.by_handle) {
            (None, _) => {}
            (Some(_), false) => wanted.push(Operation::Truncate),
            // The descriptor has what it had when it was opened: for reading alone, it is open(2)'s O_TRUNC.
            (Some(_), true) if set.read_only_handle => return Err(Errno::EACCES),
            (Some(_), true) => {}
        }
        wanted.extend(set.mode.map(|_| Operation::Chmod));
        let chown = set.uid.is_some() || set.gid.is_some();
        wanted.extend(chown.then_some(Operation::Chown));
        for time in [set.atime, set.mtime].into_iter().flatten() {
            wanted.push(match time {
                SetTime::Now => Operation::Touch,
                SetTime::At(_) => Operation::SetTimes,
            });
        }
        let nothing = wanted.is_empty() && set.size.is_none();
        let class = object.way.as_ref().map(|way| way.key.class);
        // It stands for a write through a descriptor, which the kernel has checked; or for a chown of nothing.
        if nothing && class.is_some_and(|class| !class.contains(Rights::WRITE)) {
            return Err(Errno::EPERM);
        }
        Ok(wanted)
    }

    pub(in crate::ops) fn check_setxattr(&self, object: &Object, name: &[u8]) -> Result<()> {
        self.check_object(object, Operation::SetXattr(XattrClass::of(name)))
    }

    /// Reading of an attribute. The kernel itself asks for ACLs, whoever is to be let in, and for capabilities.
    pub(in crate::ops) fn check_getxattr(&self, object: &Object, name: &[u8]) -> Result<()> {
        if object.is_free() || matches!(name, XATTR_ACCESS | XATTR_DEFAULT) {
            return Ok(());
        }
        match self.check_object(object, Operation::GetXattr) {
            Err(Errno::EACCES) if name == crate::ops::io::CAPABILITY => Err(Errno::ENODATA),
            other => other,
        }
    }

    pub(in crate::ops) fn check_listxattr(&self, object: &Object) -> Result<()> {
        self.check_object(object, Operation::ListXattr)
    }

    /// Lets an entry be what the node shows.
    pub(in crate::ops) fn mask_object(&self, object: &Object, mut entry: Entry) -> Entry {
        if let Some(way) = &object.way {
            entry.attr.mode = masked(entry.attr.mode, way.key.class);
            entry.way = Some(Arc::clone(way));
        }
        entry
    }

    /// What of an ACL the node shows: as bits of `rwx`.
    pub(in crate::ops) fn shown_permissions(&self, object: &Object) -> u32 {
        match &object.way {
            Some(way) => masked(0o7, way.key.class) & 0o7,
            None => 0o7,
        }
    }

    /// What a link to a node would take along, and whether it is the session's own; `ENOENT` where it is not to be seen.
    pub(in crate::ops) fn source_of_link(
        &self,
        tree: &Tree,
        object: &Object,
        dir: Dir,
    ) -> Result<Source> {
        let Face::Export(id) = dir.face else {
            return match object.way {
                Some(_) => Err(Errno::EXDEV),
                None => Ok(Source::Own),
            };
        };
        let session = self.exports.session(id)?;
        if let Some(way) = &object.way {
            if way.key.export != session.served.id {
                return Err(Errno::EXDEV);
            }
            if way.is_own() {
                return Ok(Source::Own);
            }
            let standing = self.standing_of_file(tree, object.ino, way)?;
            standing.check(Operation::LinkFrom)?;
            return Ok(Source::Ruled(standing.rights));
        }
        let private = session.served.config().is_some_and(|config| config.private);
        if private || self.is_passthrough() || is_in(tree, session.layer, object.ino) {
            return Ok(Source::Own);
        }
        // A file that gives all is the tree's, where the kernel keeps its memory.
        Ok(Source::Ruled(Rights::ALL))
    }

    /// What a file that was given a name is to the kernel by now, in each export that shows it there: by each class
    /// that it may have been found with.
    pub fn ways(&self, dir: Dir, name: &[u8]) -> Vec<Object> {
        let tree = self.superblock.tree();
        let mut ways = Vec::new();
        let Some((inode, path)) = self.named(&tree, dir, name) else {
            return ways;
        };
        let table = self.exports.table.read();
        for served in &table.served {
            let rules = self.shows(served);
            if rules.and_then(|it| it.rights(&path, &inode.kind)).is_none() {
                continue;
            }
            ways.extend((0..4).map(Rights::from_bits).map(|class| {
                let (export, path) = (served.id, path.clone().into());
                let key = FileKey { export, class };
                Object {
                    way: Some(Arc::new(Way { key, path })),
                    ..inode.ino.into()
                }
            }));
        }
        ways
    }

    /// The file that a request's name stands for, and its path in the tree, if it has one.
    fn named<'t>(
        &self,
        tree: &'t Tree,
        dir: Dir,
        name: &[u8],
    ) -> Option<(&'t Arc<Inode>, Vec<u8>)> {
        let at = self.locate(tree, dir, name).ok()?;
        let inode = self.seen(tree, &at).ok()??;
        let mut path = self.path(tree, at.place().dir)?;
        if !path.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(at.place().name);
        (inode.kind == Kind::Regular).then_some((inode, path))
    }

    /// The export that an object belongs to when it is made in `dir`, for its limits.
    pub fn export_of(&self, dir: Dir) -> Option<ExportId> {
        let Face::Export(id) = dir.face else {
            return None;
        };
        self.exports
            .session(id)
            .ok()
            .map(|session| session.served.id)
    }
}

/// Whose an object is that a link is made to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::ops) enum Source {
    /// No rule is on it.
    Own,
    /// These are.
    Ruled(Rights),
}

/// Whether some name below `dir` stands for the file `ino`.
fn is_in(tree: &Tree, dir: Ino, ino: Ino) -> bool {
    let mut left = vec![dir];
    while let Some(dir) = left.pop() {
        let Ok(directory) = tree.directory(dir) else {
            continue;
        };
        for (_, entry) in directory.stream(None) {
            if entry.ino == ino {
                return true;
            }
            let kind = tree.inode(entry.ino).map(|inode| &inode.kind);
            if matches!(kind, Ok(Kind::Directory)) {
                left.push(entry.ino);
            }
        }
    }
    false
}
