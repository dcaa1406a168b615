//! `shmfs export list`, `show`, `reload` and `mount`: the exports of a mount.

use std::path::{Path, PathBuf};

use clap::Args;

use super::super::words;
use super::{columns, find, print};
use crate::error::Result;
use crate::export::{Export, Exports, Source, Unmatched, Verb};
use crate::mount::exports;

/// List the exports of a mount
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
pub(in crate::cli) struct ListCommand {
    /// Where the mount is
    dir: PathBuf,
}

/// Show the rules of an export that are in force
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
pub(in crate::cli) struct ShowCommand {
    /// The export
    name: String,
    /// Where the mount is
    dir: PathBuf,
}

/// Read the exports of a mount again
///
/// What is open keeps its rights, the next open has the new ones. A file with an error changes nothing, and the
/// exit status says so.
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
pub(in crate::cli) struct ReloadCommand {
    /// Where the mount is
    dir: PathBuf,
    /// Another file than before
    file: Option<PathBuf>,
}

/// Bind an export at a directory
///
/// What is there afterwards is this export and nothing else, without set-user-ID, devices and programs, as a
/// session of its own: a layer of the consumer's own goes when TARGET is unmounted. No symbolic link may be on the
/// way to TARGET, which may be in a container's root.
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
pub(in crate::cli) struct MountCommand {
    /// The export
    name: String,
    /// Where the mount is
    dir: PathBuf,
    /// The directory to bind it at; where it is left out, the export's `to`
    target: Option<PathBuf>,
}

pub(super) fn list(command: &ListCommand) -> Result<()> {
    print(&table(&in_force(&command.dir)?.1))
}

pub(super) fn show(command: &ShowCommand) -> Result<()> {
    let (source, exports) = in_force(&command.dir)?;
    let export = find(&exports, &command.name)?;
    print(&described(export, &source, &command.dir))
}

pub(super) fn reload(command: &ReloadCommand) -> Result<()> {
    exports::reload(&command.dir, command.file.as_deref())
}

pub(super) fn mount(command: &MountCommand) -> Result<()> {
    exports::bind(&command.name, &command.dir, command.target.as_deref())
}

pub(super) fn in_force(dir: &Path) -> Result<(Source, Exports)> {
    let source = exports::in_force(dir)?;
    let (exports, _) = exports::parse(&source)?;
    Ok((source, exports))
}

fn table(exports: &Exports) -> String {
    let mut rows = vec![["EXPORT", "RULES", "OWN", "LIMITS", "AT"].map(str::to_owned)];
    rows.extend(exports.iter().map(|export| {
        [
            export.name.clone(),
            export.rules.all().len().to_string(),
            own(export),
            limits(export),
            place(export),
        ]
    }));
    columns(&rows)
}

/// What is the consumer's own.
fn own(export: &Export) -> String {
    let kind = match (export.private, export.unmatched, export.semaphores) {
        (true, _, _) => "everything",
        (false, Unmatched::Private, _) => "unmatched",
        (false, Unmatched::Hidden, true) => "temporaries",
        (false, Unmatched::Hidden, false) => return "-".to_owned(),
    };
    let kept = if export.keep { ",kept" } else { "" };
    format!("{kind}{kept}")
}

fn limits(export: &Export) -> String {
    let size = export.size.map(|size| format!("size={size}"));
    let nr_inodes = export.nr_inodes.map(|count| format!("nr_inodes={count}"));
    or_nothing(size.into_iter().chain(nr_inodes).collect())
}

fn place(export: &Export) -> String {
    or_nothing(
        export
            .to
            .iter()
            .map(|to| to.display().to_string())
            .collect(),
    )
}

fn or_nothing(words: Vec<String>) -> String {
    if words.is_empty() {
        "-".to_owned()
    } else {
        words.join(",")
    }
}

fn described(export: &Export, source: &Source, dir: &Path) -> String {
    let directory = dir.join(".shmfs/exports").join(&export.name);
    let view = export.view.as_deref().unwrap_or("-");
    let sticky = if export.sticky { "yes" } else { "no" };
    let facts = [
        ("file", source.origin.display().to_string()),
        ("directory", directory.display().to_string()),
        ("at", place(export)),
        ("own", own(export)),
        ("limits", limits(export)),
        ("view", view.to_owned()),
        ("sticky", sticky.to_owned()),
    ];
    let facts: Vec<[String; 2]> = facts.map(|(key, value)| [key.to_owned(), value]).into();
    let rules = export.rules.all().iter().map(|rule| {
        let rights = match rule.verb {
            Verb::Grant(rights) => rights.to_string(),
            Verb::Hide => "hidden".to_owned(),
        };
        let line = format!("line {}: {}", rule.line, rule.key.word());
        [rule.text.clone(), rights, line]
    });
    let rules: Vec<[String; 3]> = rules.collect();
    format!("{}{}", columns(&facts), columns(&rules))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
[export.camera]
read = ["frames_*"]
write = ["ctl"]
hide = ["frames_raw*"]
semaphores = ["ctl"]
to = "/srv/camera"
[export.browser]
private = true
keep = true
size = "1m"
nr_inodes = 10
"#;

    fn source() -> Source {
        Source {
            origin: "/etc/exports.toml".into(),
            text: TEXT.to_owned(),
        }
    }

    #[test]
    fn all_on_one_line_each() {
        let (exports, _) = source().parse().unwrap();
        let text = table(&exports);
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|it| it.split_whitespace().collect())
            .collect();
        assert_eq!(lines[0], ["EXPORT", "RULES", "OWN", "LIMITS", "AT"]);
        assert_eq!(lines[1], ["camera", "4", "temporaries", "-", "/srv/camera"]);
        assert_eq!(
            lines[2],
            [
                "browser",
                "0",
                "everything,kept",
                "size=1048576,nr_inodes=10",
                "-"
            ]
        );
    }

    #[test]
    fn one_with_its_rules() {
        let (exports, _) = source().parse().unwrap();
        let text = described(exports.get("camera").unwrap(), &source(), Path::new("/mnt"));
        for line in [
            "directory  /mnt/.shmfs/exports/camera",
            "frames_*     read                      line 3: read",
            "ctl          read,write,create,delete  line 4: write",
            "frames_raw*  hidden                    line 5: hide",
        ] {
            assert!(text.contains(&format!("{line}\n")), "{text}");
        }
    }
}
