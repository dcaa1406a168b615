//! Who mounts a case's file system, and with what besides.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, mount, mount_bind, mount_bind_recursive};
use rustix::process::{Gid, Signal, Uid};

use super::Outcome;

/// What a case's mount differs in from that of others.
#[derive(Clone, Copy)]
pub(crate) struct Setup {
    /// Who mounts it and works on it.
    pub(crate) user: User,
    /// Mount options besides those of the mode.
    pub(crate) options: &'static str,
    /// The file of its exports, where it has any.
    pub(crate) exports: Option<&'static str>,
}

/// Who runs a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Who runs the suite.
    Own,
    /// Nobody, who mounts by fusermount3.
    Nobody,
    /// Nobody, where he may make no user namespaces: each object is a memfd.
    NobodyWithMemfds,
}

/// What an ordinary user needs a superuser for before he begins.
pub(crate) const NEEDS_ROOT: &str = "the case becomes nobody";

/// The program, where an ordinary user may not look into our directories.
const COPY: &str = "shmfs";

impl Setup {
    /// As the mode has it.
    pub(crate) const PLAIN: Setup = Setup {
        user: User::Own,
        options: "",
        exports: None,
    };

    /// Makes this process, which has one thread, its user; `base` is his from here on.
    pub(super) fn become_user(&self, base: &Path) -> Outcome {
        if self.user == User::Own {
            return Ok(());
        }
        self.prepare_for_nobody(base)
            .map_err(|e| format!("become nobody: {e}"))
    }

    fn prepare_for_nobody(&self, base: &Path) -> std::io::Result<()> {
        let devices = base.join("devices");
        fs::create_dir(&devices)?;
        mount("tmpfs", &devices, "tmpfs", MountFlags::empty(), None)?;
        let device = devices.join("fuse");
        let fuse = rustix::fs::makedev(10, 229);
        rustix::fs::mknodat(CWD, &device, FileType::CharacterDevice, Mode::empty(), fuse)?;
        rustix::fs::chmod(&device, Mode::from_raw_mode(0o666))?;
        mount_bind(&device, "/dev/fuse")?;
        fs::File::create(base.join(COPY))?;
        mount_bind(env!("CARGO_BIN_EXE_shmfs"), base.join(COPY))?;
        if self.user == User::NobodyWithMemfds {
            // Who has another root than his mount namespace may make no user namespace.
            let root = base.join("root");
            fs::create_dir(&root)?;
            mount_bind_recursive("/", &root)?;
            rustix::process::chroot(&root)?;
            std::env::set_current_dir("/")?;
        }
        let nobody = (Uid::from_raw(65534), Gid::from_raw(65534));
        rustix::fs::chown(base, Some(nobody.0), Some(nobody.1))?;
        rustix::thread::set_thread_groups(&[])?;
        rustix::thread::set_thread_gid(nobody.1)?;
        rustix::thread::set_thread_uid(nobody.0)?;
        // Another user's process is nobody's to end.
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        // SAFETY: before there is a thread. Control sockets are in there.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", base) };
        Ok(())
    }

    /// The program to be run.
    pub(super) fn program(&self, base: &Path) -> PathBuf {
        match self.user {
            User::Own => PathBuf::from(env!("CARGO_BIN_EXE_shmfs")),
            User::Nobody | User::NobodyWithMemfds => base.join(COPY),
        }
    }

    /// All options of the mount.
    pub(super) fn options(&self, mode: &str, base: &Path) -> Result<String, String> {
        let mut options = mode.to_owned();
        if !self.options.is_empty() {
            options += &format!(",{}", self.options);
        }
        if let Some(text) = self.exports {
            let file = base.join("exports.toml");
            fs::write(&file, text).map_err(|e| format!("write the exports: {e}"))?;
            options += &format!(",exports={}", file.display());
        }
        Ok(options)
    }
}
