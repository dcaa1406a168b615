//! What outlives a worker.

use std::collections::HashMap;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::MemfdFlags;

use super::configuration::Configuration;
use super::message::{self, Message};
use crate::error::{Error, Result};
use crate::export::Source;
use crate::fuse::{Layout, connection};
use crate::options::Options;

/// What outlives a worker.
#[derive(Debug)]
pub struct Kept {
    pub(super) device: OwnedFd,
    pub(super) data: Option<OwnedFd>,
    /// Without a tmpfs, each object's memory, by the object's number.
    pub(super) files: HashMap<u64, OwnedFd>,
    pub(super) layout: Layout,
    pub(super) options: String,
    pub(super) init: Vec<u8>,
    pub(super) answer: Option<Vec<u8>>,
    pub(super) journal: OwnedFd,
    pub(super) slots: OwnedFd,
    pub(super) exports: Option<Configuration>,
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
        Ok(Kept {
            device,
            data,
            files: HashMap::new(),
            layout,
            options: options.to_string(),
            init,
            answer: None,
            journal: anonymous(c"shmfs-journal")?,
            slots: anonymous(c"shmfs-slots")?,
            exports: None,
        })
    }

    /// Whether a worker has begun to serve, and wrote down what it served.
    pub(super) fn is_begun(&self) -> bool {
        let journal = rustix::fs::fstat(&self.journal);
        self.answer.is_some() && journal.is_ok_and(|found| found.st_size > 0)
    }

    /// The same with exports.
    pub fn with_exports(mut self, exports: Option<&Source>) -> Result<Kept> {
        let exports = exports.map(Configuration::new).transpose();
        self.exports = exports.map_err(|error| Error::system("cannot keep the exports", error))?;
        Ok(self)
    }

    /// Hands a new worker copies of all.
    pub(super) fn give(&self, channel: &OwnedFd) -> io::Result<()> {
        let descriptors = [
            ("device", Some(&self.device)),
            ("data", self.data.as_ref()),
            ("journal", Some(&self.journal)),
            ("slots", Some(&self.slots)),
        ];
        for (word, descriptor) in descriptors {
            if let Some(descriptor) = descriptor {
                message::send(channel, word, b"", Some(descriptor.as_fd()))?;
            }
        }
        for (number, file) in &self.files {
            message::send(channel, "file", &number.to_le_bytes(), Some(file.as_fd()))?;
        }
        if let Some(exports) = &self.exports {
            message::send(channel, "exports", b"", Some(exports.as_fd()))?;
        }
        message::send(channel, "init", &self.init, None)?;
        match &self.answer {
            Some(answer) => message::send(channel, "answer", answer, None),
            None => Ok(()),
        }
    }

    /// Holds an object's memory from now on, or gives it up.
    pub(super) fn hold(&mut self, message: Message) {
        let Ok(number) = message.bytes.as_slice().try_into() else {
            return;
        };
        let number = u64::from_le_bytes(number);
        drop(match message.descriptor {
            Some(file) => self.files.insert(number, file),
            None => self.files.remove(&number),
        });
    }
}

/// Memory that is only as long as what is written to it, and outlives who writes.
fn anonymous(name: &CStr) -> Result<OwnedFd> {
    rustix::fs::memfd_create(name, MemfdFlags::CLOEXEC)
        .map_err(|error| Error::system("cannot make memory for the saved state", error))
}
