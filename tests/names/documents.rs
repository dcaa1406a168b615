//! The documents say what the program does.
//!
//! `SHMFS_UPDATE_DOCS=1 cargo test --test names documents` writes what is made by the program.

use std::process::Command;

use serde_json::Value;
use shmfs::view::{SCHEMES, Scheme};

use crate::written::{document, head, holds, row};

#[test]
fn the_table_of_schemes_is_current() {
    let titles = [
        "key",
        "platform",
        "kind",
        "age",
        "directory",
        "longest",
        "back",
        "source",
    ];
    let mut table = head(&titles.map(str::to_owned));
    for scheme in SCHEMES {
        table += &row([
            scheme.key.to_owned(),
            scheme.title.to_owned(),
            scheme.companion.unwrap_or(scheme.kind.name()).to_owned(),
            scheme.age.name().to_owned(),
            format!("`{}`", scheme.directory.name()),
            scheme.limit.to_owned(),
            scheme.reversible.name().to_owned(),
            scheme.source.to_owned(),
        ]);
    }
    holds("schemes.md", "table", &table);
    let count = format!("{} sets of rules", SCHEMES.len());
    assert!(document("schemes.md").contains(&count));
}

/// What `shmfs name` prints as JSON.
fn ask(arguments: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_shmfs"))
        .arg("name")
        .args(arguments)
        .output()
        .expect("shmfs runs");
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

fn array(value: &Value) -> &[Value] {
    value.as_array().expect("an array")
}

/// Current platforms, as `check` has them: their keys and titles.
fn platforms() -> Vec<(String, &'static Scheme)> {
    let answer = ask(&["check", "--json", "/foo"]);
    let rows = array(&answer["names"][0]["platforms"]).iter();
    let keys = rows.map(|row| text(&row["scheme"]));
    keys.map(|key| (key.clone(), shmfs::view::find(&key).expect("a key")))
        .collect()
}

/// Names that break every rule, and the kinds whose longest names differ.
#[test]
fn the_rules_in_the_guide_are_current() {
    let long = "/".to_owned() + &"x".repeat(300);
    let bad = ["", "//", "/..", "/a\\b", "/a b", "/sem.x", "/tmp-1", &long];
    let mut rules: Vec<String> = Vec::new();
    for kind in ["shm", "sem", "mq"] {
        let answer = ask(&[&["check", "--json", "--kind", kind], &bad[..]].concat());
        for name in array(&answer["names"]) {
            for miss in array(&name["misses"]) {
                let rule = match text(&miss["rule"]) == "length" {
                    true => format!("{} ({})", text(&miss["text"]), text(&name["kind"])),
                    false => text(&miss["text"]),
                };
                if !rules.contains(&rule) {
                    rules.push(rule);
                }
            }
        }
    }
    let list: String = rules.iter().map(|rule| format!("- {rule}\n")).collect();
    holds("NAMES.md", "rules", &list);
}

/// Where one scheme has the name `/foo`.
fn place(scheme: &Scheme) -> String {
    let answer = ask(&["translate", "--json", "--scheme", scheme.key, "/foo"]);
    let answer = &answer[0];
    match (text(&answer["kind"]).as_str(), &answer["value"]) {
        ("path", value) => {
            let path = text(&value["text"]);
            match path.split_once("6f64c6e6261f492a") {
                Some((before, after)) => {
                    format!("`{before}6f64c6e6…{}`", &after[after.len() - 8..])
                }
                None => format!("`{path}`"),
            }
        }
        ("kernel", Value::Number(hash)) => format!("kernel, `{:08x}`", hash.as_u64().unwrap_or(0)),
        ("kernel", value) => format!("kernel, `{}`", text(&value["text"])),
        (_, value) => text(value),
    }
}

#[test]
fn the_places_in_the_guide_are_current() {
    let titles = [
        "key",
        "platform",
        "shared memory",
        "semaphore",
        "longest name",
    ];
    let mut table = head(&titles.map(str::to_owned));
    for (key, scheme) in platforms() {
        let semaphores = shmfs::view::platform::semaphores(scheme);
        table += &row([
            key,
            scheme.title.to_owned(),
            place(scheme),
            semaphores.map_or_else(|| "not known".to_owned(), place),
            scheme.limit.to_owned(),
        ]);
    }
    holds("NAMES.md", "places", &table);
}

/// Names, and how the guide heads their columns.
fn examples() -> Vec<(String, String)> {
    let plain = [
        "/foo", "foo", "//foo", "/a/b", "/a b", "/", "/..", "/../x", "/sem.foo",
    ];
    let plain = plain.map(|name| (name.to_owned(), format!("`{name}`")));
    let long = |count: usize| {
        (
            "/".to_owned() + &"x".repeat(count),
            format!("/ and {count} bytes"),
        )
    };
    let mut all = vec![(String::new(), "empty".to_owned())];
    all.extend(plain);
    all.extend([31, 248, 255, 256].map(long));
    all
}

fn verdict(row: &Value) -> String {
    match text(&row["verdict"]).as_str() {
        "refused" => text(&row["errno"]),
        "another object" => "another".to_owned(),
        "works" if row["needs_directory"] == true => "works, dir".to_owned(),
        word => word.to_owned(),
    }
}

#[test]
fn the_verdicts_in_the_guide_are_current() {
    let examples = examples();
    let names = examples.iter().map(|(name, _)| name.as_str());
    let answer = ask(&["check", "--json"]
        .into_iter()
        .chain(names)
        .collect::<Vec<_>>());
    let names = array(&answer["names"]);
    let mut titles = vec!["key".to_owned()];
    titles.extend(examples.iter().map(|(_, title)| title.clone()));
    let mut table = head(&titles);
    for (at, (key, _)) in platforms().into_iter().enumerate() {
        let verdicts = names.iter().map(|name| verdict(&name["platforms"][at]));
        table += &row([key].into_iter().chain(verdicts));
    }
    holds("NAMES.md", "verdicts", &table);
}

/// Options of every command: shmfs(1) has them.
const COMMON: [&str; 3] = ["--help", "--verbose", "--quiet"];

/// What the README shows of a check is printed, but for lines that it leaves out.
#[test]
fn the_check_in_the_readme_is_current() {
    let readme = include_str!("../../README.md");
    let (_, example) = readme.split_once("\n$ shmfs name ").expect("an example");
    let (example, _) = example.split_once("\n```").expect("its end");
    let (arguments, shown) = example.split_once('\n').expect("what is printed");
    let output = Command::new(env!("CARGO_BIN_EXE_shmfs"))
        .arg("name")
        .args(arguments.split(' '))
        .output()
        .expect("shmfs runs");
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let mut rest = printed.lines();
    for line in shown.lines().filter(|line| line.trim() != "…") {
        assert!(
            rest.any(|other| other == line),
            "{line}\nis not in\n{printed}"
        );
    }
}

#[test]
fn every_option_is_in_the_manual_page() {
    let page = document("shmfs-name.1").replace("\\-", "-");
    for command in ["translate", "check", "reverse", "list"] {
        let output = Command::new(env!("CARGO_BIN_EXE_shmfs"))
            .args(["name", command, "--help"])
            .output()
            .expect("shmfs runs");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        let section = page
            .split(&format!(".SS {command}\n"))
            .nth(1)
            .unwrap_or_else(|| panic!("no section {command}"));
        let section = section.split("\n.S").next().unwrap_or(section);
        let options = help
            .split_whitespace()
            .filter(|word| word.starts_with("--") && !COMMON.contains(&word.trim_end_matches('.')));
        for option in
            options.map(|option| option.trim_end_matches(|end: char| !end.is_ascii_alphanumeric()))
        {
            assert!(
                section.contains(option),
                "{command} {option} is not in docs/shmfs-name.1"
            );
        }
    }
}
