//! The process that mounts and serves.

use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, getpid, set_child_subreaper};

use super::command::{Original, become_command};
use super::tree::{Ending, Grace};
use super::{RunArgs, shm};
use crate::error::{Error, ExitCode, Result};
use crate::mount::live::Live;
use crate::mount::place::Place;
use crate::mount::{daemon, serve};
use crate::sys::channel::{self, Message};
use crate::sys::namespace::{self, IdMaps};
use crate::sys::signal::{Set, Signals};
use crate::sys::{self, descriptors, process};

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
            Event::Failed(error) => [&[FAILED][..], &daemon::encode(error)].concat(),
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
            _ => daemon::decode(rest).map(Event::Failed),
        }
    }
}

/// Serves until the command, and what it started, has ended; returns the exit status.
pub(super) fn serve(arguments: &RunArgs, front: OwnedFd, original: &Original) -> i32 {
    let served =
        Server::start(arguments, &front, original).and_then(|server| server.run(arguments.wait));
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
    live: Live,
}

impl<'a> Server<'a> {
    fn start(arguments: &RunArgs, front: &'a OwnedFd, original: &Original) -> Result<Server<'a>> {
        let failed = |error: io::Error| Error::system("cannot start the server", error);
        set_child_subreaper(Some(getpid())).map_err(|error| failed(error.into()))?;
        let signals = Set::of(&[libc::SIGCHLD, libc::SIGTERM]);
        signals.block().map_err(failed)?;
        let signals = signals.descriptor().map_err(failed)?;
        enter_namespace()?;
        let place = shm::place()?;
        let (gate, theirs) = channel::pair().map_err(failed)?;
        // Before there are threads, and in the namespace already.
        let Some(command) = process::fork().map_err(failed)? else {
            drop(gate);
            become_command(&arguments.command, original, &theirs, front);
        };
        drop(theirs);
        let pidfd = process::pidfd(command).map_err(failed)?;
        let kept = [
            front.as_fd(),
            signals.as_fd(),
            place.as_fd(),
            gate.as_fd(),
            pidfd.as_fd(),
        ];
        descriptors::close_all_but(&kept).map_err(failed)?;
        let live = mount(arguments, place)
            .inspect_err(|_| process::pidfd_kill(pidfd.as_fd(), libc::SIGKILL))?;
        channel::send(front, &[STARTED], Some(pidfd.as_fd())).map_err(failed)?;
        channel::send(&gate, b"go", None).map_err(failed)?;
        Ok(Server {
            front,
            signals,
            command,
            live,
        })
    }

    /// Until all has ended.
    fn run(self, wait: bool) -> Result<()> {
        let mut ended = false;
        loop {
            let mut waiting = [
                PollFd::new(&self.signals, PollFlags::IN),
                PollFd::new(self.front, PollFlags::IN),
            ];
            match poll(&mut waiting, None) {
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(Error::system("cannot wait for the command", error)),
            }
            let front_ended = !waiting[1].revents().is_empty();
            let mut told_to_end = front_ended;
            while let Some(signal) = self.signals.next() {
                told_to_end |= signal.number == libc::SIGTERM;
            }
            let children_left = self.reap(&mut ended);
            if told_to_end || !children_left || (ended && !wait) {
                break;
            }
        }
        let ending = Ending {
            signals: &self.signals,
            strangers: &[],
            grace: Grace::Usual,
            reap: &mut || self.reap(&mut ended),
            unblock: &mut || self.live.service.abort(),
        };
        ending.run();
        serve::detach(&self.live);
        Ok(())
    }

    /// Takes the status of all children that have ended; `false` where none is left.
    fn reap(&self, ended: &mut bool) -> bool {
        loop {
            match process::reap(WaitOptions::NOHANG) {
                Ok(Some((pid, status))) if pid == self.command => {
                    *ended = true;
                    // Where the front is gone nobody is left to hear it.
                    drop(channel::send(
                        self.front,
                        &Event::Ended(process::shell_status(status)).encode(),
                        None,
                    ));
                }
                Ok(Some(_)) => {}
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    }
}

fn mount(arguments: &RunArgs, place: Place) -> Result<Live> {
    let failed = |error: io::Error| Error::system("cannot leave the terminal", error);
    descriptors::leave_terminal(false).map_err(failed)?;
    daemon::prepare(true);
    let live = Live::by_kernel(&arguments.options, OsStr::new("shmfs"), &place)?;
    rustix::process::chdir("/").map_err(|error| failed(error.into()))?;
    Ok(live)
}

/// A mount namespace as root, a user and mount namespace as an ordinary user.
fn enter_namespace() -> Result<()> {
    let entered = match sys::mount::may_mount() {
        Ok(()) => namespace::unshare_mounts(),
        Err(Errno::PERM) => namespace::unshare_user_and_mounts(&IdMaps::of_caller()),
        Err(error) => Err(error),
    };
    entered.map_err(|error| Error::system("cannot make a namespace", error))
}
