//! Carries an operation out on the file system and on the model, and compares what they answer.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::sync::{Arc, Mutex};

use shmfs::data::{DataFiles, KernelClock};
use shmfs::errno::{Errno, Result};
use shmfs::ops::{Backing, Caller, Config, DataMode, DirPosition, Fs, UserLimit};
use shmfs::options::Atime;
use shmfs::slots::Slots;
use shmfs::sys::credentials::Credentials;
use shmfs::types::{Clock, Ino, Timestamp};

use crate::contents::PAGE;
use crate::generators::{At, Op, Pick, Who};
use crate::recovery::Saved;
use crate::reference::{Id, Model, ROOT, What};
use crate::streams::{DOT, Stream};

/// What a run starts with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    pub passthrough: bool,
    pub atime: Atime,
    pub nodiratime: bool,
}

const PAGES: u64 = 24;
const INODES: u64 = 20;
/// The kernel has refused to read beyond the largest offset.
pub const HALF: u64 = u64::MAX >> 2;

/// The kernel's registrations, imitated.
#[derive(Debug, Default)]
pub struct Registrations {
    last: u32,
    live: BTreeSet<u32>,
}

#[derive(Debug)]
struct Registry(Arc<Mutex<Registrations>>);

impl Backing for Registry {
    fn register(&self, _: BorrowedFd<'_>) -> Result<u32> {
        let mut all = self.0.lock().unwrap();
        all.last += 1;
        let id = all.last;
        all.live.insert(id);
        Ok(id)
    }

    fn unregister(&self, id: u32) {
        assert!(
            self.0.lock().unwrap().live.remove(&id),
            "{id} was not registered"
        );
    }
}

/// Both sides.
pub struct Harness {
    pub fs: Fs,
    pub model: Model,
    pub setup: Setup,
    pub inos: BTreeMap<Id, Ino>,
    pub streams: Vec<Stream>,
    pub began: Timestamp,
    /// What outlives a crash; nothing where there is none.
    pub saved: Option<Saved>,
    clock: KernelClock,
    pub backings: BTreeMap<Id, u32>,
    registrations: Arc<Mutex<Registrations>>,
}

pub fn caller(who: Who) -> Caller {
    let (groups, capabilities) = match who {
        Who::Root => (vec![], u64::MAX),
        Who::Member => (vec![50], 0),
        Who::Stranger => (vec![], 0),
    };
    Caller::with(
        who.uid(),
        who.gid(),
        Credentials {
            groups,
            capabilities,
            ..Credentials::default()
        },
    )
}

impl Harness {
    pub fn new(setup: Setup) -> Harness {
        Harness::with(setup, DataFiles::memfds(), None)
    }

    /// A file system that can crash.
    pub fn recorded(setup: Setup, on_tmpfs: bool) -> Harness {
        let saved = Saved::new(on_tmpfs);
        Harness::with(setup, saved.files(), Some(saved))
    }

    pub fn config(setup: Setup) -> Config {
        Config {
            size: PAGES * PAGE,
            nr_inodes: INODES,
            users: UserLimit::default(),
            mode: 0o1777,
            uid: 0,
            gid: 0,
            reserve: true,
            atime: setup.atime,
            nodiratime: setup.nodiratime,
        }
    }

    fn with(setup: Setup, files: DataFiles, saved: Option<Saved>) -> Harness {
        let clock = KernelClock::of(&DataFiles::memfds()).unwrap();
        let began = clock.now();
        let own_clock = Box::new(KernelClock::of(&files).unwrap());
        let journal = saved.as_ref().map(|saved| Arc::clone(&saved.journal));
        let fs = Fs::recorded(
            Harness::config(setup),
            files,
            own_clock,
            Slots::default(),
            journal,
        );
        let model = Model::new(setup.passthrough, PAGES, INODES, 0o1777);
        let inos = BTreeMap::from([(ROOT, fs.root())]);
        let mut harness = Harness {
            fs,
            model,
            setup,
            inos,
            streams: Vec::new(),
            began,
            saved,
            clock,
            backings: BTreeMap::new(),
            registrations: Arc::default(),
        };
        harness.connect();
        harness.check();
        harness
    }

    /// A connection to a kernel that knows no data file yet.
    pub fn connect(&mut self) {
        self.registrations = Arc::default();
        self.backings.clear();
        let registry = Registry(Arc::clone(&self.registrations));
        self.fs.set_data_mode(match self.setup.passthrough {
            true => DataMode::Passthrough(Box::new(registry)),
            false => DataMode::PageCache,
        });
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Does `op` on both sides and compares everything.
    pub fn step(&mut self, op: &Op) {
        self.began = self.clock.now();
        self.apply(op);
        self.settle();
    }

    /// What happens by itself after an operation, and a look at everything.
    pub fn settle(&mut self) {
        self.model.evict();
        let nodes = &self.model.nodes;
        self.inos.retain(|id, _| nodes.contains_key(id));
        self.backings
            .retain(|id, _| nodes.get(id).is_some_and(|node| node.opens > 0));
        self.check();
    }

    pub fn ino(&self, id: Id) -> Ino {
        self.inos[&id]
    }

    /// One of the objects that the kernel knows.
    pub fn any(&self, pick: Pick) -> Id {
        let known: Vec<Id> = self.known().collect();
        known[pick.0 as usize % known.len()]
    }

    fn known(&self) -> impl Iterator<Item = Id> {
        self.model
            .nodes
            .iter()
            .filter(|(_, node)| node.lookups > 0)
            .map(|(&id, _)| id)
    }

    /// One of its directories, and now and then something else.
    pub fn dir(&self, pick: Pick) -> Id {
        if pick.0 > 250 {
            return self.any(pick);
        }
        let dirs: Vec<Id> = self.known().filter(|&id| self.model.is_dir(id)).collect();
        dirs[pick.0 as usize % dirs.len()]
    }

    pub fn file(&self, pick: Pick) -> Id {
        let is_file = |id: &Id| matches!(self.model.node(*id).what, What::File(_));
        let files: Vec<Id> = self.known().filter(is_file).collect();
        if pick.0 > 250 || files.is_empty() {
            return self.any(pick);
        }
        files[pick.0 as usize % files.len()]
    }

    pub fn apply(&mut self, op: &Op) {
        match op {
            Op::Lookup(at) => self.lookup(at),
            Op::Forget(pick, count) => self.forget(self.any(*pick), u64::from(*count)),
            Op::Mknod(who, at, made, mode, umask) => self.mknod(*who, at, *made, *mode, *umask),
            Op::Symlink(who, at, len) => self.symlink(*who, at, *len),
            Op::Create(who, at, mode, umask, exclusive) => {
                self.create(*who, at, *mode, *umask, *exclusive)
            }
            Op::Open(pick, writable) => self.open(self.file(*pick), *writable),
            Op::Release(pick) => self.release(*pick),
            Op::Link(pick, at) => self.link(self.any(*pick), at),
            Op::Unlink(who, at) => {
                let dir = self.dir(at.dir);
                let ours = self.fs.unlink(&caller(*who), self.ino(dir), &at.name);
                assert_eq!(ours, self.model.remove(*who, dir, &at.name, false));
            }
            Op::Rmdir(who, at) => {
                let dir = self.dir(at.dir);
                let ours = self.fs.rmdir(&caller(*who), self.ino(dir), &at.name);
                assert_eq!(ours, self.model.remove(*who, dir, &at.name, true));
            }
            Op::Rename(who, from, to, mode) => self.rename(*who, from, to, *mode),
            Op::OpenStream(pick) => {
                let dir = self.dir(*pick);
                self.streams.push(Stream {
                    dir,
                    position: DirPosition(0),
                    next: DOT,
                });
            }
            Op::ReadStream(pick, count, plus) => self.read_stream(*pick, *count as usize, *plus),
            Op::SetLimits(pages, inodes) => self.set_limits(*pages, *inodes),
            Op::Chmod(..) | Op::Chown(..) | Op::Utimes(..) | Op::KillPrivileges(..) => {
                self.apply_setattr(op)
            }
            Op::SetXattr(..) | Op::RemoveXattr(..) | Op::SetAcl(..) | Op::RemoveAcl(..) => {
                self.apply_xattr(op)
            }
            Op::Readlink(pick) => self.readlink(self.any(*pick)),
            _ => self.apply_data(op),
        }
    }

    /// The directory above.
    pub fn parent(&self, path: &[Vec<u8>]) -> Id {
        match path.split_last() {
            Some((_, above)) if !above.is_empty() => self.model.names[above].id,
            _ => ROOT,
        }
    }

    fn set_limits(&mut self, pages: Option<u64>, inodes: Option<u64>) {
        let ours = self.fs.set_limits(pages.map(|pages| pages * PAGE), inodes);
        let used = (self.model.used_pages(), self.model.used_inode_space());
        let fits = pages.is_none_or(|pages| pages >= used.0)
            && inodes.is_none_or(|inodes| inodes * 1024 >= used.1);
        assert_eq!(ours, if fits { Ok(()) } else { Err(Errno::EINVAL) });
        if fits {
            self.model.pages = pages.unwrap_or(self.model.pages);
            self.model.inodes = inodes.unwrap_or(self.model.inodes);
        }
    }

    /// Takes everything away again; nothing may be left.
    pub fn finish(mut self) {
        self.streams.clear();
        while !self.model.names.is_empty() {
            for (path, name) in self.model.names.clone().into_iter().rev() {
                let (last, _) = path.split_last().unwrap();
                let at = At {
                    dir: Pick(0),
                    name: last.clone(),
                };
                let (dir, is_dir) = (self.parent(&path), self.model.is_dir(name.id));
                let ours = match is_dir {
                    true => self.fs.rmdir(&caller(Who::Root), self.ino(dir), &at.name),
                    false => self.fs.unlink(&caller(Who::Root), self.ino(dir), &at.name),
                };
                assert_eq!(ours, self.model.remove(Who::Root, dir, &at.name, is_dir));
                self.model.evict();
            }
        }
        self.forget_all();
        let (limits, used) = (self.fs.statfs(), self.model.node(ROOT).xattrs.clone());
        assert_eq!(
            (self.fs.inode_count(), limits.blocks_free),
            (1, limits.blocks)
        );
        let xattrs: u64 = used
            .iter()
            .map(|(name, value)| (40 + name.len() + value.len()) as u64)
            .sum();
        assert_eq!(
            limits.files_free,
            (limits.files * 1024 - 1024 - xattrs) / 1024
        );
        assert!(
            self.registrations.lock().unwrap().live.is_empty(),
            "registrations are left"
        );
    }

    fn forget_all(&mut self) {
        for (&id, node) in &self.model.nodes {
            let ino = self.inos[&id];
            (0..node.opens).for_each(|_| self.fs.release(ino));
            if id != ROOT && node.lookups > 0 {
                self.fs.forget(ino, node.lookups);
            }
        }
    }
}
