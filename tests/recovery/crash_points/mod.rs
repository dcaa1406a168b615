//! A worker that dies at a chosen place of a chosen operation: the program sees the operation done once.
//!
//! Places are in a debug build only (`slots::failpoint`). The test writes the place's name and the request's opcode
//! into a file; whoever passes there takes the file away and dies.
//!
//! What is crossed with what: each operation with each place that it passes, and that
//!
//! * in the tree, in both modes of data, as an ordinary user, and where each object is a memfd;
//! * in views and exports, in both modes of data, and where each object is a memfd;
//! * what no operation passes (making and freeing of data files, compaction, recovery), in all of those.
//!
//! Not crossed is what is the same code: who mounts decides how the device and the data are held, and not what a
//! request does, so views and exports of an ordinary user are tried with memfds alone. The kernel gives passthrough
//! to no ordinary user.

mod elsewhere;
mod faces;
mod tree;

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{self as rfs, Mode, OFlags};
use rustix::io::Errno;

use crate::support::{Case, Mode as FileSystem, Outcome, Setup, Site, User, WORKER, wait_until};

/// The variable that the built program looks at.
const VARIABLE: &str = "SHMFS_FAILPOINTS";
/// When a restart is called a hang.
const DEADLINE: Duration = Duration::from_secs(20);
/// Requests that show that a worker serves (`supervisor::restarts`).
const ANSWERED: usize = 80;

/// Around every request.
const AROUND: [&str; 3] = ["begun", "before-reply", "after-reply"];
/// In one that changes what is recorded.
const RECORDED: [&str; 4] = [
    "before-change",
    "before-journal",
    "in-journal",
    "after-journal",
];
/// In one that opens or closes what is there.
const COUNTED: [&str; 2] = ["about-to-count", "counted"];

const CONTENTS: &[u8] = b"what was there";

/// An operation on some ground, and what must be so afterwards.
struct Step<G> {
    name: &'static str,
    /// Which request it is.
    opcode: u32,
    /// Where the kernel makes that request of it.
    modes: &'static [FileSystem],
    /// The places that it passes.
    places: &'static [&'static [&'static str]],
    run: fn(&G) -> Result<(), Errno>,
    check: fn(&G) -> Outcome,
}

/// Where one operation works.
trait Ground: Sized {
    /// Makes what is there before; `tag` is nobody else's.
    fn prepare(site: &Site, tag: &str) -> Result<Self, String>;
    /// Takes away what is there after.
    fn clear(self) -> Outcome;
}

pub(crate) fn cases() -> Vec<Case> {
    const NOBODY: Setup = Setup {
        user: User::Nobody,
        ..Setup::PLAIN
    };
    const MEMFDS: Setup = Setup {
        user: User::NobodyWithMemfds,
        ..Setup::PLAIN
    };
    const USERS: &[FileSystem] = &[FileSystem::PageCache];
    const OURS: &[FileSystem] = &[FileSystem::Passthrough, FileSystem::PageCache];
    let faces = |user: User| Setup {
        user,
        ..faces::SETUP
    };
    let case = |name, run| Case {
        deadline: Duration::from_secs(900),
        ..Case::new(name, run)
    };
    vec![
        case("crash_points::operations", operations),
        case("crash_points::operations_of_nobody", operations).with(USERS, NOBODY),
        case("crash_points::operations_with_memfds", operations).with(USERS, MEMFDS),
        case("crash_points::faces", faces::all).with(OURS, faces(User::Own)),
        case("crash_points::faces_with_memfds", faces::all)
            .with(USERS, faces(User::NobodyWithMemfds)),
        case("crash_points::elsewhere", elsewhere::all),
        case("crash_points::elsewhere_of_nobody", elsewhere::all).with(USERS, NOBODY),
        case("crash_points::elsewhere_with_memfds", elsewhere::all).with(USERS, MEMFDS),
        case("crash_points::elsewhere_with_faces", elsewhere::all).with(OURS, faces(User::Own)),
    ]
}

/// The child that runs a case lets the program know where the file is.
pub(crate) fn prepare(args: &[OsString]) {
    let [first, _, _, base] = args else {
        return;
    };
    if first == WORKER {
        // SAFETY: before there is a thread.
        unsafe { std::env::set_var(VARIABLE, Path::new(base).join("failpoint")) };
    }
}

/// The file, if there is one to be killed.
fn place_file(site: &Site) -> Option<PathBuf> {
    site.daemon()?;
    std::env::var_os(VARIABLE).map(PathBuf::from)
}

fn arm(file: &Path, place: &str, opcode: u32) -> Outcome {
    let new = file.with_extension("new");
    let armed = fs::write(&new, format!("{place} {opcode}")).and_then(|()| fs::rename(&new, file));
    armed.map_err(|e| format!("arm: {e}"))
}

fn operations(site: &Site) -> Outcome {
    site.expect_deaths();
    each(site, tree::STEPS)?;
    site.wait_until_empty()
}

/// Does each step once in peace, then with a death at each of its places.
fn each<G: Ground>(site: &Site, steps: &[Step<G>]) -> Outcome {
    let file = place_file(site);
    let mut failed = Vec::new();
    for step in steps {
        if !step.modes.contains(&site.mode) {
            continue;
        }
        if let Err(why) = one(site, step, "", None) {
            failed.push(format!("{} in peace: {why}", step.name));
            continue;
        }
        for place in step.places.iter().copied().flatten() {
            let outcome = one(site, step, place, file.as_deref());
            failed.extend(
                outcome
                    .err()
                    .map(|why| format!("{} at {place}: {why}", step.name)),
            );
        }
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(failed.join("\n")),
    }
}

fn one<G: Ground>(site: &Site, step: &Step<G>, place: &str, file: Option<&Path>) -> Outcome {
    let ground = G::prepare(site, &format!("{}-{place}", step.name))?;
    if let Some(file) = file {
        show_that_it_serves(site)?;
        arm(file, place, step.opcode)?;
    }
    let done = (step.run)(&ground);
    if let Some(file) = file {
        let passed = wait_until("the place is passed", DEADLINE, || Ok(!file.exists()));
        passed.inspect_err(|_| drop(fs::remove_file(file)))?;
    }
    done.map_err(|e| format!("{e}"))?;
    (step.check)(&ground)?;
    ground.clear()
}

/// A worker that has answered is followed at once.
fn show_that_it_serves(site: &Site) -> Outcome {
    for _ in 0..ANSWERED {
        let none = rfs::getxattr(&site.dir, "user.none", &mut [0; 1][..]);
        same("no value", &none, &Err(Errno::NODATA))?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, got: &T, wanted: &T) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{what}: {got:?} instead of {wanted:?}"))
}

fn open(path: &Path, flags: OFlags) -> rustix::io::Result<OwnedFd> {
    rfs::open(path, flags | OFlags::CLOEXEC, Mode::from_raw_mode(0o640))
}
