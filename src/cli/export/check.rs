//! `shmfs export check`.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use super::print;
use crate::cli::words;
use crate::error::{Error, ExitCode, Result};
use crate::export::{Code, Export, Exports, Problem, Problems, Warning};
use crate::view;

/// Check a file of exports, without a mount
///
/// Prints all that is wrong with it, each with its line and what to write instead, and what is probably not meant.
#[derive(Debug, clap::Args)]
#[command(after_long_help = words::EXIT_STATUS)]
pub(in crate::cli) struct CheckCommand {
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// The configuration
    file: PathBuf,
}

pub(super) fn run(command: &CheckCommand) -> Result<()> {
    let origin = command.file.display().to_string();
    let (exports, warnings, errors) = match Exports::load(&command.file) {
        Ok((exports, warnings)) => {
            let errors = unknown_views(&exports);
            (exports, warnings, errors)
        }
        Err(Problems {
            errors, warnings, ..
        }) => (Exports::default(), warnings, errors),
    };
    if command.json {
        print(&json(&origin, &exports, &errors, &warnings)?)?;
    } else {
        tell(&origin, &errors, &warnings);
    }
    let counts = format!(
        "{}, {}",
        count(errors.len(), "error"),
        count(warnings.len(), "warning")
    );
    if errors.is_empty() {
        let exports = count(exports.len(), "export");
        return match command.json {
            true => Ok(()),
            false => print(&format!("{origin}: {exports}, {counts}\n")),
        };
    }
    let code = match errors.iter().all(|error| error.code == Code::Read) {
        true => ExitCode::System,
        false => ExitCode::Usage,
    };
    Err(Error::usage(format!("{origin}: {counts}"))
        .hint("Nothing is served from it.")
        .code(code))
}

/// Schemes are known here and not where rules are.
fn unknown_views(exports: &Exports) -> Vec<Problem> {
    let unknown = |export: &&Export| {
        let key = export.view.as_deref();
        key.is_some_and(|key| view::find(key).is_none())
    };
    let problem = |export: &Export| Problem {
        code: Code::Type,
        export: Some(export.name.clone()),
        key: Some("view".to_owned()),
        line: 0,
        column: 0,
        what: format!(
            "there is no scheme {:?}",
            export.view.as_deref().unwrap_or_default()
        ),
        instead: "'shmfs name list' shows them.".to_owned(),
    };
    exports.iter().filter(unknown).map(problem).collect()
}

/// As compilers do: on standard error, each with its place.
fn tell(origin: &str, errors: &[Problem], warnings: &[Warning]) {
    let problems = Problems {
        origin: origin.to_owned(),
        errors: errors.to_vec(),
        warnings: Vec::new(),
    };
    let mut out = io::stderr().lock();
    // There is nobody left to tell where this fails.
    for warning in warnings {
        drop(writeln!(out, "{warning}"));
    }
    if !problems.errors.is_empty() {
        drop(writeln!(out, "{problems}"));
    }
}

fn count(number: usize, what: &str) -> String {
    let many = if number == 1 { "" } else { "s" };
    format!("{number} {what}{many}")
}

#[derive(Serialize)]
struct JsonCheck<'a> {
    file: &'a str,
    exports: Vec<&'a str>,
    errors: Vec<JsonProblem<'a>>,
    warnings: Vec<JsonProblem<'a>>,
}

#[derive(Serialize)]
struct JsonProblem<'a> {
    code: &'static str,
    export: Option<&'a str>,
    key: Option<&'a str>,
    line: usize,
    column: usize,
    what: &'a str,
    instead: &'a str,
}

impl<'a> From<&'a Problem> for JsonProblem<'a> {
    fn from(problem: &'a Problem) -> JsonProblem<'a> {
        JsonProblem {
            code: problem.code.word(),
            export: problem.export.as_deref(),
            key: problem.key.as_deref(),
            line: problem.line,
            column: problem.column,
            what: &problem.what,
            instead: &problem.instead,
        }
    }
}

fn json(file: &str, exports: &Exports, errors: &[Problem], warnings: &[Warning]) -> Result<String> {
    super::json(&JsonCheck {
        file,
        exports: exports.iter().map(|export| export.name.as_str()).collect(),
        errors: errors.iter().map(JsonProblem::from).collect(),
        warnings: warnings
            .iter()
            .map(|warning| JsonProblem::from(&warning.problem))
            .collect(),
    })
}
