//! Which operation on names and attributes moves which time of which inode.

use std::os::fd::AsRawFd;

use super::times::{file, letters, moved, times};
use crate::acl;
use crate::consts::*;
use crate::proc::{self, tick};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["times_names";
    nobody: create_file, create_others, chmod_same_mode, chmod_other_mode, chown_nothing, link_moves_ctime, unlink_of_one_of_two, unlink_of_open, rename_file, rename_over, rename_directory, rename_across, rename_exchange, rename_no_op, rename_failed, mkdir_rmdir, xattr_set_and_remove, xattr_get_and_list, xattr_same_value, acl_set_and_remove, failed_operations, symlink_operations, create_excl_failed, new_inode_has_equal_times, ioctl_flags;
    root: chown_other, mknod_device, access_moves_nothing, chown_symlink;
];

fn create_file(c: &Ctx<'_>) {
    assert_eq!(moved([&c.dir], || touch(c.p("f"))), ["mc"]);
    let [a, m, ctime] = times(&c.p("f"));
    assert_eq!((a, m), (m, ctime));
}

fn create_others(c: &Ctx<'_>) {
    assert_eq!(moved([&c.dir], || mkdir(c.p("d"), 0o700).unwrap()), ["mc"]);
    assert_eq!(moved([&c.dir], || mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap()), ["mc"]);
    assert_eq!(moved([&c.dir], || symlink("x", c.p("l")).unwrap()), ["mc"]);
}

fn chmod_same_mode(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || chmod(&f, 0o644).unwrap()), ["c", ""]);
}

fn chmod_other_mode(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f], || chmod(&f, 0o600).unwrap()), ["c"]);
    mkdir(c.p("d"), 0o700).unwrap();
    assert_eq!(moved([&c.p("d")], || chmod(c.p("d"), 0o755).unwrap()), ["c"]);
    let fd = open(&f, O_RDONLY).unwrap();
    assert_eq!(moved([&f], || fchmod(&fd, 0o640).unwrap()), ["c"]);
}

fn chown_nothing(c: &Ctx<'_>) {
    // chown(-1, -1) still asks for a new ctime.
    let f = file(c, "f");
    assert_eq!(moved([&f], || chown(&f, u32::MAX, u32::MAX).unwrap()), ["c"]);
    assert_eq!(moved([&f], || chown(&f, proc::ids().0, proc::ids().1).unwrap()), ["c"]);
}

fn link_moves_ctime(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || link(&f, c.p("g")).unwrap()), ["c", "mc"]);
    mkdir(c.p("d"), 0o700).unwrap();
    assert_eq!(moved([&f, &c.dir, &c.p("d")], || link(&f, c.p("d/h")).unwrap()), ["c", "", "mc"]);
}

fn unlink_of_one_of_two(c: &Ctx<'_>) {
    let f = file(c, "f");
    link(&f, c.p("g")).unwrap();
    assert_eq!(moved([&f, &c.dir], || unlink(c.p("g")).unwrap()), ["c", "mc"]);
}

fn unlink_of_open(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    let before = fstat(&fd).unwrap();
    tick();
    unlink(&f).unwrap();
    let after = fstat(&fd).unwrap();
    assert!(after.ctime > before.ctime && after.mtime == before.mtime && after.atime == before.atime);
}

fn rename_file(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    let before = fstat(&fd).unwrap();
    assert_eq!(moved([&c.dir], || rename(&f, c.p("g")).unwrap()), ["mc"]);
    let after = fstat(&fd).unwrap();
    assert!(after.ctime > before.ctime && after.mtime == before.mtime);
}

fn rename_over(c: &Ctx<'_>) {
    let f = file(c, "f");
    let g = file(c, "g");
    link(&g, c.p("h")).unwrap();
    assert_eq!(moved([&c.dir, &c.p("h")], || rename(&f, &g).unwrap()), ["mc", "c"]);
}

fn rename_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let before = times(&c.p("d"));
    assert_eq!(moved([&c.dir], || rename(c.p("d"), c.p("e")).unwrap()), ["mc"]);
    assert_eq!(letters(before, times(&c.p("e"))), "c");
}

fn rename_across(c: &Ctx<'_>) {
    for d in ["p", "q", "p/d"] {
        mkdir(c.p(d), 0o700).unwrap();
    }
    let before = times(&c.p("p/d"));
    let got = moved([&c.dir, &c.p("p"), &c.p("q")], || rename(c.p("p/d"), c.p("q/d")).unwrap());
    assert_eq!(got, ["", "mc", "mc"]);
    assert_eq!(letters(before, times(&c.p("q/d"))), "c");
}

fn rename_exchange(c: &Ctx<'_>) {
    mkdir(c.p("p"), 0o700).unwrap();
    mkdir(c.p("p/d"), 0o700).unwrap();
    let f = file(c, "f");
    let (d, old) = (times(&c.p("p/d")), times(&f));
    assert_eq!(moved([&c.dir, &c.p("p")], || rename2(&f, c.p("p/d"), RENAME_EXCHANGE).unwrap()), ["mc", "mc"]);
    assert_eq!((letters(d, times(&f)), letters(old, times(&c.p("p/d")))), ("c".into(), "c".into()));
}

fn rename_no_op(c: &Ctx<'_>) {
    let f = file(c, "f");
    link(&f, c.p("g")).unwrap();
    assert_eq!(moved([&f, &c.dir], || rename(&f, c.p("g")).unwrap()), ["", ""]);
    assert_eq!(moved([&f, &c.dir], || rename(&f, &f).unwrap()), ["", ""]);
}

fn rename_failed(c: &Ctx<'_>) {
    let f = file(c, "f");
    mkdir(c.p("d"), 0o700).unwrap();
    assert_eq!(moved([&f, &c.dir, &c.p("d")], || fails(rename(&f, c.p("d")), EISDIR)), ["", "", ""]);
}

fn mkdir_rmdir(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    assert_eq!(moved([&c.dir, &c.p("d")], || mkdir(c.p("d/e"), 0o700).unwrap()), ["", "mc"]);
    let dir = open(c.p("d/e"), O_RDONLY).unwrap();
    let before = fstat(&dir).unwrap();
    assert_eq!(moved([&c.dir, &c.p("d")], || rmdir(c.p("d/e")).unwrap()), ["", "mc"]);
    let after = fstat(&dir).unwrap();
    assert!(after.ctime > before.ctime && after.mtime == before.mtime);
}

fn xattr_set_and_remove(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || setxattr(&f, "user.x", b"1", 0).unwrap()), ["c", ""]);
    assert_eq!(moved([&f], || removexattr(&f, "user.x").unwrap()), ["c"]);
    assert_eq!(moved([&f], || fails(removexattr(&f, "user.x"), ENODATA)), [""]);
}

fn xattr_get_and_list(c: &Ctx<'_>) {
    let f = file(c, "f");
    setxattr(&f, "user.x", b"1", 0).unwrap();
    let read = || {
        getxattr(&f, "user.x").unwrap();
        listxattr(&f);
    };
    assert_eq!(moved([&f], read), [""]);
}

fn xattr_same_value(c: &Ctx<'_>) {
    let f = file(c, "f");
    setxattr(&f, "user.x", b"1", 0).unwrap();
    assert_eq!(moved([&f], || setxattr(&f, "user.x", b"1", 0).unwrap()), ["c"]);
    assert_eq!(moved([&f], || fails(setxattr(&f, "user.x", b"1", XATTR_CREATE), EEXIST)), [""]);
}

fn acl_set_and_remove(c: &Ctx<'_>) {
    let f = file(c, "f");
    let (uid, _) = proc::ids();
    let short = format!("u::rw-,u:{uid}:r--,g::r--,m::r--,o::r--");
    assert_eq!(moved([&f], || acl::set(&f, acl::ACCESS, &short).unwrap()), ["c"]);
    assert_eq!(moved([&f], || drop(acl::get(&f, acl::ACCESS).unwrap())), [""]);
    assert_eq!(moved([&f], || removexattr(&f, acl::ACCESS).unwrap()), ["c"]);
    mkdir(c.p("d"), 0o755).unwrap();
    assert_eq!(moved([&c.p("d")], || acl::set(c.p("d"), acl::DEFAULT, &short).unwrap()), ["c"]);
}

fn failed_operations(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fail = || {
        fails(mkdir(&f, 0o700), EEXIST);
        fails(rmdir(&f), ENOTDIR);
        fails(unlink(c.p("no")), ENOENT);
        fails(link(&f, &f), EEXIST);
        fails(rename(c.p("no"), &f), ENOENT);
        fails(truncate(&f, -1), EINVAL);
    };
    assert_eq!(moved([&f, &c.dir], fail), ["", ""]);
}

fn symlink_operations(c: &Ctx<'_>) {
    symlink("f", c.p("l")).unwrap();
    file(c, "f");
    let l = c.p("l");
    assert_eq!(moved([&l], || lstat(&l).map(drop).unwrap()), [""]);
    assert_eq!(moved([&l, &c.p("f")], || chmod(&l, 0o600).unwrap()), ["a", "c"]);
    assert_eq!(moved([&l], || link(&l, c.p("m")).unwrap()), ["c"]);
    assert_eq!(moved([&c.p("m")], || unlink(&l).unwrap()), ["c"]);
}

fn create_excl_failed(c: &Ctx<'_>) {
    let f = file(c, "f");
    let again = || fails(open(&f, O_CREAT | O_EXCL | O_RDWR), EEXIST);
    assert_eq!(moved([&f, &c.dir], again), ["", ""]);
}

fn new_inode_has_equal_times(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("x", c.p("l")).unwrap();
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    for name in ["d", "l", "n"] {
        let [a, m, ctime] = times(&c.p(name));
        assert_eq!((a, m), (m, ctime), "{name}");
    }
}

fn ioctl_flags(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDONLY).unwrap();
    let mut block = 0;
    // SAFETY: FIGETBSZ writes one int.
    let ask = || assert_eq!(unsafe { libc::ioctl(fd.as_raw_fd(), 2, &mut block) }, 0);
    assert_eq!(moved([&f], ask), [""]);
    assert_eq!(block, 4096);
}

fn chown_other(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || chown(&f, 1000, u32::MAX).unwrap()), ["c", ""]);
    assert_eq!(moved([&f], || chown(&f, u32::MAX, 1000).unwrap()), ["c"]);
}

fn mknod_device(c: &Ctx<'_>) {
    assert_eq!(moved([&c.dir], || mknod(c.p("c"), S_IFCHR | 0o600, makedev(1, 3)).unwrap()), ["mc"]);
}

fn access_moves_nothing(c: &Ctx<'_>) {
    let f = file(c, "f");
    let look = || {
        proc::as_user(1000, || {
            fails(sys::access(&f, W_OK), EACCES);
            fails(open(&f, O_RDWR), EACCES);
            fails(chmod(&f, 0o777), EPERM);
        })
    };
    assert_eq!(moved([&f], look), [""]);
}

fn chown_symlink(c: &Ctx<'_>) {
    file(c, "f");
    symlink("f", c.p("l")).unwrap();
    assert_eq!(moved([&c.p("l"), &c.p("f")], || lchown(c.p("l"), 5, 5).unwrap()), ["c", ""]);
    assert_eq!(moved([&c.p("l"), &c.p("f")], || chown(c.p("l"), 5, 5).unwrap()), ["a", "c"]);
}
