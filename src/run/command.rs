//! The child that becomes the command.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use rustix::process::{Pid, Signal, set_parent_process_death_signal, setpgid};

use super::server::Event;
use super::way::Way;
use crate::error::{Error, ExitCode};
use crate::mount::daemon::encode;
use crate::sys::signal::{Set, restore_pipe, set_ignored};
use crate::sys::{channel, process};

/// What the front was started with, and the command gets back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Original {
    /// The mask of signals.
    pub(super) mask: Set,
    /// SIGCHLD was ignored.
    pub(super) child_ignored: bool,
    /// The process group.
    pub(super) group: Pid,
}

/// What it tells the server once it is where it shall be: no exit code of a failure.
pub(super) const ENTERED: &[u8] = &[ExitCode::Success as u8];

/// Becomes the command, once `gate` says that the file system answers.
pub(super) fn become_command(
    words: &[OsString],
    original: &Original,
    way: &Way,
    gate: &OwnedFd,
    front: &OwnedFd,
) -> ! {
    if let Err(error) = way.enter() {
        // Where the server is gone nobody is left to hear it.
        drop(channel::send(gate, &encode(&error), None));
        process::exit_now(ExitCode::RunFailed as i32);
    }
    drop(channel::send(gate, ENTERED, None));
    if !matches!(channel::receive(gate), Ok(message) if !message.bytes.is_empty()) {
        process::exit_now(ExitCode::RunFailed as i32);
    }
    let error = match restore(original) {
        Ok(()) => process::exec(words),
        Err(error) => error,
    };
    let error = unusable(words, error);
    let code = error.exit_code();
    // The front prints it; where it is gone, nobody is left to read.
    drop(channel::send(front, &Event::Failed(error).encode(), None));
    process::exit_now(code as i32)
}

fn restore(original: &Original) -> std::io::Result<()> {
    setpgid(None, Some(original.group))?;
    // The last resort, where front, keeper and server are killed at once.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    set_ignored(libc::SIGCHLD, original.child_ignored);
    restore_pipe();
    original.mask.set()?;
    Ok(())
}

fn unusable(words: &[OsString], error: std::io::Error) -> Error {
    let name = words
        .first()
        .map(|word| word.to_string_lossy())
        .unwrap_or_default();
    let code = match error.raw_os_error() {
        Some(libc::ENOENT) => ExitCode::NotFound,
        Some(_) | None => ExitCode::CannotExecute,
    };
    Error::system(format!("cannot run {name}"), error).code(code)
}
