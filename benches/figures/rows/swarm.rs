//! A thousand processes that create a thousand objects each and unlink them, in one directory.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Instant;

use crate::Context;
use crate::bare::Bare;
use crate::place::create;
use crate::report::{Row, time};
use crate::sys::Child;

const PROCESSES: usize = 1_000;
const OBJECTS: usize = 1_000;

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let processes = if context.quick {
        PROCESSES / 10
    } else {
        PROCESSES
    };
    let shmfs = context.place.shmfs("swarm", "nr_inodes=1100000")?;
    let tmpfs = swarm(&context.place.tmpfs(), processes)?;
    let ours = swarm(&shmfs.dir, processes)?;
    let bare_dir = context.place.dir("bare-swarm")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    let bare = swarm(&bare_dir, processes)?;
    context.report.row(&Row {
        what: &format!("{processes} processes, {OBJECTS} objects each"),
        ours: Some(ours),
        tmpfs: Some(tmpfs),
        bare: Some(bare),
        measured: format!("{:.2} × tmpfs", ours / tmpfs),
        ..Row::default()
    });
    let total = (processes * OBJECTS) as f64;
    context.report.note(&format!(
        "per object, created and unlinked: shmfs {}, tmpfs {}, bare {}",
        time(ours / total),
        time(tmpfs / total),
        time(bare / total),
    ));
    Ok(())
}

fn swarm(dir: &Path, processes: usize) -> io::Result<f64> {
    let start = Instant::now();
    let children = (0..processes).map(|process| Child::fork(move || one(dir, process)));
    let children: Vec<_> = children.collect::<io::Result<_>>()?;
    children.into_iter().try_for_each(Child::join)?;
    Ok(start.elapsed().as_nanos() as f64)
}

fn one(dir: &Path, process: usize) -> io::Result<()> {
    let name = |object| dir.join(format!("new-{process}-{object}"));
    (0..OBJECTS).try_for_each(|object| create(&name(object)).map(drop))?;
    (0..OBJECTS).try_for_each(|object| fs::remove_file(name(object)))
}
