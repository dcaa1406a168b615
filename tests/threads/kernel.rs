//! One thread's calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use shmfs::errno::{Errno, Result};
use shmfs::ops::{
    Caller, CreateFlags, DirPosition, Entry, Fs, Listing, NewNode, RenameMode, SetAttr, UserLimit,
    WriteFlags,
};
use shmfs::sys::credentials::Credentials;
use shmfs::types::{Ino, Kind};

const NAMES: [&[u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"f"];
const PAGE: u64 = 4096;

/// The locks that the kernel holds while it changes contents.
pub(crate) type InodeLocks = Mutex<BTreeMap<Ino, Arc<Mutex<()>>>>;

pub(crate) struct Random(pub(crate) u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % end
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }
}

/// How a run differs from another.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    pub(crate) passthrough: bool,
    /// The file system's own limit of size is counted by the daemon.
    pub(crate) reserve: bool,
    /// Several users with a limit each; then the kernel has more than one inode for an object, so that nobody
    /// keeps changes of its contents apart.
    pub(crate) users: bool,
}

const USERS: [u32; 3] = [1000, 1001, 1002];
pub(crate) const LIMIT: UserLimit = UserLimit {
    size: 100 * PAGE,
    nr_inodes: 60,
};

pub(crate) fn root_caller() -> Caller {
    caller(0)
}

fn caller(uid: u32) -> Caller {
    // All but `CAP_SYS_RESOURCE`.
    let capabilities = !(1 << 24);
    Caller::with(
        uid,
        uid,
        Credentials {
            capabilities,
            ..Credentials::default()
        },
    )
}

/// One thread's view.
pub(crate) struct Kernel<'a> {
    pub(crate) fs: &'a Fs,
    pub(crate) setup: Setup,
    pub(crate) locks: &'a InodeLocks,
    pub(crate) random: Random,
    pub(crate) lookups: BTreeMap<Ino, u64>,
    /// And the registration that each open was told.
    pub(crate) opens: Vec<(Ino, Option<u32>)>,
    pub(crate) dirs: Vec<Ino>,
}

impl Kernel<'_> {
    fn found(&mut self, entry: Result<Entry>) {
        let Ok(Entry { attr, .. }) = entry else {
            return allowed(entry.map(|_| ()));
        };
        *self.lookups.entry(attr.ino).or_default() += 1;
        if attr.mode & libc::S_IFMT == libc::S_IFDIR && !self.dirs.contains(&attr.ino) {
            self.dirs.push(attr.ino);
        }
    }

    fn any(&mut self) -> Option<Ino> {
        let known: Vec<Ino> = self.lookups.keys().copied().collect();
        (!known.is_empty()).then(|| self.random.pick(&known))
    }

    fn caller(&mut self) -> Caller {
        if self.setup.users {
            caller(self.random.pick(&USERS))
        } else {
            root_caller()
        }
    }

    fn place(&mut self) -> (Ino, &'static [u8]) {
        let dirs = self.dirs.clone();
        (self.random.pick(&dirs), self.random.pick(&NAMES))
    }

    pub(crate) fn step(&mut self) {
        let (dir, name) = self.place();
        let (fs, caller) = (self.fs, self.caller());
        match self.random.below(20) {
            0..3 => self.found(fs.lookup(dir, name)),
            3 => {
                let kind =
                    [Kind::Directory, Kind::Regular, Kind::Fifo][self.random.below(3)].clone();
                self.found(fs.mknod(&caller, dir, name, node(kind)));
            }
            4 => self.found(fs.symlink(&caller, dir, name, &[b't'; 200])),
            5..8 => self.create(dir, name),
            8 => {
                if let Some(ino) = self.any() {
                    self.found(fs.link(ino, dir, name));
                }
            }
            9 => allowed(fs.unlink(&caller, dir, name)),
            10 => allowed(fs.rmdir(&caller, dir, name)),
            11..13 => self.rename(dir, name),
            13 => self.forget(),
            14 => self.open(),
            15 => self.release(),
            16 => self.readdir(dir),
            17 => self.attributes(),
            _ => self.data(),
        }
    }

    fn create(&mut self, dir: Ino, name: &[u8]) {
        let exclusive = self.random.below(2) == 0;
        match self.fs.create(
            &self.caller(),
            dir,
            name,
            node(Kind::Regular),
            CreateFlags {
                exclusive,
                writable: true,
            },
        ) {
            Ok((entry, opened)) => {
                self.opens.push((entry.attr.ino, opened.backing));
                self.found(Ok(entry));
            }
            Err(Errno::ESTALE) => self.found(self.fs.lookup(dir, name)),
            Err(errno) => allowed(Err(errno)),
        }
    }

    fn rename(&mut self, dir: Ino, name: &[u8]) {
        let (to, new_name) = self.place();
        let modes = [
            RenameMode::Replace,
            RenameMode::Exchange,
            RenameMode::NoReplace,
            RenameMode::Whiteout(false),
        ];
        let mode = self.random.pick(&modes);
        allowed(
            self.fs
                .rename(&self.caller(), (dir, name), (to, new_name), mode),
        );
    }

    fn forget(&mut self) {
        let Some(ino) = self.any() else { return };
        if ino == self.fs.root() || self.opens.iter().any(|&(open, _)| open == ino) {
            return;
        }
        let count = self.lookups.remove(&ino).unwrap_or_default();
        self.dirs.retain(|&dir| dir != ino);
        self.fs.forget(ino, count);
    }

    fn open(&mut self) {
        let Some(ino) = self.any() else { return };
        if let Ok(opened) = self.fs.open(ino, self.random.below(2) == 0) {
            self.opens.push((ino, opened.backing));
        }
    }

    fn release(&mut self) {
        if !self.opens.is_empty() {
            let which = self.random.below(self.opens.len());
            let (ino, _) = self.opens.swap_remove(which);
            self.fs.release(ino);
        }
    }

    fn readdir(&mut self, dir: Ino) {
        let mut taken = Vec::new();
        let count = self.random.below(8);
        let read = self.fs.readdir(
            dir,
            DirPosition(0),
            Listing {
                plus: true,
                noatime: false,
            },
            |entry| {
                if taken.len() == count {
                    return false;
                }
                taken.extend(entry.entry.clone().map(Ok));
                true
            },
        );
        allowed(read);
        taken.into_iter().for_each(|entry| self.found(entry));
    }

    fn attributes(&mut self) {
        let Some(ino) = self.any() else { return };
        let (fs, caller) = (self.fs, self.caller());
        let uid = Some(self.random.pick(&USERS));
        let mode = Some(self.random.below(0o10000) as u32);
        let done = match self.random.below(5) {
            0 => fs
                .setattr(
                    &caller,
                    ino,
                    SetAttr {
                        mode,
                        ..SetAttr::default()
                    },
                )
                .map(|_| ()),
            4 if self.setup.users => fs
                .setattr(
                    &caller,
                    ino,
                    SetAttr {
                        uid,
                        ..SetAttr::default()
                    },
                )
                .map(|_| ()),
            1 => fs.setxattr(&caller, ino, b"user.x", &[b'v'; 300], 0),
            2 => fs.removexattr(&caller, ino, b"user.x"),
            _ => fs.listxattr(&caller, ino).map(|_| ()),
        };
        allowed(done);
    }

    /// Limits come, change and go.
    pub(crate) fn remount(&mut self) {
        let size = [0, LIMIT.size, LIMIT.size / 2][self.random.below(3)];
        let nr_inodes = [0, LIMIT.nr_inodes][self.random.below(2)];
        self.fs.set_user_limit(Some(size), Some(nr_inodes)).unwrap();
    }

    /// The lock that the kernel takes to change the contents of `ino`.
    fn lock(&self, ino: Ino) -> Arc<Mutex<()>> {
        Arc::clone(self.locks.lock().unwrap().entry(ino).or_default())
    }

    fn data(&mut self) {
        if self.opens.is_empty() {
            return;
        }
        let opens = self.opens.clone();
        let ((ino, backing), (other, _)) = (self.random.pick(&opens), self.random.pick(&opens));
        let (offset, len) = (
            self.random.below(20_000) as u64,
            self.random.below(20_000) as u64 + 1,
        );
        let (fs, caller) = (self.fs, self.caller());
        let (lock, mut buffer) = (self.lock(ino), vec![7; len as usize]);
        let held = (!self.setup.users).then(|| lock.lock().unwrap());
        let size = Some(offset);
        let done = match self.random.below(7) {
            0..2 => fs
                .write(&caller, ino, offset, &buffer, WriteFlags::default())
                .map(|_| ()),
            2 => fs.read(ino, offset, &mut buffer, false).map(|_| ()),
            3 => fs
                .setattr(
                    &caller,
                    ino,
                    SetAttr {
                        size,
                        ..SetAttr::default()
                    },
                )
                .map(|_| ()),
            4 => fs.fallocate(&caller, ino, self.random.below(4) as u32, offset, len),
            5 if other != ino => fs
                .copy_file_range(&caller, (other, offset), (ino, 0), len)
                .map(|_| ()),
            _ => fs.open(ino, true).map(|opened| {
                assert_eq!(opened.backing, backing, "an open file was registered twice");
                self.opens.push((ino, backing));
            }),
        };
        drop(held);
        allowed(done);
    }

    pub(crate) fn finish(self) {
        self.opens.iter().for_each(|&(ino, _)| self.fs.release(ino));
        for (&ino, &count) in self
            .lookups
            .iter()
            .filter(|&(&ino, _)| ino != self.fs.root())
        {
            self.fs.forget(ino, count);
        }
    }
}

fn node(kind: Kind) -> NewNode {
    NewNode {
        kind,
        mode: 0o777,
        umask: 0,
    }
}

/// Errors that a tmpfs gives in the same confusion.
fn allowed(result: Result<()>) {
    const ALLOWED: &[Errno] = &[
        Errno::ENOENT,
        Errno::EEXIST,
        Errno::ENOTDIR,
        Errno::EISDIR,
        Errno::ENOTEMPTY,
        Errno::EINVAL,
        Errno::ENOSPC,
        Errno::EPERM,
        Errno::ENODATA,
        Errno::ELOOP,
        Errno::ENXIO,
        Errno::EDQUOT,
        Errno::EOPNOTSUPP,
    ];
    assert!(
        result.is_ok_and(|()| true) || ALLOWED.contains(&result.unwrap_err()),
        "{result:?}"
    );
}
