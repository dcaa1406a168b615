//! A naive model of exports, written from their specification and from nothing else: which
//! rights a name has, and what each operation answers.
//!
//! It may be slow and repeat itself, so that it is plainly right.

mod pattern;
mod tree;
mod verdict;

use std::fmt;

pub(crate) use pattern::Pattern;
pub(crate) use tree::{Actor, Tree};
pub(crate) use verdict::{Expect, Other, Presence, Situation, Way, Who, answer, verdict};

/// A set of the four rights.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Rights(u8);

/// The rights in the order in which they are written.
const WORDS: [(Rights, &str, char); 4] = [
    (Rights::READ, "read", 'r'),
    (Rights::WRITE, "write", 'w'),
    (Rights::CREATE, "create", 'c'),
    (Rights::DELETE, "delete", 'd'),
];

impl Rights {
    pub(crate) const NONE: Rights = Rights(0);
    pub(crate) const READ: Rights = Rights(1);
    pub(crate) const WRITE: Rights = Rights(2);
    pub(crate) const CREATE: Rights = Rights(4);
    pub(crate) const DELETE: Rights = Rights(8);
    pub(crate) const ALL: Rights = Rights(15);

    pub(crate) const fn and(self, other: Rights) -> Rights {
        Rights(self.0 | other.0)
    }

    pub(crate) fn has(self, other: Rights) -> bool {
        self.0 & other.0 == other.0
    }

    /// Read, write or delete is granted.
    pub(crate) fn visible(self) -> bool {
        self.0 & (Rights::READ.0 | Rights::WRITE.0 | Rights::DELETE.0) != 0
    }

    /// Whether `self` has read or write where `from` has not.
    pub(crate) fn widens(self, from: Rights) -> bool {
        self.0 & !from.0 & (Rights::READ.0 | Rights::WRITE.0) != 0
    }

    /// What a configuration accepts in one rule: something, and no create alone.
    pub(crate) fn may_be_configured(self) -> bool {
        let only_create =
            self.has(Rights::CREATE) && !self.has(Rights::READ) && !self.has(Rights::WRITE);
        self != Rights::NONE && !only_create
    }

    /// Every set of rights that a configuration accepts.
    pub(crate) fn every() -> impl Iterator<Item = Rights> {
        (0..16)
            .map(Rights)
            .filter(|rights| rights.may_be_configured())
    }

    /// The words of the configuration.
    pub(crate) fn words(self) -> Vec<&'static str> {
        let granted = WORDS.iter().filter(|(right, ..)| self.has(*right));
        granted.map(|(_, word, _)| *word).collect()
    }

    /// The reverse of [`Rights::words`].
    pub(crate) fn of_words<'a>(words: impl IntoIterator<Item = &'a str>) -> Rights {
        let of = |word: &str| {
            let found = WORDS.iter().find(|(_, name, _)| *name == word);
            found.unwrap_or_else(|| panic!("no such right: {word}")).0
        };
        words.into_iter().map(of).fold(Rights::NONE, Rights::and)
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Rights::NONE {
            return f.write_str("none");
        }
        let mut letters = WORDS.iter().filter(|(right, ..)| self.has(*right));
        letters.try_for_each(|(.., letter)| write!(f, "{letter}"))
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// What kind of object is asked about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    File,
    Directory,
}

/// The rules of one export.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rules {
    /// Patterns with the rights that they grant.
    pub(crate) grants: Vec<(String, Rights)>,
    /// Patterns that hide.
    pub(crate) hide: Vec<String>,
}

impl Rules {
    pub(crate) fn grant(mut self, pattern: &str, rights: Rights) -> Rules {
        self.grants.push((pattern.to_owned(), rights));
        self
    }

    pub(crate) fn hide(mut self, pattern: &str) -> Rules {
        self.hide.push(pattern.to_owned());
        self
    }

    /// What may be done with the object of this kind at this path.
    pub(crate) fn rights(&self, path: &[u8], kind: Kind) -> Rights {
        if self.is_hidden(path, kind) {
            return Rights::NONE;
        }
        let matching = self
            .grants
            .iter()
            .filter(|(pattern, _)| Pattern::of(pattern).matches(path, kind));
        matching.fold(Rights::NONE, |sum, (_, rights)| sum.and(*rights))
    }

    /// A `hide` pattern matches the name or a directory above it.
    pub(crate) fn is_hidden(&self, path: &[u8], kind: Kind) -> bool {
        let matches = |path: &[u8], kind| {
            let mut patterns = self.hide.iter();
            patterns.any(|pattern| Pattern::of(pattern).matches(path, kind))
        };
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = slashes.map(|(at, _)| &path[..at]);
        matches(path, kind) || above.any(|path| matches(path, Kind::Directory))
    }

    /// A directory on the way to something that a pattern grants.
    pub(crate) fn leads(&self, path: &[u8]) -> bool {
        let mut patterns = self.grants.iter();
        !self.is_hidden(path, Kind::Directory)
            && patterns.any(|(pattern, _)| Pattern::of(pattern).is_below(path))
    }

    /// Whether the object at this path is in the consumer's world.
    pub(crate) fn shows(&self, path: &[u8], kind: Kind) -> bool {
        self.rights(path, kind).visible() || (kind == Kind::Directory && self.leads(path))
    }

    /// The export as the configuration spells it.
    pub(crate) fn toml(&self, name: &str) -> String {
        let mut text = format!("[export.{name}]\n");
        if !self.hide.is_empty() {
            text += &format!("hide = {}\n", list(&self.hide));
        }
        for (pattern, rights) in &self.grants {
            text += &format!(
                "[[export.{name}.rule]]\npath = {}\npermissions = {}\n",
                list(&[pattern]),
                list(&rights.words()),
            );
        }
        text
    }
}

/// A list of strings in TOML; patterns with a backslash or a quotation mark are escaped.
pub(crate) fn list(strings: &[impl AsRef<str>]) -> String {
    let quote = |text: &str| format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
    let quoted = strings.iter().map(|text| quote(text.as_ref()));
    format!("[{}]", quoted.collect::<Vec<_>>().join(", "))
}
