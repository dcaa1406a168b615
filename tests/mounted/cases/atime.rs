//! Access times, and setting times by hand.

use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::proc::{child, shared, tick};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["atime";
    nobody: relatime_read, relatime_read_again, relatime_after_chmod, relatime_fresh, relatime_after_a_day, relatime_readdir, readdir_of_empty, readlink_moves, followed_symlink, lookup_moves_nothing, read_at_the_end, read_nothing, mapped_touch, sendfile_reads, exec_reads, noatime_of_an_inode, noatime_of_a_directory;
    root: noatime_mount, strictatime_mount, nodiratime_mount, fifo_times, device_times;
];

pub(crate) fn old(p: impl AsP + Copy) {
    utimens(p, Some([(1_000_000, 5), (1_000_000, 6)]), 0).unwrap();
}

pub(crate) fn atime(p: impl AsP) -> (i64, i64) {
    lstat(p).unwrap().atime
}

fn read_all(p: impl AsP) {
    let fd = open(p, O_RDONLY).unwrap();
    while !sys::read(&fd, 4096).unwrap().is_empty() {}
}

pub(crate) fn is_now(t: (i64, i64)) -> bool {
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
