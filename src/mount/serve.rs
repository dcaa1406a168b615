//! Serving a mount until it is gone: signals, the control socket, the last user.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};

use super::live::{Identity, Live, Unmounted};
use crate::error::{Error, ExitCode, Result};
use crate::sys::signal::{Set, Signals};

const ENDING: [i32; 2] = [libc::SIGTERM, libc::SIGINT];

/// What asks the daemon to end.
#[derive(Debug)]
pub(crate) struct Requests {
    signals: Signals,
}

impl Requests {
    /// From here on the signals that end a daemon wait to be read.
    ///
    /// To be called before any thread is made: the mask is inherited.
    pub(crate) fn listen(with_hangup: bool) -> Result<Requests> {
        let mut all = ENDING.to_vec();
        if with_hangup {
            all.push(libc::SIGHUP);
        }
        let set = Set::of(&all);
        let signals = set.block().and_then(|_| set.descriptor());
        Ok(Requests {
            signals: signals.map_err(|error| Error::system("cannot receive signals", error))?,
        })
    }
}

/// Serves until nobody uses the file system any more.
pub(crate) fn serve(live: &Arc<Live>, requests: &Requests) -> Result<()> {
    let ended = watch(live)?;
    let mut asked = 0;
    loop {
        let mut waiting = [
            PollFd::new(&requests.signals, PollFlags::IN),
            PollFd::new(&ended, PollFlags::IN),
        ];
        match poll(&mut waiting, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(Error::system("cannot wait for signals", error)),
        }
        if !waiting[1].revents().is_empty() {
            break;
        }
        while let Some(signal) = requests.signals.next() {
            asked += 1;
            tracing::info!(signal = signal.number, "asked to end");
            end(live, asked);
        }
    }
    clear(live);
    Ok(())
}

/// A descriptor that becomes readable at the end of the connection.
fn watch(live: &Arc<Live>) -> Result<OwnedFd> {
    let failed = |error| Error::system("cannot watch the connection", error);
    let (ended, tell) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).map_err(|e| failed(e.into()))?;
    let live = Arc::clone(live);
    let wait = move || {
        if let Err(error) = live.service.wait() {
            tracing::error!(%error, "the connection ended with an error");
        }
        drop(tell);
    };
    thread::Builder::new()
        .name("watch".to_owned())
        .spawn(wait)
        .map_err(failed)?;
    Ok(ended)
}

/// The first time it unmounts; a busy mount only disappears. The second time it aborts.
pub(crate) fn end(live: &Live, asked: u32) {
    if asked > 1 {
        detach(&live.identity);
        tracing::warn!("asked again: ending the connection at once");
        if !live.service.abort() {
            tracing::warn!("the kernel gives no way to do that: ending this process instead");
            std::process::exit(i32::from(ExitCode::Interrupted as u8));
        }
        return;
    }
    match live.identity.unmount(false) {
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

/// A connection that was aborted from outside leaves a dead mount: takes it away.
fn clear(live: &Live) {
    if matches!(live.identity.entry(), Ok(Some(_))) {
        detach(&live.identity);
    }
}

/// Reports to systemd, or whoever set `NOTIFY_SOCKET`, that the mount answers (sd_notify(3)).
pub(crate) fn notify_ready() {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    let Some(name) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(&name),
    };
    let send = || UnixDatagram::unbound()?.send_to_addr(b"READY=1", &address?);
    if let Err(error) = send() {
        tracing::warn!(%error, "cannot tell the service manager that the mount is ready");
    }
}
