//! `shmfs doctor`: what this host gives, and what is missing.
//!
//! [`Host::probe`] finds facts, trying in children what `run` will do; [`Report::of`] turns facts
//! into verdicts, and is a pure function.

mod advice;
mod attempt;
mod host;
mod json;
mod probe;
mod report;

use std::io::{self, Write};

use crate::error::{ExitCode, Result};

pub use host::{
    Attempt, DataMode, Device, Fusermount, Host, NamespaceLimits, Refusal, Shm, Step, Way,
};
pub use report::{Line, Report, State};

/// Prints the report on this host; returns the exit status: 0 if `run` works.
pub fn doctor(json: bool) -> Result<i32> {
    let report = Report::of(&Host::probe()?);
    let text = if json {
        json::object(&report)
    } else {
        let lines: Vec<String> = report.lines.iter().map(Line::to_string).collect();
        lines.join("\n")
    };
    // Whoever asked has closed the pipe: the status still tells.
    drop(writeln!(io::stdout(), "{text}"));
    let code = if report.run_works() {
        ExitCode::Success
    } else {
        ExitCode::System
    };
    Ok(code as i32)
}

#[cfg(test)]
mod tests;
