//! `shmfs name list`.

use std::io::Write;

use serde::Serialize;

use super::{Outcome, output};
use crate::error::ExitCode;
use crate::view::{SCHEMES, Scheme};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print one JSON array
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Row {
    key: &'static str,
    platform: &'static str,
    title: &'static str,
    kind: &'static str,
    companion: Option<&'static str>,
    age: &'static str,
    directory: &'static str,
    limit: &'static str,
    reversible: &'static str,
    source: &'static str,
}

impl Row {
    fn new(scheme: &Scheme) -> Row {
        Row {
            key: scheme.key,
            platform: scheme.platform,
            title: scheme.title,
            kind: scheme.kind.name(),
            companion: scheme.companion,
            age: scheme.age.name(),
            directory: scheme.directory.name(),
            limit: scheme.limit,
            reversible: scheme.reversible.name(),
            source: scheme.source,
        }
    }
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let rows: Vec<Row> = SCHEMES.iter().map(|scheme| Row::new(scheme)).collect();
    if args.json {
        output::json(out, &rows)?;
        return Ok(ExitCode::Success);
    }
    let header = [
        "KEY",
        "PLATFORM",
        "KIND",
        "AGE",
        "DIRECTORY",
        "LONGEST",
        "REVERSIBLE",
        "SOURCE",
    ];
    let mut table = vec![header.map(Into::into)];
    table.extend(rows.iter().map(|row| {
        let kind = row.companion.unwrap_or(row.kind);
        [
            row.key,
            row.title,
            kind,
            row.age,
            row.directory,
            row.limit,
            row.reversible,
            row.source,
        ]
        .map(Into::into)
    }));
    output::table(out, 0, &table)?;
    Ok(ExitCode::Success)
}
