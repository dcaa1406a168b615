//! One file system: the table of inodes, the directories, the root, the budgets.

use std::hash::RandomState;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::acl::Acls;
use super::budget::{INODE_SPACE, InodeBudget};
use super::directory::{Cookie, Directory};
use super::ids::Ids;
use super::inode::{DataState, Identity, Inode, NewInode};
use super::keep::Passes;
use super::record::{Answer, Entity, Limits, Recorder, SuperImage};
use super::users::{Share, Users};
use crate::errno::{Errno, Result};
use crate::slots::Slots;
use crate::types::{Ino, InoMap, Kind, Timestamp};

/// A file system's objects.
#[derive(Debug)]
pub struct Superblock {
    tree: RwLock<Tree>,
    ids: Ids,
    slots: Slots,
    root: Ino,
    /// `nr_inodes`.
    pub inodes: InodeBudget,
    /// `uid_size` and `uid_nr_inodes`.
    pub users: Users,
    /// Both limits as they were last set, for the recorder alone.
    limits: Mutex<Limits>,
    pub(super) recorder: Option<Arc<dyn Recorder>>,
    pub(super) passes: Passes,
}

/// Names and inodes; what needs the lock takes `&Tree`, what changes a name `&mut Tree`.
#[derive(Debug)]
pub struct Tree {
    pub(super) inodes: InoMap<Arc<Inode>>,
    /// Boxed: a table that grows takes twice its memory at once.
    pub(super) directories: InoMap<Box<Directory>>,
    pub(super) hasher: RandomState,
}

impl Superblock {
    /// An empty file system whose root has `mode` and belongs to `uid` and `gid`; its history goes to `recorder`.
    pub fn new(
        limits: Limits,
        (mode, uid, gid): (u32, u32, u32),
        now: Timestamp,
        slots: Slots,
        recorder: Option<Arc<dyn Recorder>>,
    ) -> Superblock {
        let ids = Ids::new();
        // The numbers that this sets aside are told with the root.
        let (root, generation) = ids.next(|_, _| {});
        let identity = Identity {
            ino: root,
            generation,
            slot: slots.take(root.0),
        };
        let acls = Acls::default();
        let new = NewInode {
            identity,
            kind: Kind::Directory,
            mode,
            uid,
            gid,
            acls,
        };
        let mut tree = Tree::empty();
        tree.inodes
            .insert(root, Arc::new(Inode::new(new, DataState::default(), now)));
        tree.directories
            .insert(root, Box::new(Directory::new(root)));
        let inodes = InodeBudget::new(limits.nr_inodes);
        // The root counts; where even it finds no room nothing else will either.
        let _ = inodes.take(INODE_SPACE);
        let superblock = Superblock {
            tree: RwLock::new(tree),
            ids,
            slots,
            root,
            inodes,
            users: Users::new(Share::default()),
            limits: Mutex::new(limits),
            recorder,
            passes: Passes::default(),
        };
        superblock.record_all_of_new();
        superblock
    }

    /// One that was before.
    pub(super) fn with(
        tree: Tree,
        top: SuperImage,
        limits: Limits,
        space: u64,
        slots: Slots,
        recorder: Option<Arc<dyn Recorder>>,
    ) -> Superblock {
        let SuperImage { root, key, numbers } = top;
        let inodes = InodeBudget::new(0);
        let _ = inodes.take(space);
        inodes.restore_limit(limits.nr_inodes);
        Superblock {
            tree: RwLock::new(tree),
            ids: Ids::restore(key, numbers),
            slots,
            root,
            inodes,
            users: Users::new(Share::default()),
            limits: Mutex::new(limits),
            recorder,
            passes: Passes::default(),
        }
    }

    /// The root directory.
    pub fn root(&self) -> Ino {
        self.root
    }

    /// Locks the names for looking.
    pub fn tree(&self) -> RwLockReadGuard<'_, Tree> {
        self.tree.read()
    }

    /// Locks the names for changing.
    pub fn tree_mut(&self) -> RwLockWriteGuard<'_, Tree> {
        self.tree.write()
    }

    /// The inode `ino`; `ESTALE` where there is none (any more).
    pub fn inode(&self, ino: Ino) -> Result<Arc<Inode>> {
        self.tree().inode(ino).cloned()
    }

    /// A number, a generation and a slot for a new inode.
    pub fn fresh(&self) -> Identity {
        let (ino, generation) = self
            .ids
            .next(|key, numbers| self.record_numbers(key, numbers));
        Identity {
            ino,
            generation,
            slot: self.slots.take(ino.0),
        }
    }

    /// The slots of its inodes, and of requests in hand.
    pub fn slots(&self) -> &Slots {
        &self.slots
    }

    fn record_numbers(&self, key: (u64, u64), numbers: u64) {
        let root = self.root;
        let image = SuperImage { root, key, numbers };
        self.record(&[Entity::Super(image)], Answer::Unfinished);
    }

    /// Tells the recorder again what there is one of.
    pub(super) fn record_top(&self) {
        let tell = |key, numbers| self.record_numbers(key, numbers);
        self.ids.tell(tell);
    }

    /// What there is one of, as long as nobody asks for a number.
    pub(super) fn top(&self) -> Entity<'static> {
        let root = self.root;
        let image = |key, numbers| SuperImage { root, key, numbers };
        Entity::Super(self.ids.tell(image))
    }

    /// The limits, as long as nobody changes them.
    pub(super) fn limits(&self) -> Entity<'static> {
        Entity::Limits(*self.limits.lock())
    }

    /// Changes the limits that the recorder knows; they hold already.
    pub fn record_limits(&self, change: impl FnOnce(&mut Limits)) {
        let mut limits = self.limits.lock();
        change(&mut limits);
        self.record(&[Entity::Limits(*limits)], Answer::Unfinished);
    }
}

impl Tree {
    pub(super) fn empty() -> Tree {
        Tree {
            inodes: InoMap::default(),
            directories: InoMap::default(),
            hasher: RandomState::new(),
        }
    }

    /// The hidden directory with this label.
    pub fn hidden(&self, label: &str) -> Option<Ino> {
        let is_it = |directory: &Directory| directory.hidden.as_deref() == Some(label);
        let mut all = self.directories.iter();
        all.find_map(|(&ino, directory)| is_it(directory).then_some(ino))
    }

    /// The inode `ino`; `ESTALE` where there is none (any more).
    pub fn inode(&self, ino: Ino) -> Result<&Arc<Inode>> {
        self.inodes.get(&ino).ok_or(Errno::ESTALE)
    }

    /// The directory `ino`; `ENOTDIR` where it is something else, `ESTALE` where it is nothing.
    pub fn directory(&self, ino: Ino) -> Result<&Directory> {
        match self.directories.get(&ino) {
            Some(directory) => Ok(directory),
            None if self.inodes.contains_key(&ino) => Err(Errno::ENOTDIR),
            None => Err(Errno::ESTALE),
        }
    }

    /// What `name` stands for in the directory `dir`.
    pub fn find(&self, dir: Ino, name: &[u8]) -> Result<Option<&Arc<Inode>>> {
        let directory = self.directory(dir)?;
        match directory.find(&self.hasher, name) {
            Some((_, ino)) => self.inode(ino).map(Some),
            None => Ok(None),
        }
    }

    /// The position of `name` in the directory `dir`, and the inode there.
    pub fn position(&self, dir: Ino, name: &[u8]) -> Option<(Cookie, Ino)> {
        self.directories.get(&dir)?.find(&self.hasher, name)
    }

    /// The directory whose owner, mode and ACLs count for names in `dir`: a hidden one without a mode has none of
    /// its own.
    pub fn authority(&self, dir: Ino) -> Ino {
        match self.directories.get(&dir) {
            Some(directory) if directory.hidden.is_some() => match self.inodes.get(&dir) {
                Some(inode) if inode.state().mode != 0 => dir,
                Some(_) | None => directory.parent,
            },
            Some(_) | None => dir,
        }
    }

    /// Whether `ino` is a directory without a name, which is nobody's object.
    pub fn is_hidden(&self, ino: Ino) -> bool {
        let directory = self.directories.get(&ino);
        directory.is_some_and(|directory| directory.hidden.is_some())
    }

    /// The name of a directory in the one above; `None` for the root, and where it has none.
    pub fn name_of(&self, dir: Ino) -> Option<&[u8]> {
        let directory = self.directories.get(&dir)?;
        let above = self.directories.get(&directory.parent)?;
        let dentry = above.at(directory.place)?;
        (dentry.ino == dir).then_some(&dentry.name)
    }

    /// Lets each directory know where it stands in the one above.
    pub(super) fn find_places(&mut self) {
        let mut places = Vec::new();
        for directory in self.directories.values() {
            let named = directory.oldest_first();
            let below = named.filter(|(_, entry)| self.directories.contains_key(&entry.ino));
            places.extend(below.map(|(cookie, entry)| (entry.ino, cookie)));
        }
        for (ino, cookie) in places {
            if let Some(directory) = self.directories.get_mut(&ino) {
                directory.place = cookie;
            }
        }
    }

    /// The directories without a name, and their labels.
    pub fn all_hidden(&self) -> impl Iterator<Item = (Ino, &str)> {
        let all = self.directories.iter();
        all.filter_map(|(ino, directory)| Some((*ino, directory.hidden.as_deref()?)))
    }

    /// The inodes of which the kernel has a reference.
    pub fn referenced(&self) -> Vec<Ino> {
        let referenced = self.inodes.values().filter(|inode| inode.lookups() > 0);
        referenced.map(|inode| inode.ino).collect()
    }

    /// All inodes.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Inode>> {
        self.inodes.values()
    }

    /// How many inodes there are.
    pub fn count(&self) -> usize {
        self.inodes.len()
    }

    /// Whether `ino` is `ancestor` or below it.
    pub fn is_below(&self, mut ino: Ino, ancestor: Ino) -> Result<bool> {
        loop {
            if ino == ancestor {
                return Ok(true);
            }
            let parent = self.directory(ino)?.parent;
            if parent == ino {
                return Ok(false);
            }
            ino = parent;
        }
    }
}
