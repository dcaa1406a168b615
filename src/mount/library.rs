//! A mount as a value: for tests of other projects, and for programs that bring their own.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::live::{Live, Unmounted};
use super::place::Place;
use super::serve;
use crate::error::{Error, ExitCode, Result};
use crate::fuse::Service;
use crate::options::{Limits, Options};

/// How long the connection may take to end once the mount is gone.
const DELAY: Duration = Duration::from_secs(10);

/// A mounted shmfs, served by threads of this process, and unmounted when it is dropped.
///
/// As root it is mounted by mount(2)'s successors, as an ordinary user by fusermount3, for which the process must not ignore
/// SIGCHLD.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let directory = tempfile::tempdir()?;
/// let mount = shmfs::Mount::builder().size(64 << 20).mount(directory.path())?;
/// std::fs::write(mount.path().join("object"), b"shared")?;
/// assert_eq!(std::fs::read(mount.path().join("object"))?, b"shared");
/// mount.unmount()?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Mount {
    /// `None` only once it has been unmounted.
    live: Option<Live<Service>>,
    path: PathBuf,
}

/// The options of a mount that is to be.
#[derive(Clone, Debug)]
pub struct Builder {
    options: Options,
    source: OsString,
}

impl Mount {
    /// Starts with the options that /dev/shm has.
    pub fn builder() -> Builder {
        Builder {
            options: Options::default(),
            source: OsString::from("shmfs"),
        }
    }

    /// The mount point, without symbolic links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Changes the limits.
    pub fn remount(&self, limits: &Limits) -> Result<()> {
        let Some(live) = &self.live else {
            return Ok(());
        };
        let failed = |errno: crate::errno::Errno| {
            Error::path("remount", &self.path, errno).code(ExitCode::Mount)
        };
        live.server.remount(limits).map_err(failed)
    }

    /// Unmounts; fails where it is in use, and then it disappears, but serves its users.
    pub fn unmount(mut self) -> Result<()> {
        self.end()
    }

    fn end(&mut self) -> Result<()> {
        let Some(live) = self.live.take() else {
            return Ok(());
        };
        let failure = match live.unmount(false) {
            Ok(Unmounted::Done) => return wait(live),
            Ok(Unmounted::Busy) => Error::path("unmount", &self.path, rustix::io::Errno::BUSY),
            Ok(Unmounted::Covered) => {
                let covered = format!(
                    "cannot unmount {}: something else is mounted on top",
                    self.path.display()
                );
                Error::new(ExitCode::Mount, covered)
            }
            Err(error) => error,
        };
        serve::detach(&live.identity);
        serve_on(live)?;
        Err(failure.code(ExitCode::Mount))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            tracing::warn!(%error, "a mount was dropped");
        }
    }
}

/// Waits until the connection has ended, which a copy of the mount in another namespace delays.
fn wait(live: Live<Service>) -> Result<()> {
    let ended = serve_on(live)?;
    if ended.recv_timeout(DELAY) == Err(RecvTimeoutError::Timeout) {
        tracing::warn!("unmounted; it is still in use elsewhere, as in another namespace");
    }
    Ok(())
}

/// Keeps what serves a mount for those who still use it; the answer hangs up once there are none.
fn serve_on(live: Live<Service>) -> Result<Receiver<()>> {
    let (tell, ended) = mpsc::channel();
    let wait = move || {
        let _tell: mpsc::Sender<()> = tell;
        if let Err(error) = live.server.wait() {
            tracing::error!(%error, "the connection ended with an error");
        }
    };
    let started = thread::Builder::new().name("shmfs".to_owned()).spawn(wait);
    started
        .map(|_| ended)
        .map_err(|error| Error::system("cannot go on serving", error))
}

impl Builder {
    /// Bytes of data at most; 0 is no limit.
    pub fn size(mut self, bytes: u64) -> Builder {
        self.options.size = bytes;
        self
    }

    /// Inodes at most; 0 is no limit.
    pub fn nr_inodes(mut self, count: u64) -> Builder {
        self.options.nr_inodes = count;
        self
    }

    /// Permissions of the root directory.
    pub fn mode(mut self, mode: u32) -> Builder {
        self.options.mode = mode;
        self
    }

    /// All options at once.
    pub fn options(mut self, options: Options) -> Builder {
        self.options = options;
        self
    }

    /// What df(1) shows as the source.
    pub fn source(mut self, source: impl AsRef<OsStr>) -> Builder {
        self.source = source.as_ref().to_owned();
        self
    }

    /// Mounts on `directory`; returns when the mount answers.
    pub fn mount(self, directory: impl AsRef<Path>) -> Result<Mount> {
        let place = Place::resolve(directory.as_ref())?;
        let live = Live::mount(&self.options, &self.source, &place, &mut |_| {})?;
        Ok(Mount {
            live: Some(live),
            path: place.path().to_owned(),
        })
    }
}
