//! Why a worker died, as far as the system tells.

use crate::sys::cgroup;
use crate::sys::process::End;

/// Why a process ended.
#[derive(Debug)]
pub(super) struct Cause {
    /// For a person.
    pub(super) text: String,
    /// Where a request may have done it, what to answer that.
    pub(super) errno: Option<i32>,
}

/// The kills for lack of memory in this process's cgroup, to be compared later.
#[derive(Debug)]
pub(super) struct Memory {
    cgroup: Option<cgroup::Memory>,
    kills: u64,
    /// The worker holds memory for the next one to work with once the cgroup is full: it comes free by its death.
    given: bool,
    /// Somebody was killed, and there is no room yet: what takes more memory is refused.
    pub(super) short: bool,
}

/// As much as that, or an eighth of the limit.
const BALLAST: u64 = 16 << 20;

impl Memory {
    /// Looks at the cgroup as it is now.
    pub(super) fn look() -> Memory {
        let cgroup = cgroup::Memory::of_this_process();
        let kills = cgroup.as_ref().map_or(0, cgroup::Memory::kills);
        Memory {
            cgroup,
            kills,
            given: false,
            short: false,
        }
    }

    /// How many bytes the worker shall hold for the next one from now on, where it `holds` any: where there is a limit, and
    /// room. Then memory is short no longer.
    pub(super) fn settle(&mut self, holds: bool) -> Option<u64> {
        let cgroup = self.cgroup.as_ref().filter(|_| !self.given)?;
        let bytes = BALLAST.min(cgroup.limit()? / 8);
        if cgroup.room()? < 2 * bytes {
            return None;
        }
        (self.given, self.short) = (true, false);
        Some(if holds { bytes } else { 0 })
    }

    /// Whether somebody was killed since the last look.
    fn has_killed(&mut self) -> bool {
        let now = self.cgroup.as_ref().map_or(0, cgroup::Memory::kills);
        std::mem::replace(&mut self.kills, now) < now
    }

    /// How a process ended.
    pub(super) fn tell(&mut self, end: Option<End>) -> Cause {
        let killed = self.has_killed();
        self.given = false;
        self.short |= killed;
        Cause {
            text: end.map_or_else(
                || "a signal, though a thread of it is still in the kernel".to_owned(),
                |end| Memory::text(end, killed),
            ),
            errno: match end.unwrap_or(End::Signal(libc::SIGKILL)) {
                // The page that it had no memory for is the program's: as tmpfs answers.
                End::Signal(libc::SIGKILL) if killed => Some(libc::ENOMEM),
                // Somebody outside did it.
                End::Signal(libc::SIGKILL | libc::SIGTERM) => None,
                End::Signal(_) | End::Status(_) | End::Unseen => Some(libc::EIO),
            },
        }
    }

    /// The same for a person.
    fn text(end: End, killed: bool) -> String {
        match end {
            End::Signal(libc::SIGKILL) if killed => {
                "SIGKILL of the kernel, as its cgroup had no memory left (oom_kill)".to_owned()
            }
            End::Signal(signal) => format!("signal {signal}{}", name(signal)),
            End::Status(code) => format!("status {code}"),
            End::Unseen => "something that nobody saw, as another waited for it".to_owned(),
        }
    }
}

fn name(signal: i32) -> &'static str {
    match signal {
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGABRT => " (SIGABRT: it found a fault in itself)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGSYS => " (SIGSYS: a sandbox forbids a system call)",
        _ => "",
    }
}
