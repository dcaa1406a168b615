//! The unit: one fstat that has to ask the daemon. And the check that requests are counted right.

use std::fs::File;
use std::io;

use crate::Context;
use crate::bare::Bare;
use crate::measure::{interleave, time_each};
use crate::place::{USER, connection};
use crate::report::Row;
use crate::sys;

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let dir = context.place.dir("bare-unit")?;
    let daemon = Bare::mount(&dir, true)?;
    let file = sys::open(&dir.join("fresh"), libc::O_RDONLY, 0)?;
    let body = |_| Ok(vec![round_trip(&file)?]);
    for (uid, what) in [(0, "fstat, as root"), (USER, "fstat, as a user")] {
        let samples = interleave(uid, context.rounds(40), 1, &[&body])?;
        context.report.row(&Row {
            what,
            bare: Some(samples.median(0, 0)),
            ..Row::default()
        });
    }
    check_count(context, &daemon, &file, connection(&dir)?)?;
    daemon.pin()?;
    let pinned = |_| {
        sys::pin(0)?;
        Ok(vec![round_trip(&file)?])
    };
    let samples = interleave(0, context.rounds(40), 1, &[&pinned])?;
    context.report.row(&Row {
        what: "fstat, as root, everything on one CPU",
        bare: Some(samples.median(0, 0)),
        ..Row::default()
    });
    Ok(())
}

/// Nanoseconds of one GETATTR.
pub(super) fn round_trip(file: &File) -> io::Result<f64> {
    time_each(200, |_| Ok(rustix::fs::fstat(file).map(drop)?))
}

/// The kernel's count and the daemon's own must agree, or no count below can be believed.
fn check_count(
    context: &mut Context,
    daemon: &Bare,
    file: &File,
    connection: u32,
) -> io::Result<()> {
    let Some(tracer) = &context.tracer else {
        return Ok(());
    };
    let before = daemon.requests();
    let sent = tracer.during(connection, || round_trip(file).map(drop))?;
    let got = daemon.requests() - before;
    if sent.len() as u64 != got {
        return Err(io::Error::other(format!(
            "the kernel sent {} requests, the daemon got {got}",
            sent.len()
        )));
    }
    let note =
        format!("the kernel's trace and the daemon both counted {got} requests for 200 fstats");
    context.report.note(&note);
    Ok(())
}
