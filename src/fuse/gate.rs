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

/// What each request passes before it is begun.
#[derive(Debug, Default)]
pub(super) struct Gate {
    closed: AtomicBool,
    /// Requests that have come to it since.
    held: AtomicUsize,
}

impl Gate {
    /// Lets a request through that is in its slot already. Does not return where the gate is closed.
    pub(super) fn pass(&self) {
        // Either who closes it finds the slot, or is noticed here.
        fence(SeqCst);
        if !self.closed.load(Relaxed) {
            return;
        }
        self.held.fetch_add(1, AcqRel);
        loop {
            thread::park();
        }
    }

    /// Closes it for good; says whether all that was let through was finished by `until`.
    pub(super) fn close(&self, requests: &Requests, until: Instant) -> bool {
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
            let gate = Arc::new(Gate::default());
            let done = Arc::new(AtomicU64::new(0));
            for thread in 1..=3 {
                let (slots, gate, done) = (slots.clone(), gate.clone(), done.clone());
                // They sleep for ever once it is closed, as a worker's do until it ends.
                thread::spawn(move || {
                    for number in 0.. {
                        let _held = slots.requests().begin(request(thread + 8 * number));
                        gate.pass();
                        (0..5000).for_each(|_| std::hint::spin_loop());
                        done.fetch_add(1, Relaxed);
                    }
                });
            }
            while done.load(Relaxed) < 20 {
                thread::yield_now();
            }
            assert!(gate.close(slots.requests(), Instant::now() + Duration::from_secs(20)));
            let before = done.load(Relaxed);
            thread::sleep(Duration::from_micros(300));
            assert_eq!(done.load(Relaxed), before);
        }
    }

    #[test]
    fn what_is_not_finished_is_not_waited_for_for_ever() {
        let (slots, gate) = (Slots::create().unwrap(), Gate::default());
        let held = slots.requests().begin(request(1));
        assert!(!gate.close(slots.requests(), Instant::now() + Duration::from_millis(5)));
        drop(held);
        assert!(gate.close(slots.requests(), Instant::now()));
    }
}
