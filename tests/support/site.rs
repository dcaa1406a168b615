//! A mounted file system that a case works on.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::mount::{MountFlags, UnmountFlags};
use rustix::process::Signal;

use super::{Mode, Outcome, Setup, User, wait_until};

/// What statfs(2) says of a FUSE file system.
const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;

/// The size of every mount that a case works on: with the page cache a sparse file
/// takes its logical size at once, and pjdfstest makes one of more than 2 GiB.
const SIZE: &str = "4g";

/// When a start or an end is called a hang.
const DEADLINE: Duration = Duration::from_secs(30);

/// This case kills workers: that they die is no complaint.
static DEATHS: AtomicBool = AtomicBool::new(false);

/// What is said of a worker that was killed.
const WAYS_TO_DIE: [&str; 2] = [
    "the worker died why=signal 9 ",
    // One of its threads waits for an answer of the next worker's.
    "the worker died why=a signal, though a thread of it is still in the kernel ",
];

/// The mount, at [`Site::dir`] and at `/dev/shm` of this namespace.
pub(crate) struct Site {
    /// Which file system it is.
    pub(crate) mode: Mode,
    /// Where it is mounted.
    pub(crate) dir: PathBuf,
    /// A directory outside it, removed afterwards.
    pub(crate) outside: PathBuf,
    daemon: Option<Daemon>,
    /// It is at `/dev/shm` too: an ordinary user cannot bind it there.
    is_bound: bool,
    used_when_new: Usage,
}

/// Inodes and blocks in use.
pub(crate) type Usage = (u64, u64);

impl Site {
    /// Mounts in a namespace of our own, below `base`.
    pub(crate) fn mount(mode: Mode, base: PathBuf, setup: &Setup) -> Result<Site, String> {
        let dir = base.join("mnt");
        let outside = base.join("outside");
        for path in [&dir, &outside] {
            fs::create_dir(path).map_err(|e| format!("mkdir {}: {e}", path.display()))?;
        }
        let option = match mode {
            Mode::Tmpfs => {
                mount_tmpfs(&dir)?;
                None
            }
            Mode::Passthrough => Some("passthrough=on"),
            Mode::PageCache => Some("passthrough=off"),
        };
        let start = |option: &str| {
            let options = setup.options(option, &base)?;
            Daemon::start_program(&setup.program(&base), &dir, &base, &options)
        };
        let daemon = option.map(start).transpose()?;
        let is_bound = setup.user == User::Own;
        if is_bound {
            rustix::mount::mount_bind(&dir, "/dev/shm")
                .map_err(|e| format!("bind {} on /dev/shm: {e}", dir.display()))?;
        }
        let mut site = Site {
            mode,
            dir,
            outside,
            daemon,
            is_bound,
            used_when_new: (0, 0),
        };
        site.used_when_new = site.usage()?;
        Ok(site)
    }

    /// Unmounts; a busy mount, a daemon that fails or complains is a failure.
    pub(crate) fn unmount(self) -> Outcome {
        let unmount = |path: &Path| {
            rustix::mount::unmount(path, UnmountFlags::empty())
                .map_err(|e| format!("unmount {}: {e}", path.display()))
        };
        if self.is_bound {
            unmount(Path::new("/dev/shm"))?;
        }
        match self.daemon {
            Some(daemon) => daemon.stop(),
            None => unmount(&self.dir),
        }
    }

    /// The process of shmfs; none on tmpfs.
    pub(crate) fn daemon(&self) -> Option<rustix::process::Pid> {
        let daemon = self.daemon.as_ref()?;
        Some(rustix::process::Pid::from_child(&daemon.child))
    }

    /// Workers are about to be killed.
    pub(crate) fn expect_deaths(&self) {
        DEATHS.store(true, Ordering::Relaxed);
    }

    /// A command whose directory is the mount.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.dir)
            .env("SITE", &self.dir)
            .env("OUTSIDE", &self.outside)
            .env("LC_ALL", "C.UTF-8");
        command
    }

    /// One of the scripts in tests/programs, to be run in the mount.
    pub(crate) fn bash(&self, file: &str) -> Command {
        self.interpret("bash", file)
    }

    /// The same for another interpreter.
    pub(crate) fn interpret(&self, interpreter: &str, file: &str) -> Command {
        let mut command = self.command(interpreter);
        command.arg(script(file));
        command
    }

    /// Waits until all inodes and blocks came back: FORGET and the last unmap come
    /// a moment after the program's end.
    pub(crate) fn wait_until_empty(&self) -> Outcome {
        self.wait_until_used(self.used_when_new)
    }

    /// The same, until so much is in use as was before.
    pub(crate) fn wait_until_used(&self, before: Usage) -> Outcome {
        let mut used = before;
        let waited = wait_until("inodes and blocks come back", DEADLINE, || {
            used = self.usage()?;
            Ok(used == before)
        });
        waited.map_err(|sentence| format!("{sentence}: {used:?} instead of {before:?}"))
    }

    /// What is in use now.
    pub(crate) fn usage(&self) -> Result<Usage, String> {
        let fs = rustix::fs::statvfs(&self.dir).map_err(|e| format!("statvfs: {e}"))?;
        Ok((fs.f_files - fs.f_ffree, fs.f_blocks - fs.f_bfree))
    }

    /// Compiles one of the C programs beside the suite.
    pub(crate) fn compile(&self, file: &str) -> Result<PathBuf, String> {
        super::need("cc", "gcc")?;
        let program = self.outside.join(file.trim_end_matches(".c"));
        check(
            Command::new("cc")
                .args([
                    "-std=gnu11",
                    "-Wall",
                    "-Wextra",
                    "-Werror",
                    "-O1",
                    "-pthread",
                    "-o",
                ])
                .arg(&program)
                .arg(script(file))
                .arg("-lrt"),
        )?;
        Ok(program)
    }
}

/// A program or script in tests/programs.
pub(crate) fn script(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/programs")
        .join(file)
}

/// Runs a command to its end; any other end than success is a failure that shows
/// what it printed.
pub(crate) fn check(command: &mut Command) -> Result<Output, String> {
    die_with_us(command, Signal::TERM);
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("start {command:?}: {e}"))?;
    if output.status.success() {
        return Ok(output);
    }
    Err(format!(
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

fn mount_tmpfs(dir: &Path) -> Outcome {
    let options = std::ffi::CString::new(format!("size={SIZE},mode=1777"))
        .map_err(|e| format!("mount options: {e}"))?;
    let flags = MountFlags::NOSUID | MountFlags::NODEV;
    rustix::mount::mount("tmpfs", dir, "tmpfs", flags, options.as_c_str())
        .map_err(|e| format!("mount a tmpfs on {}: {e}", dir.display()))
}

/// A foreground `shmfs mount`, stopped when dropped.
pub(crate) struct Daemon {
    child: Child,
    log: PathBuf,
    dir: PathBuf,
}

impl Daemon {
    /// Starts the built program and waits until the mount answers.
    pub(crate) fn start(dir: &Path, base: &Path, option: &str) -> Result<Daemon, String> {
        let program = Path::new(env!("CARGO_BIN_EXE_shmfs"));
        Daemon::start_program(program, dir, base, option)
    }

    fn start_program(
        program: &Path,
        dir: &Path,
        base: &Path,
        option: &str,
    ) -> Result<Daemon, String> {
        let log = base.join("shmfs.log");
        let file = fs::File::create(&log).map_err(|e| format!("create {}: {e}", log.display()))?;
        let copy = file.try_clone().map_err(|e| format!("dup: {e}"))?;
        let mut command = Command::new(program);
        command
            .args(["mount", "-f", "-o"])
            .arg(format!("{option},size={SIZE}"))
            .arg("shmfs-test")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(file)
            .stderr(copy)
            // Not the group of a program that a case kills.
            .process_group(0);
        die_with_us(&mut command, Signal::TERM);
        let child = command
            .spawn()
            .map_err(|e| format!("start {command:?}: {e}"))?;
        let mut daemon = Daemon {
            child,
            log,
            dir: dir.to_path_buf(),
        };
        daemon.wait_until_it_answers()?;
        Ok(daemon)
    }

    fn wait_until_it_answers(&mut self) -> Outcome {
        let waited = wait_until("the mount answers", DEADLINE, || {
            if let Some(status) = self.child.try_wait().map_err(|e| format!("wait: {e}"))? {
                return Err(format!("shmfs ended with {status}"));
            }
            let answer = rustix::fs::statfs(&self.dir);
            Ok(answer.is_ok_and(|fs| fs.f_type == FUSE_SUPER_MAGIC))
        });
        waited.map_err(|sentence| self.with_log(&sentence))
    }

    /// Ends the daemon by SIGTERM, as an administrator would.
    pub(crate) fn stop(mut self) -> Outcome {
        let mut status = self.child.try_wait().map_err(|e| format!("wait: {e}"))?;
        if let Some(status) = status {
            return Err(self.with_log(&format!("shmfs had ended already: {status}")));
        }
        self.signal(Signal::TERM);
        wait_until("shmfs ends after SIGTERM", DEADLINE, || {
            status = self.child.try_wait().map_err(|e| format!("wait: {e}"))?;
            Ok(status.is_some())
        })
        .map_err(|sentence| self.with_log(&sentence))?;
        match status {
            Some(status) if status.success() => self.check_log(),
            Some(status) => Err(self.with_log(&format!(
                "shmfs ended with {status} (signal {:?})",
                status.signal()
            ))),
            None => Err("shmfs has no exit status".into()),
        }
    }

    /// A panic or an error that no program saw is still a failure.
    fn check_log(&self) -> Outcome {
        let log = fs::read(&self.log).map_err(|e| format!("read the log of shmfs: {e}"))?;
        let log = String::from_utf8_lossy(&log);
        let killed = DEATHS.load(Ordering::Relaxed);
        let complaint = |line: &str| {
            let killed_by_us = WAYS_TO_DIE.iter().any(|way| line.contains(way));
            let expected = killed && killed_by_us;
            (line.contains("panicked") || line.contains("ERROR")) && !expected
        };
        match log.lines().any(complaint) {
            true => Err(self.with_log("shmfs complained")),
            false => Ok(()),
        }
    }

    fn read_log(&self) -> String {
        let bytes = fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn with_log(&self, sentence: &str) -> String {
        format!("{sentence}\nshmfs said:\n{}", self.read_log())
    }

    fn signal(&self, signal: Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process(pid, signal);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            return;
        }
        // On the way out of a failure: show what it said.
        eprintln!("shmfs said:\n{}", self.read_log());
        self.signal(Signal::TERM);
        let ended = wait_until("shmfs ends", Duration::from_secs(5), || {
            Ok(matches!(self.child.try_wait(), Ok(Some(_))))
        });
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// A signal for the child when the thread that started it dies, however it dies.
pub(crate) fn die_with_us(command: &mut Command, signal: Signal) {
    // SAFETY: prctl(PR_SET_PDEATHSIG) is async-signal-safe and allocates nothing.
    unsafe {
        command.pre_exec(move || {
            rustix::process::set_parent_process_death_signal(Some(signal))
                .map_err(std::io::Error::from)
        });
    }
}
