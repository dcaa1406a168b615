//! Memory that the journal has before it is needed, and who is refused where there is none to fill it up with.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::journal::{Journal, Work, Writer, allocate};
use super::layout::{HEADER, SEGMENT};
use super::scan::End;
use crate::sys::memory::{self, Room};

/// Segments that have their memory before they are needed: one for requests that free something, one for the pass that
/// makes the journal shorter then, and one that such a pass may leave filled with what changed while it was under way.
const RESERVE: u64 = 3;
/// While memory is short, how often it is looked for.
const LOOK: Duration = Duration::from_millis(20);
/// So much more must come free before it is short no longer.
const MORE: u64 = 1 << 20;

/// What a request does to the memory that is in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It adds something.
    Adds,
    /// It takes something away.
    Frees,
}

impl Journal {
    /// Whether a request may be begun: there is memory for its records, whatever happens to be needed meanwhile.
    ///
    /// Where memory is short, who adds something must be refused; who frees something may use the reserve up to the
    /// last segment, without which the journal could not be made shorter, and up to half of the one before.
    pub fn has_room(&self, effect: Effect) -> bool {
        if !self.is_low() {
            return true;
        }
        let mut writer = self.writer.lock();
        if writer.looked.is_none_or(|at| at.elapsed() > LOOK) {
            // What was freed is the allocator's at first.
            memory::give_back();
            self.refill(&mut writer);
            self.tell(Work::Grown);
        }
        let has_room = !self.is_low() || effect == Effect::Frees && writer.may_go_on();
        writer.refused |= !has_room;
        has_room
    }

    /// Whether memory is short: what can be done without is not to be recorded.
    pub fn is_low(&self) -> bool {
        self.low.load(Ordering::Relaxed)
    }

    /// Takes memory for one more of the next segments, if one is missing.
    pub(super) fn set_aside(&self, writer: &mut Writer) -> bool {
        let next = writer.end.segment + 1 + writer.reserve;
        let taken = writer.reserve < RESERVE && allocate(self.file(), next).is_ok();
        writer.reserve += u64::from(taken);
        taken
    }

    /// Takes memory for the next segments, where there is some.
    pub(super) fn refill(&self, writer: &mut Writer) {
        // Who was refused and tries again is not to find a little each time.
        let more = if self.is_low() { MORE } else { 0 };
        let mut room = memory::room(more);
        while writer.reserve < RESERVE && room > Room::Nothing && self.set_aside(writer) {
            room = memory::room(more);
        }
        writer.looked = Some(Instant::now());
        let low = writer.reserve < RESERVE || room < Room::Ample;
        if self.low.swap(low, Ordering::Relaxed) != low {
            if low {
                tracing::warn!("memory is short: what would take more of it is refused");
            } else {
                tracing::warn!("there is memory again");
            }
        }
    }
}

impl Writer {
    /// Whether there is enough for requests that free something, and for the pass that makes the journal shorter then.
    fn may_go_on(&self) -> bool {
        self.reserve > 1 || self.has_reserve() && self.end.at <= SEGMENT / 2
    }
}

/// How many segments behind the end have their memory from who wrote the journal before: for them none is to be found.
pub(super) fn reserve_of(file: &OwnedFd, end: &End) -> u64 {
    let blocks = rustix::fs::fstat(file).map_or(0, |stat| stat.st_blocks as u64);
    let segments = (blocks * 512).saturating_sub(HEADER as u64) / SEGMENT as u64;
    let more = segments.saturating_sub(end.segment + 1 - end.first);
    let mut ahead = 1..=more.min(RESERVE);
    let missing = ahead.find(|ahead| allocate(file.as_fd(), end.segment + ahead).is_err());
    missing.map_or(more.min(RESERVE), |ahead| ahead - 1)
}
