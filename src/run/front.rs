//! The process that the user started.

use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, WaitOptions, set_child_subreaper};

use super::command::Original;
use super::server::Event;
use super::{RunArgs, keeper, tree};
use crate::error::{Error, ExitCode, Result};
use crate::sys::signal::{Set, Signal, Signals, is_ignored, set_ignored};
use crate::sys::{channel, descriptors, process};

/// Signals that end the command, by custom, and us before it runs or once it has ended.
const ENDING: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT];

/// Signals that are passed on besides.
const PASSED_ON: [i32; 3] = [libc::SIGUSR1, libc::SIGUSR2, libc::SIGWINCH];

/// Runs the command; returns its exit status, or 128 and the number of the signal that ended it.
///
/// Only for a process with one thread: the others are children without exec(2).
pub fn run(arguments: &RunArgs) -> Result<i32> {
    if arguments.command.is_empty() {
        return Err(Error::usage("no command to run").code(ExitCode::RunFailed));
    }
    let mut front = Front::start(arguments).map_err(failed)?;
    front.wait().map_err(failed)?;
    front.outcome()
}

fn failed(error: std::io::Error) -> Error {
    Error::system("cannot run the command", error).code(ExitCode::RunFailed)
}

/// What the front knows of the others.
struct Front {
    keeper: Pid,
    keeper_was_killed: bool,
    signals: Signals,
    /// Its end tells the server to end everything.
    channel: Option<OwnedFd>,
    /// Children that the process had before it became `shmfs`.
    strangers: Vec<i32>,
    command: Option<OwnedFd>,
    status: Option<i32>,
    error: Option<Error>,
    interrupted: Option<i32>,
}

impl Front {
    fn start(arguments: &RunArgs) -> std::io::Result<Front> {
        let child_ignored = is_ignored(libc::SIGCHLD);
        set_ignored(libc::SIGCHLD, false);
        let mut received = vec![libc::SIGCHLD];
        // What was ignored when we were started (nohup(1)) stays so, for the command too.
        received.extend(
            ENDING
                .iter()
                .chain(&PASSED_ON)
                .filter(|&&signal| !is_ignored(signal)),
        );
        let received = Set::of(&received);
        let mask = received.block()?;
        let original = Original {
            mask,
            child_ignored,
        };
        let strangers = tree::children_now();
        set_child_subreaper(Some(rustix::process::getpid()))?;
        let (ours, theirs) = channel::pair()?;
        let Some(keeper) = process::fork()? else {
            drop(ours);
            process::exit_now(keeper::keep(arguments, theirs, &original));
        };
        drop(theirs);
        let signals = received.descriptor()?;
        descriptors::close_all_but(&[ours.as_fd(), signals.as_fd()])?;
        descriptors::leave_terminal(false)?;
        Ok(Front {
            keeper,
            keeper_was_killed: false,
            signals,
            channel: Some(ours),
            strangers,
            command: None,
            status: None,
            error: None,
            interrupted: None,
        })
    }

    /// Until the keeper has ended.
    fn wait(&mut self) -> std::io::Result<()> {
        loop {
            let (heard, signalled) = self.poll()?;
            if heard {
                self.hear()?;
            }
            while let Some(signal) = signalled.then(|| self.signals.next()).flatten() {
                self.receive(signal);
            }
            if self.keeper_ended()? {
                break;
            }
        }
        if !self.keeper_was_killed {
            // Whoever could write has ended: what was said last is read to the end.
            while self.channel.is_some() {
                self.hear()?;
            }
        }
        // Nothing is left unless one of the others was killed.
        tree::end_at_once(&self.signals, &self.strangers);
        Ok(())
    }

    fn poll(&self) -> std::io::Result<(bool, bool)> {
        let mut waiting = vec![PollFd::new(&self.signals, PollFlags::IN)];
        waiting.extend(
            self.channel
                .as_ref()
                .map(|channel| PollFd::new(channel, PollFlags::IN)),
        );
        match poll(&mut waiting, None) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok((false, false)),
            Err(error) => return Err(error.into()),
        }
        let heard = waiting
            .get(1)
            .is_some_and(|channel| !channel.revents().is_empty());
        Ok((heard, !waiting[0].revents().is_empty()))
    }

    fn hear(&mut self) -> std::io::Result<()> {
        let Some(channel) = &self.channel else {
            return Ok(());
        };
        let message = channel::receive(channel)?;
        match Event::decode(message) {
            Some(Event::Started(command)) => self.command = Some(command),
            Some(Event::Ended(status)) => {
                self.status = Some(status);
                self.command = None;
            }
            Some(Event::Failed(error)) => self.error = self.error.take().or(Some(error)),
            None => self.channel = None,
        }
        Ok(())
    }

    fn receive(&mut self, signal: Signal) {
        if signal.number == libc::SIGCHLD {
            return;
        }
        match &self.command {
            // The terminal and the kernel send to the whole group: the command has it already.
            Some(command) if signal.by_process => {
                process::pidfd_kill(command.as_fd(), signal.number)
            }
            Some(_) => {}
            None if ENDING.contains(&signal.number) => {
                self.interrupted = self.interrupted.or(Some(signal.number));
                self.channel = None;
            }
            None => {}
        }
    }

    fn keeper_ended(&mut self) -> std::io::Result<bool> {
        loop {
            match process::reap(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.keeper => {
                    self.keeper_was_killed = !status.exited();
                    return Ok(true);
                }
                Ok(Some(_)) => {}
                Ok(None) => return Ok(false),
                Err(error) => return Err(error),
            }
        }
    }

    fn outcome(self) -> Result<i32> {
        if let Some(error) = self.error {
            return Err(error);
        }
        if let Some(status) = self.status {
            return Ok(status);
        }
        if let Some(signal) = self.interrupted {
            return Ok(128 + signal);
        }
        let killed = "the process that serves the file system was killed, and the command with it";
        Err(Error::new(ExitCode::RunFailed, killed))
    }
}
