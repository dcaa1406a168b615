//! The exports in force, which outlive a worker: a file in memory, that each one gets.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};

use crate::export::Source;

/// A configuration, and the file with it.
#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) source: Source,
    file: OwnedFd,
}

impl Configuration {
    pub(super) fn new(source: Source) -> io::Result<Configuration> {
        let mut file = File::from(memfd_create("shmfs-exports", MemfdFlags::CLOEXEC)?);
        file.write_all(&source.encode())?;
        Ok(Configuration {
            source,
            file: file.into(),
        })
    }

    /// The file, for another process.
    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Reads such a file.
    pub(super) fn read(file: OwnedFd) -> io::Result<Source> {
        let mut file = File::from(file);
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(0))?;
        file.read_to_end(&mut bytes)?;
        Source::decode(&bytes).ok_or_else(|| io::Error::other("no exports are in it"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_reads_what_was_written() {
        let source = Source {
            origin: "/etc/exports".into(),
            text: "[export.a]\nprivate = true\n".repeat(1000),
        };
        let configuration = Configuration::new(source.clone()).unwrap();
        for _ in 0..2 {
            let file = configuration.file().try_clone_to_owned().unwrap();
            assert_eq!(Configuration::read(file).unwrap(), source);
        }
    }
}
