//! The process that outlives a front and a server that were killed together.

use std::os::fd::{AsFd, OwnedFd};

use rustix::process::{WaitOptions, getpid, set_child_subreaper, setpgid};

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
    // Neither the terminal's signals nor its stops are for the processes that serve.
    setpgid(None, None)?;
    set_child_subreaper(Some(getpid()))?;
    let Some(server) = process::fork()? else {
        process::exit_now(server::serve(arguments, channel, original));
    };
    drop(channel);
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
