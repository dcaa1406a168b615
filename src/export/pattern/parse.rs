//! Reads patterns, and says what is wrong with them.

use super::{ByteSet, Component, Pattern, Piece, literal_of};
use crate::export::problem::Code;

/// NAME_MAX: what no component of a name can exceed.
const NAME_MAX: usize = 255;
/// More than any tree of shared memory has; it bounds how deep the expression of `leads` is nested.
const MAX_COMPONENTS: usize = 64;
/// Groups in groups.
const MAX_DEPTH: usize = 16;

const ESCAPE: &str = "Put a backslash before the sign itself.";

/// What is wrong with a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The code.
    pub code: Code,
    /// Where in the pattern, in bytes.
    pub offset: usize,
    /// What is wrong: a clause behind the quoted pattern.
    pub what: String,
    /// What to write instead: a sentence.
    pub instead: String,
}

impl Fault {
    fn new(
        code: Code,
        offset: usize,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) -> Fault {
        Fault {
            code,
            offset,
            what: what.into(),
            instead: instead.into(),
        }
    }
}

impl Pattern {
    /// Reads a pattern; all that is wrong with it otherwise.
    pub fn parse(text: &str) -> Result<Pattern, Vec<Fault>> {
        let mut faults = Vec::new();
        check_text(text, &mut faults);
        if text.is_empty() {
            return Err(faults);
        }
        let relative = text.strip_prefix('/').unwrap_or(text);
        let mut at = text.len() - relative.len();
        let body = relative.strip_suffix('/').unwrap_or(relative);
        let directory = body.len() < relative.len();
        let mut components = Vec::new();
        // Of "/" alone the leading slash has been told.
        if !(body.is_empty() && at > 0 && !directory) {
            for part in body.split('/') {
                match parse_component(part, at) {
                    Ok(component) => components.push(component),
                    // A bracket with a slash in it is wrong once.
                    Err(fault) if has_syntax(&faults) && fault.code == Code::Syntax => {}
                    Err(fault) => faults.push(fault),
                }
                at += part.len() + 1;
            }
        }
        if components.len() > MAX_COMPONENTS {
            let what = format!("has more than {MAX_COMPONENTS} components");
            faults.push(Fault::new(
                Code::TooLong,
                0,
                what,
                "Use ** for a whole tree.",
            ));
        }
        match faults.is_empty() {
            true => Ok(Pattern {
                components,
                directory,
            }),
            false => Err(faults),
        }
    }
}

fn has_syntax(faults: &[Fault]) -> bool {
    faults.iter().any(|fault| fault.code == Code::Syntax)
}

fn check_text(text: &str, faults: &mut Vec<Fault>) {
    if text.is_empty() {
        return faults.push(Fault::new(
            Code::EmptyPattern,
            0,
            "is empty",
            "Write a name or a pattern, or leave it out.",
        ));
    }
    faults.extend(white_space(text));
    // White space at the ends, a newline for instance, is told by then.
    let start = text.len() - text.trim_start().len();
    let mut signs = text.trim().char_indices();
    if let Some((at, sign)) = signs.find(|(_, sign)| sign.is_control()) {
        let what = format!("has the control character U+{:04X}", u32::from(sign));
        let instead = "Write ? where a name has one.";
        faults.push(Fault::new(Code::Control, start + at, what, instead));
    }
    faults.extend(text.strip_prefix('/').map(absolute));
}

fn white_space(text: &str) -> Option<Fault> {
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return None;
    }
    let offset = match text.starts_with(char::is_whitespace) {
        true => 0,
        false => trimmed.len(),
    };
    let instead = match trimmed {
        "" => "Write a name or a pattern, or leave it out.".to_owned(),
        trimmed => format!("Write {trimmed:?}."),
    };
    let what = "has white space at an end";
    Some(Fault::new(Code::Whitespace, offset, what, instead))
}

fn absolute(rest: &str) -> Fault {
    let name = rest.strip_prefix("dev/shm/").unwrap_or(rest);
    let instead = match name.trim_start_matches('/') {
        "" => "For the names in the root write \"*\".".to_owned(),
        name => {
            format!("Write {name:?}: names are relative to the export's root, without a slash.")
        }
    };
    Fault::new(Code::Absolute, 0, "begins with a slash", instead)
}

fn parse_component(text: &str, at: usize) -> Result<Component, Fault> {
    match text {
        "" => {
            return Err(Fault::new(
                Code::Unclean,
                at,
                "has an empty component",
                "Write one slash between two names.",
            ));
        }
        "**" => return Ok(Component::Deep),
        _ => {}
    }
    let mut reader = Reader {
        text,
        at: 0,
        base: at,
    };
    let pieces = reader.pieces(0)?;
    if let Some(b"." | b"..") = literal_of(&pieces) {
        return Err(Fault::new(
            Code::Unclean,
            at,
            format!("has the component {text:?}"),
            "Write the name as it is seen from the export's root.",
        ));
    }
    if shortest(&pieces) > NAME_MAX {
        return Err(Fault::new(
            Code::TooLong,
            at,
            format!("has a component of more than {NAME_MAX} bytes"),
            "No name is as long: shorten it.",
        ));
    }
    Ok(Component::Glob(pieces))
}

/// The length of the shortest match.
fn shortest(pieces: &[Piece]) -> usize {
    let length = |piece: &Piece| match piece {
        Piece::Literal(bytes) => bytes.len(),
        Piece::Any => 0,
        Piece::One | Piece::Set(_) => 1,
        Piece::Group(choices) => choices
            .iter()
            .map(|choice| shortest(choice))
            .min()
            .unwrap_or(0),
    };
    pieces.iter().map(length).sum()
}

/// Reads one component.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    /// Where the component begins in the pattern.
    base: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let sign = self.peek()?;
        self.at += sign.len_utf8();
        Some(sign)
    }

    fn fault(&self, at: usize, what: &str, instead: &str) -> Fault {
        Fault::new(Code::Syntax, self.base + at, what, instead)
    }

    /// Pieces up to the end, or within a group up to its `,` or `}`.
    fn pieces(&mut self, depth: usize) -> Result<Vec<Piece>, Fault> {
        let mut pieces = Vec::new();
        while let Some(sign) = self.peek() {
            let start = self.at;
            if depth > 0 && matches!(sign, ',' | '}') {
                break;
            }
            self.at += sign.len_utf8();
            match sign {
                '*' if pieces.last() == Some(&Piece::Any) => {
                    return Err(Fault::new(
                        Code::DoubleStar,
                        self.base + start - 1,
                        "has ** within a component",
                        "Write * for the rest of a name; ** stands alone between slashes, for any depth.",
                    ));
                }
                '*' => pieces.push(Piece::Any),
                '?' => pieces.push(Piece::One),
                '[' => pieces.push(Piece::Set(self.set(start)?)),
                '{' => pieces.push(self.group(start, depth + 1)?),
                ']' => return Err(self.fault(start, "has a ] without its [", ESCAPE)),
                '}' => return Err(self.fault(start, "has a } without its {", ESCAPE)),
                '\\' => push_char(self.escaped(start)?, &mut pieces),
                other => push_char(other, &mut pieces),
            }
        }
        Ok(pieces)
    }

    fn escaped(&mut self, start: usize) -> Result<char, Fault> {
        self.next().ok_or_else(|| {
            self.fault(
                start,
                "has a backslash with nothing behind it",
                "For the sign itself double it; a slash cannot be escaped.",
            )
        })
    }

    fn group(&mut self, start: usize, depth: usize) -> Result<Piece, Fault> {
        if depth > MAX_DEPTH {
            return Err(self.fault(
                start,
                "has too many groups within groups",
                "Write several patterns.",
            ));
        }
        let mut choices = vec![self.pieces(depth)?];
        loop {
            match self.next() {
                Some(',') => choices.push(self.pieces(depth)?),
                Some(_) => break,
                None => {
                    return Err(self.fault(
                        start,
                        "has a { without its }",
                        "Close it in the same component; a group cannot hold a slash.",
                    ));
                }
            }
        }
        if choices.len() < 2 {
            return Err(self.fault(
                start,
                "has a group of one",
                "Write {a,b} with a comma, or a backslash before each sign that stands for itself.",
            ));
        }
        Ok(Piece::Group(choices))
    }

    fn set(&mut self, start: usize) -> Result<ByteSet, Fault> {
        let negated = matches!(self.peek(), Some('!' | '^'));
        if negated {
            self.next();
        }
        let mut set = ByteSet::default();
        let mut is_empty = true;
        while let Some(first) = self.member(start)? {
            is_empty = false;
            match self.range_end(start)? {
                None => self.range(first, first, start, &mut set)?,
                Some(last) => self.range(first, last, start, &mut set)?,
            }
        }
        if is_empty {
            return Err(self.fault(
                start,
                "has an empty set",
                "Write the bytes between [ and ], for ] itself with a backslash before it.",
            ));
        }
        if negated {
            set.invert();
        }
        // No piece matches a slash.
        set.remove(b'/');
        Ok(set)
    }

    /// The next member of a set; `None` at its end.
    fn member(&mut self, start: usize) -> Result<Option<char>, Fault> {
        let at = self.at;
        match self.next() {
            None => Err(self.fault(
                start,
                "has a [ without its ]",
                "Close it in the same component, or put a backslash before the sign itself.",
            )),
            Some(']') => Ok(None),
            Some('[') if matches!(self.peek(), Some(':' | '.' | '=')) => Err(self.fault(
                at,
                "has a class of characters",
                "Write the range, such as [0-9a-f].",
            )),
            Some('\\') => self.escaped(at).map(Some),
            Some(sign) => Ok(Some(sign)),
        }
    }

    /// The end of a range, if one follows; a `-` before the `]` is itself.
    fn range_end(&mut self, start: usize) -> Result<Option<char>, Fault> {
        let rest = &self.text[self.at..];
        if !rest.starts_with('-') || rest.starts_with("-]") {
            return Ok(None);
        }
        self.next();
        self.member(start)
    }

    fn range(&self, first: char, last: char, start: usize, set: &mut ByteSet) -> Result<(), Fault> {
        if !(first.is_ascii() && last.is_ascii()) {
            return Err(self.fault(
                start,
                "has a set of characters beyond ASCII",
                "A set is of bytes: write {a,b} with a comma between the characters.",
            ));
        }
        if first > last {
            return Err(self.fault(
                start,
                "has a range that runs backwards",
                "Write the smaller one first.",
            ));
        }
        (first as u8..=last as u8).for_each(|byte| set.insert(byte));
        Ok(())
    }
}

fn push_char(sign: char, pieces: &mut Vec<Piece>) {
    let mut bytes = [0; 4];
    let bytes = sign.encode_utf8(&mut bytes).as_bytes();
    match pieces.last_mut() {
        Some(Piece::Literal(literal)) => literal.extend_from_slice(bytes),
        Some(Piece::Any | Piece::One | Piece::Set(_) | Piece::Group(_)) | None => {
            pieces.push(Piece::Literal(bytes.to_vec()));
        }
    }
}
