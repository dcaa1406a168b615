//! Keeping the journal's memory in proportion to what lives, while it is being written.
//!
//! A pass takes the oldest segment, records each entity in it again that still lives, unless the pass has done so before,
//! and frees the segment; and so on until all segments that there were when it began are gone. The next pass begins when the journal is twice as long
//! as this one left it. All of it goes in small steps, so nobody waits long.

use std::collections::BTreeSet;
use std::os::fd::AsFd;

use super::journal::{Journal, NoteKey, Writer};
use super::layout::{self, Found, SEGMENT, SEGMENT_HEADER};
use super::scan::{self, Record};
use crate::slots::failpoint;
use crate::store::Superblock;
use crate::store::record::Entity;

/// A journal of so many segments is not worth a pass.
const SMALL: u64 = 4;

/// How far a pass has come.
#[derive(Debug, Default)]
pub(super) struct Pass {
    /// The segment after the last one of the pass; 0 where there is none under way.
    end: u64,
    /// The store and [`Pass::notes`] know of it.
    begun: bool,
    /// The oldest segment, as far as it was read; empty where the next step reads it.
    bytes: Vec<u8>,
    at: usize,
    sequence: u64,
    /// From so many segments on another pass is worth it.
    next: u64,
    /// The end of the journal when the last pass ended, in bytes.
    last: u64,
    /// Notes that this pass has kept.
    notes: BTreeSet<NoteKey>,
    /// Requests may be sent again whose answers are in old segments.
    held: bool,
}

/// What a step of a pass has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing is to be done for now.
    Idle,
    /// There is more to be done.
    More,
}

impl Journal {
    /// Old segments stay, until [`Journal::release`]: requests may be sent again that they have the answers of.
    pub(super) fn hold(&self) {
        self.pass.lock().held = true;
    }

    /// No request that was sent again is left.
    pub fn release(&self) {
        self.pass.lock().held = false;
    }

    /// Begins a pass over all that there is, also where it is not worth it.
    pub fn begin_pass(&self) {
        let mut pass = self.pass.lock();
        let mut writer = self.writer.lock();
        match writer.next_segment(self.file()) {
            Ok(()) => (pass.end, pass.begun) = (writer.end.segment, false),
            Err(error) => tracing::warn!(%error, "no memory to shorten the journal"),
        }
    }

    /// Looks at up to `records` old records of the history of `superblock`.
    pub fn compact(&self, superblock: &Superblock, records: usize) -> Step {
        let mut pass = self.pass.lock();
        if pass.held || !pass.is_due(&mut self.writer.lock(), self.is_low()) {
            return Step::Idle;
        }
        if !std::mem::replace(&mut pass.begun, true) {
            superblock.begin_pass();
            pass.notes.clear();
        }
        if pass.bytes.is_empty() && !self.load(&mut pass) {
            return Step::Idle;
        }
        for _ in 0..records {
            if !self.may_go_on() {
                return Step::Idle;
            }
            let Some(next) = self.keep(superblock, &mut pass) else {
                return self.finish(&mut pass);
            };
            pass.at = next;
            pass.sequence += 1;
        }
        Step::More
    }

    /// Whether there is memory to record again what lives of a segment, which takes about as much as it does, and much
    /// less where much is gone. Where there is none the pass goes on when there is.
    fn may_go_on(&self) -> bool {
        let enough = |writer: &Writer| writer.has_reserve() || writer.end.at <= SEGMENT / 8 * 7;
        !self.is_low() || enough(&self.writer.lock())
    }

    /// Reads the oldest segment.
    fn load(&self, pass: &mut Pass) -> bool {
        let first = self.writer.lock().end.first;
        pass.bytes.resize(SEGMENT, 0);
        let read = scan::read_at(self.file(), &mut pass.bytes, layout::offset_of(first));
        let sequence = layout::read_segment_header(&pass.bytes, first);
        match (read, sequence) {
            (Ok(()), Some(sequence)) => {
                (pass.at, pass.sequence) = (SEGMENT_HEADER, sequence);
                true
            }
            (read, _) => {
                tracing::error!(?read, segment = first, "cannot read the journal");
                pass.bytes.clear();
                pass.held = true;
                false
            }
        }
    }

    /// Records again what is still so of one record; returns the place of the next one.
    fn keep(&self, superblock: &Superblock, pass: &mut Pass) -> Option<usize> {
        let Found::Record { body, next } = layout::record(&pass.bytes, pass.at, pass.sequence)
        else {
            return None;
        };
        let record = Record {
            offset: pass.at as u64,
            sequence: pass.sequence,
            body,
        };
        let entities: Vec<Entity<'_>> = match record.parts() {
            Ok((_, entities)) => entities.filter_map(Result::ok).collect(),
            Err(error) => {
                tracing::error!(%error, "an old record");
                Vec::new()
            }
        };
        superblock.keep(&entities);
        failpoint("in-compaction");
        let notes = entities.iter().filter_map(|entity| match entity {
            Entity::Note { space, key, .. } => Some((*space, key.as_ref().into())),
            _ => None,
        });
        for key in notes {
            if !pass.notes.contains(&key) && self.keep_note(&key) {
                pass.notes.insert(key);
            }
        }
        Some(next)
    }

    /// The oldest segment is read to its end.
    fn finish(&self, pass: &mut Pass) -> Step {
        let mut writer = self.writer.lock();
        if writer.end.first >= writer.pinned() {
            // A request that it has the answer of is not answered yet.
            return Step::Idle;
        }
        let freed = writer.drop_first();
        failpoint("segment-dropped");
        super::journal::free(self.file().as_fd(), freed, 1);
        if self.is_low() {
            // Before anybody else has what came free.
            self.set_aside(&mut writer);
            self.refill(&mut writer);
        }
        let (first, last) = (writer.end.first, writer.end.position());
        drop(writer);
        pass.bytes.clear();
        if first < pass.end {
            return Step::More;
        }
        pass.bytes = Vec::new();
        (pass.end, pass.begun) = (0, false);
        pass.notes = BTreeSet::new();
        pass.next = (last / SEGMENT as u64 - first) * 2 + SMALL;
        pass.last = last;
        Step::Idle
    }
}

impl Pass {
    /// Whether a pass is under way, or begins now: where memory is short as soon as there is something new, and
    /// sooner where a request was refused for that.
    fn is_due(&mut self, writer: &mut Writer, low: bool) -> bool {
        let segments = writer.end.segment - writer.end.first;
        let new = writer.end.position().saturating_sub(self.last);
        let enough = if writer.refused {
            SEGMENT / 64
        } else {
            SEGMENT
        };
        let worth = segments >= self.next.max(SMALL);
        let wanted = low && segments > 0 && new >= enough as u64;
        if self.end == 0 && (worth || wanted) {
            self.end = writer.end.segment;
            writer.refused = false;
        }
        self.end != 0
    }
}
