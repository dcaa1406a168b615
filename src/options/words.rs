//! The table of all option words: what each takes and means.

use std::fmt::Write;

/// One option word.
#[derive(Clone, Copy, Debug)]
pub struct Word {
    /// Its name; for a [`Group::Ignored`] word that ends in `-`, how its name begins.
    pub name: &'static str,
    /// Its value.
    pub takes: Takes,
    /// Where it comes from.
    pub group: Group,
    /// What it does, for the help; only of tmpfs's words and ours.
    pub about: &'static str,
    pub(super) meaning: Meaning,
}

impl Word {
    /// What its value must be.
    pub(super) fn expects(&self) -> &'static str {
        match self.takes {
            Takes::Value(expected) => expected,
            Takes::Nothing => "no value",
            Takes::Either => "anything",
        }
    }
}

/// What follows a word's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// Nothing.
    Nothing,
    /// `=` and what is described here.
    Value(&'static str),
    /// Nothing or `=` and anything.
    Either,
}

/// Where a word comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// tmpfs(5).
    Tmpfs,
    /// shmfs.
    Shmfs,
    /// mount(8), for any file system.
    Generic,
    /// mount(8) and fstab(5), about a live mount and about who may mount.
    Fstab,
    /// mount(8) or fstab(5), with nothing to do for a file system in memory.
    Ignored,
    /// The kernel, which shows it for a live mount; mount(8) repeats it for a remount.
    Shown,
    /// Known, and not for us.
    Refused,
}

/// What is done with a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Size,
    NrBlocks,
    NrInodes,
    Mode,
    Uid,
    Gid,
    Huge,
    Passthrough,
    Reserve(bool),
    Journal,
    UidSize,
    UidNrInodes,
    AllowOther,
    View,
    Exports,
    Set(Flag, bool),
    /// `user` and its like: noexec, nosuid, nodev, until a later word says otherwise.
    Secure,
    /// `owner`, `group`: nosuid, nodev.
    OwnerSecure,
    Remount,
    Nothing,
    /// Nothing, but only beside `remount`.
    Shown,
    Refuse(&'static str),
}

/// A flag that a word sets or clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    ReadOnly,
    Suid,
    Dev,
    Exec,
    Symfollow,
    NoAtime,
    StrictAtime,
    RelAtime,
    NoDirAtime,
}

const fn word(name: &'static str, takes: Takes, group: Group, meaning: Meaning) -> Word {
    Word {
        name,
        takes,
        group,
        about: "",
        meaning,
    }
}

const fn tmpfs(
    name: &'static str,
    value: &'static str,
    meaning: Meaning,
    about: &'static str,
) -> Word {
    Word {
        about,
        ..word(name, Takes::Value(value), Group::Tmpfs, meaning)
    }
}

const fn ours(name: &'static str, takes: Takes, meaning: Meaning, about: &'static str) -> Word {
    Word {
        about,
        ..word(name, takes, Group::Shmfs, meaning)
    }
}

const fn flag(name: &'static str, flag: Flag, value: bool) -> Word {
    word(
        name,
        Takes::Nothing,
        Group::Generic,
        Meaning::Set(flag, value),
    )
}

const fn ignored(name: &'static str, takes: Takes) -> Word {
    word(name, takes, Group::Ignored, Meaning::Nothing)
}

const fn shown(name: &'static str, takes: Takes) -> Word {
    word(name, takes, Group::Shown, Meaning::Shown)
}

const fn refused(name: &'static str, why: &'static str) -> Word {
    word(name, Takes::Either, Group::Refused, Meaning::Refuse(why))
}

const SIZE: &str = "bytes, which may end in k, m, g, t, p or e, or a percentage of RAM such as 50%";
const COUNT: &str = "a number, which may end in k, m, g, t, p or e";
const BIND: &str =
    "shmfs makes mounts; use `mount --bind`, `mount --move` and the like for those there are";
const CONTEXT: &str = "shmfs cannot give a mount a security context";
const USER_QUOTA: &str = "shmfs limits each user by uid_size= and uid_nr_inodes=";
const LABEL: &str = "anything";

/// Every word, in the order of the manual.
pub static WORDS: &[Word] = &[
    tmpfs(
        "size",
        SIZE,
        Meaning::Size,
        "data at most: bytes with k, m, g…, or % of RAM; 0 is no limit",
    ),
    tmpfs("nr_blocks", COUNT, Meaning::NrBlocks, "the same in pages"),
    tmpfs(
        "nr_inodes",
        COUNT,
        Meaning::NrInodes,
        "inodes at most; 0 is no limit",
    ),
    tmpfs(
        "mode",
        "permissions as an octal number such as 1777",
        Meaning::Mode,
        "permissions of the root directory, octal",
    ),
    tmpfs(
        "uid",
        "a user's number or name",
        Meaning::Uid,
        "its owner, number or name",
    ),
    tmpfs(
        "gid",
        "a group's number or name",
        Meaning::Gid,
        "its group, number or name",
    ),
    tmpfs(
        "huge",
        "never, always, within_size or advise",
        Meaning::Huge,
        "huge pages: never, always, within_size, advise",
    ),
    ours(
        "passthrough",
        Takes::Value("auto, on or off"),
        Meaning::Passthrough,
        "data stays inside the kernel: auto, on (or fail), off",
    ),
    ours(
        "reserve",
        Takes::Nothing,
        Meaning::Reserve(true),
        "a growing object takes its whole size at once",
    ),
    ours(
        "noreserve",
        Takes::Nothing,
        Meaning::Reserve(false),
        "only what is touched (default)",
    ),
    ours(
        "journal",
        Takes::Value("on or off"),
        Meaning::Journal,
        "objects outlive the process that serves them (on), or not",
    ),
    ours(
        "uid_size",
        Takes::Value(SIZE),
        Meaning::UidSize,
        "data of each user at most, as size=; 0 is no limit (default)",
    ),
    ours(
        "uid_nr_inodes",
        Takes::Value(COUNT),
        Meaning::UidNrInodes,
        "inodes of each user at most; 0 is no limit (default)",
    ),
    ours(
        "allow_other",
        Takes::Nothing,
        Meaning::AllowOther,
        "other users may use a mount made by fusermount3",
    ),
    ours(
        "view",
        Takes::Value(
            "a platform from `shmfs name list`, which may be followed by : and a directory",
        ),
        Meaning::View,
        "KEY or KEY:DIR: show the tree under another platform's names",
    ),
    ours(
        "exports",
        Takes::Value("the path of a file of exports"),
        Meaning::Exports,
        "a file that says what which consumer may have of the tree",
    ),
    flag("ro", Flag::ReadOnly, true),
    flag("rw", Flag::ReadOnly, false),
    flag("suid", Flag::Suid, true),
    flag("nosuid", Flag::Suid, false),
    flag("dev", Flag::Dev, true),
    flag("nodev", Flag::Dev, false),
    flag("exec", Flag::Exec, true),
    flag("noexec", Flag::Exec, false),
    flag("symfollow", Flag::Symfollow, true),
    flag("nosymfollow", Flag::Symfollow, false),
    flag("noatime", Flag::NoAtime, true),
    flag("atime", Flag::NoAtime, false),
    flag("strictatime", Flag::StrictAtime, true),
    flag("nostrictatime", Flag::StrictAtime, false),
    flag("relatime", Flag::RelAtime, true),
    flag("norelatime", Flag::RelAtime, false),
    flag("nodiratime", Flag::NoDirAtime, true),
    flag("diratime", Flag::NoDirAtime, false),
    word("remount", Takes::Nothing, Group::Fstab, Meaning::Remount),
    word("user", Takes::Either, Group::Fstab, Meaning::Secure),
    word("users", Takes::Nothing, Group::Fstab, Meaning::Secure),
    word("owner", Takes::Nothing, Group::Fstab, Meaning::OwnerSecure),
    word("group", Takes::Nothing, Group::Fstab, Meaning::OwnerSecure),
    ignored("defaults", Takes::Nothing),
    ignored("nouser", Takes::Nothing),
    ignored("nousers", Takes::Nothing),
    ignored("noowner", Takes::Nothing),
    ignored("nogroup", Takes::Nothing),
    ignored("auto", Takes::Nothing),
    ignored("noauto", Takes::Nothing),
    ignored("nofail", Takes::Nothing),
    ignored("_netdev", Takes::Nothing),
    ignored("comment", Takes::Either),
    ignored("x-", Takes::Either),
    ignored("X-", Takes::Either),
    ignored("uhelper", Takes::Value(LABEL)),
    ignored("helper", Takes::Value(LABEL)),
    ignored("sync", Takes::Nothing),
    ignored("async", Takes::Nothing),
    ignored("dirsync", Takes::Nothing),
    ignored("lazytime", Takes::Nothing),
    ignored("nolazytime", Takes::Nothing),
    ignored("mand", Takes::Nothing),
    ignored("nomand", Takes::Nothing),
    ignored("iversion", Takes::Nothing),
    ignored("noiversion", Takes::Nothing),
    ignored("silent", Takes::Nothing),
    ignored("loud", Takes::Nothing),
    ignored("inode64", Takes::Nothing),
    ignored("default_permissions", Takes::Nothing),
    shown("user_id", Takes::Value(LABEL)),
    shown("group_id", Takes::Value(LABEL)),
    shown("max_read", Takes::Value(LABEL)),
    shown("blksize", Takes::Value(LABEL)),
    shown("seclabel", Takes::Nothing),
    refused("bind", BIND),
    refused("rbind", BIND),
    refused("move", BIND),
    refused("shared", BIND),
    refused("rshared", BIND),
    refused("private", BIND),
    refused("rprivate", BIND),
    refused("slave", BIND),
    refused("rslave", BIND),
    refused("unbindable", BIND),
    refused("runbindable", BIND),
    refused("context", CONTEXT),
    refused("fscontext", CONTEXT),
    refused("defcontext", CONTEXT),
    refused("rootcontext", CONTEXT),
    refused(
        "mpol",
        "shmfs has no NUMA policy of its own; start it under numactl(8)",
    ),
    refused("noswap", "shmfs cannot keep its pages out of swap"),
    refused("inode32", "inode numbers of shmfs have 64 bits"),
    refused("usrquota", USER_QUOTA),
    refused("grpquota", "shmfs has no limits for groups"),
    refused("quota", USER_QUOTA),
    refused("casefold", "names are bytes on shmfs"),
    refused("loop", "shmfs is on no device"),
];

/// The word called `name`.
pub(super) fn find(name: &[u8]) -> Option<&'static Word> {
    WORDS.iter().find(|word| match word.meaning {
        Meaning::Nothing if word.name.ends_with('-') => name.starts_with(word.name.as_bytes()),
        _ => word.name.as_bytes() == name,
    })
}

/// `bytes` for a message: on one line, not longer than one.
pub(super) fn show(bytes: &[u8]) -> String {
    const LONGEST: usize = 100;
    let mut text = String::new();
    for (at, character) in String::from_utf8_lossy(bytes).chars().enumerate() {
        if at == LONGEST {
            text.push('…');
            break;
        }
        if character.is_control() {
            // A `String` takes everything.
            let _ = write!(text, "{}", character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (at, word) in WORDS.iter().enumerate() {
            let found = find(word.name.as_bytes()).unwrap();
            assert!(
                std::ptr::eq(found, &WORDS[at]),
                "{} stands twice",
                word.name
            );
        }
    }

    #[test]
    fn comments_are_known_by_their_beginning() {
        assert_eq!(find(b"x-systemd.requires").unwrap().name, "x-");
        assert_eq!(find(b"X-mount.mkdir").unwrap().name, "X-");
        assert!(find(b"x").is_none());
        assert!(find(b"sizes").is_none());
        assert!(find(b"SIZE").is_none());
    }

    #[test]
    fn show_stays_on_one_short_line() {
        assert_eq!(show(b"size=1\n2\xff"), "size=1\\n2\u{fffd}");
        assert_eq!(show(&[b'a'; 5000]).chars().count(), 101);
    }
}
