//! One life cycle of an object, its round trips counted and timed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::Context;
use crate::bare::Bare;
use crate::measure::{Samples, interleave, time_each};
use crate::place::{Guest, Shmfs, USER, connection, create};
use crate::report::{Row, times};
use crate::sys::{self, Map, PAGE};
use crate::trace::Sent;

const CYCLES: usize = 100;

/// Where shmfs and the bare daemon are mounted for this.
struct Mounts {
    shmfs: Shmfs,
    bare: Bare,
    bare_dir: PathBuf,
}

/// How many round trips a life cycle waits for.
#[derive(Clone, Copy)]
struct Trips {
    ours: usize,
    bare: usize,
}

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let bare_dir = context.place.dir("bare-cycle")?;
    let mounts = Mounts {
        shmfs: context.place.shmfs("cycle", "")?,
        bare: Bare::mount(&bare_dir, true)?,
        bare_dir,
    };
    on_mount(context, &mounts)?;
    drop(mounts);
    let guest = context.place.guest_in_run()?;
    count_guest(context, guest, "user, in `shmfs run`", 9)?;
    if context.place.stand_in {
        return Ok(());
    }
    if !Path::new("/usr/bin/fusermount3").exists() {
        let note = "behind fusermount3: not counted, it is not installed (apt-get install fuse3)";
        context.report.note(note);
        return Ok(());
    }
    let private = context.place.shmfs_as(USER, "cycle-fusermount", "")?;
    let guest = context.place.guest_in(&private.dir)?;
    count_guest(context, guest, "user, behind fusermount3", 11)
}

/// Root's mount: counted, then timed, by root and by a user; then once more on one CPU.
fn on_mount(context: &mut Context, mounts: &Mounts) -> io::Result<()> {
    let bare = note_bare(context, &mounts.bare_dir)?;
    let mut both = Vec::new();
    for (uid, limit) in [(0, 7), (USER, 9)] {
        let ours = count_on_mount(context, uid, &mounts.shmfs, limit)?;
        both.push((uid, Trips { ours, bare }));
    }
    for &(uid, trips) in &both {
        let samples = measure(context, uid, mounts, false)?;
        report_time(
            context,
            &format!("time, {}", super::who(uid)),
            trips,
            &samples,
        );
    }
    mounts.bare.pin()?;
    crate::place::pin_shmfs()?;
    for &(uid, trips) in &both {
        let samples = measure(context, uid, mounts, true)?;
        let what = format!("time, {}, everything on one CPU", super::who(uid));
        report_time(context, &what, trips, &samples);
    }
    Ok(())
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
    limit: usize,
) -> io::Result<usize> {
    let connection = shmfs.connection()?;
    let run = || super::as_user(uid, || cycle(&shmfs.dir, 0));
    let what = format!("round trips, {}", super::who(uid));
    count(context, connection, run, &what, limit)
}

fn count_guest(context: &mut Context, mut guest: Guest, who: &str, limit: usize) -> io::Result<()> {
    let connection = guest.connection;
    let what = format!("round trips, {who}");
    let run = || guest.ask("cycle").map(drop);
    count(context, connection, run, &what, limit)?;
    Ok(())
}

/// Counts one cycle and reports it; 0 where nothing can be counted.
fn count(
    context: &mut Context,
    connection: u32,
    run: impl FnMut() -> io::Result<()>,
    what: &str,
    limit: usize,
) -> io::Result<usize> {
    let Some(sent) = trace(context, connection, run)? else {
        return Ok(0);
    };
    let trips = waited_for(&sent);
    context.report.row(&Row {
        what,
        measured: format!("{trips} round trips"),
        goal: &format!("≤ {limit} round trips"),
        pass: Some(trips <= limit),
        ..Row::default()
    });
    context.report.note(&labels(&sent));
    Ok(trips)
}

/// One cycle's requests, after two that warm up what the kernel asks but once (is there FLUSH?).
fn trace(
    context: &mut Context,
    connection: u32,
    mut run: impl FnMut() -> io::Result<()>,
) -> io::Result<Option<Vec<Sent>>> {
    let Some(tracer) = &context.tracer else {
        return Ok(None);
    };
    run()?;
    run()?;
    tracer.during(connection, &mut run).map(Some)
}

/// What the kernel asks of a daemon that has no ACLs and lets nothing be cached.
fn note_bare(context: &mut Context, dir: &Path) -> io::Result<usize> {
    let Some(sent) = trace(context, connection(dir)?, || cycle(dir, 0))? else {
        return Ok(0);
    };
    let note = format!("the bare daemon's requests: {}", labels(&sent));
    context.report.note(&note);
    Ok(waited_for(&sent))
}

fn waited_for(sent: &[Sent]) -> usize {
    sent.iter().filter(|s| s.is_waited_for()).count()
}

fn labels(sent: &[Sent]) -> String {
    let names: Vec<_> = sent.iter().map(|s| s.label()).collect();
    names.join(" ")
}

/// Subjects: shmfs, tmpfs, the bare daemon, and a bare fstat.
fn measure(context: &Context, uid: u32, mounts: &Mounts, pin: bool) -> io::Result<Samples> {
    let tmpfs = context.place.tmpfs();
    let fresh = sys::open(&mounts.bare_dir.join("fresh"), libc::O_RDONLY, 0)?;
    let ours = |_| {
        if pin {
            sys::pin(0)?;
        }
        cycles(&mounts.shmfs.dir)
    };
    interleave(
        uid,
        context.rounds(40),
        1,
        &[
            &ours,
            &|_| cycles(&tmpfs),
            &|_| cycles(&mounts.bare_dir),
            &|_| Ok(vec![super::bare::round_trip(&fresh)?]),
        ],
    )
}

fn report_time(context: &Context, what: &str, trips: Trips, samples: &Samples) {
    let per_trip = |trips: usize| trips.max(1) as f64;
    let ratio = samples.ratio((0, 0), (3, 0)).over(per_trip(trips.ours));
    let own = samples.ratio((2, 0), (3, 0)).over(per_trip(trips.bare));
    let beside_bare = samples.ratio((0, 0), (2, 0));
    let beside_bare = beside_bare.over(per_trip(trips.ours) / per_trip(trips.bare));
    context.report.row(&Row {
        what,
        ours: Some(samples.median(0, 0)),
        tmpfs: Some(samples.median(1, 0)),
        bare: Some(samples.median(2, 0)),
        measured: times(ratio, &format!("{} trips", trips.ours)),
        goal: "≤ 1.3 × as many trips",
        pass: (trips.ours > 0).then_some(ratio.median <= 1.3),
    });
    context.report.note(&format!(
        "a bare round trip in these rounds: {}; the bare daemon's own life cycle is {}; ours is {}",
        crate::report::time(samples.median(3, 0)),
        times(own, &format!("its {} trips", trips.bare)),
        times(beside_bare, "that, trip by trip"),
    ));
}
