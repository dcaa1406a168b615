//! What a process knows of its own directory: slow, simple, right.

use std::collections::BTreeMap;

/// Names: the files and directories that may be there.
pub(super) const FILES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];
pub(super) const DIRS: [&str; 3] = ["x", "y", "z"];
/// Contents are no longer than this.
pub(super) const LONGEST: usize = 48 << 10;

/// Which object; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64);

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Object {
    File(File),
    Symlink(String),
    Dir,
}

/// A regular file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct File {
    pub(super) bytes: Vec<u8>,
    pub(super) mode: u32,
    pub(super) xattrs: BTreeMap<String, Vec<u8>>,
    pub(super) acl: Option<Vec<u8>>,
    /// Seconds of the modification time that was set; none since it was written.
    pub(super) mtime: Option<i64>,
}

/// Names and objects. A name in a directory is `x/a`.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) names: BTreeMap<String, Id>,
    pub(super) objects: BTreeMap<Id, Object>,
    last: u64,
}

impl Model {
    pub(super) fn add(&mut self, name: &str, object: Object) -> Id {
        self.last += 1;
        let id = Id(self.last);
        self.objects.insert(id, object);
        self.names.insert(name.into(), id);
        id
    }

    pub(super) fn at(&self, name: &str) -> Option<&Object> {
        self.objects.get(self.names.get(name)?)
    }

    pub(super) fn file_mut(&mut self, id: Id) -> Option<&mut File> {
        match self.objects.get_mut(&id)? {
            Object::File(file) => Some(file),
            Object::Symlink(_) | Object::Dir => None,
        }
    }

    pub(super) fn file(&self, id: Id) -> Option<&File> {
        match self.objects.get(&id)? {
            Object::File(file) => Some(file),
            Object::Symlink(_) | Object::Dir => None,
        }
    }

    /// Whether the directory that the name is in is there.
    pub(super) fn has_parent(&self, name: &str) -> bool {
        match name.split_once('/') {
            Some((dir, _)) => self.names.contains_key(dir),
            None => true,
        }
    }

    pub(super) fn is_empty(&self, dir: &str) -> bool {
        self.children(dir).next().is_none()
    }

    pub(super) fn children<'m>(&'m self, dir: &str) -> impl Iterator<Item = &'m str> {
        let prefix = format!("{dir}/");
        let names = self.names.keys();
        names.filter_map(move |name| name.strip_prefix(&prefix))
    }

    pub(super) fn links(&self, id: Id) -> usize {
        self.names.values().filter(|other| **other == id).count()
    }

    /// A name goes; says what it stood for. An object without a name stays as long as it is wanted.
    pub(super) fn remove(&mut self, name: &str) -> Option<Id> {
        self.names.remove(name)
    }

    /// What was at `from` is at `to`, with all below it.
    pub(super) fn rename(&mut self, from: &str, to: &str) {
        let below = format!("{from}/");
        let moved: Vec<String> = self
            .names
            .keys()
            .filter(|name| *name == from || name.starts_with(&below))
            .cloned()
            .collect();
        for name in moved {
            if let Some(id) = self.names.remove(&name) {
                self.names
                    .insert(format!("{to}{}", &name[from.len()..]), id);
            }
        }
    }
}
