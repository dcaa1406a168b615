//! The two programs, built once under `target/conformance`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::check;

/// A program of the registry, at the version that the results are known for.
pub(crate) struct Tool {
    /// Name of the crate and of its program.
    pub(crate) name: &'static str,
    /// Changed only together with a look at what it then finds.
    pub(crate) version: &'static str,
}

/// POSIX semantics, one small test per sentence.
pub(crate) const PJDFSTEST: Tool = Tool {
    name: "pjdfstest",
    version: "0.2.2",
};

/// Random reads, writes, mappings and truncations, checked against memory.
pub(crate) const FSX: Tool = Tool {
    name: "fsx",
    version: "0.3.2",
};

impl Tool {
    /// Where the program is; builds it if it is not there at this version.
    pub(crate) fn program(&self) -> Result<PathBuf, String> {
        let root = root();
        let program = root.join("bin").join(self.name);
        fs::create_dir_all(&root).map_err(|e| format!("mkdir {}: {e}", root.display()))?;
        // Cases run at the same time; the first one builds.
        let _turn = lock(&root.join("lock"))?;
        if !self.is_installed(&program) {
            self.install(&root)?;
        }
        Ok(program)
    }

    fn is_installed(&self, program: &Path) -> bool {
        let expected = format!("{} {}", self.name, self.version);
        Command::new(program)
            .arg("--version")
            .output()
            .is_ok_and(|said| String::from_utf8_lossy(&said.stdout).trim() == expected)
    }

    /// Its own target directory: the one of this test may be locked by cargo.
    fn install(&self, root: &Path) -> Result<(), String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["install", "--locked", "--force", "--quiet", "--root"])
            .arg(root)
            .arg("--target-dir")
            .arg(root.join("build"))
            .args(["--version", self.version, self.name])
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_BUILD_TARGET");
        check(&mut command).map(|_| ()).map_err(|sentence| {
            format!(
                "{sentence}\n{} comes from crates.io: is the network there?",
                self.name
            )
        })
    }
}

/// `target/conformance`, wherever `target` is.
fn root() -> PathBuf {
    let tmp = Path::new(env!("CARGO_TARGET_TMPDIR"));
    tmp.parent().unwrap_or(tmp).join("conformance")
}

fn lock(path: &Path) -> Result<fs::File, String> {
    let file = fs::File::create(path).map_err(|e| format!("create {}: {e}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .map_err(|e| format!("lock {}: {e}", path.display()))?;
    Ok(file)
}
