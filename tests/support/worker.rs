//! One child process per case, with a deadline and nothing left behind.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use rustix::process::{Pid, Signal};
use rustix::thread::UnshareFlags;

use super::{Mode, Outcome, Site, WORKER, is_root, wait_until};

/// A program and the file system it runs on.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// Last part of the test's name.
    pub(crate) name: &'static str,
    /// Why it cannot run without root, if it cannot.
    pub(crate) needs_root: Option<&'static str>,
    /// When a hang is called one.
    pub(crate) deadline: Duration,
    /// What is done there.
    pub(crate) run: fn(&Site) -> Outcome,
}

impl Case {
    /// A case that runs as root and as an ordinary user.
    pub(crate) const fn new(name: &'static str, run: fn(&Site) -> Outcome) -> Case {
        Case {
            name,
            needs_root: None,
            deadline: Duration::from_secs(300),
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
            for mode in Mode::ALL {
                trials.push(trial(case, mode));
            }
        }
        trials
    }

    /// The child's side: a namespace, a mount, the case.
    fn run_worker(&self, args: &[OsString]) -> i32 {
        let outcome = parse_worker(args, &self.cases).and_then(|(case, mode, base)| {
            enter_namespace()?;
            let site = Site::mount(mode, base)?;
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

/// Leaves the host's mounts for good. Called before there are threads.
fn enter_namespace() -> Outcome {
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    let mut flags = UnshareFlags::NEWNS;
    if !is_root() {
        flags |= UnshareFlags::NEWUSER;
    }
    // SAFETY: no thread exists yet, and the file descriptor table is not unshared.
    unsafe { rustix::thread::unshare_unsafe(flags) }
        .map_err(|e| format!("unshare a mount namespace: {e}; `shmfs doctor` says why"))?;
    if flags.contains(UnshareFlags::NEWUSER) {
        let write = |file: &str, text: String| {
            fs::write(file, text).map_err(|e| format!("write {file}: {e}"))
        };
        write("/proc/self/setgroups", "deny".into())?;
        write("/proc/self/uid_map", format!("0 {uid} 1"))?;
        write("/proc/self/gid_map", format!("0 {gid} 1"))?;
    }
    use rustix::mount::{MountPropagationFlags, mount_change};
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).map_err(|e| format!("make / private: {e}"))
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

/// The parent's side: starts the worker, ends what it leaves, reports.
fn run_in_child(case: Case, mode: Mode) -> Outcome {
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
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file)
        .stderr(copy)
        .process_group(0)
        .spawn()
        .map_err(|e| format!("start {command:?}: {e}"))?;
    let mut namespace = None;
    let mut status = None;
    let waited = wait_until("the worker", deadline, || {
        // It changes once, when the worker leaves ours.
        namespace = mount_namespace(child.id()).or(namespace.take());
        status = child.try_wait().map_err(|e| format!("wait: {e}"))?;
        Ok(status.is_some())
    });
    let leftovers = kill_namespace(namespace, &mut child, waited.is_err());
    let mut output = String::new();
    let mut bytes = Vec::new();
    if let Ok(mut file) = fs::File::open(&log) {
        let _ = file.read_to_end(&mut bytes);
        output = String::from_utf8_lossy(&bytes).into_owned();
    }
    Ok(Ended {
        status,
        output,
        leftovers,
    })
}

/// Identity of a process's mount namespace, if it still has one.
fn mount_namespace(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/mnt")).ok()
}

/// Ends whatever lives in the worker's namespace; nothing of the host does.
fn kill_namespace(namespace: Option<PathBuf>, child: &mut Child, timed_out: bool) -> usize {
    if timed_out {
        let _ = child.kill();
        let _ = child.wait();
    }
    let Some(namespace) = namespace else { return 0 };
    if mount_namespace(std::process::id()).is_none_or(|own| own == namespace) {
        return 0;
    }
    let mut killed = 0;
    // What ends by itself a moment later is not left behind.
    let _ = wait_until("orphans end", Duration::from_secs(5), || {
        Ok(processes_in(&namespace).is_empty())
    });
    let _ = wait_until("killed processes end", Duration::from_secs(20), || {
        let pids = processes_in(&namespace);
        killed = killed.max(pids.len());
        for pid in &pids {
            let _ = rustix::process::kill_process(*pid, Signal::KILL);
        }
        Ok(pids.is_empty())
    });
    killed
}

fn processes_in(namespace: &Path) -> Vec<Pid> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter(|pid| mount_namespace(*pid).as_deref() == Some(namespace))
        .filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?))
        .collect()
}
