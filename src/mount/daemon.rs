//! `shmfs mount`: the process in the background that serves, and the one that waits until it does.

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};

use super::control::Bound;
use super::live::Live;
use super::place::Place;
use super::serve::{self, Requests};
use super::{manager, resume, umount};
use crate::error::{Error, ExitCode, Result};
use crate::log;
use crate::options::Options;
use crate::supervisor::Supervisor;
use crate::sys::{cgroup, channel, descriptors, process, signal};

/// What `shmfs mount` was asked for.
#[derive(Clone, Debug)]
pub struct MountArgs {
    /// The file system's options.
    pub options: Options,
    /// What df(1) and mountinfo show as its source.
    pub source: OsString,
    /// The mount point.
    pub target: PathBuf,
    /// Serve in this process.
    pub foreground: bool,
}

/// What the daemon says when the mount answers: no exit code of a failure.
const READY: &[u8] = &[ExitCode::Success as u8];

/// Mounts. In the background it returns when the mount answers; in the foreground when it is gone.
///
/// Only for a process with one thread: the daemon is a child without exec(2).
pub fn mount(arguments: &MountArgs) -> Result<()> {
    if arguments.foreground {
        // A service manager starts this command also to go on with the mount.
        if resume::stored(&arguments.options.to_string())? {
            return Ok(());
        }
        // It was stopped when nobody was there to unmount: nobody but the next one can clean up.
        if manager::is_there() {
            umount::take_dead_away(&arguments.target)?;
        }
        return serve(arguments, None);
    }
    let failed = |error| Error::system("cannot start the daemon", error);
    let (ours, theirs) = channel::pair().map_err(failed)?;
    let Some(daemon) = process::fork().map_err(failed)? else {
        drop(ours);
        process::exit_now(background(arguments, &theirs));
    };
    drop(theirs);
    let report = channel::receive(&ours).map_err(failed)?;
    if report.bytes == READY {
        return check(&arguments.target);
    }
    Err(Error::decode(&report.bytes).unwrap_or_else(|| ended_early(daemon)))
}

fn ended_early(daemon: Pid) -> Error {
    let ended = process::wait_for(daemon).map(process::shell_status);
    let status = ended.map_or_else(
        |error| error.to_string(),
        |status| format!("status {status}"),
    );
    Error::new(
        ExitCode::Internal,
        format!("the daemon ended before the mount was ready: {status}"),
    )
}

/// Asks the mount something: only now does the caller learn that all is well.
fn check(target: &Path) -> Result<()> {
    let answer = rustix::fs::stat(target);
    answer
        .map(drop)
        .map_err(|error| Error::path("use the mount on", target, error).code(ExitCode::Mount))
}

/// The daemon's life; returns its exit status.
fn background(arguments: &MountArgs, starter: &OwnedFd) -> i32 {
    // What who mounts has open, such as a lock, is not for a process that stays.
    if let Err(error) = descriptors::close_all_but(&[starter.as_fd()]) {
        tracing::debug!(%error, "cannot close descriptors");
    }
    let served = rustix::process::setsid()
        .map_err(|error| Error::system("cannot start a session", error))
        .and_then(|_| serve(arguments, Some(starter)));
    match served {
        Ok(()) => 0,
        Err(error) => {
            if channel::send(starter, &error.encode(), None).is_err() {
                // The mount was ready, or who started it is gone.
                tracing::error!(%error, "ended");
            }
            error.exit_code() as i32
        }
    }
}

fn serve(arguments: &MountArgs, starter: Option<&OwnedFd>) -> Result<()> {
    let requests = Requests::listen(starter.is_none())?;
    prepare(starter.is_some());
    let place = Place::resolve(&arguments.target)?;
    warn_of_limit(&arguments.options);
    let mut socket = Err(io::ErrorKind::NotFound.into());
    let mut announce = |device: &str| socket = Bound::new(device);
    let (options, source) = (&arguments.options, &arguments.source);
    let mut live: Live<Supervisor> = Live::mount(options, source, &place, &mut announce)?;
    drop(place);
    live.server.set_mounts(live.encode());
    let control = socket.and_then(|socket| socket.answer(live.server.door()));
    if let Err(error) = &control {
        tracing::warn!(%error, "no control socket: the mount's limits cannot be changed");
    }
    if let Some(starter) = starter {
        live.server.leave_terminal();
        leave(starter)?;
    }
    manager::store(&mut live.server);
    manager::tell_ready();
    serve::serve(&mut live, &requests, control.as_ref().ok())
}

/// Whoever touches a page first pays for it, in his cgroup; of what is written by calls, that may be ourselves.
fn warn_of_limit(options: &Options) {
    let limit = cgroup::Memory::of_this_process().and_then(|memory| memory.limit());
    if let Some(limit) = limit.filter(|&limit| options.size == 0 || options.size > limit) {
        let size = options.size;
        tracing::warn!(
            size,
            limit,
            "the file system may hold more than the memory limit of its cgroup: whoever touches more there is killed"
        );
    }
}

/// Limits and signals that a program may have been started with and a server must not have.
pub(crate) fn prepare(background: bool) {
    rustix::process::umask(rustix::fs::Mode::empty());
    raise_limit(Resource::Nofile);
    // The data files are as long as the objects, whatever the limit of who mounted.
    raise_limit(Resource::Fsize);
    signal::set_ignored(libc::SIGXFSZ, true);
    signal::set_ignored(libc::SIGPIPE, true);
    if background {
        signal::set_ignored(libc::SIGHUP, true);
    }
}

fn raise_limit(resource: Resource) {
    let limit = getrlimit(resource);
    if let Err(error) = setrlimit(
        resource,
        Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        },
    ) {
        tracing::debug!(%error, ?resource, "cannot raise a limit");
    }
}

/// Leaves what the daemon was started from: its directory, its terminal, the one who waits.
fn leave(starter: &OwnedFd) -> Result<()> {
    let failed = |error| Error::system("cannot go to the background", error);
    rustix::process::chdir("/").map_err(|error| failed(error.into()))?;
    log::to_syslog();
    descriptors::leave_terminal(true).map_err(failed)?;
    // That the one who waits is gone does not concern the mount.
    drop(channel::send(starter.as_fd(), READY, None));
    Ok(())
}
