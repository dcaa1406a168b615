//! Limits for each user, which answer as tmpfs's quotas do. Each case has a mount of its own; on tmpfs they run where
//! the kernel has such quotas (`CONFIG_TMPFS_QUOTA`).

use std::os::fd::{AsRawFd, OwnedFd};

use crate::consts::*;
use crate::harness::Extra;
use crate::namespaces::{drop_capability, has_capability};
use crate::proc::{as_user, child, eventually, shared};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["quotas";
    quotas: write_edquot, write_is_short_at_the_limit, append_edquot, every_type_edquot, links_are_free, xattrs_are_free, unlinked_counts_until_closed, truncate_gives_back, truncate_may_exceed, fallocate_takes_all_or_nothing,
        hole_gives_back, hole_beyond_the_end_gives_back, copy_is_short_at_the_limit, root_has_no_limit, capable_is_counted_only, incapable_root_is_limited_by_the_owner, chown_moves_the_charge, chown_edquot, symlink_page_edquot, file_system_is_full_first,
        mapped_store_within, users_do_not_meet, splice_edquot, two_descriptors_count_once;
];

const A: u32 = 1000;
const B: u32 = 1001;
const KIB: usize = 1024;
/// include/uapi/linux/capability.h.
const CAP_SYS_RESOURCE: u32 = 24;

fn copy(from: &OwnedFd, to: &OwnedFd, at: usize, len: usize) -> R<usize> {
    let (mut into, mut at) = (at as i64, at as i64);
    // SAFETY: two live offsets.
    check(unsafe {
        libc::copy_file_range(from.as_raw_fd(), &mut at, to.as_raw_fd(), &mut into, len, 0)
    })
    .map(|copied| copied as usize)
}

fn send(from: &OwnedFd, to: &OwnedFd, len: usize) -> R<usize> {
    let mut at = 0;
    // SAFETY: a live offset.
    let sent = unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), &mut at, len) };
    check(sent).map(|sent| sent as usize)
}

/// A mount on which each user may have that much.
fn limited(c: &Ctx<'_>, size: &str, inodes: &str) -> Extra {
    let (prefix, of_size, of_inodes) = if c.target.is_tmpfs() {
        ("usrquota,", "usrquota_block_hardlimit", "usrquota_inode_hardlimit")
    } else {
        ("", "uid_size", "uid_nr_inodes")
    };
    let part = |name: &str, value: &str| (!value.is_empty()).then(|| format!("{name}={value}"));
    let parts: Vec<String> = part(of_size, size).into_iter().chain(part(of_inodes, inodes)).collect();
    c.mount(&format!("{prefix}mode=1777,size=16m,{}", parts.join(",")))
}

/// What `uid` can still write in one file.
fn room_of(m: &Extra, uid: u32, most: usize) -> usize {
    let path = m.p("room");
    let _ = unlink(&path);
    as_user(uid, || {
        let fd = open(&path, O_CREAT | O_RDWR).unwrap();
        let _ = sys::write(&fd, &vec![1; most]);
    });
    let size = stat(&path).unwrap().size as usize;
    unlink(&path).unwrap();
    size
}

/// Waits until so much is free again: what the last close gives back may come a moment later.
#[track_caller]
fn comes_back_to(m: &Extra, uid: u32, want: usize) {
    eventually("the pages are free again", || room_of(m, uid, 1024 * KIB) == want);
}

fn write_edquot(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = put(m.p("f"), &[1; 64 * KIB]);
        fails(sys::write(&fd, b"x"), EDQUOT);
        // What is there can be written over.
        assert_eq!(pwrite(&fd, &[2; 64 * KIB], 0), Ok(64 * KIB));
        let other = open(m.p("g"), O_CREAT | O_RDWR).unwrap();
        fails(sys::write(&other, b"x"), EDQUOT);
        assert_eq!(fstat(&other).unwrap().size, 0);
    });
}

fn write_is_short_at_the_limit(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = put(m.p("f"), &[1; 60 * KIB]);
        assert_eq!(sys::write(&fd, &[2; 8 * KIB]), Ok(4 * KIB));
        fails(sys::write(&fd, &[2; 8 * KIB]), EDQUOT);
        assert_eq!(fstat(&fd).unwrap().size, 64 * KIB as i64);
    });
}

fn append_edquot(c: &Ctx<'_>) {
    let m = limited(c, "8k", "");
    as_user(A, || {
        put(m.p("f"), &[1; 8 * KIB]);
        let fd = open(m.p("f"), O_WRONLY | O_APPEND).unwrap();
        fails(sys::write(&fd, b"x"), EDQUOT);
    });
}

fn every_type_edquot(c: &Ctx<'_>) {
    let m = limited(c, "", "3");
    as_user(A, || {
        touch(m.p("a"));
        mkdir(m.p("b"), 0o755).unwrap();
        symlink("x", m.p("c")).unwrap();
        fails(open(m.p("d"), O_CREAT | O_RDWR), EDQUOT);
        fails(mkdir(m.p("d"), 0o755), EDQUOT);
        fails(symlink("x", m.p("d")), EDQUOT);
        fails(mknod(m.p("d"), S_IFIFO | 0o644, 0), EDQUOT);
        // A name that is there says so first.
        fails(mkdir(m.p("a"), 0o755), EEXIST);
        rename(m.p("a"), m.p("d")).unwrap();
        rmdir(m.p("b")).unwrap();
        unlink(m.p("c")).unwrap();
        eventually("two inodes are free", || {
            let made = mkdir(m.p("e"), 0o755).is_ok() && mkdir(m.p("f"), 0o755).is_ok();
            if !made {
                let _ = rmdir(m.p("e"));
            }
            made
        });
    });
}

fn links_are_free(c: &Ctx<'_>) {
    let m = limited(c, "", "1");
    as_user(A, || {
        touch(m.p("a"));
        link(m.p("a"), m.p("b")).unwrap();
        link(m.p("a"), m.p("c")).unwrap();
        unlink(m.p("a")).unwrap();
        fails(open(m.p("a"), O_CREAT | O_RDWR), EDQUOT);
    });
}

fn xattrs_are_free(c: &Ctx<'_>) {
    let m = limited(c, "4k", "1");
    as_user(A, || {
        put(m.p("a"), &[1; 4 * KIB]);
        setxattr(m.p("a"), "user.x", &[7; 8 * KIB], 0).unwrap();
    });
}

fn unlinked_counts_until_closed(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = put(m.p("f"), &[1; 64 * KIB]);
        unlink(m.p("f")).unwrap();
        let other = open(m.p("g"), O_CREAT | O_RDWR).unwrap();
        fails(sys::write(&other, b"x"), EDQUOT);
        drop(fd);
    });
    comes_back_to(&m, A, 64 * KIB);
}

fn truncate_gives_back(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        put(m.p("f"), &[1; 64 * KIB]);
        truncate(m.p("f"), 16 * KIB as i64).unwrap();
        put(m.p("g"), &[1; 48 * KIB]);
        drop(open(m.p("g"), O_WRONLY | O_TRUNC).unwrap());
    });
    comes_back_to(&m, A, 48 * KIB);
}

fn truncate_may_exceed(c: &Ctx<'_>) {
    let differs = c.differs();
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = open(m.p("f"), O_CREAT | O_RDWR).unwrap();
        if differs {
            fails(ftruncate(&fd, 68 * KIB as i64), EDQUOT);
            assert_eq!(fstat(&fd).unwrap().size, 0);
            ftruncate(&fd, 64 * KIB as i64).unwrap();
        } else {
            ftruncate(&fd, 68 * KIB as i64).unwrap();
        }
    });
}

fn fallocate_takes_all_or_nothing(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = open(m.p("f"), O_CREAT | O_RDWR).unwrap();
        fails(fallocate(&fd, 0, 0, 68 * KIB as i64), EDQUOT);
        fallocate(&fd, FALLOC_FL_KEEP_SIZE, 0, 64 * KIB as i64).unwrap();
        assert_eq!(fstat(&fd).unwrap().size, 0);
        let other = open(m.p("g"), O_CREAT | O_RDWR).unwrap();
        fails(sys::write(&other, b"x"), EDQUOT);
        // Within what was given there is room.
        assert_eq!(sys::write(&fd, &[1; 64 * KIB]), Ok(64 * KIB));
    });
}

fn hole_gives_back(c: &Ctx<'_>) {
    let differs = c.differs();
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = put(m.p("f"), &[1; 64 * KIB]);
        fallocate(&fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 32 * KIB as i64).unwrap();
        let other = open(m.p("g"), O_CREAT | O_RDWR).unwrap();
        if differs {
            fails(sys::write(&other, b"x"), EDQUOT);
            assert_eq!(pwrite(&fd, &[1; 32 * KIB], 0), Ok(32 * KIB));
        } else {
            assert_eq!(sys::write(&other, &[1; 32 * KIB]), Ok(32 * KIB));
        }
    });
}

fn hole_beyond_the_end_gives_back(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = put(m.p("f"), &[1; 16 * KIB]);
        let hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
        fallocate(&fd, FALLOC_FL_KEEP_SIZE, 16 * KIB as i64, 48 * KIB as i64).unwrap();
        fallocate(&fd, hole, 32 * KIB as i64, 64 * KIB as i64).unwrap();
    });
    comes_back_to(&m, A, 32 * KIB);
}

fn copy_is_short_at_the_limit(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    let source = put(m.p("source"), &[5; 64 * KIB]);
    as_user(A, || {
        put(m.p("f"), &[1; 32 * KIB]);
        let target = open(m.p("g"), O_CREAT | O_RDWR).unwrap();
        let copied = copy(&source, &target, 0, 64 * KIB);
        assert_eq!(copied, Ok(32 * KIB));
        let copied = copy(&source, &target, 32 * KIB, KIB);
        fails(copied, EDQUOT);
    });
}

fn root_has_no_limit(c: &Ctx<'_>) {
    let m = limited(c, "64k", "2");
    child(|| {
        drop_capability(CAP_SYS_RESOURCE);
        for name in ["a", "b", "c", "d"] {
            put(m.p(name), &[1; 64 * KIB]);
        }
    });
}

fn capable_is_counted_only(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || drop(put(m.p("f"), &[1; 64 * KIB])));
    let fd = open(m.p("f"), O_WRONLY | O_APPEND).unwrap();
    if has_capability(CAP_SYS_RESOURCE) {
        assert_eq!(sys::write(&fd, &[1; 64 * KIB]), Ok(64 * KIB));
    } else {
        fails(sys::write(&fd, b"x"), EDQUOT);
    }
    as_user(A, || {
        let fd = open(m.p("g"), O_CREAT | O_RDWR).unwrap();
        fails(sys::write(&fd, b"x"), EDQUOT);
    });
    truncate(m.p("f"), 60 * KIB as i64).unwrap();
    comes_back_to(&m, A, 4 * KIB);
}

fn incapable_root_is_limited_by_the_owner(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || drop(put(m.p("f"), &[1; 64 * KIB])));
    child(|| {
        drop_capability(CAP_SYS_RESOURCE);
        let fd = open(m.p("f"), O_WRONLY | O_APPEND).unwrap();
        fails(sys::write(&fd, b"x"), EDQUOT);
    });
}

fn chown_moves_the_charge(c: &Ctx<'_>) {
    let m = limited(c, "64k", "2");
    as_user(A, || drop(put(m.p("f"), &[1; 48 * KIB])));
    chown(m.p("f"), B, B).unwrap();
    assert_eq!(room_of(&m, A, 128 * KIB), 64 * KIB);
    comes_back_to(&m, B, 16 * KIB);
    // One more inode is all that B may have.
    as_user(B, || {
        touch(m.p("g"));
        fails(open(m.p("h"), O_CREAT | O_RDWR), EDQUOT);
    });
    // The group is charged with nothing, and an owner who stays either.
    chown(m.p("f"), B, A).unwrap();
    chown(m.p("f"), 0, 0).unwrap();
    as_user(B, || touch(m.p("h")));
    comes_back_to(&m, A, 64 * KIB);
}

fn chown_edquot(c: &Ctx<'_>) {
    let m = limited(c, "64k", "2");
    as_user(A, || drop(put(m.p("f"), &[1; 48 * KIB])));
    as_user(B, || drop(put(m.p("g"), &[1; 32 * KIB])));
    child(|| {
        drop_capability(CAP_SYS_RESOURCE);
        fails(chown(m.p("f"), B, B), EDQUOT);
        let st = stat(m.p("f")).unwrap();
        assert_eq!((st.uid, st.gid), (A, A));
        // To root it may always go.
        chown(m.p("g"), 0, 0).unwrap();
        chown(m.p("f"), B, B).unwrap();
    });
    // Who may take more than the limit can also give it.
    let given = chown(m.p("g"), B, B);
    if has_capability(CAP_SYS_RESOURCE) {
        given.unwrap();
    } else {
        fails(given, EDQUOT);
    }
    comes_back_to(&m, A, 64 * KIB);
}

fn symlink_page_edquot(c: &Ctx<'_>) {
    let m = limited(c, "4k", "10");
    let long = "x".repeat(200);
    as_user(A, || {
        symlink(&long, m.p("a")).unwrap();
        fails(symlink(&long, m.p("b")), EDQUOT);
        symlink("short", m.p("b")).unwrap();
        fails(lstat(m.p("c")), ENOENT);
        unlink(m.p("a")).unwrap();
    });
    comes_back_to(&m, A, 4 * KIB);
}

fn file_system_is_full_first(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    put(m.p("much"), &vec![1; (16 * 1024 - 64) * KIB]);
    as_user(A, || {
        let fd = put(m.p("f"), &[1; 64 * KIB]);
        fails(sys::write(&fd, b"x"), ENOSPC);
    });
}

fn mapped_store_within(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let fd = open(m.p("f"), O_CREAT | O_RDWR).unwrap();
        ftruncate(&fd, 64 * KIB as i64).unwrap();
        let map = shared(&fd, 64 * KIB);
        map.fill(0, &[3; 64 * KIB]);
        drop(map);
        assert_eq!(slurp(m.p("f")), [3; 64 * KIB]);
        fails(pwrite(&fd, b"x", 64 * KIB as i64), EDQUOT);
    });
}

fn users_do_not_meet(c: &Ctx<'_>) {
    let m = limited(c, "64k", "3");
    for uid in [A, B] {
        as_user(uid, || {
            put(m.p(&format!("f{uid}")), &[1; 64 * KIB]);
            touch(m.p(&format!("g{uid}")));
        });
    }
    as_user(B, || {
        unlink(m.p("f1001")).unwrap();
    });
    comes_back_to(&m, B, 64 * KIB);
    assert_eq!(room_of(&m, A, 128 * KIB), 0);
}

fn splice_edquot(c: &Ctx<'_>) {
    let m = limited(c, "8k", "");
    let source = put(m.p("source"), &[5; 16 * KIB]);
    as_user(A, || {
        let target = open(m.p("f"), O_CREAT | O_RDWR).unwrap();
        assert_eq!(send(&source, &target, 16 * KIB), Ok(8 * KIB));
        fails(send(&source, &target, 16 * KIB), EDQUOT);
        assert_eq!(slurp(m.p("f")), [5; 8 * KIB]);
    });
}

fn two_descriptors_count_once(c: &Ctx<'_>) {
    let m = limited(c, "64k", "");
    as_user(A, || {
        let one = put(m.p("f"), &[1; 32 * KIB]);
        let other = open(m.p("f"), O_RDWR).unwrap();
        let reader = open(m.p("f"), O_RDONLY).unwrap();
        assert_eq!(pwrite(&other, &[2; 64 * KIB], 0), Ok(64 * KIB));
        fails(pwrite(&one, b"x", 64 * KIB as i64), EDQUOT);
        assert_eq!(pread(&reader, 128 * KIB, 0).unwrap(), [2; 64 * KIB]);
    });
}
