//! An inode and its data file: made when it is needed, open while it is used, freed at the end.

use std::fmt;
use std::os::fd::BorrowedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Entry, Fs, Object};
use crate::data::{self, DataFile, DataStat};
use crate::errno::{Errno, Result};
use crate::slots::{Cell, Flag, failpoint};
use crate::store::change::InodeChange;
use crate::store::record::Answer;
use crate::store::{DataState, Identity, Inode, Share, State};
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

/// What a file is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// To read.
    pub read: bool,
    /// To write.
    pub write: bool,
}

/// To read, and whether also to write.
impl From<bool> for Access {
    fn from(write: bool) -> Access {
        Access { read: true, write }
    }
}

/// How an open file is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The backing id that each open of the inode must name; `None` without passthrough.
    pub backing: Option<u32>,
    /// `read` and `write` come to us also with passthrough, so that growth is counted.
    pub counted: bool,
    /// Past the page cache: that is the tree's.
    pub direct: bool,
    /// From now on attributes change without a request: what the kernel keeps of them is stale.
    pub newly_exposed: bool,
}

/// Registrations kept for files that nobody has open: each holds a file of the kernel's.
const IDLE_REGISTRATIONS: usize = 65536;
/// Inodes to be evicted before their memory is given back to the system: some 10 MiB, in some milliseconds.
const GIVE_BACK_AFTER: usize = 1 << 14;
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

    /// Whether the kernel may have of an inode what a mapping has stored and nobody has written back: RELEASE comes after
    /// the last munmap, so somebody still has it open for writing.
    pub fn may_be_stored(&self, ino: Ino) -> bool {
        let inode = self.superblock.inode(ino);
        !self.is_passthrough() && inode.is_ok_and(|inode| inode.state().has_writer())
    }

    /// Hands a data file to `use_file` and removes it again.
    pub fn with_scratch_file<T>(
        &self,
        ino: Ino,
        use_file: impl FnOnce(&DataFile) -> T,
    ) -> Result<T> {
        let result = use_file(&self.files.create_anew(ino)?);
        self.files.remove(ino);
        Ok(result)
    }

    pub(super) fn backing(&self) -> Option<&dyn Backing> {
        match self.mode.get() {
            Some(DataMode::Passthrough(backing)) => Some(backing.as_ref()),
            Some(DataMode::PageCache) | None => None,
        }
    }

    /// Opens a regular file.
    pub fn open(&self, of: impl Into<Object>, access: impl Into<Access>) -> Result<Opened> {
        let (object, access) = (of.into(), access.into());
        self.check_open(&object, access.read, access.write)?;
        let (ino, writable) = (object.ino, access.write);
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
        let exposed_before = state.is_exposed();
        if self.is_passthrough() {
            self.make_present(&inode, &mut state)?;
            self.register(ino, &state.cell)?;
            if writable {
                state.cell.set(Flag::Exposed, true);
            }
        } else if writable && state.nopen() == 0 {
            // Whatever was mapped before has been written back: RELEASE comes after the last munmap.
            state.data.mtime_set = false;
        }
        state.cell.open_one();
        if writable {
            state.cell.set(Flag::Writer, true);
        }
        self.departures.remove(&mut state);
        let newly_exposed = state.is_exposed() && !exposed_before;
        Ok(Opened {
            newly_exposed,
            direct: object.way.is_some() && !self.is_passthrough(),
            counted: self.counts_handle(writable) || state.data.pool != 0,
            ..self.opened(&state.cell, writable)
        })
    }

    pub(super) fn opened(&self, cell: &Cell, writable: bool) -> Opened {
        Opened {
            backing: Some(cell.backing()).filter(|id| *id != 0),
            counted: self.counts_handle(writable),
            newly_exposed: false,
            direct: false,
        }
    }

    /// As it is to be used under the name that it was made by.
    pub(super) fn direct(&self, opened: Opened, entry: &Entry) -> Opened {
        let direct = entry.way.is_some() && !self.is_passthrough();
        let pooled = |inode: Arc<Inode>| inode.state().data.pool != 0;
        let pooled =
            self.exports.is_active() && self.superblock.inode(entry.attr.ino).is_ok_and(pooled);
        let counted = opened.counted || pooled;
        Opened {
            direct,
            counted,
            ..opened
        }
    }

    /// Closes a handle.
    pub fn release(&self, ino: Ino) {
        let Ok(inode) = self.superblock.inode(ino) else {
            // Sent again, it has no more to close.
            if self.journal.is_none() {
                tracing::error!(?ino, "the kernel releases an inode that is not there");
            }
            return;
        };
        let orphan = {
            let mut state = inode.state();
            state.cell.close_one();
            if state.nopen() > 0 {
                return;
            }
            state.cell.set(Flag::Writer, false);
            if std::mem::take(&mut state.data.uncounted) {
                let known = state.data.reserved;
                if let Err(error) = self.settle(ino, &mut state, known) {
                    tracing::warn!(?ino, %error, "cannot count what was written to a file");
                }
            }
            self.drop_file(&mut state.data);
            if self.registered.load(Ordering::Relaxed) > IDLE_REGISTRATIONS {
                self.unregister(&state.cell);
            }
            state.is_orphan()
        };
        if orphan {
            self.evict_if_unused(&inode);
        }
    }

    /// A data file for an inode that is about to be made and opened.
    pub(super) fn new_open_file(&self, new: &Identity, writable: bool) -> Result<DataState> {
        let mut data = DataState::default();
        let cell = new.slot.cell();
        cell.open_new();
        cell.set(Flag::Writer, writable);
        if self.is_passthrough() {
            let file = self.files.create(new.ino)?;
            failpoint("file-made");
            data.present = true;
            cell.set(Flag::Exposed, writable);
            if let Err(errno) = self.register_file(&file, cell) {
                self.discard(new, data);
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
        let mut data = DataState::default();
        if self.reserves() {
            self.room.take(1)?;
        }
        data.reserved = 1;
        let written = self.files.create(new.ino).and_then(|file| {
            data.present = true;
            data::write(&file, bytes, 0)
        });
        match written {
            Ok(count) if count == bytes.len() => Ok(data),
            other => {
                self.discard(new, data);
                Err(other.err().unwrap_or(Errno::ENOSPC))
            }
        }
    }

    /// Frees what was made for an inode that came to nothing.
    pub(super) fn discard(&self, new: &Identity, mut data: DataState) {
        let pool = data.pool;
        self.free(new.ino, &new.slot, &mut data);
        self.left_pool(pool);
    }

    /// Frees the data of an evicted inode, and what its owner was charged with.
    pub(super) fn free_data(&self, inode: &Inode) {
        failpoint("evicted");
        let pool = {
            let mut state = inode.state();
            let (uid, cell, pool) = (state.uid, state.cell.clone(), state.data.pool);
            // A part of its pages may be free, and look like enough, while the others are not.
            let tight = state.data.present.then(|| self.free_tightly()).flatten();
            self.discharge(uid, &mut state.data);
            self.free(inode.ino, &cell, &mut state.data);
            self.departures.remove(&mut state);
            drop(tight);
            pool
        };
        self.left_pool(pool);
        let evicted = self.evicted.fetch_add(1, Ordering::Relaxed) + 1;
        if evicted % GIVE_BACK_AFTER == 0 {
            memory::give_back();
        }
    }

    fn free(&self, ino: Ino, cell: &Cell, data: &mut DataState) {
        self.drop_file(data);
        self.unregister(cell);
        if std::mem::take(&mut data.present) {
            self.files.remove(ino);
        }
        let reserved = std::mem::take(&mut data.reserved);
        if let Some(pool) = self.pools.get(std::mem::take(&mut data.pool)) {
            pool.give(Share {
                pages: reserved,
                inodes: 1,
            });
        }
        if self.reserves() {
            self.room.give(reserved);
        }
    }

    /// Makes the data file, if there is none, and lets it have the inode's times.
    pub(super) fn make_present(&self, inode: &Inode, state: &mut State) -> Result<()> {
        if state.data.present {
            return Ok(());
        }
        self.files.create(inode.ino)?;
        failpoint("file-made");
        state.data.present = true;
        let (atime, mtime) = (state.atime, state.mtime);
        let timed = self.set_data_times(inode.ino, state, Some(atime), Some(mtime));
        self.superblock
            .commit_inode(inode, state, InodeChange::Data, Answer::Unfinished);
        timed
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
        if state.nopen() > 0 && take_one(&self.held_open, HELD_OPEN) {
            state.data.file = Some(Arc::clone(&file));
        }
        Ok(file)
    }

    fn drop_file(&self, data: &mut DataState) {
        if data.file.take().is_some() {
            self.held_open.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn register(&self, ino: Ino, cell: &Cell) -> Result<()> {
        if cell.backing() != 0 {
            return Ok(());
        }
        let file = self.files.open(ino)?;
        self.register_file(&file, cell)
    }

    fn register_file(&self, file: &DataFile, cell: &Cell) -> Result<()> {
        use std::os::fd::AsFd;
        let Some(backing) = self.backing() else {
            return Ok(());
        };
        // Whoever is killed between the kernel's answer and ours leaves an id that nobody knows: it is not below
        // the last that we knew of (`idr_alloc_cyclic`).
        cell.set(Flag::Registering, true);
        cell.set_backing(self.last_backing.load(Ordering::Relaxed));
        let registered = backing.register(file.as_fd());
        failpoint("registered");
        let id = *registered.as_ref().unwrap_or(&0);
        self.last_backing.fetch_max(id, Ordering::Relaxed);
        cell.set_backing(id);
        cell.set(Flag::Registering, false);
        registered?;
        self.registered.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(super) fn unregister(&self, cell: &Cell) {
        let id = cell.backing();
        if let (Some(backing), true) = (self.backing(), id != 0) {
            cell.set(Flag::Unregistering, true);
            backing.unregister(id);
            failpoint("unregistered");
            cell.set_backing(0);
            cell.set(Flag::Unregistering, false);
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
}

/// Counts one more, up to `limit`.
fn take_one(count: &AtomicUsize, limit: usize) -> bool {
    let more = |count: usize| (count < limit).then_some(count + 1);
    count
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
        .is_ok()
}
