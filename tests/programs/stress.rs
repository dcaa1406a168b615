//! stress-ng's stressors of files and shared memory, each with `--verify` and a
//! bounded number of operations.

use std::time::Duration;

use crate::support::{Case, Outcome, Site, check, need};

/// Ends a stressor that hangs; the count of operations ends it long before.
const TIMEOUT: &str = "240";

/// Stressor and operations. Left out: those that find nothing to do on tmpfs
/// (fiemap, verity, inode-flags, quota…), those that touch no file system, and fpunch,
/// which takes minutes even there (fsx punches holes too).
macro_rules! stressors {
    ($($name:literal $operations:literal,)*) => {
        vec![$(Case {
            deadline: Duration::from_secs(300),
            ..Case::new(concat!("stress_ng::", $name), |site| stress(site, $name, $operations))
        },)*]
    };
}

pub(crate) fn cases() -> Vec<Case> {
    stressors![
        "access" 100,
        "aio" 200,
        "chdir" 5,
        "chmod" 200,
        "chown" 200,
        "copy-file" 50,
        "dentry" 2048,
        "dir" 1000,
        "dirdeep" 500,
        "dirmany" 500,
        "dnotify" 50,
        "dup" 10,
        "fallocate" 5,
        "fcntl" 200,
        "file-ioctl" 100,
        "filename" 100,
        "flock" 500,
        "fsize" 10,
        "fstat" 50,
        "full" 200,
        "getdent" 100,
        "handle" 100,
        "hdd" 200,
        "inotify" 2,
        "io" 50,
        "iomix" 200,
        "lease" 50,
        "link" 2,
        "locka" 500,
        "lockf" 500,
        "lockofd" 500,
        "mknod" 100,
        "mmap" 5,
        "mmapmany" 50,
        "mremap" 2,
        "msync" 200,
        "open" 100,
        "readahead" 100,
        "rename" 1000,
        "seek" 500,
        "sendfile" 50,
        "shm" 50,
        "splice" 100,
        "symlink" 1,
        "sync-file" 2,
        "tee" 50,
        "touch" 500,
        "utime" 500,
        "xattr" 5,
    ]
}

fn stress(site: &Site, stressor: &str, operations: u32) -> Outcome {
    need("stress-ng", "stress-ng")?;
    // chmod's and chown's second instance may wait for the first one's file in vain; fsize makes its file as
    // large as can be, which leaves a second one no room where logical size is reserved.
    let alone = stressor.starts_with("ch") || stressor == "fsize";
    let instances = if alone { "1" } else { "2" };
    let mut command = site.command("stress-ng");
    command
        .args([format!("--{stressor}"), instances.into()])
        .args([format!("--{stressor}-ops"), operations.to_string()])
        .args(["--verify", "--timeout", TIMEOUT, "--temp-path"])
        .arg(&site.dir);
    if stressor == "mmap" {
        // Anonymous memory would show nothing.
        command.args(["--mmap-file", "--mmap-bytes", "16m"]);
    }
    let said = check(&mut command)?;
    let text = [said.stdout, said.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    // It ends with success also when it had nothing to do.
    match text.contains("successful run completed") && !text.contains("skipp") {
        true => site.wait_until_empty(),
        false => Err(format!("nothing was shown:\n{text}")),
    }
}
