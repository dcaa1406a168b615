//! Node ids that are no inode's own: of directories in views and exports, since the kernel moves a directory that
//! turns up twice, and of files in exports, since a request says no more than the node.
//!
//! An id is a keyed hash of what it stands for: it tells nothing, and a listing needs no table.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use fuser::{Generation, INodeNo};
use parking_lot::RwLock;

use crate::error::{Error, Result};
use crate::ops::{Dir, Face, FileKey, Object};
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
}

#[derive(Debug)]
struct Alias {
    object: Object,
    lookups: u64,
}

impl Aliases {
    pub(super) fn new() -> Result<Aliases> {
        Ok(Aliases {
            keys: (random()?, random()?),
            table: RwLock::default(),
        })
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
                alias.object = object;
                alias.lookups += 1;
            }
            None => {
                let lookups = 1;
                table.insert(id.0, Alias { object, lookups });
            }
        }
    }

    /// Lets a file that the kernel knows have another way.
    pub(super) fn renew(&self, object: &Object) {
        let Some(key) = Key::of(object) else {
            return;
        };
        if let Some(alias) = self.table.write().get_mut(&self.id(key).0) {
            alias.object = object.clone();
        }
    }

    /// Takes references back; returns what the kernel has forgotten by that.
    pub(super) fn lower(&self, id: INodeNo, count: u64) -> Option<Object> {
        let mut table = self.table.write();
        let alias = table.get_mut(&id.0)?;
        debug_assert!(alias.lookups >= count, "forgot more than was looked up");
        alias.lookups = alias.lookups.saturating_sub(count);
        match alias.lookups {
            0 => table.remove(&id.0).map(|alias| alias.object),
            _ => None,
        }
    }
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
    use crate::ops::ViewId;

    fn dir(view: usize, ino: u64) -> Dir {
        Dir {
            ino: Ino(ino),
            face: Face::View(ViewId(view)),
        }
    }

    #[test]
    fn each_face_has_its_own_id() {
        let aliases = Aliases::new().unwrap();
        let id = |view, ino| aliases.id(Key::Dir(dir(view, ino)));
        assert_ne!(id(0, 7), id(1, 7));
        assert_eq!(id(0, 7), id(0, 7));
        assert_ne!(id(0, 7).0 & ALIAS, 0);
        assert_eq!(id(0, 7).0 >> 63, 0);
        assert_ne!(id(0, 7), Aliases::new().unwrap().id(Key::Dir(dir(0, 7))));
    }

    #[test]
    fn what_the_kernel_forgot_is_gone() {
        let aliases = Aliases::new().unwrap();
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
}
