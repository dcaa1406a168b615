//! Attempts at what `run` does, each in a child process: what it makes ends with it.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsOpenFlags, MountAttrFlags, fsopen};

use super::host::{Attempt, Refusal, Step};
use crate::sys::namespace::{self, IdMaps};
use crate::sys::{channel, mount, process};

/// In which namespaces an attempt is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Within {
    /// Where the caller is.
    Here,
    /// A mount namespace of its own.
    Mounts,
    /// A user and a mount namespace of its own.
    UserAndMounts,
}

const STEPS: [Step; 5] = [
    Step::Namespace,
    Step::Device,
    Step::Type,
    Step::Make,
    Step::Attach,
];

/// Mounts FUSE where `run` would.
pub(super) fn fuse(within: Within) -> io::Result<Attempt> {
    in_child(within, mount_fuse)
}

/// Makes a tmpfs that is attached nowhere.
pub(super) fn detached_tmpfs(within: Within) -> io::Result<Attempt> {
    in_child(within, || {
        let parameters = [(c"source", c"shmfs"), (c"size", c"4096")];
        let made = mount::make(c"tmpfs", &parameters, MountAttrFlags::MOUNT_ATTR_NODEV);
        made.map(drop).map_err(at(Step::Make))
    })
}

fn at(step: Step) -> impl Fn(Errno) -> Refusal {
    move |error| Refusal {
        step,
        errno: error.raw_os_error(),
    }
}

/// Nobody serves this mount, and nobody else sees it: it ends with the child.
fn mount_fuse() -> Attempt {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/fuse", flags, Mode::empty()).map_err(at(Step::Device))?;
    fsopen(c"fuse", FsOpenFlags::FSOPEN_CLOEXEC).map_err(at(Step::Type))?;
    let made = make_fuse(&device).map_err(at(Step::Make))?;
    let target = target().map_err(at(Step::Attach))?;
    mount::attach(made.as_fd(), &target).map_err(at(Step::Attach))
}

fn make_fuse(device: &OwnedFd) -> rustix::io::Result<OwnedFd> {
    let number = text(device.as_raw_fd());
    let uid = text(rustix::process::geteuid().as_raw());
    let gid = text(rustix::process::getegid().as_raw());
    let parameters: [(&CStr, &CStr); 7] = [
        (c"source", c"shmfs"),
        (c"fd", &number),
        (c"rootmode", c"40000"),
        (c"user_id", &uid),
        (c"group_id", &gid),
        (c"allow_other", c""),
        (c"default_permissions", c""),
    ];
    mount::make(c"fuse", &parameters, MountAttrFlags::MOUNT_ATTR_NODEV)
}

fn text(number: impl ToString) -> CString {
    CString::new(number.to_string()).unwrap_or_default()
}

/// /dev/shm, or where there is none the place of /dev, which `run` then covers.
fn target() -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    match rustix::fs::open("/dev/shm", flags, Mode::empty()) {
        Err(Errno::NOENT) => rustix::fs::open("/dev", flags, Mode::empty()),
        Ok(found) => match FileType::from_raw_mode(rustix::fs::fstat(&found)?.st_mode) {
            FileType::Directory => Ok(found),
            _ => Err(Errno::NOTDIR),
        },
        Err(error) => Err(error),
    }
}

/// Runs `body` in a child; the outer failure is that there was none.
fn in_child(within: Within, body: impl FnOnce() -> Attempt) -> io::Result<Attempt> {
    let maps = IdMaps::of_caller();
    let (ours, theirs) = channel::pair()?;
    let Some(child) = process::fork()? else {
        drop(ours);
        let done = enter(within, &maps)
            .map_err(at(Step::Namespace))
            .and_then(|()| body());
        // Without an answer the parent sees the end of the channel.
        drop(channel::send(&theirs, &encode(done), None));
        process::exit_now(0);
    };
    drop(theirs);
    let message = channel::receive(&ours);
    process::wait_for(child)?;
    decode(&message?.bytes).ok_or_else(|| io::Error::other("the child that tries it ended early"))
}

fn enter(within: Within, maps: &IdMaps) -> rustix::io::Result<()> {
    match within {
        Within::Here => Ok(()),
        Within::Mounts => namespace::unshare_mounts(),
        Within::UserAndMounts => namespace::unshare_user_and_mounts(maps),
    }
}

/// The step's number, and the error's; none for success.
fn encode(done: Attempt) -> Vec<u8> {
    match done {
        Ok(()) => vec![0],
        Err(refusal) => {
            let step = STEPS
                .iter()
                .position(|step| *step == refusal.step)
                .unwrap_or(0);
            let mut bytes = vec![1 + step as u8];
            bytes.extend(refusal.errno.to_ne_bytes());
            bytes
        }
    }
}

fn decode(bytes: &[u8]) -> Option<Attempt> {
    let (step, errno) = bytes.split_first()?;
    let Some(step) = usize::from(*step).checked_sub(1) else {
        return Some(Ok(()));
    };
    let step = *STEPS.get(step)?;
    let errno = i32::from_ne_bytes(errno.try_into().ok()?);
    Some(Err(Refusal { step, errno }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_travel_whole() {
        let refusals = STEPS.map(|step| {
            Err(Refusal {
                step,
                errno: libc::EACCES,
            })
        });
        for done in refusals.into_iter().chain([Ok(())]) {
            assert_eq!(decode(&encode(done)), Some(done));
        }
        for bytes in [&[][..], &[1], &[9, 0, 0, 0, 0], &[1, 0]] {
            assert_eq!(decode(bytes), None);
        }
    }
}
