//! What a platform's rules say of a descriptor that shm_open gave.
//!
//! Objects are known by what they are (device, inode, time of birth), not by descriptor number: a
//! descriptor is copied, passed on and closed in ways that a library does not see. The table is read
//! without a lock, because read and write are called in signal handlers.

use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};

use rustix::fs::{AtFlags, OFlags, Stat, StatxFlags};

use crate::errno::Errno;
use crate::session;

/// Which platform's rules an object is under.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Rule {
    /// None.
    Host = 0,
    /// One ftruncate, rounded up to a page; no read, write or lseek; mappings are shared.
    Xnu = 1,
    /// The same, with another errno.
    XnuOld = 2,
    /// write(2) never makes it longer.
    FreeBsd = 3,
}

/// What an object is, as long as it lives.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
    birth: u64,
}

struct Slot {
    device: AtomicU64,
    inode: AtomicU64,
    birth: AtomicU64,
    rule: AtomicU8,
    sized: AtomicBool,
}

/// More objects than a program opens; when they are exceeded, the oldest go by the host's rules.
const SLOTS: usize = 512;

static TABLE: [Slot; SLOTS] = [const {
    Slot {
        device: AtomicU64::new(0),
        inode: AtomicU64::new(0),
        birth: AtomicU64::new(0),
        rule: AtomicU8::new(0),
        sized: AtomicBool::new(false),
    }
}; SLOTS];
/// How many were ever taken; as long as it is 0, every call goes straight to the host.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// Puts the object under the rule.
pub(crate) fn watch(file: BorrowedFd<'_>, rule: Rule) {
    let Some(identity) = identity(file) else {
        return;
    };
    if find(identity).is_some() {
        return;
    }
    let slot = &TABLE[TAKEN.fetch_add(1, Ordering::Relaxed) % SLOTS];
    // A reader that sees half of it compares unequal, or compares again.
    slot.rule.store(Rule::Host as u8, Ordering::SeqCst);
    slot.device.store(identity.device, Ordering::SeqCst);
    slot.inode.store(identity.inode, Ordering::SeqCst);
    slot.birth.store(identity.birth, Ordering::SeqCst);
    slot.sized.store(false, Ordering::SeqCst);
    slot.rule.store(rule as u8, Ordering::SeqCst);
}

fn identity(file: BorrowedFd<'_>) -> Option<Identity> {
    let wanted = StatxFlags::INO | StatxFlags::BTIME;
    if let Ok(found) = rustix::fs::statx(file, "", AtFlags::EMPTY_PATH, wanted) {
        return Some(Identity {
            device: u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor),
            inode: found.stx_ino,
            birth: (found.stx_btime.tv_sec as u64)
                .wrapping_mul(1_000_000_000)
                .wrapping_add(u64::from(found.stx_btime.tv_nsec)),
        });
    }
    let found = rustix::fs::fstat(file).ok()?;
    Some(Identity {
        device: found.st_dev,
        inode: found.st_ino,
        birth: 0,
    })
}

fn find(identity: Identity) -> Option<(&'static Slot, Rule)> {
    let used = TAKEN.load(Ordering::Relaxed).min(SLOTS);
    TABLE.iter().take(used).find_map(|slot| {
        let rule = match slot.rule.load(Ordering::SeqCst) {
            1 => Rule::Xnu,
            2 => Rule::XnuOld,
            3 => Rule::FreeBsd,
            _ => return None,
        };
        let seen = Identity {
            device: slot.device.load(Ordering::SeqCst),
            inode: slot.inode.load(Ordering::SeqCst),
            birth: slot.birth.load(Ordering::SeqCst),
        };
        (seen == identity).then_some((slot, rule))
    })
}

fn ruled(fd: i32) -> Option<(BorrowedFd<'static>, &'static Slot, Rule)> {
    if TAKEN.load(Ordering::Relaxed) == 0 {
        return None;
    }
    let file = crate::sys::borrowed(fd)?;
    let (slot, rule) = find(identity(file)?)?;
    Some((file, slot, rule))
}

fn refused(call: &str, fd: i32, errno: Errno) -> Errno {
    if let Some(Ok(session)) = session::current() {
        if session.trace {
            crate::trace::refused(session.shm.key, call, fd, errno);
        }
    }
    errno
}

/// How a call touches the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// read, readv.
    Read,
    /// write, writev.
    Write,
    /// pread, preadv, pwrite, pwritev.
    At,
    /// lseek.
    Seek,
}

/// The errno with which the platform refuses the call.
pub(crate) fn refuse(fd: i32, access: Access) -> Option<Errno> {
    let (_, _, rule) = ruled(fd)?;
    let (call, errno) = match (rule, access) {
        (Rule::Host | Rule::FreeBsd, _) => return None,
        (Rule::Xnu, Access::Read) => ("read", Errno::ENXIO),
        (Rule::Xnu, Access::Write) => ("write", Errno::ENXIO),
        (Rule::XnuOld, Access::Read) => ("read", Errno::EOPNOTSUPP),
        (Rule::XnuOld, Access::Write) => ("write", Errno::EOPNOTSUPP),
        (Rule::Xnu | Rule::XnuOld, Access::At) => ("pread or pwrite", Errno::ESPIPE),
        (Rule::Xnu | Rule::XnuOld, Access::Seek) => ("lseek", Errno::ESPIPE),
    };
    Some(refused(call, fd, errno))
}

/// How many of `count` bytes a write at this offset (or at the descriptor's own) may carry.
pub(crate) fn writable(fd: i32, offset: Option<i64>, count: usize) -> usize {
    let Some((file, _, Rule::FreeBsd)) = ruled(fd) else {
        return count;
    };
    let at = match offset {
        Some(offset) => u64::try_from(offset).ok(),
        None => rustix::fs::tell(file).ok(),
    };
    match (at, rustix::fs::fstat(file)) {
        (Some(at), Ok(stat)) => {
            let left = (stat.st_size as u64).saturating_sub(at);
            count.min(usize::try_from(left).unwrap_or(usize::MAX))
        }
        _ => count,
    }
}

/// What becomes of an ftruncate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Truncation {
    /// The host's, with this length.
    Host(i64),
    /// The same, on a descriptor that cannot write.
    Reopened(i64),
    /// The platform refuses it.
    Refused(Errno),
}

/// `pshm_truncate`: once in the object's life, rounded up to a page.
pub(crate) fn truncation(fd: i32, length: i64) -> Truncation {
    let Some((file, slot, Rule::Xnu | Rule::XnuOld)) = ruled(fd) else {
        return Truncation::Host(length);
    };
    let size = rustix::fs::fstat(file).map_or(0, |stat| stat.st_size);
    if length < 0 || size > 0 || slot.sized.swap(true, Ordering::SeqCst) {
        return Truncation::Refused(refused("ftruncate", fd, Errno::EINVAL));
    }
    let page = crate::sys::page_size() as i64;
    let rounded = length.saturating_add(page - 1) / page * page;
    if writes(file) {
        Truncation::Host(rounded)
    } else {
        Truncation::Reopened(rounded)
    }
}

/// The ftruncate that was let through has failed: the object has no size yet.
pub(crate) fn truncation_failed(fd: i32) {
    if let Some((_, slot, _)) = ruled(fd) {
        slot.sized.store(false, Ordering::SeqCst);
    }
}

fn writes(file: BorrowedFd<'_>) -> bool {
    rustix::fs::fcntl_getfl(file).is_ok_and(|flags| flags.intersects(OFlags::WRONLY | OFlags::RDWR))
}

/// `pshm_mmap`: the errno with which the platform refuses the mapping.
pub(crate) fn mapping(fd: i32, len: usize, prot: i32, flags: i32, offset: i64) -> Option<Errno> {
    let (file, _, Rule::Xnu | Rule::XnuOld) = ruled(fd)? else {
        return None;
    };
    let stat = rustix::fs::fstat(file).ok()?;
    let errno = if flags & libc::MAP_SHARED == 0 {
        Errno::EINVAL
    } else if prot & libc::PROT_WRITE != 0 && !writes(file) {
        Errno::EPERM
    } else if !within(&stat, len, offset) {
        Errno::EINVAL
    } else {
        return None;
    };
    Some(refused("mmap", fd, errno))
}

fn within(stat: &Stat, len: usize, offset: i64) -> bool {
    let end = u64::try_from(offset)
        .ok()
        .and_then(|offset| offset.checked_add(len as u64));
    stat.st_size > 0 && end.is_some_and(|end| end <= stat.st_size as u64)
}

/// Whether fstat tells no type of file.
pub(crate) fn hides_type(fd: i32) -> bool {
    matches!(ruled(fd), Some((_, _, Rule::Xnu | Rule::XnuOld)))
}
