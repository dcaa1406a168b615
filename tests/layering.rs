//! The import rule of docs/ARCHITECTURE.md, held by reading the sources: who may
//! name whom, `fuser` in one folder only, `unsafe` in one folder only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Which parts each part may name with `crate::`. Everyone may name `errno` and
/// `types`; a part that is missing here fails the test, so that a new one is placed.
const MAY_NAME: [(&str, &[&str]); 19] = [
    ("errno", &[]),
    ("types", &[]),
    ("sys", &[]),
    ("log", &["sys", "error"]),
    ("data", &["sys"]),
    ("slots", &["sys"]),
    ("store", &["sys", "data", "slots"]),
    // Of the options the rule of atime alone.
    (
        "ops",
        &[
            "store", "data", "sys", "options", "export", "recovery", "slots",
        ],
    ),
    ("view", &[]),
    ("export", &[]),
    ("recovery", &["store", "data", "sys", "slots"]),
    (
        "fuse",
        &[
            "ops", "store", "data", "view", "export", "options", "recovery", "error", "sys",
            "slots",
        ],
    ),
    ("error", &["view", "export"]),
    ("options", &["view", "export", "error", "sys"]),
    (
        "supervisor",
        &[
            "recovery", "slots", "fuse", "export", "data", "options", "error", "log", "sys",
        ],
    ),
    (
        "mount",
        &[
            "supervisor",
            "export",
            "fuse",
            "export",
            "view",
            "data",
            "options",
            "error",
            "log",
            "sys",
        ],
    ),
    // These see all layers.
    ("run", &["*"]),
    ("cli", &["*"]),
    ("doctor", &["*"]),
];

/// Where a rule is broken knowingly: file, word, reason. One that is not needed
/// any more fails the test.
const EXCEPTIONS: [(&str, &str, &str); 3] = [
    (
        "src/sys/mount.rs",
        "crate::options",
        "mount flags are translated beside the system call",
    ),
    (
        "src/fuse/passthrough.rs",
        "unsafe",
        "fuser's wrap_backing is unsafe, and fuser stays inside src/fuse",
    ),
    (
        "src/mount/detached.rs",
        "unsafe",
        "a child between fork and exec runs a closure of this file",
    ),
];

const EVERYONE: [&str; 2] = ["errno", "types"];

/// A source file: its part (the first folder or file name below src) and its text
/// without comments.
struct Source {
    path: PathBuf,
    part: String,
    code: String,
}

fn sources() -> Vec<Source> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    assert!(files.len() > 5, "src/ was not found: {files:?}");
    files
        .into_iter()
        .map(|path| {
            let inside = path.strip_prefix(&src).unwrap();
            let first = inside.iter().next().unwrap().to_str().unwrap();
            let text = fs::read_to_string(&path).unwrap();
            Source {
                part: first.trim_end_matches(".rs").to_owned(),
                code: without_comments(&text),
                path: Path::new("src").join(inside),
            }
        })
        .collect()
}

fn collect(dir: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            files.push(path);
        }
    }
}

/// Line comments only: the sources have no others.
fn without_comments(text: &str) -> String {
    text.lines()
        .map(|line| line.split_once("//").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The parts named after `crate::`, in paths and in `use crate::{a, b::c}`.
fn named_parts(code: &str) -> Vec<String> {
    let mut parts = Vec::new();
    for (at, prefix) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(is_word) {
            continue;
        }
        let rest = &code[at + prefix.len()..];
        match rest.strip_prefix('{') {
            Some(group) => parts.extend(first_words(group)),
            None => parts.push(first_word(rest)),
        }
    }
    parts
}

/// First word of each element of a `use` group, up to its closing brace.
fn first_words(group: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut depth, mut start) = (0, 0);
    for (at, sign) in group.char_indices() {
        match sign {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            '}' | ',' if depth == 0 => {
                words.push(first_word(group[start..at].trim_start()));
                start = at + 1;
                if sign == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Whether a word stands alone in the code.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Fails with what breaks a rule and is no exception, and with exceptions that
/// nothing needs. `is_of_rule` knows the words that the rule is about.
fn judge(found: &[(PathBuf, String)], is_of_rule: impl Fn(&str) -> bool) {
    let is_exception = |path: &Path, word: &str| {
        EXCEPTIONS
            .iter()
            .any(|(file, excepted, _)| path == Path::new(file) && word == *excepted)
    };
    let is_found = |file: &str, word: &str| {
        found
            .iter()
            .any(|(path, named)| path == Path::new(file) && named == word)
    };
    let faults = found
        .iter()
        .filter(|(path, word)| !is_exception(path, word))
        .map(|(path, word)| format!("{} names {word}", path.display()));
    let stale = EXCEPTIONS
        .iter()
        .filter(|(file, word, _)| is_of_rule(word) && !is_found(file, word))
        .map(|(file, word, _)| format!("{file}: the exception for {word} is not needed"));
    let all: Vec<String> = faults.chain(stale).collect();
    assert!(all.is_empty(), "{}", all.join("\n"));
}

#[test]
fn parts_name_only_the_parts_below_them() {
    let rules: BTreeMap<_, _> = MAY_NAME.into_iter().collect();
    let mut found = Vec::new();
    for source in sources() {
        if ["lib", "main"].contains(&source.part.as_str()) {
            continue;
        }
        let allowed = rules.get(source.part.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("src/{} has no rule", source.part));
        for part in named_parts(&source.code) {
            let fine = part == source.part
                || allowed.contains(&"*")
                || allowed.contains(&part.as_str())
                || EVERYONE.contains(&part.as_str());
            if !fine {
                found.push((source.path.clone(), format!("crate::{part}")));
            }
        }
    }
    judge(&found, |word| word.starts_with("crate::"));
}

/// Files outside `part` that have the word.
fn outside(part: &str, word: &str) -> Vec<(PathBuf, String)> {
    sources()
        .into_iter()
        .filter(|source| source.part != part && has_word(&source.code, word))
        .map(|source| (source.path, word.to_owned()))
        .collect()
}

#[test]
fn fuser_is_named_in_src_fuse_only() {
    judge(&outside("fuse", "fuser"), |word| word == "fuser");
}

#[test]
fn unsafe_is_in_src_sys_only() {
    judge(&outside("sys", "unsafe"), |word| word == "unsafe");
}

#[test]
fn the_reader_finds_what_it_looks_for() {
    let code = "use crate::{ops::{self, Fs}, store};\nfn f() { crate::view::x() }";
    assert_eq!(named_parts(code), ["ops", "store", "view"]);
    assert!(has_word("unsafe { }", "unsafe"));
    assert!(!has_word("unsafe_op fn", "unsafe"));
    assert_eq!(without_comments("a // crate::b"), "a ");
}
