//! open and close of an existing object, and stat: round trips and time.

use std::io;
use std::path::Path;

use crate::Context;
use crate::bare::Bare;
use crate::measure::{Samples, interleave, time_each};
use crate::place::{Shmfs, USER};
use crate::report::Row;
use crate::sys;
use crate::trace::Sent;

type Call<'a> = &'a dyn Fn() -> io::Result<()>;

const CALLS: usize = 200;

/// One kind of object, and what it may cost.
struct Case {
    name: &'static str,
    /// How it is made, and opened later.
    flags: libc::c_int,
    /// The bare daemon's file that is cached alike.
    bare: &'static str,
    owner: u32,
    user: u32,
    open_limit: usize,
    stat_limit: usize,
}

const NEVER_WRITTEN: Case = Case {
    name: "never written",
    flags: libc::O_RDONLY,
    bare: "lasting",
    owner: 0,
    user: 0,
    open_limit: 1,
    stat_limit: 0,
};

const WRITTEN: Case = Case {
    name: "once written",
    flags: libc::O_RDWR,
    bare: "fresh",
    open_limit: 2,
    stat_limit: 1,
    ..NEVER_WRITTEN
};

const CASES: [Case; 5] = [
    NEVER_WRITTEN,
    WRITTEN,
    Case {
        name: "never written, user",
        owner: USER,
        user: USER,
        ..NEVER_WRITTEN
    },
    Case {
        name: "once written, user",
        owner: USER,
        user: USER,
        ..WRITTEN
    },
    Case {
        name: "once written, root's, user",
        user: USER,
        ..WRITTEN
    },
];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("open", "")?;
    let bare_dir = context.place.dir("bare-open")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    let tmpfs = context.place.tmpfs();
    for case in &CASES {
        for dir in [&shmfs.dir, &tmpfs] {
            super::as_user(case.owner, || make(&dir.join(case.name), case.flags))?;
        }
        let samples = measure(context, case, [&shmfs.dir, &tmpfs, &bare_dir])?;
        report(context, case, &shmfs, &samples)?;
        std::fs::remove_file(tmpfs.join(case.name))?;
    }
    Ok(())
}

/// An object of one page for everybody, that was opened with nothing but `flags`.
fn make(path: &Path, flags: libc::c_int) -> io::Result<()> {
    // What is asked for is what it gets: no chmod, whose answer might have no lifetime.
    rustix::process::umask(rustix::fs::Mode::empty());
    drop(sys::open(
        path,
        flags | libc::O_CREAT | libc::O_EXCL,
        0o666,
    )?);
    sys::truncate(path, sys::PAGE)
}

fn measure(context: &Context, case: &Case, [ours, tmpfs, bare]: [&Path; 3]) -> io::Result<Samples> {
    let one = |path: &Path| {
        Ok(vec![
            time_each(CALLS, |_| sys::open(path, case.flags, 0).map(drop))?,
            time_each(CALLS, |_| sys::stat(path))?,
        ])
    };
    interleave(
        case.user,
        context.rounds(20),
        2,
        &[
            &|_| one(&ours.join(case.name)),
            &|_| one(&tmpfs.join(case.name)),
            &|_| one(&bare.join(case.bare)),
        ],
    )
}

fn report(context: &mut Context, case: &Case, shmfs: &Shmfs, samples: &Samples) -> io::Result<()> {
    let path = shmfs.dir.join(case.name);
    let open = || sys::open(&path, case.flags, 0).map(drop);
    let stat = || sys::stat(&path);
    let calls: [(&str, Call<'_>, usize); 2] = [
        ("open+close", &open, case.open_limit),
        ("stat", &stat, case.stat_limit),
    ];
    for (figure, (call, body, limit)) in calls.into_iter().enumerate() {
        let sent = match &context.tracer {
            Some(tracer) => {
                Some(tracer.during(shmfs.connection()?, || super::as_user(case.user, body))?)
            }
            None => None,
        };
        let trips = sent
            .as_ref()
            .map(|sent| sent.iter().filter(|s| s.is_waited_for()).count());
        let names: Vec<_> = sent.into_iter().flatten().map(Sent::label).collect();
        context.report.row(&Row {
            what: &format!("{call}, {}", case.name),
            ours: Some(samples.median(0, figure)),
            tmpfs: Some(samples.median(1, figure)),
            bare: Some(samples.median(2, figure)),
            measured: names.join(" "),
            goal: &format!("{limit} round trips"),
            pass: trips.map(|trips| trips <= limit),
        });
    }
    Ok(())
}
