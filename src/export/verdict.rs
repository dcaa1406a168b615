//! The one table from an operation on a name to what it answers.
//!
//! Rights by the name decide before existence is looked at: whoever may not create a name learns nothing of what is there.
//! A hidden object is absent (`ENOENT`); one that is seen but may not be used so is `EACCES`; what POSIX keeps for an
//! object's owner is `EPERM`. `Ok` is subject to modes and ACLs, which are looked at besides.

use super::rights::Rights;
use crate::errno::{Errno, Result};
use crate::types::Kind;

/// What is at a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Presence {
    /// Nothing.
    Absent,
    /// A regular file.
    File,
    /// A directory, and whether it is one above something that may be granted (`Rules::leads`).
    Directory {
        /// It is seen without a right of its own.
        leads: bool,
    },
    /// A symbolic link, FIFO, socket or device: never exported.
    Other,
}

impl Presence {
    /// What is there, by its type.
    pub fn of(kind: Option<&Kind>, leads: bool) -> Presence {
        match kind {
            None => Presence::Absent,
            Some(Kind::Regular) => Presence::File,
            Some(Kind::Directory) => Presence::Directory { leads },
            Some(
                Kind::Symlink(_)
                | Kind::Fifo
                | Kind::Socket
                | Kind::CharDevice(_)
                | Kind::BlockDevice(_),
            ) => Presence::Other,
        }
    }

    /// Whether it is there and the consumer may know so.
    pub fn is_visible(self, rights: Rights) -> bool {
        match self {
            Presence::Absent | Presence::Other => false,
            Presence::File => rights.shows(),
            Presence::Directory { leads } => leads || rights.shows(),
        }
    }

    fn is_directory(self) -> bool {
        matches!(self, Presence::Directory { .. })
    }

    fn leads(self) -> bool {
        matches!(self, Presence::Directory { leads: true })
    }
}

/// The flags of renameat2(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenameMode {
    /// What has the new name is replaced.
    Replace,
    /// `RENAME_NOREPLACE`.
    NoReplace,
    /// `RENAME_EXCHANGE`; both names are asked for as the target, each with the other as `from`.
    Exchange,
}

/// Extended attributes by what is needed to set them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum XattrClass {
    /// `user.*`
    User,
    /// `trusted.*` and `security.*`
    Privileged,
    /// All others: `system.*` with the ACLs.
    Other,
}

impl XattrClass {
    /// The class of an attribute's name.
    pub fn of(name: &[u8]) -> XattrClass {
        if name.starts_with(b"user.") {
            XattrClass::User
        } else if name.starts_with(b"trusted.") || name.starts_with(b"security.") {
            XattrClass::Privileged
        } else {
            XattrClass::Other
        }
    }
}

/// What a consumer tries on a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// lookup, stat, access(F_OK), open with O_PATH, an entry of a listing (`ENOENT`: left out).
    Lookup,
    /// access(R_OK, W_OK).
    Access {
        /// R_OK
        read: bool,
        /// W_OK
        write: bool,
    },
    /// open without O_CREAT, also again through /proc/self/fd or a handle; a directory: see `ReadDir`.
    Open {
        /// O_RDONLY or O_RDWR
        read: bool,
        /// O_WRONLY or O_RDWR
        write: bool,
        /// O_TRUNC
        truncate: bool,
    },
    /// open with O_CREAT; mknod of a regular file is `exclusive` and asks for no access.
    Create {
        /// O_EXCL
        exclusive: bool,
        /// O_RDONLY or O_RDWR
        read: bool,
        /// O_WRONLY or O_RDWR
        write: bool,
        /// O_TRUNC
        truncate: bool,
    },
    /// open with O_TMPFILE, asked of the directory.
    Tmpfile,
    /// mkdir; the rights are those of the directory (`Rules::of_directory`).
    Mkdir,
    /// symlink, mkfifo, mknod of a device, bind of a socket.
    Special,
    /// unlink.
    Unlink,
    /// rmdir.
    Rmdir,
    /// The old name of a rename within the export.
    RenameFrom,
    /// The new name of a rename, and what the old one may.
    RenameTo {
        /// The rights of the old name; `Rights::ALL` where it is in the consumer's own layer.
        from: Rights,
        /// The flags.
        mode: RenameMode,
    },
    /// The old name of a rename into the consumer's own layer.
    RenameOut,
    /// The old name of a link within the export.
    LinkFrom,
    /// The new name of a link, and what the old one may.
    LinkTo {
        /// The rights of the old name; `Rights::ALL` where it is in the consumer's own layer.
        from: Rights,
    },
    /// The old name of a link into the consumer's own layer.
    LinkOut,
    /// truncate by name.
    Truncate,
    /// chmod.
    Chmod,
    /// chown.
    Chown,
    /// utimensat with times.
    SetTimes,
    /// utimensat with UTIME_NOW.
    Touch,
    /// setxattr and removexattr.
    SetXattr(XattrClass),
    /// getxattr by a program. The kernel's own reading of an ACL is no operation of the consumer's.
    GetXattr,
    /// listxattr.
    ListXattr,
    /// open of a directory and its listing.
    ReadDir,
    /// mmap of a descriptor opened with all that the name allows.
    Map {
        /// PROT_WRITE
        write: bool,
        /// MAP_SHARED
        shared: bool,
        /// PROT_EXEC
        execute: bool,
    },
    /// flock and fcntl locks.
    Lock {
        /// LOCK_EX, F_WRLCK
        exclusive: bool,
    },
}

/// What `operation` answers on a name with `rights` at which `presence` is.
///
/// The rights are those of what is there, as a file or as a directory; where nothing is there or something that is never
/// exported, those of what would be made.
pub fn verdict(operation: Operation, rights: Rights, presence: Presence) -> Result<()> {
    let name = Name { rights, presence };
    match operation {
        Operation::Lookup | Operation::LinkFrom => name.seen(),
        Operation::Access { read, write } => name.access(wanted(read, write)),
        // Also with O_RDONLY: what truncates, writes.
        Operation::Open {
            read,
            write,
            truncate,
        } => name.open(wanted(read, write || truncate)),
        Operation::Create {
            exclusive,
            read,
            write,
            truncate,
        } => name.create(exclusive, wanted(read, write || truncate)),
        Operation::Tmpfile => Err(Errno::EOPNOTSUPP),
        Operation::Mkdir => name.make(),
        Operation::Special => name.vacant().and(Err(Errno::EPERM)),
        Operation::Unlink => name.remove(presence.is_directory(), Errno::EISDIR),
        Operation::Rmdir => name.remove(!presence.is_directory(), Errno::ENOTDIR),
        Operation::RenameFrom => name.needs(Rights::DELETE, Errno::EACCES),
        Operation::RenameTo { from, mode } => name.rename_to(from, mode),
        Operation::RenameOut => {
            name.needs(Rights::DELETE, Errno::EACCES)?;
            Err(Errno::EXDEV)
        }
        Operation::LinkTo { from } => name.link_to(from),
        Operation::LinkOut => name.seen().and(Err(Errno::EXDEV)),
        Operation::Truncate => name.truncate(),
        Operation::Touch | Operation::SetXattr(XattrClass::User) => {
            name.needs(Rights::WRITE, Errno::EACCES)
        }
        Operation::Chmod | Operation::Chown | Operation::SetTimes => {
            name.needs(Rights::WRITE, Errno::EPERM)
        }
        Operation::SetXattr(XattrClass::Privileged) => name.seen().and(Err(Errno::EPERM)),
        Operation::SetXattr(XattrClass::Other) => name.seen().and(Err(Errno::EOPNOTSUPP)),
        Operation::GetXattr | Operation::ListXattr => name.needs(Rights::READ, Errno::EACCES),
        Operation::ReadDir => name.list(),
        Operation::Map {
            write,
            shared,
            execute,
        } => name.map(write && shared, execute),
        Operation::Lock { exclusive } => name.access(wanted(!exclusive, exclusive)),
    }
}

/// A name as the rules see it.
#[derive(Clone, Copy)]
struct Name {
    rights: Rights,
    presence: Presence,
}

impl Name {
    fn is_visible(self) -> bool {
        self.presence.is_visible(self.rights)
    }

    fn seen(self) -> Result<()> {
        allow(self.is_visible(), Errno::ENOENT)
    }

    fn needs(self, rights: Rights, errno: Errno) -> Result<()> {
        self.seen()?;
        allow(self.rights.contains(rights), errno)
    }

    /// What must find the name free: only who may see the object is told that there is one.
    fn vacant(self) -> Result<()> {
        allow(!self.is_visible(), Errno::EEXIST)
    }

    /// A name that comes into being with `rights`. One that something hidden has taken is refused all the same, also
    /// where the rules would let it be made.
    fn comes(self, rights: Rights) -> Result<()> {
        let is_free = self.presence == Presence::Absent;
        let rights = rights | Rights::CREATE;
        allow(is_free && self.rights.contains(rights), Errno::EACCES)
    }

    fn make(self) -> Result<()> {
        self.vacant()?;
        self.comes(Rights::NONE)
    }

    /// Access to what is there. A directory that is only on the way can be read: it shows what is granted below.
    fn access(self, rights: Rights) -> Result<()> {
        let granted = if self.presence.leads() {
            self.rights | Rights::READ
        } else {
            self.rights
        };
        self.seen()?;
        allow(granted.contains(rights), Errno::EACCES)
    }

    fn open(self, rights: Rights) -> Result<()> {
        self.seen()?;
        let is_written = rights.contains(Rights::WRITE);
        allow(!(is_written && self.presence.is_directory()), Errno::EISDIR)?;
        self.access(rights)
    }

    fn create(self, exclusive: bool, rights: Rights) -> Result<()> {
        if !self.is_visible() {
            return self.comes(rights);
        }
        allow(!exclusive, Errno::EEXIST)?;
        // do_open() of fs/namei.c: O_CREAT of a directory.
        allow(!self.presence.is_directory(), Errno::EISDIR)?;
        self.open(rights)
    }

    fn list(self) -> Result<()> {
        self.seen()?;
        allow(self.presence.is_directory(), Errno::ENOTDIR)?;
        self.access(Rights::READ)
    }

    fn truncate(self) -> Result<()> {
        self.seen()?;
        allow(!self.presence.is_directory(), Errno::EISDIR)?;
        self.access(Rights::WRITE)
    }

    /// The wrong type comes first, as in may_delete() of fs/namei.c.
    fn remove(self, is_wrong_type: bool, errno: Errno) -> Result<()> {
        self.seen()?;
        allow(!is_wrong_type, errno)?;
        self.needs(Rights::DELETE, Errno::EACCES)
    }

    fn link_to(self, from: Rights) -> Result<()> {
        self.vacant()?;
        // The kernel's protected_hardlinks comes before its check of the directory.
        allow(!self.widens(from), Errno::EPERM)?;
        self.comes(Rights::NONE)
    }

    fn rename_to(self, from: Rights, mode: RenameMode) -> Result<()> {
        match mode {
            RenameMode::Replace => {}
            RenameMode::NoReplace => self.vacant()?,
            RenameMode::Exchange => self.seen()?,
        }
        if self.is_visible() {
            self.needs(Rights::CREATE | Rights::DELETE, Errno::EACCES)?;
        } else {
            self.comes(Rights::NONE)?;
        }
        allow(!self.widens(from), Errno::EACCES)
    }

    /// Whether this name would give more of an object than the one it has.
    fn widens(self, from: Rights) -> bool {
        !self.rights.access().without(from).is_empty()
    }

    /// do_mmap() looks at the descriptor's access before it looks at noexec.
    fn map(self, write: bool, execute: bool) -> Result<()> {
        self.seen()?;
        allow(!self.presence.is_directory(), Errno::ENODEV)?;
        self.access(wanted(true, write))?;
        allow(!execute, Errno::EPERM)
    }
}

fn wanted(read: bool, write: bool) -> Rights {
    let read = if read { Rights::READ } else { Rights::NONE };
    let write = if write { Rights::WRITE } else { Rights::NONE };
    read | write
}

fn allow(allowed: bool, errno: Errno) -> Result<()> {
    if allowed { Ok(()) } else { Err(errno) }
}
