//! The worker gets SIGKILL, or is replaced by an upgrade, at random moments, as often as is asked for.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal};

use crate::load::{self, COUNTERS};
use crate::pauses::{Moment, Pauses, now};
use crate::rng::{Rng, seed};
use crate::support::{Case, Outcome, Site, check, die_with_us, wait_until};

/// Kills in the test command.
const KILLS: usize = 40;
/// Upgrades in the test command.
const UPGRADES: usize = 10;
/// Processes of the load.
const PROCESSES: u64 = 4;
/// Between two kills, at least and at most.
const BETWEEN: (u64, u64) = (40, 240);
/// How long the load takes where nothing is killed.
const PEACE: Duration = Duration::from_secs(5);

pub(crate) fn cases() -> Vec<Case> {
    let deadline = Duration::from_secs(3600);
    vec![
        Case {
            deadline,
            ..Case::new("kills", kills)
        },
        Case {
            deadline,
            ..Case::new("upgrades", upgrades)
        },
    ]
}

fn kills(site: &Site) -> Outcome {
    under_load(site, "pauses", |daemon, load, seed| {
        kill_often(site, daemon, load, seed)
    })
}

fn upgrades(site: &Site) -> Outcome {
    under_load(site, "upgrades", |_, load, seed| {
        upgrade_often(site, load, seed)
    })
}

/// As often as `SHMFS_KILLS` says, or so often.
pub(crate) fn times(unless: usize) -> usize {
    let given = std::env::var("SHMFS_KILLS").ok();
    given.and_then(|text| text.parse().ok()).unwrap_or(unless)
}

fn wanted() -> usize {
    times(KILLS)
}

fn under_load(
    site: &Site,
    report: &str,
    disturb: impl FnOnce(Pid, &mut Processes, u64) -> Result<Vec<Moment>, String>,
) -> Outcome {
    let seed = seed();
    eprintln!("SHMFS_SEED={seed}");
    let shared = site.dir.join("shared");
    fs::create_dir(&shared).map_err(|e| format!("mkdir: {e}"))?;
    for way in 0..COUNTERS {
        load::write_counter(&load::counter(&shared, way), 0)?;
    }
    let mut load = Processes::start(site, seed)?;
    let killed = match site.daemon() {
        Some(daemon) if wanted() > 0 => disturb(daemon, &mut load, seed)?,
        Some(_) | None => {
            std::thread::sleep(PEACE);
            Vec::new()
        }
    };
    let reports = load.stop()?;
    check_counters(&shared, &reports)?;
    fs::remove_dir_all(&shared).map_err(|e| format!("remove what was shared: {e}"))?;
    site.wait_until_empty()?;
    let pauses = Pauses::new(&killed, &reports.long).histogram();
    let (steps, counts) = (reports.steps, reports.counts);
    let result = format!("{steps} steps, counted {counts:?}, {pauses}");
    println!("{result}");
    write_result(site, report, &result)
}

/// Where `SHMFS_REPORT` says, for people.
fn write_result(site: &Site, name: &str, text: &str) -> Outcome {
    let Some(path) = std::env::var_os("SHMFS_REPORT") else {
        return Ok(());
    };
    let path = PathBuf::from(path).join(format!("{name}-{}", site.mode.name()));
    fs::write(path, text).map_err(|e| format!("write the report: {e}"))
}

fn kill_often(
    site: &Site,
    daemon: Pid,
    load: &mut Processes,
    seed: u64,
) -> Result<Vec<Moment>, String> {
    site.expect_deaths();
    let mut rng = Rng::new(seed);
    let mut killed = Vec::new();
    while killed.len() < wanted() {
        let (least, most) = BETWEEN;
        let wait = least + rng.below((most - least) as usize) as u64;
        std::thread::sleep(Duration::from_millis(wait));
        load.check_alive()?;
        // While there is none another moment is chosen: one that begins is not hunted down.
        if let Some(worker) = worker_of(daemon) {
            let at = now();
            killed.push((at, at + 1000));
            // It may have died of something else: that shows.
            let _ = rustix::process::kill_process(worker, Signal::KILL);
        }
    }
    Ok(killed)
}

/// To another program and back in turn.
fn upgrade_often(site: &Site, load: &mut Processes, seed: u64) -> Result<Vec<Moment>, String> {
    let wanted = std::env::var("SHMFS_UPGRADES").ok();
    let wanted = wanted.and_then(|text| text.parse().ok());
    let (program, other) = (env!("CARGO_BIN_EXE_shmfs"), site.outside.join("other"));
    check(Command::new("cp").arg(program).arg(&other))?;
    let mut rng = Rng::new(seed);
    let mut upgraded = Vec::new();
    while upgraded.len() < wanted.unwrap_or(UPGRADES) {
        let (least, most) = BETWEEN;
        let wait = least + rng.below((most - least) as usize) as u64;
        std::thread::sleep(Duration::from_millis(wait));
        load.check_alive()?;
        let begin = now();
        let to = match upgraded.len() % 2 {
            1 => Path::new(program),
            _ => &other,
        };
        check(Command::new(program).arg("upgrade").arg(&site.dir).arg(to))?;
        upgraded.push((begin, now()));
    }
    Ok(upgraded)
}

/// The process that serves: the supervisor's child.
fn worker_of(daemon: Pid) -> Option<Pid> {
    let pid = daemon.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    let mut children = children.split_ascii_whitespace();
    children.find_map(|child| {
        let name = fs::read_to_string(format!("/proc/{child}/comm")).ok()?;
        let is_worker = name.trim_end() == "shmfs-worker";
        Pid::from_raw(child.parse().ok()?).filter(|_| is_worker)
    })
}

/// Kills the worker, if there is one.
pub(crate) fn kill_worker(daemon: Pid) {
    if let Some(worker) = worker_of(daemon) {
        let _ = rustix::process::kill_process(worker, Signal::KILL);
    }
}

/// What the processes reported.
#[derive(Default)]
struct Reports {
    steps: u64,
    counts: [u64; COUNTERS],
    long: Vec<(u64, u64)>,
}

struct Processes {
    all: Vec<(Child, Option<ChildStdin>, PathBuf)>,
}

impl Processes {
    fn start(site: &Site, seed: u64) -> Result<Processes, String> {
        let exe = std::env::current_exe().map_err(|e| format!("find this binary: {e}"))?;
        let mut all = Vec::new();
        for index in 0..PROCESSES {
            let report = site.outside.join(format!("report{index}"));
            let said = File::create(site.outside.join(format!("said{index}")))
                .map_err(|e| format!("create: {e}"))?;
            let mut command = Command::new(&exe);
            command
                .arg(load::LOAD)
                .arg(&site.dir)
                .args([index.to_string(), seed.to_string()])
                .arg(&report)
                .stdin(Stdio::piped())
                .stderr(said);
            die_with_us(&mut command, Signal::KILL);
            let mut child = command.spawn().map_err(|e| format!("start a load: {e}"))?;
            let stdin = child.stdin.take();
            all.push((child, stdin, report));
        }
        Ok(Processes { all })
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
        for (child, _, report) in &mut self.all {
            let mut status = None;
            wait_until("the load ends", Duration::from_secs(120), || {
                status = child.try_wait().map_err(|e| format!("wait: {e}"))?;
                Ok(status.is_some())
            })?;
            if !status.is_some_and(|status| status.success()) {
                return Err(format!("a process of the load: {}", said(report)));
            }
            let text = fs::read_to_string(&report).map_err(|e| format!("read a report: {e}"))?;
            text.lines().try_for_each(|line| reports.add(line))?;
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
    fn add(&mut self, line: &str) -> Outcome {
        let mut words = line.split(' ');
        let kind = words.next();
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok());
        match (kind, number(), number()) {
            (Some("steps"), Some(steps), None) => self.steps += steps,
            (Some("count"), Some(way), Some(count)) => self.counts[way as usize] += count,
            (Some("long"), Some(start), Some(end)) => self.long.push((start, end)),
            _ => return Err(format!("a report has the line {line:?}")),
        }
        Ok(())
    }
}

fn check_counters(shared: &Path, reports: &Reports) -> Outcome {
    for (way, &count) in reports.counts.iter().enumerate() {
        if count == 0 {
            return Err(format!("counter {way} was never counted up"));
        }
        let says = load::read_counter(&load::counter(shared, way))?;
        if says != count {
            return Err(format!("counter {way} says {says}, counted were {count}"));
        }
        if count == 0 {
            return Err(format!("nobody counted in counter {way}"));
        }
    }
    Ok(())
}
