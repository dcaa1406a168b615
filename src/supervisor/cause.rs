//! Why a worker died, as far as the system tells.

use rustix::process::WaitStatus;

use crate::sys::cgroup;

/// The kills for lack of memory in this process's cgroup, to be compared later.
#[derive(Debug)]
pub(super) struct Memory {
    cgroup: Option<cgroup::Memory>,
    kills: u64,
}

impl Memory {
    /// Looks at the cgroup as it is now.
    pub(super) fn look() -> Memory {
        let cgroup = cgroup::Memory::of_this_process();
        let kills = cgroup.as_ref().map_or(0, cgroup::Memory::kills);
        Memory { cgroup, kills }
    }

    /// Whether somebody was killed since the last look.
    fn has_killed(&mut self) -> bool {
        let now = self.cgroup.as_ref().map_or(0, cgroup::Memory::kills);
        std::mem::replace(&mut self.kills, now) < now
    }

    /// How a process ended, for a person.
    pub(super) fn tell(&mut self, status: WaitStatus) -> String {
        let killed = self.has_killed();
        match (status.terminating_signal(), status.exit_status()) {
            (Some(libc::SIGKILL), _) if killed => {
                "SIGKILL of the kernel, as its cgroup had no memory left (oom_kill)".to_owned()
            }
            (Some(signal), _) => format!("signal {signal}{}", name(signal)),
            (None, Some(code)) => format!("status {code}"),
            (None, None) => "an unknown cause".to_owned(),
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
