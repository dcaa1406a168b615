//! Hidden is hidden: nothing that a consumer can ask tells of what the provider does with
//! names that the rules do not show.

use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::consumer::consume;
use crate::model::{Rights, Rules, Who};
use crate::proc::{self, Step};
use crate::sys::{self, EACCES, EEXIST, ENOENT, ENOTEMPTY, Stat, fails};
use crate::world::{USER, WAYS, World, provide};

/// `v*` is the consumer's, `ro*` it may read; `d/` is shown, and `d/v*`. All else is hidden.
fn rules() -> Rules {
    let read = Rights::READ;
    Rules::default()
        .grant("v*", Rights::ALL)
        .grant("ro*", read)
        .grant("d/", Rights::ALL)
        .grant("d/v*", Rights::ALL)
        .grant("w*/", Rights::ALL)
        .hide("v-hidden*")
}

/// A mount in each way, with the consumer's directory.
fn each(test: impl Fn(&World, &Path)) {
    for way in WAYS {
        let world = World::new(way, &rules().toml("part"));
        let export = world.export("part");
        test(&world, &export);
        world.stop();
    }
}

/// One entry as getdents64(2) gives it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Entry {
    name: String,
    ino: u64,
    offset: i64,
    kind: u8,
}

/// What is left of a directory stream, at most `limit` bytes at a time.
fn read_on(directory: &OwnedFd, limit: usize) -> Vec<Entry> {
    let mut all = Vec::new();
    loop {
        let some = read_some(directory, limit);
        if some.is_empty() {
            return all;
        }
        all.extend(some);
    }
}

fn read_some(directory: &OwnedFd, limit: usize) -> Vec<Entry> {
    let mut buffer = vec![0u8; limit];
    let number = libc::SYS_getdents64;
    let read = crate::syscall!(number, directory.as_raw_fd(), buffer.as_mut_ptr(), limit);
    let mut rest = &buffer[..read.expect("getdents64") as usize];
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        let name = rest[19..length].split(|byte| *byte == 0).next().unwrap();
        entries.push(Entry {
            name: String::from_utf8_lossy(name).into_owned(),
            ino: u64::from_ne_bytes(rest[..8].try_into().unwrap()),
            offset: i64::from_ne_bytes(rest[8..16].try_into().unwrap()),
            kind: rest[18],
        });
        rest = &rest[length..];
    }
    entries
}

fn directory(path: &Path) -> OwnedFd {
    sys::open(path, libc::O_RDONLY | libc::O_DIRECTORY).expect("open a directory")
}

/// All entries but `..`, which is the way out.
fn entries(path: &Path) -> Vec<Entry> {
    let mut all = read_on(&directory(path), 4096);
    all.retain(|entry| entry.name != "..");
    all
}

fn names(entries: &[Entry]) -> BTreeSet<&str> {
    let dots = [".", ".."];
    let names = entries.iter().map(|entry| entry.name.as_str());
    names.filter(|name| !dots.contains(name)).collect()
}

/// What stat tells of a directory but its access time, which reading moves.
fn without_atime(path: &Path) -> Stat {
    let mut seen = sys::stat(path).unwrap();
    seen.atime = (0, 0);
    seen
}

/// All that the provider can do to names that are not shown.
fn work_in_the_dark(world: &World, round: usize) {
    let path = |name: &str| world.path(&format!("{name}{round}"));
    for name in ["secret", "v-hidden", "d/secret"] {
        drop(sys::put(path(name), b"dark"));
    }
    sys::mkdir(path("dark"), 0o755).unwrap();
    sys::mkdir(path("d/dark"), 0o755).unwrap();
    sys::symlink("v1", path("link")).unwrap();
    sys::mknod(path("vfifo"), libc::S_IFIFO | 0o666, 0).unwrap();
    sys::rename(path("secret"), path("secret-")).unwrap();
    sys::link(path("v-hidden"), path("other")).unwrap();
    sys::rename2(path("secret-"), path("v-hidden"), libc::RENAME_EXCHANGE).unwrap();
    sys::rename(path("d/secret"), path("up")).unwrap();
    sys::truncate(path("up"), 100_000).unwrap();
    // Every second one stays.
    if round % 2 == 0 {
        for name in ["secret-", "v-hidden", "other", "up", "link", "vfifo"] {
            sys::unlink(path(name)).unwrap();
        }
        sys::rmdir(path("dark")).unwrap();
        sys::rmdir(path("d/dark")).unwrap();
    }
}

/// Names, their order, their offsets and their numbers are the same whatever hidden names come
/// and go, also where a stream that was begun goes on afterwards.
pub(crate) fn listings_and_offsets() {
    each(|world, export| {
        sys::mkdir(world.path("d"), 0o777).unwrap();
        for number in 0..40 {
            provide(world, &format!("v{number}"));
            provide(world, &format!("secret-{number}"));
            provide(world, &format!("d/v{number}"));
        }
        for name in ["", "d"] {
            let path = export.join(name);
            let before = entries(&path);
            let begun = directory(&path);
            let mut halves = read_some(&begun, 512);
            let middle = halves.last().unwrap().offset;
            (0..4).for_each(|round| work_in_the_dark(world, round + name.len() * 10));
            assert_eq!(entries(&path), before, "a listing from the beginning");
            let rest = read_on(&begun, 512);
            halves.extend(rest.iter().cloned());
            halves.retain(|entry| entry.name != "..");
            assert_eq!(halves, before, "a listing that had begun");
            sys::lseek(&begun, middle, libc::SEEK_SET).unwrap();
            assert_eq!(read_on(&begun, 512), rest, "from the middle again");
        }
    });
}

/// The offsets of a directory say nothing of how many names are hidden in it.
pub(crate) fn offsets_do_not_count_hidden_names() {
    each(|world, export| {
        sys::mkdir(world.path("d"), 0o777).unwrap();
        sys::mkdir(world.path("wide"), 0o777).unwrap();
        for number in 0..5 {
            // Between the names of one directory lie a hundred that are hidden.
            for dark in 0..100 {
                provide(world, &format!("d/secret-{number}-{dark}"));
            }
            provide(world, &format!("d/v{number}"));
        }
        let few = entries(&export.join("d"));
        assert_eq!(names(&few).len(), 5);
        let offsets: Vec<i64> = few.iter().map(|entry| entry.offset).collect();
        let steps = offsets.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
        let steps: Vec<u64> = steps.collect();
        // Either no step is as wide as what lies between, or all of them are arbitrary.
        let regular = steps
            .iter()
            .filter(|step| (100..=102).contains(*step))
            .count();
        assert!(regular < 2, "the offsets count hidden names: {offsets:?}");
    });
}

/// Times, size, link count and number of a directory are moved by visible names only.
pub(crate) fn a_directorys_attributes() {
    each(|world, export| {
        sys::mkdir(world.path("d"), 0o777).unwrap();
        provide(world, "v1");
        for name in ["", "d"] {
            let path = export.join(name);
            let before = without_atime(&path);
            proc::tick();
            (0..4).for_each(|round| work_in_the_dark(world, round + name.len() * 10));
            assert_eq!(without_atime(&path), before, "of '{name}'");
            let visible = Path::new(name).join("v9");
            provide(world, visible.to_str().unwrap());
            let after = without_atime(&path);
            assert!(
                after.mtime > before.mtime,
                "a visible name moves mtime of '{name}'"
            );
            assert!(
                after.ctime > before.ctime,
                "a visible name moves ctime of '{name}'"
            );
            assert!(
                after.size > before.size,
                "a visible name makes '{name}' larger"
            );
            sys::unlink(world.path(visible.to_str().unwrap())).unwrap();
            assert_eq!(without_atime(&path).size, before.size);
        }
        let before = without_atime(export);
        sys::mkdir(world.path("dark-directory"), 0o755).unwrap();
        assert_eq!(
            without_atime(export).nlink,
            before.nlink,
            "hidden directories"
        );
        sys::mkdir(world.path("w1"), 0o777).unwrap();
        assert_eq!(
            without_atime(export).nlink,
            before.nlink + 1,
            "visible directories"
        );
        sys::mkdir(world.path("w1/inside"), 0o777).unwrap();
        assert_eq!(
            sys::stat(export.join("w1")).unwrap().nlink,
            2,
            "a hidden one in it"
        );
        let moves_ctime = |what: &str, change: &dyn Fn()| {
            let before = sys::stat(export.join("d")).unwrap().ctime;
            proc::tick();
            change();
            let after = sys::stat(export.join("d")).unwrap().ctime;
            assert!(after > before, "{what} moves ctime");
        };
        let attribute = "user.x";
        moves_ctime("setxattr", &|| {
            sys::setxattr(export.join("d"), attribute, b"1", 0).unwrap();
        });
        moves_ctime("removexattr", &|| {
            sys::removexattr(world.path("d"), attribute).unwrap();
        });
        moves_ctime("rename", &|| {
            let aside = world.path("w9");
            sys::rename(world.path("d"), &aside).unwrap();
            sys::rename(&aside, world.path("d")).unwrap();
        });
    });
}

/// inotify says nothing of hidden names, nor of the provider's work.
pub(crate) fn notifications() {
    each(|world, export| {
        provide(world, "v1");
        provide(world, "ro1");
        // SAFETY: no pointers.
        let watcher = sys::owned(unsafe { libc::inotify_init1(libc::IN_NONBLOCK) }).unwrap();
        let path = sys::c(export);
        let everything = libc::IN_ALL_EVENTS & !libc::IN_ACCESS;
        // SAFETY: the path ends in a NUL.
        let watched =
            unsafe { libc::inotify_add_watch(watcher.as_raw_fd(), path.as_ptr(), everything) };
        sys::check(watched).expect("watch the export");
        consume(Who::Root, || {
            for name in ["secret0", "v-hidden0", "dark0"] {
                fails(sys::stat(export.join(name)), ENOENT);
                fails(sys::unlink(export.join(name)), ENOENT);
            }
        });
        (0..4).for_each(|round| work_in_the_dark_flat(world, round));
        consume(Who::Root, || {
            for name in ["secret1", "v-hidden1", "dark1"] {
                fails(sys::stat(export.join(name)), ENOENT);
                fails(
                    sys::open(export.join(name), libc::O_RDWR | libc::O_CREAT),
                    EACCES,
                );
            }
        });
        // Its own work it hears of, so that there is something to read.
        consume(Who::Root, || sys::touch(export.join("v-own")));
        let heard = sys::read(&watcher, 65_536).expect("events");
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(heard.contains("v-own"), "inotify tells nothing: {heard:?}");
        for word in ["secret", "hidden", "dark", "other", "link", "fifo"] {
            assert!(!heard.contains(word), "inotify told of {word}: {heard:?}");
        }
    });
}

fn work_in_the_dark_flat(world: &World, round: usize) {
    if round == 0 {
        sys::mkdir(world.path("d"), 0o777).unwrap();
    }
    work_in_the_dark(world, round);
}

/// Numbers do not count what was made, are what a listing says, and are not the tree's.
pub(crate) fn inode_numbers() {
    each(|world, export| {
        for number in 0..30 {
            provide(world, &format!("v{number}"));
            (0..number).for_each(|dark| provide(world, &format!("dark-{number}-{dark}")));
            provide(world, &format!("ro{number}"));
        }
        let all = entries(export);
        assert_eq!(names(&all).len(), 60);
        for entry in &all {
            let seen = sys::lstat(export.join(&entry.name)).unwrap();
            assert_eq!(seen.ino, entry.ino, "{}: stat and listing", entry.name);
            let tree = sys::lstat(world.path(&entry.name)).unwrap();
            if entry.name.starts_with("ro") {
                assert_ne!(seen.ino, tree.ino, "{} has a number of its own", entry.name);
            }
        }
        let mut numbers: Vec<u64> = all.iter().map(|entry| entry.ino).collect();
        numbers.sort_unstable();
        let nearest = numbers
            .windows(2)
            .map(|pair| pair[1] - pair[0])
            .min()
            .unwrap();
        // Sixty numbers among 2^62: two this near are a counter.
        assert!(
            nearest > 1 << 20,
            "numbers that are near each other: {numbers:?}"
        );
        let bits = 64 - numbers[0].leading_zeros();
        assert!(bits > 40, "a small number: {}", numbers[0]);
    });
}

/// What the consumer's kernel remembers is never older than the provider's last change.
pub(crate) fn nothing_stale_of_visible_names() {
    each(|world, export| {
        let (from, to) = (world.path("v1"), world.path("v2"));
        let seen = |name: &str| sys::stat(export.join(name)).is_ok();
        for round in 0..20 {
            assert!(!seen("v1") && !seen("v2"), "{round}: nothing yet");
            provide(world, "v1");
            assert!(seen("v1"), "{round}: created by the provider");
            sys::rename(&from, &to).unwrap();
            assert!(
                !seen("v1") && seen("v2"),
                "{round}: renamed by the provider"
            );
            sys::rename(&to, world.path("secret")).unwrap();
            assert!(
                !seen("v2") && !seen("secret"),
                "{round}: renamed into the dark"
            );
            sys::rename(world.path("secret"), &from).unwrap();
            assert!(seen("v1"), "{round}: renamed out of the dark");
            drop(sys::put(world.path("v3"), b"new"));
            sys::rename(world.path("v3"), &from).unwrap();
            assert_eq!(sys::slurp(export.join("v1")), b"new", "{round}: replaced");
            sys::unlink(&from).unwrap();
            assert!(!seen("v1"), "{round}: unlinked by the provider");
            fails(sys::open(export.join("v1"), libc::O_RDONLY), ENOENT);
        }
    });
}

/// And the other way: what a consumer does is what the provider sees.
pub(crate) fn nothing_stale_of_the_consumers_work() {
    each(|world, export| {
        let seen = |name: &str| sys::stat(world.path(name)).is_ok();
        for round in 0..20 {
            assert!(!seen("v1") && !seen("v2"), "{round}: nothing yet");
            consume(Who::User, || drop(sys::put(export.join("v1"), b"consumer")));
            assert_eq!(sys::slurp(world.path("v1")), b"consumer", "{round}");
            consume(Who::User, || {
                sys::rename(export.join("v1"), export.join("v2")).unwrap()
            });
            assert!(!seen("v1") && seen("v2"), "{round}: renamed");
            consume(Who::User, || {
                sys::link(export.join("v2"), export.join("v1")).unwrap()
            });
            assert_eq!(
                sys::stat(world.path("v1")).unwrap().nlink,
                2,
                "{round}: linked"
            );
            for name in ["v1", "v2"] {
                consume(Who::User, || sys::unlink(export.join(name)).unwrap());
                assert!(!seen(name), "{round}: unlinked {name}");
            }
        }
    });
}

/// The same attempts are answered in the same way before, while and after something hidden is
/// there.
pub(crate) fn creation_is_no_oracle() {
    each(|world, export| {
        sys::mkdir(world.path("d"), 0o777).unwrap();
        provide(world, "v1");
        provide(world, "ro1");
        let attempts = || {
            for name in ["secret", "v-hidden", "d/secret"] {
                let path = export.join(name);
                let flags = [0, libc::O_EXCL, libc::O_TRUNC, libc::O_RDWR];
                for more in flags {
                    fails(sys::open(&path, libc::O_CREAT | more), EACCES);
                }
                fails(sys::mkdir(&path, 0o777), EACCES);
                fails(sys::link(export.join("v1"), &path), EACCES);
                fails(sys::rename(export.join("v1"), &path), EACCES);
                let noreplace = libc::RENAME_NOREPLACE;
                fails(sys::rename2(export.join("v1"), &path, noreplace), EACCES);
                let exchange = libc::RENAME_EXCHANGE;
                fails(sys::rename2(export.join("v1"), &path, exchange), ENOENT);
                fails(sys::rename(&path, export.join("v2")), ENOENT);
                fails(sys::stat(&path), ENOENT);
                fails(sys::stat(path.join("below")), ENOENT);
                fails(sys::rmdir(&path), ENOENT);
                fails(sys::access(&path, libc::F_OK), ENOENT);
                // A trailing slash asks whether it is a directory.
                fails(sys::stat(format!("{}/", path.display())), ENOENT);
            }
        };
        let secrets = ["secret", "v-hidden", "d/secret"].map(|name| world.path(name));
        for who in [Who::User, Who::Root] {
            consume(who, attempts);
            secrets.iter().for_each(sys::touch);
            consume(who, attempts);
            secrets.iter().for_each(|path| sys::unlink(path).unwrap());
            secrets
                .iter()
                .for_each(|path| sys::mkdir(path, 0o755).unwrap());
            consume(who, attempts);
            secrets.iter().for_each(|path| sys::rmdir(path).unwrap());
            consume(who, attempts);
        }
    });
}

/// A directory with hidden children is not removed, nor replaced: that much is told.
pub(crate) fn hidden_children_keep_their_directory() {
    each(|world, export| {
        for name in ["w1", "w2"] {
            sys::mkdir(world.path(name), 0o777).unwrap();
            sys::chown(world.path(name), USER, USER).unwrap();
        }
        provide(world, "w1/secret");
        consume(Who::User, || {
            assert_eq!(sys::ls(export.join("w1")), [""; 0]);
            fails(sys::rmdir(export.join("w1")), ENOTEMPTY);
            fails(sys::rename(export.join("w2"), export.join("w1")), ENOTEMPTY);
            fails(sys::mkdir(export.join("w1"), 0o777), EEXIST);
        });
        assert_eq!(sys::slurp(world.path("w1/secret")), b"w1/secret");
    });
}

/// All of it while the provider is at work in the dark.
pub(crate) fn while_the_provider_works() {
    each(|world, export| {
        sys::mkdir(world.path("d"), 0o777).unwrap();
        (0..20).for_each(|number| provide(world, &format!("v{number}")));
        (0..20).for_each(|number| provide(world, &format!("d/v{number}")));
        let stop = Step::new();
        let before = ["", "d"].map(|name| {
            (
                entries(&export.join(name)),
                without_atime(&export.join(name)),
            )
        });
        let provider = proc::spawn(|| {
            for round in 0.. {
                work_in_the_dark(world, 2 * round);
                if stop.is_made() {
                    return;
                }
            }
        });
        consume(Who::Root, || {
            for _ in 0..60 {
                for (name, before) in ["", "d"].iter().zip(&before) {
                    let path = export.join(name);
                    assert_eq!(entries(&path), before.0, "the listing of '{name}'");
                    assert_eq!(without_atime(&path), before.1, "attributes of '{name}'");
                }
                for name in ["secret0", "v-hidden0", "d/secret0", "dark0", "vfifo0"] {
                    fails(sys::stat(export.join(name)), ENOENT);
                }
                fails(
                    sys::open(export.join("secret0"), libc::O_CREAT | libc::O_RDWR),
                    EACCES,
                );
            }
        });
        stop.make();
        provider.join();
    });
}
