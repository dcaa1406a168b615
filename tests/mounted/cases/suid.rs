//! setuid and setgid: what clears them, and who may set them.

use std::os::fd::{AsRawFd, OwnedFd};

use crate::acl;
use crate::consts::*;
use crate::proc::{as_member, as_user, shared};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["suid";
    root: write_by_user, write_by_root, write_of_nothing, pwritev_by_user, append_by_user, truncate_by_user, truncate_same_size_by_user, truncate_by_root, truncate_by_path, open_trunc_by_user, open_trunc_by_root,
        fallocate_by_user, fallocate_by_root, punch_by_user, zero_range_by_user, copy_range_by_user, splice_by_user, sendfile_by_user, mapped_store_keeps, write_by_owner, write_by_group_member,
        sgid_without_group_exec, chown_by_root, chown_of_directory, chown_to_same, chown_by_owner, chmod_by_outsider_drops_sgid, chmod_by_member_keeps_sgid, chmod_of_directory_by_outsider,
        xattr_keeps, rename_and_link_keep, utimens_keeps, capability_removed_by_write, capability_removed_by_chown, capability_set_by_user, executes_as_owner, new_file_has_none, o_direct_write,
        write_through_two_names, lchown_keeps_mode, chown_nothing_by_readers, chown_nothing_by_writers;
    nobody: own_file_write, own_file_truncate, own_file_chmod;
];

const BOTH: u32 = 0o6777;

/// A file of root's with both bits that everybody may write to, and a descriptor that was opened for writing.
fn setid(c: &Ctx<'_>, mode: u32) -> OwnedFd {
    let fd = put(c.p("f"), &[7; 5000]);
    chmod(c.p("f"), mode).unwrap();
    fd
}

fn perm(c: &Ctx<'_>) -> u32 {
    stat(c.p("f")).unwrap().perm()
}

/// The mode after `op` ran as another user on a 06777 file.
fn after(c: &Ctx<'_>, op: impl FnOnce(&OwnedFd)) -> u32 {
    setid(c, BOTH);
    let fd = open(c.p("f"), O_RDWR).unwrap();
    as_user(1000, || op(&fd));
    perm(c)
}

fn write_by_user(c: &Ctx<'_>) {
    assert_eq!(after(c, |fd| sys::write(fd, b"x").map(drop).unwrap()), 0o777);
}

fn write_by_root(c: &Ctx<'_>) {
    let fd = setid(c, BOTH);
    pwrite(&fd, b"x", 0).unwrap();
    assert_eq!(perm(c), BOTH);
}

fn write_of_nothing(c: &Ctx<'_>) {
    assert_eq!(after(c, |fd| sys::write(fd, b"").map(drop).unwrap()), BOTH);
}

fn pwritev_by_user(c: &Ctx<'_>) {
    let write = |fd: &OwnedFd| {
        let iov = libc::iovec { iov_base: b"x".as_ptr().cast_mut().cast(), iov_len: 1 };
        // SAFETY: a live buffer.
        assert_eq!(unsafe { libc::pwritev(fd.as_raw_fd(), &iov, 1, 100) }, 1);
    };
    assert_eq!(after(c, write), 0o777);
}

fn append_by_user(c: &Ctx<'_>) {
    let write = |_: &OwnedFd| {
        let fd = open(c.p("f"), O_WRONLY | O_APPEND).unwrap();
        sys::write(&fd, b"x").unwrap();
    };
    assert_eq!(after(c, write), 0o777);
}

fn truncate_by_user(c: &Ctx<'_>) {
    assert_eq!(after(c, |fd| ftruncate(fd, 10).unwrap()), 0o777);
}

fn truncate_same_size_by_user(c: &Ctx<'_>) {
    assert_eq!(after(c, |fd| ftruncate(fd, 5000).unwrap()), 0o777);
}

fn truncate_by_root(c: &Ctx<'_>) {
    let fd = setid(c, BOTH);
    ftruncate(&fd, 10).unwrap();
    truncate(c.p("f"), 5).unwrap();
    assert_eq!(perm(c), BOTH);
}

fn truncate_by_path(c: &Ctx<'_>) {
    assert_eq!(after(c, |_| truncate(c.p("f"), 10).unwrap()), 0o777);
}

fn open_trunc_by_user(c: &Ctx<'_>) {
    assert_eq!(after(c, |_| drop(open(c.p("f"), O_WRONLY | O_TRUNC).unwrap())), 0o777);
}

fn open_trunc_by_root(c: &Ctx<'_>) {
    setid(c, BOTH);
    open(c.p("f"), O_WRONLY | O_TRUNC).unwrap();
    assert_eq!(perm(c), BOTH);
}

fn fallocate_by_user(c: &Ctx<'_>) {
    assert_eq!(after(c, |fd| fallocate(fd, 0, 0, 100_000).unwrap()), 0o777);
}

fn fallocate_by_root(c: &Ctx<'_>) {
    let fd = setid(c, BOTH);
    fallocate(&fd, 0, 0, 100_000).unwrap();
    assert_eq!(perm(c), BOTH);
}

fn punch_by_user(c: &Ctx<'_>) {
    let punch = |fd: &OwnedFd| fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096).unwrap();
    assert_eq!(after(c, punch), 0o777);
}

fn zero_range_by_user(c: &Ctx<'_>) {
    let zero = |fd: &OwnedFd| fails(fallocate(fd, FALLOC_FL_ZERO_RANGE, 0, 4096), EOPNOTSUPP);
    assert_eq!(after(c, zero), if c.differs() { 0o777 } else { BOTH });
}

fn copy_range_by_user(c: &Ctx<'_>) {
    put(c.p("source"), b"data");
    let copy = |fd: &OwnedFd| {
        let from = open(c.p("source"), O_RDONLY).unwrap();
        let n = crate::syscall!(libc::SYS_copy_file_range, from.as_raw_fd(), 0, fd.as_raw_fd(), 0, 4, 0);
        assert_eq!(n, Ok(4));
    };
    assert_eq!(after(c, copy), 0o777);
}

fn splice_by_user(c: &Ctx<'_>) {
    let splice = |fd: &OwnedFd| {
        let mut pipe = [0; 2];
        // SAFETY: two descriptors fit; live data; no offsets.
        unsafe {
            assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
            assert_eq!(libc::write(pipe[1], b"x".as_ptr().cast(), 1), 1);
            let n = libc::splice(pipe[0], std::ptr::null_mut(), fd.as_raw_fd(), std::ptr::null_mut(), 1, 0);
            assert_eq!(n, 1);
        }
    };
    assert_eq!(after(c, splice), 0o777);
}

fn sendfile_by_user(c: &Ctx<'_>) {
    put(c.p("source"), b"data");
    let send = |fd: &OwnedFd| {
        let from = open(c.p("source"), O_RDONLY).unwrap();
        // SAFETY: no offset.
        assert_eq!(unsafe { libc::sendfile(fd.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), 4) }, 4);
    };
    assert_eq!(after(c, send), 0o777);
}

fn mapped_store_keeps(c: &Ctx<'_>) {
    let store = |fd: &OwnedFd| {
        let map = shared(fd, 4096);
        map.set(0, 1);
        map.sync(MS_SYNC).unwrap();
    };
    assert_eq!(after(c, store), BOTH);
}

fn write_by_owner(c: &Ctx<'_>) {
    setid(c, BOTH);
    chown(c.p("f"), 1000, 1000).unwrap();
    chmod(c.p("f"), BOTH).unwrap();
    as_user(1000, || sys::write(&open(c.p("f"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
    assert_eq!(perm(c), 0o777);
}

fn write_by_group_member(c: &Ctx<'_>) {
    setid(c, BOTH);
    chown(c.p("f"), 0, 2000).unwrap();
    chmod(c.p("f"), BOTH).unwrap();
    as_member(1000, 1000, &[2000], || sys::write(&open(c.p("f"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
    // setattr_should_drop_sgid: a group-executable file loses it whoever writes.
    assert_eq!(perm(c), 0o777);
}

fn sgid_without_group_exec(c: &Ctx<'_>) {
    // Without group execution it once meant mandatory locking: kept for members of the group.
    setid(c, BOTH);
    chown(c.p("f"), 0, 2000).unwrap();
    for (groups, want) in [(&[2000][..], 0o2767), (&[][..], 0o767)] {
        chmod(c.p("f"), 0o6767).unwrap();
        as_member(1000, 1000, groups, || sys::write(&open(c.p("f"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
        assert_eq!(perm(c), want);
    }
    for (groups, want) in [(&[2000][..], 0o2767), (&[][..], 0o767)] {
        chmod(c.p("f"), 0o6767).unwrap();
        as_member(1000, 1000, groups, || truncate(c.p("f"), 7).unwrap());
        assert_eq!(perm(c), want);
    }
}

fn chown_by_root(c: &Ctx<'_>) {
    for (uid, gid) in [(1000, 1000), (u32::MAX, 2000), (0, u32::MAX)] {
        setid(c, BOTH);
        chown(c.p("f"), uid, gid).unwrap();
        assert_eq!(perm(c), 0o777, "{uid} {gid}");
    }
    // Not group-executable, and root is no outsider: the setgid bit stays.
    setid(c, 0o6767);
    chown(c.p("f"), 1000, 1000).unwrap();
    assert_eq!(perm(c), 0o2767);
}

fn chown_of_directory(c: &Ctx<'_>) {
    mkdir(c.p("f"), 0o755).unwrap();
    chmod(c.p("f"), 0o6755).unwrap();
    chown(c.p("f"), 1000, 1000).unwrap();
    assert_eq!(perm(c), 0o6755);
}

fn chown_to_same(c: &Ctx<'_>) {
    setid(c, BOTH);
    chown(c.p("f"), u32::MAX, u32::MAX).unwrap();
    assert_eq!(perm(c), 0o777);
    chmod(c.p("f"), BOTH).unwrap();
    chown(c.p("f"), 0, 0).unwrap();
    assert_eq!(perm(c), 0o777);
}

fn chown_by_owner(c: &Ctx<'_>) {
    setid(c, BOTH);
    chown(c.p("f"), 1000, 1000).unwrap();
    chmod(c.p("f"), BOTH).unwrap();
    as_member(1000, 1000, &[2000], || {
        fails(chown(c.p("f"), 1001, u32::MAX), EPERM);
        fails(chown(c.p("f"), u32::MAX, 3000), EPERM);
        chown(c.p("f"), 1000, 2000).unwrap();
    });
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.perm(), st.uid, st.gid), (0o777, 1000, 2000));
}

fn chmod_by_outsider_drops_sgid(c: &Ctx<'_>) {
    setid(c, 0o777);
    chown(c.p("f"), 1000, 2000).unwrap();
    as_user(1000, || chmod(c.p("f"), 0o6755).unwrap());
    assert_eq!(perm(c), 0o4755);
    as_user(1001, || fails(chmod(c.p("f"), 0o777), EPERM));
}

fn chmod_by_member_keeps_sgid(c: &Ctx<'_>) {
    setid(c, 0o777);
    chown(c.p("f"), 1000, 2000).unwrap();
    as_member(1000, 1000, &[2000], || chmod(c.p("f"), 0o6755).unwrap());
    assert_eq!(perm(c), 0o6755);
    chmod(c.p("f"), 0o2755).unwrap();
    assert_eq!(perm(c), 0o2755);
}

fn chmod_of_directory_by_outsider(c: &Ctx<'_>) {
    mkdir(c.p("f"), 0o755).unwrap();
    chown(c.p("f"), 1000, 2000).unwrap();
    as_user(1000, || chmod(c.p("f"), 0o7755).unwrap());
    assert_eq!(perm(c), 0o5755);
}

fn xattr_keeps(c: &Ctx<'_>) {
    let set = |_: &OwnedFd| {
        setxattr(c.p("f"), "user.x", b"1", 0).unwrap();
        removexattr(c.p("f"), "user.x").unwrap();
    };
    assert_eq!(after(c, set), BOTH);
}

fn rename_and_link_keep(c: &Ctx<'_>) {
    setid(c, BOTH);
    link(c.p("f"), c.p("g")).unwrap();
    rename(c.p("g"), c.p("h")).unwrap();
    assert_eq!(perm(c), BOTH);
}

fn utimens_keeps(c: &Ctx<'_>) {
    assert_eq!(after(c, |_| utimens(c.p("f"), None, 0).unwrap()), BOTH);
}

/// security.capability, revision 2, with one permitted bit.
const CAPABILITY: [u8; 20] = [1, 0, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn capability_removed_by_write(c: &Ctx<'_>) {
    setid(c, 0o777);
    setxattr(c.p("f"), "security.capability", &CAPABILITY, 0).unwrap();
    assert_eq!(getxattr(c.p("f"), "security.capability"), Ok(CAPABILITY.to_vec()));
    let before = stat(c.p("f")).unwrap();
    as_user(1000, || sys::write(&open(c.p("f"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
    assert_eq!(getxattr(c.p("f"), "security.capability"), Err(ENODATA));
    assert_eq!(stat(c.p("f")).unwrap().mode, before.mode);
    // Root's writes remove it too.
    setxattr(c.p("f"), "security.capability", &CAPABILITY, 0).unwrap();
    sys::write(&open(c.p("f"), O_WRONLY).unwrap(), b"x").map(drop).unwrap();
    assert_eq!(getxattr(c.p("f"), "security.capability"), Err(ENODATA));
    setxattr(c.p("f"), "security.capability", &CAPABILITY, 0).unwrap();
    truncate(c.p("f"), 1).unwrap();
    assert_eq!(getxattr(c.p("f"), "security.capability"), Err(ENODATA));
}

fn capability_removed_by_chown(c: &Ctx<'_>) {
    setid(c, 0o777);
    setxattr(c.p("f"), "security.capability", &CAPABILITY, 0).unwrap();
    chown(c.p("f"), 1000, 1000).unwrap();
    assert_eq!(getxattr(c.p("f"), "security.capability"), Err(ENODATA));
}

fn capability_set_by_user(c: &Ctx<'_>) {
    setid(c, 0o777);
    chown(c.p("f"), 1000, 1000).unwrap();
    as_user(1000, || fails(setxattr(c.p("f"), "security.capability", &CAPABILITY, 0), EPERM));
    fails(setxattr(c.p("f"), "security.capability", b"short", 0), EINVAL);
}

fn executes_as_owner(c: &Ctx<'_>) {
    std::fs::copy("/usr/bin/id", c.p("id")).unwrap();
    chown(c.p("id"), 1234, 2345).unwrap();
    chmod(c.p("id"), 0o6755).unwrap();
    as_user(1000, || {
        let run = |flag| {
            let out = std::process::Command::new(c.p("id")).arg(flag).output().unwrap();
            String::from_utf8(out.stdout).unwrap().trim().to_string()
        };
        assert_eq!((run("-u"), run("-g"), run("-ru")), ("1234".into(), "2345".into(), "1000".into()));
    });
}

fn new_file_has_none(c: &Ctx<'_>) {
    setid(c, BOTH);
    std::fs::copy(c.p("f"), c.p("g")).unwrap();
    // The umask of the case took the writable bits; open(2) takes what the mode says.
    let fd = open_mode(c.p("h"), O_CREAT | O_RDWR, 0o6755).unwrap();
    assert_eq!(fstat(&fd).unwrap().perm(), 0o6755);
    sys::write(&fd, b"root writes").unwrap();
    assert_eq!(fstat(&fd).unwrap().perm(), 0o6755);
}

fn o_direct_write(c: &Ctx<'_>) {
    let write = |_: &OwnedFd| {
        let fd = open(c.p("f"), O_WRONLY | O_DIRECT).unwrap();
        assert_eq!(pwrite(&fd, &[1; 4096], 0), Ok(4096));
    };
    assert_eq!(after(c, write), 0o777);
}

fn write_through_two_names(c: &Ctx<'_>) {
    setid(c, BOTH);
    link(c.p("f"), c.p("g")).unwrap();
    as_user(1000, || sys::write(&open(c.p("g"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
    assert_eq!((perm(c), stat(c.p("g")).unwrap().perm()), (0o777, 0o777));
    // And again, after the kernel has learnt that there is nothing to remove.
    chmod(c.p("f"), BOTH).unwrap();
    as_user(1000, || sys::write(&open(c.p("g"), O_WRONLY).unwrap(), b"x").map(drop).unwrap());
    assert_eq!(perm(c), 0o777);
}

fn lchown_keeps_mode(c: &Ctx<'_>) {
    setid(c, BOTH);
    acl::set(c.p("f"), acl::ACCESS, "u::rwx,u:1000:rwx,g::rwx,m::rwx,o::rwx").unwrap();
    assert_eq!(perm(c), BOTH);
    chown(c.p("f"), 1000, 1000).unwrap();
    assert_eq!(perm(c), 0o777);
}

fn chown_nothing_by_readers(c: &Ctx<'_>) {
    // notify_change turns it into a change of mode, which is the owner's alone. Never open to write: shmfs may hear a
    // little later that a file is closed, and while somebody can write it takes the request for a write.
    mknod(c.p("f"), S_IFREG | 0o600, 0).unwrap();
    chmod(c.p("f"), 0o6755).unwrap();
    as_user(1000, || fails(chown(c.p("f"), u32::MAX, u32::MAX), EPERM));
    assert_eq!(perm(c), 0o6755);
}

fn chown_nothing_by_writers(c: &Ctx<'_>) {
    setid(c, BOTH);
    let (want, left) = if c.differs() { (Ok(()), 0o777) } else { (Err(EPERM), BOTH) };
    as_user(1000, || assert_eq!(chown(c.p("f"), u32::MAX, u32::MAX), want));
    assert_eq!(perm(c), left);
}

fn own_file_write(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    fchmod(&fd, 0o6755).unwrap();
    sys::write(&fd, b"x").unwrap();
    let root = crate::proc::ids().0 == 0;
    assert_eq!(perm(c), if root { 0o6755 } else { 0o755 });
}

fn own_file_truncate(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    let root = crate::proc::ids().0 == 0;
    for op in [|fd: &OwnedFd| ftruncate(fd, 2), |fd: &OwnedFd| fallocate(fd, 0, 0, 50)] {
        fchmod(&fd, 0o6755).unwrap();
        op(&fd).unwrap();
        assert_eq!(perm(c), if root { 0o6755 } else { 0o755 });
    }
}

fn own_file_chmod(c: &Ctx<'_>) {
    touch(c.p("f"));
    for mode in [0, 0o4000, 0o2000, 0o1000, 0o7777, 0o1644] {
        chmod(c.p("f"), mode).unwrap();
        assert_eq!(perm(c), mode);
    }
    // Bits that are no mode are ignored.
    chmod(c.p("f"), 0o170_644).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().mode, S_IFREG | 0o644);
}
