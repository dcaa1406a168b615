//! Eight processes working in one directory, beside one process.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::Context;
use crate::bare::Bare;
use crate::measure::spread;
use crate::place::create;
use crate::report::{Row, times};
use crate::sys::{self, Child};

const CROWD: usize = 8;
const WINDOW: Duration = Duration::from_millis(200);

type Work = fn(&Path, usize) -> io::Result<()>;

const WORK: [(&str, Work); 3] = [
    ("create, close, unlink", create_unlink),
    ("open, close, stat of one object", open_shared),
    ("life cycle", super::cycle::cycle),
];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("crowd", "")?;
    let bare_dir = context.place.dir("bare-crowd")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    let tmpfs = context.place.tmpfs();
    for dir in [&shmfs.dir, &tmpfs] {
        drop(create(&dir.join("fresh"))?);
    }
    for (name, work) in WORK {
        // One slot per place and number of processes.
        let mut rates = vec![Vec::new(); 6];
        for _ in 0..context.rounds(5) {
            for (place, dir) in [&shmfs.dir, &tmpfs, &bare_dir].into_iter().enumerate() {
                rates[place * 2].push(rate(dir, 1, work)?);
                rates[place * 2 + 1].push(rate(dir, CROWD, work)?);
            }
        }
        report(context, name, &rates);
    }
    fs::remove_file(tmpfs.join("fresh"))
}

fn create_unlink(dir: &Path, number: usize) -> io::Result<()> {
    let path = dir.join(format!("new-{number}"));
    drop(create(&path)?);
    fs::remove_file(&path)
}

fn open_shared(dir: &Path, _: usize) -> io::Result<()> {
    let path = dir.join("fresh");
    drop(sys::open(&path, libc::O_RDWR, 0)?);
    sys::stat(&path)
}

/// Operations per second of `processes` processes together.
fn rate(dir: &Path, processes: usize, work: Work) -> io::Result<f64> {
    let [done] = sys::shared_counters::<1>()?;
    let start = Instant::now() + Duration::from_millis(10);
    let children = (0..processes).map(|index| {
        Child::fork(move || {
            std::thread::sleep(start.saturating_duration_since(Instant::now()));
            work_until(start + WINDOW, dir, index, work, done)
        })
    });
    let children: Vec<_> = children.collect::<io::Result<_>>()?;
    children.into_iter().try_for_each(Child::join)?;
    Ok(done.load(Ordering::Relaxed) as f64 / WINDOW.as_secs_f64())
}

fn work_until(
    end: Instant,
    dir: &Path,
    index: usize,
    work: Work,
    done: &AtomicU64,
) -> io::Result<()> {
    while Instant::now() < end {
        work(dir, index)?;
        done.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}

fn report(context: &Context, name: &str, rates: &[Vec<f64>]) {
    let median = |slot: usize| spread(rates[slot].clone()).median;
    let ratio = |place: usize| {
        let pairs = rates[place * 2 + 1].iter().zip(&rates[place * 2]);
        spread(pairs.map(|(eight, one)| eight / one).collect())
    };
    let per_operation = |place: usize| Some(1e9 / median(place * 2 + 1));
    context.report.row(&Row {
        what: name,
        ours: per_operation(0),
        tmpfs: per_operation(1),
        bare: per_operation(2),
        measured: times(ratio(0), "one's"),
        goal: "≥ 1 × one process's",
        pass: Some(ratio(0).median >= 1.0),
    });
    context.report.note(&format!(
        "per second, one process → eight: shmfs {:.0} → {:.0}, tmpfs {:.0} → {:.0}, \
         bare {:.0} → {:.0} ({})",
        median(0),
        median(1),
        median(2),
        median(3),
        median(4),
        median(5),
        times(ratio(2), "one's"),
    ));
}
