//! What each operation means on tmpfs: checks in their order, times, limits, inheritance.
//!
//! [`Fs`] runs with no mount, no thread and, in tests, no real clock: every rule can be seen by calling a
//! method. Methods bear the names of the system calls or FUSE operations that they carry out. The kernel has
//! looked up names, followed links and checked permissions (`default_permissions`) before a request arrives;
//! what it checked under a lock that another directory of the same tree does not share is checked again
//! here.

mod access;
mod append;
mod attr;
mod create;
mod data;
mod digests;
mod dir;
mod doubts;
mod exports;
mod faces;
mod growth;
mod io;
mod leaving;
mod lookup;
mod quota;
mod recover;
mod remove;
mod rename;
mod shortage;
mod views;
mod xattr;

use std::sync::atomic::{AtomicU32, AtomicUsize};
use std::sync::{Arc, OnceLock};

pub use self::access::Caller;
use self::append::Appends;
pub use self::attr::{SetAttr, SetTime, Statfs};
pub use self::create::{CreateFlags, NewNode};
pub use self::data::{Access, Backing, DataMode, Opened};
pub use self::dir::{DirEntry, DirPosition, Listing};
use self::doubts::Doubts;
use self::exports::Exports;
pub use self::exports::gate::{FileKey, Way};
pub use self::exports::objects::Object;
pub use self::exports::sessions::{DEFAULT_SESSION, SessionInfo};
pub use self::exports::{ExportId, SessionId};
pub use self::faces::{Dir, Face};
use self::growth::Changes;
pub use self::io::WriteFlags;
use self::leaving::Departures;
pub use self::quota::UserLimit;
pub use self::rename::RenameMode;
use self::views::Views;
pub use self::views::{Listener, ViewId};
use crate::data::{DataFiles, PAGE_SIZE, Reservation};
use crate::errno::{Errno, Result};
use crate::options::Atime;
use crate::recovery::{Answers, Journal};
use crate::slots::Slots;
use crate::store::Superblock;
use crate::store::pools::Pools;
use crate::store::record::{Limits, Recorder};
use crate::types::{Attr, Clock, Ino};

/// `NAME_MAX`: FUSE itself lets longer names through.
pub const NAME_MAX: usize = 255;

/// What a file system is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Bytes of data; 0 is no limit.
    pub size: u64,
    /// Inodes; 0 is no limit.
    pub nr_inodes: u64,
    /// What each user may have.
    pub users: UserLimit,
    /// Permissions of the root.
    pub mode: u32,
    /// Owner of the root.
    pub uid: u32,
    /// Group of the root.
    pub gid: u32,
    /// Growing objects take their logical size at once.
    pub reserve: bool,
    /// When reading moves access times.
    pub atime: Atime,
    /// Access times of directories never move.
    pub nodiratime: bool,
}

/// Without limits, as tmpfs is by itself; anybody may make objects in the root.
impl Default for Config {
    fn default() -> Config {
        Config {
            size: 0,
            nr_inodes: 0,
            users: UserLimit::default(),
            mode: 0o1777,
            uid: 0,
            gid: 0,
            reserve: false,
            atime: Atime::default(),
            nodiratime: false,
        }
    }
}

/// One file system and all that can be done to it.
#[derive(Debug)]
pub struct Fs {
    superblock: Superblock,
    files: DataFiles,
    room: Reservation,
    clock: Box<dyn Clock>,
    config: Config,
    mode: OnceLock<DataMode>,
    registered: AtomicUsize,
    /// The highest backing id so far.
    last_backing: AtomicU32,
    held_open: AtomicUsize,
    evicted: AtomicUsize,
    departures: Departures,
    doubts: Doubts,
    changes: Changes,
    views: Views,
    exports: Exports,
    pools: Pools,
    journal: Option<Arc<Journal>>,
    answers: Answers,
    appends: Appends,
}

/// An inode's attributes, and how long they stay true.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The attributes.
    pub attr: Attr,
    /// They change by requests only.
    pub lasting: bool,
    /// By which name of an export it was found; `None`: the kernel is to take it for what it is in the tree.
    pub way: Option<Arc<Way>>,
}

impl Fs {
    /// An empty file system whose data goes to `files`, and which nobody remembers.
    pub fn new(config: Config, files: DataFiles, clock: Box<dyn Clock>) -> Fs {
        Fs::recorded(config, files, clock, Slots::default(), None)
    }

    /// An empty one for a test.
    #[cfg(test)]
    pub(crate) fn of_memfds(config: Config, mode: DataMode) -> Fs {
        let files = DataFiles::memfds();
        let clock = Box::new(crate::data::KernelClock::of(&files).unwrap());
        let fs = Fs::new(config, files, clock);
        fs.set_data_mode(mode);
        fs
    }

    /// An empty file system whose history goes to `journal`, and the kernel's counts to `slots`.
    pub fn recorded(
        config: Config,
        files: DataFiles,
        clock: Box<dyn Clock>,
        slots: Slots,
        journal: Option<Arc<Journal>>,
    ) -> Fs {
        let limits = Limits {
            size: config.size,
            nr_inodes: config.nr_inodes,
            uid_size: config.users.size,
            uid_nr_inodes: config.users.nr_inodes,
        };
        let root = (config.mode, config.uid, config.gid);
        let recorder = journal.clone().map(|journal| journal as Arc<dyn Recorder>);
        let superblock = Superblock::new(limits, root, clock.now(), slots, recorder);
        let answers = Answers::default();
        let users = config.users;
        let fs = Fs::with(superblock, config, files, clock, journal, answers);
        fs.limit_users_at_first(users);
        fs
    }

    fn with(
        superblock: Superblock,
        config: Config,
        files: DataFiles,
        clock: Box<dyn Clock>,
        journal: Option<Arc<Journal>>,
        answers: Answers,
    ) -> Fs {
        Fs {
            superblock,
            room: Reservation::new(config.size / PAGE_SIZE),
            files,
            clock,
            config,
            mode: OnceLock::new(),
            registered: AtomicUsize::new(0),
            last_backing: AtomicU32::new(1),
            held_open: AtomicUsize::new(0),
            evicted: AtomicUsize::new(0),
            departures: Departures::default(),
            doubts: Doubts::default(),
            changes: Changes::default(),
            views: Views::default(),
            exports: Exports::default(),
            pools: Pools::default(),
            journal,
            answers,
            appends: Appends::default(),
        }
    }

    /// The slots of inodes, and of requests in hand.
    pub fn slots(&self) -> &Slots {
        self.superblock.slots()
    }

    /// The root directory.
    pub fn root(&self) -> Ino {
        self.superblock.root()
    }

    /// How many inodes there are, those without a name included.
    pub fn inode_count(&self) -> usize {
        self.superblock.tree().count()
    }

    /// Changes the limits of a live file system; `None` leaves one alone (`shmem_reconfigure`).
    pub fn set_limits(&self, size: Option<u64>, nr_inodes: Option<u64>) -> Result<()> {
        // All or nothing: the host may refuse another size, so it is asked first.
        if let Some(nr_inodes) = nr_inodes {
            self.superblock.inodes.check_limit(nr_inodes)?;
        }
        if let Some(size) = size {
            self.check_size(size)?;
            self.files.set_size(size)?;
            self.room.set_limit(size / PAGE_SIZE);
        }
        if let Some(nr_inodes) = nr_inodes {
            self.superblock.inodes.set_limit(nr_inodes)?;
        }
        self.superblock.record_limits(|limits| {
            limits.size = size.unwrap_or(limits.size);
            limits.nr_inodes = nr_inodes.unwrap_or(limits.nr_inodes);
        });
        Ok(())
    }

    /// A size below what is in use is refused, and a limit where there was none.
    fn check_size(&self, size: u64) -> Result<()> {
        let unlimited_before = self.room.limit() == 0;
        if size != 0 && (unlimited_before || size / PAGE_SIZE < self.used_pages()) {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl Drop for Fs {
    fn drop(&mut self) {
        // Another process may go on with them.
        self.superblock.slots().keep();
    }
}

/// The length of a new or sought name (`ENAMETOOLONG`).
fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > NAME_MAX {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}
