//! chmod, chown, access: who may what.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{as_member, as_user, child, ids};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["owners";
    nobody: access_modes, faccessat_flags, chmod_types, chmod_of_missing, fchmodat_nofollow, chmod_by_path_descriptor, own_chown, umask_is_per_process, zero_mode_directory;
    root: chown_permissions, chown_group_member, chmod_permissions, chown_minus_one, fchown_of_unlinked, access_real_ids, execute_directory, chroot_into, mount_over_directory, bind_of_file, owner_changes_visible, setgid_clear_on_group_change, userns_ids;
];

fn access_modes(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o755).unwrap();
    assert_eq!((sys::access(c.p("f"), F_OK), sys::access(c.p("f"), R_OK | W_OK)), (Ok(()), Ok(())));
    fails(sys::access(c.p("f"), X_OK), EACCES);
    sys::access(c.p("d"), X_OK | R_OK | W_OK).unwrap();
    fails(sys::access(c.p("no"), F_OK), ENOENT);
    fails(sys::access(c.p("f"), 8), EINVAL);
}

fn faccessat_flags(c: &Ctx<'_>) {
    symlink("no", c.p("l")).unwrap();
    fails(faccessat2(&c.p("l"), F_OK, 0), ENOENT);
    faccessat2(&c.p("l"), F_OK, AT_SYMLINK_NOFOLLOW).unwrap();
    touch(c.p("f"));
    faccessat2(&c.p("f"), W_OK, libc::AT_EACCESS).unwrap();
    fails(faccessat2(&c.p("f"), W_OK, 1), EINVAL);
}

fn chmod_types(c: &Ctx<'_>) {
    touch(c.p("f"));
    mkdir(c.p("d"), 0o700).unwrap();
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    for (name, kind) in [("f", S_IFREG), ("d", S_IFDIR), ("n", S_IFIFO)] {
        for mode in [0, 0o111, 0o765, 0o1777, 0o4711] {
            chmod(c.p(name), mode).unwrap();
            assert_eq!(stat(c.p(name)).unwrap().mode, kind | mode);
        }
    }
    chmod(c.p("d"), 0o700).unwrap();
}

fn chmod_of_missing(c: &Ctx<'_>) {
    fails(chmod(c.p("no"), 0o600), ENOENT);
    symlink("no", c.p("l")).unwrap();
    fails(chmod(c.p("l"), 0o600), ENOENT);
}

fn fchmodat_nofollow(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    fails(fchmodat2(&c.p("l"), 0o600, AT_SYMLINK_NOFOLLOW), EOPNOTSUPP);
    fchmodat2(&c.p("f"), 0o600, AT_SYMLINK_NOFOLLOW).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().perm(), 0o600);
}

fn chmod_by_path_descriptor(c: &Ctx<'_>) {
    touch(c.p("f"));
    let fd = open(c.p("f"), O_PATH).unwrap();
    let got = crate::syscall!(452, fd.as_raw_fd(), c"".as_ptr(), 0o640, AT_EMPTY_PATH);
    assert_eq!((got, stat(c.p("f")).unwrap().perm()), (Ok(0), 0o640));
}

fn own_chown(c: &Ctx<'_>) {
    touch(c.p("f"));
    let (uid, gid) = ids();
    chown(c.p("f"), uid, gid).unwrap();
    chown(c.p("f"), u32::MAX, gid).unwrap();
    if uid != 0 {
        // No other id exists in this namespace.
        fails(chown(c.p("f"), 0, u32::MAX), EINVAL);
    }
}

fn umask_is_per_process(c: &Ctx<'_>) {
    child(|| {
        sys::umask(0o077);
        mkdir(c.p("tight"), 0o777).unwrap();
    });
    mkdir(c.p("loose"), 0o777).unwrap();
    assert_eq!((stat(c.p("tight")).unwrap().perm(), stat(c.p("loose")).unwrap().perm()), (0o700, 0o755));
}

fn zero_mode_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0).unwrap();
    if ids().0 != 0 {
        fails(std::fs::read_dir(c.p("d")).map(drop).map_err(|e| E(e.raw_os_error().unwrap())), EACCES);
        fails(stat(c.p("d/x")), EACCES);
        fails(open(c.p("d/x"), O_CREAT | O_RDWR), EACCES);
    }
    rmdir(c.p("d")).unwrap();
}

fn chown_permissions(c: &Ctx<'_>) {
    touch(c.p("f"));
    chown(c.p("f"), 1000, 1000).unwrap();
    as_user(1000, || {
        fails(chown(c.p("f"), 1001, u32::MAX), EPERM);
        fails(chown(c.p("f"), u32::MAX, 1001), EPERM);
        chown(c.p("f"), 1000, 1000).unwrap();
        chown(c.p("f"), u32::MAX, u32::MAX).unwrap();
    });
    as_user(1001, || {
        fails(chown(c.p("f"), 1001, u32::MAX), EPERM);
        fails(chown(c.p("f"), u32::MAX, 1001), EPERM);
        // Nothing to change: nothing to refuse.
        assert_eq!(chown(c.p("f"), u32::MAX, u32::MAX), Ok(()));
    });
}

fn chown_group_member(c: &Ctx<'_>) {
    touch(c.p("f"));
    chown(c.p("f"), 1000, 1000).unwrap();
    as_member(1000, 1000, &[2000], || {
        chown(c.p("f"), u32::MAX, 2000).unwrap();
        fails(chown(c.p("f"), u32::MAX, 2001), EPERM);
        chown(c.p("f"), 1000, 1000).unwrap();
    });
}

fn chmod_permissions(c: &Ctx<'_>) {
    touch(c.p("f"));
    chown(c.p("f"), 1000, 1000).unwrap();
    as_user(1001, || fails(chmod(c.p("f"), 0o777), EPERM));
    as_user(1000, || {
        chmod(c.p("f"), 0o1666).unwrap();
        fails(chmod(&c.dir, 0o777), EPERM);
    });
    assert_eq!(stat(c.p("f")).unwrap().perm(), 0o1666);
}

fn chown_minus_one(c: &Ctx<'_>) {
    touch(c.p("f"));
    chown(c.p("f"), 11, 22).unwrap();
    chown(c.p("f"), u32::MAX, 33).unwrap();
    let one = stat(c.p("f")).unwrap();
    chown(c.p("f"), 44, u32::MAX).unwrap();
    let two = stat(c.p("f")).unwrap();
    assert_eq!(((one.uid, one.gid), (two.uid, two.gid)), ((11, 33), (44, 33)));
    chown(c.p("f"), u32::MAX - 1, 1 << 31).unwrap();
    let big = stat(c.p("f")).unwrap();
    assert_eq!((big.uid, big.gid), (u32::MAX - 1, 1 << 31));
}

fn fchown_of_unlinked(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    unlink(c.p("f")).unwrap();
    fchown(&fd, 5, 6).unwrap();
    let st = fstat(&fd).unwrap();
    assert_eq!((st.uid, st.gid), (5, 6));
}

fn access_real_ids(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0o600).unwrap();
    child(|| {
        // SAFETY: no pointers: real uid 1000, effective uid 0.
        assert_eq!(unsafe { libc::setresuid(1000, 0, 0) }, 0);
        fails(sys::access(c.p("f"), R_OK), EACCES);
        faccessat2(&c.p("f"), R_OK, libc::AT_EACCESS).unwrap();
        open(c.p("f"), O_RDWR).unwrap();
    });
}

fn execute_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o711).unwrap();
    touch(c.p("d/f"));
    chmod(c.p("d"), 0o711).unwrap();
    as_user(1000, || {
        stat(c.p("d/f")).unwrap();
        chdir(c.p("d")).unwrap();
        fails(open(".", O_RDONLY), EACCES);
    });
    chmod(c.p("d"), 0o700).unwrap();
    as_user(1000, || fails(chdir(c.p("d")), EACCES));
}

fn chroot_into(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    child(|| {
        let path = sys::c(&c.dir);
        // SAFETY: a NUL-terminated path; only this child's root changes.
        check(unsafe { libc::chroot(path.as_ptr()) }).unwrap();
        chdir("/").unwrap();
        assert_eq!((slurp("/f"), stat("/..").unwrap().ino), (b"data".to_vec(), stat("/").unwrap().ino));
    });
}

fn mount_over_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    touch(c.p("d/below"));
    child(|| {
        // SAFETY: a namespace of the child's own.
        check(unsafe { libc::unshare(CLONE_NEWNS) }).unwrap();
        crate::harness::mount("over", &c.p("d"), "tmpfs", 0, "size=64k").unwrap();
        assert_eq!(ls(c.p("d")), [""; 0]);
        fails(rmdir(c.p("d")), EBUSY);
        fails(rename(c.p("d"), c.p("e")), EBUSY);
    });
    assert_eq!(ls(c.p("d")), ["below"]);
}

fn bind_of_file(c: &Ctx<'_>) {
    put(c.p("a"), b"a");
    put(c.p("b"), b"b");
    child(|| {
        // SAFETY: a namespace of the child's own.
        check(unsafe { libc::unshare(CLONE_NEWNS) }).unwrap();
        crate::harness::mount(c.p("a").to_str().unwrap(), &c.p("b"), "", libc::MS_BIND, "").unwrap();
        assert_eq!(slurp(c.p("b")), b"a");
        fails(unlink(c.p("b")), EBUSY);
    });
    assert_eq!(slurp(c.p("b")), b"b");
}

fn owner_changes_visible(c: &Ctx<'_>) {
    put(c.p("f"), b"data");
    chmod(c.p("f"), 0o600).unwrap();
    for _ in 0..5 {
        as_user(1000, || fails(open(c.p("f"), O_RDONLY), EACCES));
        chown(c.p("f"), 1000, 1000).unwrap();
        as_user(1000, || drop(open(c.p("f"), O_RDWR).unwrap()));
        chown(c.p("f"), 0, 0).unwrap();
    }
}

fn setgid_clear_on_group_change(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0o2755).unwrap();
    chown(c.p("f"), u32::MAX, 2000).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.perm(), st.gid), (0o755, 2000));
}

fn userns_ids(c: &Ctx<'_>) {
    chmod(&c.dir, 0o777).unwrap();
    touch(c.p("roots"));
    as_user(1000, || {
        // SAFETY: a user namespace of the child's own; it sees unmapped ids as the overflow id.
        check(unsafe { libc::unshare(libc::CLONE_NEWUSER) }).unwrap();
        assert_eq!((stat(c.p("roots")).unwrap().uid, stat(c.p("roots")).unwrap().gid), (65_534, 65_534));
        // No id to create with: the kernel refuses before the file system hears of it.
        fails(chmod(c.p("roots"), 0o777), EPERM);
    });
}
