//! When a worker that died is followed by another one.

use std::os::fd::OwnedFd;
use std::time::Duration;

use crate::slots::Requests;

/// A worker that served this long had a fair chance: its death is the first again.
const PROVEN: Duration = Duration::from_secs(10);
/// The first wait between two that do not serve.
const SHORTEST: Duration = Duration::from_millis(20);
/// And the longest: who mends what keeps them from serving need not wait for long.
const LONGEST: Duration = Duration::from_secs(5);

/// Deaths so far.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// How many since a worker last served for a while.
    in_a_row: u32,
    /// The requests that the last one had in hand: one of them may be what kills.
    suspects: Vec<u64>,
    /// How many in all.
    pub(super) total: u64,
}

impl Restarts {
    /// Goes on counting.
    pub(super) fn after(total: u64) -> Restarts {
        Restarts {
            total,
            ..Restarts::default()
        }
    }

    /// A worker died after it had served for `served`; how long the next one has to wait.
    pub(super) fn death(&mut self, served: Duration, work: &Work) -> Duration {
        let again = work.in_hand.iter().any(|it| self.suspects.contains(it));
        self.suspects.clone_from(&work.in_hand);
        if served >= PROVEN || work.answered > 0 && !again {
            self.in_a_row = 0;
        }
        self.total += 1;
        self.in_a_row = self.in_a_row.saturating_add(1);
        match self.in_a_row.checked_sub(2) {
            None => Duration::ZERO,
            Some(more) => LONGEST.min(SHORTEST * 2u32.saturating_pow(more.min(20))),
        }
    }
}

/// What a worker has done until it died.
#[derive(Debug, Default)]
pub(super) struct Work {
    /// Requests that it answered.
    pub(super) answered: u64,
    /// The numbers of those that it did not.
    pub(super) in_hand: Vec<u64>,
}

impl Work {
    /// As it is written in the slots.
    pub(super) fn of(slots: &OwnedFd) -> Work {
        let Ok(requests) = Requests::watch(slots) else {
            return Work::default();
        };
        let in_hand = requests.in_hand();
        Work {
            answered: requests.finished(),
            in_hand: in_hand.iter().map(|seen| seen.request.unique).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::ZERO;
    const NOTHING: Work = Work {
        answered: 0,
        in_hand: Vec::new(),
    };

    fn work(in_hand: &[u64]) -> Work {
        Work {
            answered: 5,
            in_hand: in_hand.to_vec(),
        }
    }

    #[test]
    fn a_worker_that_works_is_followed_at_once() {
        let mut restarts = Restarts::default();
        for number in 0..100 {
            let work = work(&[2 * number, 2 * number + 1]);
            assert_eq!(restarts.death(NEVER, &work), Duration::ZERO);
        }
    }

    #[test]
    fn a_request_that_kills_is_waited_with() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.death(NEVER, &work(&[7, 8])), Duration::ZERO);
        assert_eq!(restarts.death(NEVER, &work(&[9, 7])), SHORTEST);
        assert_eq!(restarts.death(NEVER, &work(&[7])), SHORTEST * 2);
        assert_eq!(restarts.death(NEVER, &work(&[10])), Duration::ZERO);
    }

    #[test]
    fn the_first_time_at_once() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.death(NEVER, &NOTHING), Duration::ZERO);
        assert_eq!(restarts.death(NEVER, &NOTHING), SHORTEST);
        assert_eq!(restarts.death(NEVER, &NOTHING), SHORTEST * 2);
        assert_eq!(restarts.death(PROVEN, &NOTHING), Duration::ZERO);
        assert_eq!(restarts.total, 4);
    }

    #[test]
    fn the_wait_has_an_end() {
        let mut restarts = Restarts::default();
        for _ in 0..1000 {
            assert!(restarts.death(NEVER, &NOTHING) <= LONGEST);
        }
        assert_eq!(restarts.death(NEVER, &NOTHING), LONGEST);
    }
}
