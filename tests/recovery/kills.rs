//! The worker gets SIGKILL, or is replaced by an upgrade, at random moments, as often as is asked for.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::leftovers::Holdings;
use crate::load::{self, COUNTERS, SYMLINKS};
use crate::pauses::{Moment, Pauses, now};
use crate::rng::{Rng, seed};
use crate::support::{Case, Mode, Outcome, Setup, Site, check, die_with_us, wait_until};

/// Kills in the test command.
const KILLS: usize = 40;
/// Upgrades in the test command.
const UPGRADES: usize = 10;
/// Processes of the load in the tree.
const PROCESSES: usize = 4;
/// Between two kills, at least and at most.
const BETWEEN: (u64, u64) = (40, 240);
/// Moments at which nobody is killed, for comparison; no more than there are kills.
const PEACEFUL: usize = 200;
/// How long the load takes on a tmpfs.
const PEACE: Duration = Duration::from_secs(5);

/// The mount of the load through views and exports.
const FACES: Setup = Setup {
    options: "view=netbsd,view=openbsd",
    exports: Some("[export.part]\nwrite = [\"w*/\", \"w*/**\"]\n[export.own]\nprivate = true\n"),
    ..Setup::PLAIN
};

pub(crate) fn cases() -> Vec<Case> {
    let case = |name, run| Case {
        deadline: Duration::from_secs(3600),
        is_alone: is_measured(),
        ..Case::new(name, run)
    };
    const OURS: &[Mode] = &[Mode::Passthrough, Mode::PageCache];
    vec![
        case("kills", kills),
        case("kills_with_faces", kills_with_faces).with(OURS, FACES),
        case("upgrades", upgrades),
    ]
}

/// Somebody looks at the pauses: nothing else is to run meanwhile.
pub(crate) fn is_measured() -> bool {
    ["SHMFS_KILLS", "SHMFS_UPGRADES"]
        .iter()
        .any(|name| std::env::var_os(name).is_some())
}

/// As often as `SHMFS_KILLS` says, or so often.
pub(crate) fn times(unless: usize) -> usize {
    number("SHMFS_KILLS").unwrap_or(unless)
}

fn number(variable: &str) -> Option<usize> {
    std::env::var(variable).ok()?.parse().ok()
}

/// What happens to the worker under the load.
#[derive(Clone, Copy)]
enum Blow {
    Kill,
    Upgrade,
}

impl Blow {
    fn wanted(self) -> usize {
        match self {
            Blow::Kill => times(KILLS),
            Blow::Upgrade => number("SHMFS_UPGRADES").unwrap_or(UPGRADES),
        }
    }
}

/// Where one process of the load works, and where it meets others.
struct Place {
    dir: PathBuf,
    shared: PathBuf,
    /// Which of the load's such directories that is.
    meets: usize,
    is_export: bool,
}

impl Place {
    fn new(dir: PathBuf, shared: PathBuf) -> Place {
        Place {
            dir,
            shared,
            meets: 0,
            is_export: false,
        }
    }
}

fn kills(site: &Site) -> Outcome {
    in_the_tree(site, "kills", Blow::Kill)
}

fn upgrades(site: &Site) -> Outcome {
    in_the_tree(site, "upgrades", Blow::Upgrade)
}

fn in_the_tree(site: &Site, name: &str, blow: Blow) -> Outcome {
    let shared = site.dir.join("shared");
    let place = |index: usize| Place::new(site.dir.join(format!("p{index}")), shared.clone());
    let places: Vec<Place> = (0..PROCESSES).map(place).collect();
    run(site, (name, blow), &places, &[&shared])
}

/// One works in the tree, one on the tree's objects through a view, one on a view's own, one through an export, two
/// in a layer of an export's own. All but the last two meet in one directory.
fn kills_with_faces(site: &Site) -> Outcome {
    let face = |name: &str| site.dir.join(".shmfs").join(name);
    let (view, part, own) = (
        face("views/netbsd"),
        face("exports/part"),
        face("exports/own"),
    );
    for path in [&view, &part, &own] {
        fs::metadata(path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    let (shared, apart) = (site.dir.join("wshared"), own.join("shared"));
    let mut places = vec![
        Place::new(site.dir.join("p"), shared.clone()),
        Place::new(view.join(".shmobj_v"), view.join(".shmobj_wshared")),
        Place::new(view.join("v"), view.join(".shmobj_wshared")),
        Place::new(part.join("w"), part.join("wshared")),
        Place::new(own.join("one"), apart.clone()),
        Place::new(own.join("other"), apart.clone()),
    ];
    for place in &mut places[3..] {
        place.is_export = true;
    }
    for place in &mut places[4..] {
        place.meets = 1;
    }
    let what = ("kills_with_faces", Blow::Kill);
    run(site, what, &places, &[&shared, &apart])
}

fn run(site: &Site, (name, blow): (&str, Blow), places: &[Place], shared: &[&PathBuf]) -> Outcome {
    let seed = seed();
    eprintln!("SHMFS_SEED={seed}");
    let before = site.usage()?;
    let held = site.daemon().map(Holdings::of).transpose()?;
    for dir in shared {
        fs::create_dir(dir).map_err(|e| format!("mkdir: {e}"))?;
        for way in 0..COUNTERS {
            load::write_counter(&load::counter(dir, way), 0)?;
        }
    }
    let mut load = Processes::start(site, seed, places)?;
    let (mut peaceful, mut killed) = (Vec::new(), Vec::new());
    let wanted = blow.wanted();
    match site.daemon() {
        Some(daemon) if wanted > 0 => {
            let mut rng = Rng::new(seed);
            let nothing = |_| Ok(Some(()));
            peaceful = at_random(&mut load, &mut rng, wanted.min(PEACEFUL), nothing)?;
            killed = match blow {
                Blow::Kill => {
                    site.expect_deaths();
                    at_random(&mut load, &mut rng, wanted, |_| Ok(kill_one(daemon)))?
                }
                Blow::Upgrade => {
                    let programs = Programs::new(site)?;
                    at_random(&mut load, &mut rng, wanted, |done| {
                        programs.change(site, done).map(Some)
                    })?
                }
            };
        }
        Some(_) | None => std::thread::sleep(PEACE),
    }
    let reports = load.stop()?;
    check_counters(shared, &reports)?;
    for dir in shared {
        fs::remove_dir_all(dir).map_err(|e| format!("remove what was shared: {e}"))?;
    }
    site.wait_until_used(before)?;
    let held = match (held, site.daemon()) {
        (Some(held), Some(daemon)) => held.wait_for(site, daemon)?,
        (Some(_) | None, _) => String::new(),
    };
    let pauses = Pauses::new(&killed, &reports.long).histogram(name);
    let without = Pauses::new(&peaceful, &reports.long).histogram("moments without a kill");
    let (steps, counts) = (reports.steps, &reports.counts);
    let result = format!("{steps} steps, counted {counts:?}\n{pauses}{without}{held}");
    println!("{result}");
    write_result(site, name, &result)
}

/// Where `SHMFS_REPORT` says, for people.
fn write_result(site: &Site, name: &str, text: &str) -> Outcome {
    let Some(path) = std::env::var_os("SHMFS_REPORT") else {
        return Ok(());
    };
    let path = PathBuf::from(path).join(format!("pauses-{name}-{}", site.mode.name()));
    fs::write(path, text).map_err(|e| format!("write the report: {e}"))
}

/// Two programs that serve in turn.
struct Programs([PathBuf; 2]);

impl Programs {
    fn new(site: &Site) -> Result<Programs, String> {
        let (program, other) = (env!("CARGO_BIN_EXE_shmfs"), site.outside.join("other"));
        check(Command::new("cp").arg(program).arg(&other))?;
        Ok(Programs([other, program.into()]))
    }

    fn change(&self, site: &Site, done: usize) -> Outcome {
        let Programs(both) = self;
        let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
        check(command.arg("upgrade").arg(&site.dir).arg(&both[done % 2])).map(drop)
    }
}

/// Does something under the load at random moments, `count` times; says when that was.
fn at_random(
    load: &mut Processes,
    rng: &mut Rng,
    count: usize,
    mut act: impl FnMut(usize) -> Result<Option<()>, String>,
) -> Result<Vec<Moment>, String> {
    let mut moments = Vec::new();
    while moments.len() < count {
        let (least, most) = BETWEEN;
        let wait = least + rng.below((most - least) as usize) as u64;
        std::thread::sleep(Duration::from_millis(wait));
        load.check_alive()?;
        let begin = now();
        // While there is no worker another moment is chosen: one that begins is not hunted down.
        if act(moments.len())?.is_some() {
            moments.push((begin, now().max(begin + 1000)));
        }
    }
    Ok(moments)
}

/// The process that serves: the supervisor's youngest child. Older ones that were killed may still be waited for.
pub(crate) fn worker_of(daemon: Pid) -> Option<Pid> {
    let pid = daemon.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut youngest = children.split_ascii_whitespace().rev();
    youngest.find_map(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        let is_worker = name.trim_end() == "shmfs-worker";
        Pid::from_raw(child.parse().ok()?).filter(|_| is_worker)
    })
}

/// Kills the worker, if there is one.
pub(crate) fn kill_one(daemon: Pid) -> Option<()> {
    let worker = worker_of(daemon)?;
    // It may have died of something else: that shows.
    let _ = rustix::process::kill_process(worker, Signal::KILL);
    Some(())
}

/// What the processes reported.
#[derive(Default)]
struct Reports {
    steps: u64,
    /// Of each directory where processes meet.
    counts: BTreeMap<usize, [u64; COUNTERS]>,
    long: Vec<(u64, u64)>,
}

struct Processes {
    all: Vec<(Child, Option<ChildStdin>, PathBuf)>,
    /// Where each meets others.
    meets: Vec<usize>,
}

impl Processes {
    fn start(site: &Site, seed: u64, places: &[Place]) -> Result<Processes, String> {
        let exe = std::env::current_exe().map_err(|e| format!("find this binary: {e}"))?;
        let mut all = Vec::new();
        for (index, place) in places.iter().enumerate() {
            let report = site.outside.join(format!("report{index}"));
            let said = File::create(site.outside.join(format!("said{index}")))
                .map_err(|e| format!("create: {e}"))?;
            let mut command = Command::new(&exe);
            command
                .arg(load::LOAD)
                .args([&place.dir, &place.shared])
                .args([index.to_string(), seed.to_string()])
                .arg(&report)
                .arg(if place.is_export { load::EXPORTED } else { "" })
                .stdin(Stdio::piped())
                .stderr(said);
            die_with_us(&mut command, Signal::KILL);
            let mut child = command.spawn().map_err(|e| format!("start a load: {e}"))?;
            let stdin = child.stdin.take();
            all.push((child, stdin, report));
        }
        let meets = places.iter().map(|place| place.meets).collect();
        Ok(Processes { all, meets })
    }

    fn check_alive(&mut self) -> Outcome {
        for (child, _, report) in &mut self.all {
            if let Some(status) = child.try_wait().map_err(|e| format!("wait: {e}"))? {
                return Err(format!("a process of the load: {status}: {}", said(report)));
            }
        }
        Ok(())
    }

    /// Tells all to stop, and collects what they say.
    fn stop(mut self) -> Result<Reports, String> {
        self.all.iter_mut().for_each(|(_, stdin, _)| *stdin = None);
        let mut reports = Reports::default();
        for ((child, _, report), &meets) in self.all.iter_mut().zip(&self.meets) {
            let mut status = None;
            wait_until("the load ends", Duration::from_secs(120), || {
                status = child.try_wait().map_err(|e| format!("wait: {e}"))?;
                Ok(status.is_some())
            })?;
            if !status.is_some_and(|status| status.success()) {
                return Err(format!("a process of the load: {}", said(report)));
            }
            let text = fs::read_to_string(&report).map_err(|e| format!("read a report: {e}"))?;
            text.lines().try_for_each(|line| reports.add(line, meets))?;
        }
        Ok(reports)
    }
}

/// What the process of this report complained of.
fn said(report: &Path) -> String {
    let name = report.file_name().unwrap_or_default().to_string_lossy();
    let said = report.with_file_name(name.replace("report", "said"));
    fs::read_to_string(said).unwrap_or_default()
}

impl Drop for Processes {
    fn drop(&mut self) {
        for (child, _, _) in &mut self.all {
            let _ = child.kill();
        }
    }
}

impl Reports {
    fn add(&mut self, line: &str, meets: usize) -> Outcome {
        let mut words = line.split(' ');
        let kind = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match (kind, number(), number()) {
            (Some("steps"), Some(steps), None) => self.steps += steps,
            (Some("count"), Some(way), Some(count)) => {
                let counts = self.counts.entry(meets).or_default();
                counts[way as usize] += count;
            }
            (Some("long"), Some(start), Some(end)) => self.long.push((start, end)),
            _ => return Err(format!("a report has the line {line:?}")),
        }
        Ok(())
    }
}

/// What processes counted together, by whatever path, is what the counters say.
fn check_counters(shared: &[&PathBuf], reports: &Reports) -> Outcome {
    for (meets, &dir) in shared.iter().enumerate() {
        let counted = reports.counts.get(&meets).copied().unwrap_or_default();
        for (way, &count) in counted.iter().enumerate() {
            let says = load::read_counter(&load::counter(dir, way))?;
            if says != count {
                return Err(format!("counter {way} says {says}, counted were {count}"));
            }
            let is_export = dir.ends_with("exports/own/shared");
            if count == 0 && !(is_export && way == SYMLINKS) {
                return Err(format!("nobody counted in counter {way}"));
            }
        }
    }
    Ok(())
}
