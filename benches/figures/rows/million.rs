//! A million empty objects in one directory: what the last one costs, in time and in memory.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, RawDir};

use crate::Context;
use crate::measure::{Samples, Spread, Subject, interleave, time_each};
use crate::place::{create, memory_of_shmfs, pin_shmfs, slab};
use crate::report::{Row, time, times};
use crate::sys;

const MILLION: usize = 1_000_000;
const HUNDRED_THOUSAND: usize = 100_000;
const TEN_THOUSAND: usize = 10_000;
/// A window of creates, in parts whose median is taken.
const PARTS: usize = 20;
const PART: usize = 250;
const WINDOW: usize = PARTS * PART;
const LISTINGS: usize = 9;

/// What one file system showed.
#[derive(Debug)]
struct Seen {
    create_early: f64,
    create_late: f64,
    create_growth: Spread,
    list_early: f64,
    list_late: f64,
    list_growth: Spread,
    memory: f64,
    slab: f64,
}

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let count = match context.quick {
        true => HUNDRED_THOUSAND,
        false => MILLION,
    };
    let tmpfs = ["many", "few"].map(|name| context.place.tmpfs().join(name));
    tmpfs.iter().try_for_each(fs::create_dir)?;
    let theirs = fill(&tmpfs[0], &tmpfs[1], count)?;
    tmpfs.iter().try_for_each(fs::remove_dir_all)?;
    let many = context.place.shmfs("many", "nr_inodes=1100000")?;
    let few = context.place.shmfs("few", "nr_inodes=1100000")?;
    let ours = fill(&many.dir, &few.dir, count)?;
    drop((many, few));
    report(context, count, &ours, &theirs);
    Ok(())
}

/// Fills `many` to the last window before `count` and `few` to the one around the 10,000th, so that the two
/// windows can be made in turn; then `few` up to what is listed in turn with `many`.
fn fill(many: &Path, few: &Path, count: usize) -> io::Result<Seen> {
    wait_for_slab()?;
    let (memory, kernel) = (memory_of_shmfs()?, slab()?);
    let each = |after: u64, before: u64| (after as f64 - before as f64) / (count - WINDOW) as f64;
    create_all(many, 0..count - WINDOW)?;
    let memory = each(memory_of_shmfs()?, memory);
    let slab = each(slab()?, kernel);
    let start = TEN_THOUSAND - WINDOW / 2;
    create_all(few, 0..start)?;
    let creates = create_in_turn(many, few, count - WINDOW, start)?;
    let listed = listed_at(count);
    create_all(few, start + WINDOW..listed)?;
    let list_many = |_| {
        sys::pin(0)?;
        list(many, count)
    };
    let listings: [Subject<'_>; 2] = [&list_many, &|_| list(few, listed)];
    let listings = interleave(0, LISTINGS, 1, &listings)?;
    Ok(Seen {
        create_early: creates.median(1, 0),
        create_late: creates.median(0, 0),
        create_growth: creates.ratio((0, 0), (1, 0)),
        list_early: listings.median(1, 0),
        list_late: listings.median(0, 0),
        list_growth: listings.ratio((0, 0), (1, 0)),
        memory,
        slab,
    })
}

/// The windows: two daemons, so the scheduler must not favour one of them.
fn create_in_turn(many: &Path, few: &Path, late: usize, early: usize) -> io::Result<Samples> {
    pin_shmfs()?;
    let in_many = |part| {
        sys::pin(0)?;
        create_part(many, late, part)
    };
    interleave(
        0,
        PARTS - 1,
        1,
        &[&in_many, &|part| create_part(few, early, part)],
    )
}

/// The kernel frees what an earlier measurement left in its own time.
pub(super) fn wait_for_slab() -> io::Result<()> {
    for _ in 0..50 {
        let before = slab()?;
        std::thread::sleep(Duration::from_millis(200));
        if slab()?.abs_diff(before) < 256 << 10 {
            break;
        }
    }
    Ok(())
}

/// How many objects there are when the directory is read for the first time.
fn listed_at(count: usize) -> usize {
    HUNDRED_THOUSAND.min(count / 2)
}

fn create_one(dir: &Path, number: usize) -> io::Result<()> {
    create(&dir.join(format!("object-{number:07}"))).map(drop)
}

fn create_all(dir: &Path, mut numbers: Range<usize>) -> io::Result<()> {
    numbers.try_for_each(|number| create_one(dir, number))
}

/// Nanoseconds of one create in the part of a window.
fn create_part(dir: &Path, start: usize, part: usize) -> io::Result<Vec<f64>> {
    let first = start + part * PART;
    Ok(vec![time_each(PART, |index| {
        create_one(dir, first + index)
    })?])
}

/// Nanoseconds per entry of reading the directory; all entries must be there.
pub(super) fn list(dir: &Path, expected: usize) -> io::Result<Vec<f64>> {
    let start = Instant::now();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let stream = rustix::fs::open(dir, flags, rustix::fs::Mode::empty())?;
    let mut buffer = Vec::with_capacity(32 << 10);
    let mut entries = RawDir::new(&stream, buffer.spare_capacity_mut());
    let mut found = 0;
    while let Some(entry) = entries.next() {
        found += usize::from(!entry?.file_name().to_bytes().starts_with(b"."));
    }
    if found != expected {
        return Err(io::Error::other(format!(
            "{}: {found} entries of {expected}",
            dir.display()
        )));
    }
    Ok(vec![start.elapsed().as_nanos() as f64 / found as f64])
}

fn report(context: &Context, count: usize, ours: &Seen, tmpfs: &Seen) {
    let early = listed_at(count);
    context.report.row(&Row {
        what: &format!("create, the last of {count}"),
        ours: Some(ours.create_late),
        tmpfs: Some(tmpfs.create_late),
        measured: times(ours.create_growth, "10,000th"),
        goal: "≤ 1.3 × the 10,000th",
        pass: Some(ours.create_growth.median <= 1.3),
        ..Row::default()
    });
    context.report.note(&format!(
        "the 10,000th: shmfs {}, tmpfs {}; on tmpfs the last is {}",
        time(ours.create_early),
        time(tmpfs.create_early),
        times(tmpfs.create_growth, "that"),
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
    context.report.row(&Row {
        what: &format!("readdir of {count}, per entry"),
        ours: Some(ours.list_late),
        tmpfs: Some(tmpfs.list_late),
        measured: times(ours.list_growth, &format!("at {early}")),
        goal: "linear: ≤ 1.3 ×",
        pass: Some(ours.list_growth.median <= 1.3),
        ..Row::default()
    });
    context.report.note(&format!(
        "at {early}: shmfs {}, tmpfs {}; on tmpfs {}",
        time(ours.list_early),
        time(tmpfs.list_early),
        times(tmpfs.list_growth, "that"),
    ));
}
