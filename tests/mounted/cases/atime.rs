//! Access times, and setting times by hand.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{as_user, child, shared, tick};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["atime";
    nobody: relatime_read, relatime_read_again, relatime_after_chmod, relatime_fresh, relatime_after_a_day, relatime_readdir, readdir_of_empty, readlink_moves, followed_symlink, lookup_moves_nothing,
        read_at_the_end, read_nothing, mapped_touch, sendfile_reads, exec_reads, noatime_of_an_inode, noatime_of_a_directory, set_explicit, set_nanoseconds,
        set_before_1970, set_year_2500, set_extremes, set_now, set_omit, set_one_now_one_omit, set_null, set_bad_nanoseconds, set_symlink_itself,
        set_directory, set_by_descriptor, set_moves_ctime, set_then_write, set_then_close, set_mapped, utime_of_missing,
        set_atime_after_write;
    root: noatime_mount, strictatime_mount, nodiratime_mount, set_by_others, set_now_by_writer, set_null_by_writer, set_one_by_writer, set_by_owner_of_readonly,
        fifo_times, device_times;
];

fn old(p: impl AsP + Copy) {
    utimens(p, Some([(1_000_000, 5), (1_000_000, 6)]), 0).unwrap();
}

fn atime(p: impl AsP) -> (i64, i64) {
    lstat(p).unwrap().atime
}

fn read_all(p: impl AsP) {
    let fd = open(p, O_RDONLY).unwrap();
    while !sys::read(&fd, 4096).unwrap().is_empty() {}
}

fn is_now(t: (i64, i64)) -> bool {
    // SAFETY: no pointer kept.
    let now = unsafe { libc::time(std::ptr::null_mut()) };
    (now - 300..=now + 1).contains(&t.0)
}

fn relatime_read(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    // atime not later than mtime: relatime moves it.
    old(f);
    read_all(f);
    assert!(is_now(atime(f)), "{:?}", atime(f));
}

fn relatime_read_again(c: &Ctx<'_>) {
    // What was read before is in the page cache, where there is one.
    let f = &c.p("f");
    put(f, b"data");
    read_all(f);
    old(f);
    read_all(f);
    if c.differs() {
        assert_eq!(atime(f), (1_000_000, 5));
        return;
    }
    assert!(is_now(atime(f)));
}

fn relatime_after_chmod(c: &Ctx<'_>) {
    // A change of ctime alone makes the next read move atime.
    let f = &c.p("f");
    put(f, b"data");
    tick();
    read_all(f);
    tick();
    chmod(f, 0o600).unwrap();
    let before = atime(f);
    tick();
    read_all(f);
    assert_eq!(atime(f) > before, !c.differs());
}

fn relatime_fresh(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    // atime later than mtime and ctime, and not a day old: it stays.
    let ahead = lstat(f).unwrap().mtime.0 + 3600;
    utimens(f, Some([(ahead, 1), (1_000_000, 0)]), 0).unwrap();
    read_all(f);
    assert_eq!(atime(f), (ahead, 1));
}

fn relatime_after_a_day(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    utimens(f, Some([(1_000_000, 0), (500_000, 0)]), 0).unwrap();
    // ctime is now, so later than atime: moved even though mtime is older.
    read_all(f);
    assert!(is_now(atime(f)));
}

fn relatime_readdir(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    touch(c.p("d/f"));
    old(&c.p("d"));
    ls(c.p("d"));
    assert!(is_now(atime(c.p("d"))));
}

fn readdir_of_empty(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    old(&c.p("d"));
    let dir = open(c.p("d"), O_RDONLY).unwrap();
    assert_eq!(atime(c.p("d")), (1_000_000, 5));
    drop(dir);
    ls(c.p("d"));
    assert!(is_now(atime(c.p("d"))));
}

fn readlink_moves(c: &Ctx<'_>) {
    symlink("x", c.p("l")).unwrap();
    utimens(c.p("l"), Some([(1_000_000, 5), (1_000_000, 6)]), AT_SYMLINK_NOFOLLOW).unwrap();
    readlink(c.p("l")).unwrap();
    assert!(is_now(atime(c.p("l"))));
}

fn followed_symlink(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    utimens(c.p("l"), Some([(1_000_000, 5), (1_000_000, 6)]), AT_SYMLINK_NOFOLLOW).unwrap();
    stat(c.p("l")).unwrap();
    assert!(is_now(atime(c.p("l"))));
}

fn lookup_moves_nothing(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    touch(c.p("d/f"));
    old(&c.p("d"));
    stat(c.p("d/f")).unwrap();
    fails(stat(c.p("d/g")), ENOENT);
    assert_eq!(atime(c.p("d")), (1_000_000, 5));
}

fn read_at_the_end(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    let fd = open(f, O_RDONLY).unwrap();
    old(f);
    assert_eq!(pread(&fd, 10, 4), Ok(vec![]));
    if c.differs() {
        assert_eq!(atime(f), (1_000_000, 5));
        return;
    }
    assert!(is_now(atime(f)));
}

fn read_nothing(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    let fd = open(f, O_RDONLY).unwrap();
    old(f);
    assert_eq!(pread(&fd, 0, 0), Ok(vec![]));
    if c.differs() {
        assert_eq!(atime(f), (1_000_000, 5));
        return;
    }
    assert!(is_now(atime(f)));
}

fn mapped_touch(c: &Ctx<'_>) {
    let f = &c.p("f");
    let fd = put(f, b"data");
    old(f);
    // shmem_mmap itself counts as an access.
    let map = shared(&fd, 4096);
    map.get(0);
    assert!(is_now(atime(f)));
}

fn sendfile_reads(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    let (from, to) = (open(f, O_RDONLY).unwrap(), put(c.p("g"), b""));
    old(f);
    // SAFETY: no offset pointer.
    assert_eq!(unsafe { libc::sendfile(to.as_raw_fd(), from.as_raw_fd(), std::ptr::null_mut(), 4) }, 4);
    assert!(is_now(atime(f)));
}

fn exec_reads(c: &Ctx<'_>) {
    std::fs::copy("/bin/true", c.p("true")).unwrap();
    chmod(c.p("true"), 0o755).unwrap();
    old(&c.p("true"));
    assert!(std::process::Command::new(c.p("true")).status().unwrap().success());
    assert!(is_now(atime(c.p("true"))));
}

fn noatime_of_an_inode(c: &Ctx<'_>) {
    let f = &c.p("f");
    put(f, b"data");
    old(f);
    let fd = open(f, O_RDONLY | O_NOATIME).unwrap();
    sys::read(&fd, 9).unwrap();
    assert_eq!(atime(f), (1_000_000, 5));
}

fn noatime_of_a_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    old(&c.p("d"));
    let dir = open(c.p("d"), O_RDONLY | O_DIRECTORY | O_NOATIME).unwrap();
    let mut buf = [0u8; 1024];
    assert!(crate::syscall!(libc::SYS_getdents64, dir.as_raw_fd(), buf.as_mut_ptr(), 1024).unwrap() > 0);
    assert_eq!(atime(c.p("d")), (1_000_000, 5));
}

#[track_caller]
fn set_and_get(c: &Ctx<'_>, a: (i64, i64), m: (i64, i64)) {
    let f = c.p("f");
    touch(&f);
    utimens(&f, Some([a, m]), 0).unwrap();
    let st = stat(&f).unwrap();
    assert_eq!((st.atime, st.mtime), (a, m));
    assert!(is_now(st.ctime));
}

fn set_explicit(c: &Ctx<'_>) {
    set_and_get(c, (1_234_567_890, 0), (987_654_321, 0));
    set_and_get(c, (0, 0), (1, 0));
}

fn set_nanoseconds(c: &Ctx<'_>) {
    set_and_get(c, (1_000_000_000, 123_456_789), (1_000_000_000, 999_999_999));
    set_and_get(c, (1_000_000_000, 1), (0, 1));
}

fn set_before_1970(c: &Ctx<'_>) {
    // 1960, and a second that is not whole.
    set_and_get(c, (-315_619_200, 0), (-315_619_200, 0));
    set_and_get(c, (-1, 999_999_999), (-315_619_200, 500_000_001));
}

fn set_year_2500(c: &Ctx<'_>) {
    set_and_get(c, (16_725_225_600, 7), (16_725_225_600, 8));
    set_and_get(c, (1 << 31, 0), ((1 << 32) + 1, 0));
}

fn set_extremes(c: &Ctx<'_>) {
    // tmpfs keeps any time64_t.
    set_and_get(c, (1 << 40, 0), (-(1 << 40), 0));
    set_and_get(c, (i64::MAX, 0), (i64::MIN, 0));
    // timestamp_truncate: at either end the nanoseconds go.
    utimens(c.p("f"), Some([(i64::MAX, 999_999_999), (i64::MIN, 1)]), 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.atime, st.mtime), ((i64::MAX, 0), (i64::MIN, 0)));
}

fn set_now(c: &Ctx<'_>) {
    touch(c.p("f"));
    old(&c.p("f"));
    tick();
    let before = stat(c.p("f")).unwrap();
    utimens(c.p("f"), Some([(0, UTIME_NOW), (0, UTIME_NOW)]), 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert!(is_now(st.atime) && st.ctime > before.ctime);
    assert_eq!((st.atime, st.mtime), (st.mtime, st.ctime));
}

fn set_omit(c: &Ctx<'_>) {
    touch(c.p("f"));
    old(&c.p("f"));
    let before = stat(c.p("f"));
    tick();
    // Both omitted: nothing happens, not even to ctime.
    utimens(c.p("f"), Some([(0, UTIME_OMIT), (0, UTIME_OMIT)]), 0).unwrap();
    assert_eq!(stat(c.p("f")), before);
    utimens(c.p("f"), Some([(77, 7), (0, UTIME_OMIT)]), 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.atime, st.mtime), ((77, 7), (1_000_000, 6)));
    utimens(c.p("f"), Some([(0, UTIME_OMIT), (88, 8)]), 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.atime, st.mtime), ((77, 7), (88, 8)));
}

fn set_one_now_one_omit(c: &Ctx<'_>) {
    touch(c.p("f"));
    old(&c.p("f"));
    utimens(c.p("f"), Some([(0, UTIME_NOW), (0, UTIME_OMIT)]), 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert!(is_now(st.atime));
    assert_eq!(st.mtime, (1_000_000, 6));
    utimens(c.p("f"), Some([(55, 0), (0, UTIME_NOW)]), 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert!(is_now(st.mtime));
    assert_eq!(st.atime, (55, 0));
}

fn set_null(c: &Ctx<'_>) {
    touch(c.p("f"));
    old(&c.p("f"));
    utimens(c.p("f"), None, 0).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert!(is_now(st.atime) && is_now(st.mtime));
}

fn set_bad_nanoseconds(c: &Ctx<'_>) {
    touch(c.p("f"));
    for n in [-1, 1_000_000_000, i64::MAX] {
        fails(utimens(c.p("f"), Some([(0, n), (0, 0)]), 0), EINVAL);
        fails(utimens(c.p("f"), Some([(0, 0), (0, n)]), 0), EINVAL);
    }
    fails(utimens(c.p("f"), None, 0x8000), EINVAL);
}

fn set_symlink_itself(c: &Ctx<'_>) {
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    let before = stat(c.p("f"));
    utimens(c.p("l"), Some([(11, 1), (22, 2)]), AT_SYMLINK_NOFOLLOW).unwrap();
    let st = lstat(c.p("l")).unwrap();
    assert_eq!((st.atime, st.mtime, stat(c.p("f"))), ((11, 1), (22, 2), before));
    utimens(c.p("l"), Some([(33, 3), (44, 4)]), 0).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().mtime, (44, 4));
    assert_eq!(lstat(c.p("l")).unwrap().mtime, (22, 2));
}

fn set_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    utimens(c.p("d"), Some([(-5, 1), (-6, 2)]), 0).unwrap();
    let st = stat(c.p("d")).unwrap();
    assert_eq!((st.atime, st.mtime), ((-5, 1), (-6, 2)));
}

fn set_by_descriptor(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let readonly = open(c.p("f"), O_RDONLY).unwrap();
    futimens(&fd, [(1, 1), (2, 2)]).unwrap();
    futimens(&readonly, [(3, 3), (4, 4)]).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().mtime, (4, 4));
    let path = open(c.p("f"), O_PATH).unwrap();
    fails(futimens(&path, [(3, 3), (4, 4)]), EBADF);
}

fn set_moves_ctime(c: &Ctx<'_>) {
    touch(c.p("f"));
    let before = stat(c.p("f")).unwrap();
    tick();
    utimens(c.p("f"), Some([before.atime, before.mtime]), 0).unwrap();
    let after = stat(c.p("f")).unwrap();
    assert!(after.ctime > before.ctime);
    assert_eq!((after.atime, after.mtime), (before.atime, before.mtime));
}

fn set_then_write(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    utimens(c.p("f"), Some([(100, 0), (200, 0)]), 0).unwrap();
    sys::write(&fd, b"x").unwrap();
    let st = stat(c.p("f")).unwrap();
    assert!(is_now(st.mtime));
    assert_eq!(st.atime, (100, 0));
}

fn set_then_close(c: &Ctx<'_>) {
    // What was written before must not move the time when it is closed or synced.
    let fd = put(c.p("f"), &[1; 20_000]);
    utimens(c.p("f"), Some([(100, 1), (200, 2)]), 0).unwrap();
    fsync(&fd).unwrap();
    drop(fd);
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.atime, st.mtime), ((100, 1), (200, 2)));
}

fn set_mapped(c: &Ctx<'_>) {
    // A store before utimensat, written back after it, must not undo it.
    let fd = put(c.p("f"), &[1; 8192]);
    let map = shared(&fd, 8192);
    map.set(0, 2);
    map.set(5000, 2);
    utimens(c.p("f"), Some([(100, 1), (200, 2)]), 0).unwrap();
    map.sync(MS_SYNC).unwrap();
    drop(map);
    fsync(&fd).unwrap();
    assert_eq!(stat(c.p("f")).unwrap().mtime, (200, 2));
}

fn utime_of_missing(c: &Ctx<'_>) {
    fails(utimens(c.p("no"), None, 0), ENOENT);
    // Both omitted: the path is not even looked up.
    assert_eq!(utimens(c.p("no"), Some([(0, UTIME_OMIT), (0, UTIME_OMIT)]), 0), Ok(()));
}

fn set_atime_after_write(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    futimens(&fd, [(300, 0), (0, UTIME_OMIT)]).unwrap();
    pwrite(&fd, &[3; 100_000], 0).unwrap();
    assert_eq!(fstat(&fd).unwrap().atime, (300, 0));
}

fn noatime_mount(c: &Ctx<'_>) {
    let m = c.mount("size=1m,noatime");
    put(m.p("f"), b"data");
    symlink("f", m.p("l")).unwrap();
    mkdir(m.p("d"), 0o755).unwrap();
    for name in ["f", "d"] {
        old(&m.p(name));
    }
    read_all(m.p("l"));
    ls(m.p("d"));
    assert_eq!((atime(m.p("f")), atime(m.p("d"))), ((1_000_000, 5), (1_000_000, 5)));
}

fn strictatime_mount(c: &Ctx<'_>) {
    let m = c.mount("size=1m,strictatime");
    put(m.p("f"), b"data");
    mkdir(m.p("d"), 0o755).unwrap();
    let look = |p: &std::path::Path| {
        let before = atime(p);
        tick();
        if p.ends_with("d") { drop(ls(p)) } else { read_all(p) }
        assert!(atime(p) > before, "{}", p.display());
    };
    for _ in 0..2 {
        look(&m.p("d"));
    }
    look(&m.p("f"));
    if c.differs() {
        let before = atime(m.p("f"));
        tick();
        read_all(m.p("f"));
        assert_eq!(atime(m.p("f")), before);
        return;
    }
    look(&m.p("f"));
}

fn nodiratime_mount(c: &Ctx<'_>) {
    let m = c.mount("size=1m,nodiratime");
    mkdir(m.p("d"), 0o755).unwrap();
    old(&m.p("d"));
    ls(m.p("d"));
    assert_eq!(atime(m.p("d")), (1_000_000, 5));
}

fn set_by_others(c: &Ctx<'_>) {
    touch(c.p("f"));
    as_user(1000, || {
        fails(utimens(c.p("f"), Some([(1, 0), (2, 0)]), 0), EPERM);
        fails(utimens(c.p("f"), None, 0), EACCES);
        fails(utimens(c.p("f"), Some([(0, UTIME_NOW), (0, UTIME_NOW)]), 0), EACCES);
        fails(utimens(c.p("f"), Some([(0, UTIME_NOW), (0, UTIME_OMIT)]), 0), EPERM);
        utimens(c.p("f"), Some([(0, UTIME_OMIT), (0, UTIME_OMIT)]), 0).unwrap();
    });
}

fn set_now_by_writer(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0o666).unwrap();
    old(&c.p("f"));
    as_user(1000, || {
        utimens(c.p("f"), Some([(0, UTIME_NOW), (0, UTIME_NOW)]), 0).unwrap();
        fails(utimens(c.p("f"), Some([(1, 0), (2, 0)]), 0), EPERM);
    });
    assert!(is_now(atime(c.p("f"))));
}

fn set_null_by_writer(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0o666).unwrap();
    old(&c.p("f"));
    as_user(1000, || utimens(c.p("f"), None, 0).unwrap());
    assert!(is_now(lstat(c.p("f")).unwrap().mtime));
}

fn set_one_by_writer(c: &Ctx<'_>) {
    touch(c.p("f"));
    chmod(c.p("f"), 0o666).unwrap();
    as_user(1000, || {
        fails(utimens(c.p("f"), Some([(0, UTIME_NOW), (0, UTIME_OMIT)]), 0), EPERM);
        fails(utimens(c.p("f"), Some([(0, UTIME_OMIT), (0, UTIME_NOW)]), 0), EPERM);
        fails(utimens(c.p("f"), Some([(0, UTIME_NOW), (5, 0)]), 0), EPERM);
    });
}

fn set_by_owner_of_readonly(c: &Ctx<'_>) {
    touch(c.p("f"));
    chown(c.p("f"), 1000, 1000).unwrap();
    chmod(c.p("f"), 0).unwrap();
    as_user(1000, || {
        utimens(c.p("f"), Some([(1, 0), (2, 0)]), 0).unwrap();
        utimens(c.p("f"), None, 0).unwrap();
    });
}

fn fifo_times(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    old(&c.p("n"));
    let end = open(c.p("n"), O_RDWR | O_NONBLOCK).unwrap();
    sys::write(&end, b"x").unwrap();
    if c.differs() {
        assert_eq!(lstat(c.p("n")).unwrap().mtime, (1_000_000, 6));
        return;
    }
    assert!(is_now(lstat(c.p("n")).unwrap().mtime));
    sys::read(&end, 1).unwrap();
    assert!(is_now(atime(c.p("n"))));
}

fn device_times(c: &Ctx<'_>) {
    mknod(c.p("null"), S_IFCHR | 0o666, makedev(1, 3)).unwrap();
    old(&c.p("null"));
    child(|| {
        let fd = open(c.p("null"), O_RDWR).unwrap();
        sys::write(&fd, b"x").unwrap();
        sys::read(&fd, 1).unwrap();
    });
    let st = lstat(c.p("null")).unwrap();
    assert_eq!((st.atime, st.mtime), ((1_000_000, 5), (1_000_000, 6)));
}
