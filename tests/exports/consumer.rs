//! Processes with the credentials of a consumer.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

use rustix::mount::UnmountFlags;
use rustix::thread::{CapabilitySet, capabilities, set_capabilities};

use crate::alone::unshare_mounts;
use crate::calls::Call;
use crate::model::Who;
use crate::proc::{self, Kid};
use crate::sys::{self, E, R};
use crate::world::{USER, World};

/// Takes the credentials of a consumer, for good.
pub(crate) fn become_consumer(who: Who) {
    match who {
        Who::User => proc::become_user(USER, USER, &[]),
        Who::Root => drop_capabilities(),
    }
    // A program that was started so may look at its own memory.
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
}

/// Root as the rules bind it: without CAP_SYS_ADMIN and CAP_SYS_PTRACE.
fn drop_capabilities() {
    let gone = CapabilitySet::SYS_ADMIN | CapabilitySet::SYS_PTRACE;
    let mut sets = capabilities(None).expect("read our capabilities");
    sets.effective.remove(gone);
    sets.permitted.remove(gone);
    sets.inheritable = CapabilitySet::empty();
    set_capabilities(None, sets).expect("drop capabilities");
}

/// Runs `f` as a consumer, beside the provider's mount.
#[track_caller]
pub(crate) fn consume(who: Who, f: impl FnOnce()) {
    proc::child(|| {
        become_consumer(who);
        f();
    });
}

/// Runs `f` as a consumer in a mount namespace where nothing of the mount is but the export.
#[track_caller]
pub(crate) fn imprison(world: &World, export: &str, who: Who, f: impl FnOnce(&Path)) {
    start_prisoner(world, export, who, f).join();
}

/// The same, to go on meanwhile.
pub(crate) fn start_prisoner(world: &World, export: &str, who: Who, f: impl FnOnce(&Path)) -> Kid {
    // Bound here, so that it is a mount of the host's too, as a container's is.
    let cell = world.export(export);
    let tree = world.tree();
    proc::spawn(|| {
        unshare_mounts();
        rustix::mount::unmount(&tree, UnmountFlags::DETACH).expect("detach the provider's mount");
        become_consumer(who);
        f(&cell);
    })
}

/// A consumer that makes one call at a time, as it is told.
pub(crate) struct Crew {
    orders: OwnedFd,
    answers: OwnedFd,
    _kid: Kid,
}

/// One call with its names.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) call: Call,
    pub(crate) name: String,
    pub(crate) target: String,
}

/// When a call is called a hang.
const LIMIT: i32 = 60_000;

impl Crew {
    /// Who makes these calls in this directory.
    pub(crate) fn new(who: Who, directory: &Path, list: &[Order]) -> Crew {
        let (their_orders, orders) = pipe();
        let (answers, their_answers) = pipe();
        let kid = proc::spawn(|| {
            become_consumer(who);
            // SAFETY: no pointers.
            unsafe { libc::umask(0) };
            // A number that is not whole is the end.
            while let Ok(bytes) = sys::read(&their_orders, 4) {
                let Ok(number) = <[u8; 4]>::try_from(bytes) else {
                    return;
                };
                let order = &list[u32::from_ne_bytes(number) as usize];
                let errno = match order.call.run(directory, &order.name, &order.target) {
                    Ok(()) => 0,
                    Err(E(errno)) => errno,
                };
                sys::write(&their_answers, &errno.to_ne_bytes()).expect("answer");
            }
        });
        Crew {
            orders,
            answers,
            _kid: kid,
        }
    }

    /// Makes the call with this number.
    pub(crate) fn make(&self, number: usize) -> R {
        let number = (number as u32).to_ne_bytes();
        sys::write(&self.orders, &number).expect("order a call");
        let mut poll = libc::pollfd {
            fd: self.answers.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one pollfd.
        let ready = unsafe { libc::poll(&raw mut poll, 1, LIMIT) };
        assert_eq!(ready, 1, "call {number:?} hangs");
        let bytes = sys::read(&self.answers, 4).expect("an answer");
        let bytes = <[u8; 4]>::try_from(bytes).expect("the consumer died");
        match i32::from_ne_bytes(bytes) {
            0 => Ok(()),
            errno => Err(E(errno)),
        }
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe")
}

/// How long a process of a test may take before it is called a hang.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
