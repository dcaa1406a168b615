//! The documents say what is there: tests, files and links that they name exist.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("read {path}: {error}"))
}

/// Every file below `dir` that ends so, `target` and hidden folders left out.
fn files_below(dir: &Path, end: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut dirs = vec![dir.to_path_buf()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).unwrap().flatten() {
            let path = entry.path();
            let name = entry.file_name().into_string().unwrap_or_default();
            match path.is_dir() {
                true if name == "target" || name.starts_with('.') => {}
                true => dirs.push(path),
                false if name.ends_with(end) => files.push(path),
                false => {}
            }
        }
    }
    files
}

/// What stands between backticks, code blocks left out.
fn code_spans(markdown: &str) -> Vec<String> {
    let mut spans = Vec::new();
    let mut in_block = false;
    for line in markdown.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
            continue;
        }
        if !in_block {
            spans.extend(line.split('`').skip(1).step_by(2).map(str::to_owned));
        }
    }
    spans
}

/// A test's name in a document: `module::behaviour`, all lower case.
fn is_test_name(span: &str) -> bool {
    let parts: Vec<&str> = span.split("::").collect();
    let is_part = |part: &str| {
        !part.is_empty()
            && part
                .chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    // std:: and crate paths are no tests.
    let first = parts.first().copied().unwrap_or_default();
    parts.len() >= 2
        && parts.iter().all(|part| is_part(part))
        && !["std", "crate", "shmfs"].contains(&first)
}

/// All that tests are called by: functions, and the names given to trials.
fn test_words() -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    for dir in ["tests", "src"] {
        for file in files_below(&root().join(dir), ".rs") {
            let module = file.file_stem().and_then(|stem| stem.to_str());
            words.extend(module.map(str::to_owned));
            let text = fs::read_to_string(&file).unwrap();
            words.extend(
                text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                    .filter(|word| !word.is_empty())
                    .map(str::to_owned),
            );
        }
    }
    words
}

/// Functions of the test sources and string literals with `::`, the names of trials.
fn test_names() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for dir in ["tests", "src"] {
        for file in files_below(&root().join(dir), ".rs") {
            let text = fs::read_to_string(&file).unwrap();
            for (at, marker) in text.match_indices("fn ") {
                let rest = &text[at + marker.len()..];
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                names.extend(end.map(|end| rest[..end].to_owned()));
            }
            // Lists of tests that a macro may have made.
            for list in text.split("tests! {\n").skip(1) {
                let list = list.split("\n};").next().unwrap_or(list);
                names.extend(list.split_whitespace().map(str::to_owned));
            }
            let literals = text.split('"').skip(1);
            names.extend(literals.filter(|l| is_test_name(l)).map(str::to_owned));
        }
    }
    names
}

#[test]
fn every_test_named_in_semantics_exists() {
    let (names, words) = (test_names(), test_words());
    let missing: Vec<String> = code_spans(&read("docs/SEMANTICS.md"))
        .into_iter()
        .filter(|span| is_test_name(span))
        .filter(|span| {
            let mut parts = span.split("::").collect::<Vec<_>>();
            let last = parts.pop().unwrap_or_default();
            let is_function =
                names.contains(last) && parts.iter().all(|part| words.contains(*part));
            !is_function && !names.contains(span)
        })
        .collect();
    assert!(missing.is_empty(), "no such tests: {missing:?}");
}

/// Something with a folder or an ending that sources have.
fn is_path(span: &str) -> bool {
    let endings = [
        ".rs", ".md", ".toml", ".sh", ".txt", ".1", ".8", ".c", ".py",
    ];
    let top = [
        "src/",
        "tests/",
        "docs/",
        "benches/",
        "mount-helper/",
        "fuzz/",
        ".ci/",
    ];
    let no_pattern = !span.contains([' ', '*', '<', '…', '{']);
    no_pattern
        && (top.iter().any(|dir| span.starts_with(dir))
            || (span.contains('/')
                && !span.starts_with('/')
                && endings.iter().any(|e| span.ends_with(e))))
}

#[test]
fn every_file_named_in_the_architecture_exists() {
    let missing: Vec<String> = code_spans(&read("docs/ARCHITECTURE.md"))
        .into_iter()
        .filter(|span| is_path(span))
        // The code map names files of src/ by what is below it.
        .filter(|span| !root().join(span).exists() && !root().join("src").join(span).exists())
        .collect();
    assert!(missing.is_empty(), "no such files: {missing:?}");
}

/// Targets of `[text](target)`.
fn links(markdown: &str) -> Vec<String> {
    markdown
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split_once(')'))
        .map(|(target, _)| target.to_owned())
        .collect()
}

/// The anchor that a heading gets.
fn anchor(heading: &str) -> String {
    heading
        .trim_start_matches('#')
        .trim()
        .to_lowercase()
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

#[test]
fn no_link_is_dead() {
    let mut dead = Vec::new();
    for file in files_below(root(), ".md") {
        let text = fs::read_to_string(&file).unwrap();
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, fragment) = link.split_once('#').unwrap_or((&link, ""));
            let target = match path {
                "" => file.clone(),
                path => file.with_file_name(path),
            };
            let anchored = |text: String| {
                text.lines()
                    .any(|line| line.starts_with('#') && anchor(line) == fragment)
            };
            let found = match fragment {
                "" => target.exists(),
                _ => fs::read_to_string(&target).is_ok_and(anchored),
            };
            if !found {
                dead.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(dead.is_empty(), "{}", dead.join("\n"));
}

#[test]
fn the_reader_finds_what_it_looks_for() {
    let text = "`rename::enotempty` and `src/ops/mod.rs`\n```\n`no::no`\n```\n[a](b.md#c-d)";
    assert_eq!(code_spans(text), ["rename::enotempty", "src/ops/mod.rs"]);
    assert!(is_test_name("rename::enotempty") && !is_test_name("std::fs"));
    assert!(is_path("src/ops/mod.rs") && !is_path("/dev/shm") && !is_path("src/*.rs"));
    assert_eq!(links(text), ["b.md#c-d"]);
    assert_eq!(anchor("## What it's for"), "what-its-for");
}
