//! The bytes of the objects: for each regular file one data file in the host kernel's shared memory.
//!
//! Data files live on a tmpfs that is mounted nowhere: one descriptor is all that leads to it, and its
//! `size=` is the file system's own, so that a store to a page over the limit is SIGBUS as on any
//! tmpfs. Where no such tmpfs can be had each data file is a memfd, and [`Reservation`] counts.

mod clock;
mod memfd;
mod reservation;
mod tmpfs;

use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{FallocateFlags, SeekFrom, Stat, Timestamps};
use rustix::io::Errno as OsErrno;

pub use self::clock::{KernelClock, SCRATCH};
pub use self::memfd::Keeper;
pub use self::reservation::{Reservation, pages};
use crate::errno::{Errno, Result};
use crate::sys::memory;
use crate::types::{Ino, InoSet, Timestamp};

/// An open data file.
pub type DataFile = Arc<OwnedFd>;

/// Bytes in a page: the unit of `size=`.
pub const PAGE_SIZE: u64 = 4096;

/// What a data file itself knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataStat {
    /// Bytes.
    pub size: u64,
    /// Units of 512 bytes.
    pub blocks: u64,
    /// Last read.
    pub atime: Timestamp,
    /// Last write.
    pub mtime: Timestamp,
    /// Last change of anything.
    pub ctime: Timestamp,
}

/// All data files.
#[derive(Debug)]
pub enum DataFiles {
    /// Files of a tmpfs that is mounted nowhere.
    Tmpfs(tmpfs::DetachedTmpfs),
    /// A memfd each.
    Memfds(memfd::Memfds),
}

impl DataFiles {
    /// Data files on the tmpfs whose root directory `root` is.
    pub fn on_tmpfs(root: OwnedFd) -> DataFiles {
        DataFiles::Tmpfs(tmpfs::DetachedTmpfs::new(root))
    }

    /// Data files that are memfds.
    pub fn memfds() -> DataFiles {
        DataFiles::Memfds(memfd::Memfds::default())
    }

    /// Data files that are memfds, which `keeper` holds too: to begin with, `files`.
    pub fn kept_memfds(
        keeper: Box<dyn Keeper>,
        files: impl IntoIterator<Item = (Ino, OwnedFd)>,
    ) -> DataFiles {
        DataFiles::Memfds(memfd::Memfds::kept(keeper, files))
    }

    /// Removes all data files but those of `known`, and the clock's; answers which of `known` have none.
    ///
    /// A process that was killed leaves some: of objects that were about to be, or to go.
    pub fn reconcile(&self, known: &InoSet) -> Result<Vec<Ino>> {
        let found = match self {
            DataFiles::Tmpfs(tmpfs) if tmpfs.count() == Some(known.len() + 1) => {
                // As many as there should be: those of `known`, each of which was made once and is removed by us
                // alone, and the clock's. To read all their names would take longer than all else.
                return Ok(Vec::new());
            }
            DataFiles::Tmpfs(tmpfs) => tmpfs.inos()?,
            DataFiles::Memfds(memfds) => memfds.inos(),
        };
        let mut missing = known.clone();
        for ino in found {
            if !missing.remove(&ino) && ino != SCRATCH {
                self.remove(ino);
            }
        }
        Ok(missing.into_iter().collect())
    }

    /// Whether the kernel itself keeps the limit of size.
    pub fn counts_itself(&self) -> bool {
        matches!(self, DataFiles::Tmpfs(_))
    }

    /// Makes the data file of `ino`, empty.
    pub fn create(&self, ino: Ino) -> Result<DataFile> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.create(ino),
            DataFiles::Memfds(memfds) => memfds.create(ino),
        }
        .map_err(lost)
    }

    /// Makes the data file of `ino`, also where a process before us left one.
    pub fn create_anew(&self, ino: Ino) -> Result<DataFile> {
        let removed = match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.remove(ino),
            DataFiles::Memfds(memfds) => memfds.remove(ino),
        };
        match removed {
            Ok(()) | Err(OsErrno::NOENT) => self.create(ino),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens the data file of `ino`, which exists.
    pub fn open(&self, ino: Ino) -> Result<DataFile> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.open(ino),
            DataFiles::Memfds(memfds) => memfds.open(ino),
        }
        .map_err(lost)
    }

    /// Opens the data file of `ino` so that reading moves no atime.
    pub fn open_noatime(&self, ino: Ino) -> Result<DataFile> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.open_noatime(ino),
            DataFiles::Memfds(memfds) => memfds.open_noatime(ino),
        }
        .map_err(lost)
    }

    /// Size and times of the data file of `ino`.
    pub fn stat(&self, ino: Ino) -> Result<DataStat> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.stat(ino),
            DataFiles::Memfds(memfds) => memfds.stat(ino),
        }
        .map(DataStat::from)
        .map_err(lost)
    }

    /// Sets times of the data file of `ino`; `None` leaves one alone.
    pub fn set_times(
        &self,
        ino: Ino,
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<()> {
        let times = Timestamps {
            last_access: timespec(atime),
            last_modification: timespec(mtime),
        };
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.set_times(ino, &times),
            DataFiles::Memfds(memfds) => memfds.set_times(ino, &times),
        }
        .map_err(lost)
    }

    /// Moves the ctime of the data file of `ino`, and nothing else.
    pub fn touch_ctime(&self, ino: Ino) -> Result<()> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.touch_ctime(ino),
            DataFiles::Memfds(memfds) => memfds.touch_ctime(ino),
        }
        .map_err(lost)
    }

    /// Takes the name of the data file of `ino` away: its pages go with the last mapping.
    pub fn remove(&self, ino: Ino) {
        let removed = match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.remove(ino),
            DataFiles::Memfds(memfds) => memfds.remove(ino),
        };
        if let Err(error) = removed {
            tracing::error!(?ino, %error, "cannot remove a data file");
        }
    }

    /// Pages in use; `None` where only [`Reservation`] knows.
    pub fn used_pages(&self) -> Option<u64> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.used_pages(),
            DataFiles::Memfds(_) => None,
        }
    }

    /// Changes the kernel's limit to `bytes`, 0 for none.
    pub fn set_size(&self, bytes: u64) -> Result<()> {
        match self {
            DataFiles::Tmpfs(tmpfs) => tmpfs.set_size(bytes).map_err(Errno::from),
            DataFiles::Memfds(_) => Ok(()),
        }
    }
}

/// An object's data file is always there: without it the object is damaged, not absent.
fn lost(error: OsErrno) -> Errno {
    match error {
        OsErrno::NOENT | OsErrno::EXIST => {
            tracing::error!(%error, "a data file is not as it should be");
            Errno::EIO
        }
        other => other.into(),
    }
}

impl From<Stat> for DataStat {
    // The fields of `stat` have other types on other machines.
    #[allow(clippy::unnecessary_cast)]
    fn from(stat: Stat) -> DataStat {
        let time = |sec: i64, nsec: u64| Timestamp {
            sec,
            nsec: nsec as u32,
        };
        DataStat {
            size: stat.st_size as u64,
            blocks: stat.st_blocks as u64,
            atime: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
            mtime: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
            ctime: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        }
    }
}

/// A time for `utimensat` to set, or to leave alone.
fn timespec(time: Option<Timestamp>) -> rustix::fs::Timespec {
    match time {
        Some(time) => rustix::fs::Timespec {
            tv_sec: time.sec,
            tv_nsec: i64::from(time.nsec),
        },
        None => rustix::fs::Timespec {
            tv_sec: 0,
            tv_nsec: rustix::fs::UTIME_OMIT,
        },
    }
}

/// Size and times of an open data file.
pub fn stat(file: impl AsFd) -> Result<DataStat> {
    Ok(rustix::fs::fstat(file)?.into())
}

/// Reads into the whole of `buffer` from `offset`; returns how much there was.
pub fn read(file: impl AsFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    in_parts(buffer.len(), |done| {
        rustix::io::pread(&file, &mut buffer[done..], offset + done as u64)
    })
}

/// Writes `bytes` at `offset`; returns how many found room.
pub fn write(file: impl AsFd, bytes: &[u8], offset: u64) -> Result<usize> {
    if memory::must_refuse() && !has_pages(&file, offset, bytes.len() as u64) {
        return Err(Errno::ENOMEM);
    }
    in_parts(bytes.len(), |done| {
        rustix::io::pwrite(&file, &bytes[done..], offset + done as u64)
    })
}

/// Goes on until `len` bytes are done, or no more can be; an error counts only before the first one.
fn in_parts(
    len: usize,
    mut go_on: impl FnMut(usize) -> std::result::Result<usize, OsErrno>,
) -> Result<usize> {
    let mut done = 0;
    while done < len {
        match go_on(done) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(OsErrno::INTR) => {}
            Err(error) if done == 0 => return Err(error.into()),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// Whether all of a range is there already.
fn has_pages(file: impl AsFd, offset: u64, len: u64) -> bool {
    let hole = rustix::fs::seek(file, SeekFrom::Hole(offset));
    hole.is_ok_and(|hole| hole >= offset.saturating_add(len))
}

/// Changes the size.
pub fn truncate(file: impl AsFd, size: u64) -> Result<()> {
    Ok(rustix::fs::ftruncate(file, size)?)
}

/// Allocates or frees room, as fallocate(2).
pub fn fallocate(file: impl AsFd, mode: FallocateFlags, offset: u64, len: u64) -> Result<()> {
    if memory::must_refuse() && !mode.contains(FallocateFlags::PUNCH_HOLE) {
        return Err(Errno::ENOMEM);
    }
    loop {
        match rustix::fs::fallocate(&file, mode, offset, len) {
            Err(OsErrno::INTR) => {}
            other => return Ok(other?),
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::mount::MountAttrFlags;

    use super::*;

    fn both() -> [DataFiles; 2] {
        let made = crate::sys::mount::make(c"tmpfs", &[], MountAttrFlags::empty());
        [
            DataFiles::on_tmpfs(made.expect("a tmpfs needs root")),
            DataFiles::memfds(),
        ]
    }

    #[test]
    fn what_belongs_to_nobody_goes() {
        for files in both() {
            for ino in [0, 1, 7, u64::MAX] {
                drop(files.create(Ino(ino)).unwrap());
            }
            let known = InoSet::from_iter([Ino(7)]);
            assert_eq!(files.reconcile(&known), Ok(vec![]));
            assert!(files.stat(Ino(7)).is_ok() && files.stat(Ino(1)).is_err());
            assert!(files.stat(SCRATCH).is_ok());
            assert_eq!(files.reconcile(&known), Ok(vec![]));
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        for files in both() {
            for ino in [0, 7] {
                drop(files.create(Ino(ino)).unwrap());
            }
            let known = InoSet::from_iter([Ino(7), Ino(8)]);
            assert_eq!(files.reconcile(&known), Ok(vec![Ino(8)]));
        }
    }

    #[test]
    fn a_tmpfs_tells_how_many() {
        let [DataFiles::Tmpfs(tmpfs), _] = both() else {
            panic!("the first one is a tmpfs");
        };
        for count in 0..100 {
            assert_eq!(tmpfs.count(), Some(count));
            drop(tmpfs.create(Ino(count as u64)).unwrap());
        }
    }
}
