//! Data files where no tmpfs of our own can be had: memfds, held open as long as the object lives.

use std::collections::HashMap;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use parking_lot::Mutex;
use rustix::fs::{MemfdFlags, Mode, OFlags, Stat, Timestamps};
use rustix::io;

use super::DataFile;
use crate::types::Ino;

/// Holds memfds besides this process, so that they outlive it.
pub trait Keeper: std::fmt::Debug + Send + Sync {
    /// Takes a copy of the data file of `ino`.
    fn keep(&self, ino: Ino, file: BorrowedFd<'_>) -> io::Result<()>;

    /// Gives up the data file of `ino`.
    fn give_up(&self, ino: Ino);
}

/// One descriptor for each data file: the limit on descriptors is the limit on objects.
#[derive(Debug, Default)]
pub struct Memfds {
    files: Mutex<HashMap<Ino, DataFile>>,
    keeper: Option<Box<dyn Keeper>>,
}

impl Memfds {
    /// Data files that `keeper` holds too: to begin with, those that it has.
    pub(super) fn kept(
        keeper: Box<dyn Keeper>,
        files: impl IntoIterator<Item = (Ino, OwnedFd)>,
    ) -> Memfds {
        let files = files.into_iter().map(|(ino, file)| (ino, Arc::new(file)));
        Memfds {
            files: Mutex::new(files.collect()),
            keeper: Some(keeper),
        }
    }

    pub(super) fn create(&self, ino: Ino) -> io::Result<DataFile> {
        let file = Arc::new(rustix::fs::memfd_create("shmfs", MemfdFlags::CLOEXEC)?);
        if let Some(keeper) = &self.keeper {
            keeper.keep(ino, file.as_fd())?;
        }
        self.files.lock().insert(ino, Arc::clone(&file));
        Ok(file)
    }

    pub(super) fn inos(&self) -> Vec<Ino> {
        self.files.lock().keys().copied().collect()
    }

    pub(super) fn open(&self, ino: Ino) -> io::Result<DataFile> {
        self.files.lock().get(&ino).cloned().ok_or(io::Errno::NOENT)
    }

    pub(super) fn open_noatime(&self, ino: Ino) -> io::Result<DataFile> {
        let path = format!("/proc/self/fd/{}", self.open(ino)?.as_raw_fd());
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOATIME;
        Ok(Arc::new(rustix::fs::open(path, flags, Mode::empty())?))
    }

    pub(super) fn stat(&self, ino: Ino) -> io::Result<Stat> {
        rustix::fs::fstat(self.open(ino)?)
    }

    pub(super) fn set_times(&self, ino: Ino, times: &Timestamps) -> io::Result<()> {
        rustix::fs::futimens(self.open(ino)?, times)
    }

    pub(super) fn touch_ctime(&self, ino: Ino) -> io::Result<()> {
        rustix::fs::fchmod(self.open(ino)?, Mode::from(0o600))
    }

    pub(super) fn remove(&self, ino: Ino) -> io::Result<()> {
        if let Some(keeper) = &self.keeper {
            keeper.give_up(ino);
        }
        self.files
            .lock()
            .remove(&ino)
            .map(drop)
            .ok_or(io::Errno::NOENT)
    }
}
