//! read and write with passthrough, of 4 KiB and of 1 MiB, as root and as a user.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::Context;
use crate::bare::Bare;
use crate::measure::{interleave, time_each};
use crate::place::{USER, create};
use crate::report::{Row, times};
use crate::sys;

const LEN: usize = 16 << 20;
const SMALL: usize = 4 << 10;
const LARGE: usize = 1 << 20;
const FIGURES: [&str; 4] = ["read 4 KiB", "write 4 KiB", "read 1 MiB", "write 1 MiB"];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("rw", "")?;
    let bare_dir = context.place.dir("bare-rw")?;
    let _bare = Bare::mount(&bare_dir, true)?;
    for uid in [0, USER] {
        run_as(context, uid, &shmfs.dir, &bare_dir)?;
    }
    Ok(())
}

fn run_as(context: &Context, uid: u32, ours: &Path, bare: &Path) -> io::Result<()> {
    let tmpfs = context.place.tmpfs();
    let bare = sys::open(&bare.join("lasting"), libc::O_RDWR, 0)?;
    // The files belong to the user, whose identity only the measuring child has.
    let files = [ours, &tmpfs].map(|dir| dir.join(format!("rw-{}", super::who(uid))));
    super::as_user(uid, || {
        files.iter().try_for_each(|path| fill(&create(path)?))
    })?;
    let open = |path| sys::open(path, libc::O_RDWR, 0);
    let samples = interleave(
        uid,
        context.rounds(40),
        FIGURES.len(),
        &[
            &|_| one(&open(&files[0])?),
            &|_| one(&open(&files[1])?),
            &|_| one(&bare),
        ],
    )?;
    for (figure, name) in FIGURES.into_iter().enumerate() {
        let ratio = samples.ratio((0, figure), (1, figure));
        context.report.row(&Row {
            what: &format!("{name}, as {}", super::who(uid)),
            ours: Some(samples.median(0, figure)),
            tmpfs: Some(samples.median(1, figure)),
            bare: Some(samples.median(2, figure)),
            measured: times(ratio, "tmpfs"),
            goal: "≤ 1.3 × tmpfs",
            pass: Some(ratio.median <= 1.3),
        });
    }
    files.iter().try_for_each(fs::remove_file)
}

fn fill(file: &File) -> io::Result<()> {
    file.write_all_at(&vec![1; LEN], 0)
}

fn one(file: &File) -> io::Result<Vec<f64>> {
    let mut buffer = vec![1; LARGE];
    let small = |index: usize| (index * SMALL % LEN) as u64;
    let large = |index: usize| (index * LARGE % LEN) as u64;
    let (little, rest) = (1000, 16);
    Ok(vec![
        time_each(little, |i| {
            file.read_exact_at(&mut buffer[..SMALL], small(i))
        })?,
        time_each(little, |i| file.write_all_at(&buffer[..SMALL], small(i)))?,
        time_each(rest, |i| file.read_exact_at(&mut buffer, large(i)))?,
        time_each(rest, |i| file.write_all_at(&buffer, large(i)))?,
    ])
}
