//! shm_open(3), sem_open(3) and what is built on them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use crate::support::{Case, Mode, Outcome, Site, check, need};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("c::writer_and_reader", writer_and_reader),
        Case::new("c::semaphores_of_unrelated_processes", semaphores),
        Case::new("c::anonymous_region_by_scm_rights", |site| {
            run_alone(site, "anonymous.c")
        }),
        Case::new("c::mkostemp", |site| run_alone(site, "mkostemp.c")),
        Case::new("c::swarm", swarm),
        Case::new("python::shared_memory", |site| {
            python(site, "shared_memory.py")
        }),
        Case::new("python::semaphores", |site| python(site, "semaphores.py")),
    ]
}

fn writer_and_reader(site: &Site) -> Outcome {
    let name = "/writer-and-reader";
    let mut write = Command::new(site.compile("shm_write.c")?);
    write.arg(name).stdout(Stdio::piped());
    if has_all_users() {
        write.env("SITE_ALL_USERS", "1");
    }
    if site.mode == Mode::PageCache {
        // What a mapping has dirtied is counted once it is written back.
        write.env("SITE_PAGE_CACHE", "1");
    }
    let read = site.compile("shm_read.c")?;
    let mut writer = write.spawn().map_err(|e| format!("start {write:?}: {e}"))?;
    let ready = writer.stdout.take().map_or(Ok(String::new()), |stdout| {
        let mut line = String::new();
        BufReader::new(stdout)
            .read_line(&mut line)
            .map(|_| line)
            .map_err(|e| format!("read from the writer: {e}"))
    })?;
    if ready != "ready\n" {
        return Err(format!("the writer: {:?}", writer.wait()));
    }
    let reader = check(Command::new(read).arg(name));
    if reader.is_err() {
        // It waits for a turn that will not come.
        let _ = writer.kill();
    }
    let status = writer.wait().map_err(|e| format!("wait: {e}"))?;
    reader?;
    match status.success() {
        true => nothing_left(site),
        false => Err(format!("the writer: {status}")),
    }
}

/// False in a user namespace of one user, where chown to another is EINVAL.
fn has_all_users() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").expect("/proc");
    map.contains("4294967295")
}

fn semaphores(site: &Site) -> Outcome {
    let program = site.compile("semaphore.c")?;
    let role = |args: &[&str]| {
        let mut command = Command::new(&program);
        command.args(args);
        command
    };
    for name in ["/ping", "/pong"] {
        check(&mut role(&["create", name]))?;
    }
    let mut players = Vec::new();
    for args in [["play", "/ping", "/pong"], ["play", "/pong", "/ping"]] {
        let mut command = role(&args);
        let player = command
            .spawn()
            .map_err(|e| format!("start {command:?}: {e}"))?;
        players.push(player);
    }
    check(&mut role(&["start", "/ping"]))?;
    for mut player in players {
        let status = player.wait().map_err(|e| format!("wait: {e}"))?;
        if !status.success() {
            return Err(format!("a player: {status}"));
        }
    }
    for name in ["/ping", "/pong"] {
        check(&mut role(&["end", name]))?;
    }
    nothing_left(site)
}

fn run_alone(site: &Site, file: &str) -> Outcome {
    check(&mut Command::new(site.compile(file)?))?;
    nothing_left(site)
}

/// `SHMFS_SWARM=1000x1000` is the size that suites elsewhere use.
fn swarm(site: &Site) -> Outcome {
    let size = std::env::var("SHMFS_SWARM").unwrap_or("100x200".into());
    let (processes, objects) = size
        .split_once('x')
        .ok_or(format!("SHMFS_SWARM={size}: not PROCESSESxOBJECTS"))?;
    let mut command = Command::new(site.compile("swarm.c")?);
    let said = check(command.args([processes, objects]))?;
    print!("{}", String::from_utf8_lossy(&said.stdout));
    nothing_left(site)
}

fn python(site: &Site, file: &str) -> Outcome {
    need("python3", "python3")?;
    check(&mut site.interpret("python3", file))?;
    nothing_left(site)
}

/// Every object was unlinked, and its inode and blocks came back.
fn nothing_left(site: &Site) -> Outcome {
    let mut entries = std::fs::read_dir(&site.dir).map_err(|e| format!("readdir: {e}"))?;
    if let Some(entry) = entries.next() {
        return Err(format!("left behind: {entry:?}"));
    }
    site.wait_until_empty()
}
