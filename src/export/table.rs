//! The operations by the names that people give them: what `shmfs export explain` and docs/EXPORTS.md show of `verdict`.

use super::rights::Rights;
use super::verdict::{Operation, RenameMode, XattrClass};

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// Either.
    Both,
    /// A file, where the consumer has a layer of its own.
    Layer,
}

/// A line of the table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What a program does.
    pub label: &'static str,
    /// What that is.
    pub operation: Operation,
    /// What it is about.
    pub subject: Subject,
}

const fn row(subject: Subject, label: &'static str, operation: Operation) -> Row {
    Row {
        label,
        operation,
        subject,
    }
}

const fn open(read: bool, write: bool, truncate: bool) -> Operation {
    Operation::Open {
        read,
        write,
        truncate,
    }
}

const fn create(exclusive: bool, read: bool, write: bool) -> Operation {
    Operation::Create {
        exclusive,
        read,
        write,
        truncate: false,
    }
}

const fn map(write: bool, execute: bool) -> Operation {
    Operation::Map {
        write,
        shared: true,
        execute,
    }
}

use Subject::{Both, Directory, File, Layer};

const REPLACE: RenameMode = RenameMode::Replace;

/// All lines but those of locks, which the kernel keeps for each node and answers itself. Where a second name is needed, it is one with the same rights.
pub const ROWS: &[Row] = &[
    row(Both, "stat, access(F_OK), O_PATH", Operation::Lookup),
    row(File, "open O_RDONLY", open(true, false, false)),
    row(File, "open O_WRONLY", open(false, true, false)),
    row(File, "open O_RDWR", open(true, true, false)),
    row(File, "open O_RDONLY|O_TRUNC", open(true, false, true)),
    row(File, "open O_RDONLY|O_CREAT", create(false, true, false)),
    row(File, "open O_RDWR|O_CREAT", create(false, true, true)),
    row(File, "open O_RDWR|O_CREAT|O_EXCL", create(true, true, true)),
    row(File, "open O_TMPFILE", Operation::Tmpfile),
    row(
        Both,
        "access(W_OK)",
        Operation::Access {
            read: false,
            write: true,
        },
    ),
    row(File, "symlink, mkfifo, mknod, bind", Operation::Special),
    row(File, "unlink", Operation::Unlink),
    row(Both, "rename from it", Operation::RenameFrom),
    row(
        Both,
        "rename a file of all rights to it",
        Operation::RenameTo {
            from: Rights::ALL,
            mode: REPLACE,
        },
    ),
    row(
        Both,
        "rename a read-only file to it",
        Operation::RenameTo {
            from: Rights::READ,
            mode: REPLACE,
        },
    ),
    row(Layer, "rename it into the own layer", Operation::RenameOut),
    row(File, "link from it", Operation::LinkFrom),
    row(
        File,
        "link a file of all rights to it",
        Operation::LinkTo { from: Rights::ALL },
    ),
    row(
        File,
        "link a read-only file to it",
        Operation::LinkTo { from: Rights::READ },
    ),
    row(Layer, "link it into the own layer", Operation::LinkOut),
    row(File, "truncate", Operation::Truncate),
    row(Both, "chmod", Operation::Chmod),
    row(Both, "chown", Operation::Chown),
    row(Both, "utimensat with times", Operation::SetTimes),
    row(Both, "utimensat now", Operation::Touch),
    row(
        Both,
        "setxattr user.*",
        Operation::SetXattr(XattrClass::User),
    ),
    row(
        Both,
        "setxattr trusted.*, security.*",
        Operation::SetXattr(XattrClass::Privileged),
    ),
    row(
        Both,
        "setxattr of others, ACLs",
        Operation::SetXattr(XattrClass::Other),
    ),
    row(Both, "getxattr", Operation::GetXattr),
    row(Both, "listxattr", Operation::ListXattr),
    row(File, "mmap MAP_SHARED PROT_READ", map(false, false)),
    row(File, "mmap MAP_SHARED PROT_WRITE", map(true, false)),
    row(File, "mmap PROT_EXEC", map(false, true)),
    row(Directory, "mkdir", Operation::Mkdir),
    row(Directory, "rmdir", Operation::Rmdir),
    row(Directory, "opendir, readdir", Operation::ReadDir),
];
