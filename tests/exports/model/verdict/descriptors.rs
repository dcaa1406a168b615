//! What is done with a descriptor: its own flags decide, and the rules for attributes.

use super::{Expect, Situation, Way, any, asked, no, ok, only, open, owners, utimes};
use crate::calls::Descriptor;
use crate::model::Rights;
use crate::sys::{EACCES, EBADF, EINVAL, ENODEV, EPERM};

pub(super) fn by_descriptor(flags: i32, then: Descriptor, s: &Situation) -> Expect {
    let opened = open(flags, s);
    if !opened.any.contains(&Ok(())) {
        return opened;
    }
    let path_only = flags & libc::O_PATH != 0;
    let readable = !path_only && asked(flags).has(Rights::READ);
    let writable = !path_only && asked(flags).has(Rights::WRITE);
    if path_only {
        return match then {
            Descriptor::Fstat => ok("O_PATH may be stat-ed"),
            Descriptor::Reopen(flags) => open(flags, s),
            Descriptor::EmptyPathChmod => owners(s),
            _ => no(EBADF, "the kernel: O_PATH"),
        };
    }
    let append = flags & libc::O_APPEND != 0;
    let has = |right| s.name.rights.has(right);
    match then {
        Descriptor::Fstat | Descriptor::Seek(_) | Descriptor::Fsync => ok("it is open"),
        Descriptor::Read | Descriptor::CopyFrom => only(readable, EBADF, "the kernel: O_WRONLY"),
        Descriptor::Write | Descriptor::Fallocate(_) => {
            only(writable, EBADF, "the kernel: O_RDONLY")
        }
        Descriptor::CopyTo => only(writable && !append, EBADF, "the kernel: not writable here"),
        Descriptor::Ftruncate => only(writable, EINVAL, "the kernel: O_RDONLY"),
        Descriptor::Fchmod | Descriptor::Fchown | Descriptor::EmptyPathChmod => owners(s),
        Descriptor::Futimes(times) => utimes(times, s),
        Descriptor::Fsetxattr => only(has(Rights::WRITE), EACCES, "user.* needs write"),
        Descriptor::Fgetxattr => only(has(Rights::READ), EACCES, "getxattr needs read"),
        Descriptor::Mmap { prot, shared } => mmap(prot, shared, readable, writable, s),
        Descriptor::Mprotect { prot, shared } => mprotect(prot, shared, readable, writable, s),
        Descriptor::Flock(libc::LOCK_EX) if !has(Rights::WRITE) => any(
            &[Ok(()), Err(EACCES)],
            "EACCES, or a lock that this export alone sees",
        ),
        Descriptor::Flock(_) => ok("locks go with the access"),
        Descriptor::Lock {
            kind: libc::F_RDLCK,
            ..
        } => only(readable, EBADF, "the kernel: O_WRONLY"),
        Descriptor::Lock { .. } => only(writable, EBADF, "the kernel: O_RDONLY"),
        Descriptor::Reopen(flags) => open(flags, s),
    }
}

fn mmap(prot: i32, shared: bool, readable: bool, writable: bool, s: &Situation) -> Expect {
    if shared && prot & libc::PROT_WRITE != 0 && !writable {
        return no(EACCES, "the kernel: the descriptor is not writable");
    }
    if !readable {
        return no(EACCES, "the kernel: the descriptor is not readable");
    }
    if prot & libc::PROT_EXEC != 0 {
        return no(EPERM, "noexec");
    }
    let both = Rights::READ.and(Rights::WRITE);
    if shared && s.way == Way::PageCache && !s.name.rights.has(both) {
        return no(
            ENODEV,
            "without passthrough a restricted file is opened for direct I/O",
        );
    }
    ok("the descriptor allows it")
}

fn mprotect(prot: i32, shared: bool, readable: bool, writable: bool, s: &Situation) -> Expect {
    let mapped = mmap(libc::PROT_READ, shared, readable, writable, s);
    if !mapped.any.contains(&Ok(())) {
        return mapped;
    }
    if prot & libc::PROT_EXEC != 0 {
        return no(EACCES, "noexec");
    }
    let may = !shared || writable || prot & libc::PROT_WRITE == 0;
    only(may, EACCES, "the kernel: the descriptor is not writable")
}
