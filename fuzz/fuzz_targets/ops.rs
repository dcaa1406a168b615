//! Any sequence of operations: no panic, no failed assertion, and nothing is left at the end.
//!
//! What is right is for tests/model to say; here offsets, names, modes and values are what they like, as long as
//! the kernel could send them.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use shmfs::data::{DataFiles, KernelClock};
use shmfs::errno::Result;
use shmfs::ops::{
    Caller, Config, CreateFlags, DataMode, DirPosition, Entry, Fs, Listing, NewNode, RenameMode,
    SetAttr, SetTime, WriteFlags,
};
use shmfs::sys::credentials::Credentials;
use shmfs::types::{Ino, Kind, Timestamp};

#[derive(Arbitrary, Debug)]
struct At<'a> {
    dir: u8,
    name: &'a [u8],
}

#[derive(Arbitrary, Debug)]
enum Op<'a> {
    Lookup(At<'a>),
    Forget(u8, u8),
    Mknod(At<'a>, u8, u16, u16),
    Symlink(At<'a>, u16),
    Create(At<'a>, u16, u16, bool),
    Open(u8, bool),
    Release(u8),
    Link(u8, At<'a>),
    Unlink(At<'a>),
    Rmdir(At<'a>),
    Rename(At<'a>, At<'a>, u8),
    Readdir(u8, u64, bool, u8),
    Chmod(u8, u16),
    Chown(u8, Option<u32>, Option<u32>),
    Utimes(u8, Option<Time>, Option<Time>),
    Truncate(u8, u64, bool),
    Write(u8, u64, u16, bool, bool),
    Read(u8, u64, u16),
    Fallocate(u8, u32, u64, u64),
    Lseek(u8, i64, i32),
    Copy(u8, u64, u8, u64, u64),
    SetXattr(u8, Name<'a>, &'a [u8], i32),
    GetXattr(u8, Name<'a>),
    RemoveXattr(u8, Name<'a>),
    ListXattr(u8),
    Limits(Option<u32>, Option<u32>),
}

#[derive(Arbitrary, Debug)]
enum Time {
    Now,
    At(i64, u32),
}

#[derive(Arbitrary, Debug)]
enum Name<'a> {
    Access,
    Default,
    User(u8),
    Any(&'a [u8]),
}

impl Name<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Name::Access => b"system.posix_acl_access".to_vec(),
            Name::Default => b"system.posix_acl_default".to_vec(),
            Name::User(number) => format!("user.{}", number % 4).into_bytes(),
            Name::Any(name) => name.to_vec(),
        }
    }
}

/// Of these names most are.
const NAMES: [&[u8]; 4] = [b"a", b"b", b"c", b"d"];

/// The kernel's side: what it knows of, and how often it was told.
struct Kernel {
    fs: Fs,
    uid: u32,
    known: BTreeMap<Ino, (u64, u32)>,
}

impl Kernel {
    fn new(passthrough: bool, uid: u32) -> Kernel {
        let files = DataFiles::memfds();
        let clock = Box::new(KernelClock::of(&files).expect("a memfd"));
        let config = Config {
            size: 64 * 4096,
            nr_inodes: 32,
            reserve: passthrough,
            ..Config::default()
        };
        let fs = Fs::new(config, files, clock);
        fs.set_data_mode(DataMode::PageCache);
        let known = BTreeMap::from([(fs.root(), (1, 0))]);
        Kernel { fs, uid, known }
    }

    fn caller(&self) -> Caller {
        Caller::with(self.uid, self.uid, Credentials::default())
    }

    fn ino(&self, which: u8) -> Ino {
        *self
            .known
            .keys()
            .nth(which as usize % self.known.len())
            .expect("the root is known")
    }

    fn place<'a>(&self, at: &At<'a>) -> (Ino, &'a [u8]) {
        // Names that the kernel would not send: it resolves dots itself, and slashes part names.
        let name = match at.name {
            [first, ..] if at.name.len() > 1 && *first != b'.' && !at.name.contains(&b'/') => {
                at.name
            }
            [first] => NAMES[*first as usize % NAMES.len()],
            _ => NAMES[0],
        };
        (self.ino(at.dir), name)
    }

    fn found(&mut self, entry: Result<Entry>) {
        if let Ok(entry) = entry {
            self.known.entry(entry.attr.ino).or_default().0 += 1;
        }
    }

    fn step(&mut self, op: &Op<'_>) {
        match op {
            Op::Lookup(..) | Op::Mknod(..) | Op::Symlink(..) | Op::Create(..) | Op::Link(..) => {
                self.make(op)
            }
            Op::Unlink(..) | Op::Rmdir(..) | Op::Rename(..) | Op::Readdir(..) => self.names(op),
            Op::Forget(..) | Op::Open(..) | Op::Release(..) => self.references(op),
            Op::Chmod(..) | Op::Chown(..) | Op::Utimes(..) | Op::Limits(..) => self.attributes(op),
            Op::SetXattr(..) | Op::GetXattr(..) | Op::RemoveXattr(..) | Op::ListXattr(..) => {
                self.xattrs(op)
            }
            _ => self.data(op),
        }
    }

    fn make(&mut self, op: &Op<'_>) {
        let caller = self.caller();
        let node = |kind, mode: u16, umask: u16| NewNode {
            kind,
            mode: u32::from(mode) & 0o7777,
            umask: u32::from(umask) & 0o777,
        };
        let entry = match op {
            Op::Lookup(at) => {
                let (dir, name) = self.place(at);
                self.fs.lookup(dir, name)
            }
            Op::Mknod(at, kind, mode, umask) => {
                let kinds = [
                    Kind::Regular,
                    Kind::Directory,
                    Kind::Fifo,
                    Kind::Socket,
                    Kind::CharDevice(5),
                ];
                let kind = kinds[*kind as usize % kinds.len()].clone();
                let (dir, name) = self.place(at);
                self.fs.mknod(&caller, dir, name, node(kind, *mode, *umask))
            }
            Op::Symlink(at, len) => {
                let (dir, name) = self.place(at);
                self.fs
                    .symlink(&caller, dir, name, &vec![b't'; usize::from(len % 4096)])
            }
            Op::Create(at, mode, umask, exclusive) => {
                let (dir, name) = self.place(at);
                let node = node(Kind::Regular, *mode, *umask);
                let flags = CreateFlags {
                    exclusive: *exclusive,
                    writable: *umask & 1 == 0,
                };
                let created = self.fs.create(&caller, dir, name, node, flags);
                created.map(|(entry, _)| {
                    self.known.entry(entry.attr.ino).or_default().1 += 1;
                    entry
                })
            }
            Op::Link(which, at) => {
                let (dir, name) = self.place(at);
                self.fs.link(self.ino(*which), dir, name)
            }
            _ => unreachable!(),
        };
        self.found(entry);
    }

    fn names(&mut self, op: &Op<'_>) {
        let caller = self.caller();
        match op {
            Op::Unlink(at) => {
                let (dir, name) = self.place(at);
                let _ = self.fs.unlink(&caller, dir, name);
            }
            Op::Rmdir(at) => {
                let (dir, name) = self.place(at);
                let _ = self.fs.rmdir(&caller, dir, name);
            }
            Op::Rename(from, to, mode) => {
                let mode = match mode % 5 {
                    0 => RenameMode::NoReplace,
                    1 => RenameMode::Exchange,
                    2 => RenameMode::Whiteout(mode & 8 != 0),
                    _ => RenameMode::Replace,
                };
                let _ = self
                    .fs
                    .rename(&caller, self.place(from), self.place(to), mode);
            }
            Op::Readdir(dir, from, plus, count) => {
                let (mut left, mut entries) = (*count, Vec::new());
                let _ = self.fs.readdir(
                    self.ino(*dir),
                    DirPosition(*from),
                    Listing {
                        plus: *plus,
                        noatime: false,
                    },
                    |entry| {
                        if left == 0 {
                            return false;
                        }
                        left -= 1;
                        entries.extend(entry.entry.clone());
                        true
                    },
                );
                entries.into_iter().for_each(|entry| self.found(Ok(entry)));
            }
            _ => unreachable!(),
        }
    }

    fn references(&mut self, op: &Op<'_>) {
        match *op {
            Op::Forget(which, count) => {
                let ino = self.ino(which);
                let (lookups, opens) = self.known[&ino];
                let kept = u64::from(ino == self.fs.root() || opens > 0);
                let count = u64::from(count).min(lookups - kept);
                if count > 0 {
                    self.fs.forget(ino, count);
                }
                match lookups - count {
                    0 => self.known.remove(&ino),
                    left => self.known.insert(ino, (left, opens)),
                };
            }
            Op::Open(which, writable) => {
                let ino = self.ino(which);
                if self.fs.open(ino, writable).is_ok() {
                    self.known.entry(ino).or_default().1 += 1;
                }
            }
            Op::Release(which) => {
                let ino = self.ino(which);
                if let Some((_, opens @ 1..)) = self.known.get_mut(&ino) {
                    *opens -= 1;
                    self.fs.release(ino);
                }
            }
            _ => unreachable!(),
        }
    }

    fn attributes(&mut self, op: &Op<'_>) {
        let time = |time: &Option<Time>| {
            time.as_ref().map(|time| match time {
                Time::Now => SetTime::Now,
                Time::At(sec, nsec) => SetTime::At(Timestamp {
                    sec: *sec,
                    nsec: nsec % 1_000_000_000,
                }),
            })
        };
        let nothing = SetAttr::default();
        let (which, set) = match op {
            Op::Chmod(which, mode) => (
                which,
                SetAttr {
                    mode: Some(u32::from(*mode) & 0o7777),
                    ..nothing
                },
            ),
            Op::Chown(which, uid, gid) => (
                which,
                SetAttr {
                    uid: *uid,
                    gid: *gid,
                    ..nothing
                },
            ),
            Op::Utimes(which, atime, mtime) => (
                which,
                SetAttr {
                    atime: time(atime),
                    mtime: time(mtime),
                    ..nothing
                },
            ),
            Op::Limits(pages, inodes) => {
                let size = pages.map(|pages| u64::from(pages % 1000 + 1) * 4096);
                let _ = self
                    .fs
                    .set_limits(size, inodes.map(|inodes| u64::from(inodes % 1000 + 1)));
                return;
            }
            _ => unreachable!(),
        };
        let _ = self.fs.setattr(&self.caller(), self.ino(*which), set);
    }

    fn xattrs(&mut self, op: &Op<'_>) {
        let caller = self.caller();
        match op {
            Op::SetXattr(which, name, value, flags) => {
                let _ = self
                    .fs
                    .setxattr(&caller, self.ino(*which), &name.bytes(), value, *flags);
            }
            Op::GetXattr(which, name) => {
                let _ = self.fs.getxattr(self.ino(*which), &name.bytes());
            }
            Op::RemoveXattr(which, name) => {
                let _ = self
                    .fs
                    .removexattr(&caller, self.ino(*which), &name.bytes());
            }
            Op::ListXattr(which) => {
                let _ = self.fs.listxattr(&caller, self.ino(*which));
            }
            _ => unreachable!(),
        }
    }

    fn data(&mut self, op: &Op<'_>) {
        let caller = self.caller();
        match *op {
            Op::Truncate(which, size, by_handle) => {
                let set = SetAttr {
                    size: Some(size),
                    by_handle,
                    ..SetAttr::default()
                };
                let _ = self.fs.setattr(&caller, self.ino(which), set);
            }
            Op::Write(which, offset, len, from_cache, kill_privileges) => {
                let flags = WriteFlags {
                    from_cache,
                    kill_privileges,
                    append: false,
                };
                let bytes = vec![1; usize::from(len)];
                let _ = self
                    .fs
                    .write(&caller, self.ino(which), offset, &bytes, flags);
            }
            Op::Read(which, offset, len) => {
                let _ = self.fs.read(
                    self.ino(which),
                    offset,
                    &mut vec![0; usize::from(len)],
                    false,
                );
            }
            Op::Fallocate(which, mode, offset, len) => {
                let _ = self
                    .fs
                    .fallocate(&self.caller(), self.ino(which), mode, offset, len);
            }
            Op::Lseek(which, offset, whence) => {
                let _ = self.fs.lseek(self.ino(which), offset, whence);
            }
            Op::Copy(from, at, to, into, len) => {
                let _ = self.fs.copy_file_range(
                    &self.caller(),
                    (self.ino(from), at),
                    (self.ino(to), into),
                    len,
                );
            }
            _ => unreachable!(),
        }
    }

    /// Takes everything away; nothing may be left.
    fn finish(self) {
        self.remove_all(self.fs.root());
        for (&ino, &(lookups, opens)) in &self.known {
            (0..opens).for_each(|_| self.fs.release(ino));
            if ino != self.fs.root() && lookups > 0 {
                self.fs.forget(ino, lookups);
            }
        }
        let statfs = self.fs.statfs();
        assert_eq!(
            (self.fs.inode_count(), statfs.blocks_free),
            (1, statfs.blocks)
        );
    }

    fn remove_all(&self, dir: Ino) {
        let mut entries = Vec::new();
        let list = |entry: &shmfs::ops::DirEntry<'_>| {
            entries.push((entry.name.to_vec(), entry.ino, entry.type_bits));
            true
        };
        self.fs
            .readdir(dir, DirPosition(0), Listing::default(), list)
            .expect("a directory");
        let root = Caller::with(0, 0, Credentials::default());
        for (name, ino, type_bits) in entries
            .iter()
            .filter(|(name, ..)| ![&b"."[..], b".."].contains(&&name[..]))
        {
            let removed = if *type_bits == Kind::Directory.type_bits() {
                self.remove_all(*ino);
                self.fs.rmdir(&root, dir, name)
            } else {
                self.fs.unlink(&root, dir, name)
            };
            assert_eq!(removed, Ok(()));
        }
    }
}

fuzz_target!(|input: (bool, bool, Vec<Op<'_>>)| {
    let (reserve, privileged, ops) = input;
    let mut kernel = Kernel::new(reserve, if privileged { 0 } else { 1000 });
    ops.iter().for_each(|op| kernel.step(op));
    kernel.finish();
});
