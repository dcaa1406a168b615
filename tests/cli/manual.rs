//! The manual pages have everything that the programs take, and the helper's installation has them.

use std::path::Path;

use clap::CommandFactory;
use shmfs::cli::Cli;
use shmfs::options::WORDS;

use crate::common::{ROOT, built, helper, run};

/// A manual page without its markup.
fn page(name: &str) -> String {
    let path = Path::new(ROOT).join("docs").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    text.replace("\\-", "-")
        .replace("\\fR", "")
        .replace("\\fP", "")
        .replace('"', " ")
}

/// Whether `word` stands in `page` with nothing around it that would make it another.
fn has(page: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '-' || c == '_' || c == '.';
    page.match_indices(word).any(|(at, _)| {
        let before = page[..at].chars().next_back();
        let after = page[at + word.len()..].chars().next();
        !before.is_some_and(part) && (word.ends_with('-') || !after.is_some_and(part))
    })
}

#[test]
fn every_command_and_option_stands_in_shmfs_1() {
    let page = page("shmfs.1");
    let mut cli = Cli::command();
    cli.build();
    let mut checked = 0;
    for command in cli.get_subcommands().chain([&cli]) {
        assert!(
            has(&page, command.get_name()),
            "command {}",
            command.get_name()
        );
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_positional())
        {
            let short = argument.get_short().map(|letter| format!("-{letter}"));
            let long = argument.get_long().map(|word| format!("--{word}"));
            for option in short.into_iter().chain(long) {
                assert!(has(&page, &option), "{} {option}", command.get_name());
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "{checked} options were found");
}

#[test]
fn every_command_of_export_stands_in_its_page() {
    let page = page("shmfs-export.1");
    let mut cli = Cli::command();
    cli.build();
    let export = cli.find_subcommand("export").unwrap();
    for command in export.get_subcommands() {
        let name = command.get_name();
        assert!(
            has(&page, &format!("shmfs export {name}")) || name == "help",
            "{name}"
        );
        for argument in command
            .get_arguments()
            .filter(|argument| !argument.is_global_set())
        {
            let Some(long) = argument.get_long().filter(|&long| long != "help") else {
                continue;
            };
            assert!(has(&page, &format!("--{long}")), "{name} --{long}");
        }
    }
}

#[test]
fn every_mount_option_stands_in_mount_shmfs_8() {
    let page = page("mount.shmfs.8");
    for word in WORDS {
        assert!(has(&page, word.name), "-o {}", word.name);
    }
}

#[test]
fn every_option_of_the_helper_stands_in_mount_shmfs_8() {
    let page = page("mount.shmfs.8");
    let help = helper(&["--help"]).out;
    let lines = help
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with('-'));
    let options: Vec<&str> = lines.filter_map(|line| line.get(..2)).collect();
    assert!(options.len() >= 9, "{help}");
    for option in options {
        assert!(has(&page, option), "{option}");
    }
}

fn text_of(name: &str) -> String {
    std::fs::read_to_string(format!("{ROOT}/docs/{name}")).unwrap()
}

#[test]
fn the_pages_are_sound() {
    let version = format!("\"shmfs {}\"", env!("CARGO_PKG_VERSION"));
    for name in ["shmfs.1", "shmfs-name.1", "shmfs-export.1", "mount.shmfs.8"] {
        let path = format!("{ROOT}/docs/{name}");
        let answer = run("groff", &["-man", "-Tutf8", "-ww", "-z", &path]);
        let said = (answer.status, answer.err.as_str());
        assert_eq!(said, (0, ""), "{name} (groff is needed)");
        let text = text_of(name);
        let mut titles = text.lines().filter(|line| line.starts_with(".TH "));
        let title = titles.next().unwrap();
        assert!(title.contains(&version), "{name}: {title} lacks {version}");
    }
}

#[test]
fn examples_come_first() {
    for name in ["shmfs.1", "shmfs-export.1", "mount.shmfs.8"] {
        let text = text_of(name);
        let section = |title: &str| {
            let found = text.find(&format!("\n.SH {title}\n"));
            found.unwrap_or_else(|| panic!("{name}: {title}"))
        };
        assert!(section("SYNOPSIS") < section("EXAMPLES"), "{name}");
        assert!(section("EXAMPLES") < section("DESCRIPTION"), "{name}");
    }
}

#[test]
fn installing_and_uninstalling_leave_nothing() {
    let staged = tempfile::tempdir().unwrap();
    let built = built().to_str().unwrap();
    let dest = staged.path().to_str().unwrap();
    let script = format!("{ROOT}/mount-helper/install.sh");
    let words = [
        "--prefix",
        "/usr",
        "--sbindir=/usr/sbin",
        "--destdir",
        dest,
        "--from",
        built,
    ];
    let answer = run(&script, &words);
    assert_eq!(answer.status, 0, "{}", answer.err);
    for file in [
        "usr/bin/shmfs",
        "usr/sbin/mount.shmfs",
        "usr/sbin/mount.fuse.shmfs",
        "usr/lib/shmfs/libshmfs_preload.so",
        "usr/share/man/man1/shmfs.1",
        "usr/share/man/man1/shmfs-name.1",
        "usr/share/man/man1/shmfs-export.1",
        "usr/share/man/man8/mount.shmfs.8",
        "usr/share/man/man8/mount.fuse.shmfs.8",
        "usr/share/doc/shmfs/examples/srv-shm.mount",
        "usr/share/doc/shmfs/examples/shmfs@.service",
    ] {
        let path = staged.path().join(file);
        assert!(path.exists(), "{file}");
        assert!(
            answer.out.contains(&format!("{}\n", path.display())),
            "{file} is not told"
        );
    }
    let unit = staged
        .path()
        .join("usr/share/doc/shmfs/examples/shmfs@.service");
    let unit = std::fs::read_to_string(unit).unwrap();
    assert!(unit.contains("ExecStart=/usr/bin/shmfs mount"), "{unit}");
    assert!(!unit.contains("/usr/local"), "{unit}");
    assert_eq!(run(&script, &words).status, 0, "a second time");
    assert_eq!(
        run(&script, &[&words[..], &["--uninstall"]].concat()).status,
        0
    );
    let left = run("find", &[dest, "!", "-type", "d"]).out;
    assert_eq!(left, "");
}

#[test]
fn the_installer_names_what_is_wrong() {
    let script = format!("{ROOT}/mount-helper/install.sh");
    for (words, said) in [
        (&["--zork"][..], "unknown option: --zork"),
        (&["--prefix"], "--prefix needs a directory"),
        (&["--from", "/nowhere"], "/nowhere/shmfs is not there"),
    ] {
        let answer = run(&script, words);
        assert_eq!(answer.status, 1, "{words:?}");
        assert!(answer.err.contains(said), "{words:?}: {}", answer.err);
    }
    assert!(run(&script, &["--help"]).out.contains("--destdir"));
}
