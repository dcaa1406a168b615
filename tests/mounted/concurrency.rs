//! Many processes in the same directories at once: no error that tmpfs would not give,
//! nothing lost, nothing left behind.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::consts::*;
use crate::harness::Extra;
use crate::proc::{Kid, Map, Step, eventually, shared, spawn};
use crate::rng::Rng;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["concurrency";
    root: everything_at_once, everything_at_once_as_users, lookup_during_fallocate, nothing_leaks_when_killed;
    nobody: own_objects_of_many_processes, one_token_many_renamers, link_counts, make_and_remove_one_directory, create_and_open_one_name, one_mapping_many_sizes, excl_create_has_one_winner, readers_of_a_changing_directory, exchange_keeps_both;
];

/// What the storm's operations were drawn from, for the message of a failure.
static SEED: AtomicU64 = AtomicU64::new(0);

const PROCESSES: usize = 8;
const ROUNDS: usize = 1_500;

/// Runs `f` in eight processes at once and waits for all of them.
#[track_caller]
fn at_once(f: impl Fn(usize)) {
    let start = shared_words();
    let kids: Vec<Kid> = (0..PROCESSES)
        .map(|n| {
            let (f, start) = (&f, &start);
            spawn(move || {
                eventually("the start", || start.get(0) == 1);
                f(n);
            })
        })
        .collect();
    start.set(0, 1);
    kids.into_iter().for_each(Kid::join);
}

/// A page of memory that forked processes share.
fn shared_words() -> Map {
    // SAFETY: a static name.
    let fd = owned(unsafe { libc::memfd_create(c"words".as_ptr(), libc::MFD_CLOEXEC) }).unwrap();
    ftruncate(&fd, 4096).unwrap();
    shared(&fd, 4096)
}

fn free(m: &Extra) -> (u64, u64) {
    let st = statfs(&m.dir).expect("statfs");
    (st.f_bfree, st.f_ffree)
}

/// Errors of a race that tmpfs gives too: a name came or went, or became of another type.
#[track_caller]
fn race(what: &str, result: R, allowed: &[E]) {
    if let Err(e) = result {
        assert!(
            allowed.contains(&e),
            "{what}: {e:?}, which no race on tmpfs gives (SHMFS_SEED={})",
            SEED.load(Ordering::Relaxed)
        );
    }
}

const NAME: &[E] = &[ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, ELOOP, ENXIO];

fn some_path(rng: &mut Rng, root: &Path) -> PathBuf {
    let dir = ["", "d0/", "d1/", "d0/e/"][rng.below(4)];
    root.join(format!("{dir}n{}", rng.below(12)))
}

/// Stores into a mapping by a system call, which answers EFAULT where a store would die of SIGBUS.
fn store(fd: &OwnedFd, source: &OwnedFd) {
    let map = crate::proc::mmap(fd, 16_384, PROT_READ | PROT_WRITE, MAP_SHARED, 0).expect("mmap");
    // SAFETY: the mapping is as long as said; the kernel checks each page.
    let got = check(unsafe { libc::pread(source.as_raw_fd(), map.at.cast(), 16_384, 0) });
    race("store through a mapping", got.map(drop), &[EFAULT]);
}

fn use_file(rng: &mut Rng, fd: &OwnedFd, source: &OwnedFd) {
    let enospc = &[ENOSPC];
    match rng.below(8) {
        0 => race("ftruncate", ftruncate(fd, rng.below(30_000) as i64), enospc),
        1 => race("write", sys::write(fd, &[7; 3_000]).map(drop), enospc),
        2 => race(
            "pwrite",
            pwrite(fd, &[8; 5_000], rng.below(20_000) as i64).map(drop),
            enospc,
        ),
        3 => race(
            "fallocate",
            fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, rng.below(30_000) as i64 + 1),
            enospc,
        ),
        4 => {
            let punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
            race(
                "punch",
                fallocate(fd, punch, rng.below(10_000) as i64, 5_000),
                enospc,
            );
        }
        5 => race("pread", pread(fd, 10_000, 0).map(drop), &[]),
        6 => race("fchmod", fchmod(fd, 0o666), &[EPERM]),
        _ => store(fd, source),
    }
}

fn change(rng: &mut Rng, root: &Path, source: &OwnedFd) {
    let (a, b) = (some_path(rng, root), some_path(rng, root));
    match rng.below(14) {
        0..=3 => match open_mode(&a, O_CREAT | O_RDWR | O_NONBLOCK, 0o666) {
            Ok(fd) if fstat(&fd).unwrap().kind() == S_IFREG => use_file(rng, &fd, source),
            Ok(_) => {}
            Err(e) => race(
                "open(O_CREAT)",
                Err(e),
                &[ENOENT, ENOTDIR, EISDIR, ELOOP, ENOSPC, ENXIO],
            ),
        },
        4 => race(
            "open(O_EXCL)",
            open_mode(&a, O_CREAT | O_EXCL | O_RDWR, 0o666).map(drop),
            &[EEXIST, ENOENT, ENOTDIR, ENOSPC],
        ),
        5 => race(
            "mkdir",
            mkdir(&a, 0o777),
            &[EEXIST, ENOENT, ENOTDIR, ENOSPC],
        ),
        6 => race("rmdir", rmdir(&a), &[ENOENT, ENOTDIR, ENOTEMPTY]),
        7 | 8 => race("unlink", unlink(&a), &[ENOENT, ENOTDIR, EISDIR]),
        9 => race(
            "link",
            link(&a, &b),
            &[ENOENT, EEXIST, ENOTDIR, EPERM, ENOSPC],
        ),
        10 => {
            let flags = [0, RENAME_NOREPLACE, RENAME_EXCHANGE][rng.below(3)];
            race(
                "rename",
                rename2(&a, &b, flags),
                &[ENOENT, EEXIST, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL],
            );
        }
        11 => race(
            "symlink",
            symlink("n1", &a),
            &[ENOENT, EEXIST, ENOTDIR, ENOSPC],
        ),
        12 => {
            race("stat", stat(&a).map(drop), NAME);
            race(
                "setxattr",
                setxattr(&a, "user.x", &[1; 100], 0),
                &[ENOENT, ENOTDIR, ELOOP, EPERM, ENOSPC],
            );
        }
        _ => {
            race("mkdir", mkdir(root.join("d0"), 0o777), &[EEXIST, ENOSPC]);
            race("mkdir", mkdir(root.join("d1"), 0o777), &[EEXIST, ENOSPC]);
            race(
                "mkdir",
                mkdir(root.join("d0/e"), 0o777),
                &[EEXIST, ENOENT, ENOTDIR, ENOSPC],
            );
            race(
                "rename",
                rename(root.join("d0"), root.join("d1/n3")),
                &[ENOENT, ENOTDIR, EISDIR, ENOTEMPTY, EINVAL, EEXIST],
            );
        }
    }
}

/// The storm on a mount of its own; afterwards all its blocks and inodes are free again.
fn storm(c: &Ctx<'_>, become_someone: impl Fn(usize)) {
    let m = c.mount("size=64m,nr_inodes=2000,mode=777");
    let before = free(&m);
    let seed = crate::rng::seed();
    SEED.store(seed, Ordering::Relaxed);
    at_once(|n| {
        become_someone(n);
        sys::umask(0);
        // SAFETY: a static name.
        let source = owned(unsafe { libc::memfd_create(c"source".as_ptr(), 0) }).unwrap();
        pwrite(&source, &[n as u8; 16_384], 0).unwrap();
        let mut rng = Rng::new(seed.wrapping_add(n as u64));
        (0..ROUNDS).for_each(|_| change(&mut rng, &m.dir, &source));
    });
    for name in ls(&m.dir) {
        let path = m.p(&name);
        let kind = lstat(&path).unwrap().kind();
        if kind == S_IFDIR {
            std::fs::remove_dir_all(&path).unwrap()
        } else {
            unlink(&path).unwrap()
        }
    }
    assert_eq!(
        (stat(&m.dir).unwrap().nlink, stat(&m.dir).unwrap().size),
        (2, 40)
    );
    eventually("all blocks and inodes are free again", || {
        free(&m) == before
    });
}

fn everything_at_once(c: &Ctx<'_>) {
    storm(c, |_| {});
}

fn everything_at_once_as_users(c: &Ctx<'_>) {
    // Of different users, all modes 0666 and 0777: the errors are the same but for hard links.
    storm(c, |n| {
        crate::proc::become_user(1_000 + n as u32 % 2, 1_000, &[])
    });
}

fn nothing_leaks_when_killed(c: &Ctx<'_>) {
    let m = c.mount("size=64m,nr_inodes=2000,mode=777");
    let before = free(&m);
    for round in 0..20 {
        let ready = Step::new();
        let kid = spawn(|| {
            let fd = put(m.p("f"), &[1; 100_000]);
            let map = shared(&fd, 100_000);
            unlink(m.p("f")).unwrap();
            let _others: Vec<_> = (0..50)
                .map(|i| {
                    (
                        put(m.p(&i.to_string()), &[2; 5_000]),
                        unlink(m.p(&i.to_string())),
                    )
                })
                .collect();
            ready.make();
            loop {
                map.set(4_096, 1);
            }
        });
        ready.wait();
        assert!(free(&m).1 < before.1, "round {round}");
        drop(kid);
    }
    eventually("what killed processes held is free again", || {
        free(&m) == before
    });
}

/// Whether a lookup by another process came back while a big fallocate was still running.
fn overtakes(m: &Extra, round: usize) -> bool {
    let (start, done) = (free(m).0, shared_words());
    let fd = put(m.p(&format!("big{round}")), b"");
    let kid = spawn(|| {
        fallocate(&fd, 0, 0, 2 << 30).unwrap();
        done.set(1, done.get(0) + 10);
    });
    // The allocation has begun: its blocks are being taken.
    eventually("the allocation begins", || free(m).0 < start);
    fails(stat(m.p(&format!("never-seen-{round}"))), ENOENT);
    touch(m.p(&format!("new{round}")));
    done.set(0, 1);
    kid.join();
    unlink(m.p(&format!("big{round}"))).unwrap();
    drop(fd);
    eventually("the blocks come back", || free(m).0 == start);
    done.get(1) == 11
}

fn lookup_during_fallocate(c: &Ctx<'_>) {
    // The order counts, not the time. A scheduler may starve one round; a file system that lets
    // lookups wait for another's fallocate fails every one.
    let m = c.mount("size=3g");
    assert!(
        (0..5).any(|round| overtakes(&m, round)),
        "every lookup waited until the fallocate was done"
    );
}

fn own_objects_of_many_processes(c: &Ctx<'_>) {
    at_once(|n| {
        for i in 0..200u32 {
            let name = c.p(&format!("p{n}-{i}"));
            let fd = open(&name, O_CREAT | O_EXCL | O_RDWR).unwrap();
            ftruncate(&fd, 4096).unwrap();
            let map = shared(&fd, 4096);
            map.set(0, n as u8);
            drop(fd);
            assert_eq!((map.get(0), slurp(&name)[0]), (n as u8, n as u8));
            if i % 2 == 1 {
                unlink(&name).unwrap();
            }
        }
    });
    assert_eq!(ls(&c.dir).len(), PROCESSES * 100);
    assert_eq!(stat(&c.dir).unwrap().size, 40 + 20 * 100 * PROCESSES as i64);
}

fn one_token_many_renamers(c: &Ctx<'_>) {
    put(c.p("token0"), b"token");
    at_once(|n| {
        let mut rng = Rng::new(n as u64);
        for _ in 0..1_000 {
            let (from, to) = (rng.below(4), rng.below(4));
            race(
                "rename",
                rename(c.p(&format!("token{from}")), c.p(&format!("token{to}"))),
                &[ENOENT],
            );
        }
    });
    let names = ls(&c.dir);
    assert_eq!(names.len(), 1, "{names:?}");
    assert_eq!(
        (slurp(c.p(&names[0])), stat(c.p(&names[0])).unwrap().nlink),
        (b"token".to_vec(), 1)
    );
}

fn link_counts(c: &Ctx<'_>) {
    touch(c.p("f"));
    at_once(|n| {
        for i in 0..300 {
            let name = c.p(&format!("l{n}-{i}"));
            link(c.p("f"), &name).unwrap();
            if i % 3 != 0 {
                unlink(&name).unwrap();
            }
        }
    });
    let st = stat(c.p("f")).unwrap();
    assert_eq!(
        (st.nlink as usize, ls(&c.dir).len()),
        (1 + 100 * PROCESSES, 1 + 100 * PROCESSES)
    );
}

fn make_and_remove_one_directory(c: &Ctx<'_>) {
    at_once(|n| {
        for i in 0..400 {
            race("mkdir", mkdir(c.p("d"), 0o777), &[EEXIST]);
            let made = open(c.p("d/f"), O_CREAT | O_RDWR).map(drop);
            race("create in it", made, &[ENOENT]);
            race("unlink in it", unlink(c.p("d/f")), &[ENOENT]);
            if (i + n) % 2 == 0 {
                race("rmdir", rmdir(c.p("d")), &[ENOENT, ENOTEMPTY]);
            }
        }
    });
    race("rmdir", rmdir(c.p("d")), &[ENOENT]);
    assert_eq!((ls(&c.dir).len(), stat(&c.dir).unwrap().nlink), (0, 2));
}

fn create_and_open_one_name(c: &Ctx<'_>) {
    // O_CREAT without O_EXCL must succeed whoever unlinks or creates the name meanwhile.
    at_once(|n| {
        for i in 0..1_000 {
            let fd = open_mode(c.p("f"), O_CREAT | O_RDWR, 0o666)
                .expect("O_CREAT of a name that comes and goes");
            assert_eq!(pwrite(&fd, b"x", 0), Ok(1));
            if (i + n) % 3 == 0 {
                race("unlink", unlink(c.p("f")), &[ENOENT]);
            }
        }
    });
}

fn one_mapping_many_sizes(c: &Ctx<'_>) {
    let fd = put(c.p("f"), &[0; 65_536]);
    at_once(|n| {
        let mut rng = Rng::new(n as u64);
        let own = open(c.p("f"), O_RDWR).unwrap();
        let source = put(c.p(&format!("source{n}")), &[n as u8 + 1; 16_384]);
        for _ in 0..300 {
            match n % 4 {
                0 => ftruncate(&own, rng.below(65_536) as i64).unwrap(),
                1 => store(&own, &source),
                2 => pwrite(&own, &[9; 3_000], rng.below(60_000) as i64)
                    .map(drop)
                    .unwrap(),
                _ => pread(&own, 65_536, 0).map(drop).unwrap(),
            }
        }
    });
    ftruncate(&fd, 0).unwrap();
    assert_eq!(fstat(&fd).unwrap().blocks, 0);
}

fn excl_create_has_one_winner(c: &Ctx<'_>) {
    let wins = shared_words();
    at_once(|n| {
        for round in 0..200 {
            match open(c.p(&format!("lock{round}")), O_CREAT | O_EXCL | O_RDWR) {
                Ok(_) => wins.set(n * 256 + round, 1),
                Err(e) => assert_eq!(e, EEXIST),
            }
        }
    });
    for round in 0..200 {
        let won: usize = (0..PROCESSES)
            .map(|n| usize::from(wins.get(n * 256 + round)))
            .sum();
        assert_eq!(won, 1, "round {round}");
    }
}

fn readers_of_a_changing_directory(c: &Ctx<'_>) {
    for i in 0..100 {
        touch(c.p(&format!("stays{i}")));
    }
    at_once(|n| {
        for i in 0..100 {
            if n % 2 == 0 {
                let name = c.p(&format!("p{n}-{}", i % 10));
                race("create", open(&name, O_CREAT | O_RDWR).map(drop), &[]);
                race("rename", rename(&name, c.p(&format!("q{n}"))), &[]);
                race("unlink", unlink(c.p(&format!("q{n}"))), &[]);
            } else {
                let names = ls(&c.dir);
                assert_eq!(names.iter().filter(|n| n.starts_with("stays")).count(), 100);
            }
        }
    });
}

fn exchange_keeps_both(c: &Ctx<'_>) {
    put(c.p("a"), b"one");
    put(c.p("b"), b"two");
    at_once(|_| (0..500).for_each(|_| rename2(c.p("a"), c.p("b"), RENAME_EXCHANGE).unwrap()));
    let mut found = [slurp(c.p("a")), slurp(c.p("b"))];
    found.sort();
    assert_eq!(found, [b"one".to_vec(), b"two".to_vec()]);
}
