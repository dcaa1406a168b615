//! What the journal costs: an operation beside the same without it, in bare round trips of time and in the daemon's own
//! processor time, which a busy machine disturbs much less.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::million::list;
use crate::Context;
use crate::bare::Bare;
use crate::measure::{Samples, Subject, interleave, time_each};
use crate::place::{self, Shmfs, pin_shmfs};
use crate::report::Row;
use crate::sys;

/// So few at a time that what disturbs one side disturbs the other as well.
const CALLS: usize = 50;
const ROUNDS: usize = 400;
/// Of a bare round trip.
const LIMIT: f64 = 0.10;
/// Names that an export lists.
const LISTED: usize = 256;

/// The last changes nothing.
const CHANGES: [&str; 4] = ["mkdir", "chmod", "rmdir", "stat (changes nothing)"];
const IN_EXPORTS: [&str; 3] = [
    "a name in an export that was listed",
    "stat in an export (changes nothing)",
    "listing an export of 256 with another name",
];

/// What is done in a directory whose daemon these processes are.
type Work<'w> = &'w dyn Fn(&Path, &[i32]) -> io::Result<Vec<f64>>;

/// Two mounts that differ in nothing but the journal.
struct Pair {
    mounts: [Shmfs; 2],
    processes: [Vec<i32>; 2],
}

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    if context.place.stand_in {
        return Ok(());
    }
    let bare = context.place.dir("bare-journal")?;
    let daemon = Bare::mount(&bare, true)?;
    daemon.pin()?;
    let pair = Pair::mount(context, "journal", "")?;
    pair.measure(context, &bare, &CHANGES, &changes)?;
    drop(pair);
    let config = context.place.path("journal-exports.toml");
    fs::write(&config, "[export.all]\nread = [\"*\"]\n")?;
    let options = format!("exports={}", config.display());
    let pair = Pair::mount(context, "journal-export", &options)?;
    for mount in &pair.mounts {
        (0..LISTED).try_for_each(|at| fs::write(mount.dir.join(format!("topic{at}")), ""))?;
        list(&mount.dir.join(EXPORT), LISTED)?;
    }
    pair.measure(context, &bare, &IN_EXPORTS, &in_an_export)
}

const EXPORT: &str = ".shmfs/exports/all";

impl Pair {
    fn mount(context: &Context, name: &str, options: &str) -> io::Result<Pair> {
        let before = place::processes_of_shmfs()?;
        let with = context.place.shmfs(&format!("{name}-on"), options)?;
        let mut on = place::processes_of_shmfs()?;
        let options = format!("{options},journal=off");
        let options = options.trim_start_matches(',');
        let without = context.place.shmfs(&format!("{name}-off"), options)?;
        let mut off = place::processes_of_shmfs()?;
        off.retain(|id| !on.contains(id));
        on.retain(|id| !before.contains(id));
        pin_shmfs()?;
        Ok(Pair {
            mounts: [with, without],
            processes: [on, off],
        })
    }

    /// Reports each figure of `work`, which returns for each its time and the daemon's.
    fn measure<const N: usize>(
        &self,
        context: &mut Context,
        bare: &Path,
        names: &[&str; N],
        work: Work<'_>,
    ) -> io::Result<()> {
        let trip = bare.join("fresh");
        let side = |at: usize| {
            move |_: usize| {
                sys::pin(0)?;
                work(&self.mounts[at].dir, &self.processes[at])
            }
        };
        let (on, off) = (side(0), side(1));
        let unit = |_: usize| {
            let one = time_each(CALLS, |_| sys::stat(&trip))?;
            Ok(vec![one; 2 * N])
        };
        let subjects: [Subject<'_>; 3] = [&on, &off, &unit];
        let samples = interleave(0, context.rounds(ROUNDS), 2 * N, &subjects)?;
        for (at, name) in names.iter().enumerate() {
            report(context, &samples, name, 2 * at);
        }
        Ok(())
    }
}

fn report(context: &Context, samples: &Samples, name: &str, figure: usize) {
    for (what, figure) in [("time", figure), ("the daemon's CPU", figure + 1)] {
        let excess = samples.excess((0, figure), (1, figure), (2, figure));
        let ratio = samples.ratio((0, figure), (1, figure));
        context.report.row(&Row {
            what: &format!("{name}: {what}"),
            ours: Some(samples.median(0, figure)),
            bare: Some(samples.median(2, figure)),
            measured: format!(
                "{:+.1} % ({:+.1} to {:+.1})",
                100.0 * excess.median,
                100.0 * excess.low,
                100.0 * excess.high
            ),
            goal: "at most 10 % of bare",
            pass: Some(excess.median <= LIMIT),
            ..Row::default()
        });
        let without = samples.median(1, figure);
        context.report.note(&format!(
            "without it: {without:.0} ns; {:.2} × ({:.2}–{:.2})",
            ratio.median, ratio.low, ratio.high
        ));
    }
}

/// Nanoseconds that each of `count` runs of `body` takes, and of them the processors' in `processes`.
fn both(
    processes: &[i32],
    count: usize,
    body: impl FnMut(usize) -> io::Result<()>,
) -> io::Result<[f64; 2]> {
    let before = place::processor_time(processes)?;
    let time = time_each(count, body)?;
    let used = place::processor_time(processes)? - before;
    Ok([time, used as f64 / count as f64])
}

fn changes(dir: &Path, daemon: &[i32]) -> io::Result<Vec<f64>> {
    let name = |index: usize| dir.join(format!("d{index}"));
    let modes = [0o700, 0o750].map(fs::Permissions::from_mode);
    let made = both(daemon, CALLS, |index| fs::create_dir(name(index)))?;
    let changed = both(daemon, CALLS, |index| {
        fs::set_permissions(name(0), modes[index % 2].clone())
    })?;
    let seen = both(daemon, CALLS, |index| {
        fs::symlink_metadata(name(index)).map(drop)
    })?;
    let gone = both(daemon, CALLS, |index| fs::remove_dir(name(index)))?;
    Ok([made, changed, gone, seen].concat())
}

/// Who puts names into a directory that an export lists pays for what is kept of the listing.
fn in_an_export(dir: &Path, daemon: &[i32]) -> io::Result<Vec<f64>> {
    let (export, new) = (dir.join(EXPORT), dir.join("another"));
    let named = both(daemon, CALLS / 2, |_| {
        fs::create_dir(&new)?;
        fs::remove_dir(&new)
    })?;
    let seen = both(daemon, CALLS, |index| {
        sys::stat(&export.join(format!("topic{}", index % LISTED)))
    })?;
    fs::write(&new, "")?;
    let listed = both(daemon, 1, |_| list(&export, LISTED + 1).map(drop))?;
    fs::remove_file(&new)?;
    list(&export, LISTED)?;
    Ok([named, seen, listed].concat())
}
