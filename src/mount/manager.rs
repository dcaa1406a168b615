//! The service manager that started us, if one did: it is told when the mount answers, and may hold what must
//! outlive this process (sd_notify(3), systemd's FILE_DESCRIPTOR_STORE).

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use crate::supervisor::{Descriptors, Supervisor};
use crate::sys::{channel, descriptors};

/// The name under which the supervisor's state is stored.
pub(super) const STATE: &str = "state";

/// Each of our names begins so, there.
const PREFIX: &str = "shmfs-";

/// Whether one started us.
pub(super) fn is_there() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

/// Where the manager listens.
fn manager() -> Option<io::Result<UnixDatagram>> {
    let name = std::env::var_os("NOTIFY_SOCKET")?;
    Some(connect(&name))
}

fn connect(name: &OsString) -> io::Result<UnixDatagram> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name),
        None => SocketAddr::from_pathname(name),
    };
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&address?)?;
    Ok(socket)
}

/// Tells the manager that the mount answers.
pub(super) fn tell_ready() {
    let told = manager().map(|socket| channel::send(socket?, b"READY=1", None));
    if let Some(Err(error)) = told {
        tracing::warn!(%error, "cannot tell the service manager that the mount is ready");
    }
}

/// Has the manager hold what `supervisor` owns, where it offers that.
pub(super) fn store(supervisor: &mut Supervisor) {
    // systemd.exec(5): how many it takes, where it takes any. Older than 254, it does not say so: the unit does.
    let offered: usize = match std::env::var("FDSTORE").map(|count| count.parse()) {
        Ok(Ok(count)) => count,
        Ok(Err(_)) | Err(_) => return,
    };
    if !supervisor.is_saved() || !supervisor.is_small() || offered < 8 {
        tracing::info!("the service manager is not asked to hold the mount");
        return;
    }
    supervisor.set_stored(true);
    if let Err(error) = write(supervisor) {
        tracing::warn!(%error, "the service manager does not hold the mount");
        supervisor.set_stored(false);
    }
}

fn write(supervisor: &Supervisor) -> io::Result<()> {
    let socket = manager().ok_or(io::ErrorKind::NotFound)??;
    let (saved, mut kept) = supervisor.save(false);
    let text = saved.write().map_err(io::Error::other)?;
    let state = super::resume::memory(&text)?;
    kept.push((STATE.to_owned(), state.as_fd()));
    for (name, descriptor) in &kept {
        send(&socket, name, *descriptor)?;
    }
    Ok(())
}

/// Has the manager hold nothing more under `names`: what has ended would come back at the next start, and takes
/// memory until then.
pub(super) fn forget<'a>(names: impl IntoIterator<Item = &'a str>) {
    let Some(socket) = manager() else {
        return;
    };
    let told = socket.and_then(|socket| {
        let mut names = names.into_iter();
        names.try_for_each(|name| {
            let text = format!("FDSTOREREMOVE=1\nFDNAME={PREFIX}{name}");
            channel::send(&socket, text.as_bytes(), None)
        })
    });
    if let Err(error) = told {
        tracing::debug!(%error, "the service manager holds on to what has ended");
    }
}

/// The mount of `supervisor` has ended.
pub(super) fn forget_all(supervisor: &Supervisor) {
    if supervisor.is_stored() {
        let (_, kept) = supervisor.save(false);
        forget(kept.iter().map(|(name, _)| name.as_str()).chain([STATE]));
    }
}

fn send(socket: &UnixDatagram, name: &str, descriptor: BorrowedFd<'_>) -> io::Result<()> {
    // It must not poll the device: each request of the file system would wake it.
    let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={PREFIX}{name}");
    channel::send(socket, text.as_bytes(), Some(descriptor))
}

/// Takes what the manager held for the process that was here before.
///
/// To be called once, and early.
pub(super) fn take_stored() -> io::Result<Option<Descriptors>> {
    let number = |name| std::env::var(name).ok()?.parse::<i32>().ok();
    if number("LISTEN_PID") != Some(std::process::id() as i32) {
        return Ok(None);
    }
    let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut taken = Descriptors::new();
    // sd_listen_fds(3): they begin after the standard ones.
    let numbers = 3..3 + number("LISTEN_FDS").unwrap_or(0);
    for (at, name) in numbers.zip(names.split(':')) {
        let descriptor = descriptors::inherited(at)?;
        if let Some(name) = name.strip_prefix(PREFIX) {
            taken.insert(name.to_owned(), descriptor);
        }
    }
    Ok((!taken.is_empty()).then_some(taken))
}
