//! When a worker that died is followed by another one.

use std::time::Duration;

/// A worker that served this long had a fair chance: its death is the first again.
const PROVEN: Duration = Duration::from_secs(10);
/// So had one that answered so many requests: what killed it is none of those that come first, again and again.
const ANSWERED: u64 = 64;
/// The first wait between two that do not serve.
const SHORTEST: Duration = Duration::from_millis(20);
/// And the longest: who mends what keeps them from serving need not wait for long.
const LONGEST: Duration = Duration::from_secs(5);

/// Deaths so far.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    /// How many since a worker last served for a while.
    in_a_row: u32,
    /// How many in all.
    pub(super) total: u64,
}

impl Restarts {
    /// Goes on counting.
    pub(super) fn after(total: u64) -> Restarts {
        Restarts { in_a_row: 0, total }
    }

    /// A worker died after it had served for `served` and answered so many requests; how long the next one has to
    /// wait.
    pub(super) fn death(&mut self, served: Duration, answered: u64) -> Duration {
        if served >= PROVEN || answered >= ANSWERED {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NEVER: Duration = Duration::ZERO;

    #[test]
    fn the_first_time_at_once() {
        let mut restarts = Restarts::default();
        assert_eq!(restarts.death(NEVER, 0), Duration::ZERO);
        assert_eq!(restarts.death(NEVER, 0), SHORTEST);
        assert_eq!(restarts.death(NEVER, 0), SHORTEST * 2);
        assert_eq!(restarts.death(PROVEN, 0), Duration::ZERO);
        assert_eq!(restarts.death(NEVER, ANSWERED), Duration::ZERO);
        assert_eq!(restarts.death(NEVER, ANSWERED - 1), SHORTEST);
        assert_eq!(restarts.total, 6);
    }

    #[test]
    fn the_wait_has_an_end() {
        let mut restarts = Restarts::default();
        for _ in 0..1000 {
            assert!(restarts.death(NEVER, 0) <= LONGEST);
        }
        assert_eq!(restarts.death(NEVER, 0), LONGEST);
    }
}
