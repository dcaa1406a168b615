//! A worker that dies at a chosen place of a chosen operation: the program sees the operation done once.
//!
//! Places are in a debug build only (`slots::failpoint`). The test writes the place's name and the request's opcode
//! into a file; whoever passes there takes the file away and dies.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{
    self as rfs, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags,
};
use rustix::io::Errno;

use crate::load::names_in;
use crate::support::{Case, Mode as FileSystem, Outcome, Site, WORKER, wait_until};

/// The variable that the built program looks at.
const VARIABLE: &str = "SHMFS_FAILPOINTS";
/// When a restart is called a hang.
const DEADLINE: Duration = Duration::from_secs(20);

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

/// An operation, and what must be so before and after.
struct Step {
    name: &'static str,
    /// Which request it is.
    opcode: u32,
    /// The places that it passes.
    places: &'static [&'static [&'static str]],
    run: fn(&Work) -> Result<(), Errno>,
    check: fn(&Work) -> Outcome,
}

/// Where one operation works: a directory of its own with a file `old`, a directory `dir` and a free name `new`.
struct Work {
    dir: PathBuf,
    file: OwnedFd,
}

/// Requests that show that a worker serves (`supervisor::restarts`).
const ANSWERED: usize = 80;
const CONTENTS: &[u8] = b"what was there";
/// A request of the page cache's: with passthrough the kernel writes by itself.
const WRITE: u32 = 16;

impl Work {
    fn new(dir: PathBuf) -> Result<Work, String> {
        let made = fs::create_dir(&dir)
            .and_then(|()| fs::create_dir(dir.join("dir")))
            .and_then(|()| fs::write(dir.join("old"), CONTENTS));
        made.map_err(|e| format!("prepare: {e}"))?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let file = rfs::open(dir.join("old"), flags, Mode::empty());
        let file = file.map_err(|e| format!("open: {e}"))?;
        // A worker that has answered is followed at once.
        for _ in 0..ANSWERED {
            let none = rfs::fgetxattr(&file, "user.none", &mut [0; 1][..]);
            same("no value", &none, &Err(Errno::NODATA))?;
        }
        Ok(Work { dir, file })
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The names are these.
    fn has(&self, wanted: &[&str]) -> Outcome {
        let mut names = names_in(&self.dir).map_err(|e| format!("list: {e}"))?;
        names.sort_unstable();
        if names == wanted {
            return Ok(());
        }
        Err(format!("{names:?} instead of {wanted:?}"))
    }

    fn links(&self, name: &str, wanted: u64) -> Outcome {
        let stat = rfs::lstat(self.at(name)).map_err(|e| format!("stat {name}: {e}"))?;
        let links = stat.st_nlink as u64;
        same(&format!("links of {name}"), &links, &wanted)
    }

    fn contents(&self, wanted: &[u8]) -> Outcome {
        let bytes = crate::load::contents(self.file.as_fd())?;
        same("contents", &bytes.as_slice(), &wanted)
    }
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

const STEPS: &[Step] = &[
    Step {
        name: "create",
        opcode: 35,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
            let file = open(&work.at("new"), flags)?;
            rustix::io::write(&file, CONTENTS).map(drop)
        },
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("new", 1)?;
            let bytes = fs::read(work.at("new")).map_err(|e| format!("read: {e}"))?;
            same("contents", &bytes.as_slice(), &CONTENTS)
        },
    },
    Step {
        name: "mkdir",
        opcode: 9,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::mkdir(work.at("new"), Mode::from_raw_mode(0o700)),
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("new", 2)?;
            rfs::rmdir(work.at("new")).map_err(|e| format!("rmdir: {e}"))
        },
    },
    Step {
        name: "mknod",
        opcode: 8,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let mode = Mode::from_raw_mode(0o600);
            rfs::mknodat(CWD, work.at("new"), FileType::Fifo, mode, 0)
        },
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("new", 1)
        },
    },
    Step {
        name: "symlink",
        opcode: 6,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::symlink("nowhere", work.at("new")),
        check: |work| {
            let target = fs::read_link(work.at("new")).map_err(|e| format!("readlink: {e}"))?;
            same("target", &target, &PathBuf::from("nowhere"))
        },
    },
    Step {
        name: "link",
        opcode: 13,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::linkat(CWD, work.at("old"), CWD, work.at("new"), AtFlags::empty()),
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("old", 2)
        },
    },
    Step {
        name: "unlink",
        opcode: 10,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::unlink(work.at("old")),
        check: |work| {
            work.has(&["dir"])?;
            work.contents(CONTENTS)
        },
    },
    Step {
        name: "rmdir",
        opcode: 11,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::rmdir(work.at("dir")),
        check: |work| {
            work.has(&["old"])?;
            let stat = rfs::stat(&work.dir).map_err(|e| format!("stat: {e}"))?;
            same("links", &(stat.st_nlink as u64), &2)
        },
    },
    Step {
        name: "rename",
        opcode: 12,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::rename(work.at("old"), work.at("dir/new")),
        check: |work| {
            work.has(&["dir"])?;
            let moved = rfs::stat(work.at("dir/new")).map_err(|e| format!("stat: {e}"))?;
            same("size", &(moved.st_size as usize), &CONTENTS.len())
        },
    },
    Step {
        name: "rename_exchange",
        opcode: 12,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let flags = RenameFlags::EXCHANGE;
            rfs::renameat_with(CWD, work.at("old"), CWD, work.at("dir"), flags)
        },
        check: |work| {
            let is_dir = work.at("old").is_dir() && work.at("dir").is_file();
            same("exchanged", &is_dir, &true)
        },
    },
    Step {
        name: "rename_noreplace",
        opcode: 12,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let flags = RenameFlags::NOREPLACE;
            rfs::renameat_with(CWD, work.at("old"), CWD, work.at("new"), flags)
        },
        check: |work| work.has(&["dir", "new"]),
    },
    Step {
        name: "setxattr",
        opcode: 21,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::setxattr(work.at("old"), "user.new", b"value", XattrFlags::CREATE),
        check: |work| {
            let mut value = [0; 16];
            let len = rfs::fgetxattr(&work.file, "user.new", &mut value);
            let len = len.map_err(|e| format!("getxattr: {e}"))?;
            same("value", &&value[..len], &b"value".as_slice())
        },
    },
    Step {
        name: "removexattr",
        opcode: 24,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            rfs::setxattr(work.at("old"), "user.old", b"value", XattrFlags::CREATE)?;
            rfs::removexattr(work.at("old"), "user.old")
        },
        check: |work| {
            let gone = rfs::fgetxattr(&work.file, "user.old", &mut [0; 16][..]);
            same("value", &gone, &Err(Errno::NODATA))
        },
    },
    Step {
        name: "chmod",
        opcode: 4,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::chmod(work.at("old"), Mode::from_raw_mode(0o604)),
        check: |work| {
            let stat = rfs::fstat(&work.file).map_err(|e| format!("stat: {e}"))?;
            same("mode", &(stat.st_mode & 0o7777), &0o604)
        },
    },
    Step {
        name: "truncate",
        opcode: 4,
        places: &[&AROUND],
        run: |work| rfs::ftruncate(&work.file, 4),
        check: |work| work.contents(&CONTENTS[..4]),
    },
    Step {
        name: "fallocate",
        opcode: 43,
        places: &[&AROUND],
        run: |work| rfs::fallocate(&work.file, FallocateFlags::empty(), 0, 100),
        check: |work| {
            let stat = rfs::fstat(&work.file).map_err(|e| format!("stat: {e}"))?;
            same("size", &(stat.st_size as u64), &100)
        },
    },
    Step {
        name: "open",
        opcode: 14,
        places: &[&AROUND, &COUNTED],
        run: |work| {
            let file = open(&work.at("old"), OFlags::RDWR)?;
            rustix::io::pwrite(&file, b"W", 0).map(drop)
        },
        check: |work| work.contents(b"What was there"),
    },
    Step {
        name: "release",
        opcode: 18,
        places: &[&AROUND, &COUNTED],
        run: |work| open(&work.at("old"), OFlags::RDONLY).map(drop),
        check: |work| work.contents(CONTENTS),
    },
    Step {
        name: "write",
        opcode: WRITE,
        places: &[&AROUND],
        run: |work| rustix::io::pwrite(&work.file, b"W", 0).map(drop),
        check: |work| work.contents(b"What was there"),
    },
    Step {
        name: "lookup",
        opcode: 1,
        places: &[&["begun", "after-reply"]],
        run: |work| match rfs::lstat(work.at("none")) {
            Err(Errno::NOENT) => Ok(()),
            Err(other) => Err(other),
            Ok(_) => Err(Errno::EXIST),
        },
        check: |work| work.has(&["dir", "old"]),
    },
];

/// Places that are passed while others are worked at, or in the next worker.
const ELSEWHERE: [&str; 9] = [
    "file-made",
    "registered",
    "evicted",
    "in-compaction",
    "segment-dropped",
    "restored",
    "slots-resumed",
    "resent",
    "unregistered",
];

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case {
            deadline: Duration::from_secs(900),
            ..Case::new("crash_points::operations", operations)
        },
        Case {
            deadline: Duration::from_secs(600),
            ..Case::new("crash_points::elsewhere", elsewhere)
        },
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
    let file = place_file(site);
    site.expect_deaths();
    let mut failed = Vec::new();
    let by_kernel = |step: &Step| step.opcode == WRITE && site.mode == FileSystem::Passthrough;
    for step in STEPS.iter().filter(|step| !by_kernel(step)) {
        for place in step.places.iter().copied().flatten() {
            let dir = site.dir.join(format!("{}-{place}", step.name));
            let outcome = one(&dir, step, place, file.as_deref());
            failed.extend(
                outcome
                    .err()
                    .map(|e| format!("{} at {place}: {e}", step.name)),
            );
        }
    }
    if !failed.is_empty() {
        return Err(failed.join("\n"));
    }
    site.wait_until_empty()
}

fn one(dir: &Path, step: &Step, place: &str, file: Option<&Path>) -> Outcome {
    let work = Work::new(dir.to_path_buf())?;
    if let Some(file) = file {
        arm(file, place, step.opcode)?;
    }
    let done = (step.run)(&work);
    if let Some(file) = file {
        let passed = wait_until("the place is passed", DEADLINE, || Ok(!file.exists()));
        passed.inspect_err(|_| drop(fs::remove_file(file)))?;
    }
    done.map_err(|e| format!("{e}"))?;
    (step.check)(&work)?;
    drop(work);
    fs::remove_dir_all(dir).map_err(|e| format!("remove: {e}"))
}

/// Where it passes what is no operation: the making and freeing of files, compaction, recovery itself.
fn elsewhere(site: &Site) -> Outcome {
    let file = place_file(site);
    site.expect_deaths();
    let kept = site.dir.join("kept");
    fs::write(&kept, CONTENTS).map_err(|e| format!("write: {e}"))?;
    let mut number = 0;
    for place in ELSEWHERE {
        // Without passthrough nothing is registered, and the daemon never takes a registration back so soon.
        let registers = matches!(place, "registered" | "unregistered");
        if registers && site.mode != FileSystem::Passthrough {
            continue;
        }
        if let Some(file) = &file {
            arm(file, place, 0)?;
        }
        let recovery = matches!(place, "restored" | "slots-resumed" | "resent");
        let mut passed = || {
            number += 1;
            change_much(&site.dir, number)?;
            if let (true, Some(daemon)) = (recovery, site.daemon()) {
                crate::kills::kill_worker(daemon);
            }
            Ok(file.as_ref().is_none_or(|file| !file.exists()))
        };
        wait_until(place, DEADLINE * 3, &mut passed)?;
        let bytes = fs::read(&kept).map_err(|e| format!("read after {place}: {e}"))?;
        same(place, &bytes.as_slice(), &CONTENTS)?;
    }
    fs::remove_file(&kept).map_err(|e| format!("remove: {e}"))?;
    site.wait_until_empty()
}

/// Makes, changes and removes some files.
fn change_much(dir: &Path, number: u32) -> Outcome {
    let said = |e: std::io::Error| format!("change {number}: {e}");
    for count in 0..40 {
        let path = dir.join(format!("many-{number}-{count}"));
        fs::write(&path, CONTENTS).map_err(said)?;
        let again = path.with_extension("again");
        fs::rename(&path, &again).map_err(said)?;
        same(
            "contents",
            &fs::read(&again).map_err(said)?.as_slice(),
            &CONTENTS,
        )?;
        fs::remove_file(&again).map_err(said)?;
    }
    Ok(())
}
