//! Where it all happens: namespaces of our own, and the mounts in them.
//!
//! A private mount namespace and a PID namespace whose first process is the benchmark. When that one
//! ends, by itself, by Ctrl-C or by kill -9, the kernel kills every process in it, and with the last of
//! them the mounts go. Nothing is written to the host's file systems.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags};

use crate::sys;

/// The user who is not root.
pub(crate) const USER: u32 = 1000;
/// Covered in the private namespace; Debian and the FHS have it everywhere.
const BASE: &str = "/mnt";

/// The benchmark's own corner of the system.
#[derive(Debug)]
pub(crate) struct Place {
    /// "shmfs" is a second tmpfs: every ratio should be 1.
    pub(crate) stand_in: bool,
}

impl Place {
    /// Runs `body` in new namespaces and waits for it.
    pub(crate) fn enter(body: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        sys::unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID).map_err(|error| {
            io::Error::other(format!(
                "cannot unshare namespaces: {error}; run it as root"
            ))
        })?;
        sys::Child::fork(body)?.join()
    }

    /// Mounts what every row needs. Once, in the new namespaces.
    pub(crate) fn new(stand_in: bool) -> io::Result<Place> {
        let shmfs = fs::read(env!("CARGO_BIN_EXE_shmfs"))?;
        let figures = fs::read("/proc/self/exe")?;
        rustix::mount::mount_change(
            "/",
            MountPropagationFlags::REC | MountPropagationFlags::PRIVATE,
        )?;
        let plain = MountFlags::empty();
        mount("proc", "/proc", "proc", plain, "")?;
        mount("figures", BASE, "tmpfs", plain, "mode=755")?;
        let place = Place { stand_in };
        // Where daemons put their sockets: a killed one leaves its own behind.
        mount("run", "/run", "tmpfs", plain, "mode=755")?;
        place.install("bin-shmfs", &shmfs)?;
        place.install("bin-figures", &figures)?;
        place.open_fuse()?;
        let tmpfs = place.dir("tmpfs")?;
        // As /dev/shm is mounted, but for a million objects.
        let nosuid = MountFlags::NOSUID | MountFlags::NODEV;
        mount("tmpfs", &tmpfs, "tmpfs", nosuid, "mode=1777,nr_inodes=0")?;
        let tracing = place.dir("tracing")?;
        mount("tracefs", &tracing, "tracefs", nosuid, "")?;
        Ok(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(BASE).join(name)
    }

    pub(crate) fn tmpfs(&self) -> PathBuf {
        self.path("tmpfs")
    }

    /// Makes a directory to mount on.
    pub(crate) fn dir(&self, name: &str) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path)?;
        Ok(path)
    }

    /// Copies a program to where every user can run it.
    fn install(&self, name: &str, program: &[u8]) -> io::Result<()> {
        let path = self.path(name);
        fs::write(&path, program)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))
    }

    /// In our namespace any user may open /dev/fuse, as on most hosts.
    fn open_fuse(&self) -> io::Result<()> {
        let node = self.path("fuse");
        let device = fs::metadata("/dev/fuse")?.rdev();
        let any = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &node,
            FileType::CharacterDevice,
            any,
            device,
        )?;
        fs::set_permissions(&node, fs::Permissions::from_mode(0o666))?;
        rustix::mount::mount_bind(&node, "/dev/fuse")?;
        Ok(())
    }

    /// Mounts shmfs on a new directory, as root.
    pub(crate) fn shmfs(&self, name: &str, options: &str) -> io::Result<Shmfs> {
        self.shmfs_as(0, name, options)
    }

    /// Mounts shmfs as `uid`: behind fusermount3, where that is not root.
    pub(crate) fn shmfs_as(&self, uid: u32, name: &str, options: &str) -> io::Result<Shmfs> {
        let dir = self.dir(name)?;
        if self.stand_in {
            mount(
                "stand-in",
                &dir,
                "tmpfs",
                MountFlags::empty(),
                "mode=1777,nr_inodes=0",
            )?;
            return Ok(Shmfs { dir, daemon: None });
        }
        std::os::unix::fs::chown(&dir, Some(uid), Some(uid))?;
        let mut command = Command::new(self.path("bin-shmfs"));
        command.args(["mount", "-f"]);
        if !options.is_empty() {
            command.args(["-o", options]);
        }
        let before = device_on(&dir)?;
        let log = self.path(&format!("log-{name}"));
        command.stderr(File::create(&log)?);
        let daemon = command.arg(&dir).uid(uid).gid(uid).spawn()?;
        let mut shmfs = Shmfs {
            dir,
            daemon: Some(daemon),
        };
        shmfs.wait_for_other_device(before).map_err(|error| {
            let said = fs::read_to_string(&log).unwrap_or_default();
            io::Error::other(format!("{error}: {}", said.trim_end()))
        })?;
        Ok(shmfs)
    }

    /// A second copy of this program, as a user, working in an shmfs of the user's own at /dev/shm.
    pub(crate) fn guest_in_run(&self) -> io::Result<Guest> {
        if self.stand_in {
            return self.guest_in(&self.tmpfs());
        }
        let mut command = Command::new(self.path("bin-shmfs"));
        command.stderr(File::create(self.path("log-run"))?);
        command.args(["run", "--"]).arg(self.path("bin-figures"));
        Guest::start(command.arg("--guest").arg("/dev/shm"))
    }

    /// The same in a directory that is there.
    pub(crate) fn guest_in(&self, dir: &Path) -> io::Result<Guest> {
        let mut command = Command::new(self.path("bin-figures"));
        Guest::start(command.arg("--guest").arg(dir))
    }
}

fn mount(
    source: &str,
    target: impl rustix::path::Arg,
    kind: &str,
    flags: MountFlags,
    options: &str,
) -> io::Result<()> {
    let data = std::ffi::CString::new(options)?;
    rustix::mount::mount(source, target, kind, flags, data.as_c_str())
        .map_err(|error| io::Error::other(format!("cannot mount a {kind}: {error}")))
}

/// A mounted shmfs, served in the foreground by a child.
#[derive(Debug)]
pub(crate) struct Shmfs {
    pub(crate) dir: PathBuf,
    daemon: Option<Child>,
}

impl Shmfs {
    fn wait_for_other_device(&mut self, before: Option<String>) -> io::Result<()> {
        let deadline = Instant::now() + Duration::from_secs(10);
        while device_on(&self.dir)? == before {
            if let Some(status) = self.daemon.as_mut().and_then(|d| d.try_wait().transpose()) {
                return Err(io::Error::other(format!(
                    "shmfs mount ended before it mounted: {}",
                    status?
                )));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("shmfs mount did not mount in ten seconds"));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// The process that was started; a stand-in has none.
    pub(crate) fn process(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// Its number in the kernel's traces.
    pub(crate) fn connection(&self) -> io::Result<u32> {
        connection(&self.dir)
    }
}

/// The device of the last mount on `dir`: read without asking its daemon, which may not let root in.
fn device_on(dir: &Path) -> io::Result<Option<String>> {
    let table = fs::read_to_string("/proc/self/mountinfo")?;
    let mut mounts = table.lines().map(|line| line.split(' ').skip(2));
    let last = mounts.rfind(|fields| fields.clone().nth(2).map(Path::new) == Some(dir));
    Ok(last.and_then(|mut fields| fields.next().map(str::to_owned)))
}

/// The number of the connection that serves `dir`.
pub(crate) fn connection(dir: &Path) -> io::Result<u32> {
    Ok(rustix::fs::minor(fs::metadata(dir)?.dev()))
}

impl Drop for Shmfs {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.dir, rustix::mount::UnmountFlags::DETACH);
        let Some(daemon) = self.daemon.as_mut() else {
            return;
        };
        if let Some(pid) = rustix::process::Pid::from_raw(daemon.id() as i32) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(daemon.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = daemon.kill();
        let _ = daemon.wait();
    }
}

/// Another process of this program that does one task per line it reads.
#[derive(Debug)]
pub(crate) struct Guest {
    process: Child,
    tasks: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// The number of the connection it works on.
    pub(crate) connection: u32,
}

impl Guest {
    fn start(command: &mut Command) -> io::Result<Guest> {
        let mut process = command
            .uid(USER)
            .gid(USER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let tasks = process.stdin.take();
        let answers = process.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut guest = Guest {
            process,
            tasks,
            answers: BufReader::new(answers),
            connection: 0,
        };
        guest.connection = guest.answer()?.first().copied().unwrap_or(0.0) as u32;
        Ok(guest)
    }

    /// Has it do `task` and returns its numbers.
    pub(crate) fn ask(&mut self, task: &str) -> io::Result<Vec<f64>> {
        let tasks = self.tasks.as_mut().ok_or(io::ErrorKind::BrokenPipe)?;
        writeln!(tasks, "{task}")?;
        self.answer()
    }

    fn answer(&mut self) -> io::Result<Vec<f64>> {
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if !line.ends_with('\n') {
            return Err(io::Error::other(
                "a process in another shmfs ended without an answer",
            ));
        }
        line.split_whitespace()
            .map(|word| word.parse().map_err(|_| io::Error::other(line.clone())))
            .collect()
    }

    /// The guest's side: serves tasks until its input ends.
    pub(crate) fn serve(
        dir: &OsStr,
        task: impl Fn(&Path, &str) -> io::Result<Vec<f64>>,
    ) -> io::Result<()> {
        let dir = Path::new(dir);
        println!("{}", connection(dir)?);
        for line in io::stdin().lines() {
            let numbers = task(dir, &line?)?;
            let words: Vec<_> = numbers.iter().map(f64::to_string).collect();
            println!("{}", words.join(" "));
        }
        Ok(())
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Its input ends, and so does it.
        self.tasks = None;
        let _ = self.process.wait();
    }
}

/// The ids of all running shmfs processes: nobody else's can be seen from our PID namespace.
pub(crate) fn processes_of_shmfs() -> io::Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        let id = process.file_name().and_then(OsStr::to_str);
        let Some(id) = id.and_then(|name| name.parse().ok()) else {
            continue;
        };
        if fs::read_link(process.join("exe")).is_ok_and(|exe| exe.ends_with("bin-shmfs")) {
            found.push(id);
        }
    }
    Ok(found)
}

/// Nanoseconds that all threads of these processes have run on a processor.
pub(crate) fn processor_time(processes: &[i32]) -> io::Result<u64> {
    let mut total = 0;
    for id in processes {
        for thread in fs::read_dir(format!("/proc/{id}/task"))? {
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            let used = times.split(' ').next().and_then(|word| word.parse().ok());
            total += used.unwrap_or(0);
        }
    }
    Ok(total)
}

/// Keeps every running shmfs process on the first CPU.
pub(crate) fn pin_shmfs() -> io::Result<()> {
    processes_of_shmfs()?.into_iter().try_for_each(sys::pin)
}

/// Bytes of memory of all running shmfs processes, pages shared between them counted once.
pub(crate) fn memory_of_shmfs() -> io::Result<u64> {
    let mut total = 0;
    for id in processes_of_shmfs()? {
        let rollup = fs::read_to_string(format!("/proc/{id}/smaps_rollup"))?;
        total += kilobytes(&rollup, "Pss:").unwrap_or(0) * 1024;
    }
    Ok(total)
}

/// Bytes of the kernel's slab.
pub(crate) fn slab() -> io::Result<u64> {
    let info = fs::read_to_string("/proc/meminfo")?;
    Ok(kilobytes(&info, "Slab:").unwrap_or(0) * 1024)
}

fn kilobytes(text: &str, field: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with(field))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Opens a file that is made new, as shm_open(O_CREAT|O_EXCL) does.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    const FLAGS: libc::c_int = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_NOFOLLOW;
    sys::open(path, FLAGS, 0o600)
}
