//! One life cycle of an object, its round trips counted and timed.

use std::fs;
use std::io;
use std::path::Path;

use crate::Context;
use crate::bare::Bare;
use crate::measure::{Samples, interleave, time_each};
use crate::place::{Guest, Shmfs, USER, create};
use crate::report::{Row, times};
use crate::sys::{self, Map, PAGE};
use crate::trace::Sent;

const CYCLES: usize = 100;

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("cycle", "")?;
    let bare_dir = context.place.dir("bare-cycle")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    for (uid, goal) in [(0, "≤ 7 round trips"), (USER, "≤ 9 round trips")] {
        let trips = count_on_mount(context, uid, &shmfs, goal)?;
        let samples = measure(context, uid, &shmfs.dir, &bare_dir)?;
        report_time(context, uid, trips, &samples);
    }
    let guest = context.place.guest_in_run()?;
    count_guest(context, guest, "user, in `shmfs run`", 9)?;
    if context.place.stand_in {
        return Ok(());
    }
    if !Path::new("/usr/bin/fusermount3").exists() {
        context.report.note("behind fusermount3: not counted, it is not installed (apt-get install fuse3)");
        return Ok(());
    }
    let private = context.place.shmfs_as(USER, "cycle-fusermount", "")?;
    let guest = context.place.guest_in(&private.dir)?;
    count_guest(context, guest, "user, behind fusermount3", 11)
}

/// What shm_open, ftruncate and so on ask of a file system.
pub(super) fn cycle(dir: &Path, number: usize) -> io::Result<()> {
    let path = dir.join(format!("new-{number}"));
    let file = create(&path)?;
    file.set_len(PAGE as u64)?;
    let map = Map::new(&file, PAGE)?;
    drop(file);
    map.touch();
    drop(map);
    fs::remove_file(&path)
}

/// Nanoseconds of one.
pub(super) fn cycles(dir: &Path) -> io::Result<Vec<f64>> {
    Ok(vec![time_each(CYCLES, |index| cycle(dir, index))?])
}

fn count_on_mount(
    context: &mut Context,
    uid: u32,
    shmfs: &Shmfs,
    goal: &str,
) -> io::Result<Option<usize>> {
    let connection = shmfs.connection()?;
    let run = || super::as_user(uid, || cycle(&shmfs.dir, 0));
    let what = format!("round trips, {}", super::who(uid));
    let limit = if uid == 0 { 7 } else { 9 };
    count(context, connection, run, &what, goal, limit)
}

fn count_guest(
    context: &mut Context,
    mut guest: Guest,
    who: &str,
    limit: usize,
) -> io::Result<()> {
    let connection = guest.connection;
    let goal = format!("≤ {limit} round trips");
    let what = format!("round trips, {who}");
    let run = || guest.ask("cycle").map(drop);
    count(context, connection, run, &what, &goal, limit)?;
    Ok(())
}

/// Counts one cycle, after two that warm up what the kernel asks but once (is there FLUSH?).
fn count(
    context: &mut Context,
    connection: u32,
    mut run: impl FnMut() -> io::Result<()>,
    what: &str,
    goal: &str,
    limit: usize,
) -> io::Result<Option<usize>> {
    let Some(tracer) = &mut context.tracer else {
        return Ok(None);
    };
    run()?;
    run()?;
    let sent = tracer.during(connection, &mut run)?;
    let trips = sent.iter().filter(|s| s.is_waited_for()).count();
    context.report.row(&Row {
        what,
        measured: format!("{trips} round trips"),
        goal,
        pass: Some(trips <= limit),
        ..Row::default()
    });
    let names: Vec<_> = sent.into_iter().map(Sent::label).collect();
    context.report.note(&names.join(" "));
    Ok(Some(trips))
}

/// Subjects: shmfs, tmpfs, the bare daemon, and a bare fstat.
fn measure(context: &Context, uid: u32, ours: &Path, bare: &Path) -> io::Result<Samples> {
    let tmpfs = context.place.tmpfs();
    let fresh = sys::open(&bare.join("fresh"), libc::O_RDONLY, 0)?;
    interleave(
        uid,
        context.rounds(40),
        1,
        &[
            &|_| cycles(ours),
            &|_| cycles(&tmpfs),
            &|_| cycles(bare),
            &|_| Ok(vec![super::bare::round_trip(&fresh)?]),
        ],
    )
}

fn report_time(context: &Context, uid: u32, trips: Option<usize>, samples: &Samples) {
    let mut ratio = samples.ratio((0, 0), (3, 0));
    let trips = trips.unwrap_or(0);
    let per_trip = trips.max(1) as f64;
    for part in [&mut ratio.low, &mut ratio.median, &mut ratio.high] {
        *part /= per_trip;
    }
    context.report.row(&Row {
        what: &format!("time, {}", super::who(uid)),
        ours: Some(samples.median(0, 0)),
        tmpfs: Some(samples.median(1, 0)),
        bare: Some(samples.median(2, 0)),
        measured: times(ratio, &format!("{trips} trips")),
        goal: "≤ 1.3 × as many trips",
        pass: (trips > 0).then_some(ratio.median <= 1.3),
    });
    context.report.note(&format!(
        "a bare round trip in these rounds: {}; ours is {:.2} × the bare daemon's own life cycle",
        crate::report::time(samples.median(3, 0)),
        samples.ratio((0, 0), (2, 0)).median,
    ));
}
