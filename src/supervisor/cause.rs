//! Why a worker died, as far as the system tells.

use std::fs;

use rustix::process::WaitStatus;

/// The kills for lack of memory in this process's cgroup, to be compared later.
#[derive(Debug)]
pub(super) struct Memory {
    events: Option<String>,
    kills: u64,
}

impl Memory {
    /// Looks at the cgroup as it is now.
    pub(super) fn look() -> Memory {
        let events = events_of(&fs::read_to_string("/proc/self/cgroup").unwrap_or_default());
        let kills = events.as_deref().map_or(0, kills_in);
        Memory { events, kills }
    }

    /// Whether somebody was killed since the last look.
    fn has_killed(&mut self) -> bool {
        let now = self.events.as_deref().map_or(0, kills_in);
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

/// The file of a cgroup v2 that counts such events, from the text of /proc/self/cgroup.
fn events_of(cgroups: &str) -> Option<String> {
    let path = cgroups.lines().find_map(|line| line.strip_prefix("0::"))?;
    Some(format!("/sys/fs/cgroup{path}/memory.events"))
}

fn kills_in(events: &str) -> u64 {
    let text = fs::read_to_string(events).unwrap_or_default();
    parse(&text)
}

fn parse(events: &str) -> u64 {
    let mut lines = events.lines();
    let count = lines.find_map(|line| line.strip_prefix("oom_kill ")?.parse().ok());
    count.unwrap_or(0)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_of_the_kernel_are_read() {
        let v2 = events_of("1:name=systemd:/x\n0::/user.slice/a b\n");
        assert_eq!(
            v2.as_deref(),
            Some("/sys/fs/cgroup/user.slice/a b/memory.events")
        );
        assert_eq!(events_of("4:memory:/x\n"), None);
        assert_eq!(parse("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(parse(""), 0);
    }
}
