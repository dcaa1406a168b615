//! One child process per case, with a deadline and nothing left behind.

use std::ffi::{CStr, OsString};
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::RwLock;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use super::{Mode, Outcome, Setup, Site, User, WORKER, is_root, setup, wait_until};

/// A program and the file system it runs on.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Last part of the test's name.
    pub(crate) name: &'static str,
    /// Why it cannot run without root, if it cannot.
    pub(crate) needs_root: Option<&'static str>,
    /// When a hang is called one.
    pub(crate) deadline: Duration,
    /// Where it runs.
    pub(crate) modes: &'static [Mode],
    /// Who mounts, and how.
    pub(crate) setup: Setup,
    /// Nothing else of the suite runs meanwhile.
    pub(crate) is_alone: bool,
    /// What is done there.
    pub(crate) run: fn(&Site) -> Outcome,
}

impl Case {
    /// A case that runs as root and as an ordinary user.
    pub(crate) const fn new(name: &'static str, run: fn(&Site) -> Outcome) -> Case {
        Case {
            name,
            needs_root: None,
            deadline: Duration::from_secs(600),
            modes: &Mode::ALL,
            setup: Setup::PLAIN,
            is_alone: false,
            run,
        }
    }

    /// A case that an ordinary user cannot run, with the reason.
    pub(crate) const fn root(
        name: &'static str,
        reason: &'static str,
        run: fn(&Site) -> Outcome,
    ) -> Case {
        Case {
            needs_root: Some(reason),
            ..Case::new(name, run)
        }
    }

    /// The same in modes and with a setup of its own.
    pub(crate) const fn with(self, modes: &'static [Mode], setup: Setup) -> Case {
        let needs_root = match setup.user {
            User::Own => self.needs_root,
            User::Nobody | User::NobodyWithMemfds => Some(setup::NEEDS_ROOT),
        };
        Case {
            modes,
            setup,
            needs_root,
            ..self
        }
    }

    fn reason_to_leave_out(&self, mode: Mode) -> Option<&'static str> {
        if is_root() {
            return None;
        }
        if mode == Mode::Passthrough {
            return Some("passthrough is root's in the initial user namespace");
        }
        self.needs_root
    }
}

/// The cases of one test binary.
pub(crate) struct Suite {
    /// Each runs in every mode.
    pub(crate) cases: Vec<Case>,
    /// Tests that need no site of their own.
    pub(crate) extra: Vec<Trial>,
}

impl Suite {
    /// Runs the suite, or the one case that the command line asks for.
    pub(crate) fn main(self) -> ! {
        let args: Vec<OsString> = std::env::args_os().skip(1).collect();
        if args.first().is_some_and(|arg| arg == WORKER) {
            std::process::exit(self.run_worker(&args[1..]));
        }
        let arguments = Arguments::from_args();
        let trials = self.trials();
        libtest_mimic::run(&arguments, trials).exit()
    }

    fn trials(self) -> Vec<Trial> {
        let mut trials = self.extra;
        for case in self.cases {
            for &mode in case.modes {
                trials.push(trial(case, mode));
            }
        }
        trials
    }

    /// The child's side: a namespace, a mount, the case.
    fn run_worker(&self, args: &[OsString]) -> i32 {
        let outcome = parse_worker(args, &self.cases).and_then(|(case, mode, base)| {
            make_private()?;
            case.setup.become_user(&base)?;
            let site = Site::mount(mode, base, &case.setup)?;
            let outcome = (case.run)(&site);
            let end = site.unmount();
            outcome.and(end)
        });
        match outcome {
            Ok(()) => 0,
            Err(sentence) => {
                eprintln!("{sentence}");
                1
            }
        }
    }
}

fn parse_worker(args: &[OsString], cases: &[Case]) -> Result<(Case, Mode, PathBuf), String> {
    let [mode, name, base] = args else {
        return Err(format!("{WORKER} needs MODE CASE DIR"));
    };
    let mode = mode.to_str().and_then(Mode::from_name);
    let case = cases.iter().find(|case| name == case.name);
    match (case, mode) {
        (Some(case), Some(mode)) => Ok((*case, mode, PathBuf::from(base))),
        (None, _) | (_, None) => Err(format!("no such case: {args:?}")),
    }
}

/// What is mounted from here on is seen in this namespace only.
fn make_private() -> Outcome {
    use rustix::mount::{MountPropagationFlags, mount_change};
    if Namespace::of(std::process::id()).is_some_and(|own| own.is_of(rustix::process::getppid())) {
        return Err(format!(
            "{WORKER} is for the suite itself: this is its own namespace"
        ));
    }
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|e| format!("make / private: {e}"))
}

/// Starts the command in a mount namespace of its own, for an ordinary user in a
/// user namespace where he is root.
fn in_own_namespace(command: &mut Command) {
    let user = (!is_root()).then(|| {
        let uid = rustix::process::getuid().as_raw();
        let gid = rustix::process::getgid().as_raw();
        (format!("0 {uid} 1"), format!("0 {gid} 1"))
    });
    let enter = move || {
        let Some((uid_map, gid_map)) = &user else {
            return unshare(UnshareFlags::NEWNS);
        };
        unshare(UnshareFlags::NEWNS | UnshareFlags::NEWUSER)?;
        write(c"/proc/self/setgroups", "deny")?;
        write(c"/proc/self/uid_map", uid_map)?;
        write(c"/proc/self/gid_map", gid_map)
    };
    // SAFETY: between fork and exec only system calls are made, nothing is allocated.
    unsafe { command.pre_exec(enter) };
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    // SAFETY: the file descriptor table is not unshared.
    Ok(unsafe { rustix::thread::unshare_unsafe(flags) }?)
}

fn write(path: &CStr, text: &str) -> io::Result<()> {
    use rustix::fs::{Mode, OFlags};
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(&file, text.as_bytes())?;
    Ok(())
}

fn trial(case: Case, mode: Mode) -> Trial {
    let name = format!("{}::{}", mode.name(), case.name);
    match case.reason_to_leave_out(mode) {
        // The reason is in the listing: "ignored" alone would hide it.
        Some(reason) => Trial::test(name, || Ok(()))
            .with_kind(format!("NOT RUN, needs root: {reason}"))
            .with_ignored_flag(true),
        None => Trial::test(name, move || run_in_child(case, mode).map_err(Failed::from)),
    }
}

/// Held by the cases that run: by all together, or by one alone.
static RUNNING: RwLock<()> = RwLock::new(());

/// The parent's side: starts the worker, ends what it leaves, reports.
fn run_in_child(case: Case, mode: Mode) -> Outcome {
    let _alone = case.is_alone.then(|| RUNNING.write());
    let _together = (!case.is_alone).then(|| RUNNING.read());
    let base = tempfile::Builder::new()
        .prefix("shmfs-test-")
        .tempdir()
        .map_err(|e| format!("make a temporary directory: {e}"))?;
    // Programs that change their uid must get in.
    fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755))
        .map_err(|e| format!("chmod {}: {e}", base.path().display()))?;
    let exe = std::env::current_exe().map_err(|e| format!("find this binary: {e}"))?;
    let mut command = Command::new(exe);
    command
        .args([WORKER, mode.name(), case.name])
        .arg(base.path());
    let ended = run_with_deadline(&mut command, base.path(), case.deadline)?;
    if ended.leftovers > 0 && ended.status.is_some_and(|status| status.success()) {
        return Err(format!(
            "{} processes were left running\n{}",
            ended.leftovers, ended.output
        ));
    }
    match ended.status {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("{status}\n{}", ended.output)),
        None => Err(format!(
            "killed: no end after {:?}\n{}",
            case.deadline, ended.output
        )),
    }
}

struct Ended {
    /// None if the deadline passed.
    status: Option<ExitStatus>,
    output: String,
    leftovers: usize,
}

fn run_with_deadline(
    command: &mut Command,
    base: &Path,
    deadline: Duration,
) -> Result<Ended, String> {
    let log = base.join("output");
    let file = fs::File::create(&log).map_err(|e| format!("create {}: {e}", log.display()))?;
    let copy = file.try_clone().map_err(|e| format!("dup: {e}"))?;
    command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .process_group(0);
    in_own_namespace(command);
    super::die_with_us(command, Signal::KILL);
    let mut child = command.spawn().map_err(|e| {
        format!("start {command:?} in a namespace of its own: {e}; `shmfs doctor` says more")
    })?;
    let namespace = Namespace::of(child.id());
    let mut status = None;
    let waited = wait_until("the worker", deadline, || {
        status = child.try_wait().map_err(|e| format!("wait: {e}"))?;
        Ok(status.is_some())
    });
    if waited.is_err() {
        let _ = child.kill();
        let _ = child.wait();
    }
    let leftovers = namespace.map_or(0, |namespace| namespace.end_all());
    let output = fs::read(&log).unwrap_or_default();
    Ok(Ended {
        status,
        output: String::from_utf8_lossy(&output).into_owned(),
        leftovers,
    })
}

/// A mount namespace, held open: its number is not given to another meanwhile.
struct Namespace(fs::File);

impl Namespace {
    fn of(pid: u32) -> Option<Namespace> {
        fs::File::open(format!("/proc/{pid}/ns/mnt"))
            .ok()
            .map(Namespace)
    }

    fn is_of(&self, pid: Option<Pid>) -> bool {
        let identity = |meta: fs::Metadata| (meta.dev(), meta.ino());
        let of_process =
            pid.map(|pid| fs::metadata(format!("/proc/{}/ns/mnt", pid.as_raw_nonzero())));
        match (self.0.metadata(), of_process) {
            (Ok(own), Some(Ok(other))) => identity(own) == identity(other),
            (Ok(_) | Err(_), _) => false,
        }
    }

    /// Ends whatever lives in it, and says how many did; nothing of the host does.
    fn end_all(&self) -> usize {
        if self.is_of(Some(rustix::process::getpid())) {
            return 0;
        }
        // What ends by itself a moment later is not left behind.
        let ended = wait_until("orphans end", Duration::from_secs(5), || {
            Ok(self.processes().is_empty())
        });
        if ended.is_ok() {
            return 0;
        }
        let mut killed = 0;
        let _ = wait_until("killed processes end", Duration::from_secs(20), || {
            let pids = self.processes();
            killed = killed.max(pids.len());
            for pid in &pids {
                let _ = rustix::process::kill_process(*pid, Signal::KILL);
            }
            Ok(pids.is_empty())
        });
        killed
    }

    fn processes(&self) -> Vec<Pid> {
        let Ok(entries) = fs::read_dir("/proc") else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
            .filter(|pid| self.is_of(Some(*pid)))
            .collect()
    }
}
