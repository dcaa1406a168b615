//! Running programs, and a place where mount(8) finds our helper.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

pub(crate) const SHMFS: &str = env!("CARGO_BIN_EXE_shmfs");
pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_mount-shmfs");
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// What a program answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Answer {
            status: output.status.code().unwrap_or(-1),
            out: text(&output.stdout),
            err: text(&output.stderr),
        }
    }
}

/// Runs `program`; nothing of the environment's log setting counts.
pub(crate) fn run(program: &str, words: &[&str]) -> Answer {
    let mut command = Command::new(program);
    command.args(words).env_remove("SHMFS_LOG");
    let output = command.output();
    output
        .unwrap_or_else(|error| panic!("{program}: {error}"))
        .into()
}

pub(crate) fn shmfs(words: &[&str]) -> Answer {
    run(SHMFS, words)
}

pub(crate) fn helper(words: &[&str]) -> Answer {
    run(HELPER, words)
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: it only answers a number.
    unsafe { libc::geteuid() == 0 }
}

/// Where all that is installed has been built: the preloaded library is a package of its own.
pub(crate) fn built() -> &'static Path {
    static BUILT: OnceLock<&Path> = OnceLock::new();
    BUILT.get_or_init(|| {
        let directory = Path::new(HELPER).parent().expect("target/debug");
        let profile = match directory.file_name().and_then(OsStr::to_str) {
            Some("debug") | None => "dev",
            Some(other) => other,
        };
        let target = directory
            .parent()
            .expect("target")
            .to_str()
            .expect("a path of text");
        let words = [
            "build",
            "--locked",
            "-p",
            "shmfs-preload",
            "--profile",
            profile,
        ];
        let output = Command::new(env!("CARGO"))
            .current_dir(ROOT)
            .args(words)
            .args(["--target-dir", target])
            .output()
            .expect("cargo");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        directory
    })
}

/// Runs a shell script as root in a mount namespace of its own, an ordinary user in a user
/// namespace as well. It begins with our helper installed in /sbin, which only it sees.
///
/// `$1` is a directory for the script, empty but for what the installation needs.
pub(crate) fn with_mount8(script: &str) -> Answer {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let prepare = format!(
        "set -e; mount -t tmpfs none \"$1\"; cd \"$1\"; mkdir upper work mnt staged\n\
         sbin=$(readlink -f /sbin)\n\
         {ROOT}/mount-helper/install.sh --destdir \"$1/staged\" --sbindir /sbin --from \"$2\" >installed\n\
         cp -a staged/sbin/. upper\n\
         mount -t overlay none -o \"lowerdir=$sbin,upperdir=$1/upper,workdir=$1/work\" \"$sbin\"\n\
         trap 'umount -l mnt 2>/dev/null' EXIT\n\
         set +e\n{script}"
    );
    let flags = if is_root() { "-m" } else { "-rm" };
    let mut command = Command::new("unshare");
    let command = command.args([
        flags,
        "--propagation",
        "private",
        "--",
        "sh",
        "-c",
        &prepare,
        "sh",
    ]);
    let output = command.arg(dir.path()).arg(built()).output();
    let output = output.expect("unshare(1) of util-linux is needed");
    output.into()
}
