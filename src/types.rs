//! The words that every layer shares: numbers of inodes, kinds of files, times, callers.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

/// An inode's number: random, never reused, and the kernel's node id of the inode in the tree.
///
/// It says nothing of how many objects there are. The data file of a regular file bears it as
/// its name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ino(pub u64);

impl std::fmt::Debug for Ino {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ino({:#x})", self.0)
    }
}

/// Numbers of inodes are random already: their own bits are their hash.
#[derive(Debug, Default)]
pub struct InoHasher(u64);

impl Hasher for InoHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(byte);
        }
    }

    fn write_u64(&mut self, number: u64) {
        // The table takes its index from the low bits and its tags from the high ones, of which a
        // number has two less than 64.
        self.0 = number ^ number << 2;
    }
}

/// Something for each of some inodes.
pub type InoMap<T> = HashMap<Ino, T, BuildHasherDefault<InoHasher>>;

/// Some inodes.
pub type InoSet = HashSet<Ino, BuildHasherDefault<InoHasher>>;

/// The type of a file, and what belongs to the type alone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Regular file: its bytes are in a data file.
    Regular,
    /// Directory.
    Directory,
    /// Symbolic link and its target.
    Symlink(Box<[u8]>),
    /// Named pipe.
    Fifo,
    /// Unix-domain socket.
    Socket,
    /// Character device.
    CharDevice(u32),
    /// Block device.
    BlockDevice(u32),
}

impl Kind {
    /// The type bits of `st_mode`.
    pub fn type_bits(&self) -> u32 {
        match self {
            Kind::Regular => libc::S_IFREG,
            Kind::Directory => libc::S_IFDIR,
            Kind::Symlink(_) => libc::S_IFLNK,
            Kind::Fifo => libc::S_IFIFO,
            Kind::Socket => libc::S_IFSOCK,
            Kind::CharDevice(_) => libc::S_IFCHR,
            Kind::BlockDevice(_) => libc::S_IFBLK,
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        matches!(self, Kind::Directory)
    }
}

/// A point in time as `struct timespec` has it: nanoseconds count up from the second, also before 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(C, packed(4))]
pub struct Timestamp {
    /// Seconds since 1970.
    pub sec: i64,
    /// 0 to 999,999,999.
    pub nsec: u32,
}

impl Timestamp {
    /// The time `elapsed` later.
    pub fn plus(self, elapsed: Duration) -> Timestamp {
        let nsec = self.nsec + elapsed.subsec_nanos();
        Timestamp {
            sec: self.sec + elapsed.as_secs() as i64 + i64::from(nsec / 1_000_000_000),
            nsec: nsec % 1_000_000_000,
        }
    }
}

/// Tells the time; tests have one of their own.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// Later than, or the same as, every time told before.
    fn now(&self) -> Timestamp;
}

/// What stat(2) shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// Inode number.
    pub ino: Ino,
    /// Completes a file handle.
    pub generation: u32,
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    /// Last access.
    pub atime: Timestamp,
    /// Last change of the contents.
    pub mtime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
    /// Creation.
    pub btime: Timestamp,
    /// Type and permissions.
    pub mode: u32,
    /// Link count.
    pub nlink: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device file, as the kernel encodes it in 32 bits.
    pub rdev: u32,
}

/// What a path below a view's directory stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The entry of this name in the root of the tree.
    Entry(Vec<u8>),
    /// A digest: only the name that it is made of tells which entry.
    Digest,
    /// No object that the tree could hold: a file of the view's own.
    Own,
}

/// A view's names for what is in the root of the tree.
pub trait Names: Send + Sync + std::fmt::Debug {
    /// How the view is called.
    fn key(&self) -> &'static str;
    /// What a path below the view's directory stands for.
    fn meaning(&self, path: &[u8]) -> Meaning;
    /// The path that shows the entry; `None` where the view has no name for it.
    fn path(&self, entry: &[u8]) -> Option<Vec<u8>>;
    /// Every path that stands for the entry.
    fn paths(&self, entry: &[u8]) -> Vec<Vec<u8>>;
    /// Whether there are paths that are digests.
    fn has_digests(&self) -> bool;
    /// Whether some entries are two directories below the view's.
    fn nests(&self) -> bool;
}

/// A name in the root of the tree that only the mount's owner goes through, and no object can have.
pub const RESERVED: &[u8] = b".shmfs";
