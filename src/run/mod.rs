//! `shmfs run`: a command that sees a private shmfs at /dev/shm.
//!
//! Four processes, each the parent of the next:
//!
//! - the **front**, which the user started: it waits, and passes signals on;
//! - the **keeper**, which does nothing but outlive the others, under a name of its own;
//! - the **server**, in a mount namespace of its own, which mounts and serves;
//! - the **command**, in that namespace too, but in the front's process group, so that the terminal
//!   treats both as one job.
//!
//! Each of the first three is a subreaper (PR_SET_CHILD_SUBREAPER): whichever of them is killed, one
//! that is left finds all that the command started among its own descendants, and ends it.

mod command;
mod front;
mod keeper;
mod personality;
mod server;
mod shm;
mod start;
mod tree;
mod way;

pub use self::front::run;
pub use self::personality::{Personality, Wish, preload_library};

use std::ffi::OsString;
use std::path::PathBuf;

use crate::options::Options;

/// An export that the command gets as its /dev/shm.
#[derive(Clone, Debug)]
pub struct Lent {
    /// Its name.
    pub export: String,
    /// Where the mount is.
    pub from: PathBuf,
}

/// What `shmfs run` was asked for.
#[derive(Clone, Debug)]
pub struct RunArgs {
    /// The file system's options.
    pub options: Options,
    /// No file system of its own, but an export of one that is mounted.
    pub lent: Option<Lent>,
    /// The command and its arguments.
    pub command: Vec<OsString>,
    /// Another platform's functions for the command.
    pub personality: Option<Personality>,
    /// Wait for what the command leaves running, instead of ending it.
    pub wait: bool,
}
