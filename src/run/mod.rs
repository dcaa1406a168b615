//! `shmfs run`: a command that sees a private shmfs at /dev/shm.

use std::ffi::OsString;

use crate::error::{Error, ExitCode, Result};
use crate::options::Options;

/// What `shmfs run` was asked for.
#[derive(Clone, Debug)]
pub struct RunArgs {
    /// The file system's options.
    pub options: Options,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Wait for what the command leaves running, instead of ending it.
    pub wait: bool,
}

/// Runs the command; returns its exit status.
pub fn run(_arguments: &RunArgs) -> Result<i32> {
    Err(Error::new(ExitCode::RunFailed, "run is not built in"))
}
