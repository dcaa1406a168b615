//! How long a program waits whose request comes right after the worker was killed, by the number of objects.

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::Context;
use crate::measure::spread;
use crate::place::{Shmfs, create};
use crate::report::{Row, time};

const KILLS: usize = 40;
/// Between two kills: the worker has settled down.
const REST: Duration = Duration::from_millis(150);

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let kills = match context.quick {
        true => KILLS / 4,
        false => KILLS,
    };
    for (mode, options) in [
        ("passthrough", "nr_inodes=0"),
        ("page cache", "nr_inodes=0,passthrough=off"),
    ] {
        let shmfs = context
            .place
            .shmfs(&format!("recovery-{}", &mode[..4]), options)?;
        let mut there = 0;
        let mut first = None;
        for objects in [100, 1_000, 10_000, 100_000] {
            for object in there..objects {
                create(&shmfs.dir.join(format!("object-{object}")))?;
            }
            there = objects;
            let mut waited = Vec::new();
            for _ in 0..kills {
                std::thread::sleep(REST);
                waited.push(kill_and_ask(&shmfs)?);
            }
            let waited = spread(waited);
            context.report.row(&Row {
                what: &format!("{mode}: {objects} objects"),
                ours: Some(waited.median),
                measured: format!("({}–{})", time(waited.low), time(waited.high)),
                ..Row::default()
            });
            let (fewest, least) = *first.get_or_insert((objects, waited.median));
            if objects == 100_000 {
                let each = (waited.median - least) / (objects - fewest) as f64;
                context.report.note(&format!("each object: {}", time(each)));
            }
        }
    }
    let mut starts = Vec::new();
    for _ in 0..kills {
        std::thread::sleep(REST);
        let start = Instant::now();
        Command::new("true").status()?;
        starts.push(start.elapsed().as_nanos() as f64);
    }
    let program = time(spread(starts).median);
    context.report.note(&format!(
        "to start a program that does nothing, and to wait for it: {program}"
    ));
    Ok(())
}

/// Nanoseconds from the kill to the answer of a request that changes something.
fn kill_and_ask(shmfs: &Shmfs) -> io::Result<f64> {
    let worker = worker(shmfs)?;
    let dir = shmfs.dir.join("made-after");
    let start = Instant::now();
    kill_process(worker, Signal::KILL)?;
    fs::create_dir(&dir)?;
    let waited = start.elapsed();
    fs::remove_dir(&dir)?;
    Ok(waited.as_nanos() as f64)
}

/// The process that serves: the daemon's youngest child.
fn worker(shmfs: &Shmfs) -> io::Result<Pid> {
    let missing = || io::Error::other("there is no worker");
    let daemon = shmfs.process().ok_or_else(missing)?;
    let children = Path::new("/proc").join(format!("{daemon}/task/{daemon}/children"));
    let children = fs::read_to_string(children)?;
    let youngest = children.split_ascii_whitespace().next_back();
    let number = youngest.and_then(|word| word.parse().ok());
    number.and_then(Pid::from_raw).ok_or_else(missing)
}
