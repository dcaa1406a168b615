//! The journal of a mount, for somebody to look into.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use super::control::Daemon;
use super::umount::{shmfs_at, unreachable_hint};
use crate::error::{Error, ExitCode, Result};

/// How the supervisor's memfd shows in /proc.
const NAME: &str = "/memfd:shmfs-journal (deleted)";

/// Opens the journal of the shmfs on `dir` for reading, while it is being written.
pub fn journal(dir: &Path) -> Result<File> {
    let entry = shmfs_at(dir, "read the journal of")?;
    let failed = |error| Error::path("read the journal of", dir, error).code(ExitCode::Mount);
    let daemon = Daemon::connect(&entry.device)
        .map_err(|error| failed(error).hint(unreachable_hint(dir)))?;
    let found = daemon.process_id().map(find).transpose().map_err(failed)?;
    found.flatten().ok_or_else(|| {
        failed(io::Error::from_raw_os_error(libc::ENOENT)).hint(
            "Only a mount that survives its worker has one: not one that was made by the library.",
        )
    })
}

/// Among the open files of the process `pid`.
fn find(pid: i32) -> io::Result<Option<File>> {
    for entry in fs::read_dir(format!("/proc/{pid}/fd"))? {
        let path = entry?.path();
        // It may be closed by now.
        if fs::read_link(&path).is_ok_and(|target| target == Path::new(NAME)) {
            return File::open(path).map(Some);
        }
    }
    Ok(None)
}
