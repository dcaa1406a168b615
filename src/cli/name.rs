//! `shmfs name`: what each platform makes of a name, and which names work everywhere.

mod check;
mod lex;
mod list;
mod literals;
pub(in crate::cli) mod output;
mod reverse;
mod scan;
mod translate;
mod unescape;

use std::io::{self, BufWriter, Write};

use clap::{Subcommand, ValueEnum};

use crate::error::{Error, ExitCode, Result};
use crate::view::{self, SCHEMES, Scheme};

/// `shmfs name …`.
#[derive(Debug, Subcommand)]
pub enum NameCommand {
    /// Show the path, the kernel key or the errno that each platform makes of a name
    Translate(translate::Args),
    /// Tell on which platforms a name works; exit with 1 if one refuses it
    Check(check::Args),
    /// Find the name behind a path
    Reverse(reverse::Args),
    /// List the schemes with their directories, limits and sources
    List(list::Args),
}

/// The answer is no: a name is refused, or no name was found.
const NO: ExitCode = ExitCode::Usage;

/// Runs the command and says how to exit.
pub fn run(command: NameCommand) -> Result<ExitCode> {
    let mut out = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    let done = match command {
        NameCommand::Translate(args) => translate::run(args, &mut out),
        NameCommand::Check(args) => check::run(args, &mut out),
        NameCommand::Reverse(args) => reverse::run(args, &mut out),
        NameCommand::List(args) => list::run(args, &mut out),
    };
    match done.and_then(|code| out.flush().map(|()| code).map_err(Failure::Output)) {
        Ok(code) => Ok(code),
        // The reader has seen enough, as head(1) does.
        Err(Failure::Output(cause)) if cause.kind() == io::ErrorKind::BrokenPipe => {
            discard(out);
            Ok(ExitCode::Success)
        }
        Err(Failure::Output(cause)) => Err(Error::system("cannot write to standard output", cause)),
        Err(Failure::Told(error)) => Err(error),
    }
}

/// Drops what was not written, without another attempt to write it.
fn discard<W: Write>(out: BufWriter<W>) {
    let _ = out.into_parts();
}

/// Why a command ended early: what it prints could not be written, or something a person should read.
#[derive(Debug)]
enum Failure {
    Output(io::Error),
    Told(Error),
}

impl From<io::Error> for Failure {
    fn from(cause: io::Error) -> Failure {
        Failure::Output(cause)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(cause: serde_json::Error) -> Failure {
        Failure::Output(cause.into())
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::Told(error)
    }
}

/// How each command ends.
type Outcome = std::result::Result<ExitCode, Failure>;

/// `--op`.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum OpArg {
    /// shm_open, sem_open, mq_open
    Open,
    /// shm_unlink, sem_unlink, mq_unlink
    Unlink,
}

impl From<OpArg> for view::NameOp {
    fn from(op: OpArg) -> view::NameOp {
        match op {
            OpArg::Open => view::NameOp::Open,
            OpArg::Unlink => view::NameOp::Unlink,
        }
    }
}

/// The scheme of a key, or a sentence that helps.
fn parse_scheme(key: &str) -> std::result::Result<&'static Scheme, String> {
    view::find(key).ok_or_else(|| {
        let near: Vec<&str> = SCHEMES
            .iter()
            .map(|scheme| scheme.key)
            .filter(|known| known.starts_with(key) || key.starts_with(known))
            .collect();
        match near.as_slice() {
            [] => "there is no such scheme; 'shmfs name list' shows them".to_owned(),
            near => format!("there is no such scheme; there is {}", near.join(", ")),
        }
    })
}

/// `--scheme`: one scheme, or all.
#[derive(Clone, Copy, Debug)]
enum Selection {
    One(&'static Scheme),
    All,
}

impl Selection {
    fn parse(key: &str) -> std::result::Result<Selection, String> {
        if key == "all" {
            return Ok(Selection::All);
        }
        parse_scheme(key).map(Selection::One)
    }

    /// Those that any of the selections names, in the registry's order, each once.
    fn schemes(selections: &[Selection]) -> Vec<&'static Scheme> {
        let is_selected = |scheme: &Scheme| {
            selections.iter().any(|selection| match selection {
                Selection::One(one) => one.key == scheme.key,
                Selection::All => true,
            })
        };
        SCHEMES
            .iter()
            .copied()
            .filter(|scheme| is_selected(scheme))
            .collect()
    }
}
