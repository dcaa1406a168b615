//! The clock by which the host kernel stamps data files, so that all times of one file system agree.
//!
//! Since Linux 6.13 tmpfs has multigrain times: a stamp is coarse unless the one before was looked at, and
//! never earlier than any fine stamp given before, by a floor that only the kernel knows. Times of our own
//! from clock_gettime(2) would run ahead of the coarse stamps of data files, and a write would seem older than the create
//! before it. So we ask the kernel for a fine stamp on a scratch file: it raises the floor. Only a fine one is
//! surely later than all that a program has seen: a coarse one may be what a data file showed a moment ago,
//! and a change would leave no trace in ctime.

use rustix::fs::{Timespec, Timestamps, UTIME_NOW};
use rustix::time::{ClockId, clock_gettime};

use super::{DataFile, DataFiles, DataStat};
use crate::errno::Result;
use crate::types::{Clock, Ino, Timestamp};

/// The clock's own file: no inode has this number.
pub const SCRATCH: Ino = Ino(0);

/// The clock of the data files' file system.
#[derive(Debug)]
pub struct KernelClock {
    scratch: DataFile,
}

impl KernelClock {
    /// The clock that stamps `files`.
    pub fn of(files: &DataFiles) -> Result<KernelClock> {
        Ok(KernelClock {
            scratch: files.create_anew(SCRATCH)?,
        })
    }

    /// A new stamp, later than the one before, which was looked at; fine unless the coarse clock has ticked or
    /// another file got a fine one since.
    fn stamp(&self) -> Option<Timestamp> {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let times = Timestamps {
            last_access: now,
            last_modification: now,
        };
        rustix::fs::futimens(&self.scratch, &times).ok()?;
        let stat = rustix::fs::fstat(&self.scratch).ok()?;
        Some(DataStat::from(stat).ctime)
    }
}

impl Clock for KernelClock {
    fn now(&self) -> Timestamp {
        let real = clock_gettime(ClockId::Realtime).into();
        match self.stamp() {
            Some(fine) if fine >= real => fine,
            // No earlier than anything shown so far; the next one is later.
            Some(coarse) => self.stamp().unwrap_or(coarse),
            // Neither call fails on a descriptor that we hold; a time is needed all the same.
            None => real,
        }
    }
}

impl From<Timespec> for Timestamp {
    fn from(time: Timespec) -> Timestamp {
        Timestamp {
            sec: time.tv_sec,
            nsec: time.tv_nsec as u32,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_forward_with_the_data_files() {
        let files = DataFiles::memfds();
        let clock = KernelClock::of(&files).unwrap();
        files.create(Ino(7)).unwrap();
        for _ in 0..100 {
            let before = clock.now();
            super::super::write(files.open(Ino(7)).unwrap(), b"x", 0).unwrap();
            let written = files.stat(Ino(7)).unwrap().mtime;
            assert!(before <= written && written <= clock.now());
        }
    }

    #[test]
    fn every_time_is_new_and_later_than_what_data_files_showed() {
        let files = DataFiles::memfds();
        let clock = KernelClock::of(&files).unwrap();
        files.create(Ino(7)).unwrap();
        for _ in 0..2000 {
            super::super::write(files.open(Ino(7)).unwrap(), b"x", 0).unwrap();
            let shown = files.stat(Ino(7)).unwrap().ctime;
            let now = clock.now();
            assert!(
                now > shown,
                "not with a kernel before 6.13: {shown:?} {now:?}"
            );
        }
    }
}
