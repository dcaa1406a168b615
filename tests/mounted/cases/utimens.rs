//! Setting times by hand.

use super::atime::{atime, is_now, old};
use crate::consts::*;
use crate::proc::{as_user, shared, tick};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["utimens";
    nobody: set_explicit, set_nanoseconds, set_before_1970, set_year_2500, set_extremes, set_now, set_omit, set_one_now_one_omit, set_null, set_bad_nanoseconds, set_symlink_itself, set_directory, set_by_descriptor, set_moves_ctime, set_then_write, set_then_close, set_mapped, utime_of_missing, set_atime_after_write;
    root: set_by_others, set_now_by_writer, set_null_by_writer, set_one_by_writer, set_by_owner_of_readonly;
];

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
