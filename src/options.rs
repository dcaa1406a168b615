//! Mount options: the validated settings, and their one parser for `-o`, fstab and the library.

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
    /// Other users than the mounting one may use a mount made by fusermount3.
    pub allow_other: bool,
}

/// What a live mount's limits change to; what is absent stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of data at most; 0 is no limit.
    pub size: Option<u64>,
    /// Inodes at most; 0 is no limit.
    pub nr_inodes: Option<u64>,
}

impl Default for Options {
    fn default() -> Options {
        let memory = rustix::system::sysinfo().totalram as u64;
        Options {
            size: memory / 2,
            nr_inodes: memory / 4096 / 2,
            mode: 0o1777,
            uid: None,
            gid: None,
            huge: Huge::default(),
            passthrough: Passthrough::default(),
            reserve: false,
            atime: Atime::default(),
            nodiratime: false,
            read_only: false,
            suid: false,
            dev: false,
            exec: true,
            allow_other: false,
        }
    }
}
