//! Many threads on one `ops::Fs`, without a mount: no panic, no deadlock, and at the end nothing is left.
//!
//! Each thread is a kernel of its own: it counts the references that it was given, and gives back no more. As the
//! kernel does, it writes to an inode under that inode's lock, and to one object it has opened only.

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use shmfs::data::{DataFiles, KernelClock};
use shmfs::errno::{Errno, Result};
use shmfs::ops::{
    Backing, Caller, Config, CreateFlags, DataMode, DirPosition, Entry, Fs, Listing, NewNode,
    RenameMode, SetAttr, UserLimit, WriteFlags,
};
use shmfs::options::Atime;
use shmfs::store::Share;
use shmfs::sys::credentials::Credentials;
use shmfs::types::{Ino, Kind};

const THREADS: u64 = 8;
const OPERATIONS: usize = 4000;
const PAGES: u64 = 512;
const INODES: u64 = 300;
const NAMES: [&[u8]; 6] = [b"a", b"b", b"c", b"d", b"e", b"f"];
const PAGE: u64 = 4096;

/// Registrations: each is taken back once.
#[derive(Debug, Default)]
struct Registry {
    last: AtomicU32,
    live: Arc<Mutex<BTreeSet<u32>>>,
}

impl Backing for Registry {
    fn register(&self, _: BorrowedFd<'_>) -> Result<u32> {
        let id = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        self.live.lock().unwrap().insert(id);
        Ok(id)
    }

    fn unregister(&self, id: u32) {
        assert!(
            self.live.lock().unwrap().remove(&id),
            "{id} was not registered"
        );
    }
}

/// The locks that the kernel holds while it changes contents.
type InodeLocks = Mutex<BTreeMap<Ino, Arc<Mutex<()>>>>;

struct Random(u64);

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
struct Setup {
    passthrough: bool,
    /// The file system's own limit of size is counted by the daemon.
    reserve: bool,
    /// Several users with a limit each; then the kernel has more than one inode for an object, so that nobody
    /// keeps changes of its contents apart.
    users: bool,
}

const USERS: [u32; 3] = [1000, 1001, 1002];
const LIMIT: UserLimit = UserLimit {
    size: 100 * PAGE,
    nr_inodes: 60,
};

fn root_caller() -> Caller {
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
struct Kernel<'a> {
    fs: &'a Fs,
    setup: Setup,
    locks: &'a InodeLocks,
    random: Random,
    lookups: BTreeMap<Ino, u64>,
    /// And the registration that each open was told.
    opens: Vec<(Ino, Option<u32>)>,
    dirs: Vec<Ino>,
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

    fn step(&mut self) {
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
    fn remount(&mut self) {
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

    fn finish(self) {
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

fn new_fs(setup: Setup) -> (Fs, Arc<Mutex<BTreeSet<u32>>>) {
    let files = DataFiles::memfds();
    let clock = Box::new(KernelClock::of(&files).unwrap());
    let config = Config {
        size: PAGES * PAGE,
        nr_inodes: INODES,
        users: if setup.users {
            LIMIT
        } else {
            UserLimit::default()
        },
        mode: 0o1777,
        uid: 0,
        gid: 0,
        reserve: setup.reserve,
        atime: Atime::Relative,
        nodiratime: false,
    };
    let fs = Fs::new(config, files, clock);
    let registry = Registry::default();
    let live = Arc::clone(&registry.live);
    fs.set_data_mode(if setup.passthrough {
        DataMode::Passthrough(Box::new(registry))
    } else {
        DataMode::PageCache
    });
    (fs, live)
}

/// Removes what has names, and adds up what it was.
fn remove_all(fs: &Fs, dir: Ino, owners: &mut BTreeMap<u32, Share>) {
    let mut entries = Vec::new();
    let list = |entry: &shmfs::ops::DirEntry<'_>| {
        entries.push((entry.name.to_vec(), entry.ino, entry.type_bits));
        true
    };
    fs.readdir(dir, DirPosition(0), Listing::default(), list)
        .unwrap();
    for (name, ino, type_bits) in entries {
        let attr = fs.getattr(ino).unwrap().attr;
        match (name.as_slice(), type_bits) {
            (b"." | b"..", _) => {}
            (name, libc::S_IFDIR) => {
                remove_all(fs, ino, owners);
                owners.entry(attr.uid).or_default().inodes += 1;
                fs.rmdir(&root_caller(), dir, name).unwrap();
            }
            (name, _) => {
                if attr.nlink == 1 {
                    let share = owners.entry(attr.uid).or_default();
                    share.inodes += 1;
                    let symlink = type_bits == libc::S_IFLNK;
                    share.pages += if symlink { 1 } else { attr.size.div_ceil(PAGE) };
                }
                fs.unlink(&root_caller(), dir, name).unwrap();
            }
        }
    }
}

fn run(setup: Setup) {
    let (fs, live) = new_fs(setup);
    let locks = InodeLocks::default();
    std::thread::scope(|scope| {
        for thread in 1..=THREADS {
            let (fs, locks) = (&fs, &locks);
            scope.spawn(move || {
                let random = Random(thread.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                let (lookups, dirs) = (BTreeMap::new(), vec![fs.root()]);
                let mut kernel = Kernel {
                    fs,
                    setup,
                    locks,
                    random,
                    lookups,
                    opens: Vec::new(),
                    dirs,
                };
                for step in 0..OPERATIONS {
                    if setup.users && thread == 1 && step % 40 == 0 {
                        kernel.remount();
                    }
                    kernel.step();
                }
                kernel.finish();
            });
        }
    });
    let used = fs.statfs().blocks - fs.statfs().blocks_free;
    if setup.users {
        fs.set_user_limit(Some(LIMIT.size), None).unwrap();
    }
    let charged: BTreeMap<u32, Share> = fs.user_shares().into_iter().collect();
    let mut owners = BTreeMap::new();
    remove_all(&fs, fs.root(), &mut owners);
    if setup.reserve {
        let named: u64 = owners.values().map(|share| share.pages).sum();
        assert!(used >= named, "{used} pages for files of {named}");
    }
    if setup.users {
        check_charges(&charged, owners);
        let left = Share {
            pages: 0,
            inodes: 1,
        };
        assert_eq!(
            fs.user_shares(),
            [(0, left)],
            "only the root directory is left"
        );
    }
    let (left, xattrs) = (
        fs.statfs(),
        fs.listxattr(&root_caller(), fs.root()).unwrap().is_empty(),
    );
    assert_eq!((fs.inode_count(), left.blocks_free), (1, left.blocks));
    assert_eq!(left.files_free, left.files - if xattrs { 1 } else { 2 });
    assert!(live.lock().unwrap().is_empty(), "registrations are left");
}

/// Each owner was charged with at least what was found, and with each inode once.
fn check_charges(charged: &BTreeMap<u32, Share>, mut owners: BTreeMap<u32, Share>) {
    owners.entry(0).or_default().inodes += 1;
    for (uid, found) in owners {
        let share = charged.get(&uid).copied().unwrap_or_default();
        assert_eq!(share.inodes, found.inodes, "inodes of {uid}");
        assert!(share.pages >= found.pages, "{uid}: {share:?} for {found:?}");
    }
}

/// Runs `test` on a thread of its own: one that is still at it after minutes never ends.
fn without_deadlock(test: impl FnOnce() + Send + 'static) {
    let (done, ended) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        test();
        let _ = done.send(());
    });
    if ended.recv_timeout(Duration::from_secs(300)) == Err(mpsc::RecvTimeoutError::Timeout) {
        panic!("a deadlock");
    }
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

const PAGE_CACHE: Setup = Setup {
    passthrough: false,
    reserve: true,
    users: false,
};

#[test]
fn page_cache() {
    without_deadlock(|| run(PAGE_CACHE));
}

#[test]
fn passthrough() {
    let passthrough = true;
    without_deadlock(move || {
        run(Setup {
            passthrough,
            ..PAGE_CACHE
        });
    });
}

#[test]
fn users_in_the_page_cache() {
    let users = true;
    without_deadlock(move || {
        run(Setup {
            users,
            ..PAGE_CACHE
        })
    });
}

#[test]
fn users_with_passthrough() {
    without_deadlock(|| {
        run(Setup {
            passthrough: true,
            reserve: false,
            users: true,
        });
    });
}
