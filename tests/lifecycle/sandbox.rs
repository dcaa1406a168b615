//! Scripts in a mount namespace of their own.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// Who runs a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// The superuser.
    Root,
    /// Nobody, where /dev/fuse may be opened by all.
    Nobody,
    /// Nobody, where /dev/fuse may be opened by root alone.
    NobodyWithoutDevice,
    /// Nobody, where there are no user namespaces: objects are memfds.
    NobodyWithMemfds,
}

/// What every script finds: `$SHMFS`, its own empty directory to be in, and some words to check with.
const PRELUDE: &str = r#"
set -u
fail() { echo "FAILED: $*" >&2; exit 99; }
is() { [ "$1" = "$2" ] || fail "expected '$2', got '$1'${3:+ ($3)}"; }
has() { case "$1" in *"$2"*) ;; *) fail "'$2' is not in: $1" ;; esac; }
# Waits, up to half a minute, until a command succeeds.
eventually() { local i; for i in $(seq 600); do "$@" && return 0; sleep 0.05; done; fail "never: $*"; }
ended() { local p; for p in "$@"; do [ ! -e /proc/$p ] || [ "$(cut -d' ' -f3 /proc/$p/stat 2>/dev/null)" = Z ] || return 1; done; }
filled() { local f; for f in "$@"; do [ -s "$f" ] || return 1; done; }
unmounted() { ! grep -q " - fuse.shmfs " /proc/self/mountinfo; }
no_device() { [ ! -e /sys/class/bdi/$1 ]; }
no_sockets() { ! find /run/shmfs $XDG_RUNTIME_DIR/shmfs -type s 2>/dev/null | grep .; }
workers() { local p; for p in $(cat /proc/$1/task/*/children); do [ "$(cat /proc/$p/comm)" = shmfs-worker ] && echo $p; done; }
# The first child that is no worker.
child() { local p; for p in $(cat /proc/$1/task/$1/children); do [ "$(cat /proc/$p/comm)" = shmfs-worker ] || { echo $p; return; }; done; }
device_at() { awk -v at="$1" '$5 == at { d = $3 } END { print d }' /proc/self/mountinfo; }
"#;

/// Runs `script` as `user`; panics with all that it said unless it succeeds.
#[track_caller]
pub(crate) fn script(user: User, script: &str) {
    script_within(100, user, script);
}

/// The same, where it may take other than a hundred seconds.
#[track_caller]
pub(crate) fn script_within(seconds: u32, user: User, script: &str) {
    let output = output(seconds, user, script);
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{:?}\nstdout:\n{said}\nstderr:\n{complained}",
        output.status
    );
}

fn output(seconds: u32, user: User, script: &str) -> Output {
    check_host();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("chmod");
    let shmfs = path.join("shmfs");
    // By another process: while this one has a program open for writing, a fork of another thread
    // keeps it open too, and then it cannot be executed.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_shmfs"))
        .arg(&shmfs)
        .status();
    assert!(
        copied.is_ok_and(|status| status.success()),
        "a copy of shmfs"
    );
    let home = path.join("home");
    fs::create_dir(&home).expect("mkdir");
    fs::set_permissions(&home, fs::Permissions::from_mode(0o777)).expect("chmod");
    let file = path.join("script");
    fs::write(&file, format!("{PRELUDE}\n{script}")).expect("a script");
    // What a failing script leaves running ends with its namespace of processes, and all that with this thread.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "unshare"]);
    command.args([
        "--mount",
        "--propagation=private",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    command.args([
        "timeout",
        "--foreground",
        "--kill-after=5",
        &seconds.to_string(),
        "bash",
        "-c",
    ]);
    command.arg(setup(user, path)).arg("bash").arg(&file);
    command
        .env("SHMFS", shmfs)
        .env("HOME", &home)
        .env_remove("SHMFS_LOG");
    command.env("XDG_RUNTIME_DIR", &home);
    command.current_dir(&home);
    command.output().expect("unshare of util-linux")
}

/// Runs a command in a user namespace with all users: there a limit is nobody else's.
const WITH_ALL_USERS: &str = r#"
import ctypes, os, sys
made, may = os.pipe(), os.pipe()
pid = os.fork()
if pid == 0:
    assert ctypes.CDLL(None).unshare(0x10020000) == 0
    os.write(made[1], b"x"); os.read(may[0], 1); os.setgid(0); os.setuid(0)
    os.execvp(sys.argv[1], sys.argv[1:])
os.read(made[0], 1)
for kind in "uid", "gid":
    open(f"/proc/{pid}/{kind}_map", "w").write("0 0 65536")
os.write(may[1], b"x")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"#;

/// What root does in the new namespace before the script runs.
fn setup(user: User, path: &Path) -> String {
    let path = path.display();
    let as_nobody = r#"exec setpriv --reuid nobody --regid nogroup --clear-groups bash "$1""#;
    let node = |mode: &str| {
        format!(
            "mount -t tmpfs tmpfs /mnt && mknod -m {mode} /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse && umount -l /mnt || exit 98;"
        )
    };
    let rest = match user {
        User::Root => r#"exec bash "$1""#.to_owned(),
        User::Nobody => format!("{} {as_nobody}", node("666")),
        User::NobodyWithMemfds => {
            let inner =
                format!("echo 0 > /proc/sys/user/max_user_namespaces || exit 98; {as_nobody}");
            format!(
                "{} exec python3 -c '{WITH_ALL_USERS}' bash -c '{inner}' bash \"$1\"",
                node("666")
            )
        }
        User::NobodyWithoutDevice => format!("{} {as_nobody}", node("600")),
    };
    // Mounts that others have on this host are in the new namespace too.
    let alone = "awk '/ - fuse.shmfs / { print $5 }' /proc/self/mountinfo | while read m; do umount -l \"$m\"; done";
    format!("{alone}; mount -t tmpfs tmpfs /run || exit 98; cd {path}/home; {rest}")
}

fn check_host() {
    let root = rustix::process::geteuid().is_root();
    assert!(root, "these tests make namespaces and need root");
    assert!(
        Path::new("/dev/fuse").exists(),
        "/dev/fuse is missing: modprobe fuse"
    );
    for (program, package) in [
        ("unshare", "util-linux"),
        ("setpriv", "util-linux"),
        ("bash", "bash"),
        ("fusermount3", "fuse3"),
    ] {
        let found = Command::new(program).arg("--version").output();
        assert!(
            found.is_ok(),
            "{program} is missing: apt-get install {package}"
        );
    }
}
