//! Processes and memory: children that run a closure, other users, mappings.

use std::io::{Read, Seek, SeekFrom, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use crate::sys::{self, R, check, errno, owned, raw};

thread_local! {
    static PANIC: std::cell::RefCell<String> = const { std::cell::RefCell::new(String::new()) };
}

/// Panics are kept instead of printed: a forked child must not wait for a lock on
/// stderr that a thread of its parent held.
pub(crate) fn keep_panics() {
    std::panic::set_hook(Box::new(|info| {
        let what = info
            .payload()
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| info.payload().downcast_ref::<&str>().copied())
            .unwrap_or("panicked");
        let at = info
            .location()
            .map_or(String::new(), |l| format!(" at {}:{}", l.file(), l.line()));
        PANIC.with_borrow_mut(|kept| *kept = format!("{what}{at}"));
    }));
}

/// What the last panic of this thread said.
#[allow(dead_code)] // the mounted suite asks its children
pub(crate) fn last_panic() -> String {
    PANIC.with_borrow(String::clone)
}

/// Writes a line to stdout without the lock of `println!`, which a thread of the
/// runner may have held when this process was forked from it.
pub(crate) fn say(text: &str) {
    let line = format!("{text}\n");
    // SAFETY: `line` is as long as said.
    unsafe { libc::write(1, line.as_ptr().cast(), line.len()) };
}

/// A forked child; what it panicked with can be read when it has ended.
pub(crate) struct Kid {
    /// Its process id.
    pub(crate) pid: libc::pid_t,
    report: std::fs::File,
    reaped: bool,
}

/// How a child ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The closure returned.
    Done,
    /// The closure panicked.
    Panicked(String),
    /// A signal ended it.
    Signal(i32),
    /// The deadline passed; it was killed. Where every process was in the kernel then.
    Hung(String),
}

fn memfd() -> std::fs::File {
    // SAFETY: a static name.
    let fd = unsafe { libc::memfd_create(c"report".as_ptr(), libc::MFD_CLOEXEC) };
    // SAFETY: just made, ours.
    unsafe { std::fs::File::from_raw_fd(check(fd).expect("memfd_create")) }
}

/// Runs `f` in a forked child.
pub(crate) fn spawn(f: impl FnOnce()) -> Kid {
    let report = memfd();
    // SAFETY: the child runs only `f` and _exit.
    match check(unsafe { libc::fork() }).expect("fork") {
        0 => {
            let code = match catch_unwind(AssertUnwindSafe(f)) {
                Ok(()) => 0,
                Err(_) => {
                    let text = PANIC.with_borrow(String::clone);
                    let _ = (&report).write_all(text.as_bytes());
                    1
                }
            };
            // SAFETY: ends this child without running its parent's exit handlers.
            unsafe { libc::_exit(code) }
        }
        pid => Kid {
            pid,
            report,
            reaped: false,
        },
    }
}

impl Kid {
    /// Waits at most `limit`, then kills the child's process group and the child.
    pub(crate) fn end(&mut self, limit: Duration) -> End {
        let deadline = Instant::now() + limit;
        let mut status = 0;
        loop {
            // SAFETY: `status` is writable.
            let pid = unsafe { libc::waitpid(self.pid, &mut status, libc::WNOHANG) };
            match pid {
                0 if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(1)),
                0 => {
                    let stacks = stacks();
                    self.kill(libc::SIGKILL);
                    return End::Hung(stacks);
                }
                -1 if errno() == sys::EINTR => {}
                _ => break,
            }
        }
        self.reaped = true;
        if libc::WIFSIGNALED(status) {
            return End::Signal(libc::WTERMSIG(status));
        }
        if libc::WEXITSTATUS(status) == 0 {
            return End::Done;
        }
        let mut text = String::new();
        let _ = self.report.seek(SeekFrom::Start(0));
        let _ = self.report.read_to_string(&mut text);
        End::Panicked(text)
    }

    /// Waits for success; a failure of the child fails the case.
    #[track_caller]
    pub(crate) fn join(mut self) {
        match self.end(Duration::from_secs(60)) {
            End::Done => {}
            End::Panicked(text) => panic!("in a child: {text}"),
            End::Signal(n) => panic!("a child died of signal {n}"),
            End::Hung(stacks) => panic!("a child did not end within 60 s\n{stacks}"),
        }
    }

    /// Sends a signal.
    pub(crate) fn kill(&self, signal: i32) {
        // SAFETY: no pointers; the child is not reaped yet.
        unsafe { libc::kill(self.pid, signal) };
    }
}

/// Where each thread in this pid namespace is in the kernel, as far as we may know.
fn stacks() -> String {
    let read = |path: String| std::fs::read_to_string(path).unwrap_or_default();
    let mut text = String::new();
    for process in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let tasks = std::fs::read_dir(process.path().join("task"));
        for task in tasks.into_iter().flatten().flatten() {
            let task = task.path().display().to_string();
            let stat = read(format!("{task}/stat"));
            let short: String = stat.chars().take(60).collect();
            text += &format!(
                "{short} in {}\n{}",
                read(format!("{task}/wchan")),
                read(format!("{task}/stack"))
            );
        }
    }
    text
}

impl Drop for Kid {
    fn drop(&mut self) {
        if self.reaped {
            return;
        }
        self.kill(libc::SIGKILL);
        let _ = self.end(Duration::from_secs(5));
    }
}

/// Runs `f` in a child and waits for its success.
#[track_caller]
pub(crate) fn child(f: impl FnOnce()) {
    spawn(f).join();
}

/// The signal that `f` dies of in a child, or `None` if it returns.
#[track_caller]
pub(crate) fn dies_of(f: impl FnOnce()) -> Option<i32> {
    match spawn(f).end(Duration::from_secs(60)) {
        End::Done => None,
        End::Signal(n) => Some(n),
        other => panic!("the child neither returned nor died of a signal: {other:?}"),
    }
}

/// Becomes another user, for good.
pub(crate) fn become_user(uid: u32, gid: u32, groups: &[u32]) {
    // SAFETY: `groups` is as long as said; the rest has no pointers.
    unsafe {
        assert_eq!(
            libc::setgroups(groups.len(), groups.as_ptr()),
            0,
            "setgroups"
        );
        assert_eq!(libc::setresgid(gid, gid, gid), 0, "setresgid");
        assert_eq!(libc::setresuid(uid, uid, uid), 0, "setresuid");
    }
}

/// Runs `f` in a child as uid and gid `id` with no other groups.
#[track_caller]
pub(crate) fn as_user(id: u32, f: impl FnOnce()) {
    as_member(id, id, &[], f);
}

/// Runs `f` in a child with these credentials.
#[track_caller]
pub(crate) fn as_member(uid: u32, gid: u32, groups: &[u32], f: impl FnOnce()) {
    child(|| {
        become_user(uid, gid, groups);
        f();
    });
}

/// Who we are.
pub(crate) fn ids() -> (u32, u32) {
    // SAFETY: no pointers.
    unsafe { (libc::geteuid(), libc::getegid()) }
}

/// A pipe to hand one process's progress to another.
pub(crate) struct Step(OwnedFd, OwnedFd);

impl Step {
    /// A step that nobody has made yet.
    pub(crate) fn new() -> Step {
        let mut fds = [0; 2];
        // SAFETY: two descriptors fit.
        check(unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) }).expect("pipe");
        Step(owned(fds[0]).unwrap(), owned(fds[1]).unwrap())
    }

    /// Says that the step is made.
    pub(crate) fn make(&self) {
        assert_eq!(sys::write(&self.1, b"."), Ok(1));
    }

    /// Whether another process made the step already.
    #[allow(dead_code)] // the exports suite asks
    pub(crate) fn is_made(&self) -> bool {
        self.poll(0)
    }

    /// Waits until another process makes the step.
    #[track_caller]
    pub(crate) fn wait(&self) {
        let made = self.poll(60_000);
        assert!(made, "another process did not make its step within 60 s");
        assert_eq!(sys::read(&self.0, 1).expect("read a step"), b".");
    }

    fn poll(&self, milliseconds: i32) -> bool {
        let mut poll = libc::pollfd {
            fd: raw(&self.0),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd.
        unsafe { libc::poll(&mut poll, 1, milliseconds) == 1 }
    }
}

/// Waits until the kernel's clock for timestamps has moved past every stamp made so far.
pub(crate) fn tick() {
    let read = |id| {
        let mut t = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `t` is writable.
        unsafe { libc::clock_gettime(id, &mut t) };
        (t.tv_sec, t.tv_nsec)
    };
    let now = read(libc::CLOCK_REALTIME);
    while read(libc::CLOCK_REALTIME_COARSE) <= now {
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for `f` to hold, at most 30 s.
#[track_caller]
pub(crate) fn eventually(what: &str, mut f: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !f() {
        assert!(Instant::now() < deadline, "not within 30 s: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A mapping, unmapped on drop.
pub(crate) struct Map {
    /// Where it starts.
    pub(crate) at: *mut u8,
    /// How long it is.
    pub(crate) len: usize,
}

/// mmap(2) of a descriptor.
pub(crate) fn mmap(
    fd: &impl std::os::fd::AsRawFd,
    len: usize,
    prot: i32,
    flags: i32,
    at: i64,
) -> R<Map> {
    // SAFETY: the kernel chooses the place.
    let p = unsafe { libc::mmap(std::ptr::null_mut(), len, prot, flags, raw(fd), at) };
    if p == libc::MAP_FAILED {
        Err(errno())
    } else {
        Ok(Map { at: p.cast(), len })
    }
}

/// A shared, writable mapping of the first `len` bytes.
#[track_caller]
pub(crate) fn shared(fd: &impl std::os::fd::AsRawFd, len: usize) -> Map {
    mmap(
        fd,
        len,
        libc::PROT_READ | libc::PROT_WRITE,
        libc::MAP_SHARED,
        0,
    )
    .expect("mmap")
}

impl Map {
    /// Reads one byte.
    pub(crate) fn get(&self, i: usize) -> u8 {
        assert!(i < self.len);
        // SAFETY: inside the mapping.
        unsafe { self.at.add(i).read_volatile() }
    }

    /// Reads one byte and forgets it.
    pub(crate) fn touch(&self, i: usize) {
        self.get(i);
    }

    /// Stores one byte.
    pub(crate) fn set(&self, i: usize, v: u8) {
        assert!(i < self.len);
        // SAFETY: inside the mapping.
        unsafe { self.at.add(i).write_volatile(v) }
    }

    /// Copies `n` bytes out.
    pub(crate) fn copy(&self, at: usize, n: usize) -> Vec<u8> {
        (at..at + n).map(|i| self.get(i)).collect()
    }

    /// Copies `data` in.
    pub(crate) fn fill(&self, at: usize, data: &[u8]) {
        data.iter()
            .enumerate()
            .for_each(|(i, &b)| self.set(at + i, b));
    }

    /// msync(2) of all of it.
    pub(crate) fn sync(&self, flags: i32) -> R {
        // SAFETY: our own mapping.
        check(unsafe { libc::msync(self.at.cast(), self.len, flags) }).map(drop)
    }

    /// mprotect(2) of all of it.
    pub(crate) fn protect(&self, prot: i32) -> R {
        // SAFETY: our own mapping.
        check(unsafe { libc::mprotect(self.at.cast(), self.len, prot) }).map(drop)
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: our own mapping.
        unsafe { libc::munmap(self.at.cast(), self.len) };
    }
}

/// A raw system call.
#[macro_export]
macro_rules! syscall {
    ($($a:expr),* $(,)?) => {
        {
            #[allow(clippy::macro_metavars_in_unsafe)]
            // SAFETY: the case passes live buffers.
            $crate::sys::check(unsafe { libc::syscall($($a),*) })
        }
    };
}
