//! The same programs as a user has them: behind `shmfs run`.

use std::path::Path;
use std::process::Command;

use libtest_mimic::{Failed, Trial};

use crate::support::site::script;
use crate::support::{Outcome, check, need};

/// Programs that bring everything they need.
const PROGRAMS: [&str; 2] = ["shared_memory.py", "semaphores.py"];

pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for option in ["passthrough=auto", "passthrough=off"] {
        for file in PROGRAMS {
            trials.push(Trial::test(format!("run::{option}::{file}"), move || {
                run(option, file).map_err(Failed::from)
            }));
        }
    }
    trials
}

/// The program ends well, and nothing of it was on the host's `/dev/shm`.
fn run(option: &str, file: &str) -> Outcome {
    need("python3", "python3")?;
    // Its name would be seen outside if `run` mounted nothing.
    let marker = format!("shmfs-run-{}-{option}-{file}", std::process::id());
    let line = format!("touch /dev/shm/{marker} && exec python3 \"$0\"");
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
    command
        .args(["run", "-o", option, "--", "sh", "-c", &line])
        .arg(script(file));
    check(&mut command)?;
    let outside = Path::new("/dev/shm").join(&marker);
    if outside.exists() {
        let _ = std::fs::remove_file(&outside);
        return Err(format!("{} was made on the host", outside.display()));
    }
    Ok(())
}
