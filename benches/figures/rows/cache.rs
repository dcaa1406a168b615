//! Mapped memory where the kernel's page cache stands between: first touch and touch again.

use std::fs;
use std::io;
use std::path::Path;

use crate::Context;
use crate::bare::{self, Bare};
use crate::measure::spread;
use crate::place::create;
use crate::report::{Row, times};
use crate::sys::{self, Map};

const ROOT_LEN: usize = bare::FILE_SIZE as usize;
/// What a user may have dirty before the kernel slows it down.
pub(super) const USER_LEN: usize = 32 << 20;
const FIGURES: [&str; 2] = ["first touch", "touch again"];

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    as_root(context)?;
    as_user(context)
}

/// Nanoseconds per page: first touch, touch again.
pub(super) fn touch(dir: &Path, len: usize) -> io::Result<Vec<f64>> {
    let path = dir.join("touched");
    let file = create(&path)?;
    file.set_len(len as u64)?;
    let map = Map::new(&file, len)?;
    let figures = vec![map.touch(), map.touch()];
    // Gone before its pages are written back: nobody needs them.
    fs::remove_file(&path)?;
    Ok(figures)
}

/// The same on the bare daemon's one file, whose pages are dropped first.
fn touch_bare(dir: &Path) -> io::Result<Vec<f64>> {
    let file = sys::open(&dir.join("lasting"), libc::O_RDWR, 0)?;
    file.sync_all().ok();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    let map = Map::new(&file, ROOT_LEN)?;
    Ok(vec![map.touch(), map.touch()])
}

fn as_root(context: &Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("cache", "passthrough=off")?;
    let bare_dir = context.place.dir("bare-cache")?;
    let _bare = Bare::mount(&bare_dir, false)?;
    lift_strict_limit(context, &bare_dir);
    let tmpfs = context.place.tmpfs();
    let mut rounds = Rounds::default();
    for _ in 0..context.rounds(12) {
        rounds.ours.push(touch(&shmfs.dir, ROOT_LEN)?);
        rounds.tmpfs.push(touch(&tmpfs, ROOT_LEN)?);
        rounds.bare.push(touch_bare(&bare_dir)?);
    }
    rounds.report(context, "64 MiB, root");
    Ok(())
}

/// What shmfs does for itself as root.
fn lift_strict_limit(context: &Context, dir: &Path) {
    let Ok(minor) = crate::place::connection(dir) else {
        return;
    };
    if fs::write(format!("/sys/class/bdi/0:{minor}/strict_limit"), "0").is_err() {
        context.report.note("the bare daemon keeps the kernel's strict limit of dirty pages: /sys/class/bdi is not writable");
    }
}

fn as_user(context: &Context) -> io::Result<()> {
    let mut guest = context.place.guest_in_run()?;
    let tmpfs = context.place.tmpfs();
    let mut beside = context.place.guest_in(&tmpfs)?;
    let mut rounds = Rounds::default();
    for _ in 0..context.rounds(12) {
        rounds.ours.push(guest.ask("touch")?);
        rounds.tmpfs.push(beside.ask("touch")?);
    }
    rounds.report(context, "32 MiB, user in `shmfs run`");
    Ok(())
}

#[derive(Debug, Default)]
struct Rounds {
    ours: Vec<Vec<f64>>,
    tmpfs: Vec<Vec<f64>>,
    bare: Vec<Vec<f64>>,
}

impl Rounds {
    fn report(&self, context: &Context, who: &str) {
        for (figure, name) in FIGURES.into_iter().enumerate() {
            let series = |rounds: &[Vec<f64>]| rounds.iter().map(|r| r[figure]).collect::<Vec<_>>();
            let median = |rounds| spread(series(rounds)).median;
            let pairs = self.ours.iter().zip(&self.tmpfs);
            let ratio = spread(pairs.map(|(a, b)| a[figure] / b[figure]).collect());
            context.report.row(&Row {
                what: &format!("{name}, {who}"),
                ours: Some(median(&self.ours)),
                tmpfs: Some(median(&self.tmpfs)),
                bare: (!self.bare.is_empty()).then(|| median(&self.bare)),
                measured: times(ratio, "tmpfs"),
                goal: "≤ 1.3 × tmpfs",
                pass: Some(ratio.median <= 1.3),
            });
        }
    }
}
