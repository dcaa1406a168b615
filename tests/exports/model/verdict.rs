//! What an operation answers: the kernel's own checks in its order, then the rules.
//!
//! Where the specification leaves two answers open, both are accepted; that something was
//! changed or told which the rules deny is found by other means (see `table.rs`).

mod descriptors;
mod moves;

use std::fmt;

use super::Rights;
use crate::calls::{Call, Ids, Times, XATTR};
use crate::sys::{
    E, EACCES, EADDRINUSE, EEXIST, EINVAL, EISDIR, ENODATA, ENOENT, ENOTDIR, EOPNOTSUPP, EPERM,
    ESTALE, R,
};

/// What is really at a name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, PartialOrd, Ord)]
pub(crate) enum Presence {
    Absent,
    File,
    Directory,
    /// A FIFO: nothing that can be exported.
    Special,
}

/// Whose credentials the consumer has; the objects are the user's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Who {
    User,
    /// Without CAP_SYS_ADMIN and CAP_SYS_PTRACE.
    Root,
}

/// How it is reached.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    /// A tmpfs without rules: it tells whether the model knows the kernel.
    Plain,
    Passthrough,
    PageCache,
}

/// One name as it is when the operation comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Other {
    pub(crate) rights: Rights,
    pub(crate) presence: Presence,
    /// A directory on the way to a granted pattern.
    pub(crate) leads: bool,
}

impl Other {
    /// What the consumer sees there.
    pub(crate) fn seen(&self) -> Presence {
        match self.presence {
            Presence::Directory if self.leads => Presence::Directory,
            Presence::File | Presence::Directory if self.rights.visible() => self.presence,
            Presence::File | Presence::Directory | Presence::Special | Presence::Absent => {
                Presence::Absent
            }
        }
    }

    /// Whether a new object may come to be there.
    fn is_free(&self) -> bool {
        self.rights.has(Rights::CREATE) && self.presence == Presence::Absent
    }
}

/// All that decides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) who: Who,
    pub(crate) way: Way,
    pub(crate) name: Other,
    /// The second name of link and rename.
    pub(crate) target: Other,
}

/// Which answers are right, and why.
#[derive(Clone)]
pub(crate) struct Expect {
    pub(crate) any: Vec<R>,
    pub(crate) why: &'static str,
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words: Vec<String> = self.any.iter().map(answer).collect();
        write!(f, "{} ({})", words.join(" or "), self.why)
    }
}

/// An answer in one word.
pub(crate) fn answer(result: &R) -> String {
    match result {
        Ok(()) => "OK".to_owned(),
        Err(errno) => format!("{errno:?}"),
    }
}

fn ok(why: &'static str) -> Expect {
    any(&[Ok(())], why)
}

fn no(errno: E, why: &'static str) -> Expect {
    any(&[Err(errno)], why)
}

fn any(answers: &[R], why: &'static str) -> Expect {
    Expect {
        any: answers.to_vec(),
        why,
    }
}

/// `OK` where it is so, or else this refusal.
fn only(allowed: bool, errno: E, why: &'static str) -> Expect {
    if allowed { ok(why) } else { no(errno, why) }
}

/// What this operation answers in this situation.
pub(crate) fn verdict(call: Call, s: &Situation) -> Expect {
    match call {
        Call::Open(flags) => open(flags, s),
        Call::Mkdir => mkdir(s),
        Call::Mknod(kind) => mknod(kind, s),
        Call::Symlink => special(s, EEXIST),
        Call::Bind => special(s, EADDRINUSE),
        Call::Link | Call::LinkPath => moves::link(s),
        Call::Rename(flags) => moves::rename(flags, s),
        Call::Stat
        | Call::Statx
        | Call::Access(_)
        | Call::Truncate
        | Call::Chmod
        | Call::Chown(_)
        | Call::Utimes(_)
        | Call::SetXattr(_)
        | Call::RemoveXattr(_)
        | Call::GetXattr(_)
        | Call::ListXattr
        | Call::Unlink
        | Call::Rmdir
        | Call::Readlink
        | Call::ReadDir
        | Call::By(..)
        | Call::Reopen(_)
        | Call::Handle(_) => existing(call, s),
    }
}

/// Operations that begin by finding the object.
fn existing(call: Call, s: &Situation) -> Expect {
    let is_directory = match s.name.seen() {
        Presence::Absent | Presence::Special => return no(ENOENT, "not in the consumer's world"),
        Presence::File => false,
        Presence::Directory => true,
    };
    let has = |right| s.name.rights.has(right);
    match call {
        Call::Stat | Call::Statx => ok("it is visible"),
        Call::Access(mode) => access(mode, s, is_directory),
        Call::Truncate if is_directory => no(EISDIR, "the kernel: a directory"),
        Call::Truncate => only(has(Rights::WRITE), EACCES, "truncate needs write"),
        Call::Chmod => owners(s),
        Call::Chown(Ids::Same) => owners(s),
        Call::Chown(Ids::Neither) => asks_for_nothing(s),
        Call::Utimes(times) => utimes(times, s),
        Call::SetXattr(name) => set_xattr(name, s),
        Call::RemoveXattr(_) => only(has(Rights::WRITE), EACCES, "user.* needs write"),
        Call::GetXattr(name) => get_xattr(name, s),
        Call::ListXattr => only(has(Rights::READ), EACCES, "listxattr needs read"),
        Call::Unlink if is_directory => no(EISDIR, "the kernel: a directory"),
        Call::Rmdir if !is_directory => no(ENOTDIR, "the kernel: not a directory"),
        Call::Unlink | Call::Rmdir => only(has(Rights::DELETE), EACCES, "needs delete"),
        Call::Readlink => no(EINVAL, "the kernel: not a symbolic link"),
        Call::ReadDir if !is_directory => no(ENOTDIR, "the kernel: not a directory"),
        Call::ReadDir => lists(s),
        Call::By(flags, then) => descriptors::by_descriptor(flags, then, s),
        Call::Reopen(flags) => open(flags, s),
        Call::Handle(flags) => handle(flags, s),
        Call::Open(_)
        | Call::Mkdir
        | Call::Mknod(_)
        | Call::Symlink
        | Call::Bind
        | Call::Link
        | Call::LinkPath
        | Call::Rename(_) => unreachable!("{call:?} has a rule of its own"),
    }
}

fn access(mode: i32, s: &Situation, is_directory: bool) -> Expect {
    if mode == libc::F_OK {
        return ok("it is visible");
    }
    if mode == libc::X_OK {
        return only(is_directory, EACCES, "the kernel: files have no x");
    }
    if s.who == Who::Root || is_directory {
        let both = [Ok(()), Err(EACCES)];
        return any(
            &both,
            "the kernel alone answers, from the mode that is shown",
        );
    }
    let needed = if mode == libc::W_OK {
        Rights::WRITE
    } else {
        Rights::READ
    };
    only(
        s.name.rights.has(needed),
        EACCES,
        "the mode shows what is granted",
    )
}

/// chmod, chown and times that are given: what POSIX leaves to the owner.
fn owners(s: &Situation) -> Expect {
    let may = s.name.rights.has(Rights::WRITE);
    only(may, EPERM, "attributes need write; EPERM as for a stranger")
}

fn asks_for_nothing(s: &Situation) -> Expect {
    if s.name.rights.has(Rights::WRITE) {
        return ok("write allows it");
    }
    any(
        &[Ok(()), Err(EPERM)],
        "it asks for nothing; nothing may change",
    )
}

fn utimes(times: Times, s: &Situation) -> Expect {
    let may = s.name.rights.has(Rights::WRITE);
    match times {
        Times::Given => owners(s),
        Times::Now => only(may, EACCES, "times of now need write; EACCES as POSIX says"),
        Times::HalfNow if may => ok("write allows it"),
        Times::HalfNow => any(&[Err(EPERM), Err(EACCES)], "times need write"),
    }
}

fn set_xattr(name: &str, s: &Situation) -> Expect {
    let may = s.name.rights.has(Rights::WRITE);
    let plain_root = s.way == Way::Plain && s.who == Who::Root;
    if name.starts_with("user.") {
        return only(may, EACCES, "user.* needs write");
    }
    if name.starts_with("trusted.") || name.starts_with("security.") {
        if plain_root && name == "security.capability" {
            return any(&[Ok(()), Err(EPERM)], "tmpfs lets CAP_SETFCAP");
        }
        let both = Rights::READ.and(Rights::WRITE);
        let shares_node = s.way == Way::PageCache && s.name.rights.has(both);
        if shares_node && s.who == Who::Root && name == "security.capability" {
            // Such a request says nothing of where it comes from; the mount is nosuid.
            return any(&[Ok(()), Err(EPERM)], "the node is the tree's own");
        }
        return no(EPERM, "always refused to consumers");
    }
    if name.starts_with("system.posix_acl_") {
        return acl(name, may, s);
    }
    if !may && s.who == Who::User {
        // The kernel may look at the mode first.
        return any(&[Err(EOPNOTSUPP), Err(EACCES)], "no such kind of attribute");
    }
    no(EOPNOTSUPP, "no such kind of attribute")
}

/// The table has no line of its own for ACLs: they are refused like other attributes, or
/// allowed like a chmod.
fn acl(name: &str, may: bool, s: &Situation) -> Expect {
    if name.ends_with("default") && s.name.presence == Presence::File {
        return any(
            &[Err(EACCES), Err(EPERM), Err(EOPNOTSUPP)],
            "files have no default ACL",
        );
    }
    if may {
        return any(&[Ok(()), Err(EOPNOTSUPP)], "like chmod, or not offered");
    }
    any(
        &[Err(EPERM), Err(EACCES), Err(EOPNOTSUPP)],
        "an ACL needs write",
    )
}

fn get_xattr(name: &str, s: &Situation) -> Expect {
    let may = s.name.rights.has(Rights::READ);
    if name == XATTR {
        return only(may, EACCES, "getxattr needs read");
    }
    let none = [Err(ENODATA), Err(EOPNOTSUPP), Err(EACCES)];
    any(&none[..if may { 2 } else { 3 }], "there is none")
}

fn lists(s: &Situation) -> Expect {
    if s.name.rights.has(Rights::READ) || s.name.leads {
        return ok("a directory is listed with read, or on the way to a grant");
    }
    let either = [Err(EACCES), Ok(())];
    any(&either, "read is missing; nothing can be visible in it")
}

fn handle(flags: i32, s: &Situation) -> Expect {
    let mut expected = match s.who {
        Who::User => no(EPERM, "the kernel: CAP_DAC_READ_SEARCH"),
        Who::Root => open(flags, s),
    };
    if s.who == Who::Root && s.way != Way::Plain {
        expected.any.push(Err(ESTALE));
    }
    expected
}

/// The access that open flags ask for.
fn asked(flags: i32) -> Rights {
    match flags & libc::O_ACCMODE {
        libc::O_RDONLY => Rights::READ,
        libc::O_WRONLY => Rights::WRITE,
        _ => Rights::READ.and(Rights::WRITE),
    }
}

fn open(flags: i32, s: &Situation) -> Expect {
    let is = |flag: i32| flags & flag == flag;
    if is(libc::O_PATH) {
        let visible = s.name.seen() != Presence::Absent;
        return only(visible, ENOENT, "O_PATH is a lookup");
    }
    if is(libc::O_TMPFILE) {
        return unnamed(s);
    }
    match s.name.seen() {
        Presence::Absent | Presence::Special if !is(libc::O_CREAT) => {
            no(ENOENT, "not in the consumer's world")
        }
        Presence::Absent | Presence::Special => open_new(flags, s),
        Presence::File | Presence::Directory if is(libc::O_CREAT | libc::O_EXCL) => {
            no(EEXIST, "it is visible, so that it exists may be told")
        }
        Presence::File => open_file(flags, s),
        Presence::Directory if is(libc::O_CREAT) => no(EISDIR, "the kernel: a directory"),
        Presence::Directory if asked(flags) != Rights::READ || is(libc::O_TRUNC) => {
            no(EISDIR, "the kernel: a directory")
        }
        Presence::Directory => lists(s),
    }
}

fn unnamed(s: &Situation) -> Expect {
    match s.name.seen() {
        Presence::Absent | Presence::Special => no(ENOENT, "not in the consumer's world"),
        Presence::File => no(ENOTDIR, "the kernel: not a directory"),
        Presence::Directory if s.way == Way::Plain => ok("tmpfs has unnamed files"),
        Presence::Directory => no(EOPNOTSUPP, "no unnamed files in an export"),
    }
}

fn open_new(flags: i32, s: &Situation) -> Expect {
    if !s.name.is_free() {
        return no(
            EACCES,
            "needs create; the same whether something hidden is there",
        );
    }
    if !s.name.rights.has(asked(flags)) {
        return no(EACCES, "needs all the access that is asked for");
    }
    if flags & libc::O_TRUNC != 0 && !s.name.rights.has(Rights::WRITE) {
        return any(&[Ok(()), Err(EACCES)], "nothing is there to be truncated");
    }
    ok("create and all the access that is asked for")
}

fn open_file(flags: i32, s: &Situation) -> Expect {
    if flags & libc::O_DIRECTORY != 0 {
        return no(ENOTDIR, "the kernel: not a directory");
    }
    let mut needed = asked(flags);
    if flags & libc::O_TRUNC != 0 {
        needed = needed.and(Rights::WRITE);
    }
    only(
        s.name.rights.has(needed),
        EACCES,
        "needs the access that is asked for",
    )
}

fn mkdir(s: &Situation) -> Expect {
    if s.name.seen() != Presence::Absent {
        return no(EEXIST, "it is visible, so that it exists may be told");
    }
    only(
        s.name.is_free(),
        EACCES,
        "needs create by a directory pattern",
    )
}

fn special(s: &Situation, exists: E) -> Expect {
    if s.name.seen() != Presence::Absent {
        return no(exists, "it is visible, so that it exists may be told");
    }
    if s.way == Way::Plain {
        return ok("tmpfs has special files");
    }
    no(EPERM, "an export has no special files")
}

fn mknod(kind: u32, s: &Situation) -> Expect {
    if kind != libc::S_IFREG {
        // A character device 0:0 is a whiteout, which anybody may make.
        if kind == libc::S_IFBLK && s.who == Who::User && s.name.seen() == Presence::Absent {
            return no(EPERM, "the kernel: CAP_MKNOD");
        }
        return special(s, EEXIST);
    }
    if s.name.seen() != Presence::Absent {
        return no(EEXIST, "it is visible, so that it exists may be told");
    }
    if !s.name.is_free() {
        return any(
            &[Err(EPERM), Err(EACCES)],
            "needs create, if mknod makes files at all",
        );
    }
    let answers = [Ok(()), Err(EPERM)];
    any(
        &answers,
        "create is granted, and mknod may be refused as such",
    )
}
