//! fsx: what is read is what was written, by whichever way.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::{Outcome, Site, check};
use crate::tools::FSX;

/// Of each run; the goal is 100,000 at least.
const OPERATIONS: u32 = 100_000;

/// Of the tests; `SHMFS_FSX_SEED` replaces it to look further.
const SEED: u64 = 20_260_101;

const CONFIG: &str = include_str!("fsx.toml");

/// Each store through a mapping is followed by msync.
pub(crate) fn mapped_and_unmapped(site: &Site) -> Outcome {
    run(site, CONFIG)
}

/// Stores through mappings are seen by read without msync.
pub(crate) fn without_msync(site: &Site) -> Outcome {
    run(site, &format!("nomsyncafterwrite = true\n{CONFIG}"))
}

fn run(site: &Site, config: &str) -> Outcome {
    let seed = match std::env::var("SHMFS_FSX_SEED") {
        Ok(text) => text
            .parse()
            .map_err(|e| format!("SHMFS_FSX_SEED={text}: {e}"))?,
        Err(_) => SEED,
    };
    println!("fsx: seed {seed}, {OPERATIONS} operations");
    let config_file = site.outside.join("fsx.toml");
    fs::write(&config_file, config).map_err(|e| format!("write {}: {e}", config_file.display()))?;
    let file = site.dir.join("fsx");
    let said = check(&mut command(&config_file, seed, &site.outside, &file)?)?;
    let text = String::from_utf8_lossy(&said.stdout);
    if !text.contains("All operations completed A-OK!") {
        return Err(format!("fsx did not say that it was done:\n{text}"));
    }
    fs::remove_file(&file).map_err(|e| format!("unlink {}: {e}", file.display()))
}

fn command(config: &Path, seed: u64, artifacts: &Path, file: &Path) -> Result<Command, String> {
    let mut command = Command::new(FSX.program()?);
    command
        .args(["-N", &OPERATIONS.to_string(), "-S", &seed.to_string(), "-f"])
        .arg(config)
        .arg("-P")
        .arg(artifacts)
        .arg(file);
    Ok(command)
}
