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

/// Tests as they are called: what names a module, a group of cases or a suite, and the function in it; and names that
/// stand whole in a string.
struct Tests {
    members: BTreeSet<(String, String)>,
    functions: BTreeSet<String>,
    whole: BTreeSet<String>,
}

impl Tests {
    fn collect() -> Tests {
        let mut tests = Tests {
            members: BTreeSet::new(),
            functions: BTreeSet::new(),
            whole: BTreeSet::new(),
        };
        for dir in ["tests", "src"] {
            for file in files_below(&root().join(dir), ".rs") {
                tests.read(&file, dir == "tests");
            }
        }
        tests
    }

    fn read(&mut self, file: &Path, of_tests: bool) {
        let text = fs::read_to_string(file).unwrap();
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let module = match stem(file).as_str() {
            "main" | "mod" => stem(file.parent().unwrap()),
            module => module.to_owned(),
        };
        let mut modules = vec![module];
        modules.extend(after(&text, "\nmod "));
        let mut functions: Vec<String> = after(&text, "fn ").collect();
        // A table of cases has a name of its own, and not all of the functions.
        if let Some((_, table)) = text.split_once("cases![") {
            let (table, _) = table.split_once("];").unwrap();
            let mut words = table.split(|c: char| !is_word(c)).map(str::to_owned);
            modules = words
                .by_ref()
                .filter(|word| !word.is_empty())
                .take(1)
                .collect();
            functions = words.collect();
        }
        // Lists of tests that a macro may have made.
        for list in text.split("tests! {\n").skip(1) {
            let list = list.split("\n};").next().unwrap_or(list);
            functions.extend(list.split_whitespace().map(str::to_owned));
        }
        for module in modules {
            let pairs = functions.iter().map(|name| (module.clone(), name.clone()));
            self.members.extend(pairs);
        }
        if of_tests {
            self.functions.extend(functions);
        }
        let literals = text.split('"').skip(1);
        self.whole.extend(
            literals
                .filter(|text| is_test_name(text))
                .map(str::to_owned),
        );
    }

    fn has(&self, name: &str) -> bool {
        let mut parts = name.rsplit("::");
        let last = parts.next().unwrap_or_default().to_owned();
        match parts.next() {
            None => self.functions.contains(&last),
            Some(module) => {
                self.whole.contains(name) || self.members.contains(&(module.to_owned(), last))
            }
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The words that follow each `marker`.
fn after(text: &str, marker: &str) -> impl Iterator<Item = String> {
    let rests = text.split(marker).skip(1);
    rests.filter_map(move |rest| {
        let word: String = rest.chars().take_while(|&c| is_word(c)).collect();
        (!word.is_empty()).then_some(word)
    })
}

/// What stands between backticks in those columns of tables that name tests.
fn named_in_tables(markdown: &str) -> Vec<String> {
    let (mut spans, mut names_tests) = (Vec::new(), false);
    for line in markdown.lines() {
        // A sign in a cell is written `\|`.
        let mut cells = line.trim_end_matches('|').rsplit("| ");
        let last = cells.next().unwrap_or_default().trim();
        match line.starts_with('|') {
            false => names_tests = false,
            true if ["held by", "test", "case"].contains(&last) => names_tests = true,
            true if names_tests => spans.extend(code_spans(last)),
            true => {}
        }
    }
    spans
}

/// Functions of ours, and of other libraries.
const NO_TESTS: [&str; 4] = [
    "ops::create_or_open",
    "export::verdict",
    "shm::open",
    "shm::unlink",
];

#[test]
fn every_test_named_in_a_document_exists() {
    let tests = Tests::collect();
    let (mut missing, mut found) = (Vec::new(), 0);
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        let all = code_spans(&text).into_iter();
        let named = all.filter(|span| is_test_name(span) && !NO_TESTS.contains(&span.as_str()));
        // A table may also say which suite, by its folder.
        let listed = named_in_tables(&text).into_iter();
        for name in named.chain(listed.filter(|span| !is_path(span))) {
            found += 1;
            if !tests.has(&name) {
                missing.push(format!("{}: {name}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such tests:\n{}", missing.join("\n"));
    assert!(found > 200, "only {found} names of tests were found");
}

#[test]
fn every_test_that_a_user_skips_exists() {
    let tests = Tests::collect();
    let preload: BTreeSet<String> = files_below(&root().join("preload/tests"), ".rs")
        .iter()
        .flat_map(|file| after(&fs::read_to_string(file).unwrap(), "fn ").collect::<Vec<_>>())
        .collect();
    let script = read("tests/run");
    let (_, list) = script.split_once("skipped=(\n").expect("a list");
    let (list, _) = list.split_once("\n)").expect("its end");
    for name in list.split_whitespace() {
        let last = name.rsplit("::").next().unwrap();
        assert!(
            tests.has(name) || preload.contains(last),
            "tests/run skips {name}"
        );
    }
}

/// What people read.
fn documents() -> Vec<PathBuf> {
    let mut files = files_below(&root().join("docs"), ".md");
    files.extend(["README.md", "CHANGELOG.md", "benches/README.md"].map(|name| root().join(name)));
    files
}

#[test]
fn every_suite_named_in_a_document_exists() {
    let mut found = 0;
    for file in documents() {
        let text = fs::read_to_string(&file).unwrap();
        for suite in after(&text, "--test ") {
            found += 1;
            let places = [
                format!("tests/{suite}.rs"),
                format!("tests/{suite}/main.rs"),
            ];
            let exists = places.iter().any(|place| root().join(place).exists());
            assert!(exists, "{}: --test {suite}", file.display());
        }
    }
    assert!(found > 3, "only {found} suites were found");
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
fn every_file_named_in_a_document_exists() {
    let mut missing = Vec::new();
    for file in documents() {
        let spans = code_spans(&fs::read_to_string(&file).unwrap()).into_iter();
        for span in spans.filter(|span| is_path(span)) {
            // The code map names files of src/ by what is below it.
            if !root().join(&span).exists() && !root().join("src").join(&span).exists() {
                missing.push(format!("{}: {span}", file.display()));
            }
        }
    }
    assert!(missing.is_empty(), "no such files:\n{}", missing.join("\n"));
}

#[test]
fn the_code_map_is_whole() {
    let text = read("docs/ARCHITECTURE.md");
    let map = text
        .split("\n## ")
        .find(|part| part.starts_with("Code map"));
    let rows = map.unwrap().lines().filter(|line| line.starts_with('|'));
    let rows: Vec<(Vec<String>, Vec<String>)> = rows
        .filter_map(|row| row.split_once(" | "))
        .map(|(folders, holds)| (code_spans(folders), code_spans(holds)))
        .collect();
    let folders: Vec<&String> = rows.iter().flat_map(|(folders, _)| folders).collect();
    // Everything has a row.
    for entry in fs::read_dir(root().join("src")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let path = format!("src/{name}");
        // What is said of them is said below the table.
        let is_apart = ["lib.rs", "main.rs", "errno.rs", "types.rs"].contains(&name.as_str());
        assert!(
            is_apart || folders.contains(&&path),
            "{path} is not in the map"
        );
        assert!(!is_apart || text.contains(&name), "{name} is nowhere");
    }
    // And a file is in the folder in whose row it stands.
    for (folders, holds) in &rows {
        for file in holds.iter().filter(|span| span.ends_with(".rs")) {
            let is_there = |folder: &&String| root().join(folder).join(file).exists();
            let anywhere = ["", "src"]
                .iter()
                .any(|top| root().join(top).join(file).exists());
            assert!(
                anywhere || folders.iter().any(|it| is_there(&it)),
                "{folders:?}: {file}"
            );
        }
    }
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
    let table =
        "| a | held by |\n|---|---|\n| `x` | `b::c`, `d` |\n\n| a | b |\n|---|---|\n| `y` | `z` |";
    assert_eq!(named_in_tables(table), ["b::c", "d"]);
    assert_eq!(
        after("fn a(); fn b_1<T>", "fn ").collect::<Vec<_>>(),
        ["a", "b_1"]
    );
}
