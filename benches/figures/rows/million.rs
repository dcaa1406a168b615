//! A million empty objects in one directory: what the last one costs, in time and in memory.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use rustix::fs::{OFlags, RawDir};

use crate::Context;
use crate::measure::{spread, time_each};
use crate::place::{create, memory_of_shmfs, slab};
use crate::report::Row;

const MILLION: usize = 1_000_000;
const HUNDRED_THOUSAND: usize = 100_000;
/// A window of creates, in parts whose median is taken.
const PARTS: usize = 20;
const PART: usize = 250;

/// What one place showed.
#[derive(Debug, Default)]
struct Seen {
    create_early: f64,
    create_late: f64,
    list_early: f64,
    list_late: f64,
    memory: f64,
    slab: f64,
}

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let count = if context.quick {
        HUNDRED_THOUSAND
    } else {
        MILLION
    };
    let tmpfs_dir = context.place.tmpfs().join("many");
    fs::create_dir(&tmpfs_dir)?;
    let tmpfs = fill(&tmpfs_dir, count)?;
    fs::remove_dir_all(&tmpfs_dir)?;
    let shmfs = context.place.shmfs("million", "nr_inodes=1100000")?;
    let ours = fill(&shmfs.dir, count)?;
    drop(shmfs);
    report(context, count, &ours, &tmpfs);
    Ok(())
}

fn fill(dir: &Path, count: usize) -> io::Result<Seen> {
    let mut seen = Seen::default();
    let memory = memory_of_shmfs()?;
    let kernel = slab()?;
    let window = PARTS * PART;
    let mut made = 0;
    made = create_until(dir, made, 10_000 - window / 2)?;
    (made, seen.create_early) = create_window(dir, made)?;
    made = create_until(dir, made, listed_at(count))?;
    seen.list_early = list(dir, made)?;
    made = create_until(dir, made, count - window)?;
    (made, seen.create_late) = create_window(dir, made)?;
    // Before the listing, whose buffers are not the objects' cost.
    let each = |after: u64, before: u64| (after as f64 - before as f64) / made as f64;
    seen.memory = each(memory_of_shmfs()?, memory);
    seen.slab = each(slab()?, kernel);
    seen.list_late = list(dir, made)?;
    Ok(seen)
}

/// How many objects there are when the directory is read for the first time.
fn listed_at(count: usize) -> usize {
    HUNDRED_THOUSAND.min(count / 2)
}

fn create_one(dir: &Path, number: usize) -> io::Result<()> {
    create(&dir.join(format!("object-{number:07}"))).map(drop)
}

fn create_until(dir: &Path, made: usize, until: usize) -> io::Result<usize> {
    (made..until).try_for_each(|number| create_one(dir, number))?;
    Ok(until)
}

/// The median nanoseconds of one create over a window of 5,000.
fn create_window(dir: &Path, made: usize) -> io::Result<(usize, f64)> {
    let parts =
        (0..PARTS).map(|part| time_each(PART, |index| create_one(dir, made + part * PART + index)));
    let parts: Vec<_> = parts.collect::<io::Result<_>>()?;
    Ok((made + PARTS * PART, spread(parts).median))
}

/// Nanoseconds per entry of reading the directory, the best of three; all entries must be there.
fn list(dir: &Path, expected: usize) -> io::Result<f64> {
    let mut best = f64::MAX;
    for _ in 0..3 {
        let start = Instant::now();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let stream = rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?;
        let mut buffer = Vec::with_capacity(32 << 10);
        let mut entries = RawDir::new(&stream, buffer.spare_capacity_mut());
        let mut found = 0;
        while let Some(entry) = entries.next() {
            found += usize::from(entry?.file_name().to_bytes().starts_with(b"object-"));
        }
        if found != expected {
            return Err(io::Error::other(format!(
                "{}: {found} entries of {expected}",
                dir.display()
            )));
        }
        best = best.min(start.elapsed().as_nanos() as f64 / found as f64);
    }
    Ok(best)
}

fn report(context: &Context, count: usize, ours: &Seen, tmpfs: &Seen) {
    let growth = |seen: &Seen| seen.create_late / seen.create_early;
    context.report.row(&Row {
        what: &format!("create, the last of {count}"),
        ours: Some(ours.create_late),
        tmpfs: Some(tmpfs.create_late),
        measured: format!("{:.2} × the 10,000th", growth(ours)),
        goal: "≤ 1.3 × the 10,000th",
        pass: Some(growth(ours) <= 1.3),
        ..Row::default()
    });
    context.report.note(&format!(
        "the 10,000th: shmfs {}, tmpfs {} (there the last is {:.2} ×)",
        crate::report::time(ours.create_early),
        crate::report::time(tmpfs.create_early),
        growth(tmpfs),
    ));
    context.report.row(&Row {
        what: "memory of shmfs's processes, per object",
        measured: format!("{:.0} bytes", ours.memory),
        goal: "≤ 500 bytes",
        pass: Some(ours.memory <= 500.0),
        ..Row::default()
    });
    context.report.note(&format!(
        "the kernel's slab, per object: shmfs {:.0} bytes, tmpfs {:.0}",
        ours.slab, tmpfs.slab
    ));
    let linear = ours.list_late / ours.list_early;
    context.report.row(&Row {
        what: &format!("readdir of {count}, per entry"),
        ours: Some(ours.list_late),
        tmpfs: Some(tmpfs.list_late),
        measured: format!("{linear:.2} × at {}", listed_at(count)),
        goal: "linear: ≤ 1.3 ×",
        pass: Some(linear <= 1.3),
        ..Row::default()
    });
    context.report.note(&format!(
        "on tmpfs {:.2} ×",
        tmpfs.list_late / tmpfs.list_early
    ));
}
