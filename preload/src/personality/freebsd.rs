//! FreeBSD: objects in the kernel's dictionary, with flags of their own; semaphores are files that
//! are initialised in place, under a lock.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FlockOperation, RenameFlags, Stat, XattrFlags};

use super::{InKernel, Name, Personality, access, checked};
use crate::directory::{Spot, View};
use crate::errno::{Errno, Result};
use crate::object::{self, Rule};
use crate::semaphore::{Request, write_at_start};
use crate::session::Call;
use crate::sys::semaphore::{SIZE, image};
use crate::view::NameOp;

const ALLOW_SEALING: i32 = 1;
const GROW_ON_WRITE: i32 = 2;
const LARGEPAGE: i32 = 4;
/// Where a file remembers the flags of the object that it stands for.
const SHMFLAGS: &str = "user.shmfs.shmflags";
const NOREPLACE: i32 = 1;
const EXCHANGE: i32 = 2;
/// Follows the host's semaphore in the file; on the platform it is the first word.
const MAGIC: [u8; 4] = 0x7365_6d32_u32.to_ne_bytes();
const MFD_KNOWN: u32 =
    libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING | libc::MFD_HUGETLB | MFD_HUGE_MASK;
const MFD_HUGE_MASK: u32 = 0xfc00_0000;
/// What may follow `memfd:` in a file name.
const MEMFD_NAME_MAX: usize = 255 - 6;

#[derive(Debug)]
pub(super) struct FreeBsd;

impl Personality for FreeBsd {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        self.open(call, name, flags | libc::O_CLOEXEC, mode, 0)
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        may_use(&view, &spot)?;
        view.unlink(&spot).map_err(no_directory)
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        let view = call.sem()?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        request.only_known_flags()?;
        request.value_within(i32::MAX as u32)?;
        let flags = libc::O_RDWR | libc::O_CLOEXEC | request.flags;
        let file = view.open(&spot, flags, request.mode)?;
        // O_EXLOCK, which this host's open does not have.
        rustix::fs::flock(&file, FlockOperation::LockExclusive)?;
        in_place(call, &file, request.value)?;
        rustix::fs::flock(&file, FlockOperation::Unlock)?;
        Ok(file)
    }

    fn shm_open2(
        &self,
        call: &Call,
        name: Name<'_>,
        flags: i32,
        mode: u32,
        shmflags: i32,
    ) -> Result<OwnedFd> {
        self.open(call, name, flags, mode, shmflags)
    }

    fn shm_create_largepage(&self, _call: &Call) -> Result<OwnedFd> {
        Err(Errno::ENOTTY)
    }

    fn shm_rename(&self, call: &Call, from: Name<'_>, to: Name<'_>, flags: i32) -> Result<()> {
        let both = NOREPLACE | EXCHANGE;
        if flags & !both != 0 || flags == both {
            return Err(Errno::EINVAL);
        }
        let anonymous = |name| matches!(name, Name::Anonymous);
        if anonymous(from) || anonymous(to) {
            return Err(Errno::EINVAL);
        }
        let view = call.shm();
        let (from_name, to_name) = (from.bytes()?, to.bytes()?);
        let from = view.locate(NameOp::Open, from_name)?;
        let to = view.locate(NameOp::Open, to_name)?;
        if from_name == to_name {
            return Ok(());
        }
        rename(&view, &from, &to, flags)
    }

    fn memfd_create(&self, _call: &Call, name: Name<'_>, flags: u32) -> Result<()> {
        let name = name.bytes_or(Errno::EBADF)?;
        let size_alone = flags & MFD_HUGE_MASK != 0 && flags & libc::MFD_HUGETLB == 0;
        if name.len() > MEMFD_NAME_MAX || flags & !MFD_KNOWN != 0 || size_alone {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }
}

impl FreeBsd {
    /// `kern_shm_open2`.
    fn open(
        &self,
        call: &Call,
        name: Name<'_>,
        flags: i32,
        mode: u32,
        shmflags: i32,
    ) -> Result<OwnedFd> {
        if shmflags & !(ALLOW_SEALING | GROW_ON_WRITE | LARGEPAGE) != 0 {
            return Err(Errno::EINVAL);
        }
        let known = libc::O_CREAT | libc::O_EXCL | libc::O_TRUNC | libc::O_CLOEXEC;
        checked(flags, known)?;
        if shmflags & LARGEPAGE != 0 {
            return Err(Errno::ENOTTY);
        }
        let (file, flags_of_object) = self.find(call, name, flags, mode, shmflags)?;
        if flags & libc::O_CLOEXEC == 0 {
            rustix::io::fcntl_setfd(&file, rustix::io::FdFlags::empty())?;
        }
        if !call.lenient() && flags_of_object & GROW_ON_WRITE == 0 {
            object::watch(file.as_fd(), Rule::FreeBsd);
        }
        Ok(file)
    }

    fn find(
        &self,
        call: &Call,
        name: Name<'_>,
        flags: i32,
        mode: u32,
        shmflags: i32,
    ) -> Result<(OwnedFd, i32)> {
        let view = call.shm();
        if matches!(name, Name::Anonymous) {
            if access(flags) == libc::O_RDONLY {
                return Err(Errno::EINVAL);
            }
            let flags = libc::O_RDWR | libc::O_CLOEXEC;
            return Ok((view.unnamed(flags, mode & 0o777)?, shmflags));
        }
        let table = InKernel {
            exact_mode: false,
            existing: |_, _| Ok(()),
        };
        // O_TRUNC without O_RDWR does nothing.
        let truncates = flags & libc::O_TRUNC != 0 && access(flags) == libc::O_RDWR;
        let (file, new) = table.open(&view, name.bytes()?, flags, mode & 0o777)?;
        if new {
            remember(&file, shmflags);
            return Ok((file, shmflags));
        }
        let of_object = remembered(&file);
        if shmflags != 0 && shmflags != of_object {
            return Err(Errno::EINVAL);
        }
        if truncates {
            rustix::fs::ftruncate(&file, 0)?;
        }
        Ok((file, of_object))
    }
}

fn remember(file: &OwnedFd, shmflags: i32) {
    if shmflags != 0 {
        // A directory without extended attributes only forgets the flags.
        let _ = rustix::fs::fsetxattr(
            file,
            SHMFLAGS,
            shmflags.to_string().as_bytes(),
            XattrFlags::empty(),
        );
    }
}

fn remembered(file: &OwnedFd) -> i32 {
    let mut value = [0_u8; 16];
    let Ok(len) = rustix::fs::fgetxattr(file, SHMFLAGS, &mut value) else {
        return 0;
    };
    value
        .get(..len)
        .and_then(|digits| std::str::from_utf8(digits).ok())
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}

/// `shm_access` for reading and writing: unlink and rename ask it of the object, there is no directory.
fn may_use(view: &View<'_>, spot: &Spot) -> Result<Stat> {
    let flags = libc::O_RDWR | libc::O_CLOEXEC | libc::O_NOFOLLOW;
    let file = view.open(spot, flags, 0)?;
    Ok(rustix::fs::fstat(file.as_fd())?)
}

fn no_directory(errno: Errno) -> Errno {
    match errno {
        Errno::EPERM => Errno::EACCES,
        errno => errno,
    }
}

fn rename(view: &View<'_>, from: &Spot, to: &Spot, flags: i32) -> Result<()> {
    may_use(view, from)?;
    let exists = match may_use(view, to) {
        Ok(_) | Err(Errno::EACCES) if flags & NOREPLACE != 0 => return Err(Errno::EEXIST),
        Ok(_) => true,
        Err(Errno::ENOENT) => false,
        Err(errno) => return Err(errno),
    };
    let how = match flags {
        EXCHANGE if exists => RenameFlags::EXCHANGE,
        NOREPLACE => RenameFlags::NOREPLACE,
        _ => RenameFlags::empty(),
    };
    view.rename(from, to, how).map_err(no_directory)
}

/// A file shorter than a semaphore becomes one; a longer one must bear the magic.
fn in_place(call: &Call, file: &OwnedFd, value: u32) -> Result<()> {
    let size = rustix::fs::fstat(file.as_fd())?.st_size as u64;
    let needed = if call.lenient() {
        SIZE
    } else {
        SIZE + MAGIC.len()
    };
    if size < needed as u64 {
        let whole = [image(value)?.as_slice(), &MAGIC].concat();
        return write_at_start(file, &whole);
    }
    if call.lenient() {
        return Ok(());
    }
    let mut magic = [0; MAGIC.len()];
    match rustix::io::pread(file, &mut magic, SIZE as u64) {
        Ok(_) if magic == MAGIC => Ok(()),
        Ok(_) => Err(Errno::EINVAL),
        Err(errno) => Err(errno.into()),
    }
}
