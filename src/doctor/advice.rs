//! One finding each: its verdict, its reason, its remedy.

use std::io;

use super::host::{DataMode, Host, Refusal, Shm, Step, Way};
use super::report::{Line, State, unless_run_works};

/// The system's words for an error.
fn words(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.split_once(" (os error") {
        Some((words, _)) => words.to_owned(),
        None => text,
    }
}

/// A line that says nothing: another one has said it.
fn said_elsewhere(what: &'static str) -> Line {
    Line::new(State::Ok, what, "")
}

fn size(bytes: u64) -> String {
    let units = [(1u64 << 40, "TiB"), (1 << 30, "GiB"), (1 << 20, "MiB")];
    match units.iter().find(|(unit, _)| bytes >= *unit) {
        Some((unit, name)) => format!("{:.1} {name}", bytes as f64 / *unit as f64),
        None => format!("{} KiB", bytes >> 10),
    }
}

pub(super) fn kernel(host: &Host) -> Line {
    let what = "kernel";
    if !host.kernel_is(5, 2) {
        let reason = format!("Linux {} has no fsopen(2)", host.release);
        return Line::new(unless_run_works(host), what, reason)
            .remedy("shmfs needs Linux 5.2 or later");
    }
    if !host.knows_fuse {
        let reason = format!("Linux {} without FUSE", host.release);
        return Line::new(unless_run_works(host), what, reason)
            .remedy("as root: modprobe fuse (CONFIG_FUSE_FS)");
    }
    Line::new(State::Ok, what, format!("Linux {} with FUSE", host.release))
}

pub(super) fn device(host: &Host) -> Line {
    let what = "/dev/fuse";
    let Err(errno) = host.device.open else {
        return Line::new(State::Ok, what, "can be opened");
    };
    let line = |reason: String| Line::new(unless_run_works(host), what, reason);
    match (errno, host.device.mode) {
        (libc::ENOENT | libc::ENXIO | libc::ENODEV, _) => line("is not there".into())
            .remedy("as root: modprobe fuse; a container gets it with --device /dev/fuse"),
        (libc::ENOTTY, _) => line("is no device".into())
            .remedy("as root: rm /dev/fuse && mknod -m 666 /dev/fuse c 10 229"),
        (libc::EACCES, Some((mode, uid, gid))) => line(format!(
            "cannot be opened by user {}: its mode is {mode:04o}, its owner {uid}:{gid}",
            host.uid
        ))
        .remedy(
            "as root: chmod 666 /dev/fuse; to stay, the udev rule KERNEL==\"fuse\", MODE=\"0666\"",
        ),
        (libc::EPERM, _) => line("is forbidden by the control group's device rules".into())
            .remedy("a container gets it with --device /dev/fuse"),
        (errno, _) => line(format!("cannot be opened: {}", words(errno))),
    }
}

pub(super) fn user_namespaces(host: &Host) -> Line {
    let what = "user namespaces";
    let Err(errno) = host.user_namespaces() else {
        return Line::new(State::Ok, what, "can be made");
    };
    let state = unless_run_works(host);
    let reason = format!("cannot be made: {}", words(errno));
    let line = Line::new(state, what, reason);
    if host.way() == Some(Way::Privileged) {
        return line.remedy("this user needs none; ordinary users do for `shmfs run`");
    }
    line.remedy(remedy_of_namespaces(host))
}

fn remedy_of_namespaces(host: &Host) -> String {
    let limits = &host.limits_of_namespaces;
    let is = |setting: &Option<String>, value: &str| setting.as_deref() == Some(value);
    let mut remedies = Vec::new();
    if is(&limits.max_user_namespaces, "0") {
        remedies.push("sysctl user.max_user_namespaces=15000");
    }
    if is(&limits.unprivileged_userns_clone, "0") {
        remedies.push("sysctl kernel.unprivileged_userns_clone=1");
    }
    if is(&limits.apparmor_restrict, "1") {
        remedies.push(
            "sysctl kernel.apparmor_restrict_unprivileged_userns=0 (or an AppArmor profile for \
             shmfs with `userns,`)",
        );
    }
    if remedies.is_empty() {
        return "sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone and \
            kernel.apparmor_restrict_unprivileged_userns allow them, so a container's seccomp \
            profile or /proc is in the way: run shmfs outside, or as root"
            .into();
    }
    format!("as root: {}", remedies.join("; "))
}

pub(super) fn fusermount(host: &Host) -> Line {
    let what = "fusermount3";
    let needed = host.may_mount.is_err();
    let state = if needed {
        unless_run_works(host)
    } else {
        State::Ok
    };
    let Some(found) = &host.fusermount else {
        let line = Line::new(state, what, "is not in PATH");
        return line.remedy("`shmfs mount` by an ordinary user needs it: apt-get install fuse3");
    };
    let path = &found.path;
    if !found.setuid_root {
        let reason = format!("{path} is not set-user-ID root");
        return Line::new(state, what, reason)
            .remedy(format!("as root: chown root {path}; chmod 4755 {path}"));
    }
    if host.no_new_privileges {
        let reason = format!("{path} gains no privileges here: no_new_privs is set");
        return Line::new(state, what, reason)
            .remedy("start shmfs without NoNewPrivileges= or --security-opt no-new-privileges");
    }
    let allow = if host.user_allow_other {
        "allowed"
    } else {
        "refused"
    };
    Line::new(
        State::Ok,
        what,
        format!("{path}; allow_other is {allow} to users by /etc/fuse.conf"),
    )
}

pub(super) fn mounting(host: &Host) -> Line {
    let what = "FUSE mount";
    let (attempt, place) = match host.may_mount {
        Ok(()) => (host.mount_privileged, "a mount namespace"),
        Err(_) => (host.mount_as_user, "a user and a mount namespace"),
    };
    let Err(Refusal { step, errno }) = attempt else {
        return Line::new(State::Ok, what, format!("works in {place} (tried)"));
    };
    let state = unless_run_works(host);
    let answer = words(errno);
    match (step, host.may_mount) {
        (Step::Device, _) | (Step::Namespace, Err(libc::EPERM)) => said_elsewhere(what),
        (Step::Namespace, _) => Line::new(state, what, format!("{place} cannot be made: {answer}"))
            .remedy("a seccomp profile or missing capabilities are in the way: run it as root, or outside of the container"),
        (Step::Type | Step::Make, _) => {
            Line::new(state, what, format!("cannot be made in {place}: {answer}"))
                .remedy("the kernel lets users mount FUSE since Linux 4.18; a container's seccomp profile must let fsopen(2) and fsmount(2) through")
        }
        (Step::Attach, _) => {
            Line::new(state, what, format!("cannot be attached at /dev/shm in {place}: {answer}"))
                .remedy("AppArmor or SELinux forbids it, or /dev/shm is no directory: a container needs --security-opt apparmor=unconfined")
        }
    }
}

pub(super) fn passthrough(host: &Host) -> Line {
    let what = "passthrough";
    match host.data_mode() {
        (DataMode::Passthrough, _) => {
            Line::new(State::Ok, what, "data goes to memory inside the kernel")
        }
        (DataMode::PageCache, why) => {
            let reason = format!("data goes through the page cache: {why}");
            Line::new(State::Warn, what, reason).remedy(
                "all works, slower; for passthrough run shmfs as root on the host, on Linux 6.9 or later",
            )
        }
    }
}

pub(super) fn detached_tmpfs(host: &Host) -> Line {
    let what = "detached tmpfs";
    let Err(Refusal { errno, .. }) = host.detached_tmpfs else {
        return Line::new(State::Ok, what, "holds the data (tried)");
    };
    let reason = format!("cannot be made: {}; each object is a memfd", words(errno));
    Line::new(State::Warn, what, reason).remedy(
        "all works, but each object costs a file descriptor; it needs root or a user namespace",
    )
}

pub(super) fn acls(host: &Host) -> Line {
    let what = "POSIX ACLs";
    if host.kernel_is(4, 9) {
        return Line::new(State::Ok, what, "enforced by the kernel");
    }
    Line::new(State::Warn, what, "FUSE has them since Linux 4.9").remedy("use a later kernel")
}

pub(super) fn glibc(host: &Host) -> Line {
    let what = "C library";
    match host.glibc {
        Some(version @ (major, minor)) if version < (2, 34) => {
            let reason =
                format!("glibc {major}.{minor} looks for a tmpfs at /dev/shm, and bypasses a FUSE");
            Line::new(State::Warn, what, reason).remedy(
                "programs that use it need glibc 2.34 or later for shm_open(3); open(2) of /dev/shm/… works",
            )
        }
        Some((major, minor)) => {
            let reason = format!("glibc {major}.{minor} takes /dev/shm as it is");
            Line::new(State::Ok, what, reason)
        }
        None => Line::new(State::Ok, what, "not glibc"),
    }
}

pub(super) fn shm(host: &Host) -> Line {
    let what = "/dev/shm";
    match &host.shm {
        Shm::Directory {
            kind,
            size: 0,
            mode,
            ..
        } => Line::new(
            State::Ok,
            what,
            format!("{kind} without a limit, mode {mode:04o}"),
        ),
        Shm::Directory {
            kind,
            size: all,
            free,
            mode,
        } => Line::new(
            State::Ok,
            what,
            format!(
                "{kind} of {}, {} free, mode {mode:04o}",
                size(*all),
                size(*free)
            ),
        ),
        Shm::Absent => Line::new(State::Warn, what, "is not there").remedy(
            "`shmfs run` makes one that only its command sees; to have one: mkdir -m 1777 /dev/shm",
        ),
        Shm::NoDirectory => Line::new(unless_run_works(host), what, "is no directory")
            .remedy("as root: rm /dev/shm; mkdir -m 1777 /dev/shm"),
    }
}

pub(super) fn descriptors(host: &Host) -> Line {
    /// What a daemon with many open objects gets by with.
    const ENOUGH: u64 = 4096;
    let what = "file descriptors";
    let most = host
        .nofile
        .unwrap_or(u64::MAX)
        .min(host.file_max.unwrap_or(u64::MAX));
    let number = if most == u64::MAX {
        "no limit".into()
    } else {
        format!("at most {most}")
    };
    if host.detached_tmpfs.is_err() {
        let reason = format!("{number}, and so many objects");
        return Line::new(State::Warn, what, reason)
            .remedy("a higher hard limit: ulimit -Hn, LimitNOFILE= of systemd, fs.file-max");
    }
    if most < ENOUGH {
        let reason = format!("{number}, and so many objects open at once");
        return Line::new(State::Warn, what, reason)
            .remedy("a higher hard limit: ulimit -Hn, LimitNOFILE= of systemd, fs.file-max");
    }
    Line::new(State::Ok, what, number)
}

pub(super) fn memory(host: &Host) -> Line {
    let what = "memory";
    let default = host.total_ram / 2;
    let default_size = size(default);
    match host.memory_limit {
        Some(limit) if limit < default => {
            let limit_size = size(limit);
            let reason = format!(
                "the control group's limit of {limit_size} is below the default size of {default_size}"
            );
            Line::new(State::Warn, what, reason).remedy(format!(
                "beyond the limit the kernel kills: choose a size, such as -o size={}m",
                (limit >> 21).max(1)
            ))
        }
        Some(_) | None => {
            let ram = size(host.total_ram);
            Line::new(
                State::Ok,
                what,
                format!("{ram}; the default size is {default_size}"),
            )
        }
    }
}

/// What `--as` reaches is the same on every host, but nowhere else does a person look for it.
pub(super) fn personalities(host: &Host) -> Line {
    let what = "shmfs run --as";
    let Some(library) = &host.preload_library else {
        return Line::new(State::Warn, what, "libshmfs_preload.so is not found").remedy(
            "cargo build -p shmfs-preload puts it next to shmfs; mount-helper/install.sh installs it",
        );
    };
    let reason = format!(
        "preloads {}: it reaches neither static programs, nor those of another C library, nor those that make system \
         calls themselves (Go), nor set-user-ID programs",
        library.display()
    );
    Line::new(State::Ok, what, reason)
}
