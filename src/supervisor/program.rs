//! The program that a worker runs, and the start of it.

use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::process::Pid;

use crate::sys::channel;
use crate::sys::process::{self, End};

/// The first words of a worker's command line; the number of its channel follows.
pub(super) const WORKER: [&str; 2] = ["worker", "--channel"];

/// What it is told of the environment: where fusermount3 is, how to tell of a fault, and where a test has it killed.
const ENVIRONMENT: [&str; 3] = ["PATH", "RUST_BACKTRACE", crate::slots::FAILPOINTS];

/// A worker that takes nothing for so long does not take anything.
const PATIENCE: Duration = Duration::from_secs(10);

/// An executable file.
#[derive(Debug)]
pub(super) struct Program {
    path: PathBuf,
    /// What the path leads to, which stays the same when the file is replaced.
    _file: Option<OwnedFd>,
}

/// A process, and the channel to it.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) pid: Pid,
    pub(super) pidfd: OwnedFd,
    /// Tells of the end of one of its threads.
    pub(super) thread: Option<OwnedFd>,
    pub(super) channel: OwnedFd,
}

impl Child {
    /// How it ended, which it shall have done by then.
    pub(super) fn ended_until(&self, until: Instant) -> io::Result<Option<End>> {
        let ended = process::ended_until(self.pidfd.as_fd(), until)?;
        if ended.is_none() {
            tracing::warn!(pid = %self.pid, "a process that has been killed does not end yet");
        }
        Ok(ended)
    }

    /// Watches the thread of this number.
    ///
    /// It is told and not looked for: what is asked of `/proc` the kernel takes away again when a process is waited
    /// for, and it is slow at that (see [`process::ended`]).
    pub(super) fn watch_thread(&mut self, number: Option<i32>) {
        self.thread = number.and_then(Pid::from_raw).and_then(process::thread);
    }
}

impl Program {
    /// The one that this process runs, also when its file has been replaced.
    pub(super) fn of_this_process() -> Program {
        Program {
            path: PathBuf::from("/proc/self/exe"),
            _file: None,
        }
    }

    /// The one in the file `path`.
    pub(super) fn open(path: &Path) -> io::Result<Program> {
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let file = rustix::fs::open(path, flags, Mode::empty())?;
        // Another kind of file may keep who opens it waiting.
        if !FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode).is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut begin = [0; 2];
        let read = std::fs::File::open(path)?.read_exact(&mut begin);
        read.map_err(|error| match error.kind() {
            // execve(2) says the same of a file that is shorter.
            io::ErrorKind::UnexpectedEof => io::Error::from_raw_os_error(libc::ENOEXEC),
            _ => error,
        })?;
        if begin == *b"#!" {
            // Its interpreter must find it.
            let path = path.to_owned();
            return Ok(Program { path, _file: None });
        }
        let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
        Ok(Program {
            path,
            _file: Some(file),
        })
    }

    /// Where it is, for this process and its children.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Starts a worker. It gets the channel, the standard error, and nothing else.
    pub(super) fn start(&self) -> io::Result<Child> {
        let (ours, theirs) = channel::pair()?;
        set_socket_timeout(&ours, Timeout::Send, Some(PATIENCE))?;
        let mut command = Command::new(&self.path);
        command.arg0("shmfs").args(WORKER);
        command.arg(theirs.as_fd().as_raw_fd().to_string());
        command.env_clear();
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::null());
        process::inherit(&mut command, &theirs);
        let child = command.spawn()?;
        let pid = Pid::from_child(&child);
        let pidfd = process::pidfd(pid)?;
        Ok(Child {
            pid,
            pidfd,
            thread: None,
            channel: ours,
        })
    }
}
