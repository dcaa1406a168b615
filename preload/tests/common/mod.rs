//! C programs, built once, run under a personality in directories of their own.
#![allow(dead_code)]

mod programs;

use std::ffi::OsStr;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// Where a tmpfs is, for the platforms whose libraries ask for one.
const TMPFS: &str = "/dev/shm";
/// Somebody who is not the tests' user.
pub(crate) const NOBODY: u32 = 65_534;

/// The library under test: cargo builds it next to the test program.
pub(crate) fn library() -> PathBuf {
    let library = std::env::current_exe()
        .expect("our own path")
        .with_file_name("libshmfs_preload.so");
    assert!(library.exists(), "{} was not built", library.display());
    library
}

/// The directory of the built programs.
pub(crate) fn programs() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c");
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("programs");
        programs::build(&sources, &built);
        built
    })
}

/// A personality and the directories of its views.
pub(crate) struct World {
    root: TempDir,
    key: String,
    lenient: bool,
    trace: bool,
    umask: &'static str,
    uid: Option<u32>,
}

impl World {
    /// In a directory of the ordinary temporary file system.
    pub(crate) fn new(key: &str) -> World {
        World::within(key, TempDir::new().expect("a temporary directory"))
    }

    /// In a directory of a tmpfs.
    pub(crate) fn on_tmpfs(key: &str) -> World {
        let root = TempDir::new_in(TMPFS).expect("/dev/shm must be a tmpfs that can be written to");
        World::within(key, root)
    }

    fn within(key: &str, root: TempDir) -> World {
        let world = World {
            root,
            key: key.to_owned(),
            lenient: false,
            trace: false,
            umask: "022",
            uid: None,
        };
        chmod(world.root.path(), 0o755);
        for directory in [world.view(), world.sem_view(), world.work()] {
            std::fs::create_dir(&directory).expect("a new directory");
            chmod(&directory, 0o1777);
        }
        world
    }

    /// The same directories under another platform.
    pub(crate) fn becomes(&mut self, key: &str) {
        self.key = key.to_owned();
    }

    /// `SHMFS_LENIENT=1`.
    pub(crate) fn lenient(mut self) -> World {
        self.lenient = true;
        self
    }

    /// `SHMFS_TRACE=1`.
    pub(crate) fn traced(mut self) -> World {
        self.trace = true;
        self
    }

    /// Programs run with this umask.
    pub(crate) fn umask(mut self, umask: &'static str) -> World {
        self.umask = umask;
        self
    }

    /// From now on programs run as this user.
    pub(crate) fn runs_as(&mut self, uid: u32) {
        assert!(
            rustix_is_root(),
            "this test needs a second user: run it as root"
        );
        self.uid = Some(uid);
    }

    /// What stands for the platform's directory of shared memory.
    pub(crate) fn view(&self) -> PathBuf {
        self.root.path().join("view")
    }

    /// The same for semaphores that are elsewhere.
    pub(crate) fn sem_view(&self) -> PathBuf {
        self.root.path().join("sem")
    }

    /// The working directory of programs.
    pub(crate) fn work(&self) -> PathBuf {
        self.root.path().join("work")
    }

    /// Any command under the personality.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("sh");
        command
            .args(["-c", "umask $0; exec \"$@\"", self.umask])
            .arg(program);
        if let Some(uid) = self.uid {
            command.uid(uid).gid(uid);
        }
        command
            .current_dir(self.work())
            .env("LD_PRELOAD", self.shared(&library()))
            .env("SHMFS_AS", &self.key)
            .env("SHMFS_VIEW", self.view())
            .stdin(Stdio::null());
        if apart(&self.key) {
            command.env("SHMFS_VIEW_SEM", self.sem_view());
        }
        if self.lenient {
            command.env("SHMFS_LENIENT", "1");
        }
        if self.trace {
            command.env("SHMFS_TRACE", "1");
        }
        command
    }

    /// A copy that every user can read, where one is needed.
    fn shared(&self, file: &Path) -> PathBuf {
        if self.uid.is_none() {
            return file.to_path_buf();
        }
        let copy = self.root.path().join(file.file_name().expect("a name"));
        if !copy.exists() {
            std::fs::copy(file, &copy).expect("a copy");
            chmod(&copy, 0o755);
        }
        copy
    }

    /// One of our programs; its output and errors.
    pub(crate) fn output(&self, program: &str, arguments: &[&str]) -> Output {
        let program = self.shared(&programs().join(program));
        self.command(program)
            .args(arguments)
            .output()
            .expect("the program runs")
    }

    /// What one of our programs prints, without the last newline.
    pub(crate) fn says(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.output(program, arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.code().is_some() && (self.trace || errors.is_empty()),
            "{program} {arguments:?}: {} {errors}",
            output.status
        );
        String::from_utf8(output.stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    /// Asserts what one of our programs prints.
    #[track_caller]
    pub(crate) fn expect(&self, program: &str, arguments: &[&str], expected: &str) {
        let said = self.says(program, arguments);
        assert_eq!(said, expected, "{}: {program} {arguments:?}", self.key);
    }

    /// Asserts that what one of our programs prints begins so.
    #[track_caller]
    pub(crate) fn expect_start(&self, program: &str, arguments: &[&str], expected: &str) {
        let said = self.says(program, arguments);
        assert!(
            said.starts_with(expected),
            "{}: {program} {arguments:?} said {said}, not {expected}",
            self.key
        );
    }

    /// The permission bits of a file of the view.
    pub(crate) fn mode(&self, path: impl AsRef<Path>) -> u32 {
        let path = self.view().join(path);
        let metadata = std::fs::symlink_metadata(&path);
        let metadata = metadata.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        metadata.permissions().mode() & 0o7777
    }

    /// The names in the view, in order.
    pub(crate) fn names(&self) -> Vec<String> {
        names(&self.view())
    }
}

/// The names in a directory, in order.
pub(crate) fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Whether the platform's semaphores are not where its shared memory is.
fn apart(key: &str) -> bool {
    let keys = ["netbsd", "dragonfly", "freebsd", "haiku", "xnu"];
    keys.iter().any(|start| key.starts_with(start))
}

/// Changes the permissions of a file.
pub(crate) fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("chmod");
}

fn rustix_is_root() -> bool {
    rustix::process::geteuid().is_root()
}
