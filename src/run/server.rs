//! The process that mounts and serves.

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper};

use super::command::{ENTERED, Original, become_command};
use super::tree::{Ending, Grace, children_now};
use super::way::{Served, Way, give_back};
use super::{RunArgs, keeper};
use crate::error::{Error, ExitCode, Result};
use crate::mount::exports::Session;
use crate::mount::live::Identity;
use crate::mount::{daemon, serve};
use crate::supervisor::Supervisor;
use crate::sys::channel::{self, Message};
use crate::sys::signal::{Set, Signals};
use crate::sys::{descriptors, process};

/// What the server, or the command before it runs, tells the front.
#[derive(Debug)]
pub(super) enum Event {
    /// The command is about to run: this descriptor stands for it.
    Started(OwnedFd),
    /// The command has ended, with this status as a shell shows it.
    Ended(i32),
    /// The command cannot run.
    Failed(Error),
}

const STARTED: u8 = b's';
const ENDED: u8 = b'e';
const FAILED: u8 = b'f';

impl Event {
    /// The event as a message, without its descriptor.
    pub(super) fn encode(&self) -> Vec<u8> {
        match self {
            Event::Started(_) => vec![STARTED],
            Event::Ended(status) => [&[ENDED][..], &status.to_ne_bytes()].concat(),
            Event::Failed(error) => [&[FAILED][..], &error.encode()].concat(),
        }
    }

    /// Reads a message; `None` at the end of the channel.
    pub(super) fn decode(message: Message) -> Option<Event> {
        let (&kind, rest) = message.bytes.split_first()?;
        match kind {
            STARTED => message.descriptor.map(Event::Started),
            ENDED => rest
                .try_into()
                .ok()
                .map(i32::from_ne_bytes)
                .map(Event::Ended),
            _ => Error::decode(rest).map(Event::Failed),
        }
    }
}

/// Serves until the command, and what it started, has ended; returns the exit status.
pub(super) fn serve(arguments: &RunArgs, front: OwnedFd, original: &Original) -> i32 {
    let served = Server::start(arguments, &front, original).and_then(|server| {
        let served = server.run(arguments.wait);
        // Somebody outside may hold a file of ours: the end of the processes ends the connection, and
        // nobody waits for that somebody.
        if let Some(supervisor) = &server.supervisor {
            supervisor.borrow_mut().end();
        }
        served
    });
    let Err(error) = served else {
        return 0;
    };
    let code = match error.exit_code() {
        kept @ (ExitCode::CannotExecute | ExitCode::NotFound) => kept,
        _ => ExitCode::RunFailed,
    };
    // Where the front is gone nobody is left to read it.
    drop(channel::send(
        &front,
        &Event::Failed(error.code(code)).encode(),
        None,
    ));
    code as i32
}

struct Server<'a> {
    front: &'a OwnedFd,
    signals: Signals,
    command: Pid,
    /// `None` where somebody else serves.
    supervisor: Option<RefCell<Supervisor>>,
    /// What somebody else serves.
    lent: Option<Session>,
    /// What this process can unmount itself.
    identity: Option<Identity>,
}

impl<'a> Server<'a> {
    fn start(arguments: &RunArgs, front: &'a OwnedFd, original: &Original) -> Result<Server<'a>> {
        let failed = |error: io::Error| Error::system("cannot start the server", error);
        set_child_subreaper(Some(getpid())).map_err(|error| failed(error.into()))?;
        let signals = Set::of(&[libc::SIGCHLD, libc::SIGTERM]);
        signals.block().map_err(failed)?;
        let signals = signals.descriptor().map_err(failed)?;
        let way = Way::prepare(arguments)?;
        let (gate, theirs) = channel::pair().map_err(failed)?;
        // Before there are threads.
        let Some(command) = process::fork().map_err(failed)? else {
            drop(gate);
            become_command(arguments, original, &way, &theirs, front);
        };
        drop(theirs);
        let pidfd = process::pidfd(command).map_err(failed)?;
        leave(
            &[front.as_fd(), signals.as_fd(), gate.as_fd(), pidfd.as_fd()],
            &way,
        )
        .map_err(failed)?;
        wait_until_entered(&gate)?;
        let (supervisor, identity, lent) = match way.serve(&arguments.options)? {
            Served::Here(supervisor, identity) => (Some(RefCell::new(*supervisor)), identity, None),
            Served::Elsewhere(session) => (None, None, Some(session)),
        };
        channel::send(front, &[STARTED], Some(pidfd.as_fd())).map_err(failed)?;
        channel::send(&gate, b"go", None).map_err(failed)?;
        Ok(Server {
            front,
            signals,
            command,
            supervisor,
            lent,
            identity,
        })
    }

    /// Until all has ended.
    fn run(&self, wait: bool) -> Result<()> {
        let mut ended = false;
        loop {
            let front_ended = self.wait()?;
            let mut told_to_end = front_ended;
            while let Some(signal) = self.signals.next() {
                told_to_end |= signal.number == libc::SIGTERM;
            }
            self.reap(&mut ended)?;
            // That the connection has ended is the command's to see.
            self.turn()?;
            if told_to_end || (ended && (!wait || !self.has_children())) {
                break;
            }
        }
        self.end(&mut ended);
        Ok(())
    }

    /// Waits until there is something to do; answers whether the front has ended.
    fn wait(&self) -> Result<bool> {
        let supervisor = self.supervisor.as_ref().map(RefCell::borrow);
        let worker = supervisor.iter().flat_map(|it| it.descriptors());
        let worker: Vec<BorrowedFd<'_>> = worker.collect();
        let mut waiting = vec![
            PollFd::new(self.front, PollFlags::IN),
            PollFd::new(&self.signals, PollFlags::IN),
        ];
        waiting.extend(worker.iter().map(|it| PollFd::new(it, PollFlags::IN)));
        let left = supervisor.as_ref().and_then(|it| it.deadline());
        let left = left.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(!waiting[0].revents().is_empty()),
            Err(error) => Err(Error::system("cannot wait for the command", error)),
        }
    }

    /// Ends what is left. The worker serves until that is done.
    fn end(&self, ended: &mut bool) {
        let ending = Ending {
            signals: &self.signals,
            strangers: &|| self.worker().into_iter().collect(),
            grace: Grace::Usual,
            reap: &mut || self.goes_on(ended),
            unblock: &mut || self.abort(),
        };
        ending.run();
        if let Some(identity) = &self.identity {
            serve::detach(identity);
        }
        if let Some(session) = &self.lent {
            give_back(session);
        }
    }

    /// Does what there is to do for the worker.
    fn turn(&self) -> Result<()> {
        match &self.supervisor {
            Some(supervisor) => supervisor.borrow_mut().turn().map(drop),
            None => Ok(()),
        }
    }

    fn abort(&self) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.borrow_mut().abort();
        }
    }

    fn worker(&self) -> Option<i32> {
        let worker = self.supervisor.as_ref()?.borrow().worker();
        worker.map(|pid| pid.as_raw_nonzero().get())
    }

    /// Whether there are children besides the worker.
    fn has_children(&self) -> bool {
        let worker = self.worker();
        children_now()
            .into_iter()
            .any(|child| Some(child) != worker)
    }

    /// A turn on the way to the end; `false` where nothing is left.
    fn goes_on(&self, ended: &mut bool) -> bool {
        let turned = self.reap(ended).and_then(|()| self.turn());
        if let Err(error) = turned {
            tracing::debug!(%error, "the file system ends first");
        }
        self.has_children()
    }

    /// Takes the status of all children that have ended.
    fn reap(&self, ended: &mut bool) -> Result<()> {
        while let Ok(Some((pid, status))) = process::reap(WaitOptions::NOHANG) {
            if pid == self.command {
                *ended = true;
                // Where the front is gone nobody is left to hear it.
                drop(channel::send(
                    self.front,
                    &Event::Ended(process::shell_status(status)).encode(),
                    None,
                ));
            }
            if let Some(supervisor) = &self.supervisor {
                let reaped = supervisor.borrow_mut().reaped(pid, status.into());
                reaped.transpose()?;
            }
        }
        Ok(())
    }
}

/// Leaves to the command what is the command's: descriptors, the terminal, the directory.
fn leave(kept: &[BorrowedFd<'_>], way: &Way) -> io::Result<()> {
    let mut kept = kept.to_vec();
    kept.extend(way.descriptors());
    keeper::leave_session()?;
    descriptors::close_all_but(&kept)?;
    descriptors::leave_terminal(false)?;
    rustix::process::chdir("/")?;
    daemon::prepare(true);
    Ok(())
}

fn wait_until_entered(gate: &OwnedFd) -> Result<()> {
    let message = channel::receive(gate)
        .map_err(|error| Error::system("cannot hear from the command", error))?;
    if message.bytes == ENTERED {
        return Ok(());
    }
    let early = || {
        Error::new(
            ExitCode::RunFailed,
            "the command's process ended before it ran",
        )
    };
    Err(Error::decode(&message.bytes).unwrap_or_else(early))
}
