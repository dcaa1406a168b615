//! The control socket of a daemon: one line of request, one of answer.
//!
//! | request | answer |
//! |---|---|
//! | `status` | `ok` and what the daemon knows, as JSON |
//! | `remount size=BYTES,nr_inodes=N,uid_size=BYTES,uid_nr_inodes=N` | `ok`; any part may be missing |
//! | `export-text` | `ok` and the exports in force: path and text, as JSON |
//! | `export-reload LENGTH`, and so many bytes | `ok`; these exports are in force |
//! | `export-session NAME` | `ok` and a directory under `.shmfs/exports`, which is this caller's |
//! | `export-bound DIRECTORY`, `export-left DIRECTORY` | `ok`; who asked for it has bound it, or uses it no more |
//! | `umount`, `umount force` | `ok` at once: as SIGTERM, as SIGQUIT |
//! | `upgrade PATH` | `ok` and the version that serves now |
//! | `wait` | `ok`; the connection closes when the daemon has ended |
//!
//! What concerns the store is passed to the worker (`requests`). A failure is answered by `error` and a text. The
//! socket bears the device number of the file system as its name, and answers root and the user who mounted.

use std::fs;
use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

use rustix::net::sockopt::socket_peercred;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::serve;
use crate::export::Source;
use crate::options::Limits;
use crate::supervisor::Door;

/// A request is no longer than this.
const LONGEST: u64 = 4096;

/// So often a daemon is asked again that has not answered.
const TRIES: u32 = 3;

/// Nor are exports; their own limit is lower.
const LONGEST_EXPORTS: u64 = 16 << 20;

/// The daemon's end; dropped, it takes the socket's name away.
#[derive(Debug)]
pub(crate) struct Control {
    _name: Name,
    listener: Arc<UnixListener>,
}

/// The name of a socket.
#[derive(Debug)]
struct Name {
    path: PathBuf,
    file: FileId,
}

/// A socket before there is somebody who answers: who asks waits.
#[derive(Debug)]
pub(crate) struct Bound {
    name: Name,
    listener: UnixListener,
}

impl Bound {
    /// The socket of the file system `device`, to be there when programs get to that.
    pub(crate) fn new(device: &str) -> io::Result<Bound> {
        let directory = directory();
        make_private(&directory)?;
        bind(&directory, device)
    }

    /// One that another program listened on.
    pub(super) fn inherited(device: &str, listener: OwnedFd) -> Bound {
        Bound {
            name: Name::of(directory().join(device)),
            listener: listener.into(),
        }
    }

    /// Answers requests from now on.
    pub(crate) fn answer(self, door: Arc<Door>) -> io::Result<Control> {
        let listener = Arc::new(self.listener);
        let answering = Arc::clone(&listener);
        thread::Builder::new()
            .name("control".to_owned())
            .spawn(move || accept(&answering, &door))?;
        Ok(Control {
            _name: self.name,
            listener,
        })
    }
}

impl AsFd for Control {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}

fn bind(directory: &Path, device: &str) -> io::Result<Bound> {
    let path = directory.join(device);
    let _locked = lock(directory)?;
    remove_stale(directory);
    // Who had this device number before may not have ended yet, but has nothing to tell any more.
    drop(fs::remove_file(&path));
    let listener = UnixListener::bind(&path)?;
    let name = Name::of(path);
    Ok(Bound { name, listener })
}

impl Name {
    fn of(path: PathBuf) -> Name {
        // One that somebody took away is nobody's.
        let file = file_id(&path).unwrap_or_default();
        Name { path, file }
    }

    /// Takes it away, unless it is a later daemon's: the kernel gives a device number again at once.
    fn remove(&self) -> io::Result<()> {
        let _locked = self.path.parent().map(lock).transpose()?;
        match file_id(&self.path) {
            Ok(file) if file == self.file => fs::remove_file(&self.path),
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            tracing::warn!(%error, path = %self.path.display(), "cannot remove the control socket");
        }
    }
}

/// Lets one daemon at a time change the names in the directory: a socket that is bound and not listened on yet
/// looks like one whose daemon is gone.
fn lock(directory: &Path) -> io::Result<fs::File> {
    let file = fs::File::open(directory)?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
    Ok(file)
}

/// Number and time of change: a file system may give a number again at once, but not within its own time.
type FileId = (u64, i64, i64);

fn file_id(path: &Path) -> io::Result<FileId> {
    let found = fs::symlink_metadata(path)?;
    Ok((found.ino(), found.ctime(), found.ctime_nsec()))
}

/// Where sockets are.
fn directory() -> PathBuf {
    let uid = rustix::process::geteuid();
    // Root of a user namespace is not who /run belongs to.
    let owns_run = || fs::metadata("/run").is_ok_and(|run| run.uid() == uid.as_raw());
    if uid.is_root() && owns_run() {
        return PathBuf::from("/run/shmfs");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(runtime) => Path::new(&runtime).join("shmfs"),
        None => PathBuf::from(format!("/tmp/shmfs-{}", uid.as_raw())),
    }
}

/// Makes `directory`, or checks that nobody else has made it.
fn make_private(directory: &Path) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(directory) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(directory)?;
    let ours = found.is_dir()
        && found.uid() == rustix::process::geteuid().as_raw()
        && found.mode() & 0o077 == 0;
    if ours {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "{} is not private",
            directory.display()
        )))
    }
}

/// Removes what daemons that were killed have left.
fn remove_stale(directory: &Path) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for path in entries.filter_map(|entry| Some(entry.ok()?.path())) {
        let dead = UnixStream::connect(&path)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused);
        if dead && fs::remove_file(&path).is_ok() {
            tracing::info!(path = %path.display(), "removed the socket of a daemon that is gone");
        }
    }
}

fn accept(listener: &UnixListener, door: &Arc<Door>) {
    for connection in listener.incoming() {
        let door = Arc::clone(door);
        let answer = move || {
            let answered = connection.and_then(|connection| converse(&connection, &door));
            if let Err(error) = answered {
                tracing::debug!(%error, "a control connection failed");
            }
        };
        if let Err(error) = thread::Builder::new()
            .name("control".to_owned())
            .spawn(answer)
        {
            tracing::warn!(%error, "cannot answer on the control socket");
        }
    }
}

fn converse(mut connection: &UnixStream, door: &Door) -> io::Result<()> {
    let peer = socket_peercred(connection)?.uid;
    if !peer.is_root() && peer != rustix::process::geteuid() {
        return connection.write_all(b"error only root and the owner may ask\n");
    }
    let mut reader = BufReader::new(connection);
    let mut line = String::new();
    (&mut reader).take(LONGEST).read_line(&mut line)?;
    let (verb, rest) = line
        .trim_end()
        .split_once(' ')
        .unwrap_or((line.trim_end(), ""));
    if verb == "upgrade" {
        // The supervisor answers, perhaps as another program: this thread may end before.
        return door.order(verb, rest, connection.as_fd());
    }
    let talk = door.talk();
    let answer = match verb {
        "umount" => {
            serve::ask(rest == "force");
            Ok(String::new())
        }
        "status" => door
            .ask(verb)
            .map(|status| with_deaths(&status, door.deaths())),
        "wait" => Ok(String::new()),
        "export-text" => export_text(door),
        "export-reload" => reload_exports(door, rest, &mut reader),
        // All others are about what the worker has.
        _ => door.ask(line.trim_end()),
    };
    let text = match answer {
        Ok(text) => format!("ok {text}\n"),
        Err(text) => format!("error {}\n", text.replace('\n', " ")),
    };
    connection.write_all(text.as_bytes())?;
    drop(talk);
    if verb == "wait" {
        // Until the other side has enough, or this process ends.
        io::copy(&mut connection, &mut io::sink())?;
    }
    Ok(())
}

/// What the worker says of itself, and what only the supervisor knows.
fn with_deaths(status: &str, deaths: u64) -> String {
    match status.strip_prefix('{') {
        Some(rest) => format!("{{\"deaths\":{deaths},{rest}"),
        None => status.to_owned(),
    }
}

fn export_text(door: &Door) -> Result<String, String> {
    let source = door.exports().map_err(|error| error.to_string())?;
    let source = source.ok_or("it was mounted without exports")?;
    let origin = source.origin.display().to_string();
    serde_json::to_string(&(origin, source.text)).map_err(|error| error.to_string())
}

fn reload_exports(door: &Door, length: &str, reader: &mut impl Read) -> Result<String, String> {
    let length: u64 = length.parse().map_err(|_| "how many bytes?")?;
    if length > LONGEST_EXPORTS {
        return Err("these exports are too long".to_owned());
    }
    let mut bytes = Vec::new();
    let read = reader.take(length).read_to_end(&mut bytes);
    read.map_err(|error| error.to_string())?;
    let source = Source::decode(&bytes).ok_or("these are no exports")?;
    door.reload_exports(&source)
}

/// One line of answer; an empty one where there is none.
fn say(mut socket: &UnixStream, request: &[u8]) -> io::Result<String> {
    let mut answer = String::new();
    socket.write_all(request)?;
    BufReader::new(socket).read_line(&mut answer)?;
    Ok(answer)
}

pub(super) fn encode(limits: &Limits) -> String {
    let parts = [
        ("size", limits.size),
        ("nr_inodes", limits.nr_inodes),
        ("uid_size", limits.uid_size),
        ("uid_nr_inodes", limits.uid_nr_inodes),
    ];
    let word = |(key, value): (&str, Option<u64>)| value.map(|value| format!("{key}={value}"));
    let words: Vec<String> = parts.into_iter().filter_map(word).collect();
    words.join(",")
}

pub(super) fn decode(words: &str) -> Option<Limits> {
    let mut limits = Limits::default();
    for word in words.split(',').filter(|word| !word.is_empty()) {
        let (key, value) = word.split_once('=')?;
        let value = Some(value.parse().ok()?);
        match key {
            "size" => limits.size = value,
            "nr_inodes" => limits.nr_inodes = value,
            "uid_size" => limits.uid_size = value,
            "uid_nr_inodes" => limits.uid_nr_inodes = value,
            _ => return None,
        }
    }
    Some(limits)
}

/// A connection to the daemon of a mount.
#[derive(Debug)]
pub(crate) struct Daemon {
    socket: UnixStream,
    path: PathBuf,
}

impl Daemon {
    /// Connects to the daemon that serves the file system `device`.
    pub(crate) fn connect(device: &str) -> io::Result<Daemon> {
        let path = directory().join(device);
        Ok(Daemon {
            socket: UnixStream::connect(&path)?,
            path,
        })
    }

    /// Its process; `None` where it is in another namespace.
    pub(crate) fn process(&self) -> Option<std::os::fd::OwnedFd> {
        let pid = Pid::from_raw(self.process_id()?)?;
        pidfd_open(pid, PidfdFlags::empty()).ok()
    }

    /// Its number.
    pub(crate) fn process_id(&self) -> Option<i32> {
        let peer = socket_peercred(self.socket.as_fd()).ok()?;
        // The kernel shows a process that is not to be seen from here as 0.
        Some(peer.pid.as_raw_nonzero().get())
    }

    /// Asks for `request`; returns the answer's text.
    pub(crate) fn ask(&self, request: &str) -> io::Result<String> {
        self.converse(format!("{request}\n").as_bytes())
    }

    /// A daemon that becomes another program does not answer who came at that moment, and does not do what was asked
    /// for either: it is asked again. To end it is asked once: the second time means another thing.
    fn converse(&self, request: &[u8]) -> io::Result<String> {
        let mut answer = say(&self.socket, request);
        for _ in 0..TRIES {
            let unanswered = answer.as_ref().map_or(true, String::is_empty);
            if !unanswered || request.starts_with(b"umount") {
                break;
            }
            let Ok(again) = UnixStream::connect(&self.path) else {
                break;
            };
            answer = say(&again, request);
        }
        let answer = answer?;
        let (verdict, text) = answer
            .trim_end()
            .split_once(' ')
            .unwrap_or((answer.trim_end(), ""));
        match verdict {
            "ok" => Ok(text.to_owned()),
            "error" => Err(io::Error::other(text.to_owned())),
            _ => Err(io::Error::other("the daemon ended before it answered")),
        }
    }

    /// Asks for other exports.
    pub(crate) fn reload_exports(&self, source: &Source) -> io::Result<String> {
        let bytes = source.encode();
        let request = format!("export-reload {}\n", bytes.len());
        self.converse(&[request.as_bytes(), &bytes].concat())
    }

    /// Asks for new limits.
    pub(crate) fn remount(&self, limits: &Limits) -> io::Result<()> {
        self.ask(&format!("remount {}", encode(limits))).map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most file systems give the number of a file that is gone to the next one.
    #[test]
    fn a_later_daemon_keeps_its_socket() {
        let directory = tempfile::tempdir().unwrap();
        let mut before = bind(directory.path(), "0:44").unwrap();
        for _ in 0..3 {
            let later = bind(directory.path(), "0:44").unwrap();
            drop(std::mem::replace(&mut before, later));
            assert!(directory.path().join("0:44").exists());
        }
        drop(before);
        assert!(!directory.path().join("0:44").exists());
    }

    #[test]
    fn limits_travel() {
        for limits in [
            Limits::default(),
            Limits {
                size: Some(0),
                uid_nr_inodes: Some(1),
                ..Limits::default()
            },
            Limits {
                size: Some(u64::MAX),
                nr_inodes: Some(7),
                uid_size: Some(4096),
                uid_nr_inodes: None,
            },
        ] {
            assert_eq!(decode(&encode(&limits)), Some(limits));
        }
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for words in [
            "size",
            "size=",
            "size=-1",
            "size=1k",
            "mode=700",
            "size=99999999999999999999",
        ] {
            assert_eq!(decode(words), None, "{words}");
        }
    }
}
