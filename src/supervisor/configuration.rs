//! The exports in force, which outlive worker and supervisor: a file in memory.
//!
//! There is room for two configurations, and a mark that says which one holds. Who dies while he writes the
//! other one leaves the mark alone.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FallocateFlags, MemfdFlags, fallocate, memfd_create};
use rustix::io::{pread, pwrite};

use crate::export::Source;

/// Where the two are: the first page has the mark.
const PLACES: [u64; 2] = [4096, 1 << 32];

/// Such a file.
#[derive(Debug)]
pub struct Configuration {
    file: OwnedFd,
}

impl Configuration {
    /// A new one.
    pub fn new(source: &Source) -> io::Result<Configuration> {
        let file = memfd_create("shmfs-exports", MemfdFlags::CLOEXEC)?;
        let configuration = Configuration { file };
        configuration.replace(source)?;
        Ok(configuration)
    }

    /// One that another process has made.
    pub(super) fn with(file: OwnedFd) -> Configuration {
        Configuration { file }
    }

    /// The same file by another descriptor.
    pub(super) fn again(&self) -> io::Result<Configuration> {
        Ok(Configuration {
            file: self.file.try_clone()?,
        })
    }

    /// What holds.
    pub(super) fn source(&self) -> io::Result<Source> {
        let (place, length) = self.mark()?;
        let mut bytes = vec![0; length];
        let mut done = 0;
        while done < length {
            match pread(&self.file, &mut bytes[done..], place + done as u64)? {
                0 => return Err(torn()),
                count => done += count,
            }
        }
        Source::decode(&bytes).ok_or_else(torn)
    }

    /// Lets another one hold.
    pub(super) fn replace(&self, source: &Source) -> io::Result<()> {
        let [first, second] = PLACES;
        let old = self.mark().map_or(second, |(place, _)| place);
        let new = if old == first { second } else { first };
        let bytes = source.encode();
        let mut done = 0;
        while done < bytes.len() {
            done += pwrite(&self.file, &bytes[done..], new + done as u64)?;
        }
        let length = bytes.len() as u64;
        let mark = [new.to_le_bytes(), length.to_le_bytes()].concat();
        pwrite(&self.file, &mark, 0)?;
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(&self.file, hole, old, second - first)?;
        Ok(())
    }

    fn mark(&self) -> io::Result<(u64, usize)> {
        let mut mark = [0; 16];
        if pread(&self.file, &mut mark, 0)? != mark.len() {
            return Err(torn());
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&mark[at..at + 8]);
            u64::from_le_bytes(word)
        };
        let (place, length) = (word(0), word(8));
        if !PLACES.contains(&place) || length > PLACES[1] - PLACES[0] {
            return Err(torn());
        }
        Ok((place, length as usize))
    }
}

impl AsFd for Configuration {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

fn torn() -> io::Error {
    io::Error::other("no exports are in it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Source {
        Source {
            origin: "/etc/exports".into(),
            text: text.repeat(1000),
        }
    }

    #[test]
    fn another_process_reads_what_was_written() {
        let configuration = Configuration::new(&source("[export.a]\n")).unwrap();
        let other = configuration.again().unwrap();
        for text in ["[export.a]\n", "[export.b]\nread = []", "c"] {
            configuration.replace(&source(text)).unwrap();
            assert_eq!(other.source().unwrap(), source(text));
        }
    }

    #[test]
    fn what_is_half_written_does_not_hold() {
        let old = source("old");
        let configuration = Configuration::new(&old).unwrap();
        let [_, second] = PLACES;
        pwrite(&configuration, b"half of another", second).unwrap();
        assert_eq!(configuration.source().unwrap(), old);
        let empty = Configuration::with(memfd_create("empty", MemfdFlags::CLOEXEC).unwrap());
        assert!(empty.source().is_err());
    }
}
