//! The node ids of directories in views: each view has its own for each directory, since the kernel moves a
//! directory that turns up twice.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use fuser::INodeNo;
use parking_lot::RwLock;

use crate::error::{Error, Result};
use crate::ops::{Dir, Face, ViewId};
use crate::recovery::{Journal, Space};
use crate::types::Ino;

/// Inodes' own numbers are below: no alias is one of them.
const ALIAS: u64 = 1 << 62;
/// From here on aliases that the kernel does not know are looked for and dropped.
const MANY: usize = 1024;

/// The table, in both directions.
#[derive(Debug, Default)]
pub(super) struct Aliases {
    table: RwLock<Table>,
    /// Keeps the ids that the kernel knows, and the names of the views.
    saved: Option<(Arc<Journal>, Vec<&'static str>)>,
}

/// References of an id that was there before a recovery: how many is not known, so it stays.
const MANY_LOOKUPS: u64 = 1 << 62;

#[derive(Debug, Default)]
struct Table {
    by_id: HashMap<u64, Alias>,
    by_dir: HashMap<Dir, u64>,
    clean_at: usize,
}

#[derive(Debug)]
struct Alias {
    dir: Dir,
    lookups: u64,
}

impl Aliases {
    /// The ids that `journal` has kept for the views with these keys; it goes on keeping them.
    pub(super) fn kept(journal: Option<&Arc<Journal>>, keys: &[&'static str]) -> Aliases {
        let Some(journal) = journal else {
            return Aliases::default();
        };
        let mut table = Table::default();
        for (id, value) in journal.notes(Space::NODES) {
            let (Ok(id), Some(dir)) = (id.try_into(), read_dir(&value, keys)) else {
                continue;
            };
            let id = u64::from_le_bytes(id);
            let lookups = MANY_LOOKUPS;
            table.by_id.insert(id, Alias { dir, lookups });
            table.by_dir.insert(dir, id);
        }
        Aliases {
            table: RwLock::new(table),
            saved: Some((Arc::clone(journal), keys.to_vec())),
        }
    }

    /// Keeps, or with `None` drops, an id; under the table's lock.
    fn save(&self, id: u64, dir: Option<Dir>) {
        let Some((journal, keys)) = &self.saved else {
            return;
        };
        let value = dir.and_then(|dir| write_dir(dir, keys));
        journal.set_note(Space::NODES, &id.to_le_bytes(), value.as_deref());
    }

    /// The directory behind an id; `None` where the id is an inode's own.
    pub(super) fn get(&self, id: INodeNo) -> Option<Dir> {
        if id.0 & ALIAS == 0 {
            return None;
        }
        self.table.read().by_id.get(&id.0).map(|alias| alias.dir)
    }

    /// The id that there is.
    pub(super) fn find(&self, dir: Dir) -> Option<INodeNo> {
        self.table.read().by_dir.get(&dir).copied().map(INodeNo)
    }

    /// The id, made where there is none.
    pub(super) fn id(&self, dir: Dir) -> INodeNo {
        if let Some(id) = self.find(dir) {
            return id;
        }
        let mut table = self.table.write();
        if let Some(&id) = table.by_dir.get(&dir) {
            return INodeNo(id);
        }
        if table.by_id.len() >= table.clean_at.max(MANY) {
            table.clean();
        }
        loop {
            // Without random numbers the mount would not have been made.
            let Ok(INodeNo(id)) = random_id() else {
                continue;
            };
            if let Entry::Vacant(free) = table.by_id.entry(id) {
                free.insert(Alias { dir, lookups: 0 });
                table.by_dir.insert(dir, id);
                return INodeNo(id);
            }
        }
    }

    /// Counts a reference of the kernel's; the id may have been forgotten since it was asked for.
    pub(super) fn raise(&self, id: INodeNo, dir: Dir) {
        let mut table = self.table.write();
        let alias = table.by_id.entry(id.0);
        let alias = alias.or_insert(Alias { dir, lookups: 0 });
        alias.lookups += 1;
        if alias.lookups == 1 {
            self.save(id.0, Some(dir));
        }
        table.by_dir.entry(dir).or_insert(id.0);
    }

    /// Takes references back; without any the id is forgotten.
    pub(super) fn lower(&self, id: INodeNo, count: u64) {
        let mut table = self.table.write();
        let Some(alias) = table.by_id.get_mut(&id.0) else {
            return;
        };
        debug_assert!(alias.lookups >= count, "forgot more than was looked up");
        alias.lookups = alias.lookups.saturating_sub(count);
        if alias.lookups == 0 {
            let dir = alias.dir;
            self.save(id.0, None);
            table.by_id.remove(&id.0);
            if table.by_dir.get(&dir) == Some(&id.0) {
                table.by_dir.remove(&dir);
            }
        }
    }
}

/// The inode's number, and the view's key.
fn write_dir(dir: Dir, keys: &[&'static str]) -> Option<Vec<u8>> {
    let Face::View(view) = dir.face else {
        return None;
    };
    Some([&dir.ino.0.to_le_bytes(), keys.get(view.0)?.as_bytes()].concat())
}

fn read_dir(value: &[u8], keys: &[&'static str]) -> Option<Dir> {
    let (ino, key) = value.split_first_chunk()?;
    let view = keys.iter().position(|other| other.as_bytes() == key)?;
    Some(Dir {
        ino: Ino(u64::from_le_bytes(*ino)),
        face: Face::View(ViewId(view)),
    })
}

impl Table {
    /// Drops the ids that were only listed.
    fn clean(&mut self) {
        self.by_id.retain(|_, alias| alias.lookups > 0);
        let by_id = &self.by_id;
        self.by_dir.retain(|_, id| by_id.contains_key(id));
        self.clean_at = self.by_id.len() * 2;
    }
}

/// A node id that no inode has.
pub(super) fn random_id() -> Result<INodeNo> {
    let mut bytes = [0; 8];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::system("cannot get random numbers", errno))?;
    Ok(INodeNo(u64::from_ne_bytes(bytes) & (ALIAS - 1) | ALIAS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(view: usize, ino: u64) -> Dir {
        Dir {
            ino: Ino(ino),
            face: Face::View(ViewId(view)),
        }
    }

    #[test]
    fn each_view_has_its_own_id() {
        let aliases = Aliases::default();
        let (one, other) = (aliases.id(dir(0, 7)), aliases.id(dir(1, 7)));
        assert_ne!(one, other);
        assert_eq!(aliases.id(dir(0, 7)), one);
        assert_eq!(aliases.get(one), Some(dir(0, 7)));
        assert_eq!(aliases.get(INodeNo(7)), None);
    }

    #[test]
    fn what_the_kernel_forgot_is_gone() {
        let aliases = Aliases::default();
        let id = aliases.id(dir(0, 7));
        aliases.raise(id, dir(0, 7));
        aliases.raise(id, dir(0, 7));
        aliases.lower(id, 1);
        assert_eq!(aliases.find(dir(0, 7)), Some(id));
        aliases.lower(id, 1);
        assert_eq!(aliases.find(dir(0, 7)), None);
        assert_ne!(aliases.id(dir(0, 7)), id);
    }

    #[test]
    fn what_was_only_listed_does_not_stay() {
        let aliases = Aliases::default();
        let kept = aliases.id(dir(0, 1));
        aliases.raise(kept, dir(0, 1));
        for ino in 2..5000 {
            aliases.id(dir(0, ino));
        }
        assert_eq!(aliases.find(dir(0, 1)), Some(kept));
        assert!(aliases.table.read().by_id.len() <= MANY);
        assert!(aliases.table.read().by_dir.len() <= MANY);
    }
}
