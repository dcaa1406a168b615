//! Mounting, the daemon behind it, and unmounting.

use std::ffi::OsString;
use std::path::PathBuf;

use crate::error::{Error, ExitCode, Result};
use crate::options::{Limits, Options};

/// What `shmfs mount` was asked for.
#[derive(Clone, Debug)]
pub struct MountArgs {
    /// The file system's options.
    pub options: Options,
    /// What df(1) and mountinfo show as its source.
    pub source: OsString,
    /// The mount point.
    pub target: PathBuf,
    /// Serve in this process.
    pub foreground: bool,
}

/// What `shmfs umount` was asked for.
#[derive(Clone, Debug)]
pub struct UmountArgs {
    /// The mount point.
    pub dir: PathBuf,
    /// It disappears now, and ends with its last user.
    pub lazy: bool,
    /// It ends now, whoever uses it.
    pub force: bool,
}

/// What `mount -o remount` asked for.
#[derive(Clone, Debug)]
pub struct RemountArgs {
    /// The mount point.
    pub dir: PathBuf,
    /// Limits to change.
    pub limits: Limits,
    /// The generic options, such as `ro`, that the mount shall have; `None` leaves them.
    pub flags: Option<Options>,
}

/// Mounts.
pub fn mount(_arguments: &MountArgs) -> Result<()> {
    Err(Error::new(ExitCode::Mount, "mount is not built in"))
}

/// Unmounts.
pub fn umount(_arguments: &UmountArgs) -> Result<()> {
    Err(Error::new(ExitCode::Mount, "umount is not built in"))
}

/// Changes the options of a live mount.
pub fn remount(_arguments: &RemountArgs) -> Result<()> {
    Err(Error::new(ExitCode::Mount, "remount is not built in"))
}
