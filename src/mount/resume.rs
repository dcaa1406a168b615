//! A supervisor that goes on with a mount: this process as another program, or another process.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{MemfdFlags, SeekFrom};
use rustix::process::Pid;
use serde::{Deserialize, Serialize};

use super::control::{Bound, Control};
use super::daemon::prepare;
use super::live::{Identity, Live};
use super::manager;
use super::serve::{self, Requests};
use crate::error::{Error, ExitCode, Result};
use crate::log;
use crate::supervisor::{Descriptors, Order, Saved, Supervisor};
use crate::sys::{descriptors, process};

/// The first words of a supervisor that goes on; the number of a descriptor with its state follows.
const GO_ON: [&str; 2] = ["supervisor", "--state"];
/// The same, only to see whether it could.
const CHECK: [&str; 2] = ["supervisor", "--check"];

/// How long a program may take to look at the state.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one program leaves to the other.
#[derive(Serialize, Deserialize)]
struct Legacy {
    state: serde_json::Value,
    descriptors: BTreeMap<String, i32>,
}

/// Becomes the program that serves by now. Returns only where that fails: then this one goes on.
pub(super) fn become_program(live: &Live<Supervisor>, control: Option<&Control>, order: Order) {
    let version = live.server.version().to_owned();
    // Who has been answered half would not be answered at all.
    let door = live.server.door();
    let hushed = door.hush();
    let error = match try_to_become(live, control, &order) {
        Ok(error) | Err(error) => error,
    };
    drop(hushed);
    tracing::error!(%error, "the supervisor goes on as it is");
    order.answer(Err(format!(
        "shmfs {version} serves the mount, but the process that owns it could not become it: {error}"
    )));
}

/// Returns why it failed, either way.
fn try_to_become(
    live: &Live<Supervisor>,
    control: Option<&Control>,
    order: &Order,
) -> Result<Error> {
    let failed = |error: io::Error| Error::system("cannot hand over", error);
    let (saved, mut kept) = live.server.save(true);
    kept.push(("order".to_owned(), order.as_fd()));
    kept.extend(control.map(|control| ("control".to_owned(), control.as_fd())));
    let numbers = kept.iter().map(|(name, it)| (name.clone(), it.as_raw_fd()));
    let legacy = Legacy {
        state: serde_json::from_slice(&saved.write()?).map_err(|error| failed(error.into()))?,
        descriptors: numbers.collect(),
    };
    let text = serde_json::to_vec(&legacy).map_err(|error| failed(error.into()))?;
    let state = memory(&text).map_err(failed)?;
    check(live, &state)?;
    kept.push(("state".to_owned(), state.as_fd()));
    let kept: Vec<BorrowedFd<'_>> = kept.iter().map(|(_, descriptor)| *descriptor).collect();
    let words = [GO_ON[0], GO_ON[1], &state.as_raw_fd().to_string()];
    let error = process::become_program(&live.server.program(), "shmfs", &words, &kept);
    Ok(Error::system("cannot execute it", error))
}

/// Has the other program look at the state first.
fn check(live: &Live<Supervisor>, state: &OwnedFd) -> Result<()> {
    let mut command = Command::new(live.server.program());
    command.args(CHECK).arg(state.as_raw_fd().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    process::inherit(&mut command, state);
    let failed = |error| Error::system("cannot run it", error);
    let mut child = command.spawn().map_err(failed)?;
    let status = process::wait_until(Pid::from_child(&child), Instant::now() + PATIENCE);
    let what = match status.map_err(failed)? {
        Some(status) if status.exit_status() == Some(0) => return Ok(()),
        Some(status) => {
            let status = process::shell_status(status);
            format!("it does not know the state of this one: it ended with status {status}")
        }
        None => {
            drop(child.kill());
            drop(process::wait_until(
                Pid::from_child(&child),
                Instant::now() + PATIENCE,
            ));
            "it does not say whether it knows the state of this one".to_owned()
        }
    };
    Err(Error::new(ExitCode::Usage, what))
}

/// Memory with `text` in it.
pub(super) fn memory(text: &[u8]) -> io::Result<OwnedFd> {
    let memory = rustix::fs::memfd_create("shmfs-state", MemfdFlags::CLOEXEC)?;
    let written = rustix::io::pwrite(&memory, text, 0)?;
    if written == text.len() {
        Ok(memory)
    } else {
        Err(io::ErrorKind::WriteZero.into())
    }
}

fn read(memory: OwnedFd) -> io::Result<Vec<u8>> {
    rustix::fs::seek(&memory, SeekFrom::Start(0))?;
    let mut text = Vec::new();
    io::Read::read_to_end(&mut std::fs::File::from(memory), &mut text)?;
    Ok(text)
}

/// Where the command line `words` has a supervisor go on: its life; returns its exit status.
pub fn supervisor(words: &[OsString]) -> Option<Result<i32>> {
    let [_, first, second, number] = words else {
        return None;
    };
    let number = number.to_str()?.parse().ok()?;
    let asked = [first.to_str()?, second.to_str()?];
    if asked == GO_ON {
        Some(go_on(number).map(|()| 0))
    } else if asked == CHECK {
        Some(legacy(number).map(|_| 0))
    } else {
        None
    }
}

fn legacy(number: i32) -> Result<(Saved, BTreeMap<String, i32>)> {
    let failed = |error: io::Error| Error::system("cannot read what was handed over", error);
    let text = descriptors::inherited(number)
        .and_then(read)
        .map_err(failed)?;
    let legacy: Legacy = serde_json::from_slice(&text).map_err(|error| failed(error.into()))?;
    let state = serde_json::to_vec(&legacy.state).map_err(|error| failed(error.into()))?;
    Ok((Saved::read(&state)?, legacy.descriptors))
}

/// This process was another program a moment ago.
fn go_on(number: i32) -> Result<()> {
    let (saved, numbers) = legacy(number)?;
    let mut taken = Descriptors::new();
    for (name, number) in numbers {
        let descriptor = descriptors::inherited(number);
        let descriptor =
            descriptor.map_err(|error| Error::system(format!("cannot take {name}"), error))?;
        taken.insert(name, descriptor);
    }
    log::start(&saved.log)?;
    if saved.background {
        log::to_syslog();
    }
    process::set_name(c"shmfs");
    Resumed::new(saved, taken)?.serve()
}

/// Goes on with a mount that a service manager held, if there is one that is still there. `options` are those
/// that a new one would have.
pub(super) fn stored(options: &str) -> Result<bool> {
    let failed = |error| Error::system("cannot take what the service manager held", error);
    let Some(mut taken) = manager::take_stored().map_err(failed)? else {
        return Ok(false);
    };
    let names: Vec<String> = taken.keys().cloned().collect();
    let forget = || manager::forget(names.iter().map(String::as_str));
    let Some(state) = taken.remove(manager::STATE) else {
        forget();
        return Ok(false);
    };
    let saved = Saved::read(&read(state).map_err(failed)?)?;
    let began = saved.options().to_owned();
    let resumed = Resumed::new(saved, taken)?;
    if !resumed.live.server.is_live() {
        // Who served it died while it ended.
        serve::clear(&resumed.live);
        forget();
        return Ok(false);
    }
    if began != options {
        tracing::warn!(
            %began,
            "the mount goes on with the options that it began with: a remount changes its limits, an unmount ends it"
        );
    }
    resumed.serve().map(|()| true)
}

/// A mount that another process has served.
struct Resumed {
    live: Live<Supervisor>,
    requests: Requests,
    listener: Option<OwnedFd>,
    order: Option<OwnedFd>,
}

impl Resumed {
    fn new(saved: Saved, mut taken: Descriptors) -> Result<Resumed> {
        let requests = Requests::listen(!saved.background)?;
        prepare(saved.background);
        let (listener, order) = (taken.remove("control"), taken.remove("order"));
        let mounts = saved.mounts.clone();
        Ok(Resumed {
            live: live(Supervisor::resume(saved, &mut taken)?, &mounts)?,
            requests,
            listener,
            order,
        })
    }

    fn serve(mut self) -> Result<()> {
        let door = self.live.server.door();
        let device = &self.live.identity.device;
        let socket = match self.listener {
            Some(listener) => Ok(Bound::inherited(device, listener)),
            None => Bound::new(device),
        };
        let control = socket.and_then(|socket| socket.answer(door));
        if let Err(error) = &control {
            tracing::warn!(%error, "no control socket: the mount's limits cannot be changed");
        }
        if let Some(order) = self.order {
            let version = env!("CARGO_PKG_VERSION");
            Order::resume(order).answer(Ok(format!("shmfs {version}")));
        }
        manager::tell_ready();
        serve::serve(&mut self.live, &self.requests, control.as_ref().ok())
    }
}

/// The mount that `mounts` names, the tree itself last.
fn live(server: Supervisor, mounts: &str) -> Result<Live<Supervisor>> {
    let lost = || Error::new(ExitCode::Internal, "the mount has no number");
    let mut views: Vec<Identity> = mounts
        .split_ascii_whitespace()
        .filter_map(Identity::decode)
        .collect();
    let identity = views.pop().ok_or_else(lost)?;
    Ok(Live {
        server,
        identity,
        views,
    })
}
