//! Option lists beside a real tmpfs: what one refuses the other refuses, and the numbers are equal.
//!
//! The mounts live in a mount namespace of the test's own thread. As an ordinary user the tests
//! run again inside `unshare -rm`.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shmfs::options::{Environment, Huge, Options};

/// What statfs(2), stat(2) and mountinfo show of a mount.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    bytes: u64,
    inodes: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    huge: String,
}

/// A directory in a mount namespace that ends with the thread.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        let dir = tempfile::tempdir().expect("a temporary directory");
        // SAFETY: a plain system call; only this thread leaves its namespace.
        let done = unsafe { libc::unshare(libc::CLONE_NEWNS) };
        assert_eq!(
            done,
            0,
            "unshare(CLONE_NEWNS): {}",
            std::io::Error::last_os_error()
        );
        mount_raw("none", Path::new("/"), "", libc::MS_REC | libc::MS_PRIVATE).expect("private /");
        Place { dir }
    }

    /// What a tmpfs with `list` as its data shows, or nothing where the kernel refuses it.
    fn tmpfs(&self, list: &str) -> Option<Seen> {
        let answer = mount_raw("tmpfs", self.dir.path(), list, 0);
        if let Err(error) = &answer {
            assert_eq!(
                error.raw_os_error(),
                Some(libc::EINVAL),
                "tmpfs {list:?}: {error}"
            );
            return None;
        }
        let seen = self.seen();
        self.unmount();
        Some(seen)
    }

    fn seen(&self) -> Seen {
        let stat = std::fs::metadata(self.dir.path()).unwrap();
        let path = CString::new(self.dir.path().as_os_str().as_bytes()).unwrap();
        let mut answer = std::mem::MaybeUninit::<libc::statfs>::zeroed();
        // SAFETY: `path` ends in a zero byte and `answer` is writable; all zeros is a valid value.
        let answer = unsafe {
            assert_eq!(libc::statfs(path.as_ptr(), answer.as_mut_ptr()), 0);
            answer.assume_init()
        };
        let huge = self.line().1;
        let huge = huge.split(',').find_map(|word| word.strip_prefix("huge="));
        Seen {
            // Saturating as the options do; tmpfs counts blocks only.
            bytes: answer.f_blocks.saturating_mul(4096).min(u64::MAX - 4095),
            inodes: answer.f_files,
            mode: stat.mode() & 0o7777,
            uid: stat.uid(),
            gid: stat.gid(),
            huge: huge.unwrap_or("never").to_owned(),
        }
    }

    /// The options of the mount and of its superblock, from mountinfo.
    fn line(&self) -> (String, String) {
        let lines = std::fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
        let path = self.dir.path().to_str().unwrap();
        let mut fields = lines
            .lines()
            .map(|line| line.split(' ').collect::<Vec<_>>());
        let line = fields
            .find(|fields| fields[4] == path)
            .expect("the mount is listed");
        (line[5].to_owned(), (*line.last().unwrap()).to_owned())
    }

    fn unmount(&self) {
        let path = CString::new(self.dir.path().as_os_str().as_bytes()).unwrap();
        // SAFETY: `path` ends in a zero byte.
        assert_eq!(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }, 0);
    }
}

fn mount_raw(kind: &str, at: &Path, data: &str, flags: libc::c_ulong) -> std::io::Result<()> {
    let kind = CString::new(kind).unwrap();
    let at = CString::new(at.as_os_str().as_bytes()).unwrap();
    let data = CString::new(data).unwrap();
    // SAFETY: all four strings end in a zero byte and outlive the call.
    let done = unsafe {
        let data = data.as_ptr().cast();
        libc::mount(kind.as_ptr(), at.as_ptr(), kind.as_ptr(), flags, data)
    };
    if done == 0 {
        Ok(())
    } else {
        Err(std::io::Error::last_os_error())
    }
}

/// What our mount with `list` would show, or nothing where we refuse it.
fn ours(list: &str) -> Option<Seen> {
    let options = Options::parse(OsStr::new(list), &Environment::of_host()).ok()?;
    Some(Seen {
        bytes: options.size,
        inodes: options.nr_inodes,
        mode: options.mode,
        uid: options.uid.unwrap_or(effective_uid()),
        gid: options.gid.unwrap_or(effective_gid()),
        huge: options.huge.word().to_owned(),
    })
}

fn effective_uid() -> u32 {
    // SAFETY: it only answers a number.
    unsafe { libc::geteuid() }
}

fn effective_gid() -> u32 {
    // SAFETY: it only answers a number.
    unsafe { libc::getegid() }
}

/// Runs `body` in a thread with a mount namespace of its own, as an ordinary user in a child.
fn with_place(test: &str, body: impl FnOnce(&Place) + Send + 'static) {
    if effective_uid() == 0 {
        let thread = std::thread::spawn(move || body(&Place::new()));
        return thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    let this: PathBuf = std::env::current_exe().unwrap();
    let status = Command::new("unshare")
        .args(["-rm", "--"])
        .arg(this)
        .args(["--exact", test, "--nocapture"])
        .status()
        .expect("unshare(1) of util-linux is needed");
    assert!(
        status.success(),
        "{test} inside `unshare -rm`, which needs user namespaces: {status}"
    );
}

/// Inside a user namespace other ids than 0 have no mapping, and tmpfs refuses them.
fn ids_are_mapped() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| map.contains("4294967295"))
}

const LISTS: &[&str] = &[
    "",
    "size=0",
    "size=1",
    "size=4096",
    "size=4097",
    "size=1k",
    "size=1K",
    "size=3m",
    "size=1M",
    "size=2g",
    "size=1t",
    "size=1p",
    "size=8e",
    "size=0x10m",
    "size=0X10",
    "size=010m",
    "size=08",
    "size=0x",
    "size=+5",
    "size=-1",
    "size=1kk",
    "size=1.5m",
    "size= 5",
    "size=5 ",
    "size=12q",
    "size=m1",
    "size=",
    "size",
    "size=9223372036854775807",
    "size=1%",
    "size=10%",
    "size=33%",
    "size=50%",
    "size=100%",
    "size=150%",
    "size=10k%",
    "size=0%",
    "size=10%%",
    "size=10%k",
    "size=10%,size=20%",
    "nr_blocks=0",
    "nr_blocks=1",
    "nr_blocks=0x10",
    "nr_blocks=1g",
    "nr_blocks=1e",
    "nr_blocks=7e",
    "nr_blocks=8e",
    "nr_blocks=1%",
    "nr_blocks=-5",
    "nr_blocks=",
    "nr_blocks",
    "nr_inodes=0",
    "nr_inodes=1",
    "nr_inodes=2",
    "nr_inodes=10k",
    "nr_inodes=010",
    "nr_inodes=0x10k",
    "nr_inodes=18014398509481983",
    "nr_inodes=18014398509481984",
    "nr_inodes=15p",
    "nr_inodes=16p",
    "nr_inodes=1e",
    "nr_inodes=10%",
    "nr_inodes=",
    "nr_inodes",
    "mode=1777",
    "mode=700",
    "mode=0",
    "mode=01777",
    "mode=+755",
    "mode=777777",
    "mode=8",
    "mode=0x1ff",
    "mode=rwx",
    "mode=",
    "mode",
    "mode=-1",
    "mode=37777777777",
    "mode=40000000000",
    "uid=0",
    "gid=0",
    "uid=4294967295",
    "gid=4294967295",
    "uid=4294967296",
    "uid=-1",
    "uid=",
    "uid",
    "gid=",
    "gid",
    "huge=never",
    "huge=always",
    "huge=within_size",
    "huge=advise",
    "huge=ALWAYS",
    "huge=deny",
    "huge=force",
    "huge=1",
    "huge=",
    "huge",
    "size=1m,nr_blocks=3",
    "nr_blocks=3,size=1m",
    "size=1m,size=2m",
    "nr_inodes=5,nr_inodes=6",
    "mode=700,mode=755",
    ",,size=1m,",
    "size=1m,foo",
    "foo",
    "foo=1",
    "siez=1m",
    "SIZE=1m",
    "size=1m,5",
    "inode64",
];

const IDS: &[&str] = &[
    "uid=5,gid=6",
    "uid=0x10",
    "uid=010",
    "gid=+7",
    "uid=4294967294",
    "gid=4294967294",
];

/// What tmpfs takes and we do not: a slip must not become "no limit".
const STRICTER: &[&str] = &[
    "size=k",
    "size=%",
    "size=k%",
    "size=16e",
    "size=99999999999999999999",
    "nr_blocks=g",
    "nr_inodes=k",
    "nr_inodes=16e",
    "nr_blocks=16e",
    "mpol=local",
    "inode32",
];

#[test]
fn lists_mean_what_they_mean_on_tmpfs() {
    with_place("lists_mean_what_they_mean_on_tmpfs", |place| {
        let ids = if ids_are_mapped() { IDS } else { &[] };
        for list in LISTS.iter().chain(ids) {
            assert_eq!(
                ours(list),
                place.tmpfs(list),
                "left is ours, right is tmpfs: {list:?}"
            );
        }
    });
}

#[test]
fn slips_that_tmpfs_takes_for_no_limit_are_refused() {
    with_place("slips_that_tmpfs_takes_for_no_limit_are_refused", |place| {
        for list in STRICTER {
            assert_eq!(ours(list), None, "{list:?}");
            assert!(
                place.tmpfs(list).is_some(),
                "tmpfs refuses {list:?} too: it belongs in LISTS"
            );
        }
    });
}

#[test]
fn random_numbers_mean_what_they_mean_on_tmpfs() {
    with_place("random_numbers_mean_what_they_mean_on_tmpfs", |place| {
        // Percentages beyond 64 bits wrap on tmpfs, so those have no suffix.
        let number = "(0[xX][0-9a-f]{1,5}|[0-9][0-9a-d]{0,4})([kKmMgGtT]?[x+ ]?|%|%%)";
        let names = "(size|nr_blocks|nr_inodes)";
        let list = (names, number).prop_map(|(name, number)| format!("{name}={number}"));
        let mut runner = TestRunner::new(Config {
            cases: 1000,
            failure_persistence: None,
            ..Config::default()
        });
        let outcome = runner.run(&list, |list| {
            prop_assert_eq!(
                ours(&list),
                place.tmpfs(&list),
                "left is ours, right is tmpfs: {:?}",
                list
            );
            Ok(())
        });
        outcome.unwrap();
    });
}

#[test]
fn flags_are_those_that_mount_sets() {
    with_place("flags_are_those_that_mount_sets", |place| {
        for list in [
            "rw",
            "ro",
            "nosuid",
            "nodev",
            "noexec",
            "noatime",
            "strictatime",
            "nodiratime",
            "nosuid,suid",
            "noexec,exec",
            "ro,rw",
            "nodev,dev",
            "relatime",
            "noatime,atime",
            "sync",
            "lazytime",
            "defaults",
            "users",
            "users,exec",
            "owner",
            "nofail,X-c,comment=d",
            "nosymfollow",
            "nosuid,nodev,noexec,ro",
        ] {
            let mut mount = Command::new("mount");
            let mount = mount
                .args(["-i", "-t", "tmpfs", "-o", list, "x"])
                .arg(place.dir.path());
            assert!(
                mount.status().unwrap().success(),
                "mount -t tmpfs -o {list}"
            );
            let words = place.line().0;
            let base = Options::of_tmpfs(&Environment::of_host());
            let made = shmfs::options::Given::parse(
                [list],
                &Environment::of_host(),
                shmfs::options::Unknown::Refuse,
            );
            let made = made.unwrap().apply(base);
            assert_eq!(flags(&made), normal(&words), "{list}");
            place.unmount();
        }
    });
}

/// The flags of `options` as mountinfo shows them.
fn flags(options: &Options) -> Vec<&'static str> {
    let atime = match options.atime {
        shmfs::options::Atime::Relative => "relatime",
        shmfs::options::Atime::Strict => "",
        shmfs::options::Atime::Never => "noatime",
    };
    let words = [
        (options.read_only, "ro"),
        (!options.read_only, "rw"),
        (!options.suid, "nosuid"),
        (!options.dev, "nodev"),
        (!options.exec, "noexec"),
        (true, atime),
        (options.nodiratime, "nodiratime"),
        (!options.symfollow, "nosymfollow"),
    ];
    let mut words: Vec<_> = words
        .iter()
        .filter(|(set, word)| *set && !word.is_empty())
        .map(|(_, word)| *word)
        .collect();
    words.sort_unstable();
    words
}

fn normal(words: &str) -> Vec<&str> {
    let mut words: Vec<_> = words.split(',').collect();
    words.sort_unstable();
    words
}

#[test]
fn defaults_are_those_of_tmpfs() {
    with_place("defaults_are_those_of_tmpfs", |place| {
        let default = Options::default();
        let seen = place.tmpfs("").unwrap();
        assert_eq!(
            (default.size, default.nr_inodes, default.mode),
            (seen.bytes, seen.inodes, seen.mode)
        );
        assert_eq!(default.huge, Huge::Never);
    });
}
