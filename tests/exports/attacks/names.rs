//! Attempts by names: links, renames, directories, special files.

use std::os::fd::AsRawFd;
use std::path::Path;

use super::descriptors::refused;
use super::{Cell, LENGTH, no_secret};
use crate::calls::{bind, proc_link, reopen};
use crate::consumer::consume;
use crate::model::Who;
use crate::proc::{self, Step};
use crate::sys::{
    self, EACCES, EEXIST, EINVAL, ENOENT, ENOTEMPTY, EOPNOTSUPP, EPERM, ESTALE, EXDEV, fails,
};
use crate::syscall;
use crate::world::USER;

const RENAMES: [u32; 2] = [0, libc::RENAME_NOREPLACE];

/// What is opened for writing there, or read, has won.
#[track_caller]
fn cannot_write(path: &Path) {
    for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY | libc::O_TRUNC] {
        refused(sys::open(path, flags), &[EACCES, ENOENT]);
    }
    refused(sys::truncate(path, 0), &[EACCES, ENOENT]);
}

pub(super) fn renames_to_a_wider_name(cell: &mut Cell) {
    cell.attack(|jail| {
        for from in ["ro", "d/ro", "mr/x", "del", "wo"] {
            for to in ["rw9", "d/rw9", "d/ro9", "secret9"] {
                for flags in RENAMES {
                    fails(sys::rename2(jail.join(from), jail.join(to), flags), EACCES);
                }
            }
        }
        for from in ["secret", "d/secret"] {
            for to in ["ro9", "rw9", "rw", "ro"] {
                fails(sys::rename(jail.join(from), jail.join(to)), ENOENT);
            }
        }
    });
}

pub(super) fn renames_over_what_may_be_read(cell: &mut Cell) {
    cell.attack(|jail| {
        let fresh = jail.join("rw-fresh");
        drop(sys::put(&fresh, b"attack"));
        for to in ["ro", "d/ro", "mr/x", "secret", "d/secret", "wo", "del"] {
            fails(sys::rename(&fresh, jail.join(to)), EACCES);
        }
        for to in ["ro", "d/ro", "mr/x"] {
            let noreplace = libc::RENAME_NOREPLACE;
            fails(sys::rename2(&fresh, jail.join(to), noreplace), EEXIST);
        }
        sys::unlink(&fresh).unwrap();
    });
}

pub(super) fn exchanges(cell: &mut Cell) {
    cell.attack(|jail| {
        let exchange =
            |a: &str, b: &str| sys::rename2(jail.join(a), jail.join(b), libc::RENAME_EXCHANGE);
        for (a, b) in [
            ("ro", "rw"),
            ("rw", "ro"),
            ("d/ro", "rw"),
            ("rw", "d/ro"),
            ("mr/x", "rw"),
        ] {
            fails(exchange(a, b), EACCES);
        }
        for (a, b) in [
            ("rw", "wo"),
            ("wo", "rw"),
            ("del", "rw"),
            ("rw", "del"),
            ("ro", "del"),
        ] {
            fails(exchange(a, b), EACCES);
        }
        for (a, b) in [("rw", "secret"), ("secret", "rw"), ("d/rw", "d/secret")] {
            fails(exchange(a, b), ENOENT);
        }
        // A file and a directory may be exchanged, but not these.
        fails(exchange("ro", "d"), EACCES);
        fails(exchange("d", "ro"), EACCES);
    });
}

pub(super) fn links_to_a_wider_name(cell: &mut Cell) {
    cell.attack(|jail| {
        for from in ["ro", "d/ro", "mr/x", "wo", "del"] {
            for to in ["rw9", "d/rw9"] {
                fails(sys::link(jail.join(from), jail.join(to)), EPERM);
            }
            for to in ["secret9", "d/secret9"] {
                refused(sys::link(jail.join(from), jail.join(to)), &[EACCES, EPERM]);
            }
        }
        for to in ["rw9", "ro9", "secret9"] {
            fails(sys::link(jail.join("secret"), jail.join(to)), ENOENT);
        }
    });
}

pub(super) fn links_of_a_descriptor(cell: &mut Cell) {
    cell.attack(|jail| {
        for flags in [libc::O_RDONLY, libc::O_PATH] {
            let file = sys::open(jail.join("ro"), flags).unwrap();
            let by_link = sys::linkat(proc_link(&file), jail.join("rw9"), libc::AT_SYMLINK_FOLLOW);
            fails(by_link, EPERM);
            let (empty, to) = (sys::c(""), sys::c(jail.join("rw9")));
            let linked = syscall!(
                libc::SYS_linkat,
                file.as_raw_fd(),
                empty.as_ptr(),
                libc::AT_FDCWD,
                to.as_ptr(),
                libc::AT_EMPTY_PATH
            );
            // ENOENT without CAP_DAC_READ_SEARCH.
            refused(linked, &[EPERM, ENOENT]);
        }
    });
}

pub(super) fn links_over_what_may_be_read(cell: &mut Cell) {
    cell.attack(|jail| {
        for to in ["ro", "d/ro", "mr/x", "del", "wo"] {
            fails(sys::link(jail.join("rw"), jail.join(to)), EEXIST);
        }
        for to in ["secret", "d/secret", "secret9", "ro9"] {
            fails(sys::link(jail.join("rw"), jail.join(to)), EACCES);
        }
    });
}

/// The provider gives one object two names: each name has its own rights.
pub(super) fn a_providers_link_under_two_names(cell: &mut Cell) {
    let path = |name: &str| cell.world.path(name);
    drop(sys::put(path("rw-both"), b"both"));
    sys::chmod(path("rw-both"), 0o666).unwrap();
    sys::chown(path("rw-both"), USER, USER).unwrap();
    sys::link(path("rw-both"), path("ro-both")).unwrap();
    cell.attack(|jail| {
        let writer = sys::open(jail.join("rw-both"), libc::O_RDWR).expect("by this name");
        cannot_write(&jail.join("ro-both"));
        let reader = sys::open(jail.join("ro-both"), libc::O_RDONLY).expect("by that one");
        for flags in [libc::O_RDWR, libc::O_WRONLY] {
            fails(reopen(&reader, flags), EACCES);
        }
        reopen(&writer, libc::O_RDWR).expect("by the first name");
        sys::pwrite(&writer, b"BOTH", 0).unwrap();
        assert_eq!(sys::pread(&reader, 4, 0), Ok(b"BOTH".to_vec()));
        fails(sys::chmod(jail.join("ro-both"), 0o777), EPERM);
        fails(
            sys::link(jail.join("ro-both"), jail.join("rw-third")),
            EPERM,
        );
        fails(sys::unlink(jail.join("ro-both")), EACCES);
        fails(
            sys::rename(jail.join("ro-both"), jail.join("rw-both")),
            EACCES,
        );
    });
}

/// POSIX: nothing is done, and nothing may be done by it.
pub(super) fn a_rename_between_two_names_of_one_object(cell: &mut Cell) {
    let path = |name: &str| cell.world.path(name);
    sys::link(path("ro"), path("rw-same")).unwrap();
    sys::link(path("ro"), path("ro-same")).unwrap();
    let count = sys::stat(path("ro")).unwrap().nlink;
    cell.remember();
    cell.attack(|jail| {
        for (from, to) in [("rw-same", "ro"), ("ro", "rw-same"), ("ro", "ro-same")] {
            // Either refused or nothing: the names are all there afterwards.
            let _ = sys::rename(jail.join(from), jail.join(to));
        }
        for (from, to) in [("rw-same", "ro"), ("ro-same", "rw-same")] {
            let exchange = libc::RENAME_EXCHANGE;
            let _ = sys::rename2(jail.join(from), jail.join(to), exchange);
        }
        for name in ["ro", "ro-same", "rw-same"] {
            sys::stat(jail.join(name)).expect("no name is lost");
        }
        cannot_write(&jail.join("ro-same"));
        cannot_write(&jail.join("ro"));
    });
    assert_eq!(sys::stat(cell.world.path("ro")).unwrap().nlink, count);
    sys::unlink(cell.world.path("rw-same")).unwrap();
    sys::unlink(cell.world.path("ro-same")).unwrap();
    cell.remember();
}

/// The provider shows a secret under a name that may be read: it may be read there, and
/// nowhere else be written.
pub(super) fn a_secret_under_a_readable_name(cell: &mut Cell) {
    sys::link(cell.world.path("secret"), cell.world.path("ro-shown")).unwrap();
    cell.remember();
    cell.attack(|jail| {
        let file = sys::open(jail.join("ro-shown"), libc::O_RDONLY).expect("it is shown");
        assert_eq!(sys::pread(&file, 1, 0).unwrap().len(), 1);
        cannot_write(&jail.join("ro-shown"));
        fails(reopen(&file, libc::O_RDWR), EACCES);
        fails(sys::stat(jail.join("secret")), ENOENT);
        fails(sys::link(jail.join("ro-shown"), jail.join("rw9")), EPERM);
    });
    sys::unlink(cell.world.path("ro-shown")).unwrap();
    cell.remember();
}

/// `mr/x` may be read, `mw/x` be written: the directory does not become the other.
pub(super) fn moving_a_directory_widens_nothing(cell: &mut Cell) {
    cell.attack(|jail| {
        for flags in RENAMES {
            refused(
                sys::rename2(jail.join("mr"), jail.join("mw"), flags),
                &[EACCES, EXDEV],
            );
        }
        sys::mkdir(jail.join("mw1"), 0o777).unwrap();
        refused(
            sys::rename(jail.join("mr"), jail.join("mw1")),
            &[EACCES, EXDEV],
        );
        fails(sys::stat(jail.join("mw1/x")), ENOENT);
        sys::rmdir(jail.join("mw1")).unwrap();
        cannot_write(&jail.join("mr/x"));
    });
    // The secret in `d` would be read as `mr9/secret`, and written as `mw9/secret`.
    cell.attack(|jail| {
        for to in ["mr9", "mw9"] {
            refused(sys::rename(jail.join("d"), jail.join(to)), &[EACCES, EXDEV]);
            fails(sys::stat(jail.join(to).join("secret")), ENOENT);
        }
    });
}

pub(super) fn exchanging_directories_widens_nothing(cell: &mut Cell) {
    cell.attack(|jail| {
        sys::mkdir(jail.join("mw1"), 0o777).unwrap();
        drop(sys::put(jail.join("mw1/y"), b"mine"));
        let exchange = libc::RENAME_EXCHANGE;
        for (a, b) in [
            ("mr", "mw1"),
            ("mw1", "mr"),
            ("d", "mw1"),
            ("mw1", "d"),
            ("d", "mr"),
        ] {
            refused(
                sys::rename2(jail.join(a), jail.join(b), exchange),
                &[EACCES, EXDEV],
            );
        }
        cannot_write(&jail.join("mr/x"));
        fails(sys::stat(jail.join("mw1/x")), ENOENT);
        sys::unlink(jail.join("mw1/y")).unwrap();
        sys::rmdir(jail.join("mw1")).unwrap();
    });
}

pub(super) fn moving_out_of_a_readable_directory(cell: &mut Cell) {
    cell.attack(|jail| {
        sys::mkdir(jail.join("mw1"), 0o777).unwrap();
        for (from, to) in [("mr/x", "mw1/x"), ("mr/x", "rw9"), ("d/ro", "mw1/ro")] {
            fails(sys::rename(jail.join(from), jail.join(to)), EACCES);
            fails(sys::link(jail.join(from), jail.join(to)), EPERM);
        }
        // By the directories' descriptors, from both sides.
        let (from, to) = (
            sys::open(jail.join("mr"), libc::O_PATH).unwrap(),
            sys::open(jail.join("mw1"), libc::O_PATH).unwrap(),
        );
        let name = sys::c("x");
        let renamed = syscall!(
            libc::SYS_renameat2,
            from.as_raw_fd(),
            name.as_ptr(),
            to.as_raw_fd(),
            name.as_ptr(),
            0
        );
        refused(renamed, &[EACCES]);
        fails(sys::unlink(jail.join("mr/x")), EACCES);
        fails(sys::rmdir(jail.join("mr")), ENOTEMPTY);
        sys::rmdir(jail.join("mw1")).unwrap();
    });
}

pub(super) fn special_files(cell: &mut Cell) {
    cell.attack(|jail| {
        let device = libc::makedev(1, 3);
        for name in ["rw9", "d/rw9", "secret", "secret9", "ro9"] {
            let path = jail.join(name);
            for kind in [libc::S_IFIFO, libc::S_IFSOCK, libc::S_IFCHR, libc::S_IFBLK] {
                fails(sys::mknod(&path, kind | 0o666, device), EPERM);
            }
            fails(sys::symlink("secret", &path), EPERM);
            fails(sys::symlink("/etc/passwd", &path), EPERM);
        }
        fails(bind(&jail.join("rw9")), EPERM);
        fails(
            sys::mknod(jail.join("ro"), libc::S_IFIFO | 0o666, 0),
            EEXIST,
        );
    });
}

pub(super) fn whiteouts(cell: &mut Cell) {
    cell.attack(|jail| {
        let fresh = jail.join("rw-fresh");
        drop(sys::put(&fresh, b"x"));
        for flags in [
            libc::RENAME_WHITEOUT,
            libc::RENAME_WHITEOUT | libc::RENAME_NOREPLACE,
        ] {
            let renamed = sys::rename2(&fresh, jail.join("rw-other"), flags);
            refused(renamed, &[EPERM, EACCES, EINVAL]);
        }
        // What the kernel takes for a whiteout.
        fails(sys::mknod(jail.join("rw9"), libc::S_IFCHR, 0), EPERM);
        sys::unlink(&fresh).unwrap();
    });
    assert!(!cell.world.path("rw-fresh").exists());
}

pub(super) fn unnamed_files_linked(cell: &mut Cell) {
    cell.attack(|jail| {
        for directory in ["", "d", "mr"] {
            for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDWR | libc::O_EXCL] {
                let path = jail.join(directory);
                fails(sys::open(&path, libc::O_TMPFILE | flags), EOPNOTSUPP);
            }
        }
        // An unnamed file of elsewhere does not come in either.
        let file = sys::open("/dev/shm", libc::O_TMPFILE | libc::O_RDWR).expect("a tmpfs");
        let linked = sys::linkat(proc_link(&file), jail.join("rw9"), libc::AT_SYMLINK_FOLLOW);
        fails(linked, EXDEV);
    });
}

/// What is removed and made again is the consumer's own, and never what was there.
pub(super) fn removal_and_creation_again(cell: &mut Cell) {
    cell.attack(|jail| {
        fails(sys::unlink(jail.join("ro")), EACCES);
        fails(sys::unlink(jail.join("wo")), EACCES);
        fails(sys::unlink(jail.join("secret")), ENOENT);
        fails(sys::rmdir(jail.join("ro")), sys::ENOTDIR);
        fails(sys::unlink(jail.join("mr")), sys::EISDIR);
    });
    consume(Who::Root, || {
        let jail = cell.world.export("cell");
        let reader = sys::open(jail.join("del"), libc::O_RDONLY).unwrap();
        sys::unlink(jail.join("del")).expect("delete is granted");
        fails(
            sys::open(jail.join("del"), libc::O_RDWR | libc::O_CREAT),
            EACCES,
        );
        // The object without a name is what it was: still not to be written.
        for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY | libc::O_TRUNC] {
            refused(reopen(&reader, flags), &[EACCES, ENOENT, ESTALE]);
        }
        assert_eq!(sys::pread(&reader, LENGTH, 0).unwrap().len(), LENGTH);
        let linked = sys::linkat(
            proc_link(&reader),
            jail.join("rw9"),
            libc::AT_SYMLINK_FOLLOW,
        );
        refused(linked, &[EPERM, ENOENT]);
    });
}

pub(super) fn the_way_to_the_views(cell: &mut Cell) {
    cell.attack(|jail| {
        for name in [
            ".shmfs",
            ".shmfs/exports",
            ".shmfs/views",
            ".shmfs/private",
            "d/.shmfs",
        ] {
            let path = jail.join(name);
            fails(sys::stat(&path), ENOENT);
            fails(sys::open(&path, libc::O_RDONLY), ENOENT);
            fails(sys::open(&path, libc::O_PATH), ENOENT);
        }
        for name in [".shmfs", "d/.shmfs"] {
            let path = jail.join(name);
            fails(sys::mkdir(&path, 0o777), EACCES);
            fails(sys::open(&path, libc::O_RDWR | libc::O_CREAT), EACCES);
            fails(sys::rename(jail.join("rw"), &path), EACCES);
        }
        let names = sys::ls(jail);
        assert!(names.iter().all(|name| !name.starts_with('.')), "{names:?}");
    });
}

pub(super) fn names_that_are_not_clean(cell: &mut Cell) {
    cell.attack(|jail| {
        for name in [
            "d/../secret",
            "./secret",
            "d//secret",
            "mr/../d/./secret",
            "d/../d/secret",
        ] {
            fails(sys::stat(jail.join(name)), ENOENT);
            fails(sys::open(jail.join(name), libc::O_RDONLY), ENOENT);
        }
        for name in ["d/../ro", "./ro", "d/..//ro", "d/./ro", "mr/x/"] {
            let flags = libc::O_RDWR;
            refused(sys::open(jail.join(name), flags), &[EACCES, sys::ENOTDIR]);
        }
        for name in ["rw/", "rw/.", "rw/..", "ro/..", "secret/.."] {
            refused(
                sys::open(jail.join(name), libc::O_RDONLY),
                &[sys::ENOTDIR, ENOENT],
            );
        }
        fails(
            sys::rename(jail.join("d/rw/"), jail.join("d/rw9")),
            sys::ENOTDIR,
        );
        let long = "rw".repeat(200);
        fails(
            sys::open(jail.join(long), libc::O_RDWR | libc::O_CREAT),
            sys::ENAMETOOLONG,
        );
    });
}

/// A descriptor of a directory that is shown no more leads to nothing.
pub(super) fn a_directory_moved_into_the_dark(cell: &mut Cell) {
    let (open, moved) = (Step::new(), Step::new());
    let jail = cell.world.export("cell");
    let attacker = proc::spawn(|| {
        crate::consumer::become_consumer(Who::Root);
        let directory = sys::open(jail.join("d"), libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        open.make();
        moved.wait();
        for name in ["rw", "ro", "secret", "new-secret"] {
            refused(
                sys::openat(&directory, name, libc::O_RDONLY, 0),
                &[ENOENT, ESTALE],
            );
            let creating = libc::O_CREAT | libc::O_RDWR;
            refused(
                sys::openat(&directory, name, creating, 0),
                &[EACCES, ENOENT, ESTALE],
            );
        }
        if let Ok(names) = std::fs::read_dir(proc_link(&directory)) {
            let names: Vec<_> = names.flatten().collect();
            assert!(names.is_empty(), "listed in the dark: {names:?}");
        }
        if let Ok(above) = sys::openat(&directory, "..", libc::O_RDONLY | libc::O_DIRECTORY, 0) {
            refused(
                sys::openat(&above, "new-secret", libc::O_RDONLY, 0),
                &[ENOENT, ESTALE],
            );
        }
    });
    open.wait();
    sys::mkdir(cell.world.path("dark"), 0o777).unwrap();
    sys::rename(cell.world.path("d"), cell.world.path("dark/d")).unwrap();
    sys::touch(cell.world.path("dark/d/new-secret"));
    sys::touch(cell.world.path("dark/new-secret"));
    moved.make();
    attacker.join();
    sys::unlink(cell.world.path("dark/d/new-secret")).unwrap();
    sys::rename(cell.world.path("dark/d"), cell.world.path("d")).unwrap();
}

/// Names are bytes: what looks alike is another name.
pub(super) fn case_and_bytes(cell: &mut Cell) {
    cell.attack(|jail| {
        for name in ["RO", "Secret", "SECRET", "ｒｏ", "r\u{f6}"] {
            fails(sys::stat(jail.join(name)), ENOENT);
            fails(
                sys::open(jail.join(name), libc::O_RDWR | libc::O_CREAT),
                EACCES,
            );
        }
        use std::os::unix::ffi::OsStrExt;
        let odd = std::ffi::OsStr::from_bytes(b"rw\xff\xfe\n");
        drop(sys::put(jail.join(odd), b"x"));
        sys::unlink(jail.join(odd)).unwrap();
        no_secret(&sys::slurp(jail.join("ro")));
    });
}
