//! The journal: a log of what changed, in memory that outlives the process that writes it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use parking_lot::{Condvar, Mutex};
use rustix::fs::{FallocateFlags, MemfdFlags};

use super::codec::{self, Origin};
use super::compact::Pass;
use super::image::Image;
use super::layout::{
    self, COMMITTED, Damage, FIRST, HEADER, MAX_BODY, RECORD_HEADER, SEGMENT, SEGMENT_HEADER,
    VERSION,
};
use super::reserve::reserve_of;
use super::scan::{self, End};
use crate::slots::{self, failpoint, unique_in_hand};
use crate::store::record::{Answer, Entity, Recorder};
use crate::sys::mapping::Mapping;

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    file: OwnedFd,
    pub(super) writer: Mutex<Writer>,
    pub(super) pass: Mutex<Pass>,
    work: Mutex<Work>,
    grown: Condvar,
    /// There is no memory for the whole reserve, or little besides.
    pub(super) low: AtomicBool,
}

/// What who keeps the journal short waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    Nothing,
    /// There is another segment.
    Grown,
    Over,
}

/// The end of the journal. Its lock is the last one that anybody takes.
#[derive(Debug)]
pub(super) struct Writer {
    header: Mapping,
    active: Mapping,
    /// So many of the next segments have their memory already.
    pub(super) reserve: u64,
    /// There was too little for a request since the last pass began.
    pub(super) refused: bool,
    /// When memory for more of them was looked for last.
    pub(super) looked: Option<Instant>,
    pub(super) end: End,
    body: Vec<u8>,
    notes: Notes,
    /// Requests that have left a record and wait for their answer, and the segment where it is.
    pins: Vec<(u64, u64)>,
}

/// Whose note, and its key.
pub(super) type NoteKey = (u8, Box<[u8]>);
pub(super) type Notes = BTreeMap<NoteKey, Box<[u8]>>;

thread_local! {
    /// The request in hand has left a record.
    static PINNED: Cell<bool> = const { Cell::new(false) };
}

/// A request that this thread carries out: its number and answer go into the record of its last change.
///
/// It lasts until the request is answered. A request that goes on in another thread is entered there.
#[derive(Debug)]
#[must_use]
pub struct InHand<'j> {
    journal: Option<&'j Journal>,
    /// Given back last: until then the request is known as one in hand.
    slot: slots::InHand,
}

impl<'j> InHand<'j> {
    /// Goes on with the request of `slot` on this thread.
    pub fn enter(journal: Option<&'j Journal>, slot: slots::InHand) -> InHand<'j> {
        slot.enter();
        InHand { journal, slot }
    }

    /// What is known of it beyond this process.
    pub fn slot(&self) -> &slots::InHand {
        &self.slot
    }
}

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        if let (true, Some(journal)) = (PINNED.take(), self.journal) {
            let number = self.slot.number();
            let pins = &mut journal.writer.lock().pins;
            pins.retain(|(unique, _)| *unique != number);
        }
    }
}

impl Journal {
    /// An empty journal in a new memfd, which is not inherited.
    pub fn create() -> Result<Journal, Damage> {
        let file = rustix::fs::memfd_create("shmfs-journal", MemfdFlags::CLOEXEC)?;
        Journal::create_in(file)
    }

    /// An empty journal in `file`, which is empty.
    pub fn create_in(file: OwnedFd) -> Result<Journal, Damage> {
        rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, HEADER as u64)?;
        let mut header = Mapping::new(&file, 0, HEADER)?;
        let end = End {
            first: 0,
            segment: 0,
            at: SEGMENT_HEADER,
            sequence: 0,
        };
        let active = open_segment(file.as_fd(), 0, 0)?;
        store_word(&header, FIRST, layout::seal(0));
        // The magic last: before that it is no journal.
        let _ = header.write(0, &layout::header(VERSION));
        Ok(Journal::with(file, header, active, end, Notes::new(), 0))
    }

    /// A journal in `file`: the one that is there, or a new one where nothing was recorded yet.
    pub fn resume(file: OwnedFd) -> Result<(Journal, Option<Image>), Damage> {
        let mut magic = [0; 8];
        scan::read_at(&file, &mut magic, 0)?;
        if magic == [0; 8] {
            return Ok((Journal::create_in(file)?, None));
        }
        let (journal, image) = Journal::open(file)?;
        let begun = !image.contents.is_empty();
        Ok((journal, begun.then_some(image)))
    }

    /// Reads a journal that was left behind, and goes on with it.
    pub fn open(file: OwnedFd) -> Result<(Journal, Image), Damage> {
        let (end, image) = read(&file)?;
        let header = Mapping::new(&file, 0, HEADER)?;
        let offset = layout::offset_of(end.segment);
        // The file may end within the segment, where it was saved by hand.
        rustix::fs::fallocate(&file, FallocateFlags::empty(), offset, SEGMENT as u64)?;
        let mut active = Mapping::new(&file, offset, SEGMENT)?;
        active.clear_from(end.at);
        store_word(&header, COMMITTED, offset + end.at as u64);
        free_before(&file, end.first);
        let reserve = reserve_of(&file, &end);
        let notes = image.notes.clone();
        let journal = Journal::with(file, header, active, end, notes, reserve);
        if !image.answers.is_empty() {
            journal.hold();
        }
        Ok((journal, image))
    }

    fn with(
        file: OwnedFd,
        header: Mapping,
        active: Mapping,
        end: End,
        notes: Notes,
        reserve: u64,
    ) -> Journal {
        let writer = Writer {
            header,
            active,
            reserve,
            refused: false,
            looked: None,
            end,
            body: Vec::new(),
            notes,
            pins: Vec::new(),
        };
        let journal = Journal {
            file,
            writer: Mutex::new(writer),
            pass: Mutex::default(),
            work: Mutex::new(Work::Grown),
            grown: Condvar::new(),
            low: AtomicBool::new(false),
        };
        journal.refill(&mut journal.writer.lock());
        journal
    }

    /// The memfd, for who keeps it beyond this process.
    pub fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// Bytes from the first segment to the end.
    pub fn len(&self) -> u64 {
        let end = self.writer.lock().end;
        (end.segment - end.first) * SEGMENT as u64 + end.at as u64
    }

    /// The offset behind the last record.
    pub fn end(&self) -> u64 {
        let end = self.writer.lock().end;
        layout::offset_of(end.segment) + end.at as u64
    }

    /// Whether nothing was recorded yet.
    pub fn is_empty(&self) -> bool {
        self.writer.lock().end.sequence == 0
    }

    /// Keeps, or with `None` forgets, something for others than the store.
    pub fn set_note(&self, space: Space, key: &[u8], value: Option<&[u8]>) {
        let entity = Entity::Note {
            space: space.0,
            key: key.into(),
            value: value.map(Into::into),
        };
        let mut writer = self.writer.lock();
        self.append(&mut writer, &[entity], Origin::default());
        let key = (space.0, key.into());
        match value {
            Some(value) => drop(writer.notes.insert(key, value.into())),
            None => drop(writer.notes.remove(&key)),
        }
    }

    /// What is kept under this key.
    pub fn note(&self, space: Space, key: &[u8]) -> Option<Vec<u8>> {
        let writer = self.writer.lock();
        writer
            .notes
            .get(&(space.0, key.into()))
            .map(|value| value.to_vec())
    }

    /// All that is kept in a space, by key.
    pub fn notes(&self, space: Space) -> Vec<(Vec<u8>, Vec<u8>)> {
        let writer = self.writer.lock();
        let all = writer.notes.iter().filter(|((of, _), _)| *of == space.0);
        all.map(|((_, key), value)| (key.to_vec(), value.to_vec()))
            .collect()
    }

    /// Waits until the journal has grown; `false` at the end.
    pub fn wait_for_work(&self) -> bool {
        let mut work = self.work.lock();
        while *work == Work::Nothing {
            self.grown.wait(&mut work);
        }
        if *work == Work::Over {
            return false;
        }
        *work = Work::Nothing;
        true
    }

    /// Ends [`Journal::wait_for_work`] for ever.
    pub fn close(&self) {
        self.tell(Work::Over);
    }

    pub(super) fn tell(&self, work: Work) {
        let mut now = self.work.lock();
        if *now != Work::Over {
            *now = work;
        }
        self.grown.notify_all();
    }

    /// Records a note again; `false` where there is none any more.
    pub(super) fn keep_note(&self, key: &NoteKey) -> bool {
        let mut writer = self.writer.lock();
        let Some(value) = writer.notes.get(key).cloned() else {
            return false;
        };
        let entity = Entity::Note {
            space: key.0,
            key: key.1.as_ref().into(),
            value: Some(value.as_ref().into()),
        };
        self.append(&mut writer, &[entity], Origin::default());
        true
    }

    /// Adds one record. Where the system has no memory for it, after all, the process ends: what was not recorded must
    /// not be answered, and whoever comes next carries the request out again.
    fn append(&self, writer: &mut Writer, batch: &[Entity<'_>], origin: Origin) {
        let before = writer.end.segment;
        if let Err(error) = writer.append(self.file(), batch, origin) {
            tracing::error!(%error, "no memory for the journal: ending, to be started again");
            std::process::abort();
        }
        if writer.end.segment != before {
            self.refill(writer);
            self.tell(Work::Grown);
        }
    }
}

/// Whose notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space(pub u8);

impl Space {
    /// The connection and the mount: the INIT request, names and ids of special nodes, options.
    pub const MOUNT: Space = Space(1);
    /// Node ids that are not numbers of inodes.
    pub const NODES: Space = Space(2);
    /// Exports.
    pub const EXPORTS: Space = Space(3);
}

impl Recorder for Journal {
    fn record(&self, batch: &[Entity<'_>], answer: Answer) {
        let unique = unique_in_hand();
        let mut writer = self.writer.lock();
        self.append(&mut writer, batch, Origin { unique, answer });
        if unique != 0 && answer != Answer::Unfinished && !PINNED.replace(true) {
            let segment = writer.end.segment;
            writer.pins.push((unique, segment));
        }
    }
}

impl Writer {
    fn append(
        &mut self,
        file: BorrowedFd<'_>,
        batch: &[Entity<'_>],
        origin: Origin,
    ) -> rustix::io::Result<()> {
        self.body.clear();
        codec::put_origin(&mut self.body, origin);
        for entity in batch {
            codec::put_entity(&mut self.body, entity);
        }
        let len = self.body.len();
        if len > MAX_BODY {
            return Err(rustix::io::Errno::TOOBIG);
        }
        if self.end.at + RECORD_HEADER + len > SEGMENT {
            self.next_segment(file)?;
        }
        self.store(len as u32);
        Ok(())
    }

    /// The length is stored last: before that there is no record.
    fn store(&mut self, len: u32) {
        let End { at, sequence, .. } = self.end;
        let check = layout::checksum(len, sequence, &self.body);
        let mut header = [0; RECORD_HEADER - 4];
        header[..4].copy_from_slice(&check.to_le_bytes());
        header[4..].copy_from_slice(&sequence.to_le_bytes());
        let fits =
            self.active.write(at + RECORD_HEADER, &self.body) && self.active.write(at + 4, &header);
        debug_assert!(fits, "a record does not fit");
        failpoint("in-journal");
        if let Some(word) = self.active.word32(at) {
            word.store(len.to_le(), Ordering::Release);
        }
        self.end.at = layout::after(at, len as usize);
        self.end.sequence += 1;
        let committed = layout::offset_of(self.end.segment) + self.end.at as u64;
        store_word(&self.header, COMMITTED, committed);
    }

    pub(super) fn next_segment(&mut self, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let segment = self.end.segment + 1;
        self.active = open_segment(file, segment, self.end.sequence)?;
        self.reserve = self.reserve.saturating_sub(1);
        self.end.segment = segment;
        self.end.at = SEGMENT_HEADER;
        Ok(())
    }

    /// Whether a segment is left that has its memory.
    pub(super) fn has_reserve(&self) -> bool {
        self.reserve > 0
    }

    /// The first segment whose records nobody may need who is in hand.
    pub(super) fn pinned(&self) -> u64 {
        let pinned = self.pins.iter().map(|(_, segment)| *segment).min();
        pinned.unwrap_or(self.end.segment).min(self.end.segment)
    }

    /// The first segment is not needed any more; the caller is to free it.
    pub(super) fn drop_first(&mut self) -> u64 {
        let dropped = self.end.first;
        self.end.first += 1;
        store_word(&self.header, FIRST, layout::seal(self.end.first));
        dropped
    }
}

fn store_word(mapping: &Mapping, at: usize, number: u64) {
    if let Some(word) = mapping.word64(at) {
        word.store(number.to_le(), Ordering::Release);
    }
}

pub(super) fn allocate(file: BorrowedFd<'_>, segment: u64) -> rustix::io::Result<()> {
    let offset = layout::offset_of(segment);
    rustix::fs::fallocate(file, FallocateFlags::empty(), offset, SEGMENT as u64)
}

/// A new segment. Memory that a mapping finds missing would be SIGBUS, so all of it is taken at once.
fn open_segment(file: BorrowedFd<'_>, segment: u64, sequence: u64) -> rustix::io::Result<Mapping> {
    allocate(file, segment)?;
    let mut mapping = Mapping::new(file, layout::offset_of(segment), SEGMENT)?;
    let _ = mapping.write(0, &layout::segment_header(segment, sequence));
    Ok(mapping)
}

pub(super) fn free(file: BorrowedFd<'_>, from: u64, segments: u64) {
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    let len = segments * SEGMENT as u64;
    if let Err(error) = rustix::fs::fallocate(file, flags, layout::offset_of(from), len) {
        tracing::warn!(%error, "cannot give memory of the journal back");
    }
}

/// What was to be freed when the process ended.
fn free_before(file: &OwnedFd, first: u64) {
    if first > 0 {
        free(file.as_fd(), 0, first);
    }
}

/// The end of a journal and what it says, without a change to it.
fn read(file: impl AsFd) -> Result<(End, Image), Damage> {
    let mut image = Image::default();
    let end = scan::scan(file, |record| image.add(&record))?;
    image.check()?;
    Ok((end, image))
}

/// What a journal says, without a change to it: whether a program of this version could go on with it.
pub fn check(file: impl AsFd) -> Result<Image, Damage> {
    read(file).map(|(_, image)| image)
}
