//! Calls on names of a directory that is seen in several ways, and the lines that compare them.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Mode, OFlags};

use crate::Context;
use crate::measure::{Samples, time_each};
use crate::place::memory_of_shmfs;
use crate::report::{Row, times};
use crate::sys;

const CALLS: usize = 200;

/// A descriptor for nothing but names.
pub(super) fn directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?)
}

pub(super) fn stat(dir: &OwnedFd, name: &CString) -> io::Result<()> {
    rustix::fs::statat(dir, name.as_c_str(), AtFlags::empty())?;
    Ok(())
}

pub(super) fn open(dir: &OwnedFd, name: &CString, flags: OFlags) -> io::Result<()> {
    let flags = OFlags::CLOEXEC | flags;
    rustix::fs::openat(dir, name.as_c_str(), flags, Mode::RUSR | Mode::WUSR)?;
    Ok(())
}

pub(super) fn create(dir: &OwnedFd, name: &CString) -> io::Result<()> {
    open(dir, name, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)
}

fn unlink(dir: &OwnedFd, name: &CString) -> io::Result<()> {
    rustix::fs::unlinkat(dir, name.as_c_str(), AtFlags::empty())?;
    Ok(())
}

/// What [`three`] measures.
pub(super) const FIGURES: [&str; 3] = ["stat", "open+close", "create+close+unlink"];

/// Nanoseconds of each of [`FIGURES`], of objects that are there in turn, and of one that is not.
pub(super) fn three(dir: &OwnedFd, old: &[CString], new: &CString) -> io::Result<Vec<f64>> {
    // Caller and daemon on one CPU: nothing but work counts.
    sys::pin(0)?;
    let old = |at: usize| &old[at % old.len()];
    let both = |_| create(dir, new).and_then(|()| unlink(dir, new));
    Ok(vec![
        time_each(CALLS, |at| stat(dir, old(at)))?,
        time_each(CALLS, |at| open(dir, old(at), OFlags::RDWR))?,
        time_each(CALLS, both)?,
    ])
}

/// One line: one subject beside another one.
pub(super) struct Line<'a> {
    pub(super) what: String,
    pub(super) of: &'a str,
    pub(super) limit: Option<f64>,
}

/// A figure of the first subject beside the second's.
pub(super) fn report(context: &Context, samples: &Samples, figure: usize, line: &Line<'_>) {
    report_pair(context, samples, (0, figure), (1, figure), line);
}

/// A figure of a subject beside another one.
pub(super) fn report_pair(
    context: &Context,
    samples: &Samples,
    ours: (usize, usize),
    other: (usize, usize),
    line: &Line<'_>,
) {
    let ratio = samples.ratio(ours, other);
    let goal = line.limit.map(|limit| format!("≤ {limit} × {}", line.of));
    context.report.row(&Row {
        what: &line.what,
        ours: Some(samples.median(ours.0, ours.1)),
        measured: times(ratio, line.of),
        goal: goal.as_deref().unwrap_or_default(),
        pass: line.limit.map(|limit| ratio.median <= limit),
        ..Row::default()
    });
}

/// What many objects cost: each, in nanoseconds and bytes.
#[derive(Debug)]
pub(super) struct Filled {
    pub(super) create: f64,
    pub(super) bytes: f64,
}

/// Makes them all.
pub(super) fn fill(dir: &OwnedFd, names: &[CString]) -> io::Result<Filled> {
    super::million::wait_for_slab()?;
    let before = memory_of_shmfs()?;
    let create = time_each(names.len(), |at| create(dir, &names[at]))?;
    let grown = memory_of_shmfs()?.saturating_sub(before);
    let bytes = grown as f64 / names.len() as f64;
    Ok(Filled { create, bytes })
}

/// `count` names that `spell` makes of numbers.
pub(super) fn names(count: usize, spell: impl Fn(usize) -> String) -> io::Result<Vec<CString>> {
    (0..count).map(|at| Ok(CString::new(spell(at))?)).collect()
}
