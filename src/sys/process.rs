//! Processes: fork, exec, wait, end.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions, WaitOptions, WaitStatus};

/// Makes a child, which goes on from here: `None` in the child, the child's number in the parent.
///
/// Only for a process with one thread: in a child of any other, a lock may be held by a thread
/// that does not exist there. The child ends by [`exit_now`] or [`exec`].
pub fn fork() -> io::Result<Option<Pid>> {
    if thread_count()? != 1 {
        return Err(io::Error::other(
            "a process with several threads cannot fork",
        ));
    }
    // SAFETY: this is the process's only thread, so the child is a whole copy.
    match unsafe { libc::fork() } {
        -1 => Err(io::Error::last_os_error()),
        pid => Ok(Pid::from_raw(pid)),
    }
}

/// How many threads this process has.
fn thread_count() -> io::Result<usize> {
    Ok(std::fs::read_dir("/proc/self/task")?.count())
}

/// Ends the process at once: no destructor, no handler of atexit(3).
pub fn exit_now(status: i32) -> ! {
    // SAFETY: `_exit` has no precondition.
    unsafe { libc::_exit(status) }
}

/// Sets variables of this process's environment, or removes them.
pub fn set_environment(variables: &[(&str, Option<OsString>)]) -> io::Result<()> {
    if thread_count()? != 1 {
        return Err(io::Error::other(
            "a process with several threads cannot change its environment",
        ));
    }
    for (name, value) in variables {
        // SAFETY: nobody reads the environment meanwhile, as this is the process's only thread.
        unsafe {
            match value {
                Some(value) => std::env::set_var(name, value),
                None => std::env::remove_var(name),
            }
        }
    }
    Ok(())
}

/// Becomes `command`, searched in `PATH`; returns only why that failed.
pub fn exec(command: &[OsString]) -> io::Error {
    let words: Result<Vec<CString>, _> = command
        .iter()
        .map(|word| CString::new(word.clone().into_vec()))
        .collect();
    let Ok(words) = words else {
        return io::Error::from_raw_os_error(libc::EINVAL);
    };
    let Some(program) = words.first() else {
        return io::Error::from_raw_os_error(libc::ENOENT);
    };
    let mut arguments: Vec<*const libc::c_char> = words.iter().map(|word| word.as_ptr()).collect();
    arguments.push(std::ptr::null());
    // SAFETY: `arguments` ends with a null pointer, and its strings live until the call returns.
    unsafe { libc::execvp(program.as_ptr(), arguments.as_ptr()) };
    io::Error::last_os_error()
}

/// Becomes the program at `path`, which is called `name` and gets `words` and the descriptors `kept`; returns
/// only why that failed.
pub fn become_program(
    path: &Path,
    name: &str,
    words: &[&str],
    kept: &[BorrowedFd<'_>],
) -> io::Error {
    use rustix::io::{FdFlags, fcntl_setfd};
    let mark = |flags: FdFlags| kept.iter().try_for_each(|it| fcntl_setfd(it, flags));
    if let Err(error) = mark(FdFlags::empty()) {
        return error.into();
    }
    let error = Command::new(path).arg0(name).args(words).exec();
    match mark(FdFlags::CLOEXEC) {
        Ok(()) => error,
        Err(error) => error.into(),
    }
}

/// A child that ended or, where `stops` were asked for, stopped.
pub fn reap(options: WaitOptions) -> io::Result<Option<(Pid, WaitStatus)>> {
    loop {
        match rustix::process::wait(options) {
            Err(rustix::io::Errno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Waits for the end of the child `pid`.
pub fn wait_for(pid: Pid) -> io::Result<WaitStatus> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::empty()) {
            Ok(Some((_, status))) => return Ok(status),
            Ok(None) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The status as a shell shows it: the exit status, or 128 and the signal's number.
pub fn shell_status(status: WaitStatus) -> i32 {
    status
        .exit_status()
        .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
        .unwrap_or(125)
}

/// Sends `signal` to the process `pid`; that it is gone is no failure.
pub fn kill(pid: i32, signal: i32) {
    // SAFETY: `kill` has no precondition.
    unsafe { libc::kill(pid, signal) };
}

/// The status of the child `pid` if it has ended; `None` while it runs.
pub fn try_wait(pid: Pid) -> io::Result<Option<WaitStatus>> {
    loop {
        match rustix::process::waitpid(Some(pid), WaitOptions::NOHANG) {
            Ok(ended) => return Ok(ended.map(|(_, status)| status)),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Looks until `until` at most whether the child behind `pidfd` has ended.
fn look_until<T>(
    pidfd: BorrowedFd<'_>,
    until: Instant,
    look: impl Fn() -> io::Result<Option<T>>,
) -> io::Result<Option<T>> {
    loop {
        let found = look()?;
        let left = until.saturating_duration_since(Instant::now());
        if found.is_some() || left.is_zero() {
            return Ok(found);
        }
        let timeout = Timespec::try_from(left).map_err(io::Error::other)?;
        match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(&timeout)) {
            // A debugger sees its end first.
            Ok(ended) if ended > 0 => std::thread::sleep(Duration::from_millis(1)),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits for the end of the child `pid`, until `until` at most; `None` where it has not ended by then.
pub fn wait_until(pid: Pid, until: Instant) -> io::Result<Option<WaitStatus>> {
    look_until(pidfd(pid)?.as_fd(), until, || try_wait(pid))
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By this signal.
    Signal(i32),
    /// With this status.
    Status(i32),
    /// Somebody else has waited for it: another part of this process, or the kernel where SIGCHLD is ignored.
    Unseen,
}

impl End {
    /// As a shell shows it: the exit status, or 128 and the signal's number.
    pub fn as_shell(self) -> i32 {
        match self {
            End::Signal(signal) => 128 + signal,
            End::Status(status) => status,
            End::Unseen => 128 + libc::SIGKILL,
        }
    }
}

impl From<WaitStatus> for End {
    fn from(status: WaitStatus) -> End {
        match status.terminating_signal() {
            Some(signal) => End::Signal(signal),
            None => End::Status(status.exit_status().unwrap_or_default()),
        }
    }
}

/// How a child ended, which is still to be waited for; `None` while it runs.
///
/// Waiting may take milliseconds where its threads have only just ended: the kernel then looks again and again for what
/// `/proc` knows of them (`proc_flush_pid`).
pub fn ended(pidfd: BorrowedFd<'_>) -> io::Result<Option<End>> {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    let status = loop {
        match rustix::process::waitid(WaitId::PidFd(pidfd), options) {
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::CHILD) => return Ok(Some(End::Unseen)),
            status => break status?,
        }
    };
    Ok(status.map(|status| match status.terminating_signal() {
        Some(signal) => End::Signal(signal),
        None => End::Status(status.exit_status().unwrap_or_default()),
    }))
}

/// The same, until `until` at most.
pub fn ended_until(pidfd: BorrowedFd<'_>, until: Instant) -> io::Result<Option<End>> {
    look_until(pidfd, until, || ended(pidfd))
}

/// Whether the process has ended and was not waited for, or cannot be yet, as one of its threads is in the kernel.
pub fn is_zombie(pid: Pid) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()));
    // The name, which may hold anything, ends at the last parenthesis.
    let state = stat
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(") ")?.1.starts_with('Z')));
    state == Some(true)
}

/// A descriptor that stands for the child `pid`, which has not been waited for.
pub fn pidfd(pid: Pid) -> io::Result<OwnedFd> {
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A descriptor that is readable when the thread `number` has ended, whatever the others of its process do: not the
/// first one, which tells of its end only when all others have ended.
pub fn thread(number: Pid) -> Option<OwnedFd> {
    // Before Linux 6.9 there is none of a thread.
    let of_thread = PidfdFlags::from_bits_retain(libc::PIDFD_THREAD);
    rustix::process::pidfd_open(number, of_thread).ok()
}

/// Whether who is behind a descriptor of [`thread`] or [`pidfd`] has ended.
pub fn has_ended(pidfd: BorrowedFd<'_>) -> bool {
    let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
    let at_once = Timespec::default();
    rustix::event::poll(&mut polled, Some(&at_once)).is_ok_and(|ready| ready > 0)
}

/// Whether threads of the process are left, and all of them are in write(2) or writev(2).
pub fn only_writes(pid: Pid) -> bool {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_nonzero()));
    let paths = tasks.into_iter().flatten().flatten();
    let calls = paths.filter_map(|task| std::fs::read_to_string(task.path().join("syscall")).ok());
    // Those that have ended are in none; one that runs says so.
    let calls: Vec<Option<i64>> = calls
        .map(|call| call.split(' ').next()?.trim_end().parse().ok())
        .filter(|&number| number != Some(-1))
        .collect();
    let writes = [Some(libc::SYS_write), Some(libc::SYS_writev)];
    !calls.is_empty() && calls.iter().all(|call| writes.contains(call))
}

/// Sends `signal` to the process behind `pidfd`; that it is gone is no failure.
pub fn pidfd_kill(pidfd: BorrowedFd<'_>, signal: i32) {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null `siginfo` asks for that of kill(2).
    unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            no_info,
            0,
        )
    };
}

/// The name that ps(1) shows for this process.
pub fn set_name(name: &CStr) {
    if let Err(error) = rustix::thread::set_name(name) {
        tracing::debug!(%error, "cannot set the process's name");
    }
}

/// Lets `command`'s process inherit `kept` under its own number.
pub fn inherit(command: &mut Command, kept: &OwnedFd) {
    let number = kept.as_fd().as_raw_fd();
    let keep = move || {
        // SAFETY: the caller keeps the descriptor open until the command has been started.
        let kept = unsafe { BorrowedFd::borrow_raw(number) };
        rustix::io::fcntl_setfd(kept, rustix::io::FdFlags::empty())?;
        Ok(())
    };
    // SAFETY: the closure makes one system call and allocates nothing.
    unsafe { command.pre_exec(keep) };
}
