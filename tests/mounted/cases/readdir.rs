//! Directory streams.

use std::collections::HashSet;
use std::ffi::CStr;
use std::os::fd::AsRawFd;

use crate::consts::*;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["readdir";
    nobody: empty, dot_and_dotdot, types, inode_numbers, hundred_thousand, while_entries_come, while_entries_go, rename_while_reading_ends, seekdir_returns, seekdir_after_changes, rewinddir_sees_new, two_streams, small_buffer, tiny_buffer_is_einval,
        lseek_to_the_end, lseek_to_zero, dup_shares_position, removed_directory, order_of_creation, order_after_rename, order_after_exchange, order_after_whiteout, deleting_all_while_reading, after_rename_of_the_directory, renamed_entry_seen, replaced_entry_seen_once, sizes_follow, fork_shares_stream,
        not_a_directory, read_only_descriptor, long_names, exchange_while_open, position_survives_unlink_of_it;
];

struct Dir(*mut libc::DIR);

impl Dir {
    fn open(p: impl AsP) -> Dir {
        // SAFETY: a NUL-terminated path.
        let dir = unsafe { libc::opendir(sys::c(p).as_ptr()) };
        assert!(!dir.is_null(), "opendir: {:?}", errno());
        Dir(dir)
    }

    /// The next entry: name, type, inode number.
    fn next(&self) -> Option<(String, u8, u64)> {
        // SAFETY: an open stream; the entry is copied before the next call.
        unsafe {
            let entry = libc::readdir64(self.0);
            if entry.is_null() {
                return None;
            }
            let name = CStr::from_ptr((&raw const (*entry).d_name).cast());
            Some((name.to_string_lossy().into_owned(), (*entry).d_type, (*entry).d_ino))
        }
    }

    fn tell(&self) -> i64 {
        // SAFETY: an open stream.
        unsafe { libc::telldir(self.0) }
    }

    fn seek(&self, at: i64) {
        // SAFETY: an open stream.
        unsafe { libc::seekdir(self.0, at) }
    }

    fn rewind(&self) {
        // SAFETY: an open stream.
        unsafe { libc::rewinddir(self.0) }
    }

    fn names(&self) -> Vec<String> {
        std::iter::from_fn(|| self.next()).map(|e| e.0).filter(|n| n != "." && n != "..").collect()
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        // SAFETY: an open stream, closed once.
        unsafe { libc::closedir(self.0) };
    }
}

/// Makes files `prefix0` … as hard links of one: as many entries, far cheaper than as many files.
fn links(c: &Ctx<'_>, prefix: &str, count: usize) {
    if !c.p("seed").exists() {
        touch(c.p("seed"));
    }
    let dir = open(&c.dir, O_RDONLY).unwrap();
    for i in 0..count {
        let to = std::ffi::CString::new(format!("{prefix}{i}")).unwrap();
        // SAFETY: NUL-terminated names.
        let made = unsafe { libc::linkat(dir.as_raw_fd(), c"seed".as_ptr(), dir.as_raw_fd(), to.as_ptr(), 0) };
        check(made).unwrap();
    }
}

fn unlink_links(c: &Ctx<'_>, prefix: &str, range: std::ops::Range<usize>) {
    range.for_each(|i| unlink(c.p(&format!("{prefix}{i}"))).unwrap());
}

fn empty(c: &Ctx<'_>) {
    let dir = Dir::open(&c.dir);
    let names: Vec<_> = std::iter::from_fn(|| dir.next()).map(|e| e.0).collect();
    assert_eq!(names, [".", ".."]);
    assert_eq!(dir.next(), None);
}

fn dot_and_dotdot(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let dir = Dir::open(c.p("d"));
    let (dot, up) = (dir.next().unwrap(), dir.next().unwrap());
    assert_eq!((dot.0.as_str(), dot.1, dot.2), (".", libc::DT_DIR, stat(c.p("d")).unwrap().ino));
    assert_eq!((up.0.as_str(), up.1, up.2), ("..", libc::DT_DIR, stat(&c.dir).unwrap().ino));
}

fn types(c: &Ctx<'_>) {
    touch(c.p("file"));
    mkdir(c.p("dir"), 0o700).unwrap();
    symlink("x", c.p("link")).unwrap();
    mknod(c.p("fifo"), S_IFIFO | 0o600, 0).unwrap();
    mknod(c.p("sock"), S_IFSOCK | 0o600, 0).unwrap();
    mknod(c.p("white"), S_IFCHR, 0).unwrap();
    let dir = Dir::open(&c.dir);
    let mut found: Vec<_> = std::iter::from_fn(|| dir.next()).map(|e| (e.0, e.1)).skip(2).collect();
    found.sort();
    let want = [("dir", libc::DT_DIR), ("fifo", libc::DT_FIFO), ("file", libc::DT_REG), ("link", libc::DT_LNK), ("sock", libc::DT_SOCK), ("white", libc::DT_CHR)];
    assert_eq!(found, want.map(|(n, t)| (n.to_string(), t)));
}

fn inode_numbers(c: &Ctx<'_>) {
    for i in 0..50 {
        touch(c.p(&i.to_string()));
    }
    let dir = Dir::open(&c.dir);
    for (name, _, ino) in std::iter::from_fn(|| dir.next()).skip(2) {
        assert_eq!(stat(c.p(&name)).unwrap().ino, ino, "{name}");
    }
}

const MANY: usize = 100_000;

fn hundred_thousand(c: &Ctx<'_>) {
    links(c, "f", MANY);
    assert_eq!(stat(&c.dir).unwrap().size, 40 + 20 * (MANY as i64 + 1));
    let dir = Dir::open(&c.dir);
    let mut seen = HashSet::new();
    for n in 0.. {
        let Some((name, _, _)) = dir.next() else { break };
        assert!(seen.insert(name), "a name twice");
        // Half of the names that were not there at first come and go meanwhile.
        if n % 1_000 == 0 {
            link(c.p("seed"), c.p(&format!("new{n}"))).unwrap();
        }
        if n % 2_000 == 1_000 {
            unlink(c.p(&format!("new{}", n - 1_000))).unwrap();
        }
    }
    assert!((0..MANY).all(|i| seen.contains(&format!("f{i}"))), "a name that was always there is missing");
    unlink_links(c, "f", 0..MANY);
}

fn while_entries_come(c: &Ctx<'_>) {
    links(c, "a", 3_000);
    let dir = Dir::open(&c.dir);
    let first: HashSet<_> = (0..1_000).map(|_| dir.next().unwrap().0).collect();
    links(c, "b", 3_000);
    let rest: Vec<_> = dir.names();
    let all: Vec<_> = first.iter().chain(&rest).collect();
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "a name twice");
    assert_eq!(all.iter().filter(|n| n.starts_with('a')).count(), 3_000);
}

fn while_entries_go(c: &Ctx<'_>) {
    links(c, "a", 3_000);
    let dir = Dir::open(&c.dir);
    let first: HashSet<_> = (0..500).map(|_| dir.next().unwrap().0).collect();
    let gone: Vec<_> = (0..3_000).step_by(2).collect();
    gone.iter().for_each(|i| unlink(c.p(&format!("a{i}"))).unwrap());
    let rest: HashSet<_> = dir.names().into_iter().collect();
    assert!(first.is_disjoint(&rest), "a name twice");
    assert!((1..3_000).step_by(2).all(|i| { let n = format!("a{i}"); first.contains(&n) || rest.contains(&n) }));
}

fn rename_while_reading_ends(c: &Ctx<'_>) {
    // The loop that renames each entry it reads must end (CVE-like endless readdir on tmpfs before 6.6).
    links(c, "a", 2_000);
    let dir = Dir::open(&c.dir);
    let mut renames = 0;
    while let Some((name, _, _)) = dir.next() {
        if name == "." || name == ".." {
            continue;
        }
        rename(c.p(&name), c.p("temporary")).unwrap();
        rename(c.p("temporary"), c.p(&name)).unwrap();
        renames += 1;
        assert!(renames < 20_000, "reading a directory never ends");
    }
    assert!(renames >= 2_001);
}

fn seekdir_returns(c: &Ctx<'_>) {
    links(c, "a", 500);
    let dir = Dir::open(&c.dir);
    let mut marks = Vec::new();
    loop {
        let at = dir.tell();
        let Some((name, _, _)) = dir.next() else { break };
        marks.push((at, name));
    }
    assert_eq!(marks.len(), 503);
    for (at, name) in marks.iter().rev().chain(&marks) {
        dir.seek(*at);
        assert_eq!(dir.next().unwrap().0, *name);
    }
    let cookies: HashSet<_> = marks.iter().map(|m| m.0).collect();
    assert_eq!(cookies.len(), marks.len());
}

fn seekdir_after_changes(c: &Ctx<'_>) {
    links(c, "a", 1_000);
    let dir = Dir::open(&c.dir);
    for _ in 0..400 {
        dir.next().unwrap();
    }
    let at = dir.tell();
    let want = dir.names();
    links(c, "b", 100);
    let doomed: Vec<_> = want.iter().step_by(3).collect();
    doomed.iter().for_each(|n| unlink(c.p(n)).unwrap());
    dir.seek(at);
    let got: HashSet<_> = dir.names().into_iter().collect();
    let expect: HashSet<_> = want.iter().filter(|n| !doomed.contains(n)).cloned().collect();
    assert!(expect.is_subset(&got), "entries after the mark are missing");
    assert!(got.iter().all(|n| n.starts_with('b') || expect.contains(n)), "entries from before the mark");
}

fn rewinddir_sees_new(c: &Ctx<'_>) {
    touch(c.p("old"));
    let dir = Dir::open(&c.dir);
    assert_eq!(dir.names(), ["old"]);
    touch(c.p("new"));
    dir.rewind();
    let mut names = dir.names();
    names.sort();
    assert_eq!(names, ["new", "old"]);
}

fn two_streams(c: &Ctx<'_>) {
    links(c, "a", 300);
    let (one, two) = (Dir::open(&c.dir), Dir::open(&c.dir));
    for _ in 0..100 {
        assert_eq!(one.next(), two.next());
    }
    let rest = two.names();
    assert_eq!(one.names(), rest);
}

fn getdents(fd: &impl AsRawFd, len: usize) -> R<i64> {
    let mut buf = vec![0u64; len.div_ceil(8)];
    crate::syscall!(libc::SYS_getdents64, fd.as_raw_fd(), buf.as_mut_ptr(), len)
}

fn small_buffer(c: &Ctx<'_>) {
    links(c, "a", 200);
    let fd = open(&c.dir, O_RDONLY).unwrap();
    let mut calls = 0;
    while getdents(&fd, 48).unwrap() > 0 {
        calls += 1;
    }
    assert!((101..=203).contains(&calls), "{calls}");
}

fn tiny_buffer_is_einval(c: &Ctx<'_>) {
    touch(c.p("a"));
    let fd = open(&c.dir, O_RDONLY).unwrap();
    fails(getdents(&fd, 8), EINVAL);
    assert!(getdents(&fd, 4096).unwrap() > 0);
    assert_eq!(getdents(&fd, 4096), Ok(0));
    assert_eq!(getdents(&fd, 8), Ok(0));
}

fn lseek_to_the_end(c: &Ctx<'_>) {
    let fd = open(&c.dir, O_RDONLY).unwrap();
    if c.differs() {
        assert!(lseek(&fd, 0, SEEK_END).is_ok());
    } else {
        fails(lseek(&fd, 0, SEEK_END), EINVAL);
    }
    fails(lseek(&fd, -1, SEEK_SET), EINVAL);
}

fn lseek_to_zero(c: &Ctx<'_>) {
    touch(c.p("a"));
    let fd = open(&c.dir, O_RDONLY).unwrap();
    let first = getdents(&fd, 4096).unwrap();
    assert_eq!(lseek(&fd, 0, SEEK_SET), Ok(0));
    assert_eq!(getdents(&fd, 4096), Ok(first));
}

fn dup_shares_position(c: &Ctx<'_>) {
    touch(c.p("a"));
    let fd = open(&c.dir, O_RDONLY).unwrap();
    let twin = fd.try_clone().unwrap();
    assert!(getdents(&fd, 4096).unwrap() > 0);
    assert_eq!(getdents(&twin, 4096), Ok(0));
}

fn removed_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    let fd = open(c.p("d"), O_RDONLY).unwrap();
    rmdir(c.p("d")).unwrap();
    fails(getdents(&fd, 4096), ENOENT);
}

fn order_of_creation(c: &Ctx<'_>) {
    // Newest first: simple_offset numbers entries upwards and shmem lists what it always did.
    for name in ["b", "a", "c"] {
        touch(c.p(name));
    }
    assert_eq!(Dir::open(&c.dir).names(), ["c", "a", "b"]);
}

fn order_after_rename(c: &Ctx<'_>) {
    for name in ["a", "b", "c", "d", "e"] {
        touch(c.p(name));
    }
    rename(c.p("b"), c.p("x")).unwrap();
    assert_eq!(Dir::open(&c.dir).names(), ["x", "e", "d", "c", "a"]);
    rename(c.p("e"), c.p("a")).unwrap();
    // The name that was replaced is new as well.
    assert_eq!(Dir::open(&c.dir).names(), ["a", "x", "d", "c"]);
    link(c.p("c"), c.p("l")).unwrap();
    assert_eq!(Dir::open(&c.dir).names(), ["l", "a", "x", "d", "c"]);
}

fn order_after_exchange(c: &Ctx<'_>) {
    for name in ["a", "b", "c", "d", "e"] {
        touch(c.p(name));
    }
    rename2(c.p("b"), c.p("d"), RENAME_EXCHANGE).unwrap();
    // Both are new, the second name the newer.
    assert_eq!(Dir::open(&c.dir).names(), ["d", "b", "e", "c", "a"]);
    mkdir(c.p("z"), 0o700).unwrap();
    touch(c.p("z/y"));
    touch(c.p("z/w"));
    rename2(c.p("b"), c.p("z/y"), RENAME_EXCHANGE).unwrap();
    assert_eq!(Dir::open(&c.dir).names(), ["b", "z", "d", "e", "c", "a"]);
    assert_eq!(Dir::open(c.p("z")).names(), ["y", "w"]);
}

fn order_after_whiteout(c: &Ctx<'_>) {
    for name in ["a", "b", "c"] {
        touch(c.p(name));
    }
    if rename2(c.p("a"), c.p("x"), RENAME_WHITEOUT).is_ok() {
        assert_eq!(Dir::open(&c.dir).names(), ["x", "a", "c", "b"]);
    }
}

fn deleting_all_while_reading(c: &Ctx<'_>) {
    links(c, "a", 5_000);
    let dir = Dir::open(&c.dir);
    while let Some((name, _, _)) = dir.next() {
        if name != "." && name != ".." {
            unlink(c.p(&name)).unwrap();
        }
    }
    assert_eq!(ls(&c.dir), [""; 0]);
}

fn after_rename_of_the_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    for i in 0..200 {
        touch(c.p(&format!("d/{i}")));
    }
    let dir = Dir::open(c.p("d"));
    dir.next().unwrap();
    rename(c.p("d"), c.p("e")).unwrap();
    assert_eq!(dir.names().len(), 200);
}

fn renamed_entry_seen(c: &Ctx<'_>) {
    for i in 0..10 {
        touch(c.p(&i.to_string()));
    }
    rename(c.p("3"), c.p("three")).unwrap();
    let names = Dir::open(&c.dir).names();
    assert_eq!(names.iter().filter(|n| *n == "three" || *n == "3").collect::<Vec<_>>(), ["three"]);
    assert_eq!(names.len(), 10);
}

fn replaced_entry_seen_once(c: &Ctx<'_>) {
    for i in 0..10 {
        touch(c.p(&i.to_string()));
    }
    rename(c.p("3"), c.p("7")).unwrap();
    assert_eq!(ls(&c.dir), ["0", "1", "2", "4", "5", "6", "7", "8", "9"]);
    assert_eq!(Dir::open(&c.dir).names().len(), 9);
}

fn sizes_follow(c: &Ctx<'_>) {
    let size = || stat(&c.dir).unwrap().size;
    for i in 1..=20 {
        touch(c.p(&format!("a-name-of-any-length-{i}")));
        assert_eq!(size(), 40 + 20 * i);
    }
    rename(c.p("a-name-of-any-length-1"), c.p("a-name-of-any-length-2")).unwrap();
    assert_eq!(size(), 40 + 20 * 19);
}

fn fork_shares_stream(c: &Ctx<'_>) {
    links(c, "a", 100);
    let fd = open(&c.dir, O_RDONLY).unwrap();
    crate::proc::child(|| assert!(getdents(&fd, 1 << 20).unwrap() > 0));
    assert_eq!(getdents(&fd, 1 << 20), Ok(0));
}

fn not_a_directory(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"data");
    fails(getdents(&fd, 4096), ENOTDIR);
}

fn read_only_descriptor(c: &Ctx<'_>) {
    let fd = open(&c.dir, O_PATH).unwrap();
    fails(getdents(&fd, 4096), EBADF);
}

fn long_names(c: &Ctx<'_>) {
    let base = "n".repeat(250);
    for i in 0..300 {
        touch(c.p(&format!("{base}{i:05}")));
    }
    let names: HashSet<_> = Dir::open(&c.dir).names().into_iter().collect();
    assert_eq!((names.len(), names.iter().all(|n| n.len() == 255)), (300, true));
}

fn exchange_while_open(c: &Ctx<'_>) {
    links(c, "a", 100);
    let dir = Dir::open(&c.dir);
    dir.next().unwrap();
    for i in 0..50 {
        rename2(c.p(&format!("a{i}")), c.p(&format!("a{}", 99 - i)), RENAME_EXCHANGE).unwrap();
    }
    let names = dir.names();
    assert_eq!((names.len(), names.iter().collect::<HashSet<_>>().len()), (101, 101));
}

fn position_survives_unlink_of_it(c: &Ctx<'_>) {
    for i in 0..10 {
        touch(c.p(&i.to_string()));
    }
    let dir = Dir::open(&c.dir);
    for _ in 0..5 {
        dir.next().unwrap();
    }
    let at = dir.tell();
    let next = dir.next().unwrap().0;
    let rest = dir.names();
    unlink(c.p(&next)).unwrap();
    dir.seek(at);
    assert_eq!(dir.names(), rest);
}
