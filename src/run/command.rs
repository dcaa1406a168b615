//! The child that becomes the command.

use std::ffi::OsString;
use std::os::fd::OwnedFd;

use rustix::process::{Signal, set_parent_process_death_signal};

use super::RunArgs;
use super::personality::Personality;
use super::server::Event;
use super::way::Way;
use crate::error::{Error, ExitCode};
use crate::sys::signal::{Set, restore_pipe, set_ignored};
use crate::sys::{channel, process};

/// What the front was started with, and the command gets back.
#[derive(Clone, Copy, Debug)]
pub(super) struct Original {
    /// The mask of signals.
    pub(super) mask: Set,
    /// SIGCHLD was ignored.
    pub(super) child_ignored: bool,
}

/// What it tells the server once it is where it shall be: no exit code of a failure.
pub(super) const ENTERED: &[u8] = &[ExitCode::Success as u8];

/// Becomes the command, once `gate` says that the file system answers.
pub(super) fn become_command(
    arguments: &RunArgs,
    original: &Original,
    way: &Way,
    gate: &OwnedFd,
    front: &OwnedFd,
) -> ! {
    if let Err(error) = way.enter() {
        // Where the server is gone nobody is left to hear it.
        drop(channel::send(gate, &error.encode(), None));
        process::exit_now(ExitCode::RunFailed as i32);
    }
    drop(channel::send(gate, ENTERED, None));
    if !matches!(channel::receive(gate), Ok(message) if !message.bytes.is_empty()) {
        process::exit_now(ExitCode::RunFailed as i32);
    }
    let words = &arguments.command;
    let personality = arguments.personality.as_ref();
    let ready = way
        .bind_views(&arguments.options)
        .and_then(|()| personality.map_or(Ok(()), Personality::enter));
    let error = match ready {
        Ok(()) => unusable(words, execute(words, original)),
        Err(error) => error.code(ExitCode::RunFailed),
    };
    let code = error.exit_code();
    // The front prints it; where it is gone, nobody is left to read.
    drop(channel::send(front, &Event::Failed(error).encode(), None));
    process::exit_now(code as i32)
}

fn execute(words: &[OsString], original: &Original) -> std::io::Error {
    match restore(original) {
        Ok(()) => process::exec(words),
        Err(error) => error,
    }
}

fn restore(original: &Original) -> std::io::Result<()> {
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
