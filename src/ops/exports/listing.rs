//! readdir of an export's directories.

use std::sync::Arc;

use super::gate::{FileKey, Inside, Way, mask};
use super::index::Index;
use super::{Served, Session, SessionId};
use crate::errno::Result;
use crate::export::Rights;
use crate::ops::dir::OWN;
use crate::ops::{Dir, DirEntry, DirPosition, Entry, Face, Fs, Listing};
use crate::options::Atime;
use crate::store::{Cookie, Inode, Tree};
use crate::types::{Ino, Kind};

impl Fs {
    /// Hands the entries after `from` of a session's directory to `add`: its own first, then the tree's.
    pub(in crate::ops) fn list_export(
        &self,
        tree: &Tree,
        id: SessionId,
        dir: Ino,
        from: DirPosition,
        listing: Listing,
        add: &mut impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<()> {
        let session = self.exports.session(id)?;
        let started = from.0 >= Cookie::FIRST.0;
        let path = match self.inside(tree, &session, dir)? {
            Inside::Gone => return Ok(()),
            Inside::Layer => {
                let after = started.then_some(Cookie(from.0));
                self.touch_listed(tree, dir, listing)?;
                let mut add = self.own_entries(&session, add);
                self.stream(tree, dir, after, 0, listing, &mut add, |_| None)?;
                return Ok(());
            }
            Inside::Below(path) => path,
            Inside::Root => Vec::new(),
        };
        if dir == self.root() && !self.list_layer(tree, &session, from, listing, add)? {
            return Ok(());
        }
        let after = (started && from.0 & OWN == 0).then_some(from.0);
        self.list_ruled(tree, &session, (dir, &path), after, listing, add)
    }

    /// Lets entries be what they are to the kernel where they are the session's own.
    fn own_entries(
        &self,
        session: &Session,
        add: &mut impl FnMut(&DirEntry<'_>) -> bool,
    ) -> impl FnMut(&DirEntry<'_>) -> bool {
        let key = self.key_of_own(session);
        move |entry: &DirEntry<'_>| {
            let key = key.filter(|_| entry.type_bits == libc::S_IFREG);
            let mut full = entry.entry.clone();
            if let (Some(full), Some(key)) = (&mut full, key) {
                let path = Box::default();
                full.way = Some(Arc::new(Way { key, path }));
            }
            add(&DirEntry {
                key,
                entry: full,
                ..*entry
            })
        }
    }

    fn touch_listed(&self, tree: &Tree, dir: Ino, listing: Listing) -> Result<()> {
        if !listing.noatime {
            let inode = tree.inode(dir)?;
            self.touch_atime(inode, &mut inode.state());
        }
        Ok(())
    }

    /// What is the session's own; says whether `add` took all.
    fn list_layer(
        &self,
        tree: &Tree,
        session: &Session,
        from: DirPosition,
        listing: Listing,
        add: &mut impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<bool> {
        let started = from.0 >= Cookie::FIRST.0;
        if started && from.0 & OWN == 0 {
            return Ok(true);
        }
        let config = session.served.config();
        let is_own = |name: &[u8]| {
            let own = config.as_ref().is_some_and(|it| it.is_in_layer(name));
            Some(own.then(|| name.to_vec()))
        };
        let after = started.then_some(Cookie(from.0 & !OWN));
        let mut add = self.own_entries(session, add);
        self.stream(tree, session.layer, after, OWN, listing, &mut add, is_own)
    }

    /// What the rules show of a directory of the tree.
    fn list_ruled(
        &self,
        tree: &Tree,
        session: &Session,
        (dir, path): (Ino, &[u8]),
        after: Option<u64>,
        listing: Listing,
        add: &mut impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<()> {
        let served = &session.served;
        let directory = tree.directory(dir)?;
        let view = self.view_of(served);
        self.touch_index(tree, served, (dir, path), listing)?;
        let mut after = after;
        loop {
            let some = |index: &mut Index| index.stream(after).take(STEP).collect::<Vec<_>>();
            let entries = self.with_index(tree, served, (dir, path), some)?;
            let Some(&(last, _)) = entries.last() else {
                return Ok(());
            };
            for (at, entry) in entries {
                let Some(dentry) = directory.at(entry.cookie) else {
                    continue;
                };
                let inode = tree.inode(dentry.ino)?;
                let seen = Seen {
                    session,
                    above: path,
                    name: &dentry.name,
                    rights: entry.rights,
                };
                // Below the root names are the tree's.
                let shown = match path {
                    [] => view.name_of(&dentry.name),
                    _ => Some(dentry.name.to_vec()),
                };
                let Some(name) = shown else {
                    continue;
                };
                let (key, full) = self.listed(tree, inode, &seen, listing.plus)?;
                let referenced = full.is_some();
                let taken = add(&DirEntry {
                    name: &name,
                    ino: dentry.ino,
                    type_bits: inode.kind.type_bits(),
                    next: DirPosition(at),
                    key,
                    entry: full,
                });
                if !taken {
                    return Ok(());
                }
                if referenced {
                    inode.raise_lookups();
                }
            }
            after = Some(last);
        }
    }

    fn touch_index(
        &self,
        tree: &Tree,
        served: &Served,
        at: (Ino, &[u8]),
        listing: Listing,
    ) -> Result<()> {
        let policy = self.directory_atime();
        if listing.noatime || policy == Atime::Never {
            return Ok(());
        }
        let now = self.clock.now();
        self.with_index(tree, served, at, |index| {
            if policy == Atime::Strict || index.atime_is_stale(now) {
                index.read_at(now);
            }
        })
    }

    /// What an entry is to the kernel, and what is told of it.
    fn listed(
        &self,
        tree: &Tree,
        inode: &Inode,
        seen: &Seen<'_>,
        plus: bool,
    ) -> Result<(Option<FileKey>, Option<Entry>)> {
        let is_file = inode.kind == Kind::Regular;
        let key = self.file_key(&seen.session.served, seen.rights);
        let key = key.filter(|_| is_file);
        if !plus {
            return Ok((key, None));
        }
        let face = Face::Export(seen.session.id);
        let ino = inode.ino;
        let mut entry = self.entry_in(tree, inode, Dir { ino, face })?;
        if is_file {
            mask(&mut entry, seen.rights);
        }
        let path = || below(seen.above, seen.name);
        entry.way = key.map(|key| Arc::new(Way { key, path: path() }));
        Ok((key, Some(entry)))
    }
}

/// An entry as the rules see it.
struct Seen<'a> {
    session: &'a Session,
    above: &'a [u8],
    name: &'a [u8],
    rights: Rights,
}

/// Entries that are looked at in one go.
const STEP: usize = 256;

fn below(above: &[u8], name: &[u8]) -> Box<[u8]> {
    match above {
        [] => name.into(),
        above => [above, name].join(&b'/').into(),
    }
}
