//! Patterns of names: globs, compared as bytes.
//!
//! ```text
//! pattern   = component { "/" component } [ "/" ]      a "/" at the end: the directory itself
//! component = "**"                                     one or more components
//!           | piece { piece }
//! piece     = "*"                                      any run of bytes, also none, also a leading dot
//!           | "?"                                      one byte
//!           | "[" [ "!" | "^" ] member { member } "]"  one byte of a set; member = byte | byte "-" byte
//!           | "{" pieces "," pieces { "," pieces } "}" one of several, also nothing
//!           | "\" character | character                itself
//! ```
//!
//! No piece ever matches a `/`. A pattern is turned into a regular expression without back references, so that
//! matching is linear in the name.

mod parse;

use std::fmt::Write;

pub use parse::Fault;

/// A pattern that has been read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    components: Vec<Component>,
    /// It ends in a slash: it matches the directory itself and no file.
    directory: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Component {
    /// `**`
    Deep,
    Glob(Vec<Piece>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Piece {
    Literal(Vec<u8>),
    Any,
    One,
    Set(ByteSet),
    Group(Vec<Vec<Piece>>),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct ByteSet([u64; 4]);

impl ByteSet {
    fn insert(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] & (1 << (byte & 63)) != 0
    }

    fn invert(&mut self) {
        self.0.iter_mut().for_each(|word| *word = !*word);
    }

    fn remove(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] &= !(1 << (byte & 63));
    }
}

impl Pattern {
    /// Whether it matches directories only: it ends in a slash.
    pub fn is_directory(&self) -> bool {
        self.directory
    }

    /// Whether it is the other with a slash at its end.
    pub fn is_directory_of(&self, other: &Pattern) -> bool {
        self.directory && !other.directory && self.components == other.components
    }

    /// Whether it matches regular files.
    pub fn matches_files(&self) -> bool {
        !self.directory
    }

    /// Whether it matches directories: with a slash at the end, and all below by a `**` at the end.
    pub fn matches_directories(&self) -> bool {
        self.directory || self.components.last() == Some(&Component::Deep)
    }

    /// The only path that it matches, where there is one.
    pub fn literal(&self) -> Option<Vec<u8>> {
        let mut path = Vec::new();
        for (at, component) in self.components.iter().enumerate() {
            if at > 0 {
                path.push(b'/');
            }
            match component {
                Component::Deep => return None,
                Component::Glob(pieces) => path.extend_from_slice(literal_of(pieces)?),
            }
        }
        Some(path)
    }

    /// Whether it matches the regular file at a path. For a question now and then: `Rules` is for many.
    pub fn matches_file(&self, path: &[u8]) -> bool {
        let expression = format!("^(?:{})$", self.expression());
        let regex = regex::bytes::RegexBuilder::new(&expression)
            .unicode(false)
            .build();
        self.matches_files() && regex.is_ok_and(|regex| regex.is_match(path))
    }

    /// The bytes that all it matches begin with.
    pub fn literal_prefix(&self) -> Vec<u8> {
        let mut prefix = Vec::new();
        for component in &self.components {
            let Component::Glob(pieces) = component else {
                return prefix;
            };
            if let Some(Piece::Literal(bytes)) = pieces.first() {
                prefix.extend_from_slice(bytes);
            }
            if literal_of(pieces).is_none() {
                return prefix;
            }
            prefix.push(b'/');
        }
        prefix.pop();
        prefix
    }

    /// Number of components; `None` where a `**` leaves it open.
    pub fn depth(&self) -> Option<usize> {
        let has_deep = self.components.contains(&Component::Deep);
        (!has_deep).then_some(self.components.len())
    }

    /// Whether it is `*` or `**`: everything.
    pub fn is_everything(&self) -> bool {
        match self.components.as_slice() {
            [Component::Deep] => true,
            [Component::Glob(pieces)] => pieces.as_slice() == [Piece::Any],
            [] | [_, ..] => false,
        }
    }

    /// The regular expression of what it matches, without anchors; for `regex` in bytes mode.
    pub fn expression(&self) -> String {
        let mut out = String::new();
        for (at, component) in self.components.iter().enumerate() {
            if at > 0 {
                out.push('/');
            }
            component.translate(&mut out);
        }
        out
    }

    /// The expression of the directories above what it matches; `None` where there are none.
    pub fn expression_above(&self) -> Option<String> {
        let mut out = String::new();
        let mut open = 0;
        let last = self.components.len().checked_sub(1)?;
        for (at, component) in self.components.iter().enumerate() {
            if *component == Component::Deep {
                // Whatever is below may be part of the `**`.
                match at {
                    0 => out.push_str("(?s:.+)"),
                    _ => out.push_str("(?:/(?s:.+))?"),
                }
                break;
            }
            if at == last {
                break;
            }
            if at > 0 {
                out.push_str("(?:/");
                open += 1;
            }
            component.translate(&mut out);
        }
        out.push_str(&")?".repeat(open));
        (!out.is_empty()).then_some(out)
    }
}

impl Component {
    fn translate(&self, out: &mut String) {
        match self {
            // A path has no empty component, so this is one or more.
            Component::Deep => out.push_str("(?s:.+)"),
            Component::Glob(pieces) => translate(pieces, out),
        }
    }
}

fn translate(pieces: &[Piece], out: &mut String) {
    for piece in pieces {
        match piece {
            Piece::Literal(bytes) => bytes.iter().for_each(|&byte| push_byte(byte, out)),
            Piece::Any => out.push_str("[^/]*"),
            Piece::One => out.push_str("[^/]"),
            Piece::Set(set) => push_set(set, out),
            Piece::Group(choices) => {
                out.push_str("(?:");
                for (at, choice) in choices.iter().enumerate() {
                    if at > 0 {
                        out.push('|');
                    }
                    translate(choice, out);
                }
                out.push(')');
            }
        }
    }
}

fn push_byte(byte: u8, out: &mut String) {
    if byte.is_ascii_alphanumeric() {
        return out.push(char::from(byte));
    }
    // Writing to a String cannot fail.
    let _ = write!(out, "\\x{byte:02x}");
}

fn push_set(set: &ByteSet, out: &mut String) {
    out.push('[');
    let start = out.len();
    let mut from = None;
    for number in 0..=256u16 {
        let byte = u8::try_from(number).ok();
        match (byte.filter(|&byte| set.has(byte)), from) {
            (Some(byte), None) => from = Some(byte),
            (None, Some(first)) => {
                let _ = write!(out, "\\x{first:02x}-\\x{:02x}", number - 1);
                from = None;
            }
            (Some(_), Some(_)) | (None, None) => {}
        }
    }
    if out.len() == start {
        // Nothing: a set of the slash alone.
        out.push_str("^\\x00-\\xff");
    }
    out.push(']');
}

fn literal_of(pieces: &[Piece]) -> Option<&[u8]> {
    match pieces {
        [Piece::Literal(bytes)] => Some(bytes),
        [] | [_, ..] => None,
    }
}
