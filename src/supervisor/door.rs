//! Questions to whatever worker serves, from any thread.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use rustix::net::sockopt::{Timeout, set_socket_timeout};

use super::configuration::Configuration;
use super::message;
use crate::export::Source;
use crate::sys::channel;

/// How long a question waits for a worker, and for its answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// The way to the worker, as long as one serves.
#[derive(Debug, Default)]
pub struct Door {
    channel: Mutex<Option<Arc<OwnedFd>>>,
    opened: Condvar,
    exports: Mutex<Option<Arc<Configuration>>>,
    /// Held by who changes them.
    reloading: Mutex<()>,
}

impl Door {
    pub(super) fn open(&self, channel: &OwnedFd) -> io::Result<()> {
        *self.channel.lock() = Some(Arc::new(channel.try_clone()?));
        self.opened.notify_all();
        Ok(())
    }

    pub(super) fn close(&self) {
        *self.channel.lock() = None;
    }

    /// The exports in force.
    pub fn exports(&self) -> Option<Source> {
        let exports = self.exports.lock();
        exports.as_ref().map(|exports| exports.source.clone())
    }

    /// What the first worker begins with.
    pub(super) fn set_exports(&self, source: Source) -> io::Result<()> {
        *self.exports.lock() = Some(Arc::new(Configuration::new(source)?));
        Ok(())
    }

    /// Tells a new worker which exports there are.
    pub(super) fn give_exports(&self, channel: &OwnedFd) -> io::Result<()> {
        let exports = self.exports.lock().clone();
        exports.map_or(Ok(()), |exports| give(channel, &exports))
    }

    /// Asks the worker to go on with other exports; where it refuses, the old ones stay in force.
    pub fn reload_exports(&self, source: Source) -> Result<String, String> {
        let _alone = self.reloading.lock();
        let new = Configuration::new(source).map_err(|error| error.to_string())?;
        let new = Arc::new(new);
        let answer = self.ask_with("export-reload", |channel| give(channel, &new))?;
        *self.exports.lock() = Some(new);
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

fn give(channel: &OwnedFd, exports: &Configuration) -> io::Result<()> {
    message::send(channel, "exports", b"", Some(exports.file()))
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
