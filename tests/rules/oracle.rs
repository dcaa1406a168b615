//! A matcher that is obviously right and slow: it expands groups and tries everything. Written from the words of
//! docs/EXPORTS.md; it shares nothing with src/export.

/// Whether `pattern` matches the regular file at `path`.
pub(crate) fn matches_file(pattern: &str, path: &[u8]) -> bool {
    !pattern.ends_with('/') && matches(&components(pattern), &names(path))
}

/// Whether `pattern` matches the directory at `path`.
pub(crate) fn matches_directory(pattern: &str, path: &[u8]) -> bool {
    let is_of_directories = pattern.ends_with('/') || components(pattern).last() == Some(&"**");
    is_of_directories && matches(&components(pattern), &names(path))
}

/// Whether the directory at `path` is above something that `pattern` may match.
pub(crate) fn leads(pattern: &str, path: &[u8]) -> bool {
    fn below(patterns: &[&str], names: &[&[u8]]) -> bool {
        match (patterns, names) {
            ([], _) => false,
            (_, []) => true,
            // Whatever has this name, `**` may go on below it.
            (["**", ..], _) => true,
            ([first, rest @ ..], [name, more @ ..]) => component(first, name) && below(rest, more),
        }
    }
    below(&components(pattern), &names(path))
}

fn components(pattern: &str) -> Vec<&str> {
    pattern
        .strip_suffix('/')
        .unwrap_or(pattern)
        .split('/')
        .collect()
}

fn names(path: &[u8]) -> Vec<&[u8]> {
    match path.is_empty() {
        true => Vec::new(),
        false => path.split(|byte| *byte == b'/').collect(),
    }
}

fn matches(patterns: &[&str], names: &[&[u8]]) -> bool {
    match (patterns, names) {
        ([], []) => true,
        ([], _) | (_, []) => false,
        (["**", rest @ ..], _) => (1..=names.len()).any(|taken| matches(rest, &names[taken..])),
        ([first, rest @ ..], [name, more @ ..]) => component(first, name) && matches(rest, more),
    }
}

fn component(pattern: &str, name: &[u8]) -> bool {
    expand(pattern.as_bytes())
        .iter()
        .any(|simple| glob(simple, name))
}

/// All that the outermost first group can stand for, and so on: patterns without groups.
fn expand(pattern: &[u8]) -> Vec<Vec<u8>> {
    let Some(open) = find(pattern, 0, b"{") else {
        return vec![pattern.to_vec()];
    };
    let mut choices = Vec::new();
    let (mut start, mut at, mut depth) = (open + 1, open + 1, 0);
    loop {
        let next = find(pattern, at, b"{,}").expect("a group ends");
        at = next + 1;
        match pattern[next] {
            b'{' => depth += 1,
            b'}' if depth > 0 => depth -= 1,
            b',' if depth > 0 => {}
            sign => {
                choices.push(&pattern[start..next]);
                start = next + 1;
                if sign == b'}' {
                    break;
                }
            }
        }
    }
    let whole = |choice: &&[u8]| [&pattern[..open], choice, &pattern[start..]].concat();
    choices
        .iter()
        .map(whole)
        .flat_map(|pattern| expand(&pattern))
        .collect()
}

/// The next of `signs` that stands for itself: not behind a backslash, not in a set.
fn find(pattern: &[u8], from: usize, signs: &[u8]) -> Option<usize> {
    let mut at = from;
    while at < pattern.len() {
        match pattern[at] {
            b'\\' => at += 2,
            b'[' => at = set_end(pattern, at) + 1,
            sign if signs.contains(&sign) => return Some(at),
            _ => at += 1,
        }
    }
    None
}

fn set_end(pattern: &[u8], open: usize) -> usize {
    let mut at = open + 1;
    while pattern[at] != b']' {
        at += if pattern[at] == b'\\' { 2 } else { 1 };
    }
    at
}

fn glob(pattern: &[u8], name: &[u8]) -> bool {
    let Some(sign) = pattern.first() else {
        return name.is_empty();
    };
    match sign {
        b'*' => (0..=name.len()).any(|taken| glob(&pattern[1..], &name[taken..])),
        b'?' => !name.is_empty() && glob(&pattern[1..], &name[1..]),
        b'[' => {
            let end = set_end(pattern, 0);
            !name.is_empty()
                && in_set(&pattern[1..end], name[0])
                && glob(&pattern[end + 1..], &name[1..])
        }
        b'\\' => name.first() == Some(&pattern[1]) && glob(&pattern[2..], &name[1..]),
        sign => name.first() == Some(sign) && glob(&pattern[1..], &name[1..]),
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, set) = match set {
        [b'!' | b'^', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    let mut members = Vec::new();
    let mut at = 0;
    while at < set.len() {
        // A sign and whether it stands behind a backslash.
        let escaped = set[at] == b'\\';
        at += usize::from(escaped);
        members.push((set[at], escaped));
        at += 1;
    }
    let mut found = false;
    let mut at = 0;
    while at < members.len() {
        let (first, _) = members[at];
        let is_range = at + 2 < members.len() && members[at + 1] == (b'-', false);
        let last = if is_range { members[at + 2].0 } else { first };
        found |= (first..=last).contains(&byte);
        at += if is_range { 3 } else { 1 };
    }
    found != negated
}
