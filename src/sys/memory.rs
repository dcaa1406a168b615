//! How much memory the host has, and in what units.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rustix::time::{ClockId, clock_gettime};

use super::cgroup;

/// Bytes of RAM that the kernel manages: `totalram_pages()`, which tmpfs's `%` counts in.
pub fn total_ram() -> u64 {
    let answer = rustix::system::sysinfo();
    (answer.totalram as u64).saturating_mul(u64::from(answer.mem_unit))
}

/// Bytes of swap that are free.
pub(super) fn free_swap() -> u64 {
    let answer = rustix::system::sysinfo();
    (answer.freeswap as u64).saturating_mul(u64::from(answer.mem_unit))
}

/// Gives memory that was freed back to the system: the allocator keeps it otherwise.
pub fn give_back() {
    #[cfg(target_env = "gnu")]
    // SAFETY: the call takes no pointer; the allocator locks what it looks at.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Bytes of a page.
pub fn page_size() -> u64 {
    rustix::param::page_size() as u64
}

/// Memory is short: what takes more of it must be refused.
static SHORT: AtomicBool = AtomicBool::new(false);

/// Says whether memory is short.
pub fn set_short(short: bool) {
    SHORT.store(short, Ordering::Relaxed);
}

/// In milliseconds: how often memory is given back while it is short.
const GIVE_BACK_EVERY: u64 = 100;

/// Whether memory is short, so that a request must be refused. Then what was freed goes back to the system now and then: as
/// long as the allocator keeps it, memory stays short.
pub fn must_refuse() -> bool {
    static GIVEN_BACK: AtomicU64 = AtomicU64::new(0);
    let short = SHORT.load(Ordering::Relaxed);
    if short {
        let now = clock_gettime(ClockId::MonotonicCoarse);
        let now = now.tv_sec as u64 * 1000 + now.tv_nsec as u64 / 1_000_000;
        let before = GIVEN_BACK.load(Ordering::Relaxed);
        let mine =
            || GIVEN_BACK.compare_exchange(before, now, Ordering::Relaxed, Ordering::Relaxed);
        if now >= before + GIVE_BACK_EVERY && mine().is_ok() {
            give_back();
        }
    }
    short
}

/// How much memory is left, in the cgroup and in the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Room {
    /// None but for what cannot be done without.
    Nothing,
    /// Enough to free some.
    Little,
    /// Enough to go on, and for another process to be in our place, which needs somewhat more to begin with than we have.
    Ample,
}

/// A process needs as much to start.
const MARGIN: u64 = 4 << 20;
/// What is taken between two looks: by some 2,000 new names or directories, with what the kernel has for each. A table
/// that grows takes more, in proportion to what there is.
const BETWEEN: u64 = 4 << 20;
/// The kernel needs as much not to kill somebody for it.
const LEAST: u64 = 1 << 20;

/// How much memory is left; to be ample it must be so much `more`.
///
/// In a cgroup nothing else tells before it is too late: where the limit is reached the kernel kills somebody, as for
/// any page of a tmpfs, and no call fails.
pub fn room(more: u64) -> Room {
    static CGROUP: OnceLock<Option<cgroup::Memory>> = OnceLock::new();
    let cgroup = CGROUP.get_or_init(cgroup::Memory::of_this_process);
    let room = cgroup.as_ref().and_then(cgroup::Memory::room);
    let Some(room) = room.into_iter().chain(room_of_host()).min() else {
        return Room::Ample;
    };
    let held = HELD.load(Ordering::Relaxed);
    let ours = own().saturating_sub(held);
    match room {
        // What is held comes free by our death.
        _ if room >= BETWEEN + ours / 8 + more && room + held >= MARGIN + ours / 4 + more => {
            Room::Ample
        }
        LEAST.. => Room::Little,
        _ => Room::Nothing,
    }
}

/// Bytes that the kernel can give before it must kill somebody; `None` where it does not say.
fn room_of_host() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let of = |word: &str| -> Option<u64> {
        let mut lines = text.lines();
        let rest = lines.find_map(|line| line.strip_prefix(word))?;
        rest.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(of("MemAvailable:")? * 1024 + free_swap())
}

/// Bytes of this process that are no file's (proc_pid_statm(5)).
fn own() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let mut numbers = text.split(' ').skip(1).map_while(|word| word.parse().ok());
    let (resident, shared): (u64, u64) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    resident.saturating_sub(shared) * page_size()
}

/// Bytes of all [`Ballast`].
static HELD: AtomicU64 = AtomicU64::new(0);

/// Memory that is held for somebody else to have when there is none left.
#[derive(Debug)]
pub struct Ballast {
    at: *mut std::ffi::c_void,
    bytes: usize,
}

// SAFETY: nobody looks at the memory; it is given back once.
unsafe impl Send for Ballast {}

impl Ballast {
    /// Takes `bytes`.
    pub fn take(bytes: usize) -> std::io::Result<Ballast> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let flags = MapFlags::PRIVATE | MapFlags::POPULATE;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: the kernel chooses a place that nobody uses.
        let at = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes, protection, flags) }?;
        HELD.fetch_add(bytes as u64, Ordering::Relaxed);
        Ok(Ballast { at, bytes })
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        HELD.fetch_sub(self.bytes as u64, Ordering::Relaxed);
        // SAFETY: it was mapped in one piece, and nobody has a pointer into it.
        if let Err(error) = unsafe { rustix::mm::munmap(self.at, self.bytes) } {
            tracing::debug!(%error, "cannot give memory back");
        }
    }
}

/// Whom the kernel kills first when memory is short (proc_pid_oom_score_adj(5)).
const OOM_SCORE: &str = "/proc/self/oom_score_adj";

/// Spares this process, as far as it may; returns the score for those that it starts.
///
/// Only where little memory comes free by its death, and much is lost.
pub fn spare_this_process() -> Option<i32> {
    let before = std::fs::read_to_string(OOM_SCORE)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    // Only with CAP_SYS_RESOURCE.
    std::fs::write(OOM_SCORE, "-900").ok()?;
    Some(before)
}

/// Gives this process the score that it would have had.
pub fn set_oom_score(score: i32) -> std::io::Result<()> {
    std::fs::write(OOM_SCORE, score.to_string())
}
