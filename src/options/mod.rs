//! Mount options: the validated settings, and their one parser for `-o`, fstab and the library.
//!
//! A list such as `size=1g,noexec` is cut into words by `split`, each word is looked up in
//! [`WORDS`], and what the words say is gathered in [`Given`], where the later of two words that
//! concern one thing wins. [`Given::apply`] lays that over the defaults and gives [`Options`].
//! The options of tmpfs have the syntax and the meaning of `shmem_parse_one()` in mm/shmem.c;
//! `tests/options` holds a real tmpfs beside it.

mod format;
mod given;
mod number;
mod split;
mod view;
mod words;

use std::ffi::OsStr;
use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::sys::{accounts, memory};

pub use given::{Flags, Given, Limits, Unknown};
pub use view::ViewOption;
pub use words::{Group, Takes, WORDS, Word};

/// How large pages are used for data, as in tmpfs(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Huge {
    /// Never.
    #[default]
    Never,
    /// Wherever a huge page fits.
    Always,
    /// Only within the file's size.
    WithinSize,
    /// Only where madvise(2) asks for them.
    Advise,
}

/// Whether data goes to memory inside the kernel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passthrough {
    /// Where the host allows it.
    #[default]
    Auto,
    /// Or fail to mount.
    On,
    /// Never: the kernel's page cache and the daemon.
    Off,
}

/// When reading moves an access time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Atime {
    /// If it is not later than the last change, or a day old.
    #[default]
    Relative,
    /// At each read.
    Strict,
    /// Never.
    Never,
}

/// Everything that can be chosen for a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Bytes of data at most; 0 is no limit.
    pub size: u64,
    /// Inodes at most; 0 is no limit.
    pub nr_inodes: u64,
    /// Bytes of data that each user may have; 0 is no limit.
    pub uid_size: u64,
    /// Inodes that each user may have; 0 is no limit.
    pub uid_nr_inodes: u64,
    /// Permissions of the root directory.
    pub mode: u32,
    /// Its owner; the mounting user where absent.
    pub uid: Option<u32>,
    /// Its group; the mounting user's where absent.
    pub gid: Option<u32>,
    /// Huge pages for data.
    pub huge: Huge,
    /// How data travels.
    pub passthrough: Passthrough,
    /// A growing object takes its whole logical size at once.
    pub reserve: bool,
    /// Another process can go on where the one that serves ended.
    pub journal: bool,
    /// Access times of files.
    pub atime: Atime,
    /// Access times of directories never move.
    pub nodiratime: bool,
    /// Read-only mount.
    pub read_only: bool,
    /// Set-user-ID and set-group-ID bits count.
    pub suid: bool,
    /// Device files can be opened.
    pub dev: bool,
    /// Programs can be executed.
    pub exec: bool,
    /// Symbolic links are followed.
    pub symfollow: bool,
    /// Other users than the mounting one may use a mount made by fusermount3.
    pub allow_other: bool,
    /// The file of exports.
    pub exports: Option<PathBuf>,
    /// Views under `.shmfs/views`, in the order in which they were asked for.
    pub views: Vec<ViewOption>,
}

/// What the meaning of an option list depends on beside the list.
#[derive(Clone, Copy, Debug)]
pub struct Environment {
    /// Bytes of RAM: what `size=50%` and the defaults are a part of.
    pub total_ram: u64,
    /// Bytes of a page.
    pub page_size: u64,
    /// A user's number by name.
    pub user: fn(&[u8]) -> Option<u32>,
    /// A group's number by name.
    pub group: fn(&[u8]) -> Option<u32>,
}

impl Environment {
    /// This host's.
    pub fn of_host() -> Environment {
        Environment {
            total_ram: memory::total_ram(),
            page_size: memory::page_size(),
            user: accounts::user,
            group: accounts::group,
        }
    }

    /// One without any user or group, for tests.
    pub const fn with_ram(total_ram: u64) -> Environment {
        Environment {
            total_ram,
            page_size: 4096,
            user: |_| None,
            group: |_| None,
        }
    }
}

impl Options {
    /// The defaults of `run` and `mount`: those of a distribution's /dev/shm.
    pub fn new(environment: &Environment) -> Options {
        Options {
            suid: false,
            dev: false,
            ..Options::of_tmpfs(environment)
        }
    }

    /// The defaults of `mount -t tmpfs` without options.
    ///
    /// mount(8) drops `suid`, `dev` and `exec` from the list that a helper gets, so to a helper
    /// the lack of `nosuid` says `suid`.
    pub fn of_tmpfs(environment: &Environment) -> Options {
        // shmem_default_max_blocks() and shmem_default_max_inodes().
        let half = environment.total_ram / environment.page_size / 2;
        Options {
            size: half * environment.page_size,
            nr_inodes: half,
            uid_size: 0,
            uid_nr_inodes: 0,
            mode: 0o1777,
            uid: None,
            gid: None,
            huge: Huge::default(),
            passthrough: Passthrough::default(),
            reserve: false,
            journal: true,
            atime: Atime::default(),
            nodiratime: false,
            read_only: false,
            suid: true,
            dev: true,
            exec: true,
            symfollow: true,
            allow_other: false,
            exports: None,
            views: Vec::new(),
        }
    }

    /// The options of a new mount that `list` asks for, such as `size=1g,mode=0700`.
    pub fn parse(list: &OsStr, environment: &Environment) -> Result<Options> {
        Given::parse([list], environment, Unknown::Refuse)?.new_mount(Options::new(environment))
    }
}

impl Default for Options {
    fn default() -> Options {
        Options::new(&Environment::of_host())
    }
}

impl std::str::FromStr for Options {
    type Err = Error;

    fn from_str(list: &str) -> Result<Options> {
        Options::parse(OsStr::new(list), &Environment::of_host())
    }
}
