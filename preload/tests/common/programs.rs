//! The C programs of these tests, which those of `shmfs run --as` run too.

use std::ffi::OsStr;
use std::path::Path;
use std::process::Command;

/// Compiles all programs of a folder.
pub(crate) fn build(sources: &Path, built: &Path) {
    std::fs::create_dir_all(built).expect("a directory for programs");
    let mut count = 0;
    for source in std::fs::read_dir(sources).expect("the programs' sources") {
        let source = source.expect("an entry").path();
        if source.extension() == Some(OsStr::new("c")) {
            compile(&source, built);
            count += 1;
        }
    }
    assert!(count > 0, "{} has no program", sources.display());
}

fn compile(source: &Path, built: &Path) {
    let program = built.join(source.file_stem().expect("a name"));
    let output = Command::new("cc")
        .args(["-O1", "-Wall", "-Wno-nonnull", "-Werror", "-o"])
        .arg(&program)
        .arg(source)
        .args(["-ldl", "-lpthread", "-lrt"])
        .output()
        .expect("cc: install a C compiler (apt-get install gcc libc6-dev)");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", source.display());
}
