//! The end of a worker's work: what it has begun is finished, and nothing more is begun.
//!
//! A thread that reads requests cannot be kept from it: it sleeps in the kernel until there is one. So it stops
//! with that one, before anything has come of it. The kernel sends such a request again to the next worker.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, SeqCst};
use std::sync::atomic::{AtomicBool, AtomicUsize, fence};
use std::thread;
use std::time::{Duration, Instant};

use crate::slots::Requests;

/// How often it is looked whether all is finished.
const LOOK: Duration = Duration::from_micros(100);

/// Lets requests begin, until what is begun is to be finished.
#[derive(Debug, Default)]
pub(super) struct Drain {
    closed: AtomicBool,
    /// Requests that have come to it since.
    held: AtomicUsize,
}

impl Drain {
    /// Lets a request through that is in its slot already. Does not return once no more shall begin.
    pub(super) fn admit(&self) {
        // Either who finishes finds the slot, or is noticed here.
        fence(SeqCst);
        if !self.closed.load(Relaxed) {
            return;
        }
        self.held.fetch_add(1, AcqRel);
        loop {
            thread::park();
        }
    }

    /// Lets nothing begin any more; says whether all that was begun was finished by `until`.
    pub(super) fn finish(&self, requests: &Requests, until: Instant) -> bool {
        self.closed.store(true, Relaxed);
        fence(SeqCst);
        loop {
            // In this order: who is counted as held has its slot.
            let held = self.held.load(Acquire);
            if requests.in_hand().len() <= held {
                return true;
            }
            if Instant::now() >= until {
                return false;
            }
            thread::sleep(LOOK);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::AtomicU64;

    use super::*;
    use crate::slots::{Request, Slots};

    fn request(unique: u64) -> Request {
        Request {
            unique,
            opcode: 3,
            node: 1,
        }
    }

    #[test]
    fn nothing_goes_on_once_it_is_closed() {
        for _ in 0..20 {
            let slots = Arc::new(Slots::create().unwrap());
            let drain = Arc::new(Drain::default());
            let done = Arc::new(AtomicU64::new(0));
            for thread in 1..=3 {
                let (slots, drain, done) = (slots.clone(), drain.clone(), done.clone());
                // They sleep for ever once it is closed, as a worker's do until it ends.
                thread::spawn(move || {
                    for number in 0.. {
                        let _held = slots.requests().begin(request(thread + 8 * number));
                        drain.admit();
                        (0..5000).for_each(|_| std::hint::spin_loop());
                        done.fetch_add(1, Relaxed);
                    }
                });
            }
            while done.load(Relaxed) < 20 {
                thread::yield_now();
            }
            assert!(drain.finish(slots.requests(), Instant::now() + Duration::from_secs(20)));
            let before = done.load(Relaxed);
            thread::sleep(Duration::from_micros(300));
            assert_eq!(done.load(Relaxed), before);
        }
    }

    #[test]
    fn what_is_not_finished_is_not_waited_for_for_ever() {
        let (slots, drain) = (Slots::create().unwrap(), Drain::default());
        let held = slots.requests().begin(request(1));
        assert!(!drain.finish(slots.requests(), Instant::now() + Duration::from_millis(5)));
        drop(held);
        assert!(drain.finish(slots.requests(), Instant::now()));
    }
}
