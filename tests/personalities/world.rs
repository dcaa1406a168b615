//! The library and the programs, built once, and sessions to run them in.

#[path = "../../preload/tests/common/programs.rs"]
mod programs;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

use shmfs::view::{Kind, SCHEMES};

/// The keys of all platforms.
pub(crate) static PLATFORMS: LazyLock<Vec<&str>> = LazyLock::new(|| {
    let memory = SCHEMES
        .iter()
        .filter(|scheme| scheme.kind == Kind::SharedMemory && scheme.companion.is_none());
    memory.map(|scheme| scheme.key).collect()
});

/// The directory of the programs; when it is there, the library is too.
static BUILT: LazyLock<PathBuf> = LazyLock::new(|| {
    build_library();
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("preload/tests/c");
    let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("personalities");
    programs::build(&sources, &built);
    built
});

/// Next to the program, as `cargo build` does it.
fn build_library() {
    let directory = Path::new(env!("CARGO_BIN_EXE_shmfs"))
        .parent()
        .expect("target/debug");
    let profile = match directory.file_name().and_then(OsStr::to_str) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["build", "--locked", "-p", "shmfs-preload", "--profile"])
        .arg(profile)
        .arg("--target-dir")
        .arg(directory.parent().expect("target"))
        .output()
        .expect("cargo");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let library = library();
    assert!(library.exists(), "{} was not built", library.display());
}

/// Where the library is.
pub(crate) fn library() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_shmfs")).with_file_name("libshmfs_preload.so")
}

/// Where the programs are.
pub(crate) fn programs() -> &'static Path {
    &BUILT
}

/// Runs a script, which finds our programs in its PATH, in `shmfs run` with these arguments.
pub(crate) fn session(arguments: &[&str], script: &str) -> Output {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = std::env::var("PATH").expect("PATH");
    Command::new(env!("CARGO_BIN_EXE_shmfs"))
        .arg("run")
        .args(arguments)
        .args(["--", "sh", "-c", script])
        .current_dir(directory.path())
        .env("PATH", format!("{}:{path}", programs().display()))
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::null())
        .output()
        .expect("shmfs")
}

/// Asserts what a script prints, and that nothing complains.
#[track_caller]
pub(crate) fn expect(arguments: &[&str], script: &str, said: &str) {
    let output = session(arguments, script);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        said,
        "{arguments:?}: {errors}"
    );
    assert!(errors.is_empty(), "{arguments:?}: {errors}");
}

/// Asserts that nothing is run, and that the reason has these words.
#[track_caller]
pub(crate) fn fails(arguments: &[&str], says: &str) {
    let output = session(arguments, "echo it runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(125), "{arguments:?}: {errors}");
    assert!(errors.contains(says), "{arguments:?}: {errors}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {output:?}");
}
