//! The side that serves: its life from its start to its end.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use super::configuration::Configuration;
use super::message::{self, FINISHING, Message, Ready, Start};
use super::program::WORKER;
use crate::data::{DataFiles, Keeper};
use crate::error::{Error, ExitCode, Result};
use crate::export::Source;
use crate::fuse::{Handshake, Kept, Resources, Saved, Service};
use crate::log;
use crate::options::{Environment, Options};
use crate::recovery;
use crate::slots::Requests;
use crate::sys::memory::{self, Ballast};
use crate::sys::{descriptors, process, signal};
use crate::types::Ino;

/// What the folders above do in a worker.
#[derive(Clone, Copy, Debug)]
pub struct Orphaned {
    /// The supervisor has died: takes the mounts away that it had told of.
    pub detach: fn(&str),
    /// Answers a question of the control socket.
    pub answer: fn(&Service, Question) -> std::result::Result<String, String>,
}

/// A question of the control socket.
#[derive(Debug)]
pub struct Question {
    /// Its words.
    pub line: String,
    /// The exports that it is about, where they are new ones.
    pub exports: Option<Source>,
}

/// Signals for the supervisor, which unmounts: meanwhile the worker serves.
const OF_SUPERVISOR: [i32; 4] = [libc::SIGTERM, libc::SIGINT, libc::SIGQUIT, libc::SIGHUP];

/// The channel's number, where the command line `words` starts a worker.
pub fn is_worker(words: &[OsString]) -> Option<i32> {
    let [_, first, second, number] = words else {
        return None;
    };
    if [first.as_os_str(), second.as_os_str()] != WORKER.map(OsStr::new) {
        return None;
    }
    number.to_str()?.parse().ok()
}

/// The life of a worker with the channel `number`; returns its exit status.
pub fn work(number: i32, above: Orphaned) -> i32 {
    let channel = match descriptors::inherited(number) {
        Ok(channel) => channel,
        Err(error) => {
            eprintln!("shmfs: a worker is started by shmfs alone: {error}");
            return ExitCode::Usage as i32;
        }
    };
    match prepare(&channel).and_then(|()| serve(&channel, above)) {
        Ok(()) => 0,
        Err(error) => {
            let word = if error.is_for_good() {
                "refused"
            } else {
                "failed"
            };
            let told = message::send(&channel, word, &error.encode(), None);
            if told.is_err() {
                tracing::error!(%error, "the worker ends");
            }
            error.exit_code() as i32
        }
    }
}

fn prepare(channel: &OwnedFd) -> Result<()> {
    for number in OF_SUPERVISOR {
        signal::set_ignored(number, true);
    }
    // The mask is inherited from a supervisor that reads its signals.
    signal::Set::of(&[])
        .set()
        .map_err(|error| Error::system("cannot receive signals", error))?;
    process::set_name(c"shmfs-worker");
    // What the terminal sends to a job is not for us.
    if let Err(error) = rustix::process::setsid() {
        tracing::debug!(%error, "in the session of who started it");
    }
    descriptors::close_all_but(&[channel.as_fd()])
        .map_err(|error| Error::system("cannot close descriptors", error))
}

/// A panic in any thread ends the process, as what it left half done must not be served: the next
/// worker begins with what is whole.
fn die_of_panics() {
    std::panic::set_hook(Box::new(|panic| {
        tracing::error!(%panic, "a fault in shmfs");
        std::process::abort();
    }));
}

/// The supervisor as the keeper of memfds.
#[derive(Debug)]
struct Handed(OwnedFd);

impl Keeper for Handed {
    fn keep(&self, ino: Ino, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        message::send(&self.0, "file", &ino.0.to_le_bytes(), Some(file)).map_err(|error| {
            rustix::io::Errno::from_io_error(&error).unwrap_or(rustix::io::Errno::IO)
        })
    }

    fn give_up(&self, ino: Ino) {
        // Without a supervisor there is nothing left to give up.
        drop(message::send(&self.0, "gone", &ino.0.to_le_bytes(), None));
    }
}

/// A data file that the supervisor held.
fn file(message: Message) -> Option<(Ino, OwnedFd)> {
    let number = message.bytes.as_slice().try_into().ok()?;
    Some((Ino(u64::from_le_bytes(number)), message.descriptor?))
}

/// What came before `start`.
#[derive(Default)]
struct Given {
    device: Option<OwnedFd>,
    data: Option<OwnedFd>,
    files: Vec<(Ino, OwnedFd)>,
    journal: Option<OwnedFd>,
    slots: Option<OwnedFd>,
    init: Vec<u8>,
    answer: Option<Vec<u8>>,
    exports: Option<Source>,
}

fn serve(channel: &OwnedFd, above: Orphaned) -> Result<()> {
    let mut given = Given::default();
    let start = loop {
        let message = hear(channel)?;
        match message.word.as_str() {
            "device" => given.device = message.descriptor,
            "data" => given.data = message.descriptor,
            "file" => given.files.extend(file(message)),
            "journal" => given.journal = message.descriptor,
            "slots" => given.slots = message.descriptor,
            "init" => given.init = message.bytes,
            "answer" => given.answer = Some(message.bytes),
            "check" => return check(channel, &given),
            "exports" => given.exports = read_exports(message)?,
            "start" => break read_start(&message)?,
            word => tracing::debug!(word, "an unknown word of the supervisor"),
        }
    };
    log::start(&start.log)?;
    die_of_panics();
    if let Some(Err(error)) = start.oom_score.map(memory::set_oom_score) {
        tracing::debug!(%error, "spared by the kernel as the supervisor is");
    }
    memory::set_short(start.short);
    if start.background {
        log::to_syslog();
    }
    let service = Arc::new(start_service(channel, given, &start)?);
    let (thread, ended) = watch(&service)?;
    tell_ready(channel, &service, thread).map_err(unheard)?;
    listen(channel, &service, above)?;
    // The end of the connection, however it came about.
    ended.recv().unwrap_or(Ok(()))
}

/// Says whether this program could go on with what another one saved.
fn check(channel: &OwnedFd, given: &Given) -> Result<()> {
    let (Some(journal), Some(slots)) = (&given.journal, &given.slots) else {
        return Err(Error::new(ExitCode::Internal, "nothing to look at"));
    };
    // It is being written.
    let found = recovery::copy(journal).and_then(recovery::check);
    found.map_err(|damage| Error::new(ExitCode::Usage, damage.to_string()))?;
    Requests::watch(slots).map_err(|error| Error::system("it does not know the slots", error))?;
    message::send(channel, "fine", b"", None).map_err(unheard)
}

fn hear(channel: &OwnedFd) -> Result<Message> {
    let message = message::receive(channel).map_err(unheard)?;
    message.ok_or_else(|| unheard(io::Error::from_raw_os_error(libc::EPIPE)))
}

fn unheard(error: io::Error) -> Error {
    Error::system("cannot hear from the supervisor", error)
}

fn read_exports(message: Message) -> Result<Option<Source>> {
    let exports = message.descriptor.map(Configuration::with);
    let source = exports.map(|exports| exports.source()).transpose();
    source.map_err(|error| Error::system("cannot read the exports", error))
}

fn read_start(message: &Message) -> Result<Start> {
    serde_json::from_slice(&message.bytes)
        .map_err(|error| Error::new(ExitCode::Internal, format!("what to start with: {error}")))
}

fn start_service(channel: &OwnedFd, given: Given, start: &Start) -> Result<Service> {
    let nothing = || Error::new(ExitCode::Internal, "the supervisor gave no device");
    let options = Options::parse(OsStr::new(&start.options), &Environment::of_host())?;
    let mut answer = |answer: &[u8]| {
        match &given.answer {
            Some(first) if first == answer => return Ok(()),
            Some(_) => return Err(io::Error::other("another INIT was agreed on")),
            None => {}
        }
        message::send(channel, "answer", answer, None)?;
        loop {
            match message::receive(channel)? {
                None => return Err(io::Error::from_raw_os_error(libc::EPIPE)),
                Some(message) if message.word == "answered" => return Ok(()),
                Some(_) => {}
            }
        }
    };
    let data = match given.data {
        Some(root) => DataFiles::on_tmpfs(root),
        None => {
            let channel = channel.try_clone().map_err(unheard)?;
            DataFiles::kept_memfds(Box::new(Handed(channel)), given.files)
        }
    };
    let saved = match (given.journal, given.slots) {
        (Some(journal), Some(slots)) if options.journal => Some(Saved { journal, slots }),
        (Some(_) | None, _) => None,
    };
    let resources = Resources {
        device: given.device.ok_or_else(nothing)?,
        data,
        saved,
        exports: given.exports,
        layout: start.layout(),
        handshake: Handshake::Kept(Kept {
            request: &given.init,
            answer: &mut answer,
        }),
    };
    Service::start(resources, &options)
}

fn tell_ready(channel: &OwnedFd, service: &Service, thread: i32) -> io::Result<()> {
    let entrance = service
        .entrance()
        .map(|entrance| entrance.to_string_lossy().into_owned());
    let ready = Ready {
        entrance,
        passthrough: service.passthrough(),
        saved: service.is_saved(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        thread: Some(thread),
    };
    message::send(channel, "ready", &message::encode(&ready)?, None)
}

/// Hears of the end of the connection, with a thread of its own: its number.
fn watch(service: &Arc<Service>) -> Result<(i32, mpsc::Receiver<Result<()>>)> {
    let service = Arc::clone(service);
    let (tell, ended) = mpsc::channel();
    let (say, said) = mpsc::channel();
    let wait = move || {
        let _ = say.send(rustix::thread::gettid().as_raw_nonzero().get());
        // Nobody listens where the process is about to end anyway.
        drop(tell.send(service.wait()));
    };
    spawn("watch", wait)?;
    let thread = said.recv();
    let thread = thread.map_err(|error| Error::new(ExitCode::Internal, error.to_string()))?;
    Ok((thread, ended))
}

/// Listens to the supervisor from now on.
fn listen(channel: &OwnedFd, service: &Arc<Service>, above: Orphaned) -> Result<()> {
    let failed = |error| Error::system("cannot duplicate a descriptor", error);
    let channel = channel.try_clone().map_err(failed)?;
    let service = Arc::clone(service);
    spawn("supervisor", move || obey(&channel, &service, above))
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<()> {
    let thread = thread::Builder::new().name(name.to_owned()).spawn(body);
    thread
        .map(drop)
        .map_err(|error| Error::system("cannot start a thread", error))
}

fn obey(channel: &OwnedFd, service: &Arc<Service>, above: Orphaned) {
    let (mut mounts, mut exports) = (String::new(), None);
    let mut ballast = None;
    while let Ok(Some(message)) = message::receive(channel) {
        match message.word.as_str() {
            "mounts" => mounts = String::from_utf8_lossy(&message.bytes).into_owned(),
            "memory" => ballast = hold(&message),
            "background" => leave_terminal(),
            "finish" => finish(channel, service),
            "exports" => exports = heard_exports(message),
            "ask" => answer(message, exports.take(), service, above),
            word => tracing::debug!(word, "an unknown word of the supervisor"),
        }
    }
    drop(ballast);
    // Nobody is left to start another worker, nor to end the mount: programs must not wait for
    // that. With this process the last copy of the device goes, and they get ENOTCONN.
    if mounts.is_empty() {
        tracing::error!("the supervisor was killed; somebody else holds the mount");
    } else {
        tracing::error!("the supervisor was killed: the mount ends");
        (above.detach)(&mounts);
    }
    process::exit_now(ExitCode::Internal as i32);
}

fn heard_exports(message: Message) -> Option<Source> {
    let exports = read_exports(message).inspect_err(|error| tracing::error!(%error, "new exports"));
    exports.ok().flatten()
}

/// Says so when all that was begun is finished. Where it takes too long the supervisor does not wait for that.
fn finish(channel: &OwnedFd, service: &Service) {
    if !service.finish(Instant::now() + FINISHING) {
        tracing::warn!("what is in hand takes long");
        return;
    }
    if let Err(error) = message::send(channel, "finished", b"", None) {
        tracing::debug!(%error, "the supervisor does not hear");
    }
}

/// Memory that comes free by the death of this process.
fn hold(message: &Message) -> Option<Ballast> {
    memory::set_short(false);
    let bytes = u64::from_le_bytes(message.bytes.as_slice().try_into().ok()?);
    if bytes == 0 {
        return None;
    }
    let held = Ballast::take(bytes as usize);
    held.inspect_err(|error| tracing::debug!(%error, "no memory to hold"))
        .ok()
}

fn leave_terminal() {
    log::to_syslog();
    if let Err(error) = descriptors::leave_terminal(true) {
        tracing::warn!(%error, "cannot leave the terminal");
    }
}

fn answer(message: Message, exports: Option<Source>, service: &Arc<Service>, above: Orphaned) {
    let service = Arc::clone(service);
    let answer = move || {
        let Some(socket) = message.descriptor else {
            return;
        };
        let line = String::from_utf8_lossy(&message.bytes).into_owned();
        let question = Question { line, exports };
        let (word, text) = match (above.answer)(&service, question) {
            Ok(text) => ("ok", text),
            Err(text) => ("error", text),
        };
        if let Err(error) = message::send(socket, word, text.as_bytes(), None) {
            tracing::debug!(%error, "an answer was not heard");
        }
    };
    if let Err(error) = spawn("control", answer) {
        tracing::warn!(%error, "cannot answer");
    }
}
