//! A mount with views that nobody else sees.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;
use std::time::{Duration, Instant};

use shmfs::Mount;
use shmfs::options::Options;
use tempfile::TempDir;

/// SHA-256 of `/foo`, as OpenBSD spells it.
pub(crate) const FOO: &str = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94.shm";

/// Both ways for data to travel, as tests and options call them.
pub(crate) const MODES: [(&str, &str); 2] = [
    ("passthrough", "passthrough=on"),
    ("cached", "passthrough=off"),
];

/// A mount, unmounted at the end.
pub(crate) struct World {
    mount: Option<Mount>,
    directory: TempDir,
}

impl World {
    /// With these views.
    pub(crate) fn new(views: &[&str], options: &str) -> World {
        let directory = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let views = views.iter().map(|key| format!(",view={key}"));
        let list = format!("size=64m,{options}{}", views.collect::<String>());
        let options: Options = list.parse().unwrap();
        let mount = Mount::builder().options(options);
        let mount = mount.mount(directory.path()).expect("a mount");
        World {
            mount: Some(mount),
            directory,
        }
    }

    /// A path in the tree, or where there is a key in that view.
    pub(crate) fn path(&self, key: &str, name: &str) -> PathBuf {
        let tree = self.directory.path();
        match key {
            "" => tree.join(name),
            key => tree.join(".shmfs/views").join(key).join(name),
        }
    }

    /// The names in the tree or a view, sorted.
    pub(crate) fn list(&self, key: &str) -> Vec<String> {
        list(&self.path(key, ""))
    }

    /// Pages of data in use.
    pub(crate) fn used(&self) -> u64 {
        let stat = rustix::fs::statvfs(self.directory.path()).unwrap();
        stat.f_blocks - stat.f_bfree
    }
}

/// A process that is being started has all descriptors of this one until it runs its program.
static STARTING: RwLock<()> = RwLock::new(());

/// Starts a process while nothing is unmounted: what it inherits would make that busy.
pub(crate) fn spawn(command: &mut Command) -> io::Result<Child> {
    let _not_unmounting = STARTING.read();
    command.spawn()
}

impl Drop for World {
    fn drop(&mut self) {
        let _nobody_starts = STARTING.write();
        let unmounted = self.mount.take().map(Mount::unmount);
        if !std::thread::panicking() {
            unmounted.unwrap().expect("nothing is left open");
        }
    }
}

pub(crate) fn list(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// open(2) with the number of its failure.
pub(crate) fn open(path: &Path, flags: i32, mode: u32) -> Result<fs::File, i32> {
    use std::os::fd::FromRawFd;
    let path = CString::new(path.as_os_str().as_bytes()).unwrap();
    // SAFETY: the path ends in a NUL, and the descriptor is new.
    unsafe {
        match libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode) {
            -1 => Err(io::Error::last_os_error().raw_os_error().unwrap()),
            descriptor => Ok(fs::File::from_raw_fd(descriptor)),
        }
    }
}

/// A page of a file, mapped and shared.
pub(crate) struct Page(*mut u8);

impl Page {
    pub(crate) fn of(file: &fs::File) -> Page {
        use std::os::fd::AsRawFd;
        let both = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping of an open file.
        let at = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                4096,
                both,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        assert_ne!(at, libc::MAP_FAILED, "{}", io::Error::last_os_error());
        Page(at.cast())
    }

    pub(crate) fn write(&self, byte: u8) {
        // SAFETY: the page is mapped as long as `self` lives.
        unsafe { self.0.write_volatile(byte) }
    }

    pub(crate) fn read(&self) -> u8 {
        // SAFETY: the page is mapped as long as `self` lives.
        unsafe { self.0.read_volatile() }
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        // SAFETY: mapped by `of`, and nobody else has it.
        unsafe { libc::munmap(self.0.cast(), 4096) };
    }
}

/// Waits until `true`, up to ten seconds.
#[track_caller]
pub(crate) fn eventually(what: &str, check: impl Fn() -> bool) {
    let begin = Instant::now();
    while !check() {
        assert!(begin.elapsed() < Duration::from_secs(10), "never: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// The errno of a failure.
pub(crate) fn errno<T>(result: io::Result<T>) -> Option<i32> {
    result.err().and_then(|error| error.raw_os_error())
}

/// Runs a program; panics with all that it said unless it succeeds.
#[track_caller]
pub(crate) fn run(program: impl AsRef<OsStr>, arguments: &[&OsStr]) {
    let mut command = Command::new(&program);
    command
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let output = spawn(&mut command)
        .and_then(Child::wait_with_output)
        .unwrap_or_else(|error| panic!("{:?}: {error}", program.as_ref()));
    assert!(
        output.status.success(),
        "{:?} {arguments:?}: {:?}\n{}{}",
        program.as_ref(),
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
