//! How much memory the host has, and in what units.

use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of RAM that the kernel manages: `totalram_pages()`, which tmpfs's `%` counts in.
pub fn total_ram() -> u64 {
    let answer = rustix::system::sysinfo();
    (answer.totalram as u64).saturating_mul(u64::from(answer.mem_unit))
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

/// Whether memory is short.
pub fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed)
}

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
        Ok(Ballast { at, bytes })
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
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
