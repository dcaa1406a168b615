//! Which platform this process is on: read from the environment once, before the program can change it.
//!
//! | variable | meaning |
//! |---|---|
//! | `SHMFS_AS` | a scheme's key; without it every function is the host's own |
//! | `SHMFS_VIEW` | the directory that stands for the platform's shared-memory directory or kernel table |
//! | `SHMFS_VIEW_SEM` | the same for semaphores; needed where they are not in that directory |
//! | `SHMFS_LENIENT` | `1`: without the rules for descriptors and for the directory's file system |
//! | `SHMFS_TRACE` | `1`: each call on standard error |

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::directory::View;
use crate::errno::{Errno, Result};
use crate::personality::{self, Personality};
use crate::trace::Trail;
use crate::view::{Scheme, platform};

/// A platform, and where its objects are.
#[derive(Debug)]
pub(crate) struct Session {
    /// What its functions do.
    pub(crate) personality: &'static dyn Personality,
    /// Its names of shared memory.
    pub(crate) shm: &'static Scheme,
    sem: Option<&'static Scheme>,
    shm_view: CString,
    sem_view: Option<CString>,
    /// Without the rules for descriptors and file systems.
    pub(crate) lenient: bool,
    /// Each call is printed.
    pub(crate) trace: bool,
}

/// One call, and what is noted of it.
#[derive(Debug)]
pub(crate) struct Call {
    /// Whose it is.
    pub(crate) session: &'static Session,
    /// What the trace tells.
    pub(crate) trail: Trail,
}

impl Call {
    /// The view of shared memory.
    pub(crate) fn shm(&self) -> View<'_> {
        View {
            scheme: self.session.shm,
            path: &self.session.shm_view,
            trail: &self.trail,
        }
    }

    /// The view of semaphores.
    pub(crate) fn sem(&self) -> Result<View<'_>> {
        let Some(scheme) = self.session.sem else {
            self.trail
                .note("this platform's semaphores are not known here");
            return Err(Errno::ENOSYS);
        };
        let Some(path) = &self.session.sem_view else {
            self.trail
                .note("SHMFS_VIEW_SEM is not set, and semaphores are not in SHMFS_VIEW");
            return Err(Errno::ENOSYS);
        };
        Ok(View {
            scheme,
            path,
            trail: &self.trail,
        })
    }

    /// Without the rules for descriptors and file systems.
    pub(crate) fn lenient(&self) -> bool {
        self.session.lenient
    }
}

enum State {
    Host,
    Broken(String),
    Platform(Session),
}

static STATE: OnceLock<State> = OnceLock::new();

/// Reads the environment, if that was not done yet.
#[cfg(not(test))]
pub(crate) fn prepare() {
    STATE.get_or_init(read);
}

/// The platform; `None` where the host's functions are wanted.
///
/// Where the environment names a platform that cannot be had, calls fail with ENOSYS: a test must not
/// run on the host's rules unnoticed.
pub(crate) fn current() -> Option<Result<&'static Session>> {
    match STATE.get_or_init(read) {
        State::Host => None,
        State::Platform(session) => Some(Ok(session)),
        State::Broken(why) => {
            static SAID: AtomicBool = AtomicBool::new(false);
            if !SAID.swap(true, Ordering::Relaxed) {
                crate::sys::print(format!("shmfs: {why}\n").as_bytes());
            }
            Some(Err(Errno::ENOSYS))
        }
    }
}

fn read() -> State {
    let Some(key) = variable("SHMFS_AS") else {
        return State::Host;
    };
    match session(&key) {
        Ok(session) => State::Platform(session),
        Err(why) => State::Broken(why),
    }
}

fn session(key: &[u8]) -> std::result::Result<Session, String> {
    let shown = String::from_utf8_lossy(key).into_owned();
    let shm = std::str::from_utf8(key)
        .ok()
        .and_then(platform::shared_memory)
        .ok_or_else(|| format!("SHMFS_AS={shown} is no platform with shared memory"))?;
    let personality =
        personality::of(shm.key).ok_or_else(|| format!("SHMFS_AS={shown} has no personality"))?;
    let shm_view = path("SHMFS_VIEW")
        .ok_or_else(|| "SHMFS_VIEW does not name the directory of the view".to_owned())?;
    let sem = platform::semaphores(shm);
    let same = sem.is_some_and(|sem| platform::together(shm, sem));
    let sem_view = path("SHMFS_VIEW_SEM").or_else(|| same.then(|| shm_view.clone()));
    Ok(Session {
        personality,
        shm,
        sem,
        shm_view,
        sem_view,
        lenient: is_set("SHMFS_LENIENT"),
        trace: is_set("SHMFS_TRACE"),
    })
}

fn variable(name: &str) -> Option<Vec<u8>> {
    let value = std::env::var_os(name)?.into_vec();
    (!value.is_empty()).then_some(value)
}

fn path(name: &str) -> Option<CString> {
    CString::new(variable(name)?).ok()
}

fn is_set(name: &str) -> bool {
    variable(name).is_some_and(|value| value != b"0")
}
