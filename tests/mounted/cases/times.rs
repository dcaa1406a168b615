//! Which operation moves which time of which inode.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

use crate::consts::*;
use crate::proc::{self, Map, shared, tick};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["times";
    nobody: write, write_nothing, append_write, pwrite_past_end, write_failed, truncate_shrink, truncate_grow, truncate_same_size, truncate_by_path_same_size, truncate_empty_to_zero, truncate_empty_to_zero_by_path, open_trunc, open_trunc_of_empty, open_creat_existing, fallocate_grow, fallocate_keep_size, fallocate_inside, punch_hole, punch_hole_outside, mapped_store, mapped_store_without_msync, mapped_second_store, mapped_read, read_only_operations, copy_range, sendfile_moves, splice_moves, fsync_moves_nothing, ftruncate_of_unlinked, grow_with_mapping;
    root: write_clears_suid;
];

type Times = [(i64, i64); 3];

pub(crate) fn times(p: &Path) -> Times {
    let st = lstat(p).expect("lstat for its times");
    [st.atime, st.mtime, st.ctime]
}

/// Which of atime, mtime and ctime each path's inode has moved while `op` ran: "amc" letters.
#[track_caller]
pub(crate) fn moved<const N: usize>(paths: [&PathBuf; N], op: impl FnOnce()) -> [String; N] {
    let before = paths.map(|p| times(p));
    tick();
    op();
    let after = paths.map(|p| times(p));
    std::array::from_fn(|i| letters(before[i], after[i]))
}

pub(crate) fn letters(before: Times, after: Times) -> String {
    let mut word = String::new();
    for (n, letter) in "amc".chars().enumerate() {
        if after[n] > before[n] {
            word.push(letter);
        }
        assert!(after[n] >= before[n], "a time went back: {:?} to {:?}", before[n], after[n]);
    }
    word
}

pub(crate) fn file(c: &Ctx<'_>, name: &str) -> PathBuf {
    put(c.p(name), b"0123456789");
    c.p(name)
}

fn write(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f, &c.dir], || sys::write(&fd, b"x").map(drop).unwrap()), ["mc", ""]);
}

fn write_nothing(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || sys::write(&fd, b"").map(drop).unwrap()), [""]);
}

fn append_write(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_WRONLY | O_APPEND).unwrap();
    assert_eq!(moved([&f], || sys::write(&fd, b"x").map(drop).unwrap()), ["mc"]);
}

fn pwrite_past_end(c: &Ctx<'_>) {
    let f = file(c, "f");
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || pwrite(&fd, b"x", 99_999).map(drop).unwrap()), ["mc"]);
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
    let read = || (map.touch(0), map.touch(4000)).0;
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

fn grow_with_mapping(c: &Ctx<'_>) {
    let f = file(c, "f");
    let map = map_of(&f);
    map.set(1, 1);
    map.sync(MS_SYNC).unwrap();
    let fd = open(&f, O_RDWR).unwrap();
    assert_eq!(moved([&f], || ftruncate(&fd, 8192).unwrap()), ["mc"]);
}

fn write_clears_suid(c: &Ctx<'_>) {
    let f = file(c, "f");
    chmod(&f, 0o4755).unwrap();
    let fd = open(&f, O_WRONLY).unwrap();
    proc::as_user(1000, || {
        assert_eq!(moved([&f], || sys::write(&fd, b"x").map(drop).unwrap()), ["mc"]);
    });
    assert_eq!(stat(&f).unwrap().perm(), 0o755);
}
