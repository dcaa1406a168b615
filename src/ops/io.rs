//! read, write, fallocate, lseek, copy_file_range, readlink.

use rustix::fs::{FallocateFlags, SeekFrom};

use super::Fs;
use super::access::{self, Caller};
use super::growth::{Growth, Outcome};
use crate::data::{self, pages};
use crate::errno::{Errno, Result};
use crate::options::Atime;
use crate::store::change::{Attributes, InodeChange};
use crate::store::record::Answer;
use crate::store::xattr::Xattrs;
use crate::store::{Inode, State};
use crate::types::{Ino, Kind, Timestamp};

/// What a write request says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteFlags {
    /// It comes from the page cache, some time after the store.
    pub from_cache: bool,
    /// Set-user-ID and set-group-ID must go.
    pub kill_privileges: bool,
    /// It is to be at the end of the file, of which the kernel may know as several nodes.
    pub append: bool,
}

/// `XATTR_NAME_CAPS`.
pub(super) const CAPABILITY: &[u8] = b"security.capability";

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
        if bytes.is_empty() {
            return Ok(0);
        }
        let (offset, _turn) = match flags.append && self.exports.is_active() {
            true => {
                let (end, turn) = self.end_of(&inode)?;
                (end, Some(turn))
            }
            false => (offset, None),
        };
        let growth = self.prepare_write(caller, &inode, offset, bytes.len() as u64, flags)?;
        let fits = &bytes[..(growth.end - offset) as usize];
        let written = data::write(&growth.file, fits, offset);
        let mut state = inode.state();
        let outcome = outcome_of(&written, fits.len());
        self.end(ino, &mut state, growth.change, outcome)?;
        // Set by a program before or while this write came from the cache: it is the later change.
        if state.data.mtime_set {
            self.files.set_times(ino, None, Some(state.mtime))?;
        }
        if flags.kill_privileges {
            self.kill_privileges(caller, &inode, &mut state);
        }
        if !flags.from_cache && written.is_ok() {
            self.kill_capability(&inode, &mut state);
        }
        written
    }

    fn prepare_write(
        &self,
        caller: &Caller,
        inode: &Inode,
        offset: u64,
        len: u64,
        flags: WriteFlags,
    ) -> Result<Growth> {
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        let mut state = inode.state();
        if !state.data.present {
            self.may_add()?;
        }
        let growth = self.grow(caller, inode, &mut state, offset, end)?;
        state.data.mtime_set &= flags.from_cache;
        Ok(growth)
    }

    fn kill_privileges(&self, caller: &Caller, inode: &Inode, state: &mut State) {
        let mode = access::without_privileges(caller, state);
        if mode != state.mode {
            let ctime = Some(self.clock.now());
            let change = Attributes {
                mode: Some(mode),
                ctime,
                ..Attributes::default()
            };
            let change = InodeChange::Attributes(change);
            self.superblock
                .commit_inode(inode, state, change, Answer::Unfinished);
        }
    }

    /// File capabilities go with the contents, whoever writes (`cap_inode_killpriv`): the kernel does that itself
    /// but for direct I/O, which it leaves to `FUSE_HANDLE_KILLPRIV_V2`.
    fn kill_capability(&self, inode: &Inode, state: &mut State) {
        let has_one = |xattrs: &Xattrs| xattrs.get(CAPABILITY).is_some();
        if state.xattrs.as_deref().is_some_and(has_one) {
            let change = InodeChange::Xattr {
                name: CAPABILITY,
                value: None,
                now: self.clock.now(),
            };
            self.superblock
                .commit_inode(inode, state, change, Answer::Unfinished);
        }
    }

    /// Allocates or frees room (`shmem_fallocate`, which the data file's kernel carries out).
    pub fn fallocate(
        &self,
        caller: &Caller,
        ino: Ino,
        mode: u32,
        offset: u64,
        len: u64,
    ) -> Result<()> {
        let inode = self.regular(ino)?;
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        let flags = FallocateFlags::from_bits_retain(mode);
        let punches = flags == FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        if !(punches || flags.is_empty() || flags == FallocateFlags::KEEP_SIZE) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        match punches {
            true => self.may_free()?,
            false => self.may_add()?,
        }
        let (file, change, reserved) = {
            let mut state = inode.state();
            self.make_present(&inode, &mut state)?;
            let file = self.file(ino, &mut state)?;
            let change = self.begin(ino, &state);
            if !punches {
                if let Err(errno) = self.reserve(caller, &mut state, end) {
                    self.end(ino, &mut state, change, Outcome::Failed)?;
                    return Err(errno);
                }
            }
            state.data.mtime_set = false;
            (file, change, state.data.reserved)
        };
        let done = data::fallocate(&file, flags, offset, len);
        let outcome = match done {
            Ok(()) if !punches => Outcome::Allocated(pages(end)),
            // A hole below the size can fill again without a request.
            Ok(()) if pages(end) >= reserved => Outcome::Cut(pages(offset)),
            Ok(()) => Outcome::Grown,
            Err(_) => Outcome::Failed,
        };
        let mut state = inode.state();
        let ended = self.end(ino, &mut state, change, outcome);
        // What was promised beyond the size nobody could tell from the file.
        self.superblock
            .commit_inode(&inode, &mut state, InodeChange::Data, answer_of(&done));
        ended?;
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
    pub fn copy_file_range(
        &self,
        caller: &Caller,
        from: (Ino, u64),
        to: (Ino, u64),
        len: u64,
    ) -> Result<usize> {
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
        self.may_add()?;
        let len = self.planned().unwrap_or(len);
        if from.0 == to.0 {
            // The copy may move the end up to which there is something to copy.
            self.plan(&source, &mut source.state(), len);
        }
        let end = to.1.checked_add(len).ok_or(Errno::EFBIG)?;
        let growth = {
            let mut state = target.state();
            let growth = self.grow(caller, &target, &mut state, to.1, end)?;
            state.data.mtime_set = false;
            growth
        };
        let len = (growth.end - to.1) as usize;
        let (mut at, mut into) = (from.1, to.1);
        let copied = rustix::fs::copy_file_range(
            &source_file,
            Some(&mut at),
            &growth.file,
            Some(&mut into),
            len,
        );
        let outcome = outcome_of(&copied, len);
        self.end(to.0, &mut target.state(), growth.change, outcome)?;
        Ok(copied?)
    }

    /// The target of a symbolic link.
    pub fn readlink(&self, ino: Ino) -> Result<Vec<u8>> {
        let inode = self.superblock.inode(ino)?;
        let Kind::Symlink(target) = &inode.kind else {
            return Err(Errno::EINVAL);
        };
        self.touch_atime(&inode, &mut inode.state());
        Ok(target.to_vec())
    }

    /// When reading moves the access time of a directory.
    pub(super) fn directory_atime(&self) -> Atime {
        match self.config.nodiratime {
            true => Atime::Never,
            false => self.config.atime,
        }
    }

    /// A directory or symlink was read (`touch_atime`, `relatime_need_update`).
    pub(super) fn touch_atime(&self, inode: &Inode, state: &mut State) {
        let policy = if inode.kind.is_dir() {
            self.directory_atime()
        } else {
            self.config.atime
        };
        if policy == Atime::Never || self.must_save() {
            return;
        }
        let now = self.clock.now();
        let times = (state.atime, state.mtime, state.ctime);
        if policy == Atime::Relative && !is_stale(times, now) {
            return;
        }
        let change = Attributes {
            atime: Some(now),
            ..Attributes::default()
        };
        let change = InodeChange::Attributes(change);
        self.superblock
            .commit_inode(inode, state, change, Answer::Unfinished);
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

/// What a request has come to that may have failed.
fn answer_of(done: &Result<()>) -> Answer {
    match done {
        Ok(()) => Answer::Done,
        Err(_) => Answer::Unfinished,
    }
}

/// What came of writing `wanted` bytes.
fn outcome_of<E>(written: &std::result::Result<usize, E>, wanted: usize) -> Outcome {
    match written {
        Ok(count) if *count == wanted => Outcome::Grown,
        Ok(_) | Err(_) => Outcome::Failed,
    }
}

const DAY: i64 = 24 * 60 * 60;

/// Whether an access time is worth moving: not later than the last change, or a day old.
pub(super) fn is_stale(
    (atime, mtime, ctime): (Timestamp, Timestamp, Timestamp),
    now: Timestamp,
) -> bool {
    atime <= mtime || atime <= ctime || now.sec - atime.sec >= DAY
}
