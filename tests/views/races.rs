//! What several processes do at once through different views.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::world::{World, eventually, open, spawn};

/// Says to a copy of this program which part it plays, in which directories.
const PART: &str = "SHMFS_TEST_PART";

fn start(part: &str, uid: u32, directories: &[PathBuf]) -> Child {
    let joined = std::env::join_paths(directories).unwrap();
    let program = std::env::current_exe().unwrap();
    let mut command = Command::new(program);
    command
        .env(PART, part)
        .env("SHMFS_TEST_DIRECTORIES", joined)
        .stdout(Stdio::null())
        .uid(uid)
        .gid(uid);
    spawn(&mut command).unwrap()
}

/// What the started copies do; `false` in the program itself.
pub(crate) fn play_part() -> bool {
    let Ok(part) = std::env::var(PART) else {
        return false;
    };
    let directories = std::env::var_os("SHMFS_TEST_DIRECTORIES").unwrap();
    let directories: Vec<PathBuf> = std::env::split_paths(&directories).collect();
    match part.split_once(' ') {
        Some(("secret", count)) => secret(&directories[0], count.parse().unwrap()),
        Some(("thief", count)) => thief(&directories[0], count.parse().unwrap()),
        Some(("churn", seed)) => churn(&directories, seed.parse().unwrap()),
        _ => panic!("no such part: {part}"),
    }
    true
}

/// Makes an object that nobody else may read, and takes it away again.
fn secret(path: &Path, count: u32) {
    let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    for _ in 0..count {
        if open(path, flags, 0o600).is_ok() {
            fs::remove_file(path).unwrap();
        }
    }
}

/// Asks for the object under another name, to make it where it is not there.
fn thief(path: &Path, count: u32) {
    let (mut made, mut refused) = (0, 0);
    for _ in 0..count {
        match open(path, libc::O_RDWR | libc::O_CREAT, 0o600) {
            Ok(file) => {
                let owner = file.metadata().unwrap().uid();
                assert_eq!(owner, 1000, "opened another user's secret");
                made += 1;
                drop(file);
                let _ = fs::remove_file(path);
            }
            Err(errno) => {
                assert!(
                    [libc::EACCES, libc::ENOENT].contains(&errno),
                    "errno {errno}"
                );
                refused += 1;
            }
        }
    }
    assert!(
        made > 0 && refused > 0,
        "no race: {made} made, {refused} refused"
    );
}

/// LOOKUP says that there is nothing, another view makes it, CREATE arrives: nobody gets what he may not have.
pub(crate) fn a_race_of_two_views_opens_nothing_that_is_forbidden(mode: &str) {
    let world = World::new(&["netbsd", "openbsd"], mode);
    let secret = world.path("netbsd", ".shmobj_foo");
    let thief = world.path("openbsd", crate::world::FOO);
    let mut children = [
        start("secret 12000", 0, &[secret]),
        start("thief 12000", 1000, &[thief]),
    ];
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
}

const CHURNED: [&str; 4] = ["", "netbsd", "openbsd", "illumos"];
const OBJECTS: usize = 6;

/// The path of an object in each directory.
fn names(directories: &[PathBuf], object: usize) -> Vec<PathBuf> {
    use shmfs::types::Names;
    let entry = format!("object{object}");
    let named = directories.iter().zip(CHURNED).map(|(directory, key)| {
        let name = match key {
            "" => entry.clone().into_bytes(),
            key => shmfs::view::Naming::of(key)
                .unwrap()
                .path(entry.as_bytes())
                .unwrap(),
        };
        directory.join(std::str::from_utf8(&name).unwrap())
    });
    named.collect()
}

/// Creates, unlinks, renames and links at random.
fn churn(directories: &[PathBuf], mut seed: u64) {
    let objects: Vec<Vec<PathBuf>> = (0..OBJECTS).map(|at| names(directories, at)).collect();
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 20) as usize % below
    };
    for _ in 0..3000 {
        let view = random(directories.len());
        let (one, other) = (random(OBJECTS), random(OBJECTS));
        let (from, to) = (&objects[one][view], &objects[other][view]);
        let result = match random(6) {
            0 | 1 => open(from, libc::O_RDWR | libc::O_CREAT, 0o666).map(drop),
            2 => code(fs::remove_file(from)),
            3 => code(fs::rename(from, to)),
            4 => code(fs::hard_link(from, to)),
            _ => code(fs::metadata(from).map(|seen| assert!(seen.nlink() <= OBJECTS as u64))),
        };
        if let Err(errno) = result {
            let known = [libc::ENOENT, libc::EEXIST];
            assert!(known.contains(&errno), "errno {errno} of {from:?}, {to:?}");
        }
    }
}

fn code(result: std::io::Result<()>) -> Result<(), i32> {
    result.map_err(|error| error.raw_os_error().unwrap())
}

pub(crate) fn after_a_stress_every_view_lists_the_same(mode: &str) {
    let world = World::new(&CHURNED[1..], mode);
    let before = world.used();
    let directories: Vec<PathBuf> = CHURNED.iter().map(|key| world.path(key, "")).collect();
    let mut children: Vec<Child> = (1..=4u64)
        .map(|seed| {
            let part = format!("churn {}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            start(&part, 0, &directories)
        })
        .collect();
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    check_listings(&world, &directories);
    for name in world.list("") {
        fs::remove_file(world.path("", &name)).unwrap();
    }
    for key in CHURNED {
        assert_eq!(world.list(key), [""; 0], "{key}");
    }
    eventually("all memory is free", || world.used() == before);
}

/// What is there by its names is what each directory lists, and one object in all.
fn check_listings(world: &World, directories: &[PathBuf]) {
    let mut expected: Vec<BTreeSet<String>> = vec![BTreeSet::new(); CHURNED.len()];
    let mut links = std::collections::HashMap::new();
    let mut claimed = Vec::new();
    for object in 0..OBJECTS {
        let paths = names(directories, object);
        let inos: Vec<Option<u64>> = paths
            .iter()
            .map(|path| fs::metadata(path).ok().map(|seen| seen.ino()))
            .collect();
        assert!(inos.iter().all(|ino| *ino == inos[0]), "{object}: {inos:?}");
        let Some(ino) = inos[0] else {
            continue;
        };
        *links.entry(ino).or_insert(0) += 1;
        claimed.push((paths[0].clone(), ino));
        for (names, path) in expected.iter_mut().zip(&paths) {
            let name = path.file_name().and_then(OsStr::to_str).unwrap();
            names.insert(name.to_owned());
        }
    }
    for (key, names) in CHURNED.iter().zip(expected) {
        let listed: BTreeSet<String> = world.list(key).into_iter().collect();
        assert_eq!(listed, names, "{key}");
    }
    for (path, ino) in claimed {
        assert_eq!(fs::metadata(path).unwrap().nlink(), links[&ino]);
    }
}
