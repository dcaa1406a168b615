//! Many threads on one `ops::Fs`, without a mount: no panic, no deadlock, and at the end nothing is left.
//!
//! Each thread is a kernel of its own: it counts the references that it was given, and gives back no more. As the
//! kernel does, it writes to an inode under that inode's lock, and to one object it has opened only.

mod kernel;

use std::collections::{BTreeMap, BTreeSet};
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use shmfs::data::{DataFiles, KernelClock};
use shmfs::errno::Result;
use shmfs::ops::{Backing, Config, DataMode, DirPosition, Fs, Listing, UserLimit};
use shmfs::store::Share;
use shmfs::types::Ino;

use kernel::{InodeLocks, Kernel, LIMIT, Random, Setup, root_caller};

const THREADS: u64 = 8;
const OPERATIONS: usize = 4000;
const PAGES: u64 = 512;
const INODES: u64 = 300;
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
        reserve: setup.reserve,
        ..Config::default()
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
