//! The process that outlives a front and a server that were killed together.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{WaitOptions, getpid, set_child_subreaper, setsid};

use super::command::Original;
use super::{RunArgs, server, tree};
use crate::sys::signal::Set;
use crate::sys::{descriptors, process};

/// Keeps the server; returns the exit status.
pub(super) fn keep(arguments: &RunArgs, channel: OwnedFd, original: &Original) -> i32 {
    match start(arguments, channel, original) {
        Ok(()) => 0,
        Err(error) => {
            tracing::error!(%error, "cannot keep the processes of the command together");
            125
        }
    }
}

fn start(arguments: &RunArgs, channel: OwnedFd, original: &Original) -> std::io::Result<()> {
    Set::of(&STOPS).block()?;
    set_child_subreaper(Some(getpid()))?;
    let Some(server) = process::fork()? else {
        process::exit_now(server::serve(arguments, channel, original));
    };
    drop(channel);
    leave_session()?;
    // Who kills all processes named shmfs leaves this one to end the command.
    process::set_name(c"shm-keeper");
    descriptors::leave_terminal(true)?;
    let signals = Set::of(&[libc::SIGCHLD]).descriptor()?;
    descriptors::close_all_but(&[signals.as_fd()])?;
    while let Some((ended, _)) = process::reap(WaitOptions::empty())? {
        if ended == server {
            break;
        }
    }
    tree::end_at_once(&signals, &[]);
    Ok(())
}

/// What the terminal sends to stop a job: until they have left it, the processes that serve must not.
const STOPS: [i32; 3] = [libc::SIGTSTP, libc::SIGTTIN, libc::SIGTTOU];

/// Leaves the session of the front and the command, whose group the terminal treats as one job.
///
/// A group of its own would not do: as long as a process of the group has its parent in another
/// group of the session, the kernel takes it for a job that somebody can continue
/// (will_become_orphaned_pgrp). Each process does it once it has forked: the command must be left
/// where it is, since nobody can enter a session, nor a group of another namespace of processes.
pub(super) fn leave_session() -> std::io::Result<()> {
    setsid()?;
    Ok(())
}
