//! All that a process has started, and the end of it.

use std::collections::HashMap;
use std::fs;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, WaitOptions};

use crate::sys::process;
use crate::sys::signal::Signals;

/// How long what is asked to end may take for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Grace {
    /// SIGTERM first, and SIGKILL later.
    Usual,
    /// SIGKILL at once.
    None,
}

const GRACE: Duration = Duration::from_secs(2);
/// After SIGKILL only what waits in the kernel is left: perhaps for us.
const STUCK: Duration = Duration::from_secs(1);
/// What waits in the kernel for something else cannot be ended by anybody.
const GIVE_UP: Duration = Duration::from_secs(5);

/// The end of all that this process has started.
pub(super) struct Ending<'a> {
    /// With SIGCHLD in it.
    pub(super) signals: &'a Signals,
    /// Children to be left alone, with what is below them.
    pub(super) strangers: &'a dyn Fn() -> Vec<i32>,
    /// How long it may take.
    pub(super) grace: Grace,
    /// Takes the status of all children that have ended; answers whether there are others.
    pub(super) reap: &'a mut dyn FnMut() -> bool,
    /// Called where something does not end by SIGKILL.
    pub(super) unblock: &'a mut dyn FnMut(),
}

impl Ending<'_> {
    /// Returns when nothing is left.
    pub(super) fn run(self) {
        let begin = Instant::now();
        let grace = match self.grace {
            Grace::Usual => GRACE,
            Grace::None => Duration::ZERO,
        };
        let (mut asked, mut unblocked) = (grace.is_zero(), false);
        while (self.reap)() {
            let left = descendants(&(self.strangers)());
            if left.is_empty() {
                return;
            }
            let late = begin.elapsed().checked_sub(grace);
            if late.is_some() {
                send_all(&left, libc::SIGKILL);
            } else if !asked {
                asked = true;
                send_all(&left, libc::SIGTERM);
                // A stopped process gets SIGTERM only once it goes on.
                send_all(&left, libc::SIGCONT);
            }
            if late.is_some_and(|late| late > STUCK) && !unblocked {
                unblocked = true;
                (self.unblock)();
            }
            if late.is_some_and(|late| late > GIVE_UP) {
                let left: Vec<i32> = left.iter().map(|process| process.pid).collect();
                tracing::error!(?left, "processes do not end: they wait in the kernel");
                return;
            }
            wait_for_child(self.signals);
        }
    }
}

/// Ends at once what a process that was killed has left.
pub(super) fn end_at_once(signals: &Signals, strangers: &[i32]) {
    let ending = Ending {
        signals,
        strangers: &|| strangers.to_vec(),
        grace: Grace::None,
        reap: &mut reap_all,
        unblock: &mut || {},
    };
    ending.run();
}

fn send_all(processes: &[Process], signal: i32) {
    processes.iter().for_each(|process| process.send(signal));
}

/// Takes the status of every child that has ended; `false` where there is no child at all.
fn reap_all() -> bool {
    loop {
        match process::reap(WaitOptions::NOHANG) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

/// Until a child ends, but not for long: what is not our child ends unheard.
fn wait_for_child(signals: &Signals) {
    let shortly = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    let mut waiting = [PollFd::new(signals, PollFlags::IN)];
    if let Err(error) = poll(&mut waiting, Some(&shortly)) {
        tracing::debug!(%error, "poll");
    }
    while signals.next().is_some() {}
}

/// This process's children.
pub(super) fn children_now() -> Vec<i32> {
    let own = std::process::id() as i32;
    let children = everything()
        .into_iter()
        .filter(|process| process.parent == own);
    children.map(|process| process.pid).collect()
}

/// A process, as /proc shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Process {
    pid: i32,
    parent: i32,
    /// When it was started: with the number, this names it.
    started: u64,
}

impl Process {
    fn read(pid: i32) -> Option<Process> {
        parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Sends `signal` to this process, not to a later one with its number.
    fn send(&self, signal: i32) {
        let Some(pidfd) = Pid::from_raw(self.pid).and_then(|pid| process::pidfd(pid).ok()) else {
            return;
        };
        if Process::read(self.pid).is_some_and(|now| now.started == self.started) {
            process::pidfd_kill(pidfd.as_fd(), signal);
        }
    }
}

/// All processes below this one, but for `strangers` and what is below them.
fn descendants(strangers: &[i32]) -> Vec<Process> {
    let mut below: HashMap<i32, Vec<Process>> = HashMap::new();
    for process in everything() {
        below.entry(process.parent).or_default().push(process);
    }
    let mut found = Vec::new();
    let mut parents = vec![std::process::id() as i32];
    while let Some(parent) = parents.pop() {
        for process in below.remove(&parent).unwrap_or_default() {
            if !strangers.contains(&process.pid) {
                parents.push(process.pid);
                found.push(process);
            }
        }
    }
    found
}

fn everything() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(Process::read).collect()
}

/// Reads a line of proc_pid_stat(5). The name in it may hold anything, brackets too.
fn parse(line: &[u8]) -> Option<Process> {
    let name_begins = line.iter().position(|&byte| byte == b'(')?;
    let name_ends = line.iter().rposition(|&byte| byte == b')')?;
    let pid = std::str::from_utf8(line.get(..name_begins)?)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let rest = std::str::from_utf8(line.get(name_ends + 1..)?).ok()?;
    // The state is field 3.
    let mut fields = rest.split_ascii_whitespace();
    let parent = fields.nth(1)?.parse().ok()?;
    let started = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces() {
        let line = b"77 (a) (b c) S 12 77 77 0 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 4242 1 2 3";
        assert_eq!(
            parse(line),
            Some(Process {
                pid: 77,
                parent: 12,
                started: 4242
            })
        );
    }

    #[test]
    fn this_process_is_read() {
        let own = Process::read(std::process::id() as i32).unwrap();
        assert_eq!(own.parent, std::os::unix::process::parent_id() as i32);
        assert!(own.started > 0);
    }
}
