//! What an index has that could not be told from the tree after a recovery: its positions, since names that are gone
//! had some, and its times.
//!
//! All that is in an index when somebody looks first is in *runs*; each name that comes later has a note of its own,
//! which also says what the index is from then on. Places in the store are never used twice, so who has lost its
//! place there has lost its position too.

use std::collections::HashMap;

use super::index::Index;
use super::{ExportId, Served, Table};
use crate::ops::Fs;
use crate::recovery::{Journal, Space};
use crate::store::{Cookie, Tree};
use crate::types::{Ino, Timestamp};

/// What a key begins with: then come the export's number, the directory, and the first position.
const HEAD: u8 = b'h';
const RUN: u8 = b'r';
const NAME: u8 = b'n';
/// And that of the number of an export, with its name.
const NUMBER: u8 = b'#';
/// From so many new names on all are said anew.
const MANY: usize = 16;
/// Names in a run.
const IN_RUN: usize = 4096;

/// What an index is beside its entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) next: u64,
    pub(super) atime: Timestamp,
    pub(super) mtime: Timestamp,
    pub(super) ctime: Timestamp,
}

/// Names that came, and positions of those that went and had a note of their own.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    pub(super) added: Vec<(u64, Cookie)>,
    pub(super) removed: Vec<u64>,
}

/// The key under which an export's number is.
pub(super) fn key_of_number(name: &str) -> Vec<u8> {
    [&[NUMBER], name.as_bytes()].concat()
}

/// The export's name in such a key.
pub(super) fn name_in_key(key: &[u8]) -> Option<&str> {
    let (&NUMBER, name) = key.split_first()? else {
        return None;
    };
    std::str::from_utf8(name).ok()
}

fn key(kind: u8, (ExportId(export), Ino(dir)): (ExportId, Ino), position: u64) -> Vec<u8> {
    let of = [&[kind][..], &export.to_le_bytes(), &dir.to_le_bytes()].concat();
    [of, position.to_le_bytes().to_vec()].concat()
}

/// Numbers of eight bytes.
fn numbers(bytes: &[u8]) -> Vec<u64> {
    let words = bytes.chunks_exact(8).map(|word| word.try_into());
    words.flatten().map(u64::from_le_bytes).collect()
}

fn bytes(numbers: impl IntoIterator<Item = u64>) -> Vec<u8> {
    numbers.into_iter().flat_map(u64::to_le_bytes).collect()
}

impl Head {
    fn write(&self) -> [u64; 7] {
        let time = |time: Timestamp| [time.sec as u64, u64::from(time.nsec)];
        let ([a, b], [c, d], [e, f]) = (time(self.atime), time(self.mtime), time(self.ctime));
        [self.next, a, b, c, d, e, f]
    }

    fn read(numbers: &[u64]) -> Option<Head> {
        let &[next, a, b, c, d, e, f] = numbers else {
            return None;
        };
        let time = |sec: u64, nsec: u64| Timestamp {
            sec: sec as i64,
            nsec: nsec as u32,
        };
        Some(Head {
            next,
            atime: time(a, b),
            mtime: time(c, d),
            ctime: time(e, f),
        })
    }
}

/// What was kept of one index.
#[derive(Debug, Default)]
struct Kept {
    /// The latest one, of which the next position is the highest; of two such the index's own.
    head: Option<Head>,
    /// Each with its position, and whether it has a note of its own.
    names: Vec<(u64, Cookie, bool)>,
    runs: Vec<u64>,
}

impl Kept {
    fn take(&mut self, kind: u8, position: u64, value: &[u64]) {
        match (kind, value) {
            (HEAD, head) => self.take_head(Head::read(head), true),
            (RUN, run) => {
                self.runs.push(position);
                let pairs = run.chunks_exact(2);
                self.names
                    .extend(pairs.map(|pair| (pair[0], Cookie(pair[1]), false)));
            }
            (NAME, [cookie, head @ ..]) => {
                self.names.push((position, Cookie(*cookie), true));
                self.take_head(Head::read(head), false);
            }
            _ => {}
        }
    }

    fn take_head(&mut self, head: Option<Head>, own: bool) {
        let later = |new: Head, old: Head| new.next > old.next || own && new.next == old.next;
        self.head = match (head, self.head) {
            (Some(new), Some(old)) if later(new, old) => Some(new),
            (new, None) => new,
            (_, old) => old,
        };
    }
}

fn read_all(notes: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>) -> HashMap<(ExportId, Ino), Kept> {
    let mut all: HashMap<(ExportId, Ino), Kept> = HashMap::new();
    for (key, value) in notes {
        let Some((&kind @ (HEAD | RUN | NAME), rest)) = key.split_first() else {
            continue;
        };
        let Some((export, rest)) = rest.split_first_chunk() else {
            continue;
        };
        if let [dir, position] = numbers(rest)[..] {
            let of = (ExportId(u32::from_le_bytes(*export)), Ino(dir));
            all.entry(of)
                .or_default()
                .take(kind, position, &numbers(&value));
        }
    }
    // A note of its own is later than a run.
    all.values_mut()
        .for_each(|kept| kept.names.sort_by_key(|&(_, _, alone)| alone));
    all
}

/// Says what an index has become: what is new first, then what is no more, so that whoever is killed between two notes
/// leaves each position in some of them.
pub(super) fn keep(journal: &Journal, of: (ExportId, Ino), index: &mut Index) {
    let set = |kind, position, value: Option<Vec<u8>>| {
        journal.set_note(Space::EXPORTS, &key(kind, of, position), value.as_deref());
    };
    let unsaved = std::mem::take(&mut index.unsaved);
    let head = index.head();
    let added = unsaved.added.len();
    if added > MANY {
        set(HEAD, 0, Some(bytes(head.write())));
        let old = std::mem::take(&mut index.runs);
        for run in index.all().chunks(IN_RUN) {
            index.runs.push(run[0].0);
            let pairs = run.iter().flat_map(|&(at, Cookie(cookie))| [at, cookie]);
            set(RUN, run[0].0, Some(bytes(pairs)));
        }
        let old = old.into_iter().filter(|at| !index.runs.contains(at));
        let old: Vec<u64> = old.collect();
        old.into_iter()
            .for_each(|position| set(RUN, position, None));
        let new = |at: &u64| {
            unsaved
                .added
                .binary_search_by_key(at, |&(new, _)| new)
                .is_ok()
        };
        let alone = index.none_alone().into_iter().filter(|at| !new(at));
        alone.for_each(|position| set(NAME, position, None));
    } else {
        for &(at, Cookie(cookie)) in &unsaved.added {
            if index.is_alone(at) {
                let value = bytes([cookie].into_iter().chain(head.write()));
                set(NAME, at, Some(value));
            }
        }
    }
    let said = added > 0;
    if !said && index.saved != Some(head) {
        set(HEAD, 0, Some(bytes(head.write())));
    }
    index.saved = Some(head);
    let removed = unsaved.removed.into_iter();
    removed.for_each(|position| set(NAME, position, None));
}

/// Forgets all of it.
pub(super) fn drop_kept(journal: &Journal, of: (ExportId, Ino), index: &Index) {
    let alone = index.all().into_iter().map(|(at, _)| at);
    let alone = alone.filter(|&at| index.is_alone(at)).map(|at| (NAME, at));
    let runs = index.runs.iter().map(|&at| (RUN, at));
    let removed = index.unsaved.removed.iter().map(|&at| (NAME, at));
    for (kind, at) in alone.chain(runs).chain(removed).chain([(HEAD, 0)]) {
        journal.set_note(Space::EXPORTS, &key(kind, of, at), None);
    }
}

impl Fs {
    /// Says what an index has become, where that is kept.
    pub(super) fn keep_index(&self, served: &Served, dir: Ino, index: &mut Index) {
        // What is not said now is said the next time.
        if let Some(journal) = self.journal.as_ref().filter(|_| !self.must_save()) {
            keep(journal, (served.id, dir), index);
        }
    }

    /// Makes the indexes again that were there before a recovery, after the exports were set.
    pub(super) fn restore_indexes(&self, tree: &Tree, table: &Table) {
        let Some(journal) = &self.journal else {
            return;
        };
        for (of, kept) in read_all(journal.notes(Space::EXPORTS)) {
            let (export, dir) = of;
            let served = table.served.get(export.0 as usize);
            let mut index = Index::new(Timestamp::default());
            index.runs = kept.runs;
            let directory = tree.directory(dir).ok();
            for (at, cookie, alone) in kept.names {
                let dentry = directory.and_then(|directory| directory.at(cookie));
                let inode = dentry.and_then(|it| tree.inode(it.ino).ok());
                index.put(at, cookie, inode.map(|it| it.kind.is_dir()), alone);
            }
            let path = directory.and_then(|_| self.path(tree, dir));
            let (Some(served), Some(directory), Some(path), Some(head)) =
                (served, directory, path, kept.head)
            else {
                drop_kept(journal, of, &index);
                continue;
            };
            index.set_head(head);
            let rules = self.shows(served);
            index.refresh(tree, directory, rules.as_ref(), &path);
            keep(journal, of, &mut index);
            served.indexes.lock().insert(dir, index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::store::record::Entity;

    const OF: (ExportId, Ino) = (ExportId(3), Ino(7));

    fn position_of(Cookie(cookie): Cookie) -> u64 {
        cookie + 100
    }

    fn add(index: &mut Index, cookies: std::ops::Range<u64>) {
        for cookie in cookies.map(Cookie) {
            let at = position_of(cookie);
            index.put(at, cookie, Some(false), true);
            index.unsaved.added.push((at, cookie));
        }
    }

    /// The notes after each record of a journal.
    fn histories(journal: &Journal) -> Vec<BTreeMap<Vec<u8>, Vec<u8>>> {
        let (mut now, mut all) = (BTreeMap::new(), Vec::new());
        crate::recovery::read(journal.file(), |record| {
            for entity in record.parts().unwrap().1 {
                match entity.unwrap() {
                    Entity::Note { key, value, .. } => match value {
                        Some(value) => drop(now.insert(key.to_vec(), value.to_vec())),
                        None => drop(now.remove(&*key)),
                    },
                    other => panic!("{other:?}"),
                }
            }
            all.push(now.clone());
            Ok(())
        })
        .unwrap();
        all
    }

    /// Whoever is killed between two notes leaves what was known before them.
    #[test]
    fn a_position_that_was_kept_stays_kept() {
        let journal = Journal::create().unwrap();
        let mut index = Index::new(Timestamp::default());
        let (mut known, mut stages) = (0, Vec::new());
        // A few have notes of their own, many are in runs, twice.
        for next in [3, 30, 5000, 5001, 9999] {
            add(&mut index, known..next);
            keep(&journal, OF, &mut index);
            known = next;
            stages.push((histories(&journal).len(), known));
        }
        let mut known = 0;
        for (record, notes) in histories(&journal).into_iter().enumerate() {
            if let Some((_, next)) = stages.iter().find(|(records, _)| *records == record + 1) {
                known = *next;
            }
            let all = read_all(notes);
            let kept = &all[&OF];
            let names: HashMap<Cookie, u64> = kept
                .names
                .iter()
                .map(|&(at, cookie, _)| (cookie, at))
                .collect();
            for cookie in (0..known).map(Cookie) {
                let at = names.get(&cookie).copied();
                assert_eq!(at, Some(position_of(cookie)), "{cookie:?} after {record}");
            }
            let next = kept.head.map_or(0, |head| head.next);
            assert!(next >= known + 100, "{next} after {record}");
        }
        assert_eq!(known, 9999);
    }
}
