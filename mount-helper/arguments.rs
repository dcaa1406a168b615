//! The command line that mount(8) writes.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::Parser;
use clap::error::ErrorKind;
use shmfs::error::{Error, Result};
use shmfs::options::Unknown;

/// The types that mount(8) may have been asked for.
const TYPES: [&str; 2] = ["shmfs", "fuse.shmfs"];

/// Mount a shmfs, as mount(8)'s helper.
#[derive(Debug, Parser)]
#[command(
    name = "mount.shmfs",
    version,
    max_term_width = 100,
    override_usage = "mount.shmfs SOURCE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]"
)]
pub(crate) struct Arguments {
    /// What df(1) shows as the source
    pub(crate) source: OsString,
    /// The directory to mount on
    #[arg(value_name = "DIR")]
    pub(crate) directory: PathBuf,
    /// Ignore unknown options
    #[arg(short)]
    sloppy: bool,
    /// Do all but mount
    #[arg(short)]
    pub(crate) fake: bool,
    /// Write no mtab: nobody does any more
    #[arg(short)]
    no_mtab: bool,
    /// Tell what has no effect, and log more
    #[arg(short)]
    pub(crate) verbose: bool,
    /// Mount in the mount namespace of this file
    #[arg(short = 'N', value_name = "NAMESPACE")]
    pub(crate) namespace: Option<PathBuf>,
    /// Mount options separated by commas
    #[arg(short)]
    pub(crate) options: Vec<OsString>,
    /// The type asked for: shmfs or fuse.shmfs
    #[arg(short = 't', value_name = "TYPE")]
    kind: Option<OsString>,
}

impl Arguments {
    /// Reads the command line; `None` where it asked for help, which has been printed.
    pub(crate) fn parse(words: impl Iterator<Item = OsString>) -> Result<Option<Arguments>> {
        match Arguments::try_parse_from(words) {
            Ok(arguments) => Ok(Some(arguments)),
            Err(stop)
                if matches!(
                    stop.kind(),
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
                ) =>
            {
                // Whoever asked has closed the pipe: nothing to do about it.
                drop(stop.print());
                Ok(None)
            }
            Err(stop) => {
                let text = stop.to_string();
                let text = text.strip_prefix("error: ").unwrap_or(&text);
                Err(Error::usage(text.trim_end()))
            }
        }
    }

    /// Refuses a type of others.
    pub(crate) fn check_type(&self) -> Result<()> {
        match &self.kind {
            Some(kind) if !TYPES.iter().any(|known| kind == known) => Err(Error::usage(format!(
                "type '{}': this mounts only {}",
                Path::new(kind).display(),
                TYPES.join(" and ")
            ))),
            Some(_) | None => Ok(()),
        }
    }

    /// What becomes of unknown options.
    pub(crate) fn unknown(&self) -> Unknown {
        if self.sloppy {
            Unknown::Ignore
        } else {
            Unknown::Refuse
        }
    }
}
