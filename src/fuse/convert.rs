//! Our types and fuser's.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{FileAttr, FileType, INodeNo, RenameFlags, TimeOrNow};

use crate::data::PAGE_SIZE;
use crate::errno::{Errno, Result};
use crate::ops::{RenameMode, SetTime};
use crate::types::{Attr, Kind, Timestamp};

/// The errno for the kernel.
pub(super) fn errno(errno: Errno) -> fuser::Errno {
    fuser::Errno::from_i32(errno.raw())
}

pub(super) fn attr_of(id: INodeNo, attr: &Attr) -> FileAttr {
    FileAttr {
        ino: id,
        size: attr.size,
        blocks: attr.blocks,
        atime: time_of(attr.atime),
        mtime: time_of(attr.mtime),
        ctime: time_of(attr.ctime),
        crtime: time_of(attr.btime),
        kind: file_type(attr.mode),
        perm: (attr.mode & 0o7777) as u16,
        nlink: attr.nlink,
        uid: attr.uid,
        gid: attr.gid,
        rdev: attr.rdev,
        blksize: PAGE_SIZE as u32,
        flags: 0,
    }
}

/// The type in the mode `mode`, which is one of ours.
pub(super) fn file_type(mode: u32) -> FileType {
    match mode & libc::S_IFMT {
        libc::S_IFDIR => FileType::Directory,
        libc::S_IFLNK => FileType::Symlink,
        libc::S_IFIFO => FileType::NamedPipe,
        libc::S_IFSOCK => FileType::Socket,
        libc::S_IFCHR => FileType::CharDevice,
        libc::S_IFBLK => FileType::BlockDevice,
        _ => FileType::RegularFile,
    }
}

/// The type that mknod(2) asks for; mkdir(2) and symlink(2) have requests of their own.
pub(super) fn kind_of(mode: u32, rdev: u32) -> Result<Kind> {
    match mode & libc::S_IFMT {
        0 | libc::S_IFREG => Ok(Kind::Regular),
        libc::S_IFIFO => Ok(Kind::Fifo),
        libc::S_IFSOCK => Ok(Kind::Socket),
        libc::S_IFCHR => Ok(Kind::CharDevice(rdev)),
        libc::S_IFBLK => Ok(Kind::BlockDevice(rdev)),
        _ => Err(Errno::EINVAL),
    }
}

/// A time for fuser to send: it splits times before 1970 as `struct timespec` does.
pub(super) fn time_of(time: Timestamp) -> SystemTime {
    let whole = Duration::from_secs(time.sec.unsigned_abs());
    let second = if time.sec < 0 {
        UNIX_EPOCH.checked_sub(whole)
    } else {
        UNIX_EPOCH.checked_add(whole)
    };
    second
        .and_then(|second| second.checked_add(Duration::from_nanos(time.nsec.into())))
        .unwrap_or(UNIX_EPOCH)
}

/// A time that fuser read. It takes the nanoseconds of a time before 1970 for further into the past, where
/// the kernel counts them forward from the second: -2 s and 3 ns comes as 2.000000003 s before 1970.
fn timestamp_of(time: SystemTime) -> Timestamp {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timestamp {
            sec: after.as_secs() as i64,
            nsec: after.subsec_nanos(),
        },
        Err(error) => {
            let before = error.duration();
            Timestamp {
                sec: (before.as_secs() as i64).wrapping_neg(),
                nsec: before.subsec_nanos(),
            }
        }
    }
}

pub(super) fn set_time(time: TimeOrNow) -> SetTime {
    match time {
        TimeOrNow::Now => SetTime::Now,
        TimeOrNow::SpecificTime(time) => SetTime::At(timestamp_of(time)),
    }
}

pub(super) fn rename_mode(flags: RenameFlags) -> Result<RenameMode> {
    const NOREPLACE: u32 = libc::RENAME_NOREPLACE;
    const EXCHANGE: u32 = libc::RENAME_EXCHANGE;
    const WHITEOUT: u32 = libc::RENAME_WHITEOUT;
    const BOTH: u32 = NOREPLACE | WHITEOUT;
    match flags.bits() {
        0 => Ok(RenameMode::Replace),
        NOREPLACE => Ok(RenameMode::NoReplace),
        EXCHANGE => Ok(RenameMode::Exchange),
        WHITEOUT => Ok(RenameMode::Whiteout(false)),
        BOTH => Ok(RenameMode::Whiteout(true)),
        _ => Err(Errno::EINVAL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_1970_come_and_go() {
        // What fuser makes of the kernel's -2 s, 500,000,000 ns.
        let read = UNIX_EPOCH - Duration::new(2, 500_000_000);
        let time = timestamp_of(read);
        assert_eq!(
            time,
            Timestamp {
                sec: -2,
                nsec: 500_000_000
            }
        );
        // What fuser splits again into -2 s, 500,000,000 ns.
        assert_eq!(time_of(time), UNIX_EPOCH - Duration::new(1, 500_000_000));
    }

    #[test]
    fn absurd_times_do_no_harm() {
        for sec in [i64::MIN, i64::MAX] {
            for nsec in [0, 999_999_999] {
                time_of(Timestamp { sec, nsec });
            }
        }
        let earliest = Timestamp {
            sec: i64::MIN,
            nsec: 0,
        };
        assert_eq!(
            timestamp_of(UNIX_EPOCH - Duration::new(1 << 63, 0)),
            earliest
        );
    }

    #[test]
    fn rename_flags_that_go_together() {
        let mode = |bits| rename_mode(RenameFlags::from_bits_retain(bits));
        assert_eq!(mode(0), Ok(RenameMode::Replace));
        assert_eq!(mode(5), Ok(RenameMode::Whiteout(true)));
        assert_eq!(mode(3), Err(Errno::EINVAL));
        assert_eq!(mode(8), Err(Errno::EINVAL));
    }
}
