//! The end of a worker, by itself or by us, and who follows it.

use std::time::{Duration, Instant};

use super::program::Child;
use super::restarts::Work;
use super::supervising::{State, Supervisor, Turn};
use crate::error::{Error, ExitCode, Result};
use crate::fuse::connection;
use crate::sys::process::{self, End};

/// The longest wait after a worker that was killed from outside.
const OUTSIDE: Duration = Duration::from_millis(5);

/// So many workers may die before one says that it serves: more than a request that kills takes with it.
const FIRST: u64 = 5;

/// How long a killed process may take to end. A thread of it may wait in the kernel for an answer that only the end
/// of the connection gives, or only the next worker: then nobody waits for it.
const ENDING: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Ends the worker, and starts no other.
    pub fn end(&mut self) {
        self.door.close();
        self.kill();
        if let Some(worker) = self.worker() {
            // Waited for elsewhere, perhaps.
            drop(process::wait_until(worker, Instant::now() + ENDING));
        }
        self.state = State::Over;
    }

    /// Leaves the mount to a service manager that holds it: the worker ends, and nothing else.
    pub fn leave(&mut self) {
        self.door.close();
        self.kill();
        self.state = State::Over;
    }

    /// How a worker ended that has been killed, or ends by itself; it is waited for later.
    pub(super) fn bide(&mut self) -> Option<End> {
        let ended = self.child()?.ended_until(Instant::now() + ENDING).ok()?;
        self.unreaped.extend(self.worker());
        ended
    }

    /// The same of another child.
    pub(super) fn end_of(&mut self, child: &Child) -> Option<End> {
        let ended = child.ended_until(Instant::now() + ENDING).ok()?;
        self.unreaped.push(child.pid);
        self.reap();
        ended
    }

    /// Waits for those that have ended and can be waited for.
    pub(super) fn reap(&mut self) {
        self.unreaped
            .retain(|&pid| process::try_wait(pid).is_ok_and(|ended| ended.is_none()));
    }

    /// The connection has ended: there will be no worker any more.
    pub(super) fn has_ended(&mut self) -> Turn {
        self.state = State::Over;
        // Nothing keeps them in the kernel any more.
        let until = Instant::now() + ENDING;
        for pid in std::mem::take(&mut self.unreaped) {
            drop(process::wait_until(pid, until));
        }
        Turn::Ended
    }

    /// Whether another worker can go on. One may have served before it could say so: whoever mounts by fusermount3
    /// lets programs in before.
    fn is_followed(&self) -> bool {
        if self.first.is_some() {
            return self.is_saved();
        }
        let kept = &self.kept;
        kept.is_begun() && self.restarts.total < FIRST && connection::resend(&kept.device).is_ok()
    }

    /// The worker has ended; how, nobody knows of one that cannot be waited for.
    pub(super) fn bury(&mut self, end: Option<End>) -> Result<Turn> {
        // It may have said why.
        while let Some(message) = self.next_message() {
            self.hear(message)?;
        }
        let served = match std::mem::replace(&mut self.state, State::Over) {
            State::Serving { since, .. } => since.elapsed(),
            State::Starting { .. } | State::Waiting { .. } | State::Over => Duration::ZERO,
        };
        self.door.close();
        if connection::has_ended(&self.kept.device) {
            return Ok(self.has_ended());
        }
        let mut cause = self.memory.tell(end);
        if let Some(hangs) = self.hangs.take() {
            cause.text = format!("{}, since it hung: {hangs}", cause.text);
            cause.errno = Some(libc::EIO);
        }
        let why = cause.text;
        if !self.is_followed() {
            let what = format!("the process that serves the mount ended by {why}");
            return Err(Error::new(ExitCode::Internal, what));
        }
        if self.first.is_none() {
            self.watch.begin(&self.kept.slots);
        }
        self.stuck = None;
        let in_hand = self.watch.in_hand();
        self.watch.pause();
        if let Some(errno) = cause.errno {
            self.watch.blame(&self.kept.device, errno);
        }
        let wait = self.restarts.death(served, &Work::of(&self.kept.slots));
        // Whom somebody outside kills does not fail at anything.
        let wait = cause.errno.map_or(wait.min(OUTSIDE), |_| wait);
        self.door.set_deaths(self.restarts.total);
        tracing::error!(%why, %in_hand, ?wait, deaths = self.restarts.total, "the worker died");
        let until = Instant::now() + wait;
        self.state = State::Waiting { until };
        if wait.is_zero() {
            return self.late();
        }
        Ok(Turn::Goes)
    }
}
