//! The table.

use std::cell::Cell;
use std::io;

use crate::measure::Spread;

const WHAT: usize = 47;
const FIGURE: usize = 10;
const MEASURED: usize = 26;
const GOAL: usize = 24;

/// One line of the table; times are in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Row<'a> {
    pub(crate) what: &'a str,
    pub(crate) ours: Option<f64>,
    pub(crate) tmpfs: Option<f64>,
    pub(crate) bare: Option<f64>,
    /// What is held against the goal.
    pub(crate) measured: String,
    pub(crate) goal: &'a str,
    /// None: for information, without a goal.
    pub(crate) pass: Option<bool>,
}

/// Prints rows and counts what passed.
#[derive(Debug, Default)]
pub(crate) struct Report {
    passed: Cell<usize>,
    missed: Cell<usize>,
    failed: Cell<usize>,
}

impl Report {
    pub(crate) fn header(&self) {
        println!(
            "{:WHAT$} {:>FIGURE$} {:>FIGURE$} {:>FIGURE$}  {:MEASURED$} {:GOAL$}",
            "", "shmfs", "tmpfs", "bare FUSE", "measured (quartiles)", "goal"
        );
    }

    pub(crate) fn row(&self, row: &Row<'_>) {
        let verdict = match row.pass {
            Some(true) => "pass",
            Some(false) => "MISS",
            None => "",
        };
        match row.pass {
            Some(true) => self.passed.set(self.passed.get() + 1),
            Some(false) => self.missed.set(self.missed.get() + 1),
            None => {}
        }
        let line = format!(
            "{:WHAT$} {:>FIGURE$} {:>FIGURE$} {:>FIGURE$}  {:MEASURED$} {:GOAL$} {verdict}",
            row.what,
            optional(row.ours),
            optional(row.tmpfs),
            optional(row.bare),
            row.measured,
            row.goal,
        );
        println!("{}", line.trim_end());
    }

    /// A line below a row.
    pub(crate) fn note(&self, text: &str) {
        println!("    {text}");
    }

    /// A group that could not be measured to its end.
    pub(crate) fn fail(&self, error: &io::Error) {
        println!("    NOT MEASURED: {error}");
        self.failed.set(self.failed.get() + 1);
    }

    /// Missed goals are figures; what could not be measured is an error.
    pub(crate) fn summary(&self) -> io::Result<()> {
        println!(
            "\n{} goals passed, {} missed.",
            self.passed.get(),
            self.missed.get()
        );
        match self.failed.get() {
            0 => Ok(()),
            count => Err(io::Error::other(format!(
                "{count} groups could not be measured"
            ))),
        }
    }
}

fn optional(nanoseconds: Option<f64>) -> String {
    nanoseconds.map_or_else(|| "-".to_owned(), time)
}

/// A time with its unit, three digits.
pub(crate) fn time(nanoseconds: f64) -> String {
    let (value, unit) = match nanoseconds {
        n if n < 1e3 => (n, "ns"),
        n if n < 1e6 => (n / 1e3, "µs"),
        n if n < 1e9 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    let digits = match value {
        v if v < 9.995 => 2,
        v if v < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

/// A ratio with its quartiles and what it is a multiple of.
pub(crate) fn times(ratio: Spread, of: &str) -> String {
    format!(
        "{:.2} × {of} ({:.2}–{:.2})",
        ratio.median, ratio.low, ratio.high
    )
}
