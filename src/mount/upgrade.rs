//! `shmfs upgrade`.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

use super::control::Daemon;
use super::umount::{shmfs_at, unreachable_hint};
use crate::error::{Error, ExitCode, Result};

/// Lets the program `binary`, or this one, serve the mount on `dir` from now on; returns its name and version.
pub fn upgrade(dir: &Path, binary: Option<&Path>) -> Result<String> {
    let entry = shmfs_at(dir, "upgrade")?;
    let binary: PathBuf = match binary {
        Some(binary) => std::fs::canonicalize(binary)
            .map_err(|error| Error::path("find the new program", binary, error))?,
        None => std::env::current_exe()
            .map_err(|error| Error::system("cannot find the program that this is", error))?,
    };
    let found = std::fs::metadata(&binary);
    let found = found.map_err(|error| Error::path("use", &binary, error))?;
    // Who starts it would wait for who serves the mount, and nobody does before it is started.
    let device = format!("{}:{}", major(found.dev()), minor(found.dev()));
    if device == entry.device {
        return Err(Error::new(
            ExitCode::Mount,
            "the new program is on the mount that it shall serve",
        )
        .hint("Copy it elsewhere first."));
    }
    let text = binary.to_str().filter(|text| !text.contains('\n'));
    let text =
        text.ok_or_else(|| Error::usage("the new program has a name that cannot be told"))?;
    let failed = |error: io::Error| Error::path("upgrade", dir, error).code(ExitCode::Mount);
    let daemon = Daemon::connect(&entry.device)
        .map_err(|error| failed(error).hint(unreachable_hint(dir)))?;
    daemon.ask(&format!("upgrade {text}")).map_err(failed)
}
