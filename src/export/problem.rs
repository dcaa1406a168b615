//! What a person reads when a configuration is wrong: where, what, and what to write instead.

use std::fmt;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)*) => {
        /// What kind of problem; the word is the same in messages and in docs/EXPORTS.md.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Code] = &[$(Code::$name),*];

            /// The word to look for.
            pub fn word(self) -> &'static str {
                match self {
                    $(Code::$name => $word,)*
                }
            }

            /// What it means.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Code::$name => concat!($($doc),+).trim_ascii_start(),)*
                }
            }
        }
    };
}

codes! {
    /// the file cannot be read, is too large, or its patterns are
    Read = "E_READ",
    /// the file is no TOML
    Toml = "E_TOML",
    /// the name of an export cannot be the name of a directory, or would have to be quoted
    Name = "E_NAME",
    /// an export grants nothing and is not private
    Empty = "E_EMPTY",
    /// a value of the wrong type, or one that the key does not know
    Type = "E_TYPE",
    /// a key that is not known there
    UnknownKey = "E_UNKNOWN_KEY",
    /// a rule without a path
    NoPath = "E_NO_PATH",
    /// an empty pattern
    EmptyPattern = "E_EMPTY_PATTERN",
    /// white space at an end of a pattern
    Whitespace = "E_WHITESPACE",
    /// a control character in a pattern
    Control = "E_CONTROL",
    /// a component that needs more than 255 bytes, or more than 64 components
    TooLong = "E_TOO_LONG",
    /// a pattern that begins with a slash
    Absolute = "E_ABSOLUTE",
    /// a component that is empty, `.` or `..`
    Unclean = "E_UNCLEAN",
    /// `**` within a component
    DoubleStar = "E_DOUBLESTAR",
    /// a bad bracket or brace, or a backslash with nothing behind it
    Syntax = "E_SYNTAX",
    /// a permission that is unknown or given twice, or none
    Permission = "E_PERMISSION",
    /// `create` without `read` or `write`
    CreateAlone = "E_CREATE_ALONE",
    /// the same pattern twice, in one list or in two
    Duplicate = "E_DUPLICATE",
    /// a name without wildcards to which a wider pattern gives a right that its own rule does not
    Shadowed = "E_SHADOWED",
    /// a name without wildcards that `hide` takes away
    DeadRule = "E_DEAD_RULE",
    /// `private = true` beside lists, rules or `unmatched`
    PrivateExclusive = "E_PRIVATE_EXCLUSIVE",
    /// a pattern that grants everything
    Everything = "W_EVERYTHING",
    /// a name without wildcards to which wider patterns give the same rights
    Covered = "W_COVERED",
    /// a semaphore without both `read` and `write`, with which sem_open cannot open it
    Semaphore = "W_SEMAPHORE",
    /// two patterns with different rights, where one's fixed beginning starts the other's
    Overlap = "W_OVERLAP",
    /// a pattern in `hide` that leaves directories of such names to be seen
    FilesOnly = "W_FILES_ONLY",
    /// a key without effect
    NoEffect = "W_NO_EFFECT",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its kind.
    pub code: Code,
    /// The export.
    pub export: Option<String>,
    /// The key in the export.
    pub key: Option<String>,
    /// The line, from 1; 0 where there is none.
    pub line: usize,
    /// The column in characters, from 1.
    pub column: usize,
    /// What is wrong: a clause.
    pub what: String,
    /// What to write instead: a sentence.
    pub instead: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.code)?;
        if let Some(export) = &self.export {
            write!(f, "export {export:?}: ")?;
        }
        if let Some(key) = &self.key {
            write!(f, "{key}: ")?;
        }
        f.write_str(&self.what)?;
        if !self.instead.is_empty() {
            write!(f, "\n  {}", self.instead)?;
        }
        Ok(())
    }
}

/// Something that is allowed and probably not meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// Where the text is from: a path.
    pub origin: String,
    /// What it is about.
    pub problem: Problem,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, &self.origin, &self.problem)?;
        write!(f, "warning: {}", self.problem)
    }
}

/// All that is wrong with a configuration; nothing is served from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problems {
    /// Where the text is from: a path.
    pub origin: String,
    /// In the order of the file.
    pub errors: Vec<Problem>,
    /// In the order of the file.
    pub warnings: Vec<Warning>,
}

impl Problems {
    /// Whether one of the errors is of this kind.
    pub fn has(&self, code: Code) -> bool {
        self.errors.iter().any(|error| error.code == code)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.errors.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            place(f, &self.origin, error)?;
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// As compilers write it, so that editors find it.
fn place(f: &mut fmt::Formatter<'_>, origin: &str, problem: &Problem) -> fmt::Result {
    match problem.line {
        0 => write!(f, "{origin}: "),
        line => write!(f, "{origin}:{line}:{}: ", problem.column),
    }
}
