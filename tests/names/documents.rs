//! The documents say what the program does.

use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;

use shmfs::view::SCHEMES;

const BEGIN: &str = "<!-- table -->\n";
const END: &str = "<!-- end of table -->\n";

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn table() -> String {
    let mut table =
        "| key | platform | kind | age | directory | longest | back | source |\n".to_owned();
    table += "|---|---|---|---|---|---|---|---|\n";
    for scheme in SCHEMES {
        let kind = scheme.companion.unwrap_or(scheme.kind.name());
        writeln!(
            table,
            "| {} | {} | {kind} | {} | `{}` | {} | {} | {} |",
            scheme.key,
            scheme.title,
            scheme.age.name(),
            scheme.directory.name(),
            scheme.limit,
            scheme.reversible.name(),
            scheme.source,
        )
        .expect("a String takes all");
    }
    table
}

/// `SHMFS_UPDATE_DOCS=1 cargo test --test names documents` writes it.
#[test]
fn the_table_of_schemes_is_current() {
    let text = document("names.md");
    let (before, rest) = text.split_once(BEGIN).expect("the table begins");
    let (written, after) = rest.split_once(END).expect("the table ends");
    if std::env::var_os("SHMFS_UPDATE_DOCS").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/names.md");
        fs::write(path, [before, BEGIN, &table(), END, after].concat())
            .expect("docs/names.md can be written");
        return;
    }
    assert_eq!(written, table(), "run it with SHMFS_UPDATE_DOCS=1");
    assert!(text.contains(&format!("{} sets of rules", SCHEMES.len())));
}

/// Options of every command: shmfs(1) has them.
const COMMON: [&str; 3] = ["--help", "--verbose", "--quiet"];

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
