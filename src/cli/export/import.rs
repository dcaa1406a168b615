//! `shmfs export import`.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::snap::{self, Entry, Share, Snap};
use super::yaml;
use crate::error::{Error, Result};
use crate::export::{Exports, Pattern};

/// More than any snap's YAML.
const MAX_SIZE: u64 = 1 << 20;

/// Turn the slots and plugs of a snap into exports
///
/// Reads the YAML of a snap (snap.yaml or snapcraft.yaml), checks its shared-memory and posix-mq slots and plugs as
/// snapd does, and prints a configuration in which each slot is an export: what a connected plug may have.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct ImportCommand {
    /// The snap's YAML; - is standard input
    file: PathBuf,
}

/// The configuration for a snap.
pub(super) fn run(command: &ImportCommand) -> Result<String> {
    let origin = command.file.display().to_string();
    let text = read(&command.file)?;
    let document = yaml::parse(&text)
        .map_err(|cause| Error::usage(format!("{origin} cannot be read as YAML: {cause}")))?;
    let snap = snap::read(&document);
    refuse(&snap, &origin)?;
    if snap.entries.is_empty() {
        let error = Error::usage(format!(
            "{origin} has no slot and no plug of shared-memory or posix-mq"
        ));
        return Err(error.hint("There is nothing to export."));
    }
    let toml = write(&snap);
    // What snapd takes and a configuration cannot have is told with our codes.
    Exports::parse(&toml, &format!("what {origin} becomes")).map_err(|problems| {
        let what = format!("snapd accepts {origin}, and it cannot be exported so:\n{problems}");
        Error::usage(format!("{what}\n\n{}", toml.trim_end()))
    })?;
    Ok(toml)
}

fn read(path: &Path) -> Result<String> {
    let mut text = String::new();
    let read = match path.as_os_str().as_encoded_bytes() {
        b"-" => io::stdin()
            .lock()
            .take(MAX_SIZE + 1)
            .read_to_string(&mut text),
        _ => File::open(path).and_then(|file| file.take(MAX_SIZE + 1).read_to_string(&mut text)),
    };
    read.map_err(|cause| Error::path("read", path, cause))?;
    if text.len() as u64 > MAX_SIZE {
        return Err(Error::usage(format!("{} is too large", path.display())));
    }
    Ok(text)
}

fn refuse(snap: &Snap, origin: &str) -> Result<()> {
    let lines: Vec<String> = snap
        .refusals
        .iter()
        .map(|refusal| {
            format!(
                "{origin}:{}: {} {:?}: {}",
                refusal.line,
                refusal.side.word(),
                refusal.name,
                refusal.words
            )
        })
        .collect();
    match lines.is_empty() {
        true => Ok(()),
        false => Err(Error::usage(lines.join("\n")).hint("snapd would refuse this snap as well.")),
    }
}

fn write(snap: &Snap) -> String {
    let mut out = String::new();
    let mut names = HashSet::new();
    for entry in &snap.entries {
        let from = format!(
            "# {} {:?} ({}) of snap {:?}",
            entry.side.word(),
            entry.name,
            entry.interface.word(),
            snap.name
        );
        if !out.is_empty() {
            out.push('\n');
        }
        match &entry.share {
            Share::Wish => {
                let line = "has the export of the slot that it is connected to";
                // Writing to a String cannot fail.
                let _ = writeln!(out, "{from}: {line}, {:?}.", entry.identifier);
            }
            Share::System => {
                let _ = writeln!(out, "{from}: each private plug has a tree of its own.");
            }
            Share::Private => {
                let name = unique(&format!("snap.{}", snap.name), &mut names);
                let _ = writeln!(out, "{from}\n[export.{}]\nprivate = true", quote(&name));
            }
            Share::Memory { read, write } => {
                let name = head(&mut out, &from, entry, &mut names);
                memory(&mut out, &name, read, write);
            }
            Share::Queues { paths, permissions } => {
                let name = head(&mut out, &from, entry, &mut names);
                queues(&mut out, &name, paths, permissions);
            }
        }
    }
    out
}

/// The export's heading; returns its name. An identifier that is taken or no name gives another one.
fn head(out: &mut String, from: &str, entry: &Entry, names: &mut HashSet<String>) -> String {
    let name = unique(&entry.identifier, names);
    let _ = writeln!(out, "{from}");
    if name != entry.identifier {
        let word = entry.interface.word();
        let _ = writeln!(out, "# for plugs with {word}: {:?}", entry.identifier);
    }
    name
}

fn unique(wanted: &str, names: &mut HashSet<String>) -> String {
    let is_plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '@');
    let plain: String = wanted
        .chars()
        .map(|c| if is_plain(&c) { c } else { '-' })
        .take(180)
        .collect();
    let plain = match plain.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        true => plain,
        false => format!("_{plain}"),
    };
    let numbered = (2..).map(|number| format!("{plain}-{number}"));
    let name = std::iter::once(plain.clone())
        .chain(numbered)
        .find(|name| !names.contains(name))
        .unwrap_or(plain);
    names.insert(name.clone());
    name
}

/// snapd lets the wider of two rights win, silently; here what has no effect is left out and said.
fn memory(out: &mut String, export: &str, read: &[String], write: &[String]) {
    let mut seen = HashSet::new();
    let write: Vec<&String> = write.iter().filter(|name| seen.insert(*name)).collect();
    let (read, dropped): (Vec<&String>, Vec<&String>) = read
        .iter()
        .filter(|name| seen.insert(*name) || write.contains(name))
        .partition(|name| !is_written(name, &write));
    for name in dropped {
        let _ = writeln!(out, "# read: {name:?} is left out, as write has it");
    }
    let _ = writeln!(out, "[export.{}]", quote(export));
    for (key, names) in [("read", read), ("write", write)] {
        if !names.is_empty() {
            let names: Vec<String> = names.into_iter().map(|name| quote(name)).collect();
            let _ = writeln!(out, "{key} = [{}]", names.join(", "));
        }
    }
}

/// Whether `write` has the same pattern, or one that matches this name.
fn is_written(name: &str, write: &[&String]) -> bool {
    let literal = Pattern::parse(name)
        .ok()
        .and_then(|pattern| pattern.literal());
    write.iter().any(|pattern| {
        *pattern == name
            || literal.as_deref().is_some_and(|path| {
                Pattern::parse(pattern).is_ok_and(|pattern| pattern.matches_file(path))
            })
    })
}

fn queues(out: &mut String, export: &str, paths: &[String], permissions: &[String]) {
    let mut seen = HashSet::new();
    let paths: Vec<String> = paths
        .iter()
        .filter(|path| seen.insert(*path))
        .map(|path| quote(path))
        .collect();
    // Whoever has another permission may open.
    let mut seen = HashSet::new();
    let words: Vec<String> = permissions
        .iter()
        .filter(|word| *word != "open" && seen.insert(*word))
        .map(|word| quote(word))
        .collect();
    let export = quote(export);
    let _ = writeln!(
        out,
        "[[export.{export}.rule]]\npath = [{}]",
        paths.join(", ")
    );
    let _ = writeln!(out, "permissions = [{}]", words.join(", "));
}

/// A TOML string.
fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            sign if sign.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(sign));
            }
            sign => out.push(sign),
        }
    }
    out.push('"');
    out
}
