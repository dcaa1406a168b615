//! The table of inodes' slots: given, taken back, found again.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::hash::BuildHasherDefault;
use std::ops::Deref;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustix::fs::{FallocateFlags, MemfdFlags, SeekFrom};
use rustix::io;

use super::cell::{Cell, KEY};
use super::chunk::{CHUNK, Chunk, Memory, SLOTS, place};
use super::requests::Requests;
use crate::types::InoHasher;

/// "shmfslot", and the version of the layout.
const MAGIC: u64 = u64::from_le_bytes(*b"shmfslot");
const VERSION: u64 = 1;
/// Bits of a word of a chunk's map.
const BITS: usize = u64::BITS as usize;

/// All slots of a file system.
#[derive(Clone, Debug)]
pub struct Slots(Arc<Shared>);

#[derive(Debug)]
pub(super) struct Shared {
    file: Option<OwnedFd>,
    requests: Arc<Requests>,
    /// Slots stay as they are when their holders go.
    kept: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    chunks: Vec<Option<Space>>,
    /// Numbers of chunks with a free slot.
    spare: BTreeSet<usize>,
}

/// A chunk and which of its slots are taken.
#[derive(Debug)]
struct Space {
    chunk: Arc<Chunk>,
    taken: [u64; SLOTS / BITS],
    count: usize,
}

/// Slots by their keys, which are numbers of inodes.
pub(super) type Found = HashMap<u64, Slot, BuildHasherDefault<InoHasher>>;

/// The slots of a process that died, by their keys.
#[derive(Debug, Default)]
pub struct Survivors {
    /// Those that nobody has asked for yet.
    pub slots: Found,
    /// What it had in hand.
    pub in_hand: Vec<super::Seen>,
    /// There was such a process: the kernel may know each inode.
    lived: bool,
}

impl Survivors {
    /// The slot of `key`. Where there was no memory for one we know nothing of what the kernel holds.
    pub fn take(&mut self, slots: &Slots, key: u64) -> Slot {
        if let Some(slot) = self.slots.remove(&key) {
            return slot;
        }
        let slot = slots.take(key);
        if self.lived {
            slot.raise_lookups();
        }
        slot
    }
}

/// A slot of its holder's, given back when it is dropped.
pub struct Slot(Cell);

impl Default for Slots {
    /// In memory of our own: they end with us.
    fn default() -> Slots {
        Slots::of(None, Requests::own())
    }
}

impl Slots {
    /// In shared memory, to be handed on.
    pub fn create() -> io::Result<Slots> {
        let file = rustix::fs::memfd_create("shmfs-slots", MemfdFlags::CLOEXEC)?;
        Slots::create_in(file)
    }

    fn create_in(file: OwnedFd) -> io::Result<Slots> {
        rustix::fs::ftruncate(&file, place(0) as u64)?;
        let header = Memory::<2>::shared(&file, 0, 4096)?;
        if let [[magic, version], ..] = header.all() {
            version.store(VERSION, Release);
            magic.store(MAGIC, Release);
        }
        let requests = Requests::shared(&file)?;
        Ok(Slots::of(Some(file), requests))
    }

    /// In `file`: as another process left them, or new ones where it is empty.
    pub fn resume(file: OwnedFd) -> io::Result<(Slots, Survivors)> {
        if rustix::fs::fstat(&file)?.st_size == 0 {
            return Ok((Slots::create_in(file)?, Survivors::default()));
        }
        Slots::open(file)
    }

    /// As another process left them. `EINVAL` where it was none that we know.
    pub fn open(file: OwnedFd) -> io::Result<(Slots, Survivors)> {
        check(&file)?;
        let requests = Requests::shared(&file)?;
        let chunks = (rustix::fs::fstat(&file)?.st_size as usize / CHUNK).saturating_sub(1);
        let slots = Slots::of(Some(file), requests);
        let mut found = Found::default();
        for number in 0..chunks {
            slots.0.restore(number, &mut found)?;
        }
        let in_hand = slots.0.requests.take_over(&found);
        Ok((
            slots,
            Survivors {
                slots: found,
                in_hand,
                lived: true,
            },
        ))
    }

    fn of(file: Option<OwnedFd>, requests: Requests) -> Slots {
        Slots(Arc::new(Shared {
            file,
            requests: Arc::new(requests),
            kept: AtomicBool::new(false),
            inner: Mutex::default(),
        }))
    }

    /// The memory, to be handed on; `None` where it is our own.
    pub fn file(&self) -> Option<BorrowedFd<'_>> {
        self.0.file.as_ref().map(AsFd::as_fd)
    }

    /// A slot for `key`, which is not 0 and has none.
    pub fn take(&self, key: u64) -> Slot {
        let cell = self.0.take();
        cell.take(key);
        Slot(cell)
    }

    /// From here on they are our successor's: what we drop at our end stays as it is.
    pub fn keep(&self) {
        self.0.kept.store(true, Release);
    }

    /// The requests in hand.
    pub fn requests(&self) -> &Arc<Requests> {
        &self.0.requests
    }
}

/// Whether it is a table of ours.
pub(super) fn check(file: impl AsFd) -> io::Result<()> {
    if rustix::fs::fstat(&file)?.st_size < place(0) as i64 {
        return Err(io::Errno::INVAL);
    }
    match Memory::<2>::shared(&file, 0, 4096)?.all() {
        [[magic, version], ..]
            if magic.load(Acquire) == MAGIC && version.load(Acquire) == VERSION =>
        {
            Ok(())
        }
        _ => Err(io::Errno::INVAL),
    }
}

impl Shared {
    fn take(self: &Arc<Self>) -> Cell {
        let mut inner = self.inner.lock();
        let number = match inner.spare.first() {
            Some(&number) => number,
            None => self.grow(&mut inner),
        };
        let Inner { chunks, spare } = &mut *inner;
        match chunks.get_mut(number).and_then(Option::as_mut) {
            Some(space) => {
                let index = space.take();
                if space.count == SLOTS {
                    spare.remove(&number);
                }
                Cell {
                    chunk: Arc::clone(&space.chunk),
                    index,
                }
            }
            // A number in `spare` is a chunk's; a slot beside the table does no harm.
            None => Cell {
                chunk: self.beside(number),
                index: 0,
            },
        }
    }

    /// A chunk with the lowest free number. Where there is no shared memory to be had it is our own: whoever
    /// takes over counts the inodes without a slot as known to the kernel.
    fn grow(self: &Arc<Self>, inner: &mut Inner) -> usize {
        let free = inner.chunks.iter().position(Option::is_none);
        let number = free.unwrap_or(inner.chunks.len());
        let shared = self.file.as_ref().map(|file| self.map(file, number));
        let chunk = match shared {
            Some(Ok(chunk)) => Arc::new(chunk),
            Some(Err(error)) => {
                tracing::warn!(%error, "no shared memory for the kernel's references");
                self.beside(number)
            }
            None => self.beside(number),
        };
        let space = Space {
            chunk,
            taken: [0; SLOTS / BITS],
            count: 0,
        };
        match inner.chunks.get_mut(number) {
            Some(place) => *place = Some(space),
            None => inner.chunks.push(Some(space)),
        }
        inner.spare.insert(number);
        number
    }

    fn map(self: &Arc<Self>, file: &OwnedFd, number: usize) -> io::Result<Chunk> {
        let end = place(number + 1) as u64;
        if (rustix::fs::fstat(file)?.st_size as u64) < end {
            rustix::fs::ftruncate(file, end)?;
        }
        // Now rather than with SIGBUS later.
        let flags = FallocateFlags::empty();
        rustix::fs::fallocate(file, flags, place(number) as u64, CHUNK as u64)?;
        Chunk::shared(file.as_fd(), number, Arc::downgrade(self))
    }

    fn beside(self: &Arc<Self>, number: usize) -> Arc<Chunk> {
        let table = Arc::downgrade(self);
        Arc::new(Chunk::own(number, table))
    }

    fn give(&self, chunk: &Chunk, index: u32) {
        let mut inner = self.inner.lock();
        let Inner { chunks, spare } = &mut *inner;
        let Some(place) = chunks.get_mut(chunk.number) else {
            return;
        };
        let Some(space) = place else {
            return;
        };
        if !std::ptr::eq(Arc::as_ptr(&space.chunk), chunk) {
            return;
        }
        space.give(index);
        spare.insert(chunk.number);
        if space.count == 0 && spare.len() > 1 {
            spare.remove(&chunk.number);
            *place = None;
            self.free(chunk.number);
        }
    }

    /// Gives the memory of a chunk that is empty back to the system.
    fn free(&self, number: usize) {
        let Some(file) = &self.file else {
            return;
        };
        let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let freed = rustix::fs::fallocate(file, flags, place(number) as u64, CHUNK as u64);
        if let Err(error) = freed {
            tracing::debug!(%error, "cannot free slots");
        }
    }

    /// Maps the chunk `number`, if there is anything in it, and finds its slots.
    fn restore(self: &Arc<Self>, number: usize, found: &mut Found) -> io::Result<()> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let mut inner = self.inner.lock();
        // A hole would become memory by being looked at.
        let start = place(number) as u64;
        let data = rustix::fs::seek(file, SeekFrom::Data(start)).unwrap_or(u64::MAX);
        if data >= start + CHUNK as u64 {
            inner.chunks.push(None);
            return Ok(());
        }
        let chunk = Chunk::shared(file.as_fd(), number, Arc::downgrade(self))?;
        let mut space = Space {
            chunk: Arc::new(chunk),
            taken: [0; SLOTS / BITS],
            count: 0,
        };
        for (index, words) in space.chunk.clone().words().iter().enumerate() {
            let key = words[KEY].load(Acquire);
            if key == 0 {
                words.iter().for_each(|word| word.store(0, Release));
                continue;
            }
            space.mark(index);
            let cell = Cell {
                chunk: Arc::clone(&space.chunk),
                index: index as u32,
            };
            found.insert(key, Slot(cell));
        }
        if space.count < SLOTS {
            inner.spare.insert(number);
        }
        inner.chunks.push(Some(space));
        Ok(())
    }
}

impl Space {
    /// The first free slot; there is one.
    fn take(&mut self) -> u32 {
        let free = self.taken.iter().position(|bits| *bits != u64::MAX);
        let word = free.unwrap_or(0);
        let index = word * BITS + self.taken[word].trailing_ones() as usize;
        self.mark(index);
        index as u32
    }

    fn mark(&mut self, index: usize) {
        self.taken[index / BITS] |= 1 << (index % BITS);
        self.count += 1;
    }

    fn give(&mut self, index: u32) {
        let index = index as usize;
        self.taken[index / BITS] &= !(1 << (index % BITS));
        self.count -= 1;
    }
}

impl Slot {
    /// Its place.
    pub fn cell(&self) -> &Cell {
        &self.0
    }
}

impl Deref for Slot {
    type Target = Cell;

    fn deref(&self) -> &Cell {
        &self.0
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        // Without a table nobody will look at it.
        let Some(table) = Weak::upgrade(&self.0.chunk.table) else {
            return;
        };
        if !table.kept.load(Acquire) {
            self.0.clear();
            table.give(&self.0.chunk, self.0.index);
        }
    }
}
