//! What a worker has in hand, seen from outside: to tell of it after a death, to notice one that hangs, and to
//! answer a request that no worker survives.

use std::collections::HashMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::time::{ClockId, clock_gettime};

use crate::fuse::connection;
use crate::slots::{Requests, Seen};

/// How often a worker is looked at.
const TICK: Duration = Duration::from_secs(1);
/// Between two looks at a worker that is about to end.
const MOMENT: Duration = Duration::from_millis(5);
/// Nothing takes so long on a thread that reads requests, whatever a program asks for.
const PATIENCE: Duration = Duration::from_secs(10);
/// And nobody who works beside them goes so long without using a processor.
const BESIDE: Duration = Duration::from_secs(60);
/// So many workers may die of a request.
const CHANCES: u32 = 3;

/// WRITE, FALLOCATE, COPY_FILE_RANGE: where memory is short each try takes more of what is left, until no worker
/// has any to start with. They have one chance.
const GREEDY: [u32; 3] = [16, 43, 47];

/// A look at a worker, and what was seen before.
#[derive(Debug, Default)]
pub(super) struct Watch {
    requests: Option<Requests>,
    next: Option<Instant>,
    /// Since when requests wait and nothing is finished, and what was finished by then.
    still: Option<(Instant, u64)>,
    /// The work of threads beside, and since when there was no more of it.
    work: Option<(Instant, u64)>,
    /// Workers that were killed for hanging, in a row: a slow machine gets more time each time.
    hung: u32,
    /// How many workers have died of which request.
    deaths: HashMap<u64, u32>,
}

impl Watch {
    /// From now on a worker with these slots serves.
    pub(super) fn begin(&mut self, slots: &OwnedFd) {
        if self.requests.is_none() {
            self.requests = Requests::watch(slots)
                .inspect_err(|error| tracing::warn!(%error, "the worker cannot be watched"))
                .ok();
        }
        self.next = self.requests.as_ref().map(|_| Instant::now() + TICK);
        (self.still, self.work) = (None, None);
    }

    /// It serves no longer.
    pub(super) fn pause(&mut self) {
        self.next = None;
    }

    /// The next look is due after a while.
    pub(super) fn later(&mut self) {
        self.next = Some(Instant::now() + TICK);
    }

    /// The next look is due in a moment.
    pub(super) fn soon(&mut self) {
        self.next = Some(Instant::now() + MOMENT);
    }

    /// When the next look is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the worker if that is due; answers why it is to be replaced.
    pub(super) fn look(&mut self, worker: Pid, device: &OwnedFd) -> Option<String> {
        let now = Instant::now();
        if self.next.is_none_or(|next| next > now) {
            return None;
        }
        self.next = Some(now + TICK);
        let patience = PATIENCE * 2u32.saturating_pow(self.hung.min(5));
        let hangs = self
            .nothing_moves(now, patience, device)
            .or_else(|| self.one_is_stuck(patience, worker))
            .or_else(|| self.beside_is_stuck(now, worker));
        if hangs.is_some() {
            self.hung += 1;
        }
        hangs
    }

    /// Requests wait, and none is finished.
    fn nothing_moves(
        &mut self,
        now: Instant,
        patience: Duration,
        device: &OwnedFd,
    ) -> Option<String> {
        let finished = self.requests.as_ref()?.finished();
        if !connection::has_requests(device) {
            self.still = None;
            return None;
        }
        match self.still {
            Some((since, before)) if before == finished => (now - since >= patience)
                .then(|| format!("requests wait, and none was finished for {patience:?}")),
            Some(_) | None => {
                self.still = Some((now, finished));
                None
            }
        }
    }

    /// A thread that reads requests has one in hand, for too long.
    fn one_is_stuck(&self, patience: Duration, worker: Pid) -> Option<String> {
        let now = monotonic();
        let stuck = self.requests.as_ref()?.in_hand().into_iter().find(|seen| {
            now.saturating_sub(seen.since) >= nanoseconds(patience) && !reads(worker, seen.thread)
        })?;
        Some(format!("it has in hand {}", describe(&stuck)))
    }

    /// The threads beside have something to do, and do not do it.
    fn beside_is_stuck(&mut self, now: Instant, worker: Pid) -> Option<String> {
        let old = |seen: &Seen| monotonic().saturating_sub(seen.since) >= nanoseconds(BESIDE);
        let stuck = self.requests.as_ref()?.in_hand().into_iter().find(old);
        let Some(stuck) = stuck else {
            self.work = None;
            return None;
        };
        let work = work_of(worker);
        match self.work {
            Some((since, before)) if before == work => (now - since >= BESIDE)
                .then(|| format!("nobody works on what it has in hand: {}", describe(&stuck))),
            Some(_) | None => {
                self.work = Some((now, work));
                None
            }
        }
    }

    /// What the worker that has just died had in hand, for the log.
    pub(super) fn in_hand(&self) -> String {
        let seen = self.requests.as_ref().map(Requests::in_hand);
        let all: Vec<String> = seen.unwrap_or_default().iter().map(describe).collect();
        if all.is_empty() {
            "nothing".to_owned()
        } else {
            all.join("; ")
        }
    }

    /// A worker has died of what it did, rather than by somebody outside: answers the requests with `errno`
    /// of which too many have died, so that the others go on.
    pub(super) fn blame(&mut self, device: &OwnedFd, errno: i32) {
        let Some(requests) = &self.requests else {
            return;
        };
        let in_hand = requests.in_hand();
        let numbers: Vec<u64> = in_hand.iter().map(|seen| seen.request.unique).collect();
        self.deaths.retain(|number, _| numbers.contains(number));
        for seen in in_hand {
            let number = seen.request.unique;
            let deaths = self.deaths.entry(number).or_default();
            *deaths += 1;
            let greedy = errno == libc::ENOMEM && GREEDY.contains(&seen.request.opcode);
            if *deaths < CHANCES && !greedy {
                continue;
            }
            self.deaths.remove(&number);
            let request = describe(&seen);
            match connection::answer_error(device, number, errno) {
                Ok(()) => tracing::error!(request, errno, "no worker survives this request"),
                Err(error) => tracing::warn!(request, %error, "cannot answer a request"),
            }
        }
    }

    /// A worker did well.
    pub(super) fn forgive(&mut self) {
        self.hung = 0;
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// The clock of the slots.
fn monotonic() -> u64 {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    (now.tv_sec as u64).saturating_mul(1_000_000_000) + now.tv_nsec as u64
}

fn describe(seen: &Seen) -> String {
    let age = Duration::from_nanos(monotonic().saturating_sub(seen.since));
    format!(
        "{} of node {:#x} for {:.3} s",
        name(seen.request.opcode),
        seen.request.node,
        age.as_secs_f64()
    )
}

/// Whether the thread waits in read(2): then it has given to another one what it had in hand.
fn reads(worker: Pid, thread: u32) -> bool {
    let worker = worker.as_raw_nonzero();
    let call = fs::read_to_string(format!("/proc/{worker}/task/{thread}/syscall"));
    let call = call.unwrap_or_default();
    let number = call.split(' ').next().and_then(|it| it.parse().ok());
    // A thread that has ended has nothing in hand either.
    call.is_empty() || number == Some(libc::SYS_read)
}

/// The time on processors of the threads that work beside, in ticks.
fn work_of(worker: Pid) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", worker.as_raw_nonzero()));
    let tasks = tasks.into_iter().flatten().flatten();
    let texts = tasks.filter_map(|task| fs::read_to_string(task.path().join("stat")).ok());
    let beside = texts.filter(|text| text.contains("(shmfs-long)"));
    beside.filter_map(|text| ticks(&text)).sum()
}

/// `utime` and `stime` of proc_pid_stat(5).
fn ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut fields = rest.split(' ').skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

/// The kernel's names (include/uapi/linux/fuse.h), of what shmfs serves.
fn name(opcode: u32) -> String {
    let known = [
        (1, "LOOKUP"),
        (2, "FORGET"),
        (3, "GETATTR"),
        (4, "SETATTR"),
        (5, "READLINK"),
        (6, "SYMLINK"),
        (8, "MKNOD"),
        (9, "MKDIR"),
        (10, "UNLINK"),
        (11, "RMDIR"),
        (12, "RENAME"),
        (13, "LINK"),
        (14, "OPEN"),
        (15, "READ"),
        (16, "WRITE"),
        (17, "STATFS"),
        (18, "RELEASE"),
        (20, "FSYNC"),
        (21, "SETXATTR"),
        (22, "GETXATTR"),
        (23, "LISTXATTR"),
        (24, "REMOVEXATTR"),
        (25, "FLUSH"),
        (27, "OPENDIR"),
        (28, "READDIR"),
        (29, "RELEASEDIR"),
        (30, "FSYNCDIR"),
        (34, "ACCESS"),
        (35, "CREATE"),
        (42, "BATCH_FORGET"),
        (43, "FALLOCATE"),
        (44, "READDIRPLUS"),
        (45, "RENAME2"),
        (46, "LSEEK"),
        (47, "COPY_FILE_RANGE"),
    ];
    let found = known.iter().find(|(number, _)| *number == opcode);
    found.map_or_else(
        || format!("operation {opcode}"),
        |(_, name)| (*name).to_owned(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_on_processors_is_read() {
        let stat = "77 (a) b) S 1 77 77 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2 3";
        assert_eq!(ticks(stat), Some(11));
        assert_eq!(ticks("77 (x)"), None);
    }

    #[test]
    fn operations_have_names() {
        assert_eq!(name(35), "CREATE");
        assert_eq!(name(999), "operation 999");
    }
}
