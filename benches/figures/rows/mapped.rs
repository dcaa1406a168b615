//! Mapped memory with passthrough: first touch, touch again, attach.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use crate::Context;
use crate::measure::interleave;
use crate::place::create;
use crate::report::{Row, times};
use crate::sys::{Map, PAGE};

const LEN: usize = 16 << 20;
const ATTACHES: usize = 64;
const FIGURES: [&str; 4] = [
    "first touch, per page",
    "touch again, per page",
    "attach: mmap and munmap",
    "attach: mmap, touch, munmap, per page",
];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("mapped", "")?;
    let tmpfs = context.place.tmpfs();
    let samples = interleave(
        0,
        context.rounds(60),
        FIGURES.len(),
        &[&|_| one(&shmfs.dir), &|_| one(&tmpfs)],
    )?;
    for (figure, what) in FIGURES.into_iter().enumerate() {
        let ratio = samples.ratio((0, figure), (1, figure));
        context.report.row(&Row {
            what,
            ours: Some(samples.median(0, figure)),
            tmpfs: Some(samples.median(1, figure)),
            measured: times(ratio, "tmpfs"),
            goal: "≤ 1.05 × tmpfs",
            pass: Some(ratio.median <= 1.05),
            ..Row::default()
        });
    }
    Ok(())
}

fn one(dir: &Path) -> io::Result<Vec<f64>> {
    let path = dir.join("mapped");
    let file = create(&path)?;
    file.set_len(LEN as u64)?;
    let map = Map::new(&file, LEN)?;
    let first = map.touch();
    let again = map.touch();
    drop(map);
    let start = Instant::now();
    for _ in 0..ATTACHES {
        drop(Map::new(&file, LEN)?);
    }
    let attach = start.elapsed().as_nanos() as f64 / ATTACHES as f64;
    let start = Instant::now();
    let map = Map::new(&file, LEN)?;
    map.touch();
    drop(map);
    let pages = start.elapsed().as_nanos() as f64 / (LEN / PAGE) as f64;
    fs::remove_file(&path)?;
    Ok(vec![first, again, attach, pages])
}
