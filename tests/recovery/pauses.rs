//! How long programs had to wait when a worker was killed, or replaced.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::load::LONG;

/// The long operations of one process.
#[derive(Default)]
pub(crate) struct Stopwatch {
    long: Vec<(u64, u64)>,
}

/// Microseconds of a clock that all processes share.
pub(crate) fn now() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    time.tv_sec as u64 * 1_000_000 + time.tv_nsec as u64 / 1000
}

impl Stopwatch {
    /// An operation that began at `start` is over.
    pub(crate) fn add(&mut self, start: Instant) {
        let took = start.elapsed();
        if took >= LONG {
            let end = now();
            self.long.push((end - took.as_micros() as u64, end));
        }
    }

    /// A line for each.
    pub(crate) fn report(&self) -> String {
        let lines = self.long.iter();
        lines
            .map(|(start, end)| format!("long {start} {end}\n"))
            .collect()
    }
}

/// From when until when a kill or an upgrade may have made a program wait.
pub(crate) type Moment = (u64, u64);

/// The pauses of all kills.
pub(crate) struct Pauses(Vec<Duration>);

impl Pauses {
    /// For each kill the longest operation that was under way a moment after it, or came soon.
    pub(crate) fn new(kills: &[Moment], long: &[(u64, u64)]) -> Pauses {
        let of_kill = |&(kill, after): &Moment| {
            let touched = long
                .iter()
                .filter(|(start, end)| *start <= after && *end >= kill);
            let longest = touched.map(|(start, end)| end - (*start).max(kill)).max();
            Duration::from_micros(longest.unwrap_or(0))
        };
        let mut all: Vec<Duration> = kills.iter().map(of_kill).collect();
        all.sort_unstable();
        Pauses(all)
    }

    fn part(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100).max(1) - 1;
        self.0.get(at).copied().unwrap_or_default()
    }

    /// For people: the distribution, of as many moments of what kind.
    pub(crate) fn histogram(&self, what: &str) -> String {
        const LIMITS: [u64; 8] = [5, 10, 20, 50, 100, 200, 500, 1000];
        let mut text = format!(
            "{} {what}; pauses: half {:?}, 90 % {:?}, 99 % {:?}, longest {:?}\n",
            self.0.len(),
            self.part(50),
            self.part(90),
            self.part(99),
            self.part(100),
        );
        let mut from = 0;
        for limit in LIMITS.into_iter().chain([u64::MAX]) {
            let inside = |pause: &&Duration| {
                let millis = pause.as_millis() as u64;
                (from..limit).contains(&millis)
            };
            let count = self.0.iter().filter(inside).count();
            if count > 0 {
                let name = match limit {
                    u64::MAX => format!("{from} ms and more"),
                    limit => format!("{from} to {limit} ms"),
                };
                text += &format!("{name:>18}: {count}\n");
            }
            from = limit;
        }
        text
    }
}
