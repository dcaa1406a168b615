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
    flags: libc::c_int,
    /// The bare daemon's file that is cached alike.
    bare: &'static str,
    open_limit: usize,
    stat_limit: usize,
}

const CASES: [Case; 2] = [
    Case {
        name: "never written",
        flags: libc::O_RDONLY,
        bare: "lasting",
        open_limit: 1,
        stat_limit: 0,
    },
    Case {
        name: "once written",
        flags: libc::O_RDWR,
        bare: "fresh",
        open_limit: 2,
        stat_limit: 1,
    },
];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("open", "")?;
    let bare_dir = context.place.dir("bare-open")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    let tmpfs = context.place.tmpfs();
    for case in &CASES {
        for dir in [&shmfs.dir, &tmpfs] {
            make(&dir.join(case.name), case.flags)?;
        }
        for uid in [0, USER] {
            let samples = measure(context, uid, case, [&shmfs.dir, &tmpfs, &bare_dir])?;
            report(context, uid, case, &shmfs, &samples)?;
        }
        std::fs::remove_file(tmpfs.join(case.name))?;
    }
    Ok(())
}

/// An object for everybody, opened with nothing but `flags`.
fn make(path: &Path, flags: libc::c_int) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    drop(sys::open(
        path,
        flags | libc::O_CREAT | libc::O_EXCL,
        0o666,
    )?);
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o666))
}

fn measure(
    context: &Context,
    uid: u32,
    case: &Case,
    [ours, tmpfs, bare]: [&Path; 3],
) -> io::Result<Samples> {
    let one = |path: &Path| {
        Ok(vec![
            time_each(CALLS, |_| sys::open(path, case.flags, 0).map(drop))?,
            time_each(CALLS, |_| sys::stat(path))?,
        ])
    };
    interleave(
        uid,
        context.rounds(20),
        2,
        &[
            &|_| one(&ours.join(case.name)),
            &|_| one(&tmpfs.join(case.name)),
            &|_| one(&bare.join(case.bare)),
        ],
    )
}

fn report(
    context: &mut Context,
    uid: u32,
    case: &Case,
    shmfs: &Shmfs,
    samples: &Samples,
) -> io::Result<()> {
    let path = shmfs.dir.join(case.name);
    let open = || sys::open(&path, case.flags, 0).map(drop);
    let stat = || sys::stat(&path);
    let calls: [(&str, Call<'_>, usize); 2] = [
        ("open+close", &open, case.open_limit),
        ("stat", &stat, case.stat_limit),
    ];
    for (figure, (call, body, limit)) in calls.into_iter().enumerate() {
        let sent = match &mut context.tracer {
            Some(tracer) => Some(tracer.during(shmfs.connection()?, || super::as_user(uid, body))?),
            None => None,
        };
        let trips = sent
            .as_ref()
            .map(|sent| sent.iter().filter(|s| s.is_waited_for()).count());
        let names: Vec<_> = sent.into_iter().flatten().map(Sent::label).collect();
        context.report.row(&Row {
            what: &format!("{call}, {}, {}", case.name, super::who(uid)),
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
