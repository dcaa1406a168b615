//! What an option list says, before it meets defaults or a live mount.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use super::split::{Item, split};
use super::view::ViewOption;
use super::words::{Flag, Meaning, Takes, Word, find, show};
use super::{Atime, Environment, Huge, Options, Passthrough, number};
use crate::error::{Error, Result};

/// What a live mount's limits change to; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of data at most; 0 is no limit.
    pub size: Option<u64>,
    /// Inodes at most; 0 is no limit.
    pub nr_inodes: Option<u64>,
    /// Bytes of data that each user may have; 0 is no limit.
    pub uid_size: Option<u64>,
    /// Inodes that each user may have; 0 is no limit.
    pub uid_nr_inodes: Option<u64>,
}

/// The flags of mount(2) that a list sets or clears; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `ro`, `rw`.
    pub read_only: Option<bool>,
    /// `suid`, `nosuid`.
    pub suid: Option<bool>,
    /// `dev`, `nodev`.
    pub dev: Option<bool>,
    /// `exec`, `noexec`.
    pub exec: Option<bool>,
    /// `symfollow`, `nosymfollow`.
    pub symfollow: Option<bool>,
    /// `noatime`, `atime`.
    pub noatime: Option<bool>,
    /// `strictatime`, `nostrictatime`.
    pub strictatime: Option<bool>,
    /// `relatime`, `norelatime`.
    pub relatime: Option<bool>,
    /// `nodiratime`, `diratime`.
    pub nodiratime: Option<bool>,
}

impl Flags {
    /// When reading moves an access time, by the rule of path_mount() in fs/namespace.c: strictatime
    /// wins over noatime, noatime over relatime, in whatever order they stand.
    pub fn atime(&self) -> Option<Atime> {
        if self.strictatime == Some(true) {
            return Some(Atime::Strict);
        }
        if self.noatime == Some(true) {
            return Some(Atime::Never);
        }
        let back = self.relatime == Some(true)
            || self.noatime == Some(false)
            || self.strictatime == Some(false);
        back.then_some(Atime::Relative)
    }

    fn set(&mut self, flag: Flag, value: bool) {
        let field = match flag {
            Flag::ReadOnly => &mut self.read_only,
            Flag::Suid => &mut self.suid,
            Flag::Dev => &mut self.dev,
            Flag::Exec => &mut self.exec,
            Flag::Symfollow => &mut self.symfollow,
            Flag::NoAtime => &mut self.noatime,
            Flag::StrictAtime => &mut self.strictatime,
            Flag::RelAtime => &mut self.relatime,
            Flag::NoDirAtime => &mut self.nodiratime,
        };
        *field = Some(value);
    }
}

/// What to do with a word that nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Fail and name it.
    Refuse,
    /// Go on: mount(8)'s `-s`.
    Ignore,
}

/// What an option list says: a remount takes it as it is, a new mount [lays it over](Given::apply)
/// the defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Given {
    /// `size`, `nr_blocks`, `nr_inodes`, `uid_size`, `uid_nr_inodes`.
    pub limits: Limits,
    /// The generic flags.
    pub flags: Flags,
    /// `huge`.
    pub huge: Option<Huge>,
    /// `mode`; a remount does not heed it, nor what follows, as tmpfs.
    pub mode: Option<u32>,
    /// `uid`.
    pub uid: Option<u32>,
    /// `gid`.
    pub gid: Option<u32>,
    /// `passthrough`.
    pub passthrough: Option<Passthrough>,
    /// `reserve`, `noreserve`.
    pub reserve: Option<bool>,
    /// `journal`.
    pub journal: Option<bool>,
    /// `allow_other`.
    pub allow_other: bool,
    /// `exports`.
    pub exports: Option<PathBuf>,
    /// `view`, each time that it stands there.
    pub views: Vec<ViewOption>,
    /// `remount`.
    pub remount: bool,
    /// The words without effect, for `-v`.
    pub ignored: Vec<String>,
}

impl Given {
    /// What `lists`, one after the other, say.
    pub fn parse<L>(
        lists: impl IntoIterator<Item = L>,
        environment: &Environment,
        unknown: Unknown,
    ) -> Result<Given>
    where
        L: AsRef<OsStr>,
    {
        let mut given = Given::default();
        let mut shown = None;
        for list in lists {
            for item in split(list.as_ref().as_encoded_bytes())? {
                let Some(word) = find(&item.name) else {
                    given.unknown(&item, unknown)?;
                    continue;
                };
                if word.meaning == Meaning::Shown {
                    shown.get_or_insert(text(&item));
                }
                given.take(word, &item, environment)?;
            }
        }
        match shown {
            Some(text) if !given.remount => Err(unknown_option(&text)),
            _ => Ok(given),
        }
    }

    /// The options of a mount whose defaults are `base`.
    pub fn apply(&self, base: Options) -> Options {
        let flags = &self.flags;
        Options {
            size: self.limits.size.unwrap_or(base.size),
            nr_inodes: self.limits.nr_inodes.unwrap_or(base.nr_inodes),
            uid_size: self.limits.uid_size.unwrap_or(base.uid_size),
            uid_nr_inodes: self.limits.uid_nr_inodes.unwrap_or(base.uid_nr_inodes),
            mode: self.mode.unwrap_or(base.mode),
            uid: self.uid.or(base.uid),
            gid: self.gid.or(base.gid),
            huge: self.huge.unwrap_or(base.huge),
            passthrough: self.passthrough.unwrap_or(base.passthrough),
            reserve: self.reserve.unwrap_or(base.reserve),
            journal: self.journal.unwrap_or(base.journal),
            atime: flags.atime().unwrap_or(base.atime),
            nodiratime: flags.nodiratime.unwrap_or(base.nodiratime),
            read_only: flags.read_only.unwrap_or(base.read_only),
            suid: flags.suid.unwrap_or(base.suid),
            dev: flags.dev.unwrap_or(base.dev),
            exec: flags.exec.unwrap_or(base.exec),
            symfollow: flags.symfollow.unwrap_or(base.symfollow),
            allow_other: self.allow_other || base.allow_other,
            exports: self.exports.clone().or(base.exports),
            views: [base.views, self.views.clone()].concat(),
        }
    }

    /// The same where the list cannot be about a live mount.
    pub fn new_mount(&self, base: Options) -> Result<Options> {
        if self.remount {
            let what = "option 'remount': there is no mount to change here";
            return Err(Error::usage(what).hint("Use `shmfs mount -o remount,… DIR`."));
        }
        Ok(self.apply(base))
    }

    fn unknown(&mut self, item: &Item, unknown: Unknown) -> Result<()> {
        match unknown {
            Unknown::Refuse => Err(unknown_option(&text(item))),
            Unknown::Ignore => {
                self.ignored.push(text(item));
                Ok(())
            }
        }
    }

    fn take(&mut self, word: &Word, item: &Item, environment: &Environment) -> Result<()> {
        let value = item.value.as_deref();
        match (word.takes, value) {
            (Takes::Nothing, Some(_)) => return Err(malformed(item, "no value")),
            (Takes::Value(expected), None | Some(b"")) => return Err(malformed(item, expected)),
            (Takes::Nothing, None) | (Takes::Value(_), Some(_)) | (Takes::Either, _) => {}
        }
        self.mean(word, item, environment)
    }

    fn mean(&mut self, word: &Word, item: &Item, environment: &Environment) -> Result<()> {
        let value = item.value.as_deref().unwrap_or_default();
        let page_size = environment.page_size;
        let bad = || malformed(item, word.expects());
        match word.meaning {
            Meaning::Size => {
                let size = number::size(value, environment.total_ram, page_size);
                self.limits.size = Some(size.ok_or_else(bad)?);
            }
            Meaning::UidSize => {
                let size = number::size(value, environment.total_ram, page_size);
                self.limits.uid_size = Some(size.ok_or_else(bad)?);
            }
            Meaning::NrBlocks => {
                self.limits.size = Some(nr_blocks(value, page_size).ok_or_else(bad)?);
            }
            Meaning::NrInodes => self.limits.nr_inodes = Some(nr_inodes(value).ok_or_else(bad)?),
            Meaning::UidNrInodes => {
                self.limits.uid_nr_inodes = Some(nr_inodes(value).ok_or_else(bad)?);
            }
            // result.uint_32 & 07777.
            Meaning::Mode => {
                self.mode = Some(number::unsigned(value, 8).ok_or_else(bad)? & 0o7777);
            }
            Meaning::Uid => self.uid = Some(id(value, environment.user).ok_or_else(bad)?),
            Meaning::Gid => self.gid = Some(id(value, environment.group).ok_or_else(bad)?),
            Meaning::Huge => self.huge = Some(Huge::from_word(value).ok_or_else(bad)?),
            Meaning::Passthrough => {
                self.passthrough = Some(Passthrough::from_word(value).ok_or_else(bad)?);
            }
            Meaning::Reserve(reserve) => self.reserve = Some(reserve),
            Meaning::Journal => {
                self.journal = Some(by_word(&ON_OFF, value).ok_or_else(bad)?);
            }
            Meaning::AllowOther => self.allow_other = true,
            Meaning::Exports => self.exports = Some(OsStr::from_bytes(value).into()),
            Meaning::View => self.views.push(ViewOption::parse(value)?),
            Meaning::Set(flag, set) => self.flags.set(flag, set),
            // `user=NAME` only records who mounted; see mnt_optstr_get_flags() in libmount.
            Meaning::Secure if item.value.is_some() => {}
            Meaning::Secure => self.secure(true),
            Meaning::OwnerSecure => self.secure(false),
            Meaning::Remount => self.remount = true,
            Meaning::Nothing | Meaning::Shown => self.ignored.push(text(item)),
            Meaning::Refuse(why) => {
                return Err(Error::usage(format!("option '{}': {why}", text(item))));
            }
        }
        Ok(())
    }

    fn secure(&mut self, noexec: bool) {
        self.flags.suid = Some(false);
        self.flags.dev = Some(false);
        if noexec {
            self.flags.exec = Some(false);
        }
    }
}

impl Huge {
    const WORDS: [(&'static str, Huge); 4] = [
        ("never", Huge::Never),
        ("always", Huge::Always),
        ("within_size", Huge::WithinSize),
        ("advise", Huge::Advise),
    ];

    fn from_word(text: &[u8]) -> Option<Huge> {
        by_word(&Huge::WORDS, text)
    }

    /// As it is spelt after `huge=`.
    pub fn word(self) -> &'static str {
        word_of(&Huge::WORDS, self)
    }
}

const ON_OFF: [(&str, bool); 2] = [("on", true), ("off", false)];

impl Passthrough {
    const WORDS: [(&'static str, Passthrough); 3] = [
        ("auto", Passthrough::Auto),
        ("on", Passthrough::On),
        ("off", Passthrough::Off),
    ];

    fn from_word(text: &[u8]) -> Option<Passthrough> {
        by_word(&Passthrough::WORDS, text)
    }

    /// As it is spelt after `passthrough=`.
    pub fn word(self) -> &'static str {
        word_of(&Passthrough::WORDS, self)
    }
}

fn by_word<T: Copy>(words: &[(&str, T)], text: &[u8]) -> Option<T> {
    let mut words = words.iter();
    words
        .find(|(word, _)| word.as_bytes() == text)
        .map(|(_, value)| *value)
}

fn word_of<T: PartialEq>(words: &[(&'static str, T)], value: T) -> &'static str {
    let mut words = words.iter();
    words
        .find(|(_, other)| *other == value)
        .map_or("", |(word, _)| word)
}

/// More than LONG_MAX blocks are refused by shmem_parse_one().
fn nr_blocks(value: &[u8], page_size: u64) -> Option<u64> {
    let blocks = number::count(value)?;
    (blocks <= i64::MAX as u64).then(|| number::pages(blocks, page_size))
}

/// As are more inodes than ULONG_MAX / BOGO_INODE_SIZE.
fn nr_inodes(value: &[u8]) -> Option<u64> {
    const BOGO_INODE_SIZE: u64 = 1024;
    number::count(value).filter(|count| *count <= u64::MAX / BOGO_INODE_SIZE)
}

/// A number, by uid_valid() not the one of all bits set; else a name, as mount(8) translates it.
fn id(value: &[u8], by_name: fn(&[u8]) -> Option<u32>) -> Option<u32> {
    number::unsigned(value, 0)
        .filter(|id| *id != u32::MAX)
        .or_else(|| by_name(value))
}

fn text(item: &Item) -> String {
    let mut text = item.name.clone();
    if let Some(value) = &item.value {
        text.push(b'=');
        text.extend(value);
    }
    show(&text)
}

fn malformed(item: &Item, expected: &str) -> Error {
    Error::usage(format!("option '{}': expected {expected}", text(item)))
}

fn unknown_option(text: &str) -> Error {
    Error::usage(format!("option '{text}': unknown"))
        .hint("The options are listed by `shmfs mount --help` and in mount.shmfs(8).")
}

#[cfg(test)]
#[path = "given_tests.rs"]
mod tests;
