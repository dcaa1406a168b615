//! What a supervisor knows, for the process that takes its place: the same one with another program, or
//! one that a service manager starts after its death.
//!
//! It is written down in words, with descriptors by name, so that another version can read it.

use std::collections::HashMap;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::cause::Memory;
use super::configuration::Configuration;
use super::door::Door;
use super::kept::Kept;
use super::message::{self, Ready};
use super::program::{Child, Program};
use super::restarts::Restarts;
use super::supervising::{State as Phase, Supervisor};
use super::watch::Watch;
use crate::error::{Error, ExitCode, Result};
use crate::fuse::{Layout, connection};
use crate::log;
use crate::sys::process;

/// The form that this program writes, and the only one that it reads.
const VERSION: u32 = 1;

/// What is written down.
#[derive(Debug, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    options: String,
    anteroom: bool,
    init: Vec<u8>,
    answer: Option<Vec<u8>>,
    ready: Ready,
    /// What is mounted, in the words of who mounted it.
    pub mounts: String,
    /// What goes to the log.
    pub log: String,
    /// There is no terminal.
    pub background: bool,
    stored: bool,
    oom_score: Option<i32>,
    deaths: u64,
    /// The worker that serves: only where the process stays the same.
    worker: Option<i32>,
    /// Workers that could not be waited for yet: likewise.
    #[serde(default)]
    unreaped: Vec<i32>,
}

/// Descriptors by their names.
pub type Descriptors = HashMap<String, OwnedFd>;

/// The name of an object's memory.
fn name_of(number: u64) -> String {
    format!("file-{number:016x}")
}

fn number_in(name: &str) -> Option<u64> {
    u64::from_str_radix(name.strip_prefix("file-")?, 16).ok()
}

impl Saved {
    /// Reads it; fails where another version has written it.
    pub fn read(text: &[u8]) -> Result<Saved> {
        #[derive(Deserialize)]
        struct Any {
            version: u32,
        }
        let unreadable = |error| {
            let what = format!("cannot read the state of the supervisor: {error}");
            Error::new(ExitCode::Internal, what)
        };
        let any: Any = serde_json::from_slice(text).map_err(unreadable)?;
        if any.version != VERSION {
            let found = any.version;
            let what = format!(
                "the supervisor's state has version {found}, and this program knows version {VERSION}"
            );
            return Err(Error::new(ExitCode::Usage, what));
        }
        serde_json::from_slice(text).map_err(unreadable)
    }

    /// The options that the mount began with, in words.
    pub fn options(&self) -> &str {
        &self.options
    }

    /// The same as bytes.
    pub fn write(&self) -> Result<Vec<u8>> {
        let failed = |error| Error::system("cannot write the state of the supervisor", error);
        message::encode(self).map_err(failed)
    }
}

impl Supervisor {
    /// What it knows, and its descriptors; with the worker, where the process goes on.
    pub fn save(&self, goes_on: bool) -> (Saved, Vec<(String, BorrowedFd<'_>)>) {
        let kept = &self.kept;
        let saved = Saved {
            version: VERSION,
            options: kept.options.clone(),
            anteroom: kept.layout == Layout::Anteroom,
            init: kept.init.clone(),
            answer: kept.answer.clone(),
            ready: self.first.clone().unwrap_or_default(),
            mounts: self.mounts.clone(),
            log: log::chosen().to_owned(),
            background: self.background,
            stored: self.stored,
            oom_score: self.oom_score,
            deaths: self.restarts.total,
            worker: goes_on
                .then(|| self.worker().as_ref().map(number_of))
                .flatten(),
            unreaped: match goes_on {
                true => self.unreaped.iter().map(number_of).collect(),
                false => Vec::new(),
            },
        };
        let mut descriptors = vec![
            ("device".to_owned(), kept.device.as_fd()),
            ("journal".to_owned(), kept.journal.as_fd()),
            ("slots".to_owned(), kept.slots.as_fd()),
        ];
        let exports = kept.exports.iter();
        descriptors.extend(exports.map(|exports| ("exports".to_owned(), exports.as_fd())));
        descriptors.extend(
            kept.data
                .iter()
                .map(|data| ("data".to_owned(), data.as_fd())),
        );
        let files = kept.files.iter();
        descriptors.extend(files.map(|(&number, file)| (name_of(number), file.as_fd())));
        if let (true, Some(worker)) = (goes_on, self.child()) {
            descriptors.push(("worker".to_owned(), worker.channel.as_fd()));
            let thread = worker.thread.iter();
            descriptors.extend(thread.map(|thread| ("thread".to_owned(), thread.as_fd())));
        }
        (saved, descriptors)
    }

    /// Whether all that must be kept is a handful of descriptors.
    pub fn is_small(&self) -> bool {
        self.kept.data.is_some()
    }

    /// Whether another worker can go on with what this one serves.
    pub fn is_saved(&self) -> bool {
        self.first.as_ref().is_some_and(|ready| ready.saved)
    }

    /// Whether there is still a connection to serve.
    pub fn is_live(&self) -> bool {
        !connection::has_ended(&self.kept.device)
    }

    /// Goes on with what another one saved.
    pub fn resume(saved: Saved, descriptors: &mut Descriptors) -> Result<Supervisor> {
        let phase = match saved.worker {
            Some(pid) => serving(pid, descriptors)?,
            None => Phase::Waiting {
                until: Instant::now(),
            },
        };
        let files: Vec<(u64, String)> = descriptors
            .keys()
            .filter_map(|name| Some((number_in(name)?, name.clone())))
            .collect();
        let files = files.into_iter();
        let files = files.filter_map(|(number, name)| Some((number, descriptors.remove(&name)?)));
        let kept = Kept {
            files: files.collect(),
            device: take(descriptors, "device")?,
            journal: take(descriptors, "journal")?,
            slots: take(descriptors, "slots")?,
            data: descriptors.remove("data"),
            exports: descriptors.remove("exports").map(Configuration::with),
            layout: if saved.anteroom {
                Layout::Anteroom
            } else {
                Layout::Direct
            },
            options: saved.options,
            init: saved.init,
            answer: saved.answer,
        };
        let unreaped = saved.unreaped.into_iter().filter_map(Pid::from_raw);
        let mut watch = Watch::default();
        if let Phase::Serving { .. } = &phase {
            watch.begin(&kept.slots);
        }
        let entrance = saved.ready.entrance.clone();
        let (door, inbox) = Door::new().map_err(unusable)?;
        door.set_deaths(saved.deaths);
        door.keep_exports(kept.exports.as_ref()).map_err(unusable)?;
        if let Phase::Serving { worker, .. } = &phase {
            door.open(&worker.channel).map_err(unusable)?;
        }
        Ok(Supervisor {
            kept,
            program: Program::of_this_process(),
            state: phase,
            entrance: entrance.and_then(|entrance| CString::new(entrance).ok()),
            first: Some(saved.ready),
            door: Arc::new(door),
            inbox,
            restarts: Restarts::after(saved.deaths),
            memory: Memory::look(),
            watch,
            hangs: None,
            stuck: None,
            unreaped: unreaped.collect(),
            oom_score: saved.oom_score,
            mounts: saved.mounts,
            background: saved.background,
            stored: saved.stored,
        })
    }
}

fn number_of(pid: &Pid) -> i32 {
    pid.as_raw_nonzero().get()
}

fn serving(pid: i32, descriptors: &mut Descriptors) -> Result<Phase> {
    let gone = || Error::new(ExitCode::Internal, "the worker has no number");
    let pid = Pid::from_raw(pid).ok_or_else(gone)?;
    let worker = Child {
        pid,
        pidfd: process::pidfd(pid).map_err(unusable)?,
        thread: descriptors.remove("thread"),
        channel: take(descriptors, "worker")?,
    };
    let since = Instant::now();
    Ok(Phase::Serving { worker, since })
}

fn take(descriptors: &mut Descriptors, name: &str) -> Result<OwnedFd> {
    let missing = || Error::new(ExitCode::Internal, format!("{name} was not handed over"));
    descriptors.remove(name).ok_or_else(missing)
}

fn unusable(error: std::io::Error) -> Error {
    Error::system("cannot go on with the mount", error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_version_is_refused() {
        let error = Saved::read(br#"{"version":7,"new":[]}"#).unwrap_err();
        assert!(error.to_string().contains("version 7"), "{error}");
        assert!(Saved::read(b"{}").is_err());
    }

    /// As the first release writes it: what comes later must be optional.
    #[test]
    fn version_1_stays_readable() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/supervisor-1.json");
        let text = std::fs::read(path).unwrap();
        let saved = Saved::read(&text).unwrap();
        assert_eq!(saved.options(), "rw,nosuid,nodev,size=64m,view=netbsd");
        assert_eq!(
            (saved.mounts.as_str(), saved.log.as_str()),
            ("44:0:39", "warn")
        );
        assert!(saved.anteroom && saved.background && !saved.stored);
        assert_eq!(
            (saved.init.len(), saved.deaths, saved.oom_score),
            (4, 3, Some(0))
        );
        assert_eq!(saved.answer.as_deref(), Some(&[80, 0, 0, 0][..]));
        assert_eq!((saved.worker, saved.unreaped.len()), (Some(1234), 0));
        assert_eq!(saved.ready.entrance.as_deref(), Some("tree-36bc041f"));
        assert!(saved.ready.passthrough && saved.ready.saved);
        // And nothing of it is lost on the way through this version.
        let written: serde_json::Value = serde_json::from_slice(&saved.write().unwrap()).unwrap();
        let mut before: serde_json::Value = serde_json::from_slice(&text).unwrap();
        before["unreaped"] = serde_json::json!([]);
        assert_eq!(written, before);
    }

    #[test]
    fn names_of_files_travel() {
        for number in [0, 7, u64::MAX] {
            assert_eq!(number_in(&name_of(number)), Some(number));
        }
        assert_eq!(number_in("device"), None);
    }
}
