//! Questions to whatever worker serves, from any thread.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::configuration::Configuration;
use super::message;
use crate::export::Source;
use crate::sys::channel;

/// How long a question waits for a worker, and for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long those who are being answered are waited for.
const HUSH: Duration = Duration::from_secs(2);

/// The way to the worker, as long as one serves, and to the supervisor.
#[derive(Debug)]
pub struct Door {
    channel: Mutex<Option<Arc<OwnedFd>>>,
    opened: Condvar,
    orders: OwnedFd,
    deaths: AtomicU64,
    exports: Mutex<Option<Configuration>>,
    talks: RwLock<()>,
}

impl Door {
    /// A door, and where the supervisor gets its orders.
    pub(super) fn new() -> io::Result<(Door, OwnedFd)> {
        let (orders, inbox) = channel::pair()?;
        let door = Door {
            channel: Mutex::default(),
            opened: Condvar::new(),
            orders,
            deaths: AtomicU64::new(0),
            exports: Mutex::default(),
            talks: RwLock::new(()),
        };
        Ok((door, inbox))
    }

    /// Gives the supervisor an order, which answers `client` itself.
    pub fn order(&self, word: &str, argument: &str, client: BorrowedFd<'_>) -> io::Result<()> {
        message::send(&self.orders, word, argument.as_bytes(), Some(client))
    }

    /// To be held from a question's beginning until it is answered.
    pub fn talk(&self) -> RwLockReadGuard<'_, ()> {
        self.talks.read()
    }

    /// Waits until all questions are answered, and lets nobody begin another one; `None` where that takes too long.
    pub fn hush(&self) -> Option<RwLockWriteGuard<'_, ()>> {
        self.talks.try_write_for(HUSH)
    }

    pub(super) fn open(&self, channel: &OwnedFd) -> io::Result<()> {
        *self.channel.lock() = Some(Arc::new(channel.try_clone()?));
        self.opened.notify_all();
        Ok(())
    }

    /// How many workers have died so far.
    pub fn deaths(&self) -> u64 {
        self.deaths.load(Ordering::Relaxed)
    }

    pub(super) fn set_deaths(&self, deaths: u64) {
        self.deaths.store(deaths, Ordering::Relaxed);
    }

    pub(super) fn close(&self) {
        *self.channel.lock() = None;
    }

    /// Where the exports in force are.
    pub(super) fn keep_exports(&self, exports: Option<&Configuration>) -> io::Result<()> {
        *self.exports.lock() = exports.map(Configuration::again).transpose()?;
        Ok(())
    }

    /// The exports in force; `None` where it was mounted without.
    pub fn exports(&self) -> io::Result<Option<Source>> {
        let exports = self.exports.lock();
        exports.as_ref().map(Configuration::source).transpose()
    }

    /// Asks the worker to go on with other exports; where it refuses, the old ones stay in force.
    pub fn reload_exports(&self, source: &Source) -> Result<String, String> {
        let exports = self.exports.lock();
        let kept = exports.as_ref().ok_or("it was mounted without exports")?;
        let new = Configuration::new(source).map_err(|error| error.to_string())?;
        let tell = |channel: &OwnedFd| message::send(channel, "exports", b"", Some(new.as_fd()));
        let answer = self.ask_with("export-reload", tell)?;
        kept.replace(source).map_err(|error| error.to_string())?;
        Ok(answer)
    }

    /// Asks the worker `line`. Where it dies before it has answered, the next one is asked.
    pub fn ask(&self, line: &str) -> Result<String, String> {
        self.ask_with(line, |_| Ok(()))
    }

    /// The same, where it needs to be told something before.
    fn ask_with(
        &self,
        line: &str,
        tell: impl Fn(&OwnedFd) -> io::Result<()>,
    ) -> Result<String, String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let Some(channel) = self.wait(until) else {
                return Err("nobody serves the mount at the moment".to_owned());
            };
            match tell(&channel).and_then(|()| ask(&channel, line)) {
                Ok(Some(answer)) => return answer,
                // A worker that dies closes the door only when that is noticed.
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Err(error) if error.raw_os_error() == Some(libc::EPIPE) => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    fn wait(&self, until: Instant) -> Option<Arc<OwnedFd>> {
        let mut channel = self.channel.lock();
        while channel.is_none() && Instant::now() < until {
            self.opened.wait_until(&mut channel, until);
        }
        if Instant::now() < until {
            channel.clone()
        } else {
            None
        }
    }
}

/// One question; `None` where the worker has died.
fn ask(channel: &OwnedFd, line: &str) -> io::Result<Option<Result<String, String>>> {
    let (ours, theirs) = channel::pair()?;
    set_socket_timeout(&ours, Timeout::Recv, Some(PATIENCE))?;
    message::send(channel, "ask", line.as_bytes(), Some(theirs.as_fd()))?;
    drop(theirs);
    let answer = message::receive(&ours)?;
    Ok(answer.map(|answer| {
        let text = String::from_utf8_lossy(&answer.bytes).into_owned();
        if answer.word == "ok" {
            Ok(text)
        } else {
            Err(text)
        }
    }))
}
