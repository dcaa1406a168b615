//! A worker that has ended and cannot be waited for: one of its threads is in the kernel yet.
//!
//! It may wait there for what only the next worker can answer: what tells the kernel to forget a name takes the
//! directory's lock, and whoever waits for an answer in that directory holds it.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::supervising::{State, Supervisor, Turn};
use crate::error::Result;
use crate::sys::process;

/// A thread that only needs a processor to end gets so much time to do so.
const SHORT: Duration = Duration::from_millis(10);
/// One that may be changing a data file gets so much.
const LONG: Duration = Duration::from_secs(2);

impl Supervisor {
    /// Becomes readable when the worker is about to end; that is told once.
    pub(super) fn end_of_worker(&self) -> Option<BorrowedFd<'_>> {
        match &self.state {
            State::Serving { worker, .. } if self.stuck.is_none() => {
                worker.thread.as_ref().map(AsFd::as_fd)
            }
            State::Serving { .. }
            | State::Starting { .. }
            | State::Waiting { .. }
            | State::Over => None,
        }
    }

    /// Looks at a worker soon that has ended and cannot be waited for.
    pub(super) fn notice_end(&mut self) {
        if self.end_of_worker().is_some_and(process::has_ended) {
            self.stuck = Some(Instant::now());
            self.watch.soon();
        }
    }

    /// Looks whether the worker serves; `well` says that it has done so for a while.
    pub(super) fn look_at(&mut self, pid: Pid, well: bool) -> Result<Turn> {
        self.reap();
        if process::is_zombie(pid) {
            return self.give_up(pid);
        }
        self.take_heart();
        if self.hangs.is_some() {
            // It has been killed.
            self.watch.later();
            return Ok(Turn::Goes);
        }
        self.hangs = self.watch.look(pid, &self.kept.device);
        if self.hangs.is_some() {
            self.kill();
        } else if well {
            self.watch.forgive();
        }
        self.settle();
        Ok(Turn::Goes)
    }

    /// The worker's first thread has not ended; it does so after the others, if it does.
    fn take_heart(&mut self) {
        let Some(since) = self.stuck else {
            return;
        };
        if since.elapsed() < LONG {
            return self.watch.soon();
        }
        self.stuck = None;
        if let State::Serving { worker, .. } = &mut self.state {
            worker.thread = None;
        }
    }

    /// Goes on without the worker `pid`, which cannot be waited for, once its threads change nothing any more: they
    /// are in a write to the device, or had time enough.
    fn give_up(&mut self, pid: Pid) -> Result<Turn> {
        let since = self.stuck.get_or_insert_with(Instant::now).elapsed();
        if since < SHORT || since < LONG && !process::only_writes(pid) {
            self.watch.soon();
            return Ok(Turn::Goes);
        }
        self.unreaped.push(pid);
        self.bury(None)
    }
}
