//! The side that owns: when a worker is started, and when there is nothing left to serve.

use std::ffi::{CStr, CString, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::Pid;

use super::cause::Memory;
use super::door::Door;
use super::kept::Kept;
use super::message::{self, Message, Ready, Start};
use super::program::{Child, Program};
use super::restarts::{Restarts, Work};
use super::upgrade::Order;
use super::watch::Watch;
use crate::error::{Error, ExitCode, Result};
use crate::fuse::{Layout, connection};
use crate::log;
use crate::sys::memory;
use crate::sys::process::{self, End};

/// How long the first worker may take until it serves.
const START: Duration = Duration::from_secs(30);

/// How long a later one may take: then it is taken for one that hangs.
const RESTART: Duration = Duration::from_secs(60);

/// What a look at the worker came to.
#[derive(Debug)]
pub enum Turn {
    /// There is a mount to serve.
    Goes,
    /// The connection has ended: unmounted everywhere, or aborted.
    Ended,
    /// Another program serves: this process shall become it too, and answer.
    Upgraded(Order),
}

/// Whether somebody serves.
#[derive(Debug)]
pub(super) enum State {
    /// A worker was started, and has not said yet that it serves.
    Starting { worker: Child, since: Instant },
    /// It serves.
    Serving { worker: Child, since: Instant },
    /// The next one is started later.
    Waiting { until: Instant },
    /// There will be none.
    Over,
}

/// The owner of a mount, and of the process that serves it.
#[derive(Debug)]
pub struct Supervisor {
    pub(super) kept: Kept,
    pub(super) program: Program,
    pub(super) state: State,
    pub(super) first: Option<Ready>,
    pub(super) entrance: Option<CString>,
    pub(super) door: Arc<Door>,
    pub(super) restarts: Restarts,
    pub(super) memory: Memory,
    pub(super) watch: Watch,
    /// The worker is killed because of this.
    pub(super) hangs: Option<String>,
    /// Since when it has ended and cannot be waited for.
    pub(super) stuck: Option<Instant>,
    /// Workers that are to be waited for yet.
    pub(super) unreaped: Vec<Pid>,
    pub(super) oom_score: Option<i32>,
    pub(super) mounts: String,
    pub(super) background: bool,
    /// A service manager holds the descriptors too.
    pub(super) stored: bool,
    /// Orders of other threads.
    pub(super) inbox: OwnedFd,
}

impl Supervisor {
    /// Starts the first worker; returns when it serves.
    pub fn start(kept: Kept) -> Result<Supervisor> {
        let (door, inbox) = Door::new().map_err(unstarted)?;
        door.keep_exports(kept.exports.as_ref())
            .map_err(unstarted)?;
        let mut supervisor = Supervisor {
            kept,
            program: Program::of_this_process(),
            state: State::Over,
            first: None,
            entrance: None,
            door: Arc::new(door),
            inbox,
            stored: false,
            restarts: Restarts::default(),
            memory: Memory::look(),
            watch: Watch::default(),
            hangs: None,
            stuck: None,
            unreaped: Vec::new(),
            oom_score: memory::spare_this_process(),
            mounts: String::new(),
            background: false,
        };
        supervisor.begin().inspect_err(|_| {
            supervisor.end();
            supervisor.has_ended();
        })?;
        let entrance = supervisor.first.as_ref().and_then(|it| it.entrance.clone());
        supervisor.entrance = entrance.and_then(|entrance| CString::new(entrance).ok());
        Ok(supervisor)
    }

    fn begin(&mut self) -> Result<()> {
        self.launch().map_err(unstarted)?;
        while self.first.is_none() {
            self.wait()?;
            if let Turn::Ended = self.turn()? {
                let what = "the connection ended before it was served";
                return Err(Error::new(ExitCode::Mount, what));
            }
        }
        Ok(())
    }

    /// The name of the tree in the anteroom.
    pub fn entrance(&self) -> Option<&CStr> {
        self.entrance.as_deref()
    }

    /// Whether data goes by passthrough.
    pub fn passthrough(&self) -> bool {
        self.first.as_ref().is_some_and(|ready| ready.passthrough)
    }

    /// Where questions to the worker go.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// The worker's process.
    pub fn worker(&self) -> Option<Pid> {
        self.child().map(|worker| worker.pid)
    }

    /// What the worker takes away should this process die, in the words of who gives it.
    pub fn set_mounts(&mut self, mounts: String) {
        self.mounts = mounts;
        self.say_mounts();
    }

    /// A service manager holds what must not be lost: it starts this program again.
    pub fn set_stored(&mut self, stored: bool) {
        self.stored = stored;
        self.say_mounts();
    }

    /// Whether one does.
    pub fn is_stored(&self) -> bool {
        self.stored
    }

    fn say_mounts(&self) {
        let orphaned = if self.stored { "" } else { &self.mounts };
        self.say("mounts", orphaned.as_bytes());
    }

    /// From now on there is no terminal.
    pub fn leave_terminal(&mut self) {
        self.background = true;
        self.say("background", b"");
    }

    /// What becomes readable when there is something to do for [`Supervisor::turn`].
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let worker = self.child().into_iter();
        let worker = worker.flat_map(|worker| {
            // The other end of the channel is closed where it has ended and cannot be waited for.
            let channel = self.stuck.is_none().then(|| worker.channel.as_fd());
            [Some(worker.pidfd.as_fd()), channel]
        });
        worker
            .flatten()
            .chain(self.end_of_worker())
            .chain([self.inbox.as_fd()])
    }

    /// When there is something to do in any case.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Starting { since, .. } => Some(*since + self.patience()),
            State::Waiting { until } => Some(*until),
            State::Serving { .. } => self.watch.deadline(),
            State::Over => None,
        }
    }

    /// Does what there is to do, without waiting. Fails where nobody can serve the mount any more.
    pub fn turn(&mut self) -> Result<Turn> {
        let mut turn = self.tend()?;
        if let (Turn::Goes, Some(order)) = (&turn, take(&self.inbox)) {
            turn = self.obey(order);
        }
        Ok(match (turn, &self.state) {
            (Turn::Goes, State::Over) => Turn::Ended,
            (turn, _) => turn,
        })
    }

    /// The same without orders.
    pub(super) fn tend(&mut self) -> Result<Turn> {
        while let Some(message) = self.next_message() {
            self.hear(message)?;
        }
        let ended = match self.child() {
            Some(worker) => process::ended(worker.pidfd.as_fd())
                .map_err(|error| Error::system("cannot wait for the worker", error))?,
            None => None,
        };
        if let Some(end) = ended {
            // Later, so that nobody waits for that.
            self.unreaped.extend(self.worker());
            return self.bury(Some(end));
        }
        self.notice_end();
        let due = self.deadline().is_some_and(|at| at <= Instant::now());
        if due { self.late() } else { Ok(Turn::Goes) }
    }

    fn obey(&mut self, order: Message) -> Turn {
        let Some(client) = order.descriptor.map(Order::new) else {
            return Turn::Goes;
        };
        if order.word == "upgrade" {
            let path = OsString::from_vec(order.bytes);
            return self.upgrade(path.into(), client);
        }
        client.answer(Err("unknown request".to_owned()));
        Turn::Goes
    }

    /// The child `pid` has ended, and was waited for elsewhere; `None` where it is not the worker.
    pub fn reaped(&mut self, pid: Pid, end: End) -> Option<Result<Turn>> {
        (self.worker() == Some(pid)).then(|| self.bury(Some(end)))
    }

    /// Ends the connection at once, whoever uses it.
    pub fn abort(&mut self) {
        if connection::abort(&self.kept.device) {
            return;
        }
        tracing::info!("the kernel gives no way to do that: the end of the processes does it");
        self.end();
    }

    pub(super) fn child(&self) -> Option<&Child> {
        match &self.state {
            State::Starting { worker, .. } | State::Serving { worker, .. } => Some(worker),
            State::Waiting { .. } | State::Over => None,
        }
    }

    pub(super) fn kill(&self) {
        if let Some(worker) = self.child() {
            process::pidfd_kill(worker.pidfd.as_fd(), libc::SIGKILL);
        }
    }

    fn patience(&self) -> Duration {
        if self.first.is_none() { START } else { RESTART }
    }

    fn wait(&self) -> Result<()> {
        let left = self.deadline();
        let left = left.map(|at| at.saturating_duration_since(Instant::now()));
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let descriptors: Vec<BorrowedFd<'_>> = self.descriptors().collect();
        let waiting = descriptors.iter().map(|it| PollFd::new(it, PollFlags::IN));
        match poll(&mut waiting.collect::<Vec<_>>(), timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::system("cannot wait for the worker", error)),
        }
    }

    pub(super) fn launch(&mut self) -> io::Result<()> {
        let worker = self.program.start()?;
        let given = self.give(&worker.channel);
        let since = Instant::now();
        self.state = State::Starting { worker, since };
        // A worker that ended at once shows itself as such.
        match given {
            Err(error) if error.raw_os_error() != Some(libc::EPIPE) => {
                self.kill();
                Err(error)
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Hands a new worker what it needs.
    fn give(&self, channel: &OwnedFd) -> io::Result<()> {
        let kept = &self.kept;
        kept.give(channel)?;
        let start = Start {
            options: kept.options.clone(),
            anteroom: kept.layout == Layout::Anteroom,
            log: log::chosen().to_owned(),
            background: self.background,
            oom_score: self.oom_score,
            short: self.memory.short,
        };
        message::send(channel, "start", &message::encode(&start)?, None)
    }

    /// Tells the worker; one that is dead, or not there, gets to know it when it starts.
    pub(super) fn say(&self, word: &str, bytes: &[u8]) {
        let Some(worker) = self.child() else {
            return;
        };
        if let Err(error) = message::send(&worker.channel, word, bytes, None) {
            tracing::debug!(word, %error, "the worker was not told");
        }
    }

    /// What the worker says; its end is told by its process.
    pub(super) fn next_message(&self) -> Option<Message> {
        take(&self.child()?.channel)
    }

    pub(super) fn hear(&mut self, message: Message) -> Result<()> {
        match message.word.as_str() {
            "answer" => {
                connection::answer_init(&self.kept.device, &message.bytes)
                    .map_err(|error| Error::system("cannot answer the kernel's FUSE", error))?;
                self.kept.answer = Some(message.bytes);
                self.say("answered", b"");
            }
            "file" | "gone" => self.kept.hold(message),
            "ready" => self.opens(&message),
            "failed" if self.first.is_some() => {
                tracing::error!(error = %failure(&message), "the worker cannot serve now");
            }
            "failed" | "refused" => return Err(failure(&message)),
            word => tracing::debug!(word, "an unknown word of the worker"),
        }
        Ok(())
    }

    /// The worker serves.
    fn opens(&mut self, message: &Message) {
        let State::Starting { mut worker, since } = std::mem::replace(&mut self.state, State::Over)
        else {
            return;
        };
        let opened = self.door.open(&worker.channel);
        if let Err(error) = opened {
            tracing::warn!(%error, "no requests of the control socket reach the worker");
        }
        let took = since.elapsed();
        let mut ready: Option<Ready> = serde_json::from_slice(&message.bytes).ok();
        worker.watch_thread(ready.as_mut().and_then(|ready| ready.thread.take()));
        let since = Instant::now();
        self.state = State::Serving { worker, since };
        self.watch.begin(&self.kept.slots);
        if let Some(first) = &mut self.first {
            first.version = ready.map(|ready| ready.version).unwrap_or_default();
            tracing::warn!(?took, "another worker serves the mount");
            self.say_mounts();
        } else {
            self.first = ready;
        }
        self.settle();
        self.reap();
    }

    /// Lets the worker hold some memory for the next one. With passthrough who uses memory pays for it.
    pub(super) fn settle(&mut self) {
        let holds = !self.passthrough();
        if let Some(bytes) = self.memory.settle(holds) {
            self.say("memory", &bytes.to_le_bytes());
        }
    }

    /// Something is due: the next worker, or the end of one that does not come to serve.
    pub(super) fn late(&mut self) -> Result<Turn> {
        if let State::Serving { worker, since } = &self.state {
            let (pid, well) = (worker.pid, since.elapsed() > 20 * START);
            return self.look_at(pid, well);
        }
        if let State::Starting { since, .. } = &mut self.state {
            *since = Instant::now();
            if self.first.is_none() {
                self.end();
                let what = "the process that serves the mount does not come to serve it";
                return Err(Error::new(ExitCode::Internal, what));
            }
            tracing::error!("a worker does not come to serve: it is killed");
            self.kill();
            return Ok(Turn::Goes);
        }
        if !self.is_live() {
            return Ok(self.has_ended());
        }
        if let Err(error) = self.launch() {
            // As long as there is a mount to hold, it is held: memory, or numbers of processes, come back.
            let wait = self.restarts.death(Duration::ZERO, &Work::default());
            tracing::error!(%error, ?wait, "cannot start a worker");
            let until = Instant::now() + wait.max(Duration::from_millis(20));
            self.state = State::Waiting { until };
        }
        Ok(Turn::Goes)
    }
}

/// The next message, if there is one.
fn take(channel: &OwnedFd) -> Option<Message> {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut waiting = [PollFd::new(channel, PollFlags::IN)];
    match poll(&mut waiting, Some(&now)) {
        Ok(0) | Err(_) => None,
        Ok(_) => message::receive(channel).ok().flatten(),
    }
}

fn unstarted(error: io::Error) -> Error {
    Error::system("cannot start the process that serves the mount", error)
}

pub(super) fn failure(message: &Message) -> Error {
    let unclear = || Error::new(ExitCode::Internal, "the worker is not understood");
    Error::decode(&message.bytes).unwrap_or_else(unclear)
}
