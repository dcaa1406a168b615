//! Programs that use a file system hard: git, compilers.

use crate::support::{Case, Outcome, Site, check, need};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::new("git::clone_gc_fsck", git),
        Case::new("compiler::c", c_compiler),
        Case::new("compiler::cargo", cargo),
    ]
}

fn git(site: &Site) -> Outcome {
    need("git", "git")?;
    check(&mut site.bash("git.sh")).map(|_| ())
}

fn c_compiler(site: &Site) -> Outcome {
    need("cc", "gcc")?;
    check(&mut site.bash("compile.sh")).map(|_| ())
}

/// Incremental builds: hard links, renames, locks, mapped files.
fn cargo(site: &Site) -> Outcome {
    check(&mut site.bash("cargo.sh")).map(|_| ())
}
