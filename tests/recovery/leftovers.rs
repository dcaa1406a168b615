//! What the supervisor and the worker hold when nobody uses the mount: so much before many deaths as after.

use std::fs;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::fs::{Mode, OFlags};
use rustix::process::Pid;

use crate::kills::worker_of;
use crate::support::{Site, check, wait_until};

/// When something that comes back is called lost.
const DEADLINE: Duration = Duration::from_secs(30);
/// What the journal of a mount with nothing in it may take: a pass begins at 1 MiB, and leaves what came meanwhile.
const JOURNAL: u64 = 4 << 20;
/// By how many mappings it may grow: the C library keeps stacks and arenas of threads that have ended, so many.
const MAPPINGS: usize = 96;
/// By how much the memory of a process may grow: allocators keep some.
const GROWTH: u64 = 4 << 20;

// The memory of `src/slots`: chunks of as many bytes, the first of which is something else; slots of four words, the
// first of which is 0 where nobody has it.
const CHUNK: u64 = 64 << 10;
const SLOT: usize = 32;

/// What is held.
#[derive(Debug)]
pub(crate) struct Holdings {
    descriptors_of_supervisor: usize,
    descriptors_of_worker: usize,
    mappings_of_supervisor: usize,
    children: usize,
    slots: usize,
    /// Bytes of its own memory.
    supervisor: u64,
    worker: u64,
    journal: u64,
}

impl Holdings {
    pub(crate) fn of(daemon: Pid) -> Result<Holdings, String> {
        let worker = worker_of(daemon).ok_or("there is no worker")?;
        let (own, its) = (proc_of(daemon), proc_of(worker));
        let said = |e: std::io::Error| format!("look into /proc: {e}");
        let count = |path: String| fs::read_dir(path).map(Iterator::count).map_err(said);
        let pid = daemon.as_raw_nonzero();
        let children = fs::read_to_string(format!("{own}/task/{pid}/children")).map_err(said)?;
        let maps = fs::read_to_string(format!("{own}/maps")).map_err(said)?;
        let journal = memory_of(&own, "shmfs-journal")?;
        let journal = rustix::fs::fstat(&journal).map_err(|e| format!("stat the journal: {e}"))?;
        Ok(Holdings {
            descriptors_of_supervisor: count(format!("{own}/fd"))?,
            descriptors_of_worker: count(format!("{its}/fd"))?,
            mappings_of_supervisor: maps.lines().count(),
            children: children.split_ascii_whitespace().count(),
            slots: slots(&memory_of(&own, "shmfs-slots")?)?,
            supervisor: anonymous(&own)?,
            worker: anonymous(&its)?,
            journal: journal.st_blocks as u64 * 512,
        })
    }

    /// Waits until it is so again, after many deaths; says what is held now.
    pub(crate) fn wait_for(&self, site: &Site, daemon: Pid) -> Result<String, String> {
        let mut now = Err("nothing was looked at".to_owned());
        let waited = wait_until("what was held is given back", DEADLINE, || {
            now = Holdings::of(daemon);
            Ok(now.as_ref().is_ok_and(|now| now.is_like(self)))
        });
        waited.map_err(|sentence| format!("{sentence}: {now:?} instead of {self:?}"))?;
        let mut dump = site.command(env!("CARGO_BIN_EXE_shmfs"));
        check(dump.args(["journal", "dump"]).arg(&site.dir))?;
        Ok(format!("held before {self:?}\nheld after {:?}\n", now?))
    }

    fn is_like(&self, before: &Holdings) -> bool {
        let same = |of: fn(&Holdings) -> usize| of(self) == of(before);
        // One more where a thread of the worker, which is watched, had no name yet at the beginning.
        self.descriptors_of_supervisor <= before.descriptors_of_supervisor + 1
            && same(|it| it.descriptors_of_worker)
            && same(|it| it.children)
            && same(|it| it.slots)
            && self.mappings_of_supervisor <= before.mappings_of_supervisor + MAPPINGS
            && self.supervisor <= before.supervisor + GROWTH
            && self.worker <= before.worker + GROWTH
            && self.journal <= JOURNAL
    }
}

fn proc_of(pid: Pid) -> String {
    format!("/proc/{}", pid.as_raw_nonzero())
}

/// Bytes of memory that a process shares with nobody.
fn anonymous(of: &str) -> Result<u64, String> {
    let status = fs::read_to_string(format!("{of}/status")).map_err(|e| format!("{of}: {e}"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    number
        .map(|kib| kib << 10)
        .ok_or(format!("{of}: no RssAnon"))
}

/// A memfd that a process holds.
fn memory_of(of: &str, name: &str) -> Result<OwnedFd, String> {
    let wanted = format!("/memfd:{name} (deleted)");
    let all = fs::read_dir(format!("{of}/fd")).map_err(|e| format!("{of}: {e}"))?;
    let mut paths = all.flatten().map(|entry| entry.path());
    let path = paths.find(|path| fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*wanted));
    let path = path.ok_or(format!("{of} does not hold {wanted}"))?;
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    opened.map_err(|e| format!("open {wanted}: {e}"))
}

/// How many slots somebody has.
fn slots(file: &OwnedFd) -> Result<usize, String> {
    let said = |e: rustix::io::Errno| format!("read the slots: {e}");
    let size = rustix::fs::fstat(file).map_err(said)?.st_size as u64;
    let (mut chunk, mut count) = (vec![0; CHUNK as usize], 0);
    for number in 1..size / CHUNK {
        let read = rustix::io::pread(file, &mut chunk, number * CHUNK).map_err(said)?;
        let slots = chunk[..read].chunks_exact(SLOT);
        count += slots.filter(|slot| slot[..8] != [0; 8]).count();
    }
    Ok(count)
}
