//! Finds the facts.

use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{FsOpenFlags, fsopen};
use rustix::process::{Resource, getrlimit};

use super::attempt::{self, Within};
use super::host::{Device, Fusermount, Host, NamespaceLimits, Shm};
use crate::error::{Error, Result};
use crate::sys::{libc_version, memory};

/// CAP_SYS_ADMIN of linux/capability.h.
const CAP_SYS_ADMIN: u32 = 21;

impl Host {
    /// Looks at this host. Only for a process with one thread: it forks.
    pub fn probe() -> Result<Host> {
        let tried = |error: io::Error| Error::system("cannot try it in a child", error);
        let release = rustix::system::uname()
            .release()
            .to_string_lossy()
            .into_owned();
        let may_mount = fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC);
        let may_mount = may_mount.map(drop).map_err(|error| error.raw_os_error());
        let place_of_data = if may_mount.is_ok() {
            Within::Here
        } else {
            Within::UserAndMounts
        };
        Ok(Host {
            uid: rustix::process::geteuid().as_raw(),
            device: device(Path::new("/dev/fuse")),
            may_mount,
            mount_privileged: attempt::fuse(Within::Mounts).map_err(tried)?,
            mount_as_user: attempt::fuse(Within::UserAndMounts).map_err(tried)?,
            detached_tmpfs: attempt::detached_tmpfs(place_of_data).map_err(tried)?,
            // Opening the device or asking for the type has loaded the module by now.
            knows_fuse: knows_fuse(&read("/proc/filesystems")),
            limits_of_namespaces: namespace_limits(),
            fusermount: fusermount(),
            user_allow_other: user_allow_other(&read("/etc/fuse.conf")),
            no_new_privileges: status_field("NoNewPrivs").is_some_and(|value| value == "1"),
            initial_user_namespace: is_initial(&read("/proc/self/uid_map")),
            system_administrator: has_capability(CAP_SYS_ADMIN),
            passthrough_built: passthrough_built(&read(format!("/boot/config-{release}"))),
            preload_library: crate::run::preload_library(),
            glibc: libc_version::glibc(),
            shm: shm(Path::new("/dev/shm")),
            nofile: getrlimit(Resource::Nofile).maximum,
            file_max: read("/proc/sys/fs/file-max").trim().parse().ok(),
            total_ram: memory::total_ram(),
            memory_limit: memory_limit(),
            release,
        })
    }
}

/// A file's text; nothing where it cannot be read.
fn read(path: impl AsRef<Path>) -> String {
    fs::read(path).map_or_else(
        |_| String::new(),
        |bytes| String::from_utf8_lossy(&bytes).into_owned(),
    )
}

fn device(path: &Path) -> Device {
    let flags = OFlags::RDWR | OFlags::CLOEXEC;
    let open = rustix::fs::open(path, flags, Mode::empty());
    let mode = fs::metadata(path).ok();
    let is_device = mode
        .as_ref()
        .is_none_or(|found| found.file_type().is_char_device());
    let open = open.map_err(|error| error.raw_os_error());
    Device {
        // As what is done with it would be refused.
        open: open.and_then(|_| is_device.then_some(()).ok_or(libc::ENOTTY)),
        mode: mode.map(|found| (found.mode() & 0o7777, found.uid(), found.gid())),
    }
}

fn knows_fuse(filesystems: &str) -> bool {
    filesystems
        .lines()
        .any(|line| line.split_whitespace().last() == Some("fuse"))
}

fn namespace_limits() -> NamespaceLimits {
    let setting = |path: &str| {
        let text = read(Path::new("/proc/sys").join(path));
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    NamespaceLimits {
        max_user_namespaces: setting("user/max_user_namespaces"),
        unprivileged_userns_clone: setting("kernel/unprivileged_userns_clone"),
        apparmor_restrict: setting("kernel/apparmor_restrict_unprivileged_userns"),
    }
}

/// The fusermount3 that execvp(3) would find.
fn fusermount() -> Option<Fusermount> {
    let path = std::env::var_os("PATH")?;
    let mut candidates = std::env::split_paths(&path).map(|dir| dir.join("fusermount3"));
    candidates.find_map(|candidate| {
        let found = fs::metadata(&candidate).ok()?;
        let executable = found.is_file() && found.mode() & 0o111 != 0;
        executable.then(|| Fusermount {
            path: candidate.display().to_string(),
            setuid_root: found.mode() & 0o4000 != 0 && found.uid() == 0,
        })
    })
}

fn user_allow_other(config: &str) -> bool {
    config.lines().any(|line| line.trim() == "user_allow_other")
}

fn status_field(name: &str) -> Option<String> {
    let status = read("/proc/self/status");
    let mut lines = status.lines();
    lines.find_map(|line| {
        let (field, value) = line.split_once(':')?;
        (field == name).then(|| value.trim().to_owned())
    })
}

/// The initial user namespace maps all numbers onto themselves.
fn is_initial(uid_map: &str) -> bool {
    uid_map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn has_capability(number: u32) -> bool {
    let effective = status_field("CapEff");
    let effective = effective.and_then(|text| u64::from_str_radix(&text, 16).ok());
    effective.is_some_and(|set| set & (1 << number) != 0)
}

fn passthrough_built(config: &str) -> Option<bool> {
    if config.is_empty() {
        return None;
    }
    Some(
        config
            .lines()
            .any(|line| line == "CONFIG_FUSE_PASSTHROUGH=y"),
    )
}

fn shm(path: &Path) -> Shm {
    let Ok(found) = fs::metadata(path) else {
        return Shm::Absent;
    };
    if !found.is_dir() {
        return Shm::NoDirectory;
    }
    let numbers = rustix::fs::statvfs(path).ok();
    let bytes = |blocks: u64, unit: u64| blocks.saturating_mul(unit);
    Shm::Directory {
        kind: kind_at(path, &read("/proc/self/mountinfo")).unwrap_or_else(|| "unknown".into()),
        size: numbers
            .as_ref()
            .map_or(0, |n| bytes(n.f_blocks, n.f_frsize)),
        free: numbers
            .as_ref()
            .map_or(0, |n| bytes(n.f_bavail, n.f_frsize)),
        mode: found.mode() & 0o7777,
    }
}

/// The type of the file system that `path` is on: of the last mount on its nearest ancestor.
fn kind_at(path: &Path, mountinfo: &str) -> Option<String> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let point = line.split(' ').nth(4)?;
        let kind = line.split_once(" - ")?.1.split(' ').next()?;
        path.starts_with(point).then_some((Path::new(point), kind))
    });
    let nearest = mounts.max_by_key(|(point, _)| point.components().count());
    nearest.map(|(_, kind)| kind.to_owned())
}

/// The lowest limit of memory of the control groups that this process is in.
fn memory_limit() -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    let limits = read("/proc/self/cgroup");
    let limits = limits.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, group) = (fields.next()?, fields.next()?);
        let group = group.trim_start_matches('/');
        match controllers {
            "" => lowest(root, Path::new(group), "memory.max"),
            "memory" => lowest(
                &root.join("memory"),
                Path::new(group),
                "memory.limit_in_bytes",
            ),
            _ => None,
        }
    });
    limits.min()
}

fn lowest(root: &Path, group: &Path, file: &str) -> Option<u64> {
    // "max", or the largest multiple of a page where there is no limit.
    const NONE: u64 = i64::MAX as u64 - 65_536;
    let groups = group
        .ancestors()
        .map(|ancestor| -> PathBuf { root.join(ancestor).join(file) });
    let limits = groups.filter_map(|path| read(path).trim().parse::<u64>().ok());
    limits.filter(|limit| *limit < NONE).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_and_last_mount_counts() {
        let mountinfo = "20 1 0:1 / / rw - ext4 /dev/vda rw\n\
            21 20 0:2 / /dev rw - devtmpfs devtmpfs rw\n\
            22 21 0:3 / /dev/shm rw shared:4 - tmpfs tmpfs rw\n\
            23 22 0:4 / /dev/shm rw - fuse.shmfs shmfs rw\n";
        let kind = |path| kind_at(Path::new(path), mountinfo);
        assert_eq!(kind("/dev/shm").as_deref(), Some("fuse.shmfs"));
        assert_eq!(kind("/dev/shmx").as_deref(), Some("devtmpfs"));
        assert_eq!(kind("/home").as_deref(), Some("ext4"));
    }

    #[test]
    fn small_files_are_read_right() {
        assert!(knows_fuse("nodev\tsysfs\n\text4\nnodev\tfuse\n"));
        assert!(!knows_fuse("nodev\tfusectl\n\tfuseblk\n"));
        assert!(is_initial("         0          0 4294967295\n"));
        assert!(!is_initial("0 1000 1\n"));
        assert!(user_allow_other("# x\nuser_allow_other\n"));
        assert!(!user_allow_other("#user_allow_other\n"));
        assert_eq!(passthrough_built(""), None);
        assert_eq!(passthrough_built("CONFIG_FUSE_PASSTHROUGH=y\n"), Some(true));
        assert_eq!(
            passthrough_built("# CONFIG_FUSE_PASSTHROUGH is not set\n"),
            Some(false)
        );
    }

    #[test]
    fn the_lowest_limit_of_all_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let group = root.path().join("a/b");
        fs::create_dir_all(&group).unwrap();
        fs::write(group.join("memory.max"), "max\n").unwrap();
        assert_eq!(lowest(root.path(), Path::new("a/b"), "memory.max"), None);
        fs::write(root.path().join("a/memory.max"), "4096\n").unwrap();
        assert_eq!(
            lowest(root.path(), Path::new("a/b"), "memory.max"),
            Some(4096)
        );
        fs::write(group.join("memory.max"), "9223372036854771712\n").unwrap();
        assert_eq!(
            lowest(root.path(), Path::new("a/b"), "memory.max"),
            Some(4096)
        );
    }
}
