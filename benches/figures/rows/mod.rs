//! The rows of the table, one file each.

mod bare;
mod cache;
mod calls;
mod crowd;
mod cycle;
mod exports;
mod journal;
mod mapped;
mod million;
mod open;
mod recovery;
mod rw;
mod swarm;
mod views;

use std::io;
use std::path::Path;

use crate::Context;
use crate::sys;

/// One group of rows.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) by_default: bool,
    pub(crate) run: fn(&mut Context) -> io::Result<()>,
}

const fn group(
    name: &'static str,
    title: &'static str,
    run: fn(&mut Context) -> io::Result<()>,
) -> Group {
    Group {
        name,
        title,
        by_default: true,
        run,
    }
}

/// All groups, in the order they run.
pub(crate) const ALL: &[Group] = &[
    group("bare", "one bare round trip", bare::run),
    group("mapped", "mapped memory with passthrough", mapped::run),
    group("rw", "read and write with passthrough", rw::run),
    group(
        "cycle",
        "shm_open(O_CREAT|O_EXCL), ftruncate, mmap, close, store, munmap, unlink",
        cycle::run,
    ),
    group(
        "open",
        "open and close of an existing object; stat",
        open::run,
    ),
    group(
        "crowd",
        "eight processes in one directory beside one",
        crowd::run,
    ),
    group("cache", "mapped memory in page-cache mode", cache::run),
    group(
        "million",
        "many empty objects in one directory",
        million::run,
    ),
    group(
        "views",
        "the tree under another platform's names",
        views::run,
    ),
    group("exports", "a consumer's part of the tree", exports::run),
    group(
        "journal",
        "what it costs that objects outlive the process",
        journal::run,
    ),
    group(
        "recovery",
        "the worker is killed: until the next one answers",
        recovery::run,
    ),
    Group {
        name: "swarm",
        title: "1,000 processes create and unlink 1,000 objects each",
        by_default: false,
        run: swarm::run,
    },
];

/// What a second copy of this program does as a user, in an shmfs of the user's own.
pub(crate) fn guest_task(dir: &Path, task: &str) -> io::Result<Vec<f64>> {
    match task {
        "cycle" => cycle::cycle(dir, 0).map(|()| Vec::new()),
        "cycles" => cycle::cycles(dir),
        "touch" => cache::touch(dir, cache::USER_LEN),
        other => Err(io::Error::other(format!("unknown task {other}"))),
    }
}

/// Does it as `uid`, in a process of its own.
fn as_user(uid: u32, body: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    sys::numbers_as(uid, || body().map(|()| Vec::new()))?;
    Ok(())
}

/// "root" or "user".
fn who(uid: u32) -> &'static str {
    if uid == 0 { "root" } else { "user" }
}
