//! What link and rename answer: two names decide.

use super::{Expect, Presence, Situation, Way, any, no, ok};
use crate::model::Rights;
use crate::sys::{EACCES, EEXIST, EINVAL, EISDIR, ENOENT, ENOTDIR, EPERM};

pub(super) fn link(s: &Situation) -> Expect {
    let from = match s.name.seen() {
        Presence::Absent | Presence::Special => return no(ENOENT, "no such source"),
        seen => seen,
    };
    if s.target.seen() != Presence::Absent {
        return no(EEXIST, "the target is visible");
    }
    if from == Presence::Directory {
        return no(EPERM, "the kernel: a directory");
    }
    let widens = s.target.rights.widens(s.name.rights);
    match (s.target.is_free(), widens) {
        (true, false) => ok("create on the target, and no right is won"),
        (true, true) => no(EPERM, "a link may not have more of read and write"),
        (false, false) => no(EACCES, "the target needs create"),
        (false, true) => any(&[Err(EACCES), Err(EPERM)], "no create, and it would widen"),
    }
}

pub(super) fn rename(flags: u32, s: &Situation) -> Expect {
    let (noreplace, exchange, whiteout) = (
        flags & libc::RENAME_NOREPLACE != 0,
        flags & libc::RENAME_EXCHANGE != 0,
        flags & libc::RENAME_WHITEOUT != 0,
    );
    if exchange && (noreplace || whiteout) {
        return no(EINVAL, "the kernel: these flags exclude each other");
    }
    let (from, to) = (s.name.seen(), s.target.seen());
    if from == Presence::Absent {
        return no(ENOENT, "no such source");
    }
    if noreplace && to != Presence::Absent {
        return no(EEXIST, "the target is visible");
    }
    if exchange && to == Presence::Absent {
        return no(ENOENT, "nothing to exchange with");
    }
    match (from, to) {
        (Presence::Directory, Presence::File) if !exchange => {
            return no(ENOTDIR, "the kernel: a directory replaces a file");
        }
        (Presence::File, Presence::Directory) if !exchange => {
            return no(EISDIR, "the kernel: a file replaces a directory");
        }
        _ => {}
    }
    if whiteout && s.way != Way::Plain {
        let refusals = [Err(EPERM), Err(EACCES), Err(EINVAL), Err(EEXIST)];
        let told = if to == Presence::Absent { 3 } else { 4 };
        return any(&refusals[..told], "a whiteout is a special file");
    }
    moved(to, exchange, s)
}

/// What the rules say of a rename that the kernel lets pass.
fn moved(to: Presence, exchange: bool, s: &Situation) -> Expect {
    let (source, target) = (s.name, s.target);
    let replaces = to != Presence::Absent;
    let whole = Rights::CREATE.and(Rights::DELETE);
    if !source.rights.has(Rights::DELETE) {
        return no(EACCES, "the source needs delete");
    }
    if !replaces && !target.is_free() {
        return no(
            EACCES,
            "the target needs create; the same whether something hidden is there",
        );
    }
    if replaces && !target.rights.has(whole) {
        return no(EACCES, "the target needs create and delete");
    }
    if target.rights.widens(source.rights) {
        return no(EACCES, "a rename may not win read or write");
    }
    if exchange && (!source.rights.has(whole) || source.rights.widens(target.rights)) {
        return no(EACCES, "an exchange is a rename both ways");
    }
    ok("delete here, create there, and no right is won")
}
