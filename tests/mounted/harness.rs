//! The private namespaces, the mounts in them, and the process of each case.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::namespaces::{
    die_with_parent, drop_capabilities, keep_capabilities, map_ids, open_fuse_to_all, unshare,
};
use crate::proc::{self, End, Step};
use crate::sys::{self, c, check};
use crate::table::{Case, Ctx, Differs, Target};

/// The uid and gid of the ordinary user when the runner is root.
pub(crate) const USER: u32 = 1000;
const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
/// Options of the main mounts: big enough for every case, devices and setuid honoured.
const MAIN: &str = "size=3g,nr_inodes=1m,mode=1777";
/// How long a case may take; those that wait for something have shorter deadlines of their own.
const LIMIT: Duration = Duration::from_secs(240);

/// The mounts under test.
pub(crate) struct Host {
    base: PathBuf,
    points: Vec<(Target, PathBuf)>,
    /// The ordinary user's namespaces; `None` when the runner itself is the ordinary user.
    user: Option<UserSpace>,
}

struct UserSpace {
    user: File,
    mount: File,
    _kid: proc::Kid,
}

/// A process that was started with `Command` and must not outlive us.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// The last lines that it wrote to stderr.
    pub(crate) fn log(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // SAFETY: the child is not reaped yet, so the number is its own.
        unsafe { libc::kill(self.child.id() as i32, libc::SIGTERM) };
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A mount of one case's own.
pub(crate) struct Extra {
    /// Where it is mounted.
    pub(crate) dir: PathBuf,
    daemon: Option<Daemon>,
}

impl Extra {
    /// A path in it.
    pub(crate) fn p(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }
}

impl Drop for Extra {
    fn drop(&mut self) {
        // SAFETY: a NUL-terminated path.
        unsafe { libc::umount2(c(&self.dir).as_ptr(), libc::MNT_DETACH) };
        if let Some(daemon) = &self.daemon {
            if std::thread::panicking() {
                let log = daemon.log();
                if !log.is_empty() {
                    proc::say(&format!(
                        "the daemon of {} wrote:\n{log}",
                        self.dir.display()
                    ));
                }
            }
        }
        drop(self.daemon.take());
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// mount(2) with string data.
pub(crate) fn mount(source: &str, dir: &Path, kind: &str, flags: u64, data: &str) -> sys::R {
    let (source, dir, kind, data) = (c(source), c(dir), c(kind), c(data));
    // SAFETY: NUL-terminated strings.
    check(unsafe {
        libc::mount(
            source.as_ptr(),
            dir.as_ptr(),
            kind.as_ptr(),
            flags,
            data.as_ptr().cast(),
        )
    })
    .map(drop)
}

fn mount_shmfs(target: Target, dir: &Path, log: &Path, options: &str) -> Result<Daemon, String> {
    let passthrough = if target == Target::Passthrough {
        "on"
    } else {
        "off"
    };
    let options = format!("passthrough={passthrough},dev,suid,{options}");
    let stderr = File::create(log).map_err(|e| format!("create {}: {e}", log.display()))?;
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
    command
        .args(["mount", "-f", "-o", &options, "shmfs-test"])
        .arg(dir);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(stderr);
    // SAFETY: prctl is async-signal-safe.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            keep_capabilities();
            Ok(())
        });
    }
    let child = command.spawn().map_err(|e| format!("start shmfs: {e}"))?;
    let mut daemon = Daemon {
        child,
        log: log.to_owned(),
    };
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        if sys::statfs(dir).is_ok_and(|s| s.f_type == FUSE_SUPER_MAGIC) {
            return Ok(daemon);
        }
        if let Ok(Some(status)) = daemon.child.try_wait() {
            return Err(format!(
                "shmfs mount -f -o {options} ended with {status}: {}",
                daemon.log()
            ));
        }
        if Instant::now() > deadline {
            return Err(format!(
                "shmfs mount -f -o {options} did not answer in 30 s: {}",
                daemon.log()
            ));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

impl Host {
    /// Mounts what `wanted` names. A target that cannot be mounted is given with the reason.
    pub(crate) fn start(
        base: PathBuf,
        root: bool,
        wanted: &[Target],
    ) -> (Host, Vec<Daemon>, Vec<(Target, String)>) {
        let mut host = Host {
            base,
            points: Vec::new(),
            user: None,
        };
        let (mut daemons, mut failed) = (Vec::new(), Vec::new());
        for &target in wanted {
            let dir = host
                .base
                .join(if target.is_user() { "user" } else { "root" })
                .join(target.name());
            std::fs::create_dir_all(&dir).expect("create a mount point");
            host.points.push((target, dir));
        }
        if root {
            open_fuse_to_all(&host.base);
        }
        let (ours, theirs): (Vec<_>, Vec<_>) = host
            .points
            .iter()
            .cloned()
            .partition(|(t, _)| !t.is_user() || !root);
        // First: its mount namespace would have copies of our mounts, which could not end.
        if !theirs.is_empty() {
            host.user = Some(UserSpace::start(&theirs, &mut failed));
        }
        for (target, dir) in ours {
            match start_target(target, &dir) {
                Ok(daemon) => daemons.extend(daemon),
                Err(why) => failed.push((target, why)),
            }
        }
        (host, daemons, failed)
    }

    /// Where a target is mounted.
    pub(crate) fn mountpoint(&self, target: Target) -> &Path {
        let found = self.points.iter().find(|(t, _)| *t == target);
        &found.expect("a target that was mounted").1
    }

    /// One more mount of the same kind as `target`.
    pub(crate) fn extra(&self, target: Target, options: &str) -> Extra {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let n = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let dir = self.base.join(format!("extra-{}-{n}", std::process::id()));
        std::fs::create_dir(&dir).expect("create a mount point");
        if target.is_tmpfs() {
            let (flags, data) = mount_flags(options);
            mount("shmfs-test", &dir, "tmpfs", flags, &data).expect("mount a tmpfs");
            return Extra { dir, daemon: None };
        }
        let log = dir.with_extension("log");
        match mount_shmfs(target, &dir, &log, options) {
            Ok(daemon) => Extra {
                dir,
                daemon: Some(daemon),
            },
            Err(why) => panic!("{why}"),
        }
    }

    /// Runs a case on a target in a process of its own.
    pub(crate) fn run(
        &self,
        case: &Case,
        target: Target,
        difference: Option<&'static Differs>,
    ) -> Result<(), String> {
        let point = self.mountpoint(target).to_owned();
        let mut kid = proc::spawn(|| {
            // SAFETY: a group of its own, so that all of it can be killed.
            unsafe { libc::setpgid(0, 0) };
            die_with_parent();
            self.enter(target);
            sys::umask(0o022);
            let dir = point.join(format!("{}.{}", case.group, case.name));
            sys::mkdir(&dir, 0o755).expect("create the case's directory");
            let ctx = Ctx::new(self, target, dir, difference);
            (case.run)(&ctx);
            ctx.check_consulted();
            sys::chdir("/").expect("chdir /");
            let _ = std::fs::remove_dir_all(&ctx.dir);
        });
        let end = kid.end(LIMIT);
        // SAFETY: the group of the case; what it left behind ends with it.
        unsafe { libc::kill(-kid.pid, libc::SIGKILL) };
        match end {
            End::Done => Ok(()),
            End::Panicked(text) => Err(text),
            End::Signal(n) => Err(format!("the case died of signal {n}")),
            End::Hung(stacks) => Err(format!(
                "the case did not end within {} s\n{stacks}",
                LIMIT.as_secs()
            )),
        }
    }

    /// Enters the ordinary user's namespaces where the target is there, and drops all capabilities.
    fn enter(&self, target: Target) {
        if !target.is_user() {
            return;
        }
        if let Some(space) = &self.user {
            proc::become_user(USER, USER, &[]);
            for (file, what) in [(&space.user, "user"), (&space.mount, "mount")] {
                // SAFETY: no pointers.
                check(unsafe { libc::setns(file.as_raw_fd(), 0) })
                    .unwrap_or_else(|e| panic!("setns({what}): {e:?}"));
            }
        }
        drop_capabilities();
    }
}

impl UserSpace {
    fn start(points: &[(Target, PathBuf)], failed: &mut Vec<(Target, String)>) -> UserSpace {
        let ready = Step::new();
        let base = points[0].1.parent().expect("a base directory").to_owned();
        let kid = proc::spawn(|| {
            die_with_parent();
            for dir in points.iter().map(|(_, dir)| dir).chain([&base]) {
                sys::chown(dir, USER, USER).expect("give the mount point to the user");
            }
            proc::become_user(USER, USER, &[]);
            // SAFETY: no pointers. A process that changed its uid may not write its own maps otherwise.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1) };
            unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS, "NEWUSER|NEWNS");
            map_ids(USER, USER);
            let mut daemons = Vec::new();
            for (target, dir) in points {
                match start_target(*target, dir) {
                    Ok(daemon) => daemons.extend(daemon),
                    Err(why) => std::fs::write(why_file(dir), why).expect("write why"),
                }
            }
            ready.make();
            loop {
                // SAFETY: waits until the runner kills us.
                unsafe { libc::pause() };
            }
        });
        ready.wait();
        for (target, dir) in points {
            if let Ok(why) = std::fs::read_to_string(why_file(dir)) {
                failed.push((*target, why));
            }
        }
        let open = |what: &str| {
            File::open(format!("/proc/{}/ns/{what}", kid.pid)).expect("open the user's namespace")
        };
        UserSpace {
            user: open("user"),
            mount: open("mnt"),
            _kid: kid,
        }
    }
}

/// Where the user's side leaves the reason of a mount that failed.
fn why_file(dir: &Path) -> PathBuf {
    dir.with_extension("why")
}

fn start_target(target: Target, dir: &Path) -> Result<Option<Daemon>, String> {
    if target.is_tmpfs() {
        let mounted = mount("shmfs-test", dir, "tmpfs", 0, MAIN);
        return mounted
            .map(|()| None)
            .map_err(|e| format!("mount tmpfs: {e:?}"));
    }
    mount_shmfs(target, dir, &dir.with_extension("log"), MAIN).map(Some)
}

/// The generic options that mount(2) takes as flags, and the rest.
fn mount_flags(options: &str) -> (u64, String) {
    let mut flags = 0;
    let mut data = Vec::new();
    for word in options.split(',').filter(|word| !word.is_empty()) {
        match word {
            "ro" => flags |= libc::MS_RDONLY,
            "noatime" => flags |= libc::MS_NOATIME,
            "strictatime" => flags |= libc::MS_STRICTATIME,
            "nodiratime" => flags |= libc::MS_NODIRATIME,
            "nodev" => flags |= libc::MS_NODEV,
            "noexec" => flags |= libc::MS_NOEXEC,
            // What mount(8) keeps to itself.
            "dev" | "suid" | "exec" | "rw" => {}
            "nosuid" => flags |= libc::MS_NOSUID,
            other => data.push(other),
        }
    }
    (flags, data.join(","))
}
