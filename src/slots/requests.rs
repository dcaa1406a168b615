//! The requests in hand: a slot for each thread that has one.

use std::cell::RefCell;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use rustix::io;
use rustix::time::{ClockId, clock_gettime};

use super::cell::Cell;
use super::chunk::Memory;
use super::deed::Deed;
use super::failpoint::failpoint;
use super::table::{self, Found};

/// Slots of requests, each two cache lines.
const SEATS: usize = 256;
const SEATS_AT: usize = 4096;
/// Requests of the dead that may come again; a process has no more than [`SEATS`].
const CARRIED: usize = 512;
const CARRIED_AT: usize = 36 << 10;

/// `FUSE_UNIQUE_RESEND`: the kernel marks the number of a request that it sends again.
pub const RESENT: u64 = 1 << 63;

// Words of a seat.
const UNIQUE: usize = 0;
const OPCODE: usize = 1;
const NODE: usize = 2;
const SINCE: usize = 3;
const FINISHED: usize = 4;
const KEY: usize = 5;
const DEED: usize = 6;
const HOLDER: usize = 7;

type SeatWords = [AtomicU64; 16];
/// Unique, key, deed.
type CarriedWords = [AtomicU64; 4];

/// What the kernel says of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Its number; when it comes again bit 63 is set besides.
    pub unique: u64,
    /// What is asked for.
    pub opcode: u32,
    /// Of which node.
    pub node: u64,
}

impl Request {
    /// Its number, the first time and again.
    pub fn number(&self) -> u64 {
        self.unique & !RESENT
    }

    /// Whether another process has had it in hand before.
    pub fn is_resent(&self) -> bool {
        self.unique & RESENT != 0
    }
}

/// A request in hand as others see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The request, its number without the mark.
    pub request: Request,
    /// When it was taken in hand: nanoseconds of `CLOCK_MONOTONIC_COARSE`.
    pub since: u64,
    /// The thread.
    pub thread: u32,
}

/// All of them.
#[derive(Debug)]
pub struct Requests {
    seats: Memory<16>,
    carried: Memory<4>,
}

/// A thread's slot, kept from one request to the next.
#[derive(Debug)]
struct Seat {
    requests: Arc<Requests>,
    index: usize,
}

/// A request that this process has in hand, until it is dropped.
#[derive(Debug)]
pub struct InHand {
    number: u64,
    opcode: u32,
    seat: Option<Seat>,
}

#[derive(Debug, Default)]
struct Thread {
    unique: u64,
    opcode: u32,
    /// The slot of the request in hand; its owner is [`InHand`].
    current: Option<(Arc<Requests>, usize)>,
    idle: Option<Seat>,
}

thread_local! {
    static THREAD: RefCell<Thread> = RefCell::default();
}

/// The number of the request that this thread has in hand; 0 without one.
pub fn unique_in_hand() -> u64 {
    THREAD
        .try_with(|thread| thread.borrow().unique)
        .unwrap_or(0)
}

/// What the request that this thread has in hand asks for; 0 without one.
pub fn opcode_in_hand() -> u32 {
    THREAD
        .try_with(|thread| thread.borrow().opcode)
        .unwrap_or(0)
}

impl Requests {
    pub(super) fn own() -> Requests {
        Requests {
            seats: Memory::own(SEATS),
            carried: Memory::own(CARRIED),
        }
    }

    pub(super) fn shared(file: impl AsFd) -> io::Result<Requests> {
        Ok(Requests {
            seats: Memory::shared(&file, SEATS_AT, SEATS * size_of::<SeatWords>())?,
            carried: Memory::shared(&file, CARRIED_AT, CARRIED * size_of::<CarriedWords>())?,
        })
    }

    /// Those of a live process, to watch it.
    pub fn watch(file: &OwnedFd) -> io::Result<Requests> {
        table::check(file)?;
        Requests::shared(file)
    }

    /// What is in hand.
    pub fn in_hand(&self) -> Vec<Seen> {
        self.seats.all().iter().filter_map(seen).collect()
    }

    /// How many have been finished by threads that there still are: it grows as long as anything moves.
    pub fn finished(&self) -> u64 {
        let seats = self.seats.all().iter();
        seats.fold(0, |sum, seat| {
            sum.wrapping_add(seat[FINISHED].load(Relaxed))
        })
    }

    /// How many the thread has finished.
    pub fn finished_by(&self, thread: u32) -> u64 {
        let seats = self.seats.all().iter();
        let own = seats.filter(|seat| seat[HOLDER].load(Relaxed) as u32 == thread);
        own.fold(0, |sum, seat| {
            sum.wrapping_add(seat[FINISHED].load(Relaxed))
        })
    }

    /// Whether one is in hand that was sent again.
    pub fn is_any_resent(&self) -> bool {
        let mut seats = self.seats.all().iter();
        seats
            .any(|seat| seat[UNIQUE].load(Acquire) != 0 && seat[OPCODE].load(Acquire) & RESENT != 0)
    }

    /// Takes a request in hand, on this thread.
    pub fn begin(self: &Arc<Self>, request: Request) -> InHand {
        let idle = THREAD.with_borrow_mut(|thread| thread.idle.take());
        let seat = match idle.filter(|seat| Arc::ptr_eq(&seat.requests, self)) {
            Some(seat) => Some(seat),
            None => self.claim(),
        };
        if let Some(words) = seat.as_ref().and_then(Seat::words) {
            self.fill(words, request);
        }
        let in_hand = InHand {
            number: request.number(),
            opcode: request.opcode,
            seat,
        };
        in_hand.enter();
        in_hand
    }

    fn fill(&self, words: &SeatWords, request: Request) {
        let carried = match request.is_resent() {
            true => self.carried_of(request.number()),
            false => None,
        };
        let (key, deed) = carried.map_or((0, Deed::default()), |carried| {
            let deed = Deed::of_word(carried[DEED_CARRIED].load(Acquire));
            (carried[KEY_CARRIED].load(Acquire), deed.as_credit())
        });
        words[KEY].store(key, Release);
        words[DEED].store(deed.word(), Release);
        words[OPCODE].store(u64::from(request.opcode) | request.unique & RESENT, Release);
        words[NODE].store(request.node, Release);
        words[SINCE].store(now(), Release);
        words[UNIQUE].store(request.number(), Release);
        // From here on the slot says it.
        if let Some(carried) = carried {
            carried[UNIQUE].store(0, Release);
        }
    }

    fn claim(self: &Arc<Self>) -> Option<Seat> {
        let tid = rustix::thread::gettid().as_raw_nonzero().get() as u64;
        let claims = |seat: &SeatWords| {
            let claimed = seat[HOLDER].compare_exchange(0, tid, AcqRel, Relaxed);
            claimed.is_ok()
        };
        let index = self.seats.all().iter().position(claims)?;
        Some(Seat {
            requests: Arc::clone(self),
            index,
        })
    }

    /// Takes over what a process that died had in hand: what it was about to count is counted, what it has
    /// counted is kept until the request comes again, and its slots are free.
    ///
    /// Whoever is killed here leaves it to be done again.
    pub(super) fn take_over(&self, cells: &Found) -> Vec<Seen> {
        let mut in_hand = Vec::new();
        for words in self.seats.all() {
            if let Some(seen) = seen(words) {
                self.carry(words, seen.request.unique, cells);
                in_hand.push(seen);
            }
            words.iter().for_each(|word| word.store(0, Release));
        }
        in_hand
    }

    fn carry(&self, words: &SeatWords, unique: u64, cells: &Found) {
        let key = words[KEY].load(Acquire);
        let deed = Deed::of_word(words[DEED].load(Acquire));
        if let (Some(nopen), Some(cell)) = (deed.pending, cells.get(&key)) {
            cell.set_nopen(nopen);
        }
        if deed.net == 0 {
            return;
        }
        let all = self.carried.all();
        let oldest = || all.iter().min_by_key(|words| words[UNIQUE].load(Acquire));
        if let Some(place) = self.carried_of(unique).or_else(oldest) {
            place[UNIQUE].store(0, Release);
            place[KEY_CARRIED].store(key, Release);
            place[DEED_CARRIED].store(Deed::done(deed.net).word(), Release);
            place[UNIQUE].store(unique, Release);
        }
    }

    fn carried_of(&self, unique: u64) -> Option<&CarriedWords> {
        let mut all = self.carried.all().iter();
        all.find(|words| words[UNIQUE].load(Acquire) == unique)
    }
}

const KEY_CARRIED: usize = 1;
const DEED_CARRIED: usize = 2;

fn seen(words: &SeatWords) -> Option<Seen> {
    let unique = words[UNIQUE].load(Acquire);
    let request = Request {
        unique,
        opcode: words[OPCODE].load(Acquire) as u32,
        node: words[NODE].load(Acquire),
    };
    (unique != 0).then(|| Seen {
        request,
        since: words[SINCE].load(Acquire),
        thread: words[HOLDER].load(Acquire) as u32,
    })
}

fn now() -> u64 {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    (time.tv_sec as u64).wrapping_mul(1_000_000_000) + time.tv_nsec as u64
}

impl Seat {
    fn words(&self) -> Option<&SeatWords> {
        self.requests.seats.all().get(self.index)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(words) = self.words() {
            words[HOLDER].store(0, Release);
        }
    }
}

impl InHand {
    /// Its number.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Goes on with it on this thread.
    pub fn enter(&self) {
        let current = self.seat.as_ref();
        let current = current.map(|seat| (Arc::clone(&seat.requests), seat.index));
        THREAD.with_borrow_mut(|thread| {
            thread.unique = self.number;
            thread.opcode = self.opcode;
            thread.current = current;
        });
    }

    /// Goes on with it on another thread: this one has nothing in hand any more.
    pub fn leave(&self) {
        THREAD.with_borrow_mut(|thread| {
            thread.unique = 0;
            thread.opcode = 0;
            thread.current = None;
        });
    }

    /// A handle that the request had opened (1) or closed (-1) before its process died, and has not asked for
    /// again: to be undone.
    pub fn left_over(&self) -> Option<(u64, i8)> {
        let words = self.seat.as_ref()?.words()?;
        let credit = Deed::of_word(words[DEED].load(Acquire)).credit;
        (credit != 0).then(|| (words[KEY].load(Acquire), credit))
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        if let Some(words) = self.seat.as_ref().and_then(Seat::words) {
            words[FINISHED].fetch_add(1, Relaxed);
            words[UNIQUE].store(0, Release);
        }
        let seat = self.seat.take();
        let kept = THREAD.try_with(|thread| {
            let mut thread = thread.borrow_mut();
            thread.unique = 0;
            thread.opcode = 0;
            thread.current = None;
            thread.idle.replace(seat?)
        });
        drop(kept);
    }
}

/// Counts handles of an inode whose state is locked, so that it is known of each request whether it has
/// done so.
pub(super) fn change_handles(cell: &Cell, by: i8) {
    let current = THREAD.try_with(|thread| thread.borrow().current.clone());
    let current = current.ok().flatten();
    let words = current
        .as_ref()
        .and_then(|(requests, index)| requests.seats.all().get(*index));
    let new = cell.nopen().saturating_add_signed(i32::from(by));
    let Some(words) = words else {
        return cell.set_nopen(new);
    };
    let (key, mut deed) = (cell.key(), Deed::of_word(words[DEED].load(Acquire)));
    if words[KEY].load(Acquire) != key {
        if deed != Deed::default() {
            // Two inodes' handles in one request: the second one is none of what comes again.
            return cell.set_nopen(new);
        }
        words[KEY].store(key, Release);
    }
    if deed.credit == by {
        deed.credit = 0;
        return words[DEED].store(deed.word(), Release);
    }
    debug_assert!(by > 0 || cell.nopen() > 0, "closed more often than opened");
    deed.net += by;
    deed.pending = Some(new);
    words[DEED].store(deed.word(), Release);
    failpoint("about-to-count");
    cell.set_nopen(new);
    failpoint("counted");
    deed.pending = None;
    words[DEED].store(deed.word(), Release);
}
