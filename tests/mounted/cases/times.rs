//! Which operation moves which time of which inode.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::acl;
use crate::consts::*;
use crate::proc::{self, Map, shared, tick};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["times";
    nobody: create_file, create_others, write, write_nothing, append_write, pwrite_past_end, write_failed, truncate_shrink, truncate_grow,
        truncate_same_size, truncate_by_path_same_size, truncate_empty_to_zero, truncate_empty_to_zero_by_path, open_trunc, open_trunc_of_empty, open_creat_existing,
        fallocate_grow, fallocate_keep_size, fallocate_inside, punch_hole, punch_hole_outside, chmod_same_mode, chmod_other_mode, chown_nothing,
        link_moves_ctime, unlink_of_one_of_two, unlink_of_open, rename_file, rename_over, rename_directory, rename_across, rename_exchange,
        rename_no_op, rename_failed, mkdir_rmdir, xattr_set_and_remove, xattr_get_and_list, xattr_same_value, acl_set_and_remove,
        mapped_store, mapped_store_without_msync, mapped_second_store, mapped_read, read_only_operations, copy_range, sendfile_moves, splice_moves, fsync_moves_nothing, failed_operations,
        symlink_operations, ftruncate_of_unlinked, create_excl_failed, new_inode_has_equal_times, grow_with_mapping, ioctl_flags;
    root: chown_other, write_clears_suid, mknod_device, access_moves_nothing, chown_symlink;
];

type Times = [(i64, i64); 3];

fn times(p: &Path) -> Times {
    let st = lstat(p).expect("lstat for its times");
    [st.atime, st.mtime, st.ctime]
}

/// Which of atime, mtime and ctime each path's inode has moved while `op` ran: "amc" letters.
#[track_caller]
fn moved<const N: usize>(paths: [&PathBuf; N], op: impl FnOnce()) -> [String; N] {
    let before = paths.map(|p| times(p));
    tick();
    op();
    let after = paths.map(|p| times(p));
    std::array::from_fn(|i| letters(before[i], after[i]))
}

fn letters(before: Times, after: Times) -> String {
    let mut word = String::new();
    for (n, letter) in "amc".chars().enumerate() {
        if after[n] > before[n] {
            word.push(letter);
        }
        assert!(after[n] >= before[n], "a time went back: {:?} to {:?}", before[n], after[n]);
    }
    word
}

fn file(c: &Ctx<'_>, name: &str) -> PathBuf {
    put(c.p(name), b"0123456789");
    c.p(name)
}

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

fn write(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f, &c.dir], || drop(sys::write(&fd, b"x").unwrap())), ["mc", ""]);
}

fn write_nothing(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || drop(sys::write(&fd, b"").unwrap())), [""]);
}

fn append_write(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_WRONLY | O_APPEND).unwrap();
    assert_eq!(moved([&f], || drop(sys::write(&fd, b"x").unwrap())), ["mc"]);
}

fn pwrite_past_end(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || drop(pwrite(&fd, b"x", 99_999).unwrap())), ["mc"]);
}

fn write_failed(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDONLY).unwrap();
    assert_eq!(moved([&f], || fails(sys::write(&fd, b"x"), EBADF)), [""]);
}

fn truncate_shrink(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || ftruncate(&fd, 5).unwrap()), ["mc"]);
    assert_eq!(moved([&f], || truncate(&f, 2).unwrap()), ["mc"]);
}

fn truncate_grow(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || ftruncate(&fd, 50).unwrap()), ["mc"]);
    assert_eq!(moved([&f], || truncate(&f, 5000).unwrap()), ["mc"]);
}

fn truncate_same_size(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    // do_truncate asks for ATTR_MTIME | ATTR_CTIME for an open file whatever the size.
    assert_eq!(moved([&f], || ftruncate(&fd, 10).unwrap()), ["mc"]);
}

fn truncate_by_path_same_size(c: &Ctx<'_>) {
    // By path only shmem_truncate_range moves the times, and it runs only where pages are allocated.
    let f = file(c, "f");
    assert_eq!(moved([&f], || truncate(&f, 10).unwrap()), ["mc"]);
    let sparse = c.p("sparse");
    ftruncate(&put(&sparse, b""), 10_000).unwrap();
    assert_eq!(moved([&sparse], || truncate(&sparse, 10_000).unwrap()), [""]);
}

fn truncate_empty_to_zero(c: &Ctx<'_>) {
    touch(c.p("f"));
    let fd = open(c.p("f"), O_RDWR).unwrap();
    assert_eq!(moved([&c.p("f")], || ftruncate(&fd, 0).unwrap()), ["mc"]);
}

fn truncate_empty_to_zero_by_path(c: &Ctx<'_>) {
    touch(c.p("f"));
    let want = if c.differs() { "mc" } else { "" };
    assert_eq!(moved([&c.p("f")], || truncate(c.p("f"), 0).unwrap()), [want]);
}

fn open_trunc(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || drop(open(&f, O_WRONLY | O_TRUNC).unwrap())), ["mc", ""]);
}

fn open_trunc_of_empty(c: &Ctx<'_>) {
    touch(c.p("f"));
    assert_eq!(moved([&c.p("f")], || drop(open(c.p("f"), O_WRONLY | O_TRUNC).unwrap())), ["mc"]);
}

fn open_creat_existing(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || drop(open(&f, O_RDWR | O_CREAT).unwrap())), ["", ""]);
}

fn fallocate_grow(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || fallocate(&fd, 0, 0, 9000).unwrap()), ["mc"]);
}

fn fallocate_keep_size(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || fallocate(&fd, FALLOC_FL_KEEP_SIZE, 0, 90_000).unwrap()), ["mc"]);
}

fn fallocate_inside(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || fallocate(&fd, 0, 0, 5).unwrap()), ["mc"]);
}

fn punch_hole(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || fallocate(&fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 5).unwrap()), ["mc"]);
}

fn punch_hole_outside(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || fallocate(&fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 1 << 20, 4096).unwrap()), ["mc"]);
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

/// A mapping of a file whose page is in memory, so that no fault has to read it.
fn map_of(f: &Path) -> Map {
    slurp(f);
    shared(&open(f, O_RDWR).unwrap(), 4096)
}

fn mapped_store(c: &Ctx<'_>) {
    let f = file(c, "f");
    let map = map_of(&f);
    let store = || {
        map.set(0, b'X');
        map.sync(MS_SYNC).unwrap();
    };
    assert_eq!(moved([&f], store), ["mc"]);
}

fn mapped_store_without_msync(c: &Ctx<'_>) {
    let f = file(c, "f");
    let map = map_of(&f);
    let want = if c.differs() { "" } else { "mc" };
    assert_eq!(moved([&f], || map.set(0, b'X')), [want]);
    assert_eq!(slurp(&f), b"X123456789");
}

fn mapped_second_store(c: &Ctx<'_>) {
    // Only the fault moves the times: tmpfs never write-protects a page again.
    let f = file(c, "f");
    let map = map_of(&f);
    map.set(0, b'X');
    map.sync(MS_SYNC).unwrap();
    let again = || {
        map.set(1, b'Y');
        map.sync(MS_SYNC).unwrap();
    };
    let want = if c.differs() { "mc" } else { "" };
    assert_eq!(moved([&f], again), [want]);
}

fn mapped_read(c: &Ctx<'_>) {
    let f = file(c, "f");
    let map = map_of(&f);
    let read = || drop((map.get(0), map.get(4000)));
    assert_eq!(moved([&f], read), [""]);
}

fn read_only_operations(c: &Ctx<'_>) {
    let f = file(c, "f");
    let look = || {
        stat(&f).unwrap();
        sys::access(&f, R_OK).unwrap();
        let fd = open(&f, O_RDWR).unwrap();
        lseek(&fd, 0, SEEK_END).unwrap();
        lseek(&fd, 0, SEEK_DATA).unwrap();
        fsync(&fd).unwrap();
        open(&f, O_PATH).unwrap();
    };
    assert_eq!(moved([&f, &c.dir], look), ["", ""]);
}

fn copy_range(c: &Ctx<'_>) {
    let f = file(c, "f");
    touch(c.p("g"));
    let (from, to) = (open(&f, O_RDONLY).unwrap(), open(c.p("g"), O_WRONLY).unwrap());
    utimens(&f, Some([(5_000_000_000, 0), (0, UTIME_OMIT)]), 0).unwrap();
    let copy = || {
        let n = crate::syscall!(libc::SYS_copy_file_range, from.as_raw_fd(), 0, to.as_raw_fd(), 0, 10, 0);
        assert_eq!(n, Ok(10));
    };
    assert_eq!(moved([&f, &c.p("g")], copy), ["", "mc"]);
}

fn sendfile_moves(c: &Ctx<'_>) {
    let f = file(c, "f");
    touch(c.p("g"));
    let (from, to) = (open(&f, O_RDONLY | O_NOATIME).unwrap(), open(c.p("g"), O_WRONLY).unwrap());
    let send = || {
        // SAFETY: no offset pointer.
        let n = unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), 10) };
        assert_eq!(n, 10);
    };
    assert_eq!(moved([&f, &c.p("g")], send), ["", "mc"]);
}

fn splice_moves(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_WRONLY).unwrap();
    let mut pipe = [0; 2];
    // SAFETY: two descriptors fit; no offset pointers.
    unsafe {
        assert_eq!(libc::pipe(pipe.as_mut_ptr()), 0);
        assert_eq!(libc::write(pipe[1], b"abc".as_ptr().cast(), 3), 3);
    }
    let splice = || {
        // SAFETY: no offset pointers.
        let n = unsafe { libc::splice(pipe[0], std::ptr::null_mut(), fd.as_raw_fd(), std::ptr::null_mut(), 3, 0) };
        assert_eq!(n, 3);
    };
    assert_eq!(moved([&f], splice), ["mc"]);
}

fn fsync_moves_nothing(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    sys::write(&fd, b"x").unwrap();
    assert_eq!(moved([&f], || fsync(&fd).unwrap()), [""]);
    assert_eq!(moved([&f], || drop(fd)), [""]);
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
    assert_eq!(moved([&l], || drop(lstat(&l).unwrap())), [""]);
    assert_eq!(moved([&l, &c.p("f")], || chmod(&l, 0o600).unwrap()), ["a", "c"]);
    assert_eq!(moved([&l], || link(&l, c.p("m")).unwrap()), ["c"]);
    assert_eq!(moved([&c.p("m")], || unlink(&l).unwrap()), ["c"]);
}

fn ftruncate_of_unlinked(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    unlink(&f).unwrap();
    let before = fstat(&fd).unwrap();
    tick();
    ftruncate(&fd, 3).unwrap();
    let after = fstat(&fd).unwrap();
    assert!(after.mtime > before.mtime && after.ctime > before.ctime);
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

fn grow_with_mapping(c: &Ctx<'_>) {
    let f = file(c, "f");
    let map = map_of(&f);
    map.set(1, 1);
    map.sync(MS_SYNC).unwrap();
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || ftruncate(&fd, 8192).unwrap()), ["mc"]);
}

fn ioctl_flags(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDONLY).unwrap();
    let mut block = 0;
    // SAFETY: FIGETBSZ writes one int.
    let ask = || drop(unsafe { libc::ioctl(fd.as_raw_fd(), 2, &mut block) });
    assert_eq!(moved([&f], ask), [""]);
    assert_eq!(block, 4096);
}

fn chown_other(c: &Ctx<'_>) {
    let f = file(c, "f");
    assert_eq!(moved([&f, &c.dir], || chown(&f, 1000, u32::MAX).unwrap()), ["c", ""]);
    assert_eq!(moved([&f], || chown(&f, u32::MAX, 1000).unwrap()), ["c"]);
}

fn write_clears_suid(c: &Ctx<'_>) {
    let f = file(c, "f");
    chmod(&f, 0o4755).unwrap();
    let fd = open(&f, O_WRONLY).unwrap();
    proc::as_user(1000, || {
        assert_eq!(moved([&f], || drop(sys::write(&fd, b"x").unwrap())), ["mc"]);
    });
    assert_eq!(stat(&f).unwrap().perm(), 0o755);
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
