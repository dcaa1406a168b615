//! The private namespaces, the mounts in them, and the process of each case.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::proc::{self, End, Step};
use crate::sys::{self, c, check};
use crate::table::{Case, Ctx, Differs, Target};

/// The uid and gid of the ordinary user when the runner is root.
pub const USER: u32 = 1000;
const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;
/// Options of the main mounts: big enough for every case, devices and setuid honoured.
const MAIN: &str = "size=3g,nr_inodes=1m,mode=1777";
/// How long a case may take; those that wait for something have shorter deadlines of their own.
const LIMIT: Duration = Duration::from_secs(240);

/// The mounts under test.
pub struct Host {
    base: PathBuf,
    points: Vec<(Target, PathBuf)>,
    /// The ordinary user's namespaces; `None` when the runner itself is the ordinary user.
    user: Option<UserSpace>,
    root: bool,
}

struct UserSpace {
    user: File,
    mount: File,
    _kid: proc::Kid,
}

/// A process that was started with `Command` and must not outlive us.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// The last lines that it wrote to stderr.
    pub fn log(&self) -> String {
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
pub struct Extra {
    /// Where it is mounted.
    pub dir: PathBuf,
    daemon: Option<Daemon>,
}

impl Extra {
    /// A path in it.
    pub fn p(&self, name: &str) -> PathBuf {
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
                    println!("the daemon of {} wrote:\n{log}", self.dir.display());
                }
            }
        }
        drop(self.daemon.take());
        let _ = std::fs::remove_dir(&self.dir);
    }
}

/// mount(2) with string data.
pub fn mount(source: &str, dir: &Path, kind: &str, flags: u64, data: &str) -> sys::R {
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

/// Runs `inner` in namespaces of its own (mount and pid; user as an ordinary user) and gives
/// its exit status. Whatever `inner` does or leaves, nothing of it outlives this call.
pub fn in_namespaces(inner: impl FnOnce(PathBuf, bool) -> i32) -> i32 {
    let base = tempfile::Builder::new()
        .prefix("shmfs-mounted-")
        .tempdir()
        .expect("a temporary directory");
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755))
        .expect("chmod the base");
    // SAFETY: Ctrl-C ends the inner processes; we stay to remove the directory.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let root = proc::ids().0 == 0;
    let path = base.path().to_owned();
    // SAFETY: no thread was started yet; each child ends with _exit.
    let first = unsafe { libc::fork() };
    if first == 0 {
        die_with_parent();
        private_namespaces(root);
        // SAFETY: as above.
        match unsafe { libc::fork() } {
            0 => be_first(path, root, inner),
            init => exit(wait_for(init)),
        }
    }
    wait_for(first)
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

fn die_with_parent() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn wait_for(pid: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let got = unsafe { libc::waitpid(-1, &mut status, 0) };
        if got == pid {
            break;
        }
        assert!(
            got > 0 || sys::errno() == sys::EINTR,
            "waitpid: {:?}",
            sys::errno()
        );
    }
    if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    }
}

fn unshare(flags: i32, what: &str) {
    // SAFETY: no pointers.
    if let Err(e) = check(unsafe { libc::unshare(flags) }) {
        eprintln!(
            "tests/mounted: unshare({what}): {e:?}; these tests need root, or user namespaces for ordinary users"
        );
        exit(101);
    }
}

fn private_namespaces(root: bool) {
    let (uid, gid) = proc::ids();
    if root {
        unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID, "NEWNS|NEWPID");
    } else {
        unshare(
            libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID,
            "NEWUSER|NEWNS|NEWPID",
        );
        map_ids(uid, gid);
    }
    mount(
        "none",
        Path::new("/"),
        "",
        libc::MS_REC | libc::MS_PRIVATE,
        "",
    )
    .expect("make / private");
}

fn map_ids(uid: u32, gid: u32) {
    std::fs::write("/proc/self/setgroups", "deny").expect("write /proc/self/setgroups");
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))
        .expect("write /proc/self/uid_map");
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
        .expect("write /proc/self/gid_map");
}

/// Process 1 of the new pid namespace: when it ends the kernel kills all the others.
fn be_first(base: PathBuf, root: bool, inner: impl FnOnce(PathBuf, bool) -> i32) -> ! {
    die_with_parent();
    mount("proc", Path::new("/proc"), "proc", 0, "")
        .expect("mount a /proc for the new pid namespace");
    // What the tests make lives here and goes with the namespace.
    mount("base", &base, "tmpfs", 0, "mode=755").expect("mount a private tmpfs");
    // SAFETY: still a single thread.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: the default again, so that Ctrl-C ends the tests.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            let run = std::panic::AssertUnwindSafe(|| inner(base, root));
            // `exit` and not `_exit`: what libtest-mimic printed is flushed.
            std::process::exit(std::panic::catch_unwind(run).unwrap_or(101))
        }
        tests => exit(wait_for(tests)),
    }
}

impl Host {
    /// Mounts what `wanted` names. A target that cannot be mounted is given with the reason.
    pub fn start(
        base: PathBuf,
        root: bool,
        wanted: &[Target],
    ) -> (Host, Vec<Daemon>, Vec<(Target, String)>) {
        let mut host = Host {
            base,
            points: Vec::new(),
            user: None,
            root,
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
        for (target, dir) in ours {
            match start_target(target, &dir) {
                Ok(daemon) => daemons.extend(daemon),
                Err(why) => failed.push((target, why)),
            }
        }
        if !theirs.is_empty() {
            host.user = Some(UserSpace::start(&theirs, &mut failed));
        }
        (host, daemons, failed)
    }

    /// Where a target is mounted.
    pub fn mountpoint(&self, target: Target) -> &Path {
        let found = self.points.iter().find(|(t, _)| *t == target);
        &found.expect("a target that was mounted").1
    }

    /// One more mount of the same kind as `target`.
    pub fn extra(&self, target: Target, options: &str) -> Extra {
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
    pub fn run(
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
            End::Hung => Err(format!("the case did not end within {} s", LIMIT.as_secs())),
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

    /// Whether the runner is root.
    pub fn is_root(&self) -> bool {
        self.root
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

/// In our private namespace an ordinary user may open /dev/fuse, whatever the host allows.
fn open_fuse_to_all(base: &Path) {
    let node = base.join("fuse");
    sys::mknod(&node, libc::S_IFCHR, libc::makedev(10, 229)).expect("mknod a FUSE device");
    sys::chmod(&node, 0o666).expect("chmod the FUSE device");
    let dev = Path::new("/dev/fuse");
    mount(&node.to_string_lossy(), dev, "", libc::MS_BIND, "")
        .expect("bind a FUSE device; is there a /dev/fuse (modprobe fuse)?");
}

/// What capset(2) takes: a header, then effective, permitted and inheritable sets in two halves.
#[repr(C)]
struct Header(u32, i32);
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// An ordinary user's daemon has the capabilities of its own user namespace across exec too.
fn keep_capabilities() {
    let header = Header(CAPABILITY_VERSION_3, 0);
    let mut sets = [0u32; 6];
    // SAFETY: the kernel writes two triples of words; called between fork and exec, allocates nothing.
    unsafe {
        libc::syscall(libc::SYS_capget, &header, sets.as_mut_ptr());
        (sets[2], sets[5]) = (sets[1], sets[4]);
        libc::syscall(libc::SYS_capset, &header, sets.as_ptr());
        for capability in 0..41 {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                capability,
                0,
                0,
            );
        }
    }
}

fn drop_capabilities() {
    let header = Header(CAPABILITY_VERSION_3, 0);
    let none = [0u32; 6];
    // SAFETY: version 3 takes a header and two triples of words.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, none.as_ptr()) })
        .expect("drop all capabilities");
}
