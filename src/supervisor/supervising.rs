//! The side that owns: when a worker is started, and when there is nothing left to serve.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitStatus};

use super::door::Door;
use super::message::{self, Message, Ready, Start};
use super::program::{Child, Program};
use crate::error::{Error, ExitCode, Result};
use crate::export::Source;
use crate::fuse::{Layout, connection};
use crate::log;
use crate::options::Options;
use crate::sys::process;

/// How long the first worker may take until it serves.
const START: Duration = Duration::from_secs(30);

/// What outlives a worker.
#[derive(Debug)]
pub struct Kept {
    device: OwnedFd,
    data: Option<OwnedFd>,
    layout: Layout,
    options: String,
    init: Vec<u8>,
    answer: Option<Vec<u8>>,
    exports: Option<Source>,
}

impl Kept {
    /// What a new mount begins with: `device` is its connection, whose INIT nobody has read yet.
    pub fn new(
        device: OwnedFd,
        data: Option<OwnedFd>,
        layout: Layout,
        options: &Options,
    ) -> Result<Kept> {
        let init = connection::read_init(&device)
            .map_err(|error| Error::system("cannot hear from the kernel's FUSE", error))?;
        let mut options = options.clone();
        // Where views are bound concerns who binds them.
        options
            .views
            .iter_mut()
            .for_each(|view| view.directory = None);
        Ok(Kept {
            device,
            data,
            layout,
            options: options.to_string(),
            init,
            answer: None,
            exports: None,
        })
    }

    /// The same with exports.
    pub fn with_exports(mut self, exports: Option<Source>) -> Kept {
        self.exports = exports;
        self
    }
}

/// What a look at the worker came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// There is a mount to serve.
    Goes,
    /// The connection has ended: unmounted everywhere, or aborted.
    Ended,
}

/// The owner of a mount, and of the process that serves it.
#[derive(Debug)]
pub struct Supervisor {
    kept: Kept,
    program: Program,
    worker: Option<Child>,
    ready: Option<Ready>,
    entrance: Option<CString>,
    door: Arc<Door>,
    mounts: String,
    background: bool,
}

impl Supervisor {
    /// Starts the first worker; returns when it serves.
    pub fn start(mut kept: Kept) -> Result<Supervisor> {
        let door = Arc::new(Door::default());
        if let Some(exports) = kept.exports.take() {
            door.set_exports(exports)
                .map_err(|error| Error::system("cannot keep the exports", error))?;
        }
        let mut supervisor = Supervisor {
            kept,
            program: Program::of_this_process(),
            worker: None,
            ready: None,
            entrance: None,
            door,
            mounts: String::new(),
            background: false,
        };
        supervisor.launch()?;
        let until = Instant::now() + START;
        while supervisor.ready.is_none() {
            supervisor.wait(until)?;
            if supervisor.turn()? == Turn::Ended {
                let what = "the connection ended before it was served";
                return Err(Error::new(ExitCode::Mount, what));
            }
        }
        let entrance = supervisor.ready.as_ref().and_then(|it| it.entrance.clone());
        supervisor.entrance = entrance.and_then(|entrance| CString::new(entrance).ok());
        Ok(supervisor)
    }

    /// The name of the tree in the anteroom.
    pub fn entrance(&self) -> Option<&CStr> {
        self.entrance.as_deref()
    }

    /// Whether data goes by passthrough.
    pub fn passthrough(&self) -> bool {
        self.ready.as_ref().is_some_and(|ready| ready.passthrough)
    }

    /// Where questions to the worker go.
    pub fn door(&self) -> Arc<Door> {
        Arc::clone(&self.door)
    }

    /// The worker's process.
    pub fn worker(&self) -> Option<Pid> {
        self.worker.as_ref().map(|worker| worker.pid)
    }

    /// What the worker takes away should this process die, in the words of who gives it.
    pub fn set_mounts(&mut self, mounts: String) {
        self.mounts = mounts;
        self.say("mounts", self.mounts.as_bytes());
    }

    /// From now on there is no terminal.
    pub fn leave_terminal(&mut self) {
        self.background = true;
        self.say("background", b"");
    }

    /// What becomes readable when there is something to do for [`Supervisor::turn`].
    pub fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let worker = self.worker.iter();
        worker.flat_map(|worker| [worker.pidfd.as_fd(), worker.channel.as_fd()])
    }

    /// Does what there is to do, without waiting.
    pub fn turn(&mut self) -> Result<Turn> {
        while let Some(message) = self.next_message()? {
            self.hear(message)?;
        }
        let Some(worker) = &self.worker else {
            return Ok(Turn::Goes);
        };
        let failed = |error| Error::system("cannot wait for the worker", error);
        match process::try_wait(worker.pid).map_err(failed)? {
            Some(status) => self.bury(status),
            None => Ok(Turn::Goes),
        }
    }

    /// The child `pid` has ended, and was waited for elsewhere; `None` where it is not the worker.
    pub fn reaped(&mut self, pid: Pid, status: WaitStatus) -> Option<Result<Turn>> {
        (self.worker() == Some(pid)).then(|| self.bury(status))
    }

    /// Ends the connection at once, whoever uses it.
    pub fn abort(&mut self) {
        if connection::abort(&self.kept.device) {
            return;
        }
        tracing::info!("the kernel gives no way to do that: the end of the processes does it");
        self.kill();
    }

    /// Ends the worker, and serves no longer.
    pub fn kill(&mut self) {
        self.door.close();
        if let Some(worker) = self.worker.take() {
            process::pidfd_kill(worker.pidfd.as_fd(), libc::SIGKILL);
            // Waited for elsewhere, perhaps.
            drop(process::wait_for(worker.pid));
        }
    }

    fn wait(&self, until: Instant) -> Result<()> {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let late = "the worker did not serve in time";
            return Err(Error::new(ExitCode::Internal, late));
        }
        let timeout = Timespec::try_from(left).ok();
        let mut waiting: Vec<PollFd<'_>> = Vec::new();
        let descriptors: Vec<BorrowedFd<'_>> = self.descriptors().collect();
        waiting.extend(descriptors.iter().map(|it| PollFd::new(it, PollFlags::IN)));
        match poll(&mut waiting, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(error) => Err(Error::system("cannot wait for the worker", error)),
        }
    }

    fn launch(&mut self) -> Result<()> {
        let failed = |error: io::Error| Error::system("cannot start the worker", error);
        let worker = self.program.start().map_err(failed)?;
        let given = self.give(&worker.channel);
        self.worker = Some(worker);
        // A worker that ended at once shows itself as such.
        match given {
            Err(error) if error.raw_os_error() != Some(libc::EPIPE) => Err(failed(error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Hands a new worker what it needs.
    fn give(&self, channel: &OwnedFd) -> io::Result<()> {
        let kept = &self.kept;
        let device = Some(kept.device.as_fd());
        message::send(channel, "device", b"", device)?;
        if let Some(data) = &kept.data {
            message::send(channel, "data", b"", Some(data.as_fd()))?;
        }
        message::send(channel, "init", &kept.init, None)?;
        if let Some(answer) = &kept.answer {
            message::send(channel, "answer", answer, None)?;
        }
        self.door.give_exports(channel)?;
        let start = Start {
            options: kept.options.clone(),
            anteroom: kept.layout == Layout::Anteroom,
            log: log::chosen().to_owned(),
            background: self.background,
        };
        message::send(channel, "start", &message::encode(&start)?, None)
    }

    /// Tells the worker; one that is dead, or not there, gets to know it when it starts.
    fn say(&self, word: &str, bytes: &[u8]) {
        let Some(worker) = &self.worker else {
            return;
        };
        if let Err(error) = message::send(&worker.channel, word, bytes, None) {
            tracing::debug!(word, %error, "the worker was not told");
        }
    }

    fn next_message(&self) -> Result<Option<Message>> {
        let Some(worker) = &self.worker else {
            return Ok(None);
        };
        let failed = |error| Error::system("cannot hear from the worker", error);
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        let mut waiting = [PollFd::new(&worker.channel, PollFlags::IN)];
        match poll(&mut waiting, Some(&now)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => Ok(None),
            Ok(_) => message::receive(&worker.channel).map_err(failed),
            Err(error) => Err(failed(error.into())),
        }
    }

    fn hear(&mut self, message: Message) -> Result<()> {
        match message.word.as_str() {
            "answer" => {
                connection::answer_init(&self.kept.device, &message.bytes)
                    .map_err(|error| Error::system("cannot answer the kernel's FUSE", error))?;
                self.kept.answer = Some(message.bytes);
                self.say("answered", b"");
            }
            "ready" => self.opens(&message)?,
            "failed" => return Err(Error::decode(&message.bytes).unwrap_or_else(unclear)),
            word => tracing::debug!(word, "an unknown word of the worker"),
        }
        Ok(())
    }

    /// The worker serves.
    fn opens(&mut self, message: &Message) -> Result<()> {
        let ready = serde_json::from_slice(&message.bytes).map_err(|_| unclear())?;
        self.ready = Some(ready);
        if let Some(worker) = &self.worker {
            self.door
                .open(&worker.channel)
                .map_err(|error| Error::system("cannot duplicate a descriptor", error))?;
        }
        Ok(())
    }

    fn bury(&mut self, status: WaitStatus) -> Result<Turn> {
        self.worker = None;
        self.door.close();
        if connection::has_ended(&self.kept.device) {
            return Ok(Turn::Ended);
        }
        let how = how(status);
        Err(Error::new(
            ExitCode::Internal,
            format!("the process that served the mount ended: {how}"),
        ))
    }
}

fn unclear() -> Error {
    Error::new(ExitCode::Internal, "the worker is not understood")
}

/// How a process ended.
fn how(status: WaitStatus) -> String {
    match (status.terminating_signal(), status.exit_status()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(code)) => format!("status {code}"),
        (None, None) => "for an unknown reason".to_owned(),
    }
}
