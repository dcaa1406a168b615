//! Hard links, symbolic links, unlink and what lives on without a name.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::as_user;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["link";
    nobody: counts, is_one_file, of_a_directory, of_a_symlink, of_a_symlink_followed, of_special_files, over_existing,
        of_missing, of_an_unlinked_file, empty_path, by_proc_fd, many, dot, unknown_flag, long_name, of_path_descriptor,
        same_size_everywhere, unlink_last_name, unlink_errors, unlinkat_flags, rmdir_errors, unlinked_file_lives,
        unlinked_directory, chdir_into_removed, rmdir_of_cwd, recreate_after_unlink, symlink_targets, symlink_length_limit,
        readlink_errors, readlink_truncates, symlink_bytes, symlink_chain, symlink_loop, symlink_to_directory,
        symlink_dotdot, symlink_long_and_short, unlink_open_twice;
    root: protected, privileged_empty_path, unlink_in_sticky, rmdir_in_sticky, protected_symlinks_in_sticky,
        owner_of_symlink, symlink_permissions_ignored;
];

fn counts(c: &Ctx<'_>) {
    touch(c.p("a"));
    link(c.p("a"), c.p("b")).unwrap();
    mkdir(c.p("d"), 0o700).unwrap();
    link(c.p("b"), c.p("d/c")).unwrap();
    let st = stat(c.p("a")).unwrap();
    assert_eq!((st.nlink, stat(c.p("b")), stat(c.p("d/c"))), (3, Ok(st), Ok(st)));
    unlink(c.p("a")).unwrap();
    assert_eq!(stat(c.p("b")).unwrap().nlink, 2);
    assert_eq!(stat(&c.dir).unwrap().size, 80);
}

fn is_one_file(c: &Ctx<'_>) {
    let a = put(c.p("a"), b"one");
    link(c.p("a"), c.p("b")).unwrap();
    let b = open(c.p("b"), O_RDWR | O_APPEND).unwrap();
    sys::write(&b, b"two").unwrap();
    assert_eq!(pread(&a, 9, 0), Ok(b"onetwo".to_vec()));
    chmod(c.p("b"), 0o600).unwrap();
    assert_eq!(stat(c.p("a")).unwrap().perm(), 0o600);
    setxattr(c.p("a"), "user.x", b"1", 0).unwrap();
    assert_eq!(getxattr(c.p("b"), "user.x"), Ok(b"1".to_vec()));
}

fn of_a_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    fails(link(c.p("d"), c.p("e")), EPERM);
    fails(link(c.p("."), c.p("e")), EPERM);
}

fn of_a_symlink(c: &Ctx<'_>) {
    symlink("nowhere", c.p("l")).unwrap();
    link(c.p("l"), c.p("m")).unwrap();
    assert_eq!(lstat(c.p("m")), lstat(c.p("l")));
    assert_eq!(readlink(c.p("m")), Ok(b"nowhere".to_vec()));
    assert_eq!(lstat(c.p("l")).unwrap().nlink, 2);
    unlink(c.p("l")).unwrap();
    assert_eq!(readlink(c.p("m")), Ok(b"nowhere".to_vec()));
}

fn of_a_symlink_followed(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    linkat(c.p("l"), c.p("g"), AT_SYMLINK_FOLLOW).unwrap();
    assert_eq!(lstat(c.p("g")), lstat(c.p("f")));
}

fn of_special_files(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    link(c.p("n"), c.p("m")).unwrap();
    assert_eq!((stat(c.p("m")).unwrap().kind(), stat(c.p("n")).unwrap().nlink), (S_IFIFO, 2));
}

fn over_existing(c: &Ctx<'_>) {
    touch(c.p("a"));
    touch(c.p("b"));
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("none", c.p("l")).unwrap();
    for to in ["a", "b", "d", "l"] {
        fails(link(c.p("a"), c.p(to)), EEXIST);
    }
}

fn of_missing(c: &Ctx<'_>) {
    fails(link(c.p("no"), c.p("b")), ENOENT);
    touch(c.p("a"));
    fails(link(c.p("a"), c.p("no/b")), ENOENT);
    fails(link(c.p("a/"), c.p("b")), ENOTDIR);
    fails(link(c.p("a"), c.p("b/")), ENOENT);
}

fn of_an_unlinked_file(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    unlink(c.p("f")).unwrap();
    // vfs_link: no new name for what has none, but for O_TMPFILE.
    let from = format!("/proc/self/fd/{}", fd.as_raw_fd());
    fails(linkat(from, c.p("g"), AT_SYMLINK_FOLLOW), ENOENT);
}

fn empty_path(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let to = sys::c(c.p("g"));
    // Allowed to the opener's own credentials since 6.10, whatever its capabilities.
    let r = crate::syscall!(libc::SYS_linkat, fd.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, to.as_ptr(), AT_EMPTY_PATH);
    assert_eq!(r, Ok(0));
    assert_eq!(stat(c.p("f")).unwrap().nlink, 2);
}

fn by_proc_fd(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    linkat(format!("/proc/self/fd/{}", fd.as_raw_fd()), c.p("g"), AT_SYMLINK_FOLLOW).unwrap();
    assert_eq!(stat(c.p("g")), fstat(&fd));
}

fn many(c: &Ctx<'_>) {
    // tmpfs knows no EMLINK.
    touch(c.p("f"));
    for i in 0..5_000 {
        link(c.p("f"), c.p(&format!("l{i}"))).unwrap();
    }
    assert_eq!(stat(c.p("f")).unwrap().nlink, 5_001);
}

fn dot(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(link(c.p("f"), c.p(".")), EEXIST);
    fails(link(c.p("f"), c.p("..")), EEXIST);
}

fn unknown_flag(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(linkat(c.p("f"), c.p("g"), 1), EINVAL);
}

fn long_name(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(link(c.p("f"), c.p(&"x".repeat(256))), ENAMETOOLONG);
    link(c.p("f"), c.p(&"x".repeat(255))).unwrap();
}

fn of_path_descriptor(c: &Ctx<'_>) {
    touch(c.p("f"));
    let fd = open(c.p("f"), O_PATH).unwrap();
    linkat(format!("/proc/self/fd/{}", fd.as_raw_fd()), c.p("g"), AT_SYMLINK_FOLLOW).unwrap();
    assert_eq!(stat(c.p("g")).unwrap().nlink, 2);
}

fn same_size_everywhere(c: &Ctx<'_>) {
    let fd = put(c.p("a"), b"");
    link(c.p("a"), c.p("b")).unwrap();
    for size in [1, 4096, 5000, 10, 0] {
        ftruncate(&fd, size).unwrap();
        assert_eq!((stat(c.p("a")).unwrap().size, stat(c.p("b")).unwrap().size), (size, size));
    }
}

fn unlink_last_name(c: &Ctx<'_>) {
    touch(c.p("f"));
    link(c.p("f"), c.p("g")).unwrap();
    unlink(c.p("f")).unwrap();
    fails(unlink(c.p("f")), ENOENT);
    unlink(c.p("g")).unwrap();
    assert_eq!((ls(&c.dir).len(), stat(&c.dir).unwrap().size), (0, 40));
}

fn unlink_errors(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    fails(unlink(c.p("d")), EISDIR);
    fails(unlink(c.p(".")), EISDIR);
    fails(unlink(c.p("..")), EISDIR);
    fails(unlink(c.p("d/")), EISDIR);
    fails(unlink(c.p("no")), ENOENT);
    symlink("d", c.p("l")).unwrap();
    fails(unlink(c.p("l/")), ENOTDIR);
    unlink(c.p("l")).unwrap();
}

fn unlinkat_flags(c: &Ctx<'_>) {
    let dir = open(&c.dir, O_RDONLY).unwrap();
    mkdir(c.p("d"), 0o700).unwrap();
    touch(c.p("f"));
    fails(unlinkat(&dir, "d", 0), EISDIR);
    fails(unlinkat(&dir, "f", AT_REMOVEDIR), ENOTDIR);
    fails(unlinkat(&dir, "f", 1), EINVAL);
    unlinkat(&dir, "d", AT_REMOVEDIR).unwrap();
    unlinkat(&dir, "f", 0).unwrap();
}

fn rmdir_errors(c: &Ctx<'_>) {
    touch(c.p("f"));
    std::fs::create_dir_all(c.p("d/e")).unwrap();
    symlink("d", c.p("l")).unwrap();
    fails(rmdir(c.p("f")), ENOTDIR);
    fails(rmdir(c.p("l")), ENOTDIR);
    fails(rmdir(c.p("d")), ENOTEMPTY);
    fails(rmdir(c.p("d/.")), EINVAL);
    fails(rmdir(c.p("d/e/..")), ENOTEMPTY);
    fails(rmdir(c.p("no")), ENOENT);
    let point = c.mountpoint().to_owned();
    fails(rmdir(point), EBUSY);
}

fn unlinked_file_lives(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    unlink(c.p("f")).unwrap();
    let st = fstat(&fd).unwrap();
    assert_eq!((st.nlink, st.size), (0, 4));
    sys::write(&fd, b"more").unwrap();
    ftruncate(&fd, 6).unwrap();
    fchmod(&fd, 0o600).unwrap();
    assert_eq!(pread(&fd, 9, 0), Ok(b"datamo".to_vec()));
    futimens(&fd, [(1, 2), (3, 4)]).unwrap();
    let st = fstat(&fd).unwrap();
    assert_eq!((st.perm(), st.atime, st.mtime), (0o600, (1, 2), (3, 4)));
    let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
    setxattr(&path, "user.x", b"1", 0).unwrap();
    fallocate(&fd, 0, 0, 8192).unwrap();
    assert_eq!(fstat(&fd).unwrap().size, 8192);
}

fn unlinked_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let dir = open(c.p("d"), O_RDONLY | O_DIRECTORY).unwrap();
    rmdir(c.p("d")).unwrap();
    let st = fstat(&dir).unwrap();
    assert_eq!((st.nlink, st.kind()), (0, S_IFDIR));
    fails(openat(&dir, "f", O_CREAT | O_RDWR, 0o600), ENOENT);
    fails(openat(&dir, "f", O_RDONLY, 0), ENOENT);
    fchmod(&dir, 0o755).unwrap();
    assert_eq!(fstat(&dir).unwrap().perm(), 0o755);
}

fn chdir_into_removed(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    chdir(c.p("d")).unwrap();
    rmdir(c.p("d")).unwrap();
    fails(open("f", O_CREAT | O_RDWR), ENOENT);
    fails(mkdir("e", 0o700), ENOENT);
    fails(symlink("x", "l"), ENOENT);
    fails(mknod("n", S_IFIFO | 0o600, 0), ENOENT);
    touch(c.p("f"));
    fails(rename(c.p("f"), "moved"), ENOENT);
    assert_eq!(stat(".").unwrap().nlink, 0);
    assert_eq!(stat("..").unwrap().ino, stat(&c.dir).unwrap().ino);
    assert_eq!(std::fs::read_dir(".").unwrap().count(), 0);
    assert_eq!(std::env::current_dir().unwrap_err().raw_os_error(), Some(libc::ENOENT));
}

fn rmdir_of_cwd(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    chdir(c.p("d")).unwrap();
    fails(rmdir("."), EINVAL);
    rmdir("../d").unwrap();
    mkdir(c.p("d"), 0o700).unwrap();
    touch(c.p("d/f"));
    fails(stat("f"), ENOENT);
}

fn recreate_after_unlink(c: &Ctx<'_>) {
    let old = put(c.p("f"), b"old");
    unlink(c.p("f")).unwrap();
    let new = put(c.p("f"), b"new!");
    assert_ne!(fstat(&old).unwrap().ino, fstat(&new).unwrap().ino);
    assert_eq!((pread(&old, 9, 0), pread(&new, 9, 0)), (Ok(b"old".to_vec()), Ok(b"new!".to_vec())));
    assert_eq!(stat(c.p("f")).unwrap().nlink, 1);
}

fn symlink_targets(c: &Ctx<'_>) {
    for (i, to) in [".", "..", "/", "//x//", " ", "a/b/c", "/dev/null/x"].into_iter().enumerate() {
        let name = c.p(&format!("l{i}"));
        symlink(to, &name).unwrap();
        assert_eq!((readlink(&name), lstat(&name).unwrap().size), (Ok(to.into()), to.len() as i64));
    }
}

fn symlink_length_limit(c: &Ctx<'_>) {
    for len in [127, 128, 4000, 4094] {
        let to = "x".repeat(len);
        let name = c.p(&format!("l{len}"));
        symlink(&to, &name).unwrap();
        assert_eq!((readlink(&name), lstat(&name).unwrap().size), (Ok(to.into()), len as i64));
    }
    symlink("x".repeat(4095), c.p("l4095")).unwrap();
    fails(symlink("x".repeat(4096), c.p("l4096")), ENAMETOOLONG);
}

fn readlink_errors(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(readlink(c.p("f")), EINVAL);
    fails(readlink(&c.dir), EINVAL);
    fails(readlink(c.p("no")), ENOENT);
}

fn readlink_truncates(c: &Ctx<'_>) {
    symlink("0123456789", c.p("l")).unwrap();
    let path = sys::c(c.p("l"));
    let mut buf = [b'#'; 6];
    // SAFETY: four bytes fit.
    let n = unsafe { libc::readlink(path.as_ptr(), buf.as_mut_ptr().cast(), 4) };
    assert_eq!((n, &buf), (4, b"0123##"));
    // SAFETY: a length of 0 is refused before the buffer is used.
    let n = unsafe { libc::readlink(path.as_ptr(), buf.as_mut_ptr().cast(), 0) };
    assert_eq!((n, errno()), (-1, EINVAL));
}

fn symlink_bytes(c: &Ctx<'_>) {
    use std::os::unix::ffi::OsStrExt;
    let to = std::ffi::OsStr::from_bytes(b"\xff\n\x01/\x80");
    symlink(to, c.p("l")).unwrap();
    assert_eq!(readlink(c.p("l")), Ok(b"\xff\n\x01/\x80".to_vec()));
}

fn symlink_chain(c: &Ctx<'_>) {
    put(c.p("l0"), b"end");
    for i in 1..=41 {
        symlink(format!("l{}", i - 1), c.p(&format!("l{i}"))).unwrap();
    }
    assert_eq!(slurp(c.p("l40")), b"end");
    fails(open(c.p("l41"), O_RDONLY), ELOOP);
}

fn symlink_loop(c: &Ctx<'_>) {
    symlink("b", c.p("a")).unwrap();
    symlink("a", c.p("b")).unwrap();
    symlink("self", c.p("self")).unwrap();
    for name in ["a", "b", "self", "self/x"] {
        fails(stat(c.p(name)), ELOOP);
    }
    fails(open(c.p("a"), O_CREAT | O_RDWR), ELOOP);
    fails(chmod(c.p("self"), 0o600), ELOOP);
    unlink(c.p("self")).unwrap();
}

fn symlink_to_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("d", c.p("l")).unwrap();
    touch(c.p("l/f"));
    assert_eq!(ls(c.p("d")), ["f"]);
    fails(rmdir(c.p("l")), ENOTDIR);
    fails(rmdir(c.p("l/")), ENOTDIR);
    fails(mkdir(c.p("l"), 0o700), EEXIST);
    rename(c.p("l"), c.p("m")).unwrap();
    assert_eq!(ls(c.p("m")), ["f"]);
}

fn symlink_dotdot(c: &Ctx<'_>) {
    std::fs::create_dir_all(c.p("a/b")).unwrap();
    touch(c.p("f"));
    symlink("../../f", c.p("a/b/l")).unwrap();
    assert_eq!(stat(c.p("a/b/l")), stat(c.p("f")));
    symlink("a/b", c.p("m")).unwrap();
    assert_eq!(stat(c.p("m/..")).unwrap().ino, stat(c.p("a")).unwrap().ino);
}

fn symlink_long_and_short(c: &Ctx<'_>) {
    // SHORT_SYMLINK_LEN: longer targets take a page, which st_blocks shows.
    symlink("x".repeat(127), c.p("short")).unwrap();
    symlink("x".repeat(128), c.p("long")).unwrap();
    assert_eq!((lstat(c.p("short")).unwrap().blocks, lstat(c.p("long")).unwrap().blocks), (0, 8));
}

fn unlink_open_twice(c: &Ctx<'_>) {
    let a = put(c.p("f"), b"a");
    unlink(c.p("f")).unwrap();
    let b = put(c.p("f"), b"b");
    unlink(c.p("f")).unwrap();
    assert_eq!((pread(&a, 9, 0), pread(&b, 9, 0)), (Ok(b"a".to_vec()), Ok(b"b".to_vec())));
    assert_eq!((fstat(&a).unwrap().nlink, fstat(&b).unwrap().nlink), (0, 0));
}

fn protected(c: &Ctx<'_>) {
    // The kernel's own rule (fs.protected_hardlinks) where it is on; the same on any file system.
    let on = std::fs::read("/proc/sys/fs/protected_hardlinks").unwrap() == b"1\n";
    chmod(&c.dir, 0o777).unwrap();
    touch(c.p("roots"));
    let want = if on { Err(EPERM) } else { Ok(()) };
    as_user(1000, || assert_eq!(link(c.p("roots"), c.p("mine")), want));
}

fn privileged_empty_path(c: &Ctx<'_>) {
    touch(c.p("f"));
    let fd = open(c.p("f"), O_PATH).unwrap();
    let to = sys::c(c.p("g"));
    let r = crate::syscall!(libc::SYS_linkat, fd.as_raw_fd(), c"".as_ptr(), libc::AT_FDCWD, to.as_ptr(), AT_EMPTY_PATH);
    assert_eq!((r, stat(c.p("f")).unwrap().nlink), (Ok(0), 2));
}

fn unlink_in_sticky(c: &Ctx<'_>) {
    chmod(&c.dir, 0o1777).unwrap();
    for (name, uid) in [("root", 0), ("a", 1000), ("b", 1001)] {
        touch(c.p(name));
        chown(c.p(name), uid, uid).unwrap();
    }
    as_user(1000, || {
        fails(unlink(c.p("root")), EPERM);
        fails(unlink(c.p("b")), EPERM);
        unlink(c.p("a")).unwrap();
    });
    chown(&c.dir, 1001, 1001).unwrap();
    as_user(1001, || unlink(c.p("root")).unwrap());
    unlink(c.p("b")).unwrap();
}

fn rmdir_in_sticky(c: &Ctx<'_>) {
    chmod(&c.dir, 0o1777).unwrap();
    mkdir(c.p("d"), 0o777).unwrap();
    as_user(1000, || {
        fails(rmdir(c.p("d")), EPERM);
        mkdir(c.p("mine"), 0o700).unwrap();
        rmdir(c.p("mine")).unwrap();
    });
}

fn protected_symlinks_in_sticky(c: &Ctx<'_>) {
    let on = std::fs::read("/proc/sys/fs/protected_symlinks").unwrap() == b"1\n";
    chmod(&c.dir, 0o1777).unwrap();
    put(c.p("f"), b"data");
    as_user(1000, || symlink("f", c.p("l")).unwrap());
    let want = if on { Err(EACCES) } else { Ok(()) };
    as_user(1001, || assert_eq!(open(c.p("l"), O_RDONLY).map(drop), want));
    as_user(1000, || drop(open(c.p("l"), O_RDONLY).unwrap()));
}

fn owner_of_symlink(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    lchown(c.p("l"), 1000, 1001).unwrap();
    let st = lstat(c.p("l")).unwrap();
    assert_eq!((st.uid, st.gid, st.mode, stat(c.p("f")).unwrap().uid), (1000, 1001, S_IFLNK | 0o777, 0));
}

fn symlink_permissions_ignored(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    symlink("f", c.p("l")).unwrap();
    lchown(c.p("l"), 1234, 1234).unwrap();
    as_user(1000, || assert_eq!(readlink(c.p("l")), Ok(b"f".to_vec())));
    assert_eq!(fchmodat2(&c.p("l"), 0o600, AT_SYMLINK_NOFOLLOW), Err(EOPNOTSUPP));
    assert_eq!(lstat(c.p("l")).unwrap().mode, S_IFLNK | 0o777);
}
