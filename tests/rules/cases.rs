//! The cases of tests/data/export-cases.tsv: rules, what is there, what a consumer does, and the answer to the last of it.
//! What needs no mount is played here, by the rights of each name and the table of operations alone.

use std::collections::BTreeMap;

use shmfs::errno::Errno;
use shmfs::export::{Export, Operation, Presence, RenameMode, Rights, XattrClass, verdict};

use crate::{export, parse};

/// What is at a path: a file or a directory; in the consumer's layer or the provider's.
#[derive(Clone, Copy, PartialEq)]
enum Object {
    File,
    Directory,
    Symlink,
}

/// A consumer's world: what the provider has, and what is in the consumer's own layer.
struct World {
    export: Export,
    shared: BTreeMap<String, Object>,
    own: BTreeMap<String, Object>,
}

type Answer = Result<String, Errno>;

impl World {
    fn new(export: Export, objects: &str) -> World {
        let shared = objects.split_whitespace().map(|word| {
            let (name, object) = match word.char_indices().last() {
                Some((at, '/')) => (&word[..at], Object::Directory),
                Some((at, '@')) => (&word[..at], Object::Symlink),
                _ => (word, Object::File),
            };
            (name.to_owned(), object)
        });
        World {
            shared: shared.collect(),
            own: BTreeMap::new(),
            export,
        }
    }

    /// Rights and presence of a name; `None` where it is in the layer.
    fn at(&self, name: &str, makes_directory: bool) -> Option<(Rights, Presence)> {
        if self.export.is_in_layer(name.as_bytes()) {
            return None;
        }
        let rules = &self.export.rules;
        let leads = rules.leads(name.as_bytes());
        let (presence, is_directory) = match self.shared.get(name) {
            Some(Object::File) => (Presence::File, false),
            Some(Object::Directory) => (Presence::Directory { leads }, true),
            Some(Object::Symlink) => (Presence::Other, false),
            None if name.is_empty() => (Presence::Directory { leads: true }, true),
            None => (Presence::Absent, makes_directory),
        };
        let rights = match is_directory {
            true => rules.of_directory(name.as_bytes()),
            false => rules.of_file(name.as_bytes()),
        };
        Some((rights, presence))
    }

    fn ask(&self, operation: Operation, name: &str) -> Answer {
        match self.at(name, operation == Operation::Mkdir) {
            Some((rights, presence)) => verdict(operation, rights, presence),
            None if self.own.contains_key(name) => Ok(()),
            None => Err(Errno::ENOENT),
        }
        .map(|()| "OK".to_owned())
    }

    fn open(&mut self, name: &str, flags: &[&str]) -> Answer {
        let has = |flag| flags.contains(&flag);
        let read = has("O_RDONLY") || has("O_RDWR");
        let write = has("O_WRONLY") || has("O_RDWR");
        let truncate = has("O_TRUNC");
        if !has("O_CREAT") {
            let operation = Operation::Open {
                read,
                write,
                truncate,
            };
            return self.ask(operation, name);
        }
        if self.at(name, false).is_none() {
            let new = self.own.insert(name.to_owned(), Object::File).is_none();
            return match new || !has("O_EXCL") {
                true => Ok("OK".to_owned()),
                false => Err(Errno::EEXIST),
            };
        }
        let exclusive = has("O_EXCL");
        let operation = Operation::Create {
            exclusive,
            read,
            write,
            truncate,
        };
        let answer = self.ask(operation, name)?;
        self.shared.entry(name.to_owned()).or_insert(Object::File);
        Ok(answer)
    }

    /// Both names of a link or rename: the old one's answer, then the new one's.
    fn two(&mut self, is_rename: bool, old: &str, new: &str) -> Answer {
        let (source, target) = (self.at(old, false), self.at(new, false));
        let from = match source {
            Some((rights, presence)) => {
                let operation = match (is_rename, target.is_none()) {
                    (true, true) => Operation::RenameOut,
                    (true, false) => Operation::RenameFrom,
                    (false, true) => Operation::LinkOut,
                    (false, false) => Operation::LinkFrom,
                };
                verdict(operation, rights, presence)?;
                rights
            }
            None if self.own.contains_key(old) => Rights::ALL,
            None => return Err(Errno::ENOENT),
        };
        let operation = match is_rename {
            true => Operation::RenameTo {
                from,
                mode: RenameMode::Replace,
            },
            false => Operation::LinkTo { from },
        };
        self.ask(operation, new)
    }

    fn readdir(&self, directory: &str) -> Answer {
        if !self.export.private {
            self.ask(Operation::ReadDir, directory)?;
        }
        let inside = |path: &&String| {
            let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
            parent == directory
        };
        let shared = self.shared.keys().filter(inside);
        let visible = shared.filter(|path| self.ask(Operation::Lookup, path).is_ok());
        let own = self.own.keys().filter(inside);
        let mut names: Vec<&str> = visible
            .chain(own)
            .map(|path| {
                path.rsplit_once('/')
                    .map_or(path.as_str(), |(_, name)| name)
            })
            .collect();
        names.sort_unstable();
        names.dedup();
        match names.is_empty() {
            true => Ok("(empty)".to_owned()),
            false => Ok(names.join(",")),
        }
    }

    fn run(&mut self, line: &str) -> Answer {
        let words: Vec<&str> = line.split_whitespace().collect();
        let has = |flag| words.contains(&flag);
        match words.as_slice() {
            ["stat", name] => self.ask(Operation::Lookup, name),
            ["open", name, flags @ ..] => self.open(name, flags),
            ["readdir"] => self.readdir(""),
            ["readdir", directory] => self.readdir(directory),
            ["rename", old, new] => self.two(true, old, new),
            ["link", old, new] => self.two(false, old, new),
            ["unlink", name] => {
                let answer = self.ask(Operation::Unlink, name)?;
                self.shared.remove(*name);
                Ok(answer)
            }
            ["mkdir", name] => {
                let answer = self.ask(Operation::Mkdir, name)?;
                self.shared.insert((*name).to_owned(), Object::Directory);
                Ok(answer)
            }
            ["symlink", name] => self.ask(Operation::Special, name),
            ["truncate", name] => self.ask(Operation::Truncate, name),
            ["setxattr", name, key] => {
                self.ask(Operation::SetXattr(XattrClass::of(key.as_bytes())), name)
            }
            ["flock_sh", name, ..] => self.ask(Operation::Lock { exclusive: false }, name),
            ["mmap", name, ..] => {
                let operation = Operation::Map {
                    write: has("PROT_WRITE"),
                    shared: has("MAP_SHARED"),
                    execute: has("PROT_EXEC"),
                };
                self.ask(operation, name)
            }
            other => panic!("{other:?} is unknown"),
        }
    }
}

/// JSON is nearly TOML: `{"key":value}` becomes lines.
fn to_toml(json: &str) -> String {
    let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).unwrap();
    let inline = |value: &serde_json::Value| match value {
        serde_json::Value::Array(rules) if rules.iter().any(|rule| rule.is_object()) => {
            let tables = rules.iter().map(|rule| {
                let fields = rule.as_object().unwrap().iter();
                let fields: Vec<String> = fields
                    .map(|(key, value)| format!("{key} = {value}"))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            });
            format!("[{}]", tables.collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    };
    let lines = value
        .iter()
        .map(|(key, value)| format!("{key} = {}\n", inline(value)));
    lines.collect()
}

#[test]
fn every_case_answers_as_written() {
    let mut faults = Vec::new();
    let mut count = 0;
    for line in include_str!("../data/export-cases.tsv").lines().skip(1) {
        let columns: Vec<&str> = line.split('\t').collect();
        let [number, rules, objects, operations, result, _why] = columns[..] else {
            panic!("{line}: {} columns", columns.len());
        };
        let toml = to_toml(rules);
        let found = if result.starts_with("E_") {
            let codes = parse(&toml).err().map(|problems| problems.errors);
            let codes = codes.unwrap_or_default().into_iter();
            codes
                .map(|error| error.code.to_string())
                .collect::<Vec<_>>()
                .join(",")
        } else {
            let mut world = World::new(export(&toml), objects);
            let mut last = String::new();
            for operation in operations.split(';') {
                last = match world.run(operation) {
                    Ok(answer) => answer,
                    Err(errno) => errno.name().unwrap().to_owned(),
                };
            }
            last
        };
        count += 1;
        if found != result {
            faults.push(format!(
                "{number} {rules} {operations}: {found}, not {result}"
            ));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(count, 43);
}

#[test]
fn what_is_never_exported_is_hidden_by_any_rule() {
    let mut world = World::new(export("write = ['*', '**']"), "link@ file");
    assert_eq!(world.run("stat link"), Err(Errno::ENOENT));
    assert_eq!(world.run("readdir"), Ok("file".to_owned()));
    assert_eq!(
        world.run("open link O_RDWR O_CREAT O_EXCL"),
        Err(Errno::EACCES)
    );
}

#[test]
fn a_layer_has_what_no_rule_grants_and_nothing_else() {
    let export =
        export("write = ['pub*', 'tree/x', 'd/']\nhide = ['pub-secret']\nunmatched = 'private'");
    for name in ["mine", "pub-secret", "sem.x"] {
        assert!(export.is_in_layer(name.as_bytes()), "{name}");
    }
    for name in ["pub1", "tree", "d"] {
        assert!(!export.is_in_layer(name.as_bytes()), "{name}");
    }
}

#[test]
fn semaphores_bring_three_shapes_and_no_more() {
    let export = export("semaphores = ['foo', 'ring_*']\nwrite = ['abcdef']");
    for name in ["sem.aX91Qk", "KElSis", "tmp-482913377"] {
        assert!(export.is_in_layer(name.as_bytes()), "{name}");
    }
    for name in [
        "sem.foo",
        "sem.ring_1",
        "sem.longer7",
        "sem.short",
        "tmp-x",
        "abcdef",
        "abcdefg",
        "a/bcde",
    ] {
        assert!(!export.is_in_layer(name.as_bytes()), "{name}");
    }
    assert_eq!(export.rules.of_file(b"sem.foo"), Rights::ALL);
    assert_eq!(export.rules.of_file(b"sem.ring_1"), Rights::ALL);
    assert_eq!(export.rules.of_file(b"foo"), Rights::NONE);
}
