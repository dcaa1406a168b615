//! What supervisor and worker say to each other: a word, bytes that belong to it, at most one descriptor.
//!
//! | to the worker | with | |
//! |---|---|---|
//! | `device`, `data` | a descriptor | what it serves on; one message each |
//! | `file` | a number, a descriptor | an object's memory, where there is no tmpfs |
//! | `journal`, `slots` | a descriptor | what it saves its state in; empty for the first worker |
//! | `init`, `answer` | bytes | the kernel's INIT; the answer, once the kernel has one |
//! | `exports` | a descriptor | a file with the exports: to begin with, or for the next question |
//! | `start` | [`Start`] | it has got everything |
//! | `check` | | it shall say whether it could go on with `journal`, and end |
//! | `answered` | | the kernel has the answer to its INIT |
//! | `mounts` | text | what to take away should the supervisor die, in the words of `mount` |
//! | `memory` | a number | there is memory; it shall hold so many bytes of it |
//! | `finish` | | it shall finish what it has in hand, and begin nothing more |
//! | `background` | | there is no terminal any more |
//! | `ask` | a line, a socket | a question of the control socket, to be answered there |
//!
//! | to the supervisor | with | |
//! |---|---|---|
//! | `answer` | bytes | the answer to INIT, for the kernel |
//! | `file`, `gone` | a number, a descriptor | an object's memory to hold; one to give up |
//! | `ready` | [`Ready`] | it serves |
//! | `finished` | | it has nothing in hand that it has begun |
//! | `fine` | | it could go on |
//! | `failed` | an encoded [`Error`](crate::error::Error) | it cannot serve now |
//! | `refused` | the same | nobody can go on with the saved state |
//!
//! The two may be of different versions: a word that one of them does not know is passed over.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fuse::Layout;
use crate::sys::channel;

/// How long a worker may take to finish what it has in hand. Programs wait meanwhile.
pub(super) const FINISHING: Duration = Duration::from_secs(1);

/// One message.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) word: String,
    pub(super) bytes: Vec<u8>,
    pub(super) descriptor: Option<OwnedFd>,
}

/// Sends `word` and what belongs to it.
pub(super) fn send(
    socket: impl AsFd,
    word: &str,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> io::Result<()> {
    channel::send(
        socket,
        &[word.as_bytes(), b"\n", bytes].concat(),
        descriptor,
    )
}

/// Waits for the next message; `None` at the end of the channel.
pub(super) fn receive(socket: impl AsFd) -> io::Result<Option<Message>> {
    let message = channel::receive(socket)?;
    let Some(end) = message.bytes.iter().position(|&byte| byte == b'\n') else {
        return Ok(None);
    };
    Ok(Some(Message {
        word: String::from_utf8_lossy(&message.bytes[..end]).into_owned(),
        bytes: message.bytes[end + 1..].to_vec(),
        descriptor: message.descriptor,
    }))
}

/// What a worker starts with, besides descriptors.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Start {
    /// The mount options, as a list that means them.
    pub(super) options: String,
    /// Node 1 is an anteroom.
    pub(super) anteroom: bool,
    /// What goes to the log.
    pub(super) log: String,
    /// There is no terminal.
    pub(super) background: bool,
    /// The score of the first process for the kernel's choice of whom to kill (proc_pid_oom_score_adj(5)).
    pub(super) oom_score: Option<i32>,
    /// Memory is short.
    #[serde(default)]
    pub(super) short: bool,
}

impl Start {
    pub(super) fn layout(&self) -> Layout {
        if self.anteroom {
            Layout::Anteroom
        } else {
            Layout::Direct
        }
    }
}

/// What a worker says of the file system that it serves.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ready {
    /// The name of the tree in the anteroom.
    pub(super) entrance: Option<String>,
    /// Data goes by passthrough.
    pub(super) passthrough: bool,
    /// Its state is saved: another worker can go on with it.
    #[serde(default)]
    pub(super) saved: bool,
    /// The program's version.
    #[serde(default)]
    pub(super) version: String,
    /// A thread of the worker's that waits for nothing but the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) thread: Option<i32>,
}

/// A value as the bytes of a message.
pub(super) fn encode(value: &impl Serialize) -> io::Result<Vec<u8>> {
    serde_json::to_vec(value).map_err(io::Error::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_travel() {
        let (ours, theirs) = channel::pair().unwrap();
        send(&ours, "init", b"a\nb\0", Some(ours.as_fd())).unwrap();
        send(&ours, "answered", b"", None).unwrap();
        drop(ours);
        let first = receive(&theirs).unwrap().unwrap();
        assert_eq!(
            (first.word.as_str(), first.bytes.as_slice()),
            ("init", &b"a\nb\0"[..])
        );
        assert!(first.descriptor.is_some());
        drop(first);
        let second = receive(&theirs).unwrap().unwrap();
        assert_eq!((second.word.as_str(), second.bytes.len()), ("answered", 0));
        assert!(receive(&theirs).unwrap().is_none());
    }
}
