//! From facts to verdicts: what works, what is missing, and what to do.

use std::fmt;

use super::host::{DataMode, Host, Way};
use super::{advice, host};

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing is missing.
    Ok,
    /// `run` works; something else does not, or is slower.
    Warn,
    /// `run` does not work.
    Fail,
}

impl State {
    /// As it is printed.
    pub fn word(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Warn => "warn",
            State::Fail => "FAIL",
        }
    }
}

/// One finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How good it is.
    pub state: State,
    /// What was looked at.
    pub what: &'static str,
    /// What was found.
    pub reason: String,
    /// What to do about it.
    pub remedy: Option<String>,
}

impl Line {
    pub(super) fn new(state: State, what: &'static str, reason: impl Into<String>) -> Line {
        let reason = reason.into();
        Line {
            state,
            what,
            reason,
            remedy: None,
        }
    }

    pub(super) fn remedy(self, remedy: impl Into<String>) -> Line {
        Line {
            remedy: Some(remedy.into()),
            ..self
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<4}  {}: {}",
            self.state.word(),
            self.what,
            self.reason
        )?;
        match &self.remedy {
            Some(remedy) => write!(f, " — {remedy}"),
            None => Ok(()),
        }
    }
}

/// All findings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How `run` gets its /dev/shm; absent where it cannot.
    pub way: Option<Way>,
    /// How data travels there.
    pub data: DataMode,
    /// The findings, the verdict last.
    pub lines: Vec<Line>,
}

impl Report {
    /// The report on `host`.
    pub fn of(host: &Host) -> Report {
        let way = host.way();
        let mut lines = vec![
            advice::kernel(host),
            advice::device(host),
            advice::user_namespaces(host),
            advice::fusermount(host),
            advice::mounting(host),
            advice::passthrough(host),
            advice::detached_tmpfs(host),
            advice::acls(host),
            advice::glibc(host),
            advice::shm(host),
            advice::descriptors(host),
            advice::memory(host),
            advice::personalities(host),
        ];
        lines.retain(|line| !line.reason.is_empty());
        lines.push(verdict(host));
        Report {
            way,
            data: host.data_mode().0,
            lines,
        }
    }

    /// Whether `run` works.
    pub fn run_works(&self) -> bool {
        self.way.is_some()
    }
}

fn verdict(host: &Host) -> Line {
    let data = match host.data_mode().0 {
        DataMode::Passthrough => "passthrough",
        DataMode::PageCache => "the page cache",
    };
    let how = match host.way() {
        Some(Way::Privileged) => "in a mount namespace",
        Some(Way::UserNamespace) => "in a user and a mount namespace",
        Some(Way::Fusermount) => "by fusermount3 and a user namespace",
        None => return cannot_run(host),
    };
    Line::new(
        State::Ok,
        "shmfs run",
        format!("works {how}, with data by {data}"),
    )
}

fn cannot_run(host: &Host) -> Line {
    let line = Line::new(State::Fail, "shmfs run", "does not work here");
    let only_mount = host.may_mount.is_err() && host.fusermount_works();
    line.remedy(if only_mount {
        "see the lines above; shmfs mount works, by fusermount3"
    } else {
        "see the lines above"
    })
}

/// Not what keeps `run` from working, if it works all the same.
pub(super) fn unless_run_works(host: &Host) -> State {
    match host.way() {
        Some(host::Way::Privileged | host::Way::UserNamespace | host::Way::Fusermount) => {
            State::Warn
        }
        None => State::Fail,
    }
}
