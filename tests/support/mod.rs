//! What the suites that run whole programs share: a private mount namespace per
//! test, a tmpfs or shmfs mounted in it, and programs run with a deadline.
//!
//! Each test is a child of the suite (the same binary, called with
//! [`WORKER`]), because a mount namespace belongs to a process: the child makes
//! its own, mounts there, and nothing of it is left when the last process in it
//! has ended. The host's `/dev/shm` is never touched.

#![allow(dead_code, reason = "each suite uses a part of this module")]

pub(crate) mod setup;
pub(crate) mod site;
mod worker;

#[allow(unused_imports, reason = "each suite uses a part of this module")]
pub(crate) use setup::{Setup, User};
#[allow(unused_imports, reason = "each suite uses a part of this module")]
pub(crate) use site::{Site, check, die_with_us};
pub(crate) use worker::{Case, Suite};

use std::time::{Duration, Instant};

/// First argument of a suite's binary when it is to run one case.
pub(crate) const WORKER: &str = "--worker";

/// How often a condition is looked at while waiting for it.
const POLL: Duration = Duration::from_millis(10);

/// Result of a case: the sentence that explains the failure.
pub(crate) type Outcome = Result<(), String>;

/// The file systems that every case runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// The host's own tmpfs: the arbiter.
    Tmpfs,
    /// shmfs, data by passthrough.
    Passthrough,
    /// shmfs, data by the kernel's page cache.
    PageCache,
}

impl Mode {
    /// All of them, the arbiter first.
    pub(crate) const ALL: [Mode; 3] = [Mode::Tmpfs, Mode::Passthrough, Mode::PageCache];

    /// The word used in test names and on the worker's command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Mode::Tmpfs => "tmpfs",
            Mode::Passthrough => "passthrough",
            Mode::PageCache => "page_cache",
        }
    }

    /// The reverse of [`Mode::name`].
    pub(crate) fn from_name(name: &str) -> Option<Mode> {
        Mode::ALL.into_iter().find(|mode| mode.name() == name)
    }
}

/// Whether this process may mount without a user namespace of its own.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Waits until `ready` says so; the deadline only ends a hang.
pub(crate) fn wait_until(
    what: &str,
    deadline: Duration,
    mut ready: impl FnMut() -> Result<bool, String>,
) -> Outcome {
    let end = Instant::now() + deadline;
    while !ready()? {
        if Instant::now() > end {
            return Err(format!("{what}: still not so after {deadline:?}"));
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// Ends with a sentence that names what to install if a program is missing.
pub(crate) fn need(program: &str, package: &str) -> Outcome {
    if find_program(program).is_some() {
        return Ok(());
    }
    Err(format!(
        "{program} is not installed: run tests/setup.sh, or apt-get install {package}"
    ))
}

/// Where `PATH` has a program.
pub(crate) fn find_program(program: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|dir| dir.join(program))
        .find(|file| file.is_file())
}
