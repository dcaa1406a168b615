//! `shmfs journal`: looking into what a mount saves.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Map, json};

use super::words;
use crate::error::{Error, Result};
use crate::mount;
use crate::recovery::dump::{self, Field, Value};
use crate::recovery::{self, Damage, Record};

/// The subcommands.
#[derive(Debug, Subcommand)]
pub(super) enum JournalCommand {
    Dump(DumpCommand),
}

/// Print the records of a journal
///
/// A record is what one change left: the request that asked for it, its answer, and all that it changed,
/// as it was afterwards. What is read last counts.
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
pub(super) struct DumpCommand {
    /// Print one JSON object for each record
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// The mount point, or a file with a journal
    #[arg(value_name = "DIR|FILE")]
    place: PathBuf,
}

/// Does what the command says.
pub(super) fn run(command: &JournalCommand) -> Result<()> {
    match command {
        JournalCommand::Dump(command) => command.run(),
    }
}

impl DumpCommand {
    fn run(&self) -> Result<()> {
        let file = open(&self.place)?;
        let mut out = BufWriter::new(io::stdout().lock());
        let mut written = Ok(());
        let read = recovery::read(&file, |record| {
            if written.is_ok() {
                written = self.print(&mut out, &record)?;
            }
            Ok(())
        });
        let written = written.and_then(|()| out.flush());
        drop(out);
        match written {
            // Whoever asked has closed the pipe: nothing to do about it.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            Err(error) => return Err(Error::system("cannot write", error)),
            Ok(()) => {}
        }
        read.map_err(|damage| of_file(&self.place, &damage))?;
        if !self.json {
            summary(&file).map_err(|damage| of_file(&self.place, &damage))?;
        }
        Ok(())
    }

    /// Prints one record.
    fn print(
        &self,
        out: &mut impl Write,
        record: &Record<'_>,
    ) -> std::result::Result<io::Result<()>, Damage> {
        let (origin, entities) = record.parts()?;
        let entities: Vec<_> = entities
            .map(|entity| entity.map(|entity| dump::entity(&entity)))
            .collect::<std::result::Result<_, Damage>>()?;
        let origin = dump::origin(&origin);
        Ok(if self.json {
            writeln!(out, "{}", json_of(record, &origin, &entities))
        } else {
            print_lines(out, record, &origin, &entities)
        })
    }
}

/// What is read twice, and while it is being written, is a copy.
fn open(place: &Path) -> Result<File> {
    if place.is_dir() {
        let journal = mount::journal(place)?;
        let copy = recovery::copy(&journal).map_err(|damage| of_file(place, &damage))?;
        return Ok(File::from(copy));
    }
    File::open(place).map_err(|error| Error::path("open", place, error))
}

fn of_file(place: &Path, damage: &Damage) -> Error {
    Error::system(
        format!("cannot read all of {}", place.display()),
        io::Error::other(damage.to_string()),
    )
}

fn print_lines(
    out: &mut impl Write,
    record: &Record<'_>,
    origin: &[Field],
    entities: &[(&str, Vec<Field>)],
) -> io::Result<()> {
    write!(out, "{} at {}", record.sequence, record.offset)?;
    print_fields(out, origin)?;
    for (kind, fields) in entities {
        write!(out, "  {kind}")?;
        print_fields(out, fields)?;
    }
    Ok(())
}

fn print_fields(out: &mut impl Write, fields: &[Field]) -> io::Result<()> {
    for Field { name, value } in fields {
        write!(out, " {name}={value}")?;
    }
    writeln!(out)
}

fn json_of(
    record: &Record<'_>,
    origin: &[Field],
    entities: &[(&str, Vec<Field>)],
) -> serde_json::Value {
    let mut object = map_of(origin);
    object.insert("sequence".to_owned(), json!(record.sequence));
    object.insert("offset".to_owned(), json!(record.offset));
    let entities = entities.iter().map(|(kind, fields)| {
        let mut object = map_of(fields);
        object.insert("entity".to_owned(), json!(kind));
        serde_json::Value::Object(object)
    });
    object.insert("entities".to_owned(), entities.collect());
    serde_json::Value::Object(object)
}

fn map_of(fields: &[Field]) -> Map<String, serde_json::Value> {
    let value = |value: &Value| match value {
        Value::Number(number) => json!(number),
        Value::Text(text) => json!(text),
        Value::Flag(flag) => json!(flag),
    };
    let fields = fields.iter();
    fields
        .map(|field| (field.name.to_owned(), value(&field.value)))
        .collect()
}

/// What the records come to.
fn summary(file: &File) -> std::result::Result<(), Damage> {
    let image = recovery::check(file)?;
    let (inodes, names) = image.contents.counts();
    // Nothing is lost where nobody reads it.
    drop(writeln!(
        io::stdout(),
        "{} records, {inodes} inodes, {names} names: whole",
        image.records
    ));
    Ok(())
}
