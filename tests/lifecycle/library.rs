//! `shmfs::Mount`, the mount as a value. These mount in the host's namespace, in temporary directories.

use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;

use rustix::fs::StatVfsMountFlags;
use shmfs::Mount;
use shmfs::mount::{RemountArgs, remount};
use shmfs::options::{Limits, Options};

fn source_at(path: &Path) -> Option<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("/proc");
    let mut lines = table
        .lines()
        .rev()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    let at = lines.find(|fields| Path::new(fields[4]) == path)?;
    let separator = at.iter().position(|field| *field == "-")?;
    Some(format!("{} {}", at[separator + 1], at[separator + 2]))
}

#[test]
fn it_is_ready_and_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mount = Mount::builder()
        .size(1 << 20)
        .mode(0o700)
        .source("mine")
        .mount(directory.path())
        .unwrap();
    assert_eq!(source_at(mount.path()).as_deref(), Some("fuse.shmfs mine"));
    assert_eq!(fs::metadata(mount.path()).unwrap().mode() & 0o7777, 0o700);
    let path = mount.path().to_owned();
    mount.unmount().unwrap();
    assert_eq!(source_at(&path), None);
}

#[test]
fn it_ends_when_it_is_dropped() {
    let directory = tempfile::tempdir().unwrap();
    let mount = Mount::builder().mount(directory.path()).unwrap();
    let path = mount.path().to_owned();
    drop(mount);
    assert_eq!(source_at(&path), None);
}

#[test]
fn many_at_once() {
    let directories: Vec<_> = (0..8).map(|_| tempfile::tempdir().unwrap()).collect();
    let mounts: Vec<_> = directories
        .iter()
        .map(|dir| Mount::builder().mount(dir.path()).unwrap())
        .collect();
    let devices: std::collections::HashSet<u64> = mounts
        .iter()
        .map(|mount| fs::metadata(mount.path()).unwrap().dev())
        .collect();
    assert_eq!(devices.len(), mounts.len());
}

#[test]
fn in_use_it_disappears_and_serves_on() {
    let directory = tempfile::tempdir().unwrap();
    let mount = Mount::builder().mount(directory.path()).unwrap();
    let path = mount.path().to_owned();
    let user = File::open(&path).unwrap();
    let error = mount.unmount().unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EBUSY));
    assert_eq!(source_at(&path), None);
    rustix::fs::fstatfs(&user).expect("it is served");
}

#[test]
fn limits_change() {
    let directory = tempfile::tempdir().unwrap();
    let mount = Mount::builder()
        .size(1 << 20)
        .mount(directory.path())
        .unwrap();
    mount
        .remount(&Limits {
            size: Some(2 << 20),
            ..Limits::default()
        })
        .unwrap();
    let statfs = rustix::fs::statfs(mount.path()).unwrap();
    assert_eq!(statfs.f_blocks * statfs.f_frsize as u64, 2 << 20);
}

#[test]
fn a_bad_place_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let error = Mount::builder()
        .mount(directory.path().join("missing"))
        .unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
}

#[test]
fn a_daemons_mount_is_remounted() {
    let directory = tempfile::tempdir().unwrap();
    let options = Options::default();
    let shmfs = |verb: &str| {
        let status = Command::new(env!("CARGO_BIN_EXE_shmfs"))
            .arg(verb)
            .arg(directory.path())
            .status();
        assert!(status.unwrap().success(), "{verb}");
    };
    shmfs("mount");
    let limits = Limits {
        size: Some(3 << 20),
        ..Limits::default()
    };
    let flags = Options {
        read_only: true,
        ..options
    };
    let arguments = RemountArgs {
        dir: directory.path().to_owned(),
        limits,
        exports: None,
        flags: Some(flags),
        views: Vec::new(),
    };
    let done = remount(&arguments);
    let statvfs = rustix::fs::statvfs(directory.path()).unwrap();
    shmfs("umount");
    done.unwrap();
    assert_eq!(statvfs.f_blocks * statvfs.f_frsize, 3 << 20);
    assert!(
        statvfs
            .f_flag
            .contains(StatVfsMountFlags::RDONLY | StatVfsMountFlags::NODEV)
    );
}

/// In the process that the next test starts, which it is for: the directory to mount on.
const DIRECTORY: &str = "SHMFS_TEST_DIRECTORY";

#[test]
fn an_ordinary_user_who_ignores_the_ends_of_children_is_told() {
    if let Some(directory) = std::env::var_os(DIRECTORY) {
        // SAFETY: plain system calls; no other test runs in this process.
        unsafe {
            assert_eq!(libc::setresuid(1000, 1000, 1000), 0);
            libc::signal(libc::SIGCHLD, libc::SIG_IGN);
        }
        let refused = Mount::builder().mount(directory).unwrap_err();
        assert!(refused.to_string().contains("SIGCHLD"), "{refused}");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::chown(directory.path(), Some(1000), None).unwrap();
    let name = "library::an_ordinary_user_who_ignores_the_ends_of_children_is_told";
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", name, "--test-threads=1", "--nocapture"])
        .env(DIRECTORY, directory.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{output:?}"
    );
    assert_eq!(source_at(directory.path()), None);
}
