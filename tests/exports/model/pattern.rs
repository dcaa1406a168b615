//! Patterns, tried in every possible way.

use super::Kind;

/// One pattern, its braces multiplied out.
pub(crate) struct Pattern {
    components: Vec<Component>,
    /// It ends in a slash: the directory itself is meant.
    directory: bool,
}

enum Component {
    /// `**`: one or more components.
    Any,
    /// Any of these globs.
    One(Vec<Vec<u8>>),
}

impl Pattern {
    /// A pattern that the configuration accepts.
    pub(crate) fn of(text: &str) -> Pattern {
        let (text, directory) = match text.strip_suffix('/') {
            Some(text) => (text, true),
            None => (text, false),
        };
        let component = |text: &str| match text {
            "**" => Component::Any,
            text => Component::One(multiply_out(text.as_bytes())),
        };
        Pattern {
            components: text.split('/').map(component).collect(),
            directory,
        }
    }

    /// Whether it speaks of the object of this kind at this path.
    pub(crate) fn matches(&self, path: &[u8], kind: Kind) -> bool {
        let path: Vec<&[u8]> = path.split(|byte| *byte == b'/').collect();
        let below = matches!(self.components.last(), Some(Component::Any));
        let speaks = match kind {
            Kind::File => !self.directory,
            // `dir/**` is files and directories below.
            Kind::Directory => self.directory || below,
        };
        speaks && whole(&self.components, &path)
    }

    /// Whether something below this directory can match.
    pub(crate) fn is_below(&self, directory: &[u8]) -> bool {
        let path: Vec<&[u8]> = directory.split(|byte| *byte == b'/').collect();
        beginning(&self.components, &path)
    }
}

/// The components are exactly the path.
fn whole(components: &[Component], path: &[&[u8]]) -> bool {
    match components.split_first() {
        None => path.is_empty(),
        Some((Component::Any, rest)) => (1..=path.len()).any(|n| whole(rest, &path[n..])),
        Some((Component::One(globs), rest)) => {
            !path.is_empty()
                && globs.iter().any(|one| glob(one, path[0]))
                && whole(rest, &path[1..])
        }
    }
}

/// The path is used up before the components are.
fn beginning(components: &[Component], path: &[&[u8]]) -> bool {
    match components.split_first() {
        None => false,
        Some(_) if path.is_empty() => true,
        Some((Component::Any, rest)) => {
            // It may itself go on below the path.
            (1..=path.len()).any(|n| n == path.len() || beginning(rest, &path[n..]))
        }
        Some((Component::One(globs), rest)) => {
            globs.iter().any(|one| glob(one, path[0])) && beginning(rest, &path[1..])
        }
    }
}

/// One component, byte by byte.
fn glob(pattern: &[u8], name: &[u8]) -> bool {
    match pattern {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|n| glob(rest, &name[n..])),
        [b'?', rest @ ..] => !name.is_empty() && glob(rest, &name[1..]),
        [b'\\', literal, rest @ ..] => name.first() == Some(literal) && glob(rest, &name[1..]),
        [b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| *byte == b']').expect("a ]");
            let in_it = name.first().is_some_and(|byte| class(&rest[..end], *byte));
            in_it && glob(&rest[end + 1..], &name[1..])
        }
        [literal, rest @ ..] => name.first() == Some(literal) && glob(rest, &name[1..]),
    }
}

fn class(inside: &[u8], byte: u8) -> bool {
    let (inside, negated) = match inside {
        [b'!' | b'^', rest @ ..] => (rest, true),
        all => (all, false),
    };
    negated != in_ranges(inside, byte)
}

fn in_ranges(ranges: &[u8], byte: u8) -> bool {
    match ranges {
        [] => false,
        [from, b'-', to, rest @ ..] => (*from..=*to).contains(&byte) || in_ranges(rest, byte),
        [one, rest @ ..] => *one == byte || in_ranges(rest, byte),
    }
}

/// `a{b,c}d` is `abd` and `acd`.
fn multiply_out(text: &[u8]) -> Vec<Vec<u8>> {
    let Some(open) = find(text, b'{') else {
        return vec![text.to_vec()];
    };
    let close = open + closing(&text[open..]);
    let mut all = Vec::new();
    for inside in alternatives(&text[open + 1..close]) {
        let one = [&text[..open], inside, &text[close + 1..]].concat();
        all.extend(multiply_out(&one));
    }
    all
}

/// Where this byte stands that is not escaped.
fn find(text: &[u8], wanted: u8) -> Option<usize> {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            byte if byte == wanted => return Some(at),
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where the brace that opens at the beginning is closed.
fn closing(text: &[u8]) -> usize {
    let (mut at, mut depth) = (0, 0);
    loop {
        match text[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' if depth == 1 => return at,
            b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
    }
}

/// What the commas of the outermost brace separate.
fn alternatives(text: &[u8]) -> Vec<&[u8]> {
    let (mut at, mut depth, mut from, mut all) = (0, 0, 0, Vec::new());
    while at < text.len() {
        match text[at] {
            b'\\' => at += 1,
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b',' if depth == 0 => {
                all.push(&text[from..at]);
                from = at + 1;
            }
            _ => {}
        }
        at += 1;
    }
    all.push(&text[from..]);
    all
}
