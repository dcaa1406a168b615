//! Names that all processes use: each protocol lets one of them in at a time, which counts.
//!
//! An operation done twice, or not at all, leaves a lock behind, lets two in, or loses a count.

use std::path::{Path, PathBuf};

use rustix::fs::{self as fs, AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use super::{Outcome, timed};
use crate::pauses::Stopwatch;
use crate::rng::Rng;

/// How the lock is taken: what makes a name and says so.
#[derive(Clone, Copy)]
enum Way {
    Create,
    Mkdir,
    Symlink,
    Link,
    RenameNoReplace,
}

const WAYS: [Way; 5] = [
    Way::Create,
    Way::Mkdir,
    Way::Symlink,
    Way::Link,
    Way::RenameNoReplace,
];

/// The place of [`Way::Symlink`].
pub(crate) const SYMLINKS: usize = 2;

/// What one process knows of what is shared.
pub(super) struct Shared {
    dir: PathBuf,
    index: u64,
    counts: [u64; WAYS.len()],
    made: u64,
}

/// The file that is counted in, and how long a number is.
pub(crate) fn counter(dir: &Path, way: usize) -> PathBuf {
    dir.join(format!("counter{way}"))
}

const DIGITS: usize = 20;

/// How many counters there are.
pub(crate) const COUNTERS: usize = WAYS.len();

/// What a counter says.
pub(crate) fn read_counter(path: &Path) -> Outcome<u64> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("read a counter: {e}"))?;
    let number = text.trim().parse();
    number.map_err(|_| format!("a counter says {text:?}"))
}

/// Writes one.
pub(crate) fn write_counter(path: &Path, number: u64) -> Outcome {
    let text = format!("{number:>DIGITS$}");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::CLOEXEC;
    let written = fs::open(path, flags, Mode::from_raw_mode(0o600))
        .and_then(|file| rustix::io::pwrite(&file, text.as_bytes(), 0));
    match written {
        Ok(DIGITS) => Ok(()),
        other => Err(format!("write a counter: {other:?}")),
    }
}

impl Shared {
    pub(super) fn new(dir: &Path, index: u64) -> Shared {
        Shared {
            dir: dir.to_path_buf(),
            index,
            counts: [0; WAYS.len()],
            made: 0,
        }
    }

    pub(super) fn step(
        &mut self,
        rng: &mut Rng,
        watch: &mut Stopwatch,
        is_export: bool,
    ) -> Outcome {
        match rng.below(WAYS.len() + 1) {
            SYMLINKS if is_export => self.publish(watch),
            way if way < WAYS.len() => self.count(way, watch),
            _ => self.publish(watch),
        }
    }

    /// A line for each counter.
    pub(super) fn report(&self) -> String {
        let counts = self.counts.iter().enumerate();
        counts
            .map(|(way, count)| format!("count {way} {count}\n"))
            .collect()
    }

    fn count(&mut self, way: usize, watch: &mut Stopwatch) -> Outcome {
        let lock = self.dir.join(format!("lock{way}"));
        let own = self.dir.join(format!("own{way}.{}", self.index));
        match self.take(WAYS[way], &lock, &own, watch) {
            Ok(()) => {}
            Err(Errno::EXIST) => return Ok(()),
            Err(e) => return Err(format!("take lock{way}: {e}")),
        }
        let counter = counter(&self.dir, way);
        let now = timed(watch, || read_counter(&counter))?;
        timed(watch, || write_counter(&counter, now + 1))?;
        self.counts[way] += 1;
        let given = timed(watch, || match WAYS[way] {
            Way::Mkdir => fs::rmdir(&lock),
            Way::Create | Way::Symlink | Way::Link | Way::RenameNoReplace => fs::unlink(&lock),
        });
        given.map_err(|e| format!("give lock{way}: {e}"))
    }

    fn take(
        &self,
        way: Way,
        lock: &Path,
        own: &Path,
        watch: &mut Stopwatch,
    ) -> rustix::io::Result<()> {
        let new = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
        let mode = Mode::from_raw_mode(0o600);
        match way {
            Way::Create => timed(watch, || fs::open(lock, new, mode).map(drop)),
            Way::Mkdir => timed(watch, || fs::mkdir(lock, mode)),
            Way::Symlink => timed(watch, || fs::symlink("nowhere", lock)),
            Way::Link => {
                timed(watch, || fs::open(own, new, mode).map(drop))?;
                let linked = timed(watch, || fs::linkat(CWD, own, CWD, lock, AtFlags::empty()));
                timed(watch, || fs::unlink(own)).map_err(not_a_loss)?;
                linked
            }
            Way::RenameNoReplace => {
                timed(watch, || fs::open(own, new, mode).map(drop)).map_err(not_a_loss)?;
                let flags = fs::RenameFlags::NOREPLACE;
                let renamed = timed(watch, || fs::renameat_with(CWD, own, CWD, lock, flags));
                if renamed.is_err() {
                    timed(watch, || fs::unlink(own)).map_err(not_a_loss)?;
                }
                renamed
            }
        }
    }

    /// A new version replaces the old one as a whole; whoever reads sees one of them.
    fn publish(&mut self, watch: &mut Stopwatch) -> Outcome {
        let latest = self.dir.join("latest");
        let own = self.dir.join(format!("next.{}", self.index));
        self.made += 1;
        let line = format!("{} {}\n", self.index, self.made);
        let written = timed(watch, || std::fs::write(&own, line.repeat(40)));
        written.map_err(|e| format!("write a version: {e}"))?;
        let renamed = timed(watch, || fs::rename(&own, &latest));
        renamed.map_err(|e| format!("publish a version: {e}"))?;
        let read = timed(watch, || std::fs::read_to_string(&latest));
        let read = read.map_err(|e| format!("read the latest version: {e}"))?;
        let first = read.lines().next().unwrap_or_default();
        match read == format!("{first}\n").repeat(40) {
            true => Ok(()),
            false => Err(format!("a version in parts: {read:?}")),
        }
    }
}

/// Nobody else has this name: that it is there already is no lost race.
fn not_a_loss(error: Errno) -> Errno {
    match error {
        Errno::EXIST => Errno::NOTUNIQ,
        other => other,
    }
}
