//! statfs, and what happens at the limits. Each case has a mount of its own.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::harness::Extra;
use crate::proc::{Map, as_user, dies_of, eventually, mmap, shared};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["limits";
    root: statfs_numbers, statfs_by_descriptor, statfs_of_unlimited_inodes, blocks_come_and_go, sparse_takes_no_blocks, inodes_come_and_go, links_take_no_inode, symlinks_take_an_inode, xattrs_cost_inodes, xattr_cost_to_the_byte,
        unlinked_takes_blocks_until_closed, mapped_takes_blocks_until_unmapped, write_enospc, write_is_short_at_the_limit, append_enospc, mkdir_enospc, every_type_enospc, create_after_enospc, fallocate_enospc_takes_nothing, truncate_may_exceed,
        mapped_store_over_limit, enospc_is_for_users_too, rename_and_unlink_at_the_limit, punch_frees, root_directory, mode_uid_gid, read_only, noexec, nodev, nosuid, size_in_percent,
        nr_blocks_option, overwrite_at_the_limit, truncate_at_the_limit, symlink_page_enospc, rename_whiteout_enospc, unlink_makes_room_at_once;
];

type Fs = libc::statfs;

fn fs(m: &Extra) -> Fs {
    statfs(&m.dir).expect("statfs")
}

/// Free blocks and free inodes.
fn free(m: &Extra) -> (u64, u64) {
    let st = fs(m);
    (st.f_bfree, st.f_ffree)
}

/// Waits until both are back: what the last close gives back may come a moment later.
#[track_caller]
fn comes_back_to(m: &Extra, want: (u64, u64)) {
    eventually("the blocks and inodes are free again", || free(m) == want);
}

fn statfs_numbers(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    let st = fs(&m);
    assert_eq!((st.f_bsize, st.f_frsize, st.f_blocks, st.f_bfree, st.f_bavail), (4096, 4096, 256, 256, 256));
    // The root directory is the one inode in use.
    assert_eq!((st.f_files, st.f_ffree, st.f_namelen), (100, 99, 255));
}

fn statfs_by_descriptor(c: &Ctx<'_>) {
    let m = c.mount("size=1m");
    let fd = put(m.p("f"), &[1; 10_000]);
    // SAFETY: all-zero is a valid statvfs, and it is writable.
    let st = unsafe {
        let mut st: libc::statvfs = std::mem::zeroed();
        assert_eq!(libc::fstatvfs(fd.as_raw_fd(), &mut st), 0);
        st
    };
    assert_eq!((st.f_bsize, st.f_blocks, st.f_bfree, st.f_favail), (4096, 256, 253, st.f_ffree));
}

fn statfs_of_unlimited_inodes(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=0");
    let st = fs(&m);
    assert_eq!((st.f_files, st.f_ffree), (0, 0));
    touch(m.p("f"));
}

fn blocks_come_and_go(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    let fd = put(m.p("f"), &[1; 10_000]);
    assert_eq!(free(&m), (253, 98));
    pwrite(&fd, &[1; 4096], 12_288).unwrap();
    assert_eq!(free(&m).0, 252);
    ftruncate(&fd, 0).unwrap();
    assert_eq!(free(&m).0, 256);
    fallocate(&fd, 0, 0, 40_960).unwrap();
    assert_eq!(free(&m).0, 246);
    drop(fd);
    unlink(m.p("f")).unwrap();
    comes_back_to(&m, (256, 99));
}

fn sparse_takes_no_blocks(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    let fd = put(m.p("f"), b"");
    ftruncate(&fd, 500_000).unwrap();
    if c.differs() {
        // Reserved by its logical size, so that a store through a mapping is never lost.
        assert_eq!((free(&m).0, fstat(&fd).unwrap().blocks), (256 - 123, 0));
        return;
    }
    assert_eq!((free(&m).0, fstat(&fd).unwrap().blocks), (256, 0));
    let map = shared(&fd, 500_000);
    map.set(0, 1);
    map.set(300_000, 1);
    assert_eq!((free(&m).0, fstat(&fd).unwrap().blocks), (254, 16));
}

fn inodes_come_and_go(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    touch(m.p("f"));
    mkdir(m.p("d"), 0o700).unwrap();
    mknod(m.p("n"), S_IFIFO | 0o600, 0).unwrap();
    mknod(m.p("c"), S_IFCHR | 0o600, makedev(1, 3)).unwrap();
    assert_eq!(free(&m), (256, 95));
    unlink(m.p("f")).unwrap();
    rmdir(m.p("d")).unwrap();
    unlink(m.p("n")).unwrap();
    unlink(m.p("c")).unwrap();
    comes_back_to(&m, (256, 99));
}

fn links_take_no_inode(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    touch(m.p("f"));
    let before = free(&m).1;
    for i in 0..5 {
        link(m.p("f"), m.p(&format!("l{i}"))).unwrap();
    }
    // shmem_link reserves an inode for each further name, but for its memory's sake.
    assert_eq!(before - free(&m).1, 5);
    for i in 0..5 {
        unlink(m.p(&format!("l{i}"))).unwrap();
    }
    assert_eq!(free(&m).1, before);
}

fn symlinks_take_an_inode(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    symlink("x".repeat(127), m.p("short")).unwrap();
    assert_eq!(free(&m), (256, 98));
    symlink("x".repeat(128), m.p("long")).unwrap();
    assert_eq!(free(&m), (255, 97));
    unlink(m.p("long")).unwrap();
    unlink(m.p("short")).unwrap();
    comes_back_to(&m, (256, 99));
}

fn xattrs_cost_inodes(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    touch(m.p("f"));
    setxattr(m.p("f"), "user.small", b"x", 0).unwrap();
    let small = free(&m);
    setxattr(m.p("f"), "user.big", &[b'x'; 20_000], 0).unwrap();
    let big = free(&m);
    // An xattr is charged in inodes of BOGO_INODE_SIZE (1024): 20 of them and a bit of the first.
    assert_eq!((small, big.0), ((256, 97), 256));
    assert_eq!(small.1 - big.1, 19);
    removexattr(m.p("f"), "user.big").unwrap();
    assert_eq!(free(&m), small);
    fails(setxattr(m.p("f"), "user.huge", &[b'x'; 65_536], 0).and_then(|()| setxattr(m.p("f"), "user.more", &[b'x'; 65_536], 0)), ENOSPC);
}

fn xattr_cost_to_the_byte(c: &Ctx<'_>) {
    // One inode's worth is left. What fits is 1024 less the name and the kernel's own struct.
    let m = c.mount("size=1m,nr_inodes=3");
    touch(m.p("f"));
    let fits = |name: &str| {
        let most = (0..1024).rev().find(|&n| setxattr(m.p("f"), name, &vec![0; n], 0).is_ok());
        removexattr(m.p("f"), name).unwrap();
        most
    };
    assert_eq!((fits("user.x"), fits("user.longer"), fits("trusted.x")), (Some(978), Some(973), Some(975)));
    setxattr(m.p("f"), "user.x", &[0; 900], 0).unwrap();
    // shmem_xattr_set takes the new value's space before it gives back the old one's.
    fails(setxattr(m.p("f"), "user.x", &[0; 950], 0), ENOSPC);
    setxattr(m.p("f"), "user.x", &[0; 20], 0).unwrap();
    setxattr(m.p("f"), "user.x", &[0; 900], 0).unwrap();
    fails(setxattr(m.p("f"), "user.y", &[0; 50], 0), ENOSPC);
    fails(open(m.p("g"), O_CREAT | O_RDWR), ENOSPC);
    unlink(m.p("f")).unwrap();
    comes_back_to(&m, (256, 2));
}

fn unlinked_takes_blocks_until_closed(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    let fd = put(m.p("f"), &[1; 40_960]);
    unlink(m.p("f")).unwrap();
    assert_eq!(free(&m), (246, 98));
    drop(fd);
    comes_back_to(&m, (256, 99));
}

fn mapped_takes_blocks_until_unmapped(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=100");
    let map: Map = shared(&put(m.p("f"), &[1; 40_960]), 40_960);
    unlink(m.p("f")).unwrap();
    assert_eq!((free(&m), map.get(40_000)), ((246, 98), 1));
    drop(map);
    comes_back_to(&m, (256, 99));
}

fn write_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), &[1; 65_536]);
    fails(sys::write(&fd, b"x"), ENOSPC);
    let other = put(m.p("g"), b"");
    fails(sys::write(&other, b"x"), ENOSPC);
    assert_eq!((fstat(&fd).unwrap().size, fstat(&other).unwrap().size), (65_536, 0));
    unlink(m.p("f")).unwrap();
    drop(fd);
    eventually("a write succeeds again", || sys::write(&other, b"x") == Ok(1));
}

fn write_is_short_at_the_limit(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), b"");
    assert_eq!(sys::write(&fd, &[1; 100_000]), Ok(65_536));
    fails(sys::write(&fd, &[1; 100_000]), ENOSPC);
}

fn append_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    put(m.p("f"), &[1; 65_530]);
    let fd = open(m.p("f"), O_WRONLY | O_APPEND).unwrap();
    assert_eq!(sys::write(&fd, &[1; 100]), Ok(6));
    fails(sys::write(&fd, &[1; 100]), ENOSPC);
    assert_eq!(fstat(&fd).unwrap().size, 65_536);
}

fn mkdir_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=3");
    mkdir(m.p("a"), 0o700).unwrap();
    mkdir(m.p("b"), 0o700).unwrap();
    fails(mkdir(m.p("c"), 0o700), ENOSPC);
    rmdir(m.p("a")).unwrap();
    eventually("mkdir succeeds again", || mkdir(m.p("c"), 0o700).is_ok());
}

fn every_type_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=2");
    touch(m.p("a"));
    fails(open(m.p("f"), O_CREAT | O_RDWR), ENOSPC);
    fails(mkdir(m.p("d"), 0o700), ENOSPC);
    fails(symlink("x", m.p("l")), ENOSPC);
    fails(mknod(m.p("n"), S_IFIFO | 0o600, 0), ENOSPC);
    fails(link(m.p("a"), m.p("b")), ENOSPC);
    assert_eq!(ls(&m.dir), ["a"]);
    // Existing names come first, and renames cost nothing.
    fails(mkdir(m.p("a"), 0o700), EEXIST);
    rename(m.p("a"), m.p("b")).unwrap();
}

fn create_after_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=50");
    for round in 0..3 {
        let mut made = 0;
        while open(m.p(&format!("f{made}")), O_CREAT | O_EXCL | O_RDWR).is_ok() {
            made += 1;
        }
        assert_eq!((made, free(&m).1), (49, 0), "round {round}");
        (0..made).for_each(|i| unlink(m.p(&format!("f{i}"))).unwrap());
        comes_back_to(&m, (256, 49));
    }
}

fn fallocate_enospc_takes_nothing(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), &[7; 4096]);
    fails(fallocate(&fd, 0, 0, 100_000), ENOSPC);
    let st = fstat(&fd).unwrap();
    assert_eq!((st.size, st.blocks, free(&m).0), (4096, 8, 15));
    fallocate(&fd, 0, 0, 65_536).unwrap();
    assert_eq!((free(&m).0, pread(&fd, 1, 4095)), (0, Ok(vec![7])));
}

fn truncate_may_exceed(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), b"");
    if c.differs() {
        fails(ftruncate(&fd, 1 << 20), ENOSPC);
        fails(truncate(m.p("f"), 1 << 20), ENOSPC);
        fails(pwrite(&fd, b"x", 1 << 20), ENOSPC);
        assert_eq!(fstat(&fd).unwrap().size, 0);
        return;
    }
    ftruncate(&fd, 1 << 20).unwrap();
    assert_eq!(pwrite(&fd, b"x", 1 << 20), Ok(1));
}

fn mapped_store_over_limit(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), &[1; 65_536]);
    let other = put(m.p("g"), b"");
    if c.differs() {
        fails(ftruncate(&other, 4096), ENOSPC);
        return;
    }
    ftruncate(&other, 4096).unwrap();
    let map = mmap(&other, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, 0).unwrap();
    assert_eq!(dies_of(|| map.set(0, 1)), Some(SIGBUS));
    // Reading takes a page as well: a shared mapping has no zero page.
    assert_eq!(dies_of(|| map.touch(0)), Some(SIGBUS));
    ftruncate(&fd, 0).unwrap();
    map.set(0, 1);
}

fn enospc_is_for_users_too(c: &Ctx<'_>) {
    let m = c.mount("size=64k,nr_inodes=3,mode=1777");
    as_user(1000, || {
        let fd = put(m.p("f"), &[1; 65_536]);
        fails(sys::write(&fd, b"x"), ENOSPC);
        touch(m.p("g"));
        fails(open(m.p("h"), O_CREAT | O_RDWR), ENOSPC);
    });
}

fn rename_and_unlink_at_the_limit(c: &Ctx<'_>) {
    let m = c.mount("size=8k,nr_inodes=4");
    put(m.p("a"), &[1; 8192]);
    touch(m.p("b"));
    touch(m.p("c"));
    fails(open(m.p("d"), O_CREAT | O_RDWR), ENOSPC);
    rename(m.p("b"), m.p("d")).unwrap();
    rename2(m.p("c"), m.p("d"), RENAME_EXCHANGE).unwrap();
    rename(m.p("c"), m.p("d")).unwrap();
    chmod(m.p("d"), 0o600).unwrap();
    utimens(m.p("d"), None, 0).unwrap();
    unlink(m.p("a")).unwrap();
    unlink(m.p("d")).unwrap();
    comes_back_to(&m, (2, 3));
}

fn punch_frees(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), &[1; 65_536]);
    fallocate(&fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 32_768).unwrap();
    if c.differs() {
        // The object keeps its reservation, so that its hole can always be filled again.
        assert_eq!(free(&m).0, 0);
        assert_eq!(pwrite(&fd, &[1; 32_768], 0), Ok(32_768));
        return;
    }
    assert_eq!(free(&m).0, 8);
    put(m.p("g"), &[1; 32_768]);
    fails(pwrite(&fd, b"x", 0), ENOSPC);
}

fn root_directory(c: &Ctx<'_>) {
    let m = c.mount("size=1m");
    let st = stat(&m.dir).unwrap();
    assert_eq!((st.mode, st.nlink, st.uid, st.gid, st.size), (S_IFDIR | 0o1777, 2, 0, 0, 40));
    assert_eq!(ls(&m.dir), [""; 0]);
    chmod(&m.dir, 0o700).unwrap();
    assert_eq!(stat(&m.dir).unwrap().perm(), 0o700);
    setxattr(&m.dir, "user.x", b"1", 0).unwrap();
    fails(rmdir(&m.dir), EBUSY);
    fails(rename(&m.dir, c.p("x")), EXDEV);
}

fn mode_uid_gid(c: &Ctx<'_>) {
    let m = c.mount("size=1m,mode=2750,uid=1234,gid=2345");
    let st = stat(&m.dir).unwrap();
    assert_eq!((st.mode, st.uid, st.gid), (S_IFDIR | 0o2750, 1234, 2345));
    touch(m.p("f"));
    assert_eq!(stat(m.p("f")).unwrap().gid, 2345);
}

fn read_only(c: &Ctx<'_>) {
    let m = c.mount("size=1m,ro");
    fails(open(m.p("f"), O_CREAT | O_RDWR), EROFS);
    fails(mkdir(m.p("d"), 0o700), EROFS);
    fails(chmod(&m.dir, 0o700), EROFS);
    fails(setxattr(&m.dir, "user.x", b"1", 0), EROFS);
    fails(utimens(&m.dir, None, 0), EROFS);
    assert_eq!((fails(sys::access(&m.dir, W_OK), EROFS), sys::access(&m.dir, R_OK)), ((), Ok(())));
}

fn noexec(c: &Ctx<'_>) {
    let m = c.mount("size=1m,noexec");
    std::fs::copy("/bin/true", m.p("true")).unwrap();
    chmod(m.p("true"), 0o755).unwrap();
    let denied = std::process::Command::new(m.p("true")).status().unwrap_err();
    assert_eq!(denied.raw_os_error(), Some(libc::EACCES));
    let fd = open(m.p("true"), O_RDONLY).unwrap();
    assert_eq!(mmap(&fd, 4096, PROT_EXEC, MAP_PRIVATE, 0).map(drop), Err(EPERM));
}

fn nodev(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nodev");
    mknod(m.p("null"), S_IFCHR | 0o666, makedev(1, 3)).unwrap();
    fails(open(m.p("null"), O_RDWR), EACCES);
    drop(m);
    let m = c.mount("size=1m,dev");
    mknod(m.p("null"), S_IFCHR | 0o666, makedev(1, 3)).unwrap();
    let fd = open(m.p("null"), O_RDWR).unwrap();
    assert_eq!((sys::write(&fd, b"gone"), sys::read(&fd, 9)), (Ok(4), Ok(vec![])));
}

fn nosuid(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nosuid,mode=755");
    std::fs::copy("/usr/bin/id", m.p("id")).unwrap();
    chown(m.p("id"), 1234, 1234).unwrap();
    chmod(m.p("id"), 0o4755).unwrap();
    as_user(1000, || {
        let out = std::process::Command::new(m.p("id")).arg("-u").output().unwrap();
        assert_eq!(out.stdout, b"1000\n");
    });
    assert_eq!(stat(m.p("id")).unwrap().perm(), 0o4755);
}

fn size_in_percent(c: &Ctx<'_>) {
    let (one, two) = (c.mount("size=1%"), c.mount("size=2%"));
    let (one, two) = (fs(&one).f_blocks, fs(&two).f_blocks);
    assert!(one > 0 && two.abs_diff(2 * one) <= 1, "{one} {two}");
}

fn nr_blocks_option(c: &Ctx<'_>) {
    let m = c.mount("nr_blocks=10");
    assert_eq!(fs(&m).f_blocks, 10);
    let fd = put(m.p("f"), &[1; 40_960]);
    fails(sys::write(&fd, b"x"), ENOSPC);
}

fn overwrite_at_the_limit(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), &[1; 65_536]);
    assert_eq!(pwrite(&fd, &[2; 65_536], 0), Ok(65_536));
    let map = shared(&fd, 65_536);
    map.set(60_000, 3);
    assert_eq!(pread(&fd, 2, 60_000), Ok(vec![3, 2]));
}

fn truncate_at_the_limit(c: &Ctx<'_>) {
    let m = c.mount("size=64k");
    let fd = put(m.p("f"), &[1; 65_536]);
    ftruncate(&fd, 10).unwrap();
    assert_eq!(free(&m).0, 15);
    assert_eq!(pwrite(&fd, &[1; 65_526], 10), Ok(65_526));
}

fn symlink_page_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=4k,nr_inodes=100");
    put(m.p("f"), b"x");
    symlink("x".repeat(127), m.p("short")).unwrap();
    fails(symlink("x".repeat(128), m.p("long")), ENOSPC);
    assert_eq!(free(&m), (0, 97));
}

fn rename_whiteout_enospc(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nr_inodes=2");
    touch(m.p("a"));
    fails(rename2(m.p("a"), m.p("b"), RENAME_WHITEOUT), ENOSPC);
    assert_eq!(ls(&m.dir), ["a"]);
}

fn unlink_makes_room_at_once(c: &Ctx<'_>) {
    let m = c.mount("size=4m,nr_inodes=4");
    let full = vec![1; 4 << 20];
    for round in 0..50 {
        let fd = open_mode(m.p("f"), O_RDWR | O_CREAT | O_EXCL, 0o600).unwrap();
        assert_eq!(pwrite(&fd, &full, 0), Ok(full.len()), "round {round}");
        drop(fd);
        unlink(m.p("f")).unwrap();
    }
}
