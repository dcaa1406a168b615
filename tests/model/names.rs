//! The operations on names: what makes, finds, opens and moves an object, on both sides.

use std::collections::BTreeSet;

use shmfs::errno::{Errno, Result};
use shmfs::ops::{CreateFlags, Entry, NewNode, RenameMode};
use shmfs::types::Kind;

use crate::contents::Contents;
use crate::generators::{At, Made, Pick, Who};
use crate::harness::{Harness, caller};
use crate::reference::{Id, ROOT, What, check_name};

const DEVICE: u32 = 0x0102;

impl Harness {
    /// The same answer from both; what is new in the model gets its number.
    fn same_entry(&mut self, ours: Result<Entry>, theirs: Result<Id>) {
        let (entry, id) = match (ours, theirs) {
            (Ok(entry), Ok(id)) => (entry, id),
            (ours, theirs) => return assert_eq!(ours.map(|_| ()), theirs.map(|_| ())),
        };
        assert_eq!(
            *self.inos.entry(id).or_insert(entry.attr.ino),
            entry.attr.ino
        );
        assert_eq!(Ok(&entry), self.fs.getattr(entry.attr.ino).as_ref());
        self.model.node_mut(id).lookups += 1;
    }

    pub fn lookup(&mut self, at: &At) {
        let dir = self.dir(at.dir);
        let ours = self.fs.lookup(self.ino(dir), &at.name);
        let theirs = check_name(&at.name).and_then(|()| self.model.find(dir, &at.name));
        self.same_entry(ours, theirs.and_then(|id| id.ok_or(Errno::ENOENT)));
    }

    pub fn forget(&mut self, id: Id, count: u64) {
        let held = id == ROOT || self.streams.iter().any(|stream| stream.dir == id);
        let (fs, ino, node) = (&self.fs, self.inos[&id], self.model.node_mut(id));
        let count = count.min(node.lookups - u64::from(held || node.opens > 0));
        if count > 0 {
            fs.forget(ino, count);
            node.lookups -= count;
            node.exposed &= node.lookups > 0;
        }
    }

    pub fn mknod(&mut self, who: Who, at: &At, made: Made, mode: u32, umask: u32) {
        let dir = self.dir(at.dir);
        let (kind, what) = match made {
            Made::Regular => (Kind::Regular, What::File(Contents::default())),
            Made::Directory => (Kind::Directory, What::Dir),
            Made::Fifo => (Kind::Fifo, What::Other(made, 0)),
            Made::Socket => (Kind::Socket, What::Other(made, 0)),
            Made::Char => (Kind::CharDevice(DEVICE), What::Other(made, DEVICE)),
            Made::Block => (Kind::BlockDevice(DEVICE), What::Other(made, DEVICE)),
        };
        let ours = self.fs.mknod(
            &caller(who),
            self.ino(dir),
            &at.name,
            NewNode { kind, mode, umask },
        );
        let theirs = self.model.create(who, dir, &at.name, what, mode, umask);
        self.same_entry(ours, theirs);
    }

    pub fn symlink(&mut self, who: Who, at: &At, len: usize) {
        let (dir, target) = (self.dir(at.dir), vec![b't'; len]);
        let ours = self
            .fs
            .symlink(&caller(who), self.ino(dir), &at.name, &target);
        let theirs = self
            .model
            .create(who, dir, &at.name, What::Symlink(target), 0o777, 0);
        self.same_entry(ours, theirs);
    }

    pub fn create(&mut self, who: Who, at: &At, mode: u32, umask: u32, exclusive: bool) {
        let dir = self.dir(at.dir);
        let node = NewNode {
            kind: Kind::Regular,
            mode,
            umask,
        };
        let flags = CreateFlags {
            exclusive,
            writable: true,
        };
        let ours = self
            .fs
            .create(&caller(who), self.ino(dir), &at.name, node, flags);
        let what = What::File(Contents::default());
        let theirs = self.model.create(who, dir, &at.name, what, mode, umask);
        let theirs = theirs.map_err(|errno| match errno {
            Errno::EEXIST if !exclusive => Errno::ESTALE,
            other => other,
        });
        if let (Ok((_, opened)), Ok(id)) = (&ours, &theirs) {
            let node = self.model.node_mut(*id);
            (node.opens, node.exposed) = (1, self.setup.passthrough);
            assert_eq!(opened.backing.is_some(), self.setup.passthrough);
            opened
                .backing
                .map(|backing| self.backings.insert(*id, backing));
        }
        self.same_entry(ours.map(|(entry, _)| entry), theirs);
    }

    pub fn open(&mut self, id: Id, writable: bool) {
        let ours = self.fs.open(self.ino(id), writable);
        let node = self.model.node_mut(id);
        let opened = match (ours, &node.what) {
            (Ok(opened), What::File(_)) => opened,
            (ours, What::File(_)) => panic!("open: {ours:?}"),
            (ours, What::Dir) => return assert_eq!(ours, Err(Errno::EISDIR)),
            (ours, What::Symlink(_)) => return assert_eq!(ours, Err(Errno::ELOOP)),
            (ours, What::Other(..)) => return assert_eq!(ours, Err(Errno::ENXIO)),
        };
        let newly_exposed = self.setup.passthrough && writable && !node.exposed;
        node.exposed |= newly_exposed;
        node.pinned &= !(writable && node.opens == 0);
        node.opens += 1;
        assert_eq!(
            (opened.newly_exposed, opened.backing.is_some()),
            (newly_exposed, self.setup.passthrough)
        );
        if let Some(backing) = opened.backing {
            assert_eq!(
                *self.backings.entry(id).or_insert(backing),
                backing,
                "two registrations of an open file"
            );
        }
    }

    pub fn release(&mut self, pick: Pick) {
        let open = self.model.nodes.iter().filter(|(_, node)| node.opens > 0);
        let open: Vec<Id> = open.map(|(&id, _)| id).collect();
        if let Some(&id) = open.get(pick.0 as usize % open.len().max(1)) {
            self.fs.release(self.ino(id));
            self.model.node_mut(id).opens -= 1;
        }
    }

    pub fn link(&mut self, id: Id, at: &At) {
        let dir = self.dir(at.dir);
        let ours = self.fs.link(self.ino(id), self.ino(dir), &at.name);
        let theirs = self.model.link(id, dir, &at.name).map(|()| id);
        self.same_entry(ours, theirs);
    }

    pub fn rename(&mut self, who: Who, from: &At, to: &At, mode: RenameMode) {
        let (from_dir, to_dir) = (self.dir(from.dir), self.dir(to.dir));
        let ours = self.fs.rename(
            &caller(who),
            (self.ino(from_dir), &from.name),
            (self.ino(to_dir), &to.name),
            mode,
        );
        let (a, b) = (
            (from_dir, from.name.as_slice()),
            (to_dir, to.name.as_slice()),
        );
        let before: BTreeSet<Id> = self.model.nodes.keys().copied().collect();
        let theirs = match mode {
            RenameMode::Exchange => self.model.exchange(who, a, b),
            RenameMode::Replace => self.model.rename(who, a, b, (false, false)),
            RenameMode::NoReplace => self.model.rename(who, a, b, (true, false)),
            RenameMode::Whiteout(no_replace) => self.model.rename(who, a, b, (no_replace, true)),
        };
        assert_eq!(ours, theirs);
        // A whiteout: the kernel does not know it yet.
        let new: Vec<Id> = self
            .model
            .nodes
            .keys()
            .copied()
            .filter(|id| !before.contains(id))
            .collect();
        for id in new {
            let ino = self
                .fs
                .lookup(self.ino(from_dir), &from.name)
                .unwrap()
                .attr
                .ino;
            self.inos.insert(id, ino);
            self.model.node_mut(id).lookups = 1;
        }
    }
}
