//! The manual pages name every command, option and mount option that there is.

use std::fs;
use std::process::Command;

use shmfs::options::WORDS;

fn page(name: &str) -> String {
    let path = format!("{}/docs/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("read {path}: {error}"));
    text.replace("\\-", "-")
}

fn help(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_shmfs"))
        .args(words)
        .arg("--help")
        .output()
        .expect("shmfs runs");
    assert!(output.status.success(), "{words:?} --help");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// Whether `word` stands in `text` by itself.
fn has(text: &str, word: &str) -> bool {
    let inside = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    text.match_indices(word).any(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        // `\fBword\fR`: the B belongs to roff.
        let roff = text[..at].ends_with("\\fB");
        (roff || !before.is_some_and(inside)) && !after.is_some_and(inside)
    })
}

#[test]
fn every_command_and_option_is_in_shmfs_1() {
    let page = page("shmfs.1");
    for command in ["run", "mount", "umount", "doctor"] {
        assert!(page.contains(&format!(".SS {command}\n")), "{command}");
        let help = help(&[command]);
        let options = help.lines().filter_map(|line| {
            let line = line.trim_start();
            let start = line.find("--").filter(|_| line.starts_with('-'))?;
            let long = &line[start..];
            let end = long.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
            Some(long[..end.unwrap_or(long.len())].to_owned())
        });
        let options: Vec<String> = options.filter(|option| option.len() > 2).collect();
        assert!(options.contains(&"--help".to_owned()), "{help}");
        for option in options {
            assert!(
                has(&page, &option),
                "{command} {option} is not in docs/shmfs.1"
            );
        }
    }
}

#[test]
fn every_mount_option_is_in_mount_shmfs_8() {
    let page = page("mount.shmfs.8");
    for word in WORDS {
        let name = word.name.trim_end_matches('-');
        let prefix = word.name.ends_with('-');
        let there = has(&page, name) || prefix && page.contains(word.name);
        assert!(there, "-o {} is not in docs/mount.shmfs.8", word.name);
    }
}
