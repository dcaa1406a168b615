//! Serving a mount until it is gone: signals, the control socket, the last user.

use std::fs::File;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::control::Control;
use super::live::{Identity, Live, Unmounted};
use super::{manager, resume};
use crate::error::{Error, Result};
use crate::supervisor::{Supervisor, Turn};
use crate::sys::process;
use crate::sys::signal::{Set, Signals};

/// Asks the daemon to end; the second time, at once.
const END: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// Asks the daemon to end at once.
const ABORT: i32 = libc::SIGQUIT;

/// Asks a daemon whose mount a service manager holds to end without it: the next one goes on.
const LEAVE: i32 = libc::SIGUSR1;

/// How long an aborted connection may take to end; the end of the process ends it in any case.
const ABORTED: Duration = Duration::from_secs(1);

/// What asks the daemon to end.
#[derive(Debug)]
pub(crate) struct Requests {
    signals: Signals,
}

impl Requests {
    /// From here on the signals that end a daemon wait to be read.
    ///
    /// To be called before any thread is made: the mask is inherited.
    pub(crate) fn listen(foreground: bool) -> Result<Requests> {
        let mut all = END.to_vec();
        all.push(ABORT);
        if foreground {
            all.extend([libc::SIGHUP, LEAVE]);
        }
        let set = Set::of(&all);
        let signals = set.block().and_then(|_| set.descriptor());
        Ok(Requests {
            signals: signals.map_err(|error| Error::system("cannot receive signals", error))?,
        })
    }
}

/// Asks this process to end, as a signal from outside does.
pub(crate) fn ask(at_once: bool) {
    let signal = if at_once { ABORT } else { libc::SIGTERM };
    process::kill(std::process::id() as i32, signal);
}

/// Serves until nobody uses the file system any more.
pub(crate) fn serve(
    live: &mut Live<Supervisor>,
    requests: &Requests,
    control: Option<&Control>,
) -> Result<()> {
    let served = serve_on(live, requests, control);
    if let Ok(End::Left) = served {
        live.server.leave();
        return Ok(());
    }
    clear(live);
    manager::forget_all(&live.server);
    served.map(drop)
}

/// What became of the mount.
#[derive(Debug)]
enum End {
    /// It is gone.
    Gone,
    /// It stays, for another process to serve.
    Left,
}

fn serve_on(
    live: &mut Live<Supervisor>,
    requests: &Requests,
    control: Option<&Control>,
) -> Result<End> {
    let (mut asked, mut aborted) = (false, None);
    let table = watch_mounts(live);
    loop {
        wait(&live.server, requests, table.as_ref(), aborted)?;
        take_parts_along(live);
        let over = aborted.is_some_and(|until| until <= Instant::now());
        if over {
            break;
        }
        match live.server.turn()? {
            Turn::Goes => {}
            Turn::Ended => break,
            Turn::Upgraded(order) => resume::become_program(live, control, order),
        }
        while let Some(signal) = requests.signals.next() {
            tracing::info!(signal = signal.number, "asked to end");
            if signal.number == LEAVE && !asked && live.server.is_stored() {
                return Ok(End::Left);
            }
            if asked || signal.number == ABORT {
                aborted = aborted.or(Some(Instant::now() + ABORTED));
                abort(live);
            } else {
                asked = true;
                end(live);
            }
        }
    }
    Ok(End::Gone)
}

/// The table of mounts, if something that was bound with the mount shall go with it.
fn watch_mounts(live: &Live<Supervisor>) -> Option<File> {
    if live.views.is_empty() {
        return None;
    }
    let table = File::open("/proc/self/mountinfo");
    table
        .inspect_err(|error| tracing::warn!(%error, "cannot watch the mounts"))
        .ok()
}

/// What was bound with the mount goes when umount(8) has taken the mount away.
fn take_parts_along(live: &mut Live<Supervisor>) {
    if !live.views.is_empty() && matches!(live.identity.entry(), Ok(None)) {
        live.views.iter().for_each(detach);
        live.views.clear();
    }
}

/// Waits for a signal, the worker, or a change of the `table` of mounts; at most `until` then.
fn wait(
    supervisor: &Supervisor,
    requests: &Requests,
    table: Option<&File>,
    until: Option<Instant>,
) -> Result<()> {
    let until = until.into_iter().chain(supervisor.deadline()).min();
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let timeout = left.and_then(|left| Timespec::try_from(left).ok());
    let worker: Vec<BorrowedFd<'_>> = supervisor.descriptors().collect();
    let mut waiting = vec![PollFd::new(&requests.signals, PollFlags::IN)];
    waiting.extend(worker.iter().map(|it| PollFd::new(it, PollFlags::IN)));
    // proc_pid_mountinfo(5): a change is urgent.
    waiting.extend(table.map(|it| PollFd::new(it, PollFlags::PRI)));
    match poll(&mut waiting, timeout.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(Error::system("cannot wait for signals", error)),
    }
}

/// Ends the connection, whoever uses the mount.
fn abort(live: &mut Live<Supervisor>) {
    detach(&live.identity);
    tracing::warn!("ending the connection at once");
    live.server.abort();
}

/// Unmounts; a busy mount only disappears.
fn end(live: &Live<Supervisor>) {
    match live.unmount(false) {
        Ok(Unmounted::Done) => {}
        Ok(Unmounted::Busy) => {
            tracing::warn!(
                "the mount is busy: it is detached, and served until its last user leaves"
            );
            detach(&live.identity);
        }
        Ok(Unmounted::Covered) => {
            tracing::warn!(
                "something else is mounted on top of the mount: unmount that first, or signal again to abort"
            );
        }
        Err(error) => tracing::error!(%error, "cannot unmount"),
    }
}

/// Makes the mount disappear.
pub(crate) fn detach(identity: &Identity) {
    if let Err(error) = identity.unmount(true) {
        tracing::error!(%error, "cannot detach the mount");
    }
}

/// A connection that was aborted from outside, or that nobody can serve any more, leaves a dead mount:
/// takes it away.
pub(super) fn clear(live: &Live<Supervisor>) {
    for identity in live.views.iter().chain([&live.identity]) {
        if matches!(identity.entry(), Ok(Some(_))) {
            detach(identity);
        }
    }
}
