//! The configuration: a file of exports, all or nothing.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::check;
use super::problem::{Code, Problem, Problems, Warning};
use super::read::{self, Draft};
use super::report::Report;
use super::rules::Rules;

/// More than ten thousand rules of the longest names; it bounds the memory that a file can take.
const MAX_SIZE: u64 = 8 << 20;

/// What becomes of a consumer's names that no rule grants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Unmatched {
    /// They are not there and cannot be made.
    #[default]
    Hidden,
    /// They are in a layer of the consumer's own.
    Private,
}

/// A consumer's part of the tree.
#[derive(Debug)]
pub struct Export {
    /// Its name, which is that of its directory too.
    pub name: String,
    /// What it shows and allows; nothing where it is private.
    pub rules: Rules,
    /// An empty tree of the consumer's own.
    pub private: bool,
    /// What is the consumer's own lives as long as the mount and not as the session.
    pub keep: bool,
    /// Names without rights.
    pub unmatched: Unmatched,
    /// `semaphores` is given: the temporary names of sem_open are in a layer of the consumer's own.
    pub semaphores: bool,
    /// The root is shown with the sticky bit, 01777; otherwise 0777.
    pub sticky: bool,
    /// The key of another platform's scheme, which the caller checks.
    pub view: Option<String>,
    /// Bytes; `None` where there is no limit of its own.
    pub size: Option<u64>,
    /// Inodes; `None` where there is no limit of its own.
    pub nr_inodes: Option<u64>,
    /// The directory on which it is bound at mount.
    pub to: Option<PathBuf>,
}

impl Export {
    /// Whether a name of the root is in the consumer's own layer: nothing is granted of it, and there is a layer for it.
    pub fn is_in_layer(&self, name: &[u8]) -> bool {
        if self.private {
            return true;
        }
        let may_be = match self.unmatched {
            Unmatched::Private => true,
            Unmatched::Hidden => self.rules.is_scratch(name),
        };
        may_be && self.rules.is_unmatched(name)
    }

    /// Whether a consumer may have objects of its own in it.
    pub fn has_layer(&self) -> bool {
        self.private || self.semaphores || self.unmatched == Unmatched::Private
    }
}

/// All exports of one file, in its order.
#[derive(Debug, Default)]
pub struct Exports {
    exports: Vec<Export>,
}

impl Exports {
    /// Reads a file.
    pub fn load(path: &Path) -> Result<(Exports, Vec<Warning>), Problems> {
        let origin = path.display().to_string();
        let text = read_file(path).map_err(|what| unreadable(&origin, what))?;
        Exports::parse(&text, &origin)
    }

    /// Reads a text that is from `origin`, a path.
    pub fn parse(text: &str, origin: &str) -> Result<(Exports, Vec<Warning>), Problems> {
        let mut report = Report::new(text);
        let (document, faults) = DeTable::parse_recoverable(text);
        for fault in &faults {
            let at = fault.span().map_or(0, |span| span.start);
            report.error(
                Code::Toml,
                at,
                fault.message(),
                "The rest of the file is read as well as it can be.",
            );
        }
        report.is_torn = !faults.is_empty();
        let mut exports = Vec::new();
        for draft in read::document(document.get_ref(), &mut report) {
            check::draft(&draft, &mut report);
            exports.extend(build(draft, &mut report));
        }
        report
            .finish(origin)
            .map(|warnings| (Exports { exports }, warnings))
    }

    /// The export of that name.
    pub fn get(&self, name: &str) -> Option<&Export> {
        self.exports.iter().find(|export| export.name == name)
    }

    /// All of them, in the file's order.
    pub fn iter(&self) -> std::slice::Iter<'_, Export> {
        self.exports.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.exports.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.exports.is_empty()
    }
}

impl IntoIterator for Exports {
    type Item = Export;
    type IntoIter = std::vec::IntoIter<Export>;

    fn into_iter(self) -> Self::IntoIter {
        self.exports.into_iter()
    }
}

impl<'a> IntoIterator for &'a Exports {
    type Item = &'a Export;
    type IntoIter = std::slice::Iter<'a, Export>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

fn build(draft: Draft, report: &mut Report<'_>) -> Option<Export> {
    let rules = match Rules::new(draft.rules, draft.semaphores) {
        Ok(rules) => rules,
        Err(cause) => {
            let what = format!("its patterns are too large together: {cause}");
            report.enter(&draft.name);
            report.error(
                Code::Read,
                draft.at,
                what,
                "Write fewer or simpler patterns.",
            );
            return None;
        }
    };
    check::rules(&draft.name, &rules, report);
    Some(Export {
        name: draft.name,
        rules,
        private: draft.private,
        keep: draft.keep,
        unmatched: draft.unmatched,
        semaphores: draft.semaphores,
        sticky: draft.sticky,
        view: draft.view,
        size: draft.size,
        nr_inodes: draft.nr_inodes,
        to: draft.to,
    })
}

pub(super) fn read_file(path: &Path) -> Result<String, String> {
    let file = File::open(path).map_err(|cause| format!("it cannot be opened: {cause}"))?;
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| format!("it cannot be read: {cause}"))?;
    if bytes.len() as u64 > MAX_SIZE {
        return Err(format!("it is larger than {} MiB", MAX_SIZE >> 20));
    }
    String::from_utf8(bytes).map_err(|cause| {
        let at = cause.utf8_error().valid_up_to();
        format!("it is not UTF-8: byte {at}")
    })
}

pub(super) fn unreadable(origin: &str, what: String) -> Problems {
    Problems {
        origin: origin.to_owned(),
        errors: vec![Problem {
            code: Code::Read,
            export: None,
            key: None,
            line: 0,
            column: 0,
            what,
            instead: String::new(),
        }],
        warnings: Vec::new(),
    }
}
