//! The kernel's node ids: which inode each one stands for.
//!
//! A node id is the number of its inode, but for directories seen in a view, which have one in each, and a
//! few special nodes. Node 1 the kernel fixes as the connection's root, with generation 0, so that a file
//! handle of it can be guessed.

use std::ffi::{CStr, CString};
use std::fmt::Write as _;
use std::sync::Arc;

use fuser::{FileAttr, Generation, INodeNo};

use super::aliases::{Aliases, Key, random_id};
use super::convert::{attr_of, time_of};
use crate::error::{Error, Result};
use crate::ops::{Dir, Entry, ExportId, Face, FileKey, Fs, Object, SessionId};
use crate::recovery::{Journal, Space};
use crate::types::{Attr, Ino, Timestamp};

/// What node 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// An anteroom that lists nothing; the tree is a directory in it that cannot be guessed, and is bound
    /// where people see it.
    Anteroom,
    /// The tree's root, where nothing can be bound (fusermount3).
    Direct,
}

/// A node, told from its id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Node {
    Anteroom,
    /// A directory above views and exports.
    Special(Special),
    Object(Object),
}

/// A directory that is the mount's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Special {
    /// `.shmfs`.
    Way,
    /// `.shmfs/views`.
    Views,
    /// `.shmfs/exports`.
    Exports,
    /// `.shmfs/private`: for the owner, what is the consumers' own.
    Private,
    /// `.shmfs/private/NAME`.
    PrivateOf(ExportId),
}

/// The table of special nodes.
#[derive(Debug)]
pub(super) struct Nodes {
    layout: Layout,
    root: Ino,
    entrance: CString,
    made: Timestamp,
    owner: (u32, u32),
    faces: Option<FaceNodes>,
}

/// The nodes that there are only with views or exports.
#[derive(Debug)]
struct FaceNodes {
    way: INodeNo,
    views: INodeNo,
    exports: INodeNo,
    private: INodeNo,
    /// The least one of those of exports, which follow each other.
    private_of: INodeNo,
    keys: Vec<&'static str>,
    has_exports: bool,
    aliases: Aliases,
}

/// How many exports a mount can have had.
const MOST_EXPORTS: u64 = 1 << 32;

impl Nodes {
    /// The nodes that the journal has kept, or new ones, which it keeps.
    pub(super) fn new(
        layout: Layout,
        root: &Attr,
        keys: Vec<&'static str>,
        has_exports: bool,
        fs: &Arc<Fs>,
    ) -> Result<Nodes> {
        let owner = (
            rustix::process::geteuid().as_raw(),
            rustix::process::getegid().as_raw(),
        );
        let faces = match keys.is_empty() && !has_exports {
            true => None,
            false => Some(FaceNodes::new(keys, has_exports, fs)?),
        };
        let journal = fs.journal();
        Ok(Nodes {
            layout,
            root: root.ino,
            entrance: kept_name(journal)?,
            // The same after a recovery.
            made: root.btime,
            owner,
            faces,
        })
    }

    /// The name of the tree in the anteroom.
    pub(super) fn entrance(&self) -> Option<&CStr> {
        (self.layout == Layout::Anteroom).then_some(&self.entrance)
    }

    pub(super) fn node(&self, id: INodeNo) -> Node {
        match (id, self.layout) {
            (INodeNo::ROOT, Layout::Anteroom) => Node::Anteroom,
            (INodeNo::ROOT, Layout::Direct) => Node::Object(self.root.into()),
            (id, _) => match &self.faces {
                None => Node::Object(Ino(id.0).into()),
                Some(faces) => faces.node(id),
            },
        }
    }

    /// What is behind an id, for operations that mean nothing above views and exports.
    pub(super) fn object(&self, id: INodeNo) -> crate::errno::Result<Object> {
        match self.node(id) {
            Node::Object(object) => Ok(object),
            Node::Anteroom | Node::Special(_) => Err(crate::errno::Errno::EPERM),
        }
    }

    /// The same, where the inode is all that counts.
    pub(super) fn inode(&self, id: INodeNo) -> crate::errno::Result<Ino> {
        Ok(self.object(id)?.ino)
    }

    /// The same for a directory, as it is seen.
    pub(super) fn dir(&self, id: INodeNo) -> crate::errno::Result<Dir> {
        Ok(self.object(id)?.dir())
    }

    /// The keys of the views, in their order.
    pub(super) fn keys(&self) -> &[&'static str] {
        self.faces.as_ref().map_or(&[], |faces| &faces.keys)
    }

    /// Whether there are exports.
    pub(super) fn has_exports(&self) -> bool {
        self.faces.as_ref().is_some_and(|faces| faces.has_exports)
    }

    /// Whether `name` in `dir` leads to the views and exports.
    pub(super) fn is_way(&self, dir: Dir, name: &[u8]) -> bool {
        self.faces.is_some() && dir == self.root.into() && name == crate::types::RESERVED
    }

    /// The attributes of the directories above views and exports.
    pub(super) fn special(&self, special: Special) -> FileAttr {
        let Some(faces) = &self.faces else {
            return self.anteroom();
        };
        let perm = match special {
            Special::Way => 0o711,
            Special::Views => 0o755,
            Special::Exports | Special::Private | Special::PrivateOf(_) => 0o700,
        };
        FileAttr {
            ino: faces.id(special),
            perm,
            ..self.anteroom()
        }
    }

    fn alias(&self, face: Face, ino: Ino, is_dir: bool, key: Option<FileKey>) -> Option<Key> {
        match (key, face) {
            (Some(key), _) => Some(Key::File(ino, key)),
            (None, Face::Tree) => None,
            (None, Face::View(_) | Face::Export(_)) => {
                is_dir.then_some(Key::Dir(Dir { ino, face }))
            }
        }
    }

    /// The node of a directory, if the kernel may know it.
    pub(super) fn known(&self, dir: Dir) -> Option<INodeNo> {
        let id = self.id_in(dir.face, dir.ino, true, None);
        let known = |faces: &FaceNodes| faces.aliases.is_known(id);
        let is_known = dir.face == Face::Tree || self.faces.as_ref().is_some_and(known);
        is_known.then_some(id)
    }

    /// The node of what was found in a directory that has the face `face`.
    pub(super) fn id_in(
        &self,
        face: Face,
        ino: Ino,
        is_dir: bool,
        key: Option<FileKey>,
    ) -> INodeNo {
        match (&self.faces, self.alias(face, ino, is_dir, key)) {
            (Some(faces), Some(key)) => faces.aliases.id(key),
            (Some(_) | None, _) => self.id(ino),
        }
    }

    /// As [`Nodes::attr`], of what was found in a directory that has the face `face`.
    pub(super) fn attr_in(&self, face: Face, entry: &Entry) -> (FileAttr, Generation) {
        let attr = &entry.attr;
        let file = entry.way.as_ref().map(|way| way.key);
        match (&self.faces, self.alias(face, attr.ino, is_dir(attr), file)) {
            (Some(faces), Some(key)) => {
                let id = faces.aliases.id(key);
                (attr_of(id, attr), faces.aliases.generation(key))
            }
            (Some(_) | None, _) => self.attr(attr),
        }
    }

    /// Counts a reference that the kernel gets to what was found in a directory that has the face `face`.
    pub(super) fn enter(&self, face: Face, entry: &Entry, id: INodeNo) {
        let attr = &entry.attr;
        let file = entry.way.as_ref().map(|way| way.key);
        let key = self.alias(face, attr.ino, is_dir(attr), file);
        if let (Some(faces), Some(_)) = (&self.faces, key) {
            faces.aliases.raise(id, object_of(face, entry));
        }
    }

    /// Lets a file of an export that the kernel knows have the name by which it was found now.
    pub(super) fn renew(&self, object: &Object) {
        if let Some(faces) = &self.faces {
            faces.aliases.renew(object);
        }
    }

    /// Counts references that the kernel gave back. The inode is to be told of them too; the second part says whether
    /// the kernel has forgotten the node by that.
    pub(super) fn forget(&self, id: INodeNo, count: u64) -> Option<(Object, bool)> {
        let Node::Object(object) = self.node(id) else {
            return None;
        };
        let forgotten = match (&self.faces, Key::of(&object)) {
            (Some(faces), Some(_)) => faces.aliases.lower(id, count).is_some(),
            (Some(_) | None, _) => false,
        };
        Some((object, forgotten))
    }

    /// The session whose root it is.
    pub(super) fn session_of(&self, object: &Object) -> Option<SessionId> {
        match object.face {
            Face::Export(session) if object.ino == self.root => Some(session),
            Face::Export(_) | Face::Tree | Face::View(_) => None,
        }
    }

    /// All nodes that the kernel may have of an inode.
    pub(super) fn ids(&self, ino: Ino) -> Vec<INodeNo> {
        let aliases = self.faces.iter().flat_map(|it| it.aliases.ids_of(ino));
        std::iter::once(self.id(ino)).chain(aliases).collect()
    }

    /// Whether there are nodes of which nobody is sure that the kernel knows them.
    pub(super) fn has_doubts(&self) -> bool {
        self.faces
            .as_ref()
            .is_some_and(|it| it.aliases.has_doubts())
    }

    /// Asks `is_known` about them; returns what the kernel has forgotten.
    pub(super) fn settle(&self, is_known: impl Fn(INodeNo) -> bool) -> Vec<Object> {
        let faces = self.faces.as_ref();
        faces.map_or_else(Vec::new, |it| it.aliases.settle(is_known))
    }

    pub(super) fn root(&self) -> Ino {
        self.root
    }

    /// Whether `name` in the anteroom is the tree.
    pub(super) fn is_entrance(&self, name: &[u8]) -> bool {
        self.layout == Layout::Anteroom && name == self.entrance.to_bytes()
    }

    pub(super) fn id(&self, ino: Ino) -> INodeNo {
        if ino == self.root && self.layout == Layout::Direct {
            INodeNo::ROOT
        } else {
            INodeNo(ino.0)
        }
    }

    pub(super) fn attr(&self, attr: &Attr) -> (FileAttr, Generation) {
        let id = self.id(attr.ino);
        let generation = if id == INodeNo::ROOT {
            0
        } else {
            attr.generation
        };
        (attr_of(id, attr), Generation(u64::from(generation)))
    }

    /// What is told of a name without telling of what it stands for.
    pub(super) fn nothing(&self) -> FileAttr {
        FileAttr {
            ino: INodeNo(0),
            ..self.anteroom()
        }
    }

    /// The anteroom lets its owner through to what he knows the name of, and shows nothing.
    pub(super) fn anteroom(&self) -> FileAttr {
        let made = time_of(self.made);
        FileAttr {
            ino: INodeNo::ROOT,
            size: 0,
            blocks: 0,
            atime: made,
            mtime: made,
            ctime: made,
            crtime: made,
            kind: fuser::FileType::Directory,
            perm: 0o100,
            nlink: 2,
            uid: self.owner.0,
            gid: self.owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        }
    }
}

impl FaceNodes {
    fn new(keys: Vec<&'static str>, has_exports: bool, fs: &Arc<Fs>) -> Result<FaceNodes> {
        let journal = fs.journal();
        let INodeNo(private_of) = kept_id(journal, b"private of")?;
        Ok(FaceNodes {
            way: kept_id(journal, b"way")?,
            views: kept_id(journal, b"views")?,
            exports: kept_id(journal, b"exports")?,
            private: kept_id(journal, b"private")?,
            private_of: INodeNo(private_of & !(MOST_EXPORTS - 1)),
            has_exports,
            aliases: Aliases::kept(fs, &keys)?,
            keys,
        })
    }

    fn id(&self, special: Special) -> INodeNo {
        match special {
            Special::Way => self.way,
            Special::Views => self.views,
            Special::Exports => self.exports,
            Special::Private => self.private,
            Special::PrivateOf(id) => INodeNo(self.private_of.0 + u64::from(id.0)),
        }
    }

    fn node(&self, id: INodeNo) -> Node {
        let all = [
            Special::Way,
            Special::Views,
            Special::Exports,
            Special::Private,
        ];
        if let Some(special) = all.into_iter().find(|&it| self.id(it) == id) {
            return Node::Special(special);
        }
        if let Some(object) = self.aliases.get(id) {
            return Node::Object(object);
        }
        // An alias that happens to be among them has been found above.
        if id.0 & !(MOST_EXPORTS - 1) == self.private_of.0 {
            let export = ExportId((id.0 & (MOST_EXPORTS - 1)) as u32);
            return Node::Special(Special::PrivateOf(export));
        }
        Node::Object(Ino(id.0).into())
    }
}

fn is_dir(attr: &Attr) -> bool {
    attr.mode & libc::S_IFMT == libc::S_IFDIR
}

/// What a node stands for that the kernel gets for `entry`.
fn object_of(face: Face, entry: &Entry) -> Object {
    Object {
        ino: entry.attr.ino,
        face: if is_dir(&entry.attr) {
            face
        } else {
            Face::Tree
        },
        way: entry.way.clone(),
    }
}

/// A node id that stays the same after a recovery.
fn kept_id(journal: Option<&Arc<Journal>>, key: &[u8]) -> Result<INodeNo> {
    let kept = journal.and_then(|journal| journal.note(Space::MOUNT, key));
    if let Some(id) = kept.and_then(|kept| kept.try_into().ok()) {
        return Ok(INodeNo(u64::from_le_bytes(id)));
    }
    let id = random_id()?;
    if let Some(journal) = journal {
        journal.set_note(Space::MOUNT, key, Some(&id.0.to_le_bytes()));
    }
    Ok(id)
}

fn kept_name(journal: Option<&Arc<Journal>>) -> Result<CString> {
    const KEY: &[u8] = b"entrance";
    let kept = journal.and_then(|journal| journal.note(Space::MOUNT, KEY));
    if let Some(name) = kept.and_then(|kept| CString::new(kept).ok()) {
        return Ok(name);
    }
    let name = random_name()?;
    if let Some(journal) = journal {
        journal.set_note(Space::MOUNT, KEY, Some(name.to_bytes()));
    }
    Ok(name)
}

fn random_name() -> Result<CString> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::system("cannot get random numbers", errno))?;
    let name = bytes.iter().fold(String::from("tree-"), |mut name, byte| {
        let _ = write!(name, "{byte:02x}");
        name
    });
    Ok(CString::new(name).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuse::signposts::tests::{new_fs, open};

    /// Ids are hashes, and those above a session's own directories are many: some alias may be among them.
    #[test]
    fn an_alias_is_itself_beside_special_nodes() {
        let fs = new_fs();
        let face = Face::Export(open(&fs, "session"));
        let (ino, entry) = (fs.root(), fs.getattr(fs.root()).unwrap());
        let mut nodes = Nodes::new(Layout::Anteroom, &entry.attr, Vec::new(), true, &fs).unwrap();
        let id = nodes.id_in(face, ino, true, None);
        nodes.enter(face, &entry, id);
        if let Some(faces) = &mut nodes.faces {
            faces.private_of = INodeNo(id.0 & !(MOST_EXPORTS - 1));
        }
        assert_eq!(nodes.node(id), Node::Object(Dir { ino, face }.into()));
        let special = Special::PrivateOf(ExportId(7));
        assert_eq!(
            nodes.node(nodes.special(special).ino),
            Node::Special(special)
        );
    }
}
