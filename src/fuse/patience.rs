//! How long a request waits for room that is about to be free.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::adapter::Server;
use crate::ops::Fs;

/// At first: on a busy machine a thread waits this long for a processor.
const FIRST: Duration = Duration::from_millis(250);
/// As long as it was worth nearly as much.
const LONGEST: Duration = Duration::from_secs(1);
/// As long as it was in vain each time.
const SHORTEST: Duration = Duration::from_millis(5);
/// A wait in vain makes the next ones so many times shorter; one that was not may be so many times longer.
const FACTOR: u32 = 4;
/// How long it sleeps before it looks again, at first and in the end.
const STEPS: (Duration, Duration) = (Duration::from_micros(100), Duration::from_millis(2));
/// So many requests wait at a time: the other threads are there for what these wait for.
const WAITERS: u32 = 2;

/// What a request learns that waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// The room is free, or nobody needs it any more.
    Free,
    /// It took too long: something uses it.
    InVain,
    /// Enough others wait.
    Crowded,
}

/// The longest wait gets shorter when it is in vain, and longer where others took nearly as long.
#[derive(Debug)]
pub(super) struct Patience(Mutex<State>);

#[derive(Debug)]
struct State {
    waiting: u32,
    limit: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Patience(Mutex::new(State {
            waiting: 0,
            limit: FIRST,
        }))
    }
}

impl State {
    fn learn(&mut self, outcome: Outcome, waited: Duration) {
        self.limit = match outcome {
            Outcome::Free => self.limit.max(waited * FACTOR).min(LONGEST),
            Outcome::InVain => (self.limit / FACTOR).max(SHORTEST),
            Outcome::Crowded => self.limit,
        };
    }
}

impl Patience {
    fn wait_while(&self, condition: impl Fn() -> bool) -> Outcome {
        if !condition() {
            return Outcome::Free;
        }
        let limit = {
            let mut state = self.0.lock();
            if state.waiting >= WAITERS {
                return Outcome::Crowded;
            }
            state.waiting += 1;
            state.limit
        };
        let (begun, mut step) = (Instant::now(), STEPS.0);
        let outcome = loop {
            std::thread::sleep(step);
            if !condition() {
                break Outcome::Free;
            }
            if begun.elapsed() >= limit {
                break Outcome::InVain;
            }
            step = (step * 2).min(STEPS.1);
        };
        let mut state = self.0.lock();
        state.waiting -= 1;
        state.learn(outcome, begun.elapsed());
        outcome
    }
}

impl Server {
    /// Gives the kernel time to forget what was unlinked a moment ago, if its room is needed.
    pub(super) fn await_room(&self) {
        self.wait_while(Fs::is_short);
    }

    /// Gives the kernel time to forget what was unlinked a moment ago.
    pub(super) fn await_freed(&self) {
        self.wait_while(Fs::is_freeing);
    }

    fn wait_while(&self, condition: impl Fn(&Fs) -> bool) {
        if self.patience.wait_while(|| condition(&self.fs)) == Outcome::InVain {
            self.fs.stop_awaiting();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_vain_becomes_short() {
        let patience = Patience::default();
        let begun = Instant::now();
        assert_eq!(patience.wait_while(|| true), Outcome::InVain);
        assert!(begun.elapsed() >= FIRST);
        for _ in 0..10 {
            patience.wait_while(|| true);
        }
        assert_eq!(patience.0.lock().limit, SHORTEST);
    }

    #[test]
    fn what_took_long_may_take_longer() {
        let mut state = Patience::default().0.into_inner();
        state.limit = SHORTEST;
        state.learn(Outcome::Free, Duration::from_micros(100));
        assert_eq!(state.limit, SHORTEST);
        state.learn(Outcome::Free, Duration::from_millis(4));
        assert_eq!(state.limit, Duration::from_millis(16));
        state.learn(Outcome::Free, Duration::from_secs(3));
        assert_eq!(state.limit, LONGEST);
    }

    #[test]
    fn it_ends_with_the_condition() {
        let patience = Patience::default();
        let looked = std::cell::Cell::new(0);
        let twice = || looked.replace(looked.get() + 1) < 2;
        assert_eq!(patience.wait_while(twice), Outcome::Free);
        assert_eq!(looked.get(), 3);
    }

    #[test]
    fn only_some_wait() {
        let patience = Patience::default();
        patience.0.lock().waiting = WAITERS;
        assert_eq!(patience.wait_while(|| true), Outcome::Crowded);
        assert_eq!(patience.0.lock().waiting, WAITERS);
    }
}
