//! Interleaved rounds, medians and spreads.

use std::io;
use std::time::Instant;

use crate::sys;

/// What is measured once per round: returns one number per figure.
pub(crate) type Subject<'a> = &'a dyn Fn(usize) -> io::Result<Vec<f64>>;

/// Every figure of every subject in every round.
#[derive(Debug)]
pub(crate) struct Samples {
    numbers: Vec<f64>,
    subjects: usize,
    figures: usize,
}

/// Median and quartiles.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spread {
    pub(crate) low: f64,
    pub(crate) median: f64,
    pub(crate) high: f64,
}

impl Spread {
    /// All three divided.
    pub(crate) fn over(self, divisor: f64) -> Spread {
        Spread {
            low: self.low / divisor,
            median: self.median / divisor,
            high: self.high / divisor,
        }
    }
}

/// Runs the subjects in turn, A B C A B C …, in a child process of user `uid`; `figures` is how many
/// numbers each returns. One round more than asked for is run first and thrown away.
pub(crate) fn interleave(
    uid: u32,
    rounds: usize,
    figures: usize,
    subjects: &[Subject<'_>],
) -> io::Result<Samples> {
    let numbers = sys::numbers_as(uid, || rounds_of(rounds, figures, subjects))?;
    Ok(Samples {
        numbers,
        subjects: subjects.len(),
        figures,
    })
}

fn rounds_of(rounds: usize, figures: usize, subjects: &[Subject<'_>]) -> io::Result<Vec<f64>> {
    let mut numbers = Vec::new();
    for round in 0..=rounds {
        let mut this = vec![Vec::new(); subjects.len()];
        // Each round starts with another subject: nobody always follows the same one.
        for turn in 0..subjects.len() {
            let index = (turn + round) % subjects.len();
            this[index] = subjects[index](round)?;
            if this[index].len() != figures {
                return Err(io::Error::other("a subject returned too few figures"));
            }
        }
        if round > 0 {
            numbers.extend(this.into_iter().flatten());
        }
    }
    Ok(numbers)
}

impl Samples {
    fn series(&self, subject: usize, figure: usize) -> impl Iterator<Item = f64> + '_ {
        let at = subject * self.figures + figure;
        let stride = self.subjects * self.figures;
        self.numbers.iter().skip(at).step_by(stride).copied()
    }

    /// The median of one figure of one subject.
    pub(crate) fn median(&self, subject: usize, figure: usize) -> f64 {
        spread(self.series(subject, figure).collect()).median
    }

    /// One figure over another, taken round by round.
    pub(crate) fn ratio(&self, over: (usize, usize), under: (usize, usize)) -> Spread {
        let pairs = self
            .series(over.0, over.1)
            .zip(self.series(under.0, under.1));
        spread(pairs.map(|(a, b)| a / b).collect())
    }

    /// By how much one figure is more than another, taken round by round, in units of a third's median.
    pub(crate) fn excess(
        &self,
        over: (usize, usize),
        base: (usize, usize),
        unit: (usize, usize),
    ) -> Spread {
        let bases = self.series(base.0, base.1);
        let all = self.series(over.0, over.1).zip(bases);
        spread(all.map(|(a, b)| a - b).collect()).over(self.median(unit.0, unit.1))
    }
}

/// Quartiles of some numbers.
pub(crate) fn spread(mut numbers: Vec<f64>) -> Spread {
    numbers.sort_by(f64::total_cmp);
    let at = |quarter: usize| {
        let index = (numbers.len().saturating_sub(1) * quarter).div_ceil(4);
        numbers.get(index).copied().unwrap_or(f64::NAN)
    };
    Spread {
        low: at(1),
        median: at(2),
        high: at(3),
    }
}

/// Nanoseconds that each of `count` runs of `body` takes.
pub(crate) fn time_each(
    count: usize,
    mut body: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<f64> {
    let start = Instant::now();
    for index in 0..count {
        body(index)?;
    }
    Ok(start.elapsed().as_nanos() as f64 / count as f64)
}
