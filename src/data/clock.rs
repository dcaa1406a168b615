//! The clock by which the host kernel stamps data files, so that all times of one file system agree.
//!
//! Since Linux 6.13 tmpfs has multigrain times: a stamp is coarse unless the one before was looked at, and
//! never earlier than any fine stamp given before, by a floor that only the kernel knows. Times of our own
//! from clock_gettime(2) would run ahead of the coarse stamps of data files, and a write would seem older than the create
//! before it. So we ask the kernel for a fine stamp on a scratch file: it raises the floor.

use rustix::fs::{Timespec, Timestamps, UTIME_NOW};

use super::{DataFile, DataFiles, DataStat};
use crate::errno::Result;
use crate::types::{Clock, Ino, Timestamp};

/// No inode has this number.
const SCRATCH: Ino = Ino(0);

/// The clock of the data files' file system.
#[derive(Debug)]
pub struct KernelClock {
    scratch: DataFile,
}

impl KernelClock {
    /// The clock that stamps `files`.
    pub fn of(files: &DataFiles) -> Result<KernelClock> {
        Ok(KernelClock {
            scratch: files.create(SCRATCH)?,
        })
    }
}

impl Clock for KernelClock {
    fn now(&self) -> Timestamp {
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_NOW,
        };
        let touched = rustix::fs::futimens(
            &self.scratch,
            &Timestamps {
                last_access: now,
                last_modification: now,
            },
        );
        match touched.and_then(|()| rustix::fs::fstat(&self.scratch)) {
            Ok(stat) => DataStat::from(stat).ctime,
            Err(_) => realtime(),
        }
    }
}

/// Neither call above fails on a descriptor that we hold; a time is needed all the same.
fn realtime() -> Timestamp {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
    Timestamp {
        sec: now.tv_sec,
        nsec: now.tv_nsec as u32,
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
}
