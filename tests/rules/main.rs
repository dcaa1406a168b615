//! Exports without a mount: configuration, patterns, rights, and the table of operations.

mod adversary;
mod cases;
mod cli;
mod configuration;
mod documents;
mod import;
mod names;
mod oracle;
mod properties;
mod table;
#[path = "../support/written.rs"]
mod written;

use shmfs::export::{Code, Export, Exports, Problems, Warning};

/// The export `a` with these lines.
fn export(lines: &str) -> Export {
    let (exports, _) = parse(lines).unwrap_or_else(|problems| panic!("{lines}\n{problems}"));
    let found = exports.into_iter().next();
    found.unwrap_or_else(|| panic!("{lines}: no export"))
}

/// What `[export.a]` with these lines is.
fn parse(lines: &str) -> Result<(Exports, Vec<Warning>), Problems> {
    Exports::parse(&format!("[export.a]\n{lines}\n"), "exports.toml")
}

/// The codes of all errors.
fn errors(lines: &str) -> Vec<Code> {
    match parse(lines) {
        Ok(_) => Vec::new(),
        Err(problems) => problems.errors.iter().map(|error| error.code).collect(),
    }
}

/// The codes of all warnings.
fn warnings(lines: &str) -> Vec<Code> {
    let (_, warnings) = parse(lines).unwrap_or_else(|problems| panic!("{lines}\n{problems}"));
    warnings
        .iter()
        .map(|warning| warning.problem.code)
        .collect()
}
