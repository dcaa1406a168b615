//! Every name of the vectors through the library: the errno, or the file, that the platform gives.

mod common;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::{World, programs};
use serde_json::Value;

/// Keys of shared memory, and of the semaphores of the same platform.
const PLATFORMS: &[(&str, Option<&str>)] = &[
    ("glibc", Some("glibc-sem")),
    ("glibc-2.38", Some("glibc-2.38-sem")),
    ("glibc-2.34", Some("glibc-2.34-sem")),
    ("glibc-2.21", Some("glibc-2.21-sem")),
    ("glibc-2.19", None),
    ("glibc-2.18", Some("glibc-2.18-sem")),
    ("hurd", None),
    ("musl", Some("musl-sem")),
    ("musl-old", None),
    ("uclibc", Some("uclibc-sem")),
    ("openbsd", Some("openbsd-sem")),
    ("netbsd", Some("netbsd-sem")),
    ("dragonfly", Some("dragonfly-sem")),
    ("dragonfly-old", None),
    ("freebsd", Some("freebsd-sem")),
    ("illumos", Some("illumos-sem")),
    ("illumos-be", None),
    ("haiku", Some("haiku-sem")),
    ("cygwin", Some("cygwin-sem")),
    ("cygwin-1.7", Some("cygwin-1.7-sem")),
    ("cygwin-1.5", None),
    ("newlib-linux", None),
    ("xnu", Some("xnu-sem")),
    ("xnu-old", None),
    ("rtems", None),
    ("zephyr", None),
    ("nuttx", None),
    ("redox", None),
];

struct Row {
    kind: String,
    value: Value,
    effective: Option<String>,
}

struct Vectors {
    names: Vec<Vec<u8>>,
    platforms: BTreeMap<String, BTreeMap<(usize, String), Row>>,
}

fn decode(text: &Value) -> Vec<u8> {
    let text = text.as_str().expect("a string");
    BASE64_STANDARD.decode(text).expect("base64")
}

fn vectors() -> Vectors {
    let text = include_str!("../../tests/data/platform-vectors.json");
    let json: Value = serde_json::from_str(text).expect("JSON");
    let names = json["names"].as_array().expect("names");
    let platforms = json["platforms"].as_object().expect("platforms").iter();
    let rows = |rows: &Value| {
        let rows = rows.as_array().expect("rows").iter();
        rows.map(|row| {
            let index = row[0].as_u64().expect("an index") as usize;
            let text = |at: usize| row[at].as_str().map(str::to_owned);
            let answer = Row {
                kind: text(2).expect("a kind"),
                value: row[3].clone(),
                effective: text(4),
            };
            ((index, text(1).expect("an op")), answer)
        })
        .collect()
    };
    Vectors {
        names: names.iter().map(decode).collect(),
        platforms: platforms
            .map(|(key, all)| (key.clone(), rows(all)))
            .collect(),
    }
}

/// Runs all names through one program: each is opened, opened again, unlinked, unlinked again.
fn answers(world: &World, names: &[Vec<u8>], ops: &[&str]) -> Vec<Vec<String>> {
    let mut child = world
        .command(programs().join("names"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("names runs");
    let mut input = Vec::new();
    for name in names {
        let hex: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
        let hex = if hex.is_empty() { "-" } else { &hex };
        for op in ops {
            writeln!(input, "{op} {hex}").expect("memory");
        }
    }
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&input));
    let output = child.wait_with_output().expect("names ends");
    writer.join().expect("no panic").expect("names reads");
    assert!(output.status.success(), "{}", output.status);
    let lines: Vec<String> = String::from_utf8(output.stdout)
        .expect("text")
        .lines()
        .map(str::to_owned)
        .collect();
    assert_eq!(lines.len(), names.len() * ops.len());
    lines.chunks(ops.len()).map(<[String]>::to_vec).collect()
}

/// What the second part of a path asks of the directories before it.
fn needs_directories(row: &Row, key: &str) -> bool {
    let path = decode(&row.value);
    let depth = path.iter().filter(|&&byte| byte == b'/').count();
    match key {
        "dragonfly-old" => depth > 1,
        "redox" => depth > 0,
        "freebsd-sem" => depth > 2,
        _ => depth > 3,
    }
}

/// Whether the vectors allow this answer to an open that may create.
fn allowed(row: &Row, key: &str, said: &str) -> bool {
    // The vectors have open's errno; these two make another of it, and of Redox's file system they
    // know nothing.
    let open_says = match key {
        "dragonfly-sem" | "nuttx" if said == "EINVAL" => "EISDIR",
        "redox" if matches!(said, "EISDIR" | "EACCES") => "ok",
        _ => said,
    };
    if open_says != said && row.kind == "path" {
        let is_directory = row
            .effective
            .as_deref()
            .is_none_or(|errno| errno == "EISDIR");
        return is_directory;
    }
    if let Some(errno) = &row.effective {
        // Where the directories before the leaf are not there, or the path leaves the view.
        let parents = row.kind == "path" && needs_directories(row, key);
        return said == errno || parents && matches!(said, "ENOENT" | "EACCES");
    }
    match row.kind.as_str() {
        "error" if row.value == "UNDEFINED" => said == "ENOENT",
        "error" => row.value == said,
        "path" if needs_directories(row, key) => matches!(said, "ok" | "ENOENT" | "EACCES"),
        // A path that is none below the root of the view.
        "path" => said == "ok" || key == "dragonfly-old" && said == "EACCES",
        _ => said == "ok",
    }
}

fn wrong(vectors: &Vectors, key: &str, world: &World, prefix: &str) -> Vec<String> {
    let ops = [
        format!("{prefix}open"),
        format!("{prefix}open"),
        format!("{prefix}unlink"),
        format!("{prefix}unlink"),
    ];
    let ops: Vec<&str> = ops.iter().map(String::as_str).collect();
    let rows = &vectors.platforms[key];
    let mut wrong = Vec::new();
    for (index, said) in answers(world, &vectors.names, &ops).into_iter().enumerate() {
        let open = &rows[&(index, "open".to_owned())];
        let unlink = rows.get(&(index, "unlink".to_owned())).unwrap_or(open);
        let name = vectors.names[index].escape_ascii();
        if !allowed(open, key, &said[0]) || said[0] != said[1] {
            wrong.push(format!("{key} {ops:?} \"{name}\": {said:?}"));
        }
        let unlinked = match (said[0].as_str(), unlink.kind.as_str()) {
            ("ok", _) => said[2] == "ok" && said[3] != "ok",
            (_, "error") => unlink.value == "UNDEFINED" || unlink.value == said[2].as_str(),
            _ => said[2] != "ok",
        };
        if !unlinked {
            wrong.push(format!("{key} unlink \"{name}\": {said:?}"));
        }
    }
    wrong
}

#[test]
fn every_name_on_every_platform() {
    let vectors = vectors();
    let mut all = Vec::new();
    for (key, semaphores) in PLATFORMS {
        let world = World::on_tmpfs(key);
        all.extend(wrong(&vectors, key, &world, ""));
        if let Some(semaphores) = semaphores {
            all.extend(wrong(&vectors, semaphores, &world, "sem_"));
        }
    }
    assert!(all.is_empty(), "{}\n{} wrong", all.join("\n"), all.len());
}

#[test]
fn every_platform_of_the_vectors_is_here() {
    let here: Vec<&str> = PLATFORMS
        .iter()
        .flat_map(|&(shm, sem)| [Some(shm), sem])
        .flatten()
        .collect();
    for key in vectors().platforms.keys() {
        let other = key.contains("mq") || key.ends_with("-lock");
        assert!(other || here.contains(&key.as_str()), "{key} is not tried");
    }
}
