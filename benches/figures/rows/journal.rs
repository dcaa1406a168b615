//! What the journal costs an operation that changes something: beside the same without it, in bare round trips.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::Context;
use crate::bare::Bare;
use crate::measure::{Samples, interleave, time_each};
use crate::report::Row;
use crate::sys;

const CALLS: usize = 500;
/// Of a bare round trip.
const LIMIT: f64 = 0.10;

const FIGURES: [&str; 4] = ["mkdir", "chmod", "rmdir", "stat (changes nothing)"];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    if context.place.stand_in {
        return Ok(());
    }
    let with = context.place.shmfs("journal-on", "")?;
    let without = context.place.shmfs("journal-off", "journal=off")?;
    let bare_dir = context.place.dir("bare-journal")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    let samples = measure(context, [&with.dir, &without.dir, &bare_dir])?;
    for (figure, name) in FIGURES.into_iter().enumerate() {
        let (on, off) = (samples.median(0, figure), samples.median(1, figure));
        let excess = samples.excess((0, figure), (1, figure), (2, figure));
        context.report.row(&Row {
            what: &format!("{name}, with the journal"),
            ours: Some(on),
            bare: Some(samples.median(2, figure)),
            measured: format!(
                "{:+.0} % ({:+.0} to {:+.0})",
                100.0 * excess.median,
                100.0 * excess.low,
                100.0 * excess.high
            ),
            goal: "at most 10 % of bare",
            pass: Some(excess.median <= LIMIT),
            ..Row::default()
        });
        context.report.note(&format!("without it: {off:.0} ns"));
    }
    Ok(())
}

fn measure(context: &Context, [with, without, bare]: [&Path; 3]) -> io::Result<Samples> {
    let trip = bare.join("fresh");
    interleave(
        0,
        context.rounds(40),
        FIGURES.len(),
        &[&|_| changes(with), &|_| changes(without), &|_| {
            let one = time_each(CALLS, |_| sys::stat(&trip))?;
            Ok(vec![one; FIGURES.len()])
        }],
    )
}

fn changes(dir: &Path) -> io::Result<Vec<f64>> {
    let name = |index: usize| dir.join(format!("d{index}"));
    let modes = [0o700, 0o750].map(fs::Permissions::from_mode);
    let made = time_each(CALLS, |index| fs::create_dir(name(index)))?;
    let changed = time_each(CALLS, |index| {
        fs::set_permissions(name(0), modes[index % 2].clone())
    })?;
    let seen = time_each(CALLS, |index| fs::symlink_metadata(name(index)).map(drop))?;
    let gone = time_each(CALLS, |index| fs::remove_dir(name(index)))?;
    Ok(vec![made, changed, gone, seen])
}
