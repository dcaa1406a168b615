//! flock, fcntl and OFD locks; the kernel keeps them.

use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use crate::consts::*;
use crate::proc::{End, Kid, Step, child, eventually, spawn};
use crate::sys::*;
use crate::table::Ctx;

crate::cases!["lock";
    nobody: flock_excludes, flock_shared, flock_upgrade, flock_is_of_the_open_file, flock_ends_with_close, flock_blocks_until_released, flock_interrupted, flock_killed, flock_by_hard_link, flock_of_directory, flock_of_unlinked,
        fcntl_excludes, fcntl_shared, fcntl_ranges, fcntl_getlk, fcntl_whole_file, fcntl_past_end, fcntl_dropped_by_any_close, fcntl_not_inherited, fcntl_blocks_until_released, fcntl_interrupted, fcntl_killed, fcntl_deadlock, fcntl_split_and_merge, fcntl_needs_access,
        fcntl_by_hard_link, ofd_excludes, ofd_is_of_the_open_file, ofd_getlk, ofd_interrupted, ofd_against_fcntl, kinds_are_independent, lock_of_dead_process_goes, lockf_section, lease;
];

fn flock(fd: &impl AsRawFd, how: i32) -> R {
    // SAFETY: no pointers.
    check(unsafe { libc::flock(fd.as_raw_fd(), how) }).map(drop)
}

fn range(kind: i32, start: i64, len: i64) -> libc::flock {
    libc::flock { l_type: kind as i16, l_whence: SEEK_SET as i16, l_start: start, l_len: len, l_pid: 0 }
}

fn fcntl(fd: &impl AsRawFd, command: i32, kind: i32, start: i64, len: i64) -> R<libc::flock> {
    let mut lock = range(kind, start, len);
    // SAFETY: a live flock.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), command, &mut lock) })?;
    Ok(lock)
}

/// What getlk of a write lock would hit: type, start, length and whether it is a process's.
fn conflict(fd: &impl AsRawFd, start: i64, len: i64) -> Option<(i32, i64, i64, i32)> {
    let lock = fcntl(fd, F_GETLK, F_WRLCK, start, len).unwrap();
    (i32::from(lock.l_type) != F_UNLCK).then_some((i32::from(lock.l_type), lock.l_start, lock.l_len, lock.l_pid))
}

fn again(c: &Ctx<'_>) -> OwnedFd {
    open(c.p("f"), O_RDWR).unwrap()
}

fn file(c: &Ctx<'_>) -> OwnedFd {
    put(c.p("f"), &[0; 100])
}

/// Waits until a process sleeps. It has its file open already, so it sleeps in its lock call.
fn until_asleep(kid: &Kid) {
    eventually("the other process sleeps", || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", kid.pid)).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('S')
    });
}

extern "C" fn ignore(_: i32) {}

fn handle_usr1() {
    // SAFETY: a handler that does nothing, without SA_RESTART.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = ignore as *const () as usize;
        assert_eq!(libc::sigaction(SIGUSR1, &action, std::ptr::null_mut()), 0);
    }
}

/// A process that blocks in `take` is interrupted by a handled signal: EINTR, in bounded time.
fn interrupted(c: &Ctx<'_>, take: impl Fn(&OwnedFd) -> R) {
    let ready = Step::new();
    let mut kid = spawn(|| {
        let (fd, ()) = (again(c), handle_usr1());
        ready.make();
        fails(take(&fd), EINTR);
    });
    ready.wait();
    until_asleep(&kid);
    kid.kill(SIGUSR1);
    assert_eq!(kid.end(Duration::from_secs(30)), End::Done);
}

/// A process that blocks in `take` can be killed.
fn killed(c: &Ctx<'_>, take: impl Fn(&OwnedFd) -> R) {
    let ready = Step::new();
    let mut kid = spawn(|| {
        let fd = again(c);
        ready.make();
        take(&fd).unwrap();
    });
    ready.wait();
    until_asleep(&kid);
    kid.kill(SIGKILL);
    assert_eq!(kid.end(Duration::from_secs(30)), End::Signal(SIGKILL));
}

/// A process that blocks in `take` goes on when `release` runs.
fn released(c: &Ctx<'_>, take: impl Fn(&OwnedFd) -> R, release: impl FnOnce()) {
    let ready = Step::new();
    let kid = spawn(|| {
        let fd = again(c);
        ready.make();
        take(&fd).unwrap();
    });
    ready.wait();
    until_asleep(&kid);
    release();
    kid.join();
}

fn flock_excludes(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    flock(&a, LOCK_EX).unwrap();
    fails(flock(&b, LOCK_EX | LOCK_NB), EAGAIN);
    fails(flock(&b, LOCK_SH | LOCK_NB), EAGAIN);
    child(|| fails(flock(&again(c), LOCK_EX | LOCK_NB), EAGAIN));
    flock(&a, LOCK_UN).unwrap();
    flock(&b, LOCK_EX | LOCK_NB).unwrap();
}

fn flock_shared(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    flock(&a, LOCK_SH).unwrap();
    flock(&b, LOCK_SH | LOCK_NB).unwrap();
    fails(flock(&b, LOCK_EX | LOCK_NB), EAGAIN);
}

fn flock_upgrade(c: &Ctx<'_>) {
    let a = file(c);
    flock(&a, LOCK_SH).unwrap();
    flock(&a, LOCK_EX | LOCK_NB).unwrap();
    fails(flock(&again(c), LOCK_SH | LOCK_NB), EAGAIN);
    flock(&a, LOCK_SH | LOCK_NB).unwrap();
    flock(&again(c), LOCK_SH | LOCK_NB).unwrap();
}

fn flock_is_of_the_open_file(c: &Ctx<'_>) {
    let a = file(c);
    flock(&a, LOCK_EX).unwrap();
    let twin = a.try_clone().unwrap();
    child(|| flock(&twin, LOCK_EX | LOCK_NB).unwrap());
    drop(a);
    fails(flock(&again(c), LOCK_EX | LOCK_NB), EAGAIN);
    drop(twin);
    flock(&again(c), LOCK_EX | LOCK_NB).unwrap();
}

fn flock_ends_with_close(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    flock(&a, LOCK_EX).unwrap();
    drop(a);
    flock(&b, LOCK_EX | LOCK_NB).unwrap();
}

fn flock_blocks_until_released(c: &Ctx<'_>) {
    let a = file(c);
    flock(&a, LOCK_EX).unwrap();
    released(c, |fd| flock(fd, LOCK_EX), || flock(&a, LOCK_UN).unwrap());
}

fn flock_interrupted(c: &Ctx<'_>) {
    let a = file(c);
    flock(&a, LOCK_EX).unwrap();
    interrupted(c, |fd| flock(fd, LOCK_EX));
}

fn flock_killed(c: &Ctx<'_>) {
    let a = file(c);
    flock(&a, LOCK_EX).unwrap();
    killed(c, |fd| flock(fd, LOCK_EX));
    flock(&a, LOCK_UN).unwrap();
    flock(&again(c), LOCK_EX | LOCK_NB).unwrap();
}

fn flock_by_hard_link(c: &Ctx<'_>) {
    let a = file(c);
    link(c.p("f"), c.p("g")).unwrap();
    flock(&a, LOCK_EX).unwrap();
    fails(flock(&open(c.p("g"), O_RDWR).unwrap(), LOCK_EX | LOCK_NB), EAGAIN);
}

fn flock_of_directory(c: &Ctx<'_>) {
    let (a, b) = (open(&c.dir, O_RDONLY).unwrap(), open(&c.dir, O_RDONLY).unwrap());
    flock(&a, LOCK_EX).unwrap();
    fails(flock(&b, LOCK_SH | LOCK_NB), EAGAIN);
}

fn flock_of_unlinked(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    unlink(c.p("f")).unwrap();
    flock(&a, LOCK_EX).unwrap();
    fails(flock(&b, LOCK_EX | LOCK_NB), EAGAIN);
    touch(c.p("f"));
    flock(&again(c), LOCK_EX | LOCK_NB).unwrap();
}

fn fcntl_excludes(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 10).unwrap();
    child(|| {
        let b = again(c);
        fails(fcntl(&b, F_SETLK, F_WRLCK, 5, 10), EAGAIN);
        fails(fcntl(&b, F_SETLK, F_RDLCK, 9, 1), EAGAIN);
        fcntl(&b, F_SETLK, F_WRLCK, 10, 10).unwrap();
    });
    // Of the same process: no conflict.
    fcntl(&again(c), F_SETLK, F_WRLCK, 0, 10).unwrap();
}

fn fcntl_shared(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_RDLCK, 0, 10).unwrap();
    child(|| {
        let b = again(c);
        fcntl(&b, F_SETLK, F_RDLCK, 0, 10).unwrap();
        fails(fcntl(&b, F_SETLK, F_WRLCK, 0, 1), EAGAIN);
    });
}

fn fcntl_ranges(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 10, 10).unwrap();
    fcntl(&a, F_SETLK, F_WRLCK, 30, 10).unwrap();
    child(|| {
        let b = again(c);
        let free = |at, len| fcntl(&b, F_SETLK, F_WRLCK, at, len).is_ok();
        assert_eq!((free(0, 10), free(20, 10), free(40, 0), free(0, 11), free(39, 1)), (true, true, true, false, false));
    });
}

fn fcntl_getlk(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_RDLCK, 10, 20).unwrap();
    let me = std::process::id() as i32;
    child(|| {
        let b = again(c);
        assert_eq!(conflict(&b, 0, 0), Some((F_RDLCK, 10, 20, me)));
        assert_eq!(conflict(&b, 0, 10), None);
        assert_eq!(fcntl(&b, F_GETLK, F_RDLCK, 0, 0).unwrap().l_type, F_UNLCK as i16);
    });
}

fn fcntl_whole_file(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    let me = std::process::id() as i32;
    child(|| assert_eq!(conflict(&again(c), 1 << 40, 1), Some((F_WRLCK, 0, 0, me))));
}

fn fcntl_past_end(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 1 << 40, 10).unwrap();
    fails(fcntl(&a, F_SETLK, F_WRLCK, -1, 10), EINVAL);
    fails(fcntl(&a, F_SETLK, F_WRLCK, i64::MAX, 2), EOVERFLOW);
    child(|| fails(fcntl(&again(c), F_SETLK, F_WRLCK, (1 << 40) + 5, 1), EAGAIN));
}

fn fcntl_dropped_by_any_close(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    // POSIX: closing any descriptor of the file drops the process's locks.
    drop(open(c.p("f"), O_RDONLY).unwrap());
    child(|| fcntl(&again(c), F_SETLK, F_WRLCK, 0, 0).map(drop).unwrap());
}

fn fcntl_not_inherited(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    child(|| fails(fcntl(&a, F_SETLK, F_WRLCK, 0, 0), EAGAIN));
}

fn fcntl_blocks_until_released(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    released(c, |fd| fcntl(fd, F_SETLKW, F_WRLCK, 0, 0).map(drop), || fcntl(&a, F_SETLK, F_UNLCK, 0, 0).map(drop).unwrap());
}

fn fcntl_interrupted(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    interrupted(c, |fd| fcntl(fd, F_SETLKW, F_WRLCK, 0, 0).map(drop));
}

fn fcntl_killed(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    killed(c, |fd| fcntl(fd, F_SETLKW, F_WRLCK, 0, 0).map(drop));
}

fn fcntl_deadlock(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 1).unwrap();
    let has = Step::new();
    let kid = spawn(|| {
        let b = again(c);
        fcntl(&b, F_SETLK, F_WRLCK, 1, 1).unwrap();
        has.make();
        fcntl(&b, F_SETLKW, F_WRLCK, 0, 1).unwrap();
    });
    has.wait();
    until_asleep(&kid);
    fails(fcntl(&a, F_SETLKW, F_WRLCK, 1, 1), EDEADLK);
    fcntl(&a, F_SETLK, F_UNLCK, 0, 1).unwrap();
    kid.join();
}

fn fcntl_split_and_merge(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_SETLK, F_WRLCK, 0, 30).unwrap();
    fcntl(&a, F_SETLK, F_UNLCK, 10, 10).unwrap();
    let me = std::process::id() as i32;
    child(|| {
        let b = again(c);
        assert_eq!(conflict(&b, 0, 15), Some((F_WRLCK, 0, 10, me)));
        assert_eq!((conflict(&b, 10, 10), conflict(&b, 15, 50)), (None, Some((F_WRLCK, 20, 10, me))));
    });
    fcntl(&a, F_SETLK, F_RDLCK, 5, 20).unwrap();
    child(|| {
        let b = again(c);
        assert_eq!(conflict(&b, 5, 5), Some((F_RDLCK, 5, 20, me)));
        assert_eq!(conflict(&b, 25, 5), Some((F_WRLCK, 25, 5, me)));
    });
}

fn fcntl_needs_access(c: &Ctx<'_>) {
    file(c);
    let (r, w) = (open(c.p("f"), O_RDONLY).unwrap(), open(c.p("f"), O_WRONLY).unwrap());
    fails(fcntl(&r, F_SETLK, F_WRLCK, 0, 0), EBADF);
    fails(fcntl(&w, F_SETLK, F_RDLCK, 0, 0), EBADF);
    fcntl(&r, F_SETLK, F_RDLCK, 0, 0).unwrap();
}

fn fcntl_by_hard_link(c: &Ctx<'_>) {
    let a = file(c);
    link(c.p("f"), c.p("g")).unwrap();
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    child(|| fails(fcntl(&open(c.p("g"), O_RDWR).unwrap(), F_SETLK, F_WRLCK, 0, 0), EAGAIN));
}

fn ofd_excludes(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    fcntl(&a, F_OFD_SETLK, F_WRLCK, 0, 10).unwrap();
    fails(fcntl(&b, F_OFD_SETLK, F_WRLCK, 5, 10), EAGAIN);
    fcntl(&b, F_OFD_SETLK, F_WRLCK, 10, 10).unwrap();
    fcntl(&a, F_OFD_SETLK, F_UNLCK, 0, 10).unwrap();
    fcntl(&b, F_OFD_SETLK, F_WRLCK, 0, 10).unwrap();
}

fn ofd_is_of_the_open_file(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_OFD_SETLK, F_WRLCK, 0, 0).unwrap();
    drop(again(c));
    fails(fcntl(&again(c), F_OFD_SETLK, F_WRLCK, 0, 0), EAGAIN);
    child(|| fcntl(&a, F_OFD_SETLK, F_WRLCK, 0, 0).map(drop).unwrap());
}

fn ofd_getlk(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    fcntl(&a, F_OFD_SETLK, F_WRLCK, 3, 4).unwrap();
    let lock = fcntl(&b, F_OFD_GETLK, F_RDLCK, 0, 0).unwrap();
    assert_eq!((i32::from(lock.l_type), lock.l_start, lock.l_len, lock.l_pid), (F_WRLCK, 3, 4, -1));
}

fn ofd_interrupted(c: &Ctx<'_>) {
    let a = file(c);
    fcntl(&a, F_OFD_SETLK, F_WRLCK, 0, 0).unwrap();
    interrupted(c, |fd| fcntl(fd, F_OFD_SETLKW, F_WRLCK, 0, 0).map(drop));
    killed(c, |fd| fcntl(fd, F_OFD_SETLKW, F_WRLCK, 0, 0).map(drop));
    released(c, |fd| fcntl(fd, F_OFD_SETLKW, F_WRLCK, 0, 0).map(drop), || fcntl(&a, F_OFD_SETLK, F_UNLCK, 0, 0).map(drop).unwrap());
}

fn ofd_against_fcntl(c: &Ctx<'_>) {
    let (a, b) = (file(c), again(c));
    fcntl(&a, F_OFD_SETLK, F_WRLCK, 0, 10).unwrap();
    fails(fcntl(&b, F_SETLK, F_WRLCK, 0, 10), EAGAIN);
}

fn kinds_are_independent(c: &Ctx<'_>) {
    let a = file(c);
    flock(&a, LOCK_EX).unwrap();
    child(|| {
        let b = again(c);
        fcntl(&b, F_SETLK, F_WRLCK, 0, 0).unwrap();
        fails(flock(&b, LOCK_EX | LOCK_NB), EAGAIN);
    });
}

fn lock_of_dead_process_goes(c: &Ctx<'_>) {
    let a = file(c);
    let ready = Step::new();
    let mut kid = spawn(|| {
        let b = again(c);
        fcntl(&b, F_SETLK, F_WRLCK, 0, 0).unwrap();
        flock(&b, LOCK_EX).unwrap();
        ready.make();
        // SAFETY: sleeps until it is killed.
        unsafe { libc::pause() };
    });
    ready.wait();
    fails(fcntl(&a, F_SETLK, F_WRLCK, 0, 0), EAGAIN);
    kid.kill(SIGKILL);
    assert_eq!(kid.end(Duration::from_secs(30)), End::Signal(SIGKILL));
    fcntl(&a, F_SETLK, F_WRLCK, 0, 0).unwrap();
    flock(&a, LOCK_EX | LOCK_NB).unwrap();
}

fn lockf_section(c: &Ctx<'_>) {
    let a = file(c);
    lseek(&a, 50, SEEK_SET).unwrap();
    // SAFETY: no pointers.
    check(unsafe { libc::lockf(a.as_raw_fd(), libc::F_LOCK, 10) }).unwrap();
    child(|| {
        let b = again(c);
        assert_eq!((conflict(&b, 0, 50), conflict(&b, 50, 10).is_some(), conflict(&b, 60, 0)), (None, true, None));
    });
}

fn lease(c: &Ctx<'_>) {
    drop(file(c));
    let r = open(c.p("f"), O_RDONLY).unwrap();
    // SAFETY: no pointers.
    let got = check(unsafe { libc::fcntl(r.as_raw_fd(), libc::F_SETLEASE, F_RDLCK) });
    assert_eq!(got, Ok(0));
}
