//! The numbered cases of the specification, and more of the same form.

use std::fmt::Write;
use std::path::Path;

use serde_json::Value;

use crate::calls::{self, Call, Ids, Times};
use crate::consumer::become_consumer;
use crate::model::{Way, Who, list};
use crate::proc::{self, End};
use crate::sys::{self, E};
use crate::world::{USER, WAYS, World, shmfs};

/// One line of the file.
#[derive(Clone, Copy)]
struct Case {
    number: &'static str,
    rules: &'static str,
    objects: &'static str,
    operations: &'static str,
    result: &'static str,
    why: &'static str,
}

fn cases() -> impl Iterator<Item = Case> {
    let lines = include_str!("cases.tsv").lines();
    lines.filter(|line| !line.starts_with('#')).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [number, rules, objects, operations, result, why] = fields[..] else {
            panic!("six fields: {line}");
        };
        Case {
            number,
            rules,
            objects,
            operations,
            result,
            why,
        }
    })
}

impl Case {
    /// It is refused when the file is read.
    fn is_load_error(&self) -> bool {
        self.operations.is_empty()
    }

    fn expected(&self, way: Way) -> &'static str {
        match self.result.split_once('/') {
            Some((passthrough, _)) if way == Way::Passthrough => passthrough,
            Some((_, page_cache)) => page_cache,
            None => self.result,
        }
    }

    fn export(&self, who: Who) -> String {
        format!("case-{}-{who:?}", self.number).to_lowercase()
    }
}

/// An export in TOML, from the short form of the cases.
pub(crate) fn toml_of(name: &str, rules: &str) -> String {
    let rules: Value = serde_json::from_str(rules).expect("rules in JSON");
    let object = rules.as_object().expect("an object");
    let mut text = format!("[export.{name}]\n");
    let mut general = String::new();
    for (key, value) in object {
        match (key.as_str(), value) {
            ("rule", Value::Array(rules)) => {
                for rule in rules {
                    writeln!(general, "[[export.{name}.rule]]").unwrap();
                    for (key, value) in rule.as_object().expect("a rule") {
                        writeln!(general, "{key} = {}", toml_value(value)).unwrap();
                    }
                }
            }
            (key, value) => writeln!(text, "{key} = {}", toml_value(value)).unwrap(),
        }
    }
    text + &general
}

fn toml_value(value: &Value) -> String {
    match value {
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(toml_value).collect();
            format!("[{}]", items.join(", "))
        }
        // JSON's escapes are TOML's.
        other => other.to_string(),
    }
}

/// Every case that is about operations, as an ordinary user and as root.
pub(crate) fn every_number() {
    for way in WAYS {
        let served: Vec<Case> = cases().filter(|case| !case.is_load_error()).collect();
        let each = |case: &Case| [Who::User, Who::Root].map(|who| (*case, who));
        let all: Vec<(Case, Who)> = served.iter().flat_map(each).collect();
        let config = all
            .iter()
            .map(|(case, who)| toml_of(&case.export(*who), case.rules));
        let world = World::new(way, &config.collect::<String>());
        let wrong: Vec<String> = all
            .iter()
            .filter_map(|(case, who)| run(&world, case, *who))
            .collect();
        assert!(
            wrong.is_empty(),
            "{} of {} cases differ\n{}",
            wrong.len(),
            all.len(),
            wrong.join("\n")
        );
        world.stop();
    }
}

/// What is wrong with one case.
fn run(world: &World, case: &Case, who: Who) -> Option<String> {
    empty(&world.tree());
    // SAFETY: no pointers.
    unsafe { libc::umask(0) };
    case.objects
        .split_whitespace()
        .for_each(|name| make(world, name));
    let export = world.export(&case.export(who));
    let expected = case.expected(world.way);
    let mut kid = proc::spawn(|| {
        become_consumer(who);
        let got = operate(&export, case.operations);
        assert!(got == expected, "got {got}");
    });
    let got = match kid.end(crate::consumer::PATIENCE) {
        End::Done => return None,
        other => format!("{other:?}"),
    };
    Some(format!(
        "case {} as {who:?}, {:?}\n    rules {}\n    objects {}\n    {}\n    expected {expected} ({})\n    {got}",
        case.number, world.way, case.rules, case.objects, case.operations, case.why
    ))
}

/// One object of the provider, who gives it to the ordinary user.
fn make(world: &World, name: &str) {
    let path = |name: &str| world.path(name);
    match name.as_bytes().last() {
        Some(b'/') => {
            let name = name.trim_end_matches('/');
            sys::mkdir(path(name), 0o777).unwrap();
            sys::chown(path(name), USER, USER).unwrap();
        }
        Some(b'@') => sys::symlink("nowhere", path(name.trim_end_matches('@'))).unwrap(),
        Some(b'|') => {
            sys::mknod(path(name.trim_end_matches('|')), libc::S_IFIFO | 0o666, 0).unwrap();
        }
        _ => {
            drop(sys::put(path(name), &[7; 4096]));
            sys::chmod(path(name), 0o666).unwrap();
            sys::chown(path(name), USER, USER).unwrap();
        }
    }
}

/// Removes all that the provider sees.
pub(crate) fn empty(directory: &Path) {
    for name in sys::ls(directory) {
        let path = directory.join(name);
        if sys::lstat(&path).unwrap().kind() == libc::S_IFDIR {
            std::fs::remove_dir_all(&path).unwrap();
        } else {
            sys::unlink(&path).unwrap();
        }
    }
}

/// Makes the operations one after another; what the last one gave.
fn operate(export: &Path, operations: &str) -> String {
    let mut last = String::new();
    for operation in operations.split(';') {
        assert!(
            last.is_empty() || !last.starts_with('E'),
            "{last} before {operation}"
        );
        last = one(export, operation);
    }
    last
}

fn one(export: &Path, operation: &str) -> String {
    let words: Vec<&str> = operation.split_whitespace().collect();
    let (verb, name) = (words[0], words.get(1).copied().unwrap_or("."));
    let rest = words.get(2..).unwrap_or_default();
    let call = match verb {
        "readdir" => return names(&export.join(name)),
        "mmap" => return mmap(&export.join(name), rest),
        "flock_sh" | "flock_ex" => {
            let exclusive = verb == "flock_ex";
            let kind = if exclusive {
                libc::LOCK_EX
            } else {
                libc::LOCK_SH
            };
            Call::By(libc::O_RDONLY, calls::Descriptor::Flock(kind))
        }
        "stat" => Call::Stat,
        "open" => Call::Open(rest.iter().map(|word| flag(word)).sum()),
        "unlink" => Call::Unlink,
        "rmdir" => Call::Rmdir,
        "truncate" => Call::Truncate,
        "chmod" => Call::Chmod,
        "chown" => Call::Chown(Ids::Same),
        "utimes_now" => Call::Utimes(Times::Now),
        "setxattr" => Call::SetXattr(calls::XATTR),
        "symlink" => Call::Symlink,
        "mkdir" => Call::Mkdir,
        "link" => Call::Link,
        "rename" => Call::Rename(0),
        "rename_exchange" => Call::Rename(libc::RENAME_EXCHANGE),
        _ => panic!("no such operation: {operation}"),
    };
    let target = rest.first().copied().unwrap_or_default();
    match call.run(export, name, target) {
        Ok(()) => "OK".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

fn names(directory: &Path) -> String {
    match std::fs::read_dir(directory) {
        Err(error) => format!("{:?}", E(error.raw_os_error().unwrap_or(0))),
        Ok(_) => match sys::ls(directory) {
            names if names.is_empty() => "(empty)".to_owned(),
            names => names.join(","),
        },
    }
}

fn mmap(path: &Path, words: &[&str]) -> String {
    let [flags, prot, kind] = words[..] else {
        panic!("mmap NAME FLAGS PROT MAP: {words:?}");
    };
    let prot = match prot {
        "PROT_READ" => libc::PROT_READ,
        "PROT_WRITE" => libc::PROT_WRITE,
        "PROT_EXEC" => libc::PROT_EXEC,
        _ => panic!("{prot}"),
    };
    let kind = match kind {
        "MAP_SHARED" => libc::MAP_SHARED,
        "MAP_PRIVATE" => libc::MAP_PRIVATE,
        _ => panic!("{kind}"),
    };
    let mapped = sys::open(path, flag(flags)).and_then(|file| {
        let mapped = proc::mmap(&file, 4096, prot, kind, 0);
        mapped.map(drop)
    });
    match mapped {
        Ok(()) => "OK".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

fn flag(word: &str) -> i32 {
    match word {
        "O_RDONLY" => libc::O_RDONLY,
        "O_WRONLY" => libc::O_WRONLY,
        "O_RDWR" => libc::O_RDWR,
        "O_CREAT" => libc::O_CREAT,
        "O_EXCL" => libc::O_EXCL,
        "O_TRUNC" => libc::O_TRUNC,
        "O_APPEND" => libc::O_APPEND,
        "O_TMPFILE" => libc::O_TMPFILE,
        _ => panic!("no such flag: {word}"),
    }
}

/// Every case that is about reading the file: refused, with the export's name and the line.
pub(crate) fn every_load_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut wrong = String::new();
    for case in cases().filter(Case::is_load_error) {
        let file = directory.path().join("exports.toml");
        // The error is not on the first line, and one good export does not save the file.
        let good = "[export.good]\nread = [\"x\"]\n\n";
        std::fs::write(&file, format!("{good}{}", toml_of("bad", case.rules))).unwrap();
        let said = match shmfs(&["export", "check", file.to_str().unwrap()]) {
            Ok(said) => format!("accepted: {said}"),
            Err(said) if said.contains("bad") && says_line(&said) => continue,
            Err(said) => said,
        };
        writeln!(
            wrong,
            "case {}: {}\n    expected {} ({}), with the export, the line and a hint\n    got {said}",
            case.number, case.rules, case.result, case.why
        )
        .unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A line from 4 on is named.
fn says_line(text: &str) -> bool {
    (4..9).any(|line| {
        text.contains(&format!("line {line}")) || text.contains(&format!("exports.toml:{line}"))
    })
}

/// A literal list of patterns is what it was before it was written.
pub(crate) fn toml_keeps_patterns() {
    let text = toml_of("x", r##"{"read":["\\#[0-9]*","a\tb"]}"##);
    assert_eq!(text, "[export.x]\nread = [\"\\\\#[0-9]*\", \"a\\tb\"]\n");
    assert_eq!(list(&["\\#"]), "[\"\\\\#\"]");
}
