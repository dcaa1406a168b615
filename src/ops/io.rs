//! read, write, fallocate, lseek, copy_file_range, readlink.

use rustix::fs::{FallocateFlags, SeekFrom};

use super::Fs;
use super::access::{self, Caller};
use crate::data::{self, DataFile};
use crate::errno::{Errno, Result};
use crate::options::Atime;
use crate::store::change::{Attributes, InodeChange};
use crate::store::{Inode, State};
use crate::types::{Ino, Kind, Timestamp};

/// What a write request says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// It comes from the page cache, some time after the store.
    pub from_cache: bool,
    /// Set-user-ID and set-group-ID must go.
    pub kill_privileges: bool,
}

/// copy_file_range(2) may copy less than asked; a request of this size is done soon.
const COPY_STEP: u64 = 64 << 20;

impl Fs {
    /// Reads from `offset` into `buffer`; returns how much there was. With `noatime` that moves no atime.
    pub fn read(&self, ino: Ino, offset: u64, buffer: &mut [u8], noatime: bool) -> Result<usize> {
        let inode = self.regular(ino)?;
        let file = {
            let mut state = inode.state();
            if !state.data.present {
                return Ok(0);
            }
            if noatime {
                self.files.open_noatime(ino)?
            } else {
                self.file(ino, &mut state)?
            }
        };
        data::read(&file, buffer, offset)
    }

    /// Writes `bytes` at `offset`; returns how many found room.
    pub fn write(
        &self,
        caller: &Caller,
        ino: Ino,
        offset: u64,
        bytes: &[u8],
        flags: WriteFlags,
    ) -> Result<usize> {
        let inode = self.regular(ino)?;
        let (file, end, mtime) = self.prepare_write(&inode, offset, bytes.len() as u64, flags)?;
        let fits = &bytes[..(end - offset) as usize];
        let written = data::write(&file, fits, offset);
        let mut state = inode.state();
        if mtime.is_some() {
            self.files.set_times(ino, None, mtime)?;
        }
        if written != Ok(bytes.len()) {
            self.settle(ino, &mut state)?;
        }
        if flags.kill_privileges {
            self.kill_privileges(caller, &mut state);
        }
        written
    }

    /// The file to write to, the end of what finds room, and the mtime to give back afterwards.
    fn prepare_write(
        &self,
        inode: &Inode,
        offset: u64,
        len: u64,
        flags: WriteFlags,
    ) -> Result<(DataFile, u64, Option<Timestamp>)> {
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let mut state = inode.state();
        self.make_present(inode.ino, &mut state)?;
        let end = self.reserve_some(&mut state, offset, end)?;
        state.data.mtime_set &= flags.from_cache;
        let mtime = match state.data.mtime_set {
            true => Some(self.files.stat(inode.ino)?.mtime),
            false => None,
        };
        Ok((self.file(inode.ino, &mut state)?, end, mtime))
    }

    fn kill_privileges(&self, caller: &Caller, state: &mut State) {
        let mode = access::without_privileges(caller, state);
        if mode != state.mode {
            let ctime = Some(self.clock.now());
            let change = Attributes {
                mode: Some(mode),
                ctime,
                ..Attributes::default()
            };
            self.superblock
                .commit_inode(state, InodeChange::Attributes(change));
        }
    }

    /// Allocates or frees room (`shmem_fallocate`, which the data file's kernel carries out).
    pub fn fallocate(&self, ino: Ino, mode: u32, offset: u64, len: u64) -> Result<()> {
        let inode = self.regular(ino)?;
        let flags = FallocateFlags::from_bits(mode).ok_or(Errno::EOPNOTSUPP)?;
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let file = {
            let mut state = inode.state();
            self.make_present(ino, &mut state)?;
            if !flags.contains(FallocateFlags::PUNCH_HOLE) {
                self.reserve(&mut state, end)?;
            }
            state.data.mtime_set = false;
            self.file(ino, &mut state)?
        };
        let done = data::fallocate(&file, flags, offset, len);
        self.settle(ino, &mut inode.state())?;
        done
    }

    /// Finds data or a hole (`SEEK_DATA`, `SEEK_HOLE`).
    pub fn lseek(&self, ino: Ino, offset: i64, whence: i32) -> Result<u64> {
        let inode = self.regular(ino)?;
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let target = match whence {
            libc::SEEK_DATA => SeekFrom::Data(offset),
            libc::SEEK_HOLE => SeekFrom::Hole(offset),
            _ => return Err(Errno::EINVAL),
        };
        let file = {
            let mut state = inode.state();
            if !state.data.present {
                return Err(Errno::ENXIO);
            }
            self.file(ino, &mut state)?
        };
        Ok(rustix::fs::seek(&file, target)?)
    }

    /// Copies between files, as much as is done soon.
    pub fn copy_file_range(&self, from: (Ino, u64), to: (Ino, u64), len: u64) -> Result<usize> {
        let (source, target) = (self.regular(from.0)?, self.regular(to.0)?);
        let (source_file, size) = {
            let mut state = source.state();
            if !state.data.present {
                return Ok(0);
            }
            (
                self.file(from.0, &mut state)?,
                self.files.stat(from.0)?.size,
            )
        };
        let len = len.min(COPY_STEP).min(size.saturating_sub(from.1));
        if len == 0 {
            return Ok(0);
        }
        let end = to.1.checked_add(len).ok_or(Errno::EFBIG)?;
        let (file, end) = {
            let mut state = target.state();
            self.make_present(to.0, &mut state)?;
            state.data.mtime_set = false;
            let end = self.reserve_some(&mut state, to.1, end)?;
            (self.file(to.0, &mut state)?, end)
        };
        let (mut at, mut into) = (from.1, to.1);
        let copied = rustix::fs::copy_file_range(
            &source_file,
            Some(&mut at),
            &file,
            Some(&mut into),
            (end - to.1) as usize,
        );
        self.settle(to.0, &mut target.state())?;
        Ok(copied?)
    }

    /// The target of a symbolic link.
    pub fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        let inode = self.superblock.inode(ino)?;
        let Kind::Symlink(target) = &inode.kind else {
            return Err(Errno::EINVAL);
        };
        self.touch_atime(&mut inode.state(), false);
        Ok(target.to_vec())
    }

    /// A directory or symlink was read (`touch_atime`, `relatime_need_update`).
    pub(super) fn touch_atime(&self, state: &mut State, directory: bool) {
        let policy = if directory && self.config.nodiratime {
            Atime::Never
        } else {
            self.config.atime
        };
        if policy == Atime::Never {
            return;
        }
        let now = self.clock.now();
        if policy == Atime::Relative && !is_stale(state, now) {
            return;
        }
        let change = Attributes {
            atime: Some(now),
            ..Attributes::default()
        };
        self.superblock
            .commit_inode(state, InodeChange::Attributes(change));
    }

    fn regular(&self, ino: Ino) -> Result<std::sync::Arc<Inode>> {
        let inode = self.superblock.inode(ino)?;
        match inode.kind {
            Kind::Regular => Ok(inode),
            Kind::Directory => Err(Errno::EISDIR),
            Kind::Symlink(_)
            | Kind::Fifo
            | Kind::Socket
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_) => Err(Errno::EINVAL),
        }
    }
}

const DAY: i64 = 24 * 60 * 60;

/// Whether an access time is worth moving: not later than the last change, or a day old.
fn is_stale(state: &State, now: Timestamp) -> bool {
    state.atime <= state.mtime || state.atime <= state.ctime || now.sec - state.atime.sec >= DAY
}
