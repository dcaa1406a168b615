//! One process of the load: it works in a directory of its own and in one that all share, until it is told to
//! stop, and takes everything away again.

mod held;
mod model;
mod names;
mod objects;
mod shared;

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::pauses::Stopwatch;
use crate::rng::Rng;
pub(crate) use held::names_in;
use model::Model;
pub(crate) use shared::{COUNTERS, SYMLINKS, counter, read_counter, write_counter};

/// First argument of the suite's binary when it is to be a process of the load: `DIR SHARED INDEX SEED REPORT KINDS`.
pub(crate) const LOAD: &str = "--load";

/// Why the load failed: what was done, what came of it, what should have.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The process: ends with 0 when nothing was wrong.
pub(crate) fn main(args: &[OsString]) -> ! {
    let end = match run(args) {
        Ok(()) => 0,
        Err(sentence) => {
            eprintln!("{args:?}: {sentence}");
            1
        }
    };
    std::process::exit(end)
}

fn run(args: &[OsString]) -> Outcome {
    let [dir, shared, index, seed, report, kinds] = args else {
        return Err("--load needs DIR SHARED INDEX SEED REPORT KINDS".into());
    };
    let number = |text: &OsString| text.to_str().and_then(|text| text.parse::<u64>().ok());
    let (Some(index), Some(seed)) = (number(index), number(seed)) else {
        return Err("INDEX and SEED are numbers".into());
    };
    let mut load = Load::new(Path::new(dir), Path::new(shared), index, seed)?;
    load.is_export = kinds == EXPORTED;
    load.begin()?;
    while !told_to_stop() {
        for _ in 0..20 {
            load.step()?;
        }
    }
    load.end()?;
    let counts = load.shared.report();
    let text = format!("steps {}\n{counts}{}", load.steps, load.watch.report());
    fs::write(report, text).map_err(|e| format!("write the report: {e}"))
}

/// The parent closes our standard input.
fn told_to_stop() -> bool {
    let stdin = std::io::stdin();
    let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
    let now = Timespec::default();
    let ready = poll(&mut waiting, Some(&now)).is_ok_and(|count| count > 0);
    ready && matches!(std::io::stdin().read(&mut [0]), Ok(0) | Err(_))
}

/// What one process does and knows.
pub(crate) struct Load {
    dir: PathBuf,
    rng: Rng,
    model: Model,
    held: held::Held,
    shared: shared::Shared,
    watch: Stopwatch,
    steps: u64,
    /// Where there are no symbolic links and no access control lists.
    is_export: bool,
}

/// `KINDS` of who works in an export.
pub(crate) const EXPORTED: &str = "exported";

impl Load {
    fn new(dir: &Path, shared: &Path, index: u64, seed: u64) -> Outcome<Load> {
        let dir = dir.to_path_buf();
        fs::create_dir(&dir).map_err(|e| format!("mkdir {}: {e}", dir.display()))?;
        Ok(Load {
            model: Model::default(),
            held: held::Held::default(),
            shared: shared::Shared::new(shared, index),
            rng: Rng::new(seed ^ index.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            watch: Stopwatch::default(),
            steps: 0,
            is_export: false,
            dir,
        })
    }

    fn begin(&mut self) -> Outcome {
        self.begin_streams()?;
        self.begin_locks()
    }

    fn step(&mut self) -> Outcome {
        self.steps += 1;
        let what = self.rng.below(100);
        match what {
            0..=39 => self.step_of_names(),
            40..=69 => self.step_of_objects(),
            70..=84 => self.step_of_held(),
            _ => {
                let (shared, rng, watch) = (&mut self.shared, &mut self.rng, &mut self.watch);
                shared.step(rng, watch, self.is_export)
            }
        }
        .map_err(|sentence| format!("step {}: {sentence}", self.steps))
    }

    fn end(&mut self) -> Outcome {
        self.end_of_held()?;
        self.check_everything()?;
        self.remove_everything()?;
        fs::remove_dir(&self.dir).map_err(|e| format!("rmdir {}: {e}", self.dir.display()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

/// A descriptor's errno, or none.
pub(crate) fn errno<T>(result: rustix::io::Result<T>) -> Option<rustix::io::Errno> {
    result.err()
}

/// Compares what an operation answered with what it should.
pub(crate) fn expect(
    what: impl FnOnce() -> String,
    got: Option<rustix::io::Errno>,
    wanted: Option<rustix::io::Errno>,
) -> Outcome {
    if got == wanted {
        return Ok(());
    }
    Err(format!("{}: {got:?} instead of {wanted:?}", what()))
}

/// Reads all of a file from its beginning.
pub(crate) fn contents(file: impl AsFd) -> Outcome<Vec<u8>> {
    let (mut bytes, mut part) = (Vec::new(), [0; 16384]);
    loop {
        match rustix::io::pread(&file, &mut part, bytes.len() as u64) {
            Ok(0) => return Ok(bytes),
            Ok(count) => bytes.extend_from_slice(&part[..count]),
            Err(e) => return Err(format!("read: {e}")),
        }
    }
}

/// An operation that takes longer than this is looked at when pauses are counted.
pub(crate) const LONG: Duration = Duration::from_millis(3);

/// Runs an operation and remembers it if it took long.
pub(crate) fn timed<T>(watch: &mut Stopwatch, operation: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = operation();
    watch.add(start);
    result
}
