//! The table of operations, row by row: hidden, read-only and full names, absent and present, and what a single right gives.

use shmfs::errno::Errno;
use shmfs::export::{Operation, Presence, RenameMode, Rights, XattrClass, verdict};

use Presence::{Absent, File, Other};

const DIRECTORY: Presence = Presence::Directory { leads: false };
const WAY: Presence = Presence::Directory { leads: true };
const NONE: Rights = Rights::NONE;
const READ: Rights = Rights::READ;
const WRITE: Rights = Rights::WRITE;
const CREATE: Rights = Rights::CREATE;
const DELETE: Rights = Rights::DELETE;
const ALL: Rights = Rights::ALL;

/// The errno's name, or `-`.
fn answer(operation: Operation, rights: Rights, presence: Presence) -> &'static str {
    match verdict(operation, rights, presence) {
        Ok(()) => "-",
        Err(errno) => errno.name().unwrap(),
    }
}

/// What a present file answers: hidden, read-only, full.
fn row(operation: Operation) -> [&'static str; 3] {
    [NONE, READ, ALL].map(|rights| answer(operation, rights, File))
}

/// What an absent name answers.
fn absent(operation: Operation) -> [&'static str; 3] {
    [NONE, READ, ALL].map(|rights| answer(operation, rights, Absent))
}

fn open(read: bool, write: bool, truncate: bool) -> Operation {
    Operation::Open {
        read,
        write,
        truncate,
    }
}

fn create(exclusive: bool, read: bool, write: bool, truncate: bool) -> Operation {
    Operation::Create {
        exclusive,
        read,
        write,
        truncate,
    }
}

fn rename_to(from: Rights, mode: RenameMode) -> Operation {
    Operation::RenameTo { from, mode }
}

#[test]
fn lookup_and_open() {
    assert_eq!(row(Operation::Lookup), ["ENOENT", "-", "-"]);
    assert_eq!(row(open(true, false, false)), ["ENOENT", "-", "-"]);
    assert_eq!(row(open(false, true, false)), ["ENOENT", "EACCES", "-"]);
    assert_eq!(row(open(true, true, false)), ["ENOENT", "EACCES", "-"]);
    assert_eq!(
        row(open(true, false, true)),
        ["ENOENT", "EACCES", "-"],
        "O_RDONLY|O_TRUNC"
    );
    let access = Operation::Access {
        read: false,
        write: true,
    };
    assert_eq!(row(access), ["ENOENT", "EACCES", "-"]);
    for operation in [Operation::Lookup, open(true, false, false)] {
        assert_eq!(absent(operation), ["ENOENT"; 3]);
    }
    assert_eq!(answer(open(true, false, false), WRITE, File), "EACCES");
    assert_eq!(answer(open(false, true, false), WRITE, File), "-");
    assert_eq!(answer(open(true, false, true), WRITE, File), "EACCES");
    assert_eq!(answer(Operation::Lookup, DELETE, File), "-");
    assert_eq!(answer(open(true, false, false), DELETE, File), "EACCES");
}

#[test]
fn open_with_o_creat() {
    for (read, write) in [(true, false), (false, true), (true, true)] {
        for exclusive in [false, true] {
            let found = absent(create(exclusive, read, write, false));
            assert_eq!(found, ["EACCES", "EACCES", "-"]);
        }
        assert_eq!(
            row(create(true, read, write, false)),
            ["EACCES", "EEXIST", "EEXIST"]
        );
        let as_without = if write { "EACCES" } else { "-" };
        assert_eq!(
            row(create(false, read, write, false)),
            ["EACCES", as_without, "-"]
        );
    }
    assert_eq!(
        answer(create(false, true, true, false), READ | CREATE, Absent),
        "EACCES",
        "all access that is asked for"
    );
    assert_eq!(
        answer(create(false, true, false, false), READ | CREATE, Absent),
        "-"
    );
    assert_eq!(
        answer(create(false, true, false, true), READ | CREATE, Absent),
        "EACCES",
        "O_TRUNC writes"
    );
    assert_eq!(
        answer(create(false, true, true, false), READ | WRITE, Absent),
        "EACCES"
    );
    assert_eq!(
        answer(create(false, true, true, false), READ | WRITE, File),
        "-",
        "create is not needed"
    );
    assert_eq!(
        answer(create(true, false, false, false), ALL, Absent),
        "-",
        "mknod"
    );
    assert_eq!(
        answer(create(false, true, false, false), ALL, DIRECTORY),
        "EISDIR"
    );
}

/// Whoever may not create a name gets one answer, whatever is there and whatever it may not see.
#[test]
fn creation_tells_nothing_of_what_is_hidden() {
    let made = [
        create(true, true, true, false),
        create(false, true, false, false),
        Operation::Mkdir,
        Operation::Special,
        Operation::Tmpfile,
        Operation::LinkTo { from: ALL },
        rename_to(ALL, RenameMode::Replace),
        rename_to(ALL, RenameMode::NoReplace),
        rename_to(ALL, RenameMode::Exchange),
    ];
    for operation in made {
        let nothing = answer(operation, NONE, Absent);
        for presence in [File, DIRECTORY, Other] {
            assert_eq!(
                answer(operation, NONE, presence),
                nothing,
                "{operation:?} {presence:?}"
            );
        }
        assert_ne!(nothing, "EEXIST");
        assert_ne!(nothing, "-");
    }
}

/// All other operations answer for what is hidden as for what is not there.
#[test]
fn what_is_hidden_is_absent() {
    for operation in all() {
        for presence in [File, DIRECTORY, Other] {
            let hidden = answer(operation, NONE, presence);
            assert_eq!(
                hidden,
                answer(operation, NONE, Absent),
                "{operation:?} {presence:?}"
            );
        }
        for rights in Rights::every() {
            assert_ne!(
                answer(operation, rights, Other),
                "-",
                "{operation:?} {rights}"
            );
        }
    }
}

#[test]
fn tmpfile_mkdir_and_special_files() {
    assert_eq!(row(Operation::Tmpfile), ["EOPNOTSUPP"; 3]);
    assert_eq!(absent(Operation::Mkdir), ["EACCES", "EACCES", "-"]);
    assert_eq!(row(Operation::Mkdir), ["EACCES", "EEXIST", "EEXIST"]);
    assert_eq!(
        answer(Operation::Mkdir, NONE, WAY),
        "EEXIST",
        "seen on the way"
    );
    assert_eq!(absent(Operation::Special), ["EPERM"; 3]);
    assert_eq!(row(Operation::Special), ["EPERM", "EEXIST", "EEXIST"]);
}

#[test]
fn removal() {
    assert_eq!(row(Operation::Unlink), ["ENOENT", "EACCES", "-"]);
    let rmdir = [NONE, READ, ALL].map(|rights| answer(Operation::Rmdir, rights, DIRECTORY));
    assert_eq!(rmdir, ["ENOENT", "EACCES", "-"]);
    assert_eq!(answer(Operation::Unlink, READ | DELETE, File), "-");
    assert_eq!(answer(Operation::Unlink, DELETE, File), "-", "delete alone");
    assert_eq!(
        answer(Operation::Unlink, READ | WRITE | CREATE, File),
        "EACCES"
    );
    assert_eq!(answer(Operation::Unlink, ALL, DIRECTORY), "EISDIR");
    assert_eq!(answer(Operation::Rmdir, ALL, File), "ENOTDIR");
    assert_eq!(answer(Operation::Rmdir, NONE, WAY), "EACCES");
}

#[test]
fn renames() {
    assert_eq!(row(Operation::RenameFrom), ["ENOENT", "EACCES", "-"]);
    assert_eq!(
        row(Operation::RenameOut),
        ["ENOENT", "EACCES", "EXDEV"],
        "delete comes first"
    );
    let replace = rename_to(READ, RenameMode::Replace);
    assert_eq!(answer(replace, NONE, Absent), "EACCES");
    assert_eq!(answer(replace, READ, Absent), "EACCES");
    assert_eq!(answer(replace, READ | CREATE, Absent), "-");
    assert_eq!(
        answer(replace, READ | CREATE, File),
        "EACCES",
        "replacing deletes"
    );
    assert_eq!(answer(replace, READ | CREATE | DELETE, File), "-");
    assert_eq!(
        answer(replace, ALL, Absent),
        "EACCES",
        "no name with more of read and write"
    );
    assert_eq!(answer(rename_to(ALL, RenameMode::Replace), ALL, File), "-");
    assert_eq!(
        row(rename_to(ALL, RenameMode::NoReplace)),
        ["EACCES", "EEXIST", "EEXIST"]
    );
    assert_eq!(
        absent(rename_to(ALL, RenameMode::NoReplace)),
        ["EACCES", "EACCES", "-"]
    );
    assert_eq!(
        row(rename_to(ALL, RenameMode::Exchange)),
        ["ENOENT", "EACCES", "-"]
    );
    assert_eq!(absent(rename_to(ALL, RenameMode::Exchange)), ["ENOENT"; 3]);
    assert_eq!(
        answer(rename_to(READ, RenameMode::Exchange), ALL, File),
        "EACCES"
    );
}

#[test]
fn links() {
    assert_eq!(row(Operation::LinkFrom), ["ENOENT", "-", "-"]);
    assert_eq!(row(Operation::LinkOut), ["ENOENT", "EXDEV", "EXDEV"]);
    assert_eq!(
        absent(Operation::LinkTo { from: ALL }),
        ["EACCES", "EACCES", "-"]
    );
    assert_eq!(
        row(Operation::LinkTo { from: ALL }),
        ["EACCES", "EEXIST", "EEXIST"]
    );
    assert_eq!(
        answer(Operation::LinkTo { from: READ }, ALL, Absent),
        "EPERM",
        "no name with more"
    );
    assert_eq!(
        answer(Operation::LinkTo { from: READ | WRITE }, ALL, Absent),
        "-"
    );
    assert_eq!(
        answer(
            Operation::LinkTo { from: READ | WRITE },
            READ | CREATE,
            Absent
        ),
        "-",
        "less is fine"
    );
}

#[test]
fn attributes() {
    assert_eq!(row(Operation::Truncate), ["ENOENT", "EACCES", "-"]);
    for operation in [Operation::Chmod, Operation::Chown, Operation::SetTimes] {
        assert_eq!(row(operation), ["ENOENT", "EPERM", "-"], "{operation:?}");
    }
    assert_eq!(row(Operation::Touch), ["ENOENT", "EACCES", "-"]);
    let set = |name: &str| row(Operation::SetXattr(XattrClass::of(name.as_bytes())));
    assert_eq!(set("user.k"), ["ENOENT", "EACCES", "-"]);
    assert_eq!(set("trusted.k"), ["ENOENT", "EPERM", "EPERM"]);
    assert_eq!(set("security.capability"), ["ENOENT", "EPERM", "EPERM"]);
    assert_eq!(
        set("system.posix_acl_access"),
        ["ENOENT", "EOPNOTSUPP", "EOPNOTSUPP"]
    );
    assert_eq!(set("zork"), ["ENOENT", "EOPNOTSUPP", "EOPNOTSUPP"]);
    for operation in [Operation::GetXattr, Operation::ListXattr] {
        assert_eq!(row(operation), ["ENOENT", "-", "-"]);
        assert_eq!(answer(operation, WRITE, File), "EACCES");
    }
}

#[test]
fn directories_are_listed_by_right_or_on_the_way() {
    let list = |rights, presence| answer(Operation::ReadDir, rights, presence);
    assert_eq!(list(NONE, DIRECTORY), "ENOENT");
    assert_eq!(list(NONE, WAY), "-");
    assert_eq!(list(READ, DIRECTORY), "-");
    assert_eq!(list(DELETE, DIRECTORY), "EACCES");
    assert_eq!(list(DELETE, WAY), "-");
    assert_eq!(list(ALL, File), "ENOTDIR");
    assert_eq!(answer(open(true, false, false), NONE, WAY), "-");
    assert_eq!(answer(open(true, true, false), ALL, DIRECTORY), "EISDIR");
    assert_eq!(answer(Operation::Chmod, NONE, WAY), "EPERM");
    assert_eq!(answer(Operation::RenameFrom, NONE, WAY), "EACCES");
}

#[test]
fn mappings_and_locks() {
    let map = |write, shared, execute| Operation::Map {
        write,
        shared,
        execute,
    };
    assert_eq!(row(map(false, true, false)), ["ENOENT", "-", "-"]);
    assert_eq!(row(map(true, true, false)), ["ENOENT", "EACCES", "-"]);
    assert_eq!(row(map(true, false, false)), ["ENOENT", "-", "-"]);
    assert_eq!(row(map(false, true, true)), ["ENOENT", "EPERM", "EPERM"]);
    assert_eq!(
        answer(map(true, true, false), WRITE, File),
        "EACCES",
        "write-only cannot be mapped"
    );
    assert_eq!(
        row(Operation::Lock { exclusive: false }),
        ["ENOENT", "-", "-"]
    );
    assert_eq!(
        row(Operation::Lock { exclusive: true }),
        ["ENOENT", "EACCES", "-"]
    );
}

/// Each operation, in each of its forms.
fn all() -> Vec<Operation> {
    let mut all = vec![
        Operation::Lookup,
        Operation::Unlink,
        Operation::Rmdir,
        Operation::RenameFrom,
        Operation::RenameOut,
        Operation::LinkFrom,
        Operation::LinkOut,
        Operation::Truncate,
        Operation::Chmod,
        Operation::Chown,
        Operation::SetTimes,
        Operation::Touch,
        Operation::SetXattr(XattrClass::User),
        Operation::SetXattr(XattrClass::Privileged),
        Operation::SetXattr(XattrClass::Other),
        Operation::GetXattr,
        Operation::ListXattr,
        Operation::ReadDir,
    ];
    for bits in 0..8 {
        let (one, two, three) = (bits & 1 != 0, bits & 2 != 0, bits & 4 != 0);
        all.extend([
            open(one, two, three),
            Operation::Access {
                read: one,
                write: two,
            },
            Operation::Map {
                write: one,
                shared: two,
                execute: three,
            },
            Operation::Lock { exclusive: one },
        ]);
    }
    all
}

/// With more rights no more is refused, but for what tells that a name is taken and what the wider name would give away.
#[test]
fn more_rights_allow_more() {
    for operation in all() {
        for presence in [File, DIRECTORY, WAY] {
            for less in Rights::every() {
                for more in Rights::every().filter(|more| more.contains(less)) {
                    let allowed = |rights| verdict(operation, rights, presence).is_ok();
                    assert!(
                        !allowed(less) || allowed(more),
                        "{operation:?} {presence:?} {less} {more}"
                    );
                }
            }
        }
    }
}

#[test]
fn no_answer_is_erofs() {
    for operation in all() {
        for presence in [Absent, File, DIRECTORY, WAY, Other] {
            for rights in Rights::every() {
                assert_ne!(verdict(operation, rights, presence), Err(Errno::EROFS));
            }
        }
    }
}
