//! `shmfs export`: what consumers may have of a tree.

mod check;
mod explain;
mod import;
mod live;
mod snap;
mod yaml;

use std::io::{self, Write};

use clap::Subcommand;
use serde::Serialize;

use crate::error::{Error, Result};
use crate::export::{Export, Exports};
use crate::mount::exports;

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum ExportCommand {
    Check(check::CheckCommand),
    Explain(explain::ExplainCommand),
    Import(import::ImportCommand),
    List(live::ListCommand),
    Show(live::ShowCommand),
    Reload(live::ReloadCommand),
    Mount(live::MountCommand),
}

/// Does what the command says.
pub(super) fn run(command: ExportCommand) -> Result<()> {
    match command {
        ExportCommand::Check(command) => check::run(&command),
        ExportCommand::Explain(command) => print(&explain::run(&command)?),
        ExportCommand::Import(command) => print(&import::run(&command)?),
        ExportCommand::List(command) => live::list(&command),
        ExportCommand::Show(command) => live::show(&command),
        ExportCommand::Reload(command) => live::reload(&command),
        ExportCommand::Mount(command) => live::mount(&command),
    }
}

fn find<'a>(exports: &'a Exports, name: &str) -> Result<&'a Export> {
    let found = exports.get(name);
    found.ok_or_else(|| exports::unknown(name, exports))
}

fn json(value: &impl Serialize) -> Result<String> {
    let mut text = serde_json::to_string_pretty(value)
        .map_err(|cause| Error::system("cannot write JSON", cause))?;
    text.push('\n');
    Ok(text)
}

fn print(text: &str) -> Result<()> {
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever asked has closed the pipe: nothing to do about it.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Error::system("cannot write", error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Rows with each column as wide as what is in it.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |at: usize| {
        rows.iter()
            .map(|row| row[at].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, &width)| format!("{cell:width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  ").trim_end())
    };
    rows.iter().map(line).collect()
}
