//! Node ids that are no inode's own: of directories in views and exports, since the kernel moves a directory that
//! turns up twice, and of files in exports, since a request says no more than the node.
//!
//! An id is a keyed hash of what it stands for: it tells nothing, and a listing needs no table.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};

use fuser::{Generation, INodeNo};
use parking_lot::{Mutex, RwLock};

use crate::error::{Error, Result};
use crate::export::Rights;
use crate::ops::{Dir, Face, FileKey, Fs, Object, SessionId, ViewId, Way};
use crate::recovery::{Journal, Space};
use crate::types::Ino;

/// Inodes' own numbers are below: no alias is one of them.
const ALIAS: u64 = 1 << 62;

/// What an id stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Key {
    /// A directory that is seen otherwise than in the tree.
    Dir(Dir),
    /// A file of an export.
    File(Ino, FileKey),
}

impl Key {
    /// Of a node; `None` where it is the inode's own.
    pub(super) fn of(object: &Object) -> Option<Key> {
        match (&object.way, object.face) {
            (Some(way), _) => Some(Key::File(object.ino, way.key)),
            (None, Face::Tree) => None,
            (None, Face::View(_) | Face::Export(_)) => Some(Key::Dir(object.dir())),
        }
    }
}

/// The nodes that the kernel knows.
#[derive(Debug)]
pub(super) struct Aliases {
    keys: (u64, u64),
    table: RwLock<HashMap<u64, Alias>>,
    /// Those that the kernel is to be asked about; and how many references each had when it was not known.
    doubts: Mutex<HashMap<u64, Option<u64>>>,
    names: Names,
    /// Keeps the ids that the kernel knows.
    saved: Option<Arc<Journal>>,
}

/// What views and exports are called, where something is to be found again.
#[derive(Debug)]
struct Names {
    views: Vec<&'static str>,
    fs: Weak<Fs>,
}

/// References of an id that was there before a recovery: how many is not known, so the kernel is asked whether it
/// has any, once when the requests have come that were sent again, and then after each FORGET.
const MANY_LOOKUPS: u64 = 1 << 62;

/// As many, or some given back since.
const UNCERTAIN: u64 = 1 << 61;

#[derive(Debug)]
struct Alias {
    object: Object,
    lookups: u64,
}

impl Aliases {
    /// The ids that the journal has kept; it goes on keeping them.
    pub(super) fn kept(fs: &Arc<Fs>, views: &[&'static str]) -> Result<Aliases> {
        let journal = fs.journal();
        let names = Names {
            views: views.to_vec(),
            fs: Arc::downgrade(fs),
        };
        let mut table = HashMap::new();
        for (id, value) in journal.iter().flat_map(|it| it.notes(Space::NODES)) {
            let (Ok(id), Some(object)) = (id.try_into(), names.read(&value)) else {
                continue;
            };
            let lookups = MANY_LOOKUPS;
            table.insert(u64::from_le_bytes(id), Alias { object, lookups });
        }
        let doubts = table.keys().map(|&id| (id, None)).collect();
        Ok(Aliases {
            doubts: Mutex::new(doubts),
            keys: (key(journal, b"key of ids")?, key(journal, b"other key")?),
            table: RwLock::new(table),
            names,
            saved: journal.map(Arc::clone),
        })
    }

    /// Keeps, or with `None` drops, an id; under the table's lock.
    fn save(&self, id: u64, object: Option<&Object>) {
        let Some(journal) = &self.saved else {
            return;
        };
        let value = object.and_then(|object| self.names.write(object));
        journal.set_note(Space::NODES, &id.to_le_bytes(), value.as_deref());
    }

    /// SipHash, keyed: from an id nothing is learnt of another.
    #[allow(deprecated)]
    fn hash(&self, key: Key, what: u8) -> u64 {
        // `SipHasher` is the standard library's only hasher with keys of our own.
        let mut hasher = std::hash::SipHasher::new_with_keys(self.keys.0, self.keys.1);
        (what, key).hash(&mut hasher);
        hasher.finish()
    }

    /// The id for `key`.
    pub(super) fn id(&self, key: Key) -> INodeNo {
        INodeNo(self.hash(key, 0) & (ALIAS - 1) | ALIAS)
    }

    /// What completes a file handle of it.
    pub(super) fn generation(&self, key: Key) -> Generation {
        Generation(u64::from((self.hash(key, 1) as u32).max(1)))
    }

    /// What an id that the kernel knows stands for; `None` where it is an inode's own.
    pub(super) fn get(&self, id: INodeNo) -> Option<Object> {
        if id.0 & ALIAS == 0 {
            return None;
        }
        let table = self.table.read();
        table.get(&id.0).map(|alias| alias.object.clone())
    }

    /// Whether the kernel knows it.
    pub(super) fn is_known(&self, id: INodeNo) -> bool {
        self.table.read().contains_key(&id.0)
    }

    /// Counts a reference of the kernel's; what is known of the object from now on is this.
    pub(super) fn raise(&self, id: INodeNo, object: Object) {
        let mut table = self.table.write();
        match table.get_mut(&id.0) {
            Some(alias) => {
                debug_assert_eq!(Key::of(&alias.object), Key::of(&object));
                alias.lookups += 1;
                if alias.object != object {
                    self.save(id.0, Some(&object));
                    alias.object = object;
                }
            }
            None => {
                let lookups = 1;
                self.save(id.0, Some(&object));
                table.insert(id.0, Alias { object, lookups });
            }
        }
    }

    /// Lets a file that the kernel knows have another way.
    pub(super) fn renew(&self, object: &Object) {
        let Some(key) = Key::of(object) else {
            return;
        };
        let INodeNo(id) = self.id(key);
        if let Some(alias) = self.table.write().get_mut(&id) {
            if alias.object != *object {
                self.save(id, Some(object));
                alias.object = object.clone();
            }
        }
    }

    /// Takes references back; returns what the kernel has forgotten by that.
    pub(super) fn lower(&self, id: INodeNo, count: u64) -> Option<Object> {
        let mut table = self.table.write();
        let alias = table.get_mut(&id.0)?;
        debug_assert!(alias.lookups >= count, "forgot more than was looked up");
        alias.lookups = alias.lookups.saturating_sub(count);
        match alias.lookups {
            0 => {
                self.save(id.0, None);
                table.remove(&id.0).map(|alias| alias.object)
            }
            1..UNCERTAIN => None,
            UNCERTAIN.. => {
                self.doubts.lock().insert(id.0, None);
                None
            }
        }
    }

    /// All nodes of an inode.
    pub(super) fn ids_of(&self, ino: Ino) -> Vec<INodeNo> {
        let table = self.table.read();
        let of_it = table.iter().filter(|(_, alias)| alias.object.ino == ino);
        of_it.map(|(&id, _)| INodeNo(id)).collect()
    }

    /// Whether there is an id to ask about.
    pub(super) fn has_doubts(&self) -> bool {
        !self.doubts.lock().is_empty()
    }

    /// Asks `is_known` of each id in doubt whether the kernel knows it; returns what it has forgotten.
    ///
    /// An answer of ours may be on its way to become a node of the kernel's: it must say so twice, and nothing
    /// may have been counted in between.
    pub(super) fn settle(&self, is_known: impl Fn(INodeNo) -> bool) -> Vec<Object> {
        let asked = std::mem::take(&mut *self.doubts.lock());
        let unknown = asked.into_iter().filter(|(id, _)| !is_known(INodeNo(*id)));
        let unknown: Vec<(u64, Option<u64>)> = unknown.collect();
        let mut table = self.table.write();
        let mut gone = Vec::new();
        for (id, unknown_at) in unknown {
            let Some(lookups) = table.get(&id).map(|alias| alias.lookups) else {
                continue;
            };
            if unknown_at != Some(lookups) {
                self.doubts.lock().entry(id).or_insert(Some(lookups));
                continue;
            }
            self.save(id, None);
            gone.extend(table.remove(&id).map(|alias| alias.object));
        }
        gone
    }
}

/// What a note begins with.
const VIEW: u8 = 0;
const SESSION: u8 = 1;
const FILE: u8 = 2;

impl Names {
    /// A kind, the inode's number, and what belongs to the kind: a view's key, a session, or a class, the length of an
    /// export's name, that name and a path.
    fn write(&self, object: &Object) -> Option<Vec<u8>> {
        let start = |kind: u8| [&[kind][..], &object.ino.0.to_le_bytes()].concat();
        match (&object.way, object.face) {
            (Some(way), _) => {
                let name = self.fs.upgrade()?.export_name(way.key.export)?;
                let length = u8::try_from(name.len()).ok()?;
                let class = [way.key.class.bits(), length];
                Some([&start(FILE)[..], &class, name.as_bytes(), &way.path].concat())
            }
            (None, Face::View(view)) => {
                let key = self.views.get(view.0)?;
                Some([&start(VIEW)[..], key.as_bytes()].concat())
            }
            (None, Face::Export(SessionId(session))) => {
                Some([&start(SESSION)[..], &session.0.to_le_bytes()].concat())
            }
            (None, Face::Tree) => None,
        }
    }

    fn read(&self, value: &[u8]) -> Option<Object> {
        let (&kind, rest) = value.split_first()?;
        let (ino, rest) = rest.split_first_chunk()?;
        let ino = Ino(u64::from_le_bytes(*ino));
        let face = match kind {
            VIEW => {
                let mut keys = self.views.iter();
                Face::View(ViewId(keys.position(|key| key.as_bytes() == rest)?))
            }
            SESSION => Face::Export(SessionId(Ino(u64::from_le_bytes(rest.try_into().ok()?)))),
            _ => return self.read_file(ino, rest),
        };
        Some(Dir { ino, face }.into())
    }

    fn read_file(&self, ino: Ino, rest: &[u8]) -> Option<Object> {
        let (&[class, length], rest) = rest.split_first_chunk()?;
        let (name, path) = rest.split_at_checked(length.into())?;
        let export = self
            .fs
            .upgrade()?
            .export_number(std::str::from_utf8(name).ok()?)?;
        let class = Rights::from_bits(class);
        let way = Way {
            key: FileKey { export, class },
            path: path.into(),
        };
        Some(Object {
            way: Some(Arc::new(way)),
            ..ino.into()
        })
    }
}

/// A random number that stays the same after a recovery.
fn key(journal: Option<&Arc<Journal>>, name: &[u8]) -> Result<u64> {
    let kept = journal.and_then(|journal| journal.note(Space::MOUNT, name));
    if let Some(key) = kept.and_then(|kept| kept.try_into().ok()) {
        return Ok(u64::from_le_bytes(key));
    }
    let key = random()?;
    if let Some(journal) = journal {
        journal.set_note(Space::MOUNT, name, Some(&key.to_le_bytes()));
    }
    Ok(key)
}

fn random() -> Result<u64> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::system("cannot get random numbers", errno))?;
    Ok(u64::from_ne_bytes(bytes))
}

/// A node id that no inode has.
pub(super) fn random_id() -> Result<INodeNo> {
    Ok(INodeNo(random()? & (ALIAS - 1) | ALIAS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ops::ExportId;

    fn aliases() -> Aliases {
        Aliases {
            keys: (random().unwrap(), random().unwrap()),
            table: RwLock::default(),
            doubts: Mutex::default(),
            names: Names {
                views: vec!["one", "other"],
                fs: Weak::new(),
            },
            saved: None,
        }
    }

    fn dir(view: usize, ino: u64) -> Dir {
        Dir {
            ino: Ino(ino),
            face: Face::View(ViewId(view)),
        }
    }

    #[test]
    fn each_face_has_its_own_id() {
        let aliases = aliases();
        let id = |view, ino| aliases.id(Key::Dir(dir(view, ino)));
        assert_ne!(id(0, 7), id(1, 7));
        assert_eq!(id(0, 7), id(0, 7));
        assert_ne!(id(0, 7).0 & ALIAS, 0);
        assert_eq!(id(0, 7).0 >> 63, 0);
        assert_ne!(id(0, 7), super::tests::aliases().id(Key::Dir(dir(0, 7))));
    }

    #[test]
    fn a_file_is_another_one_with_other_rights() {
        let aliases = aliases();
        let id = |class| {
            let export = ExportId(0);
            aliases.id(Key::File(Ino(7), FileKey { export, class }))
        };
        assert_ne!(id(Rights::READ), id(Rights::WRITE));
        assert_eq!(id(Rights::READ), id(Rights::READ));
    }

    #[test]
    fn what_the_kernel_forgot_is_gone() {
        let aliases = aliases();
        let id = aliases.id(Key::Dir(dir(0, 7)));
        let object = Object::from(dir(0, 7));
        assert_eq!(aliases.get(id), None);
        aliases.raise(id, object.clone());
        aliases.raise(id, object.clone());
        assert_eq!(aliases.get(id), Some(object.clone()));
        assert_eq!(aliases.lower(id, 1), None);
        assert!(aliases.is_known(id));
        assert_eq!(aliases.lower(id, 1), Some(object));
        assert!(!aliases.is_known(id));
    }

    #[test]
    fn what_the_kernel_may_have_forgotten_is_asked_for() {
        let aliases = aliases();
        let id = aliases.id(Key::Dir(dir(0, 7)));
        let object = Object::from(dir(0, 7));
        let lookups = MANY_LOOKUPS;
        let kept = Alias {
            object: object.clone(),
            lookups,
        };
        aliases.table.write().insert(id.0, kept);
        aliases.doubts.lock().insert(id.0, None);
        assert_eq!(aliases.ids_of(Ino(7)), [id]);
        assert_eq!(aliases.settle(|_| true), []);
        assert!(!aliases.has_doubts());
        assert_eq!(aliases.lower(id, 3), None);
        assert_eq!(aliases.settle(|_| false), []);
        aliases.raise(id, object.clone());
        assert_eq!(aliases.settle(|_| false), [], "counted meanwhile");
        assert_eq!(aliases.settle(|_| false), [object]);
        assert!(!aliases.has_doubts() && !aliases.is_known(id));
    }

    #[test]
    fn directories_are_found_again() {
        let names = aliases().names;
        let session = Dir {
            ino: Ino(7),
            face: Face::Export(SessionId(Ino(9))),
        };
        for object in [Object::from(dir(1, 7)), Object::from(session)] {
            let note = names.write(&object).unwrap();
            assert_eq!(names.read(&note), Some(object));
        }
        assert_eq!(names.write(&Object::from(Ino(7))), None);
        assert_eq!(names.read(b""), None);
    }
}
