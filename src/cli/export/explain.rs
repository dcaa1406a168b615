//! `shmfs export explain`.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use clap::ArgGroup;
use serde::Serialize;

use super::columns;
use crate::cli::name::output::{JsonBytes, show};
use crate::cli::words;
use crate::error::{Error, Result};
use crate::export::{
    Export, Exports, Finding, Presence, ROWS, Reason, Rights, Row, Subject, Verb, verdict,
};

/// Tell what an export says of a name
///
/// Prints the rules that match, the rights that result, and what each operation answers where the object is there and
/// where it is not; modes and ACLs come on top.
#[derive(Debug, clap::Args)]
#[command(
    after_long_help = words::EXIT_STATUS,
    group = ArgGroup::new("rules").args(["file", "from"]).required(true)
)]
pub(in crate::cli) struct ExplainCommand {
    /// The configuration
    #[arg(long, value_name = "FILE", help_heading = "Where the rules are")]
    file: Option<PathBuf>,
    /// The mount whose rules in force are asked
    #[arg(long, value_name = "DIR", help_heading = "Where the rules are")]
    from: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
    /// The export
    name: String,
    /// The name or path in the export, without a slash before it; a slash behind it means a directory
    path: OsString,
}

pub(super) fn run(command: &ExplainCommand) -> Result<String> {
    let exports = exports(command)?;
    let export = super::find(&exports, &command.name)?;
    let explained = Explained::new(export, command.path.as_bytes())?;
    match command.json {
        true => super::json(&explained.json(&command.name)),
        false => Ok(explained.text(&command.name)),
    }
}

fn exports(command: &ExplainCommand) -> Result<Exports> {
    match (&command.file, &command.from) {
        (Some(file), _) => Exports::load(file)
            .map(|(exports, _)| exports)
            .map_err(Error::from),
        (None, Some(dir)) => super::live::in_force(dir).map(|(_, exports)| exports),
        (None, None) => Err(Error::usage(
            "one of --file and --from says where the rules are",
        )),
    }
}

/// What an export says of a path.
struct Explained<'a> {
    path: &'a [u8],
    is_directory: bool,
    findings: Vec<Finding<'a>>,
    rights: Rights,
    leads: bool,
    is_in_layer: bool,
    has_layer: bool,
}

impl<'a> Explained<'a> {
    fn new(export: &'a Export, path: &'a [u8]) -> Result<Explained<'a>> {
        let (path, is_directory) = match path.strip_suffix(b"/") {
            Some(path) => (path, true),
            None => (path, path.is_empty()),
        };
        let is_clean = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
        if !path.is_empty() && !path.split(|byte| *byte == b'/').all(is_clean) {
            let error = Error::usage(format!("{} is no name in an export", show(path)));
            return Err(error.hint("Write it as it is seen from the export's root, without a slash before it and without . and .. in it."));
        }
        let rules = &export.rules;
        let rights = match is_directory {
            true => rules.of_directory(path),
            false => rules.of_file(path),
        };
        let first = path.split(|byte| *byte == b'/').next().unwrap_or_default();
        Ok(Explained {
            path,
            is_directory,
            findings: rules.explain(path, is_directory),
            rights,
            leads: is_directory && rules.leads(path),
            is_in_layer: !path.is_empty() && export.is_in_layer(first),
            has_layer: export.has_layer(),
        })
    }

    /// The rows that are about such an object and about what this export has.
    fn rows(&self) -> impl Iterator<Item = &'static Row> {
        let (is_directory, has_layer) = (self.is_directory, self.has_layer);
        let is_about = move |row: &&Row| match row.subject {
            Subject::File => !is_directory,
            Subject::Directory => is_directory,
            Subject::Both => true,
            Subject::Layer => has_layer && !is_directory,
        };
        ROWS.iter().filter(is_about)
    }

    /// What a row answers where the object is there, and where it is not.
    fn answers(&self, row: &Row) -> [&'static str; 2] {
        let there = match self.is_directory {
            true => Presence::Directory { leads: self.leads },
            false => Presence::File,
        };
        [there, Presence::Absent].map(|presence| {
            match verdict(row.operation, self.rights, presence) {
                Ok(()) => "ok",
                Err(errno) => errno.name().unwrap_or("error"),
            }
        })
    }

    /// What comes of the rules, in words.
    fn summary(&self) -> String {
        if self.is_in_layer {
            return "in the consumer's own layer, where all is allowed".to_owned();
        }
        match (self.rights.is_empty(), self.leads) {
            (true, true) => "none; visible, as it is on the way to what is granted".to_owned(),
            (true, false) => "none; hidden".to_owned(),
            (false, _) => self.rights.to_string(),
        }
    }

    fn text(&self, name: &str) -> String {
        let kind = match self.is_directory {
            true => "directory",
            false => "file",
        };
        let mut text = format!("{kind} {:?} in export {name:?}\n", show(self.path));
        let mut rows: Vec<[String; 4]> = self.findings.iter().map(finding).collect();
        if rows.is_empty() {
            rows.push(["", "no rule matches", "", ""].map(str::to_owned));
        }
        text.push_str(&columns(&rows));
        text.push_str(&format!("rights: {}\n", self.summary()));
        if self.is_in_layer {
            return text;
        }
        let mut rows = vec![["", "OPERATION", "PRESENT", "ABSENT"].map(str::to_owned)];
        rows.extend(self.rows().map(|row| {
            let [present, absent] = self.answers(row);
            ["", row.label, present, absent].map(str::to_owned)
        }));
        text.push('\n');
        text.push_str(&columns(&rows));
        text
    }

    fn json(&self, name: &'a str) -> JsonExplained<'a> {
        let operations = self.rows().map(|row| {
            let [present, absent] = self.answers(row);
            JsonRow {
                operation: row.label,
                present,
                absent,
            }
        });
        JsonExplained {
            export: name,
            path: JsonBytes::new(self.path),
            directory: self.is_directory,
            rules: self.findings.iter().map(JsonFinding::new).collect(),
            rights: words_of(self.rights),
            visible: self.rights.shows() || self.leads || self.is_in_layer,
            on_the_way: self.leads,
            own_layer: self.is_in_layer,
            operations: match self.is_in_layer {
                true => Vec::new(),
                false => operations.collect(),
            },
        }
    }
}

fn words_of(rights: Rights) -> Vec<&'static str> {
    let granted = Rights::EACH.into_iter();
    let granted = granted.filter(|right| rights.contains(*right));
    granted.map(Rights::word).collect()
}

fn finding(finding: &Finding<'_>) -> [String; 4] {
    let rule = finding.rule;
    let effect = match (rule.verb, &finding.reason) {
        (Verb::Grant(_), Reason::Leads) => "something below it is granted".to_owned(),
        (Verb::Grant(rights), Reason::Matches | Reason::HidesAbove(_)) => rights.to_string(),
        (Verb::Hide, Reason::HidesAbove(above)) => format!("hides {}/", show(above)),
        (Verb::Hide, Reason::Matches | Reason::Leads) => "hides it".to_owned(),
    };
    [
        String::new(),
        format!("line {}: {}", rule.line, rule.key.word()),
        format!("{:?}", rule.text),
        effect,
    ]
}

#[derive(Serialize)]
struct JsonExplained<'a> {
    export: &'a str,
    path: JsonBytes,
    directory: bool,
    rules: Vec<JsonFinding<'a>>,
    rights: Vec<&'static str>,
    visible: bool,
    on_the_way: bool,
    own_layer: bool,
    operations: Vec<JsonRow>,
}

#[derive(Serialize)]
struct JsonFinding<'a> {
    key: &'static str,
    pattern: &'a str,
    line: usize,
    effect: &'static str,
    rights: Vec<&'static str>,
}

impl<'a> JsonFinding<'a> {
    fn new(finding: &Finding<'a>) -> JsonFinding<'a> {
        let rule = finding.rule;
        let (effect, rights) = match (rule.verb, &finding.reason) {
            (Verb::Grant(_), Reason::Leads) => ("leads", Rights::NONE),
            (Verb::Grant(rights), Reason::Matches | Reason::HidesAbove(_)) => ("grants", rights),
            (Verb::Hide, Reason::HidesAbove(_)) => ("hides above", Rights::NONE),
            (Verb::Hide, Reason::Matches | Reason::Leads) => ("hides", Rights::NONE),
        };
        JsonFinding {
            key: rule.key.word(),
            pattern: &rule.text,
            line: rule.line,
            effect,
            rights: words_of(rights),
        }
    }
}

#[derive(Serialize)]
struct JsonRow {
    operation: &'static str,
    present: &'static str,
    absent: &'static str,
}
