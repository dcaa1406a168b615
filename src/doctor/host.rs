//! What was found on a host: facts without a verdict.

use std::path::PathBuf;

/// Where an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Making the namespaces.
    Namespace,
    /// Opening /dev/fuse.
    Device,
    /// Asking for the file system's type.
    Type,
    /// Making the file system.
    Make,
    /// Attaching it.
    Attach,
}

/// An attempt that was made in a child process.
pub type Attempt = Result<(), Refusal>;

/// What stopped an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was being done.
    pub step: Step,
    /// What the system answered.
    pub errno: i32,
}

/// The facts that the report is made of.
#[derive(Clone, Debug)]
pub struct Host {
    /// Effective user.
    pub uid: u32,
    /// The kernel's release, such as `6.18.44`.
    pub release: String,
    /// /dev/fuse.
    pub device: Device,
    /// Whether /proc/filesystems has `fuse`.
    pub knows_fuse: bool,
    /// Whether the caller may mount where it is: then `run` needs no user namespace.
    pub may_mount: Result<(), i32>,
    /// A FUSE mount in a mount namespace of its own.
    pub mount_privileged: Attempt,
    /// A FUSE mount in a user and a mount namespace of its own.
    pub mount_as_user: Attempt,
    /// The settings that keep users from user namespaces.
    pub limits_of_namespaces: NamespaceLimits,
    /// fusermount3, where `PATH` has it.
    pub fusermount: Option<Fusermount>,
    /// Whether /etc/fuse.conf has `user_allow_other`.
    pub user_allow_other: bool,
    /// Whether a set-user-ID program gains nothing from this process (no_new_privs).
    pub no_new_privileges: bool,
    /// Whether the user namespace is the initial one.
    pub initial_user_namespace: bool,
    /// Whether CAP_SYS_ADMIN is effective.
    pub system_administrator: bool,
    /// Whether the kernel was built with CONFIG_FUSE_PASSTHROUGH, where /boot tells.
    pub passthrough_built: Option<bool>,
    /// A tmpfs that is attached nowhere, where `run` would make it.
    pub detached_tmpfs: Attempt,
    /// The library that `run --as` preloads.
    pub preload_library: Option<PathBuf>,
    /// Version of glibc.
    pub glibc: Option<(u32, u32)>,
    /// What is at /dev/shm.
    pub shm: Shm,
    /// RLIMIT_NOFILE, hard; `None` is no limit.
    pub nofile: Option<u64>,
    /// fs.file-max.
    pub file_max: Option<u64>,
    /// RAM.
    pub total_ram: u64,
    /// The memory controller's limit for this process.
    pub memory_limit: Option<u64>,
}

/// What is known of /dev/fuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Opening it for reading and writing.
    pub open: Result<(), i32>,
    /// Its permissions, owner and group.
    pub mode: Option<(u32, u32, u32)>,
}

/// The sysctls about user namespaces; absent where the kernel has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NamespaceLimits {
    /// user.max_user_namespaces
    pub max_user_namespaces: Option<String>,
    /// kernel.unprivileged_userns_clone
    pub unprivileged_userns_clone: Option<String>,
    /// kernel.apparmor_restrict_unprivileged_userns
    pub apparmor_restrict: Option<String>,
}

/// fusermount3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fusermount {
    /// Where it is.
    pub path: String,
    /// Whether it is set-user-ID root.
    pub setuid_root: bool,
}

/// What is at /dev/shm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shm {
    /// Nothing.
    Absent,
    /// No directory.
    NoDirectory,
    /// A directory on a file system of this type and size.
    Directory {
        /// Its type, such as `tmpfs`.
        kind: String,
        /// Bytes; 0 is no limit.
        size: u64,
        /// Bytes that are free.
        free: u64,
        /// Its permissions.
        mode: u32,
    },
}

/// How `run` gets a private /dev/shm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// In a mount namespace: the caller may mount.
    Privileged,
    /// In a user and a mount namespace.
    UserNamespace,
    /// fusermount3 mounts; a user namespace takes it in.
    Fusermount,
}

/// How data travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataMode {
    /// Inside the kernel.
    Passthrough,
    /// Through the kernel's page cache.
    PageCache,
}

impl Host {
    /// The way that `run` takes; the choice is that of `run` itself.
    pub fn way(&self) -> Option<Way> {
        match self.may_mount {
            Ok(()) => self.mount_privileged.ok().map(|()| Way::Privileged),
            Err(libc::EPERM) => self.way_of_user(),
            Err(_) => None,
        }
    }

    fn way_of_user(&self) -> Option<Way> {
        match self.mount_as_user.map_err(|refusal| refusal.step) {
            Ok(()) => Some(Way::UserNamespace),
            Err(Step::Namespace | Step::Make | Step::Attach) => None,
            // Then `run` lets fusermount3 mount, and takes the mount along.
            Err(Step::Device | Step::Type) => self.fusermount_works().then_some(Way::Fusermount),
        }
    }

    /// Whether user namespaces are to be had, whatever can be mounted in them.
    pub fn user_namespaces(&self) -> Result<(), i32> {
        match self.mount_as_user {
            Err(Refusal {
                step: Step::Namespace,
                errno,
            }) => Err(errno),
            Err(_) | Ok(()) => Ok(()),
        }
    }

    /// Whether fusermount3 would mount for this user.
    pub fn fusermount_works(&self) -> bool {
        let found = self.fusermount.as_ref();
        let privileged = found.is_some_and(|found| found.setuid_root) && !self.no_new_privileges;
        // It opens the device with the user's own permissions.
        privileged && self.device.open.is_ok() && self.knows_fuse
    }

    /// How data travels in `run`, and why not inside the kernel.
    pub fn data_mode(&self) -> (DataMode, &'static str) {
        let why_not = if !self.kernel_is(6, 9) {
            "passthrough came with Linux 6.9"
        } else if self.passthrough_built == Some(false) {
            "the kernel was built without CONFIG_FUSE_PASSTHROUGH"
        } else if !self.initial_user_namespace {
            "the kernel grants passthrough only in the initial user namespace"
        } else if !self.system_administrator {
            "the kernel grants passthrough only with CAP_SYS_ADMIN"
        } else {
            return (DataMode::Passthrough, "");
        };
        (DataMode::PageCache, why_not)
    }

    /// Whether the kernel is at least this one.
    pub fn kernel_is(&self, major: u32, minor: u32) -> bool {
        let mut numbers = self.release.split(|c: char| !c.is_ascii_digit());
        let mut next = || numbers.next().and_then(|text| text.parse::<u32>().ok());
        (next().unwrap_or(0), next().unwrap_or(0)) >= (major, minor)
    }
}
