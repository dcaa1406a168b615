//! The manual pages have everything that the programs take, and the helper's installation has them.

use std::collections::BTreeSet;
use std::path::Path;

use clap::{Command, CommandFactory};
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

/// Pages of their own: the command, and how its page is called.
const FAMILIES: [(&str, &str); 2] = [("export", "shmfs-export.1"), ("name", "shmfs-name.1")];

/// All long options of a command, but for those that every one has.
fn options_of(command: &Command) -> BTreeSet<String> {
    let own = command.get_arguments().filter(|it| !it.is_global_set());
    let long = own.filter_map(|it| it.get_long());
    let long = long.filter(|&word| word != "help");
    long.map(|word| format!("--{word}")).collect()
}

/// Words of a text that begin with two dashes.
fn options_in(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-'));
    let options = words.filter(|word| word.len() > 2 && word.starts_with("--"));
    options.map(str::to_owned).collect()
}

#[test]
fn the_page_of_a_family_has_its_commands_and_no_others() {
    let mut cli = Cli::command();
    cli.build();
    for (family, file) in FAMILIES {
        let page = page(file);
        let (_, description) = page.split_once(".SH DESCRIPTION\n").unwrap();
        let (description, _) = description.split_once("\n.SH ").unwrap();
        let sections = description.split("\n.SS ").skip(1);
        let mut sections: Vec<(&str, &str)> = sections
            .map(|section| section.split_once('\n').unwrap())
            .collect();
        sections.sort();
        let command = cli.find_subcommand(family).unwrap();
        let commands = command.get_subcommands();
        let mut commands: Vec<&Command> = commands
            .filter(|command| command.get_name() != "help")
            .collect();
        commands.sort_by_key(|command| command.get_name());
        let names: Vec<&str> = commands.iter().map(|command| command.get_name()).collect();
        let described: Vec<&str> = sections.iter().map(|(name, _)| *name).collect();
        assert_eq!(described, names, "{file}");
        for (command, (name, section)) in commands.iter().zip(sections) {
            let synopsis = format!(".SY  shmfs {family} {name}");
            assert!(page.contains(&synopsis), "{file}: no synopsis of {name}");
            let options = options_of(command);
            let missing: Vec<_> = options.difference(&options_in(section)).cloned().collect();
            assert!(missing.is_empty(), "{file}, {name}: {missing:?}");
        }
    }
}

#[test]
fn no_page_has_an_option_that_there_is_not() {
    let mut cli = Cli::command();
    cli.build();
    let mut all = BTreeSet::from(["--help".to_owned(), "--version".to_owned()]);
    let mut commands = vec![&cli];
    while let Some(command) = commands.pop() {
        commands.extend(command.get_subcommands());
        let long = command.get_arguments().filter_map(|it| it.get_long());
        all.extend(long.map(|word| format!("--{word}")));
    }
    for file in ["shmfs.1", "shmfs-name.1", "shmfs-export.1", "mount.shmfs.8"] {
        let more: Vec<_> = options_in(&page(file)).difference(&all).cloned().collect();
        assert!(more.is_empty(), "{file}: {more:?}");
    }
    // The commands of shmfs(1), each with its paragraph.
    let page = page("shmfs.1");
    let (_, section) = page.split_once(".SS Commands\n").unwrap();
    let (section, _) = section.split_once("\n.S").unwrap();
    let described = section.split(".TP\n.B ").skip(1);
    let described = described.filter_map(|text| text.split_whitespace().next());
    let described: BTreeSet<&str> = described.collect();
    let commands = cli.get_subcommands().map(|command| command.get_name());
    assert_eq!(described, commands.collect());
}

#[test]
fn every_mount_option_stands_in_mount_shmfs_8() {
    let page = page("mount.shmfs.8");
    for word in WORDS {
        assert!(has(&page, word.name), "-o {}", word.name);
    }
    // And what stands there as an option is one.
    let (_, section) = page.split_once(".SH MOUNT OPTIONS\n").unwrap();
    let (section, _) = section.split_once("\n.SH ").unwrap();
    let mut lines = section.lines();
    let mut found = 0;
    while let Some(line) = lines.next() {
        if ![".TP", ".TQ"].contains(&line) {
            continue;
        }
        let head = lines.next().unwrap();
        let bold = match head.split_once(' ').unwrap() {
            (".BI", rest) => rest.split_whitespace().take(1).collect(),
            (".B", rest) => vec![rest],
            (".BR", rest) => rest.split(['|', ',', ' ']).collect::<Vec<_>>(),
            other => panic!("{other:?}"),
        };
        for word in bold {
            let name = word.trim().trim_end_matches('*');
            let (name, _) = name.split_once('=').unwrap_or((name, ""));
            if name.is_empty() || ["on", "off"].contains(&name) {
                continue;
            }
            let is_known = WORDS.iter().any(|word| word.name == name);
            assert!(is_known, "{head}: no option {name}");
            found += 1;
        }
    }
    assert!(found > 80, "{found} options were found");
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
