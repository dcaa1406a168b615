//! An inode and its data file: made when it is needed, open while it is used, freed at the end.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::Fs;
use crate::data::{self, DataFile, DataStat, pages};
use crate::errno::{Errno, Result};
use crate::slots::Flag;
use crate::store::{DataState, Identity, Inode, State};
use crate::sys::memory;
use crate::types::{Ino, Kind, Timestamp};

/// The kernel's side of passthrough.
pub trait Backing: Send + Sync + fmt::Debug {
    /// Registers a data file; the answer is its backing id, never 0.
    fn register(&self, file: BorrowedFd<'_>) -> Result<u32>;
    /// Takes a registration back.
    fn unregister(&self, id: u32);
}

/// How data travels between programs and data files.
#[derive(Debug)]
pub enum DataMode {
    /// Through the kernel's page cache and requests to us.
    PageCache,
    /// Inside the kernel.
    Passthrough(Box<dyn Backing>),
}

/// How an open file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The backing id that each open of the inode must name; `None` without passthrough.
    pub backing: Option<u32>,
    /// `read` and `write` come to us also with passthrough, so that growth is counted.
    pub counted: bool,
    /// From now on attributes change without a request: what the kernel keeps of them is stale.
    pub newly_exposed: bool,
}

/// Registrations kept for files that nobody has open: each holds a file of the kernel's.
const IDLE_REGISTRATIONS: usize = 65536;
/// Inodes to be evicted before their memory is given back to the system: some 10 MiB, in some milliseconds.
const GIVE_BACK_AFTER: usize = 1 << 16;
/// Data files kept open for their handles; others are opened for each request.
const HELD_OPEN: usize = 4096;

impl Fs {
    /// Says how data travels, once, before the first request.
    pub fn set_data_mode(&self, mode: DataMode) {
        if self.mode.set(mode).is_err() {
            tracing::error!("the data mode is chosen already");
        }
    }

    /// Whether data goes through the kernel alone.
    pub fn is_passthrough(&self) -> bool {
        self.backing().is_some()
    }

    /// Hands a data file to `use_file` and removes it again.
    pub fn with_scratch_file<T>(
        &self,
        ino: Ino,
        use_file: impl FnOnce(&DataFile) -> T,
    ) -> Result<T> {
        let result = use_file(&self.files.create(ino)?);
        self.files.remove(ino);
        Ok(result)
    }

    fn backing(&self) -> Option<&dyn Backing> {
        match self.mode.get() {
            Some(DataMode::Passthrough(backing)) => Some(backing.as_ref()),
            Some(DataMode::PageCache) | None => None,
        }
    }

    /// Whether growing objects take their logical size from the reservation.
    pub(super) fn reserves(&self) -> bool {
        self.config.reserve || !self.is_passthrough()
    }

    /// Opens a regular file.
    pub fn open(&self, ino: Ino, writable: bool) -> Result<Opened> {
        let inode = self.superblock.inode(ino)?;
        match inode.kind {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::EISDIR),
            Kind::Symlink(_) => return Err(Errno::ELOOP),
            Kind::Fifo | Kind::Socket | Kind::CharDevice(_) | Kind::BlockDevice(_) => {
                return Err(Errno::ENXIO);
            }
        }
        let mut state = inode.state();
        let exposed_before = state.data.is_exposed();
        if self.is_passthrough() {
            self.make_present(ino, &mut state)?;
            self.register(ino, &mut state.data)?;
            if writable {
                state.data.cell.set(Flag::Exposed, true);
            }
        } else if writable && state.data.nopen() == 0 {
            // Whatever was mapped before has been written back: RELEASE comes after the last munmap.
            state.data.mtime_set = false;
        }
        state.data.cell.open_one();
        if writable {
            state.data.cell.set(Flag::Writer, true);
        }
        self.leaving.remove(&mut state);
        let newly_exposed = state.data.is_exposed() && !exposed_before;
        Ok(Opened {
            newly_exposed,
            ..self.opened(&state.data)
        })
    }

    pub(super) fn opened(&self, data: &DataState) -> Opened {
        Opened {
            backing: (data.backing() != 0).then_some(data.backing()),
            counted: self.config.reserve,
            newly_exposed: false,
        }
    }

    /// Closes a handle.
    pub fn release(&self, ino: Ino) {
        let Ok(inode) = self.superblock.inode(ino) else {
            tracing::error!(?ino, "the kernel releases an inode that is not there");
            return;
        };
        let orphan = {
            let mut state = inode.state();
            debug_assert!(state.data.nopen() > 0, "released more often than opened");
            state.data.cell.close_one();
            if state.data.nopen() > 0 {
                return;
            }
            state.data.cell.set(Flag::Writer, false);
            self.drop_file(&mut state.data);
            if self.registered.load(Ordering::Relaxed) > IDLE_REGISTRATIONS {
                self.unregister(&mut state.data);
            }
            state.is_orphan()
        };
        if orphan {
            self.evict_if_unused(&inode);
        }
    }

    /// A data file for an inode that is about to be made and opened.
    pub(super) fn new_open_file(&self, new: &Identity, writable: bool) -> Result<DataState> {
        let ino = new.ino;
        let mut data = DataState::new(new.slot.cell());
        data.cell.open_new();
        data.cell.set(Flag::Writer, writable);
        if self.is_passthrough() {
            let file = self.files.create(ino)?;
            data.present = true;
            data.cell.set(Flag::Exposed, writable);
            if let Err(errno) = self.register_file(&file, &mut data) {
                self.discard(ino, data);
                return Err(errno);
            }
            if take_one(&self.held_open, HELD_OPEN) {
                data.file = Some(file);
            }
        }
        Ok(data)
    }

    /// A data file that holds `bytes`, for a long symlink.
    pub(super) fn new_page(&self, new: &Identity, bytes: &[u8]) -> Result<DataState> {
        let ino = new.ino;
        let mut data = DataState::new(new.slot.cell());
        if self.reserves() {
            self.room.take(1)?;
            data.reserved = 1;
        }
        let written = self.files.create(ino).and_then(|file| {
            data.present = true;
            data::write(&file, bytes, 0)
        });
        match written {
            Ok(count) if count == bytes.len() => Ok(data),
            other => {
                self.discard(ino, data);
                Err(other.err().unwrap_or(Errno::ENOSPC))
            }
        }
    }

    /// Frees what was made for an inode that came to nothing.
    pub(super) fn discard(&self, ino: Ino, mut data: DataState) {
        self.free(ino, &mut data);
    }

    /// Frees the data of an evicted inode.
    pub(super) fn free_data(&self, inode: &Inode) {
        {
            let mut state = inode.state();
            self.free(inode.ino, &mut state.data);
            self.leaving.remove(&mut state);
        }
        let evicted = self.evicted.fetch_add(1, Ordering::Relaxed) + 1;
        if evicted % GIVE_BACK_AFTER == 0 {
            memory::give_back();
        }
    }

    fn free(&self, ino: Ino, data: &mut DataState) {
        self.drop_file(data);
        self.unregister(data);
        if std::mem::take(&mut data.present) {
            self.files.remove(ino);
        }
        self.room.give(std::mem::take(&mut data.reserved));
    }

    /// Makes the data file, if there is none, and lets it have the inode's times.
    pub(super) fn make_present(&self, ino: Ino, state: &mut State) -> Result<()> {
        if state.data.present {
            return Ok(());
        }
        self.files.create(ino)?;
        state.data.present = true;
        let (atime, mtime) = (state.atime, state.mtime);
        self.set_data_times(ino, state, Some(atime), Some(mtime))
    }

    /// Sets times of the data file; its ctime, which that moves, is not the object's.
    pub(super) fn set_data_times(
        &self,
        ino: Ino,
        state: &mut State,
        atime: Option<Timestamp>,
        mtime: Option<Timestamp>,
    ) -> Result<()> {
        self.files.set_times(ino, atime, mtime)?;
        state.data.unseen_ctime = Some(Box::new(self.files.stat(ino)?.ctime));
        Ok(())
    }

    /// The open data file, kept open as long as there are handles and not too many.
    pub(super) fn file(&self, ino: Ino, state: &mut State) -> Result<DataFile> {
        if let Some(file) = &state.data.file {
            return Ok(Arc::clone(file));
        }
        let file = self.files.open(ino)?;
        if state.data.nopen() > 0 && take_one(&self.held_open, HELD_OPEN) {
            state.data.file = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    fn drop_file(&self, data: &mut DataState) {
        if data.file.take().is_some() {
            self.held_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn register(&self, ino: Ino, data: &mut DataState) -> Result<()> {
        if data.backing() != 0 {
            return Ok(());
        }
        let file = self.files.open(ino)?;
        self.register_file(&file, data)
    }

    fn register_file(&self, file: &DataFile, data: &mut DataState) -> Result<()> {
        use std::os::fd::AsFd;
        let Some(backing) = self.backing() else {
            return Ok(());
        };
        // Whoever is killed between the kernel's answer and ours leaves an id that nobody knows: it is not below
        // the last that we knew of (`idr_alloc_cyclic`).
        data.cell.set(Flag::Registering, true);
        data.cell
            .set_backing(self.last_backing.load(Ordering::Relaxed));
        let registered = backing.register(file.as_fd());
        let id = *registered.as_ref().unwrap_or(&0);
        self.last_backing.fetch_max(id, Ordering::Relaxed);
        data.cell.set_backing(id);
        data.cell.set(Flag::Registering, false);
        registered?;
        self.registered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    fn unregister(&self, data: &mut DataState) {
        let id = data.backing();
        if let (Some(backing), true) = (self.backing(), id != 0) {
            data.cell.set(Flag::Unregistering, true);
            backing.unregister(id);
            data.cell.set_backing(0);
            data.cell.set(Flag::Unregistering, false);
            self.registered.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Size, blocks and times of a regular file, wherever they are kept.
    pub(super) fn data_stat(&self, ino: Ino, state: &State) -> Result<DataStat> {
        if !state.data.present {
            let State {
                atime,
                mtime,
                ctime,
                ..
            } = *state;
            return Ok(DataStat {
                size: 0,
                blocks: 0,
                atime,
                mtime,
                ctime,
            });
        }
        let mut stat = match &state.data.file {
            Some(file) => data::stat(file)?,
            None => self.files.stat(ino)?,
        };
        if state.data.unseen_ctime.as_deref() == Some(&stat.ctime) {
            stat.ctime = state.ctime;
        }
        stat.ctime = stat.ctime.max(state.ctime);
        if state.data.mtime_set {
            stat.mtime = state.mtime;
        }
        Ok(stat)
    }

    /// Takes room for the first `end` bytes of the file, all or none.
    pub(super) fn reserve(&self, state: &mut State, end: u64) -> Result<()> {
        let wanted = pages(end);
        if !self.reserves() || wanted <= state.data.reserved {
            return Ok(());
        }
        self.room.take(wanted - state.data.reserved)?;
        state.data.reserved = wanted;
        Ok(())
    }

    /// As [`Fs::reserve`], or for as much as there is room; returns the end of what fits.
    pub(super) fn reserve_some(&self, state: &mut State, start: u64, end: u64) -> Result<u64> {
        if self.reserve(state, end).is_ok() {
            return Ok(end);
        }
        let free = self.room.limit().saturating_sub(self.room.used());
        let fits = (state.data.reserved + free) * data::PAGE_SIZE;
        if fits <= start {
            return Err(Errno::ENOSPC);
        }
        self.reserve(state, fits.min(end))?;
        Ok(fits.min(end))
    }

    /// Lets the reservation be what the file has become: the pages of its size, or those that it has where
    /// these are more, but no fewer than `floor`.
    ///
    /// What fallocate(2) gave beyond the size cannot be told from a page below it, so that only a truncation,
    /// which frees it, gives room back.
    pub(super) fn settle(&self, ino: Ino, state: &mut State, floor: u64) -> Result<()> {
        if !self.reserves() || !state.data.present {
            return Ok(());
        }
        let stat = self.files.stat(ino)?;
        let wanted = pages(stat.size).max(pages(stat.blocks * 512)).max(floor);
        if wanted < state.data.reserved {
            self.room.give(state.data.reserved - wanted);
            state.data.reserved = wanted;
        } else if wanted > state.data.reserved {
            // Only where huge pages made more of it than was asked for.
            let _ = self
                .room
                .take(wanted - state.data.reserved)
                .map(|()| state.data.reserved = wanted);
        }
        Ok(())
    }

    /// Pages of data in use, or promised.
    pub(super) fn used_pages(&self) -> u64 {
        if self.reserves() {
            return self.room.used();
        }
        self.files.used_pages().unwrap_or(0)
    }
}

/// Counts one more, up to `limit`.
fn take_one(count: &AtomicUsize, limit: usize) -> bool {
    let more = |count: usize| (count < limit).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}
