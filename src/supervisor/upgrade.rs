//! Another program takes over from the worker, or the old one goes on.

use std::io::Write;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};

use super::message::{self, FINISHING, Message};
use super::program::{Child, Program};
use super::supervising::{State, Supervisor, Turn, failure};
use crate::error::{Error, ExitCode, Result};
use crate::sys::process::{self, End};

/// How long a program may take to look at the saved state, and to serve it.
const PATIENCE: Duration = Duration::from_secs(20);

/// So often a program may look at the saved state that somebody outside kills.
const CHECKS: u32 = 5;

/// How long a new worker must have served, before the old program is given up.
const PROOF: Duration = Duration::from_millis(200);

/// How often it is looked whether there is still a mount to serve, and how its worker does.
const LOOK: Duration = Duration::from_millis(10);

/// A request of the control socket that is for the supervisor.
#[derive(Debug)]
pub struct Order {
    /// Who asked, and waits for a line.
    client: OwnedFd,
}

impl Order {
    pub(super) fn new(client: OwnedFd) -> Order {
        Order { client }
    }

    /// The order that another process was carrying out.
    pub fn resume(client: OwnedFd) -> Order {
        Order { client }
    }

    /// Answers it.
    pub fn answer(self, outcome: std::result::Result<String, String>) {
        let line = match outcome {
            Ok(text) => format!("ok {text}\n"),
            // One line it is.
            Err(text) => format!("error {}\n", text.replace('\n', " ")),
        };
        let sent = UnixStream::from(self.client).write_all(line.as_bytes());
        if let Err(error) = sent {
            tracing::debug!(%error, "an answer was not heard");
        }
    }
}

impl AsFd for Order {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.client.as_fd()
    }
}

impl Supervisor {
    /// The program that it starts workers with.
    pub fn program(&self) -> PathBuf {
        self.program.path().to_owned()
    }

    /// The version of the program that serves.
    pub fn version(&self) -> &str {
        self.first.as_ref().map_or("", |ready| &ready.version)
    }

    /// Lets the program at `path` serve; what is left is that this process becomes it too.
    pub(super) fn upgrade(&mut self, path: PathBuf, order: Order) -> Turn {
        tracing::info!(path = %path.display(), "asked to upgrade");
        match self.replace_worker(path) {
            Ok(()) => Turn::Upgraded(order),
            Err(error) => {
                tracing::error!(%error, "the upgrade is refused");
                order.answer(Err(error.to_string()));
                Turn::Goes
            }
        }
    }

    fn replace_worker(&mut self, path: PathBuf) -> Result<()> {
        if !self.is_saved() {
            let what = "the process that serves has not saved its state: nobody can take over";
            return Err(Error::new(ExitCode::System, what));
        }
        let program = Program::open(&path).map_err(|error| Error::path("open", &path, error))?;
        self.check(&program)?;
        if !self.is_live() {
            return Err(Error::new(ExitCode::Mount, "the mount has ended"));
        }
        self.stop();
        let old = std::mem::replace(&mut self.program, program);
        let Err(why) = self.start_and_wait() else {
            return Ok(());
        };
        self.stop();
        self.program = old;
        let again = self.start_and_wait();
        if let Err(error) = again {
            // Then as after any death, or the end of the mount.
            tracing::error!(%error, "the old program does not serve either");
            self.stop();
            self.state = State::Waiting {
                until: Instant::now(),
            };
        }
        Err(why)
    }

    /// Has the program look at the saved state while the old worker goes on.
    fn check(&mut self, program: &Program) -> Result<()> {
        let mut left = CHECKS;
        while !self.check_once(program, left == 1)? {
            left -= 1;
        }
        Ok(())
    }

    /// Answers `false` where somebody outside has killed who looks, unless it is the `last` time.
    fn check_once(&mut self, program: &Program, last: bool) -> Result<bool> {
        let failed = |error| Error::system("cannot run the new program", error);
        let child = program.start().map_err(failed)?;
        let journal = readable(&self.kept.journal).map_err(failed)?;
        let slots = self.kept.slots.as_fd();
        let asked = message::send(&child.channel, "journal", b"", Some(journal.as_fd()))
            .and_then(|()| message::send(&child.channel, "slots", b"", Some(slots)))
            .and_then(|()| message::send(&child.channel, "check", b"", None));
        // What is no shmfs has ended before it was asked, perhaps.
        let answer = asked.map(|()| self.wait_for_answer(&child));
        if !matches!(answer, Ok(Said::End)) {
            process::pidfd_kill(child.pidfd.as_fd(), libc::SIGKILL);
        }
        let end = self.end_of(&child);
        process::pidfd_kill(child.pidfd.as_fd(), libc::SIGKILL);
        match answer {
            Ok(Said::End) if end == Some(End::Signal(libc::SIGKILL)) && !last => Ok(false),
            Ok(Said::Word(answer)) if answer.word == "fine" => Ok(true),
            Ok(Said::Word(answer)) if answer.word == "failed" => Err(failure(&answer)),
            Ok(Said::Nothing) => {
                let what = "the new program does not answer whether it knows the saved state";
                Err(Error::new(ExitCode::Usage, what))
            }
            Ok(_) | Err(_) => {
                let status = end.map_or(128 + libc::SIGKILL, End::as_shell);
                let what = format!(
                    "the new program does not answer as an shmfs does: it ended with status {status}"
                );
                Err(Error::new(ExitCode::Usage, what))
            }
        }
    }

    /// Meanwhile the old worker is looked after as ever.
    fn wait_for_answer(&mut self, child: &Child) -> Said {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Err(error) = self.tend() {
                tracing::error!(%error, "the mount cannot be served any more");
                return Said::Nothing;
            }
            match next(child, until.min(Instant::now() + LOOK)) {
                Said::Nothing if Instant::now() < until && self.is_live() => {}
                said => return said,
            }
        }
    }

    /// Ends the worker. What it has not finished is sent again to the next one, by the kernel.
    fn stop(&mut self) {
        self.door.close();
        if let State::Serving { .. } = &self.state {
            self.finish();
        }
        self.kill();
        self.bide();
        // What it said last.
        while let Some(message) = self.next_message() {
            self.heard(message);
        }
        self.state = State::Over;
    }

    /// What a worker says that is about to end, such as an object's memory.
    fn heard(&mut self, message: Message) {
        if let Err(error) = self.hear(message) {
            tracing::debug!(%error, "said by a worker that was stopped");
        }
    }

    /// Has the worker finish what it has in hand.
    fn finish(&mut self) {
        self.say("finish", b"");
        let until = Instant::now() + FINISHING;
        while let Some(worker) = self.child() {
            match next(worker, until) {
                Said::Nothing => {
                    return tracing::warn!("the worker does not finish what it has in hand");
                }
                Said::End => return,
                Said::Word(message) if message.word == "finished" => return,
                Said::Word(message) => self.heard(message),
            }
        }
    }

    /// Starts a worker that serves, and has done so for a moment.
    fn start_and_wait(&mut self) -> Result<()> {
        let failed = |error| Error::system("cannot start the worker", error);
        let until = Instant::now() + PATIENCE;
        let mut proof = PROOF;
        loop {
            self.launch().map_err(failed)?;
            if let Proof::Given = self.wait_for_proof(until, proof)? {
                return Ok(());
            }
            // It is not to blame, and may have served already.
            self.restarts.total += 1;
            self.door.set_deaths(self.restarts.total);
            proof = Duration::ZERO;
        }
    }

    fn wait_for_proof(&mut self, until: Instant, proof: Duration) -> Result<Proof> {
        loop {
            let (worker, serves, until) = match &self.state {
                State::Starting { worker, .. } => (worker, false, until),
                State::Serving { worker, since } => (worker, true, *since + proof),
                State::Waiting { .. } | State::Over => return Ok(Proof::Killed),
            };
            match next(worker, until.min(Instant::now() + LOOK)) {
                Said::Word(said) if ["failed", "refused"].contains(&said.word.as_str()) => {
                    return Err(failure(&said));
                }
                Said::Word(said) => self.hear(said)?,
                Said::End => return self.ended_early(),
                Said::Nothing if Instant::now() < until && self.is_live() => {}
                Said::Nothing if serves => return Ok(Proof::Given),
                Said::Nothing => {
                    let what = "the worker did not come to serve";
                    return Err(Error::new(ExitCode::Internal, what));
                }
            }
        }
    }

    /// A new worker has ended.
    fn ended_early(&mut self) -> Result<Proof> {
        self.door.close();
        let end = self.bide();
        let served = matches!(self.state, State::Serving { .. });
        self.state = State::Over;
        let cause = self.memory.tell(end);
        if cause.errno.is_none() && self.is_live() {
            return Ok(Proof::Killed);
        }
        let what = match served {
            true => "the worker ended as soon as it served",
            false => "the worker did not come to serve: it ended",
        };
        let what = format!("{what}, by {}", cause.text);
        Err(Error::new(ExitCode::Internal, what))
    }
}

/// What came of a new worker.
enum Proof {
    /// It serves.
    Given,
    /// Somebody outside did it.
    Killed,
}

/// A copy that can only be read.
fn readable(memory: &OwnedFd) -> std::io::Result<OwnedFd> {
    let path = format!("/proc/self/fd/{}", memory.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

/// What a worker says next, until then.
enum Said {
    Word(Message),
    Nothing,
    /// It has died.
    End,
}

fn next(child: &Child, until: Instant) -> Said {
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return Said::Nothing;
        };
        let mut waiting = [PollFd::new(&child.channel, PollFlags::IN)];
        match poll(&mut waiting, Some(&timeout)) {
            Err(rustix::io::Errno::INTR) => {}
            Ok(0) | Err(_) => return Said::Nothing,
            Ok(_) => {
                let message = message::receive(&child.channel).ok().flatten();
                return message.map_or(Said::End, Said::Word);
            }
        }
    }
}
