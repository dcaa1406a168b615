//! Mounting and unmounting by fusermount3, which may do it for an ordinary user.
//!
//! It mounts, and passes the connection's descriptor through the socket that the environment
//! variable `_FUSE_COMMFD` names.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, ExitCode, Result};
use crate::options::{Atime, Options};
use crate::sys::{channel, process, signal};

const PROGRAM: &str = "fusermount3";

/// Mounts on `target`; returns the connection, to be served.
pub(crate) fn mount(options: &Options, source: &OsStr, target: &Path) -> Result<OwnedFd> {
    let (ours, theirs) =
        channel::stream_pair().map_err(|error| Error::system("cannot make a socket", error))?;
    let mut command = Command::new(PROGRAM);
    command
        .arg("-o")
        .arg(words(options, source))
        .arg("--")
        .arg(target);
    command.env("_FUSE_COMMFD", theirs.as_fd().as_raw_fd().to_string());
    process::inherit(&mut command, &theirs);
    let output = run(&mut command)?;
    drop(theirs);
    if !output.status.success() {
        return Err(refused(
            &format!("cannot mount on {}", target.display()),
            &output,
        ));
    }
    let message = channel::receive(&ours)
        .map_err(|error| Error::system("cannot hear from fusermount3", error))?;
    message
        .descriptor
        .ok_or_else(|| refused("fusermount3 passed no descriptor", &output))
}

/// Unmounts `target`; lazily, it only disappears, and ends with its last user.
pub(crate) fn unmount(target: &Path, lazy: bool) -> Result<()> {
    let mut command = Command::new(PROGRAM);
    command.arg("-u");
    if lazy {
        command.arg("-z");
    }
    let output = run(command.arg("--").arg(target))?;
    if output.status.success() {
        return Ok(());
    }
    Err(refused(
        &format!("cannot unmount {}", target.display()),
        &output,
    ))
}

fn run(command: &mut Command) -> Result<Output> {
    // The kernel would wait for it instead of us, and nobody would know what became of the mount.
    if signal::is_ignored(libc::SIGCHLD) {
        let what = format!("cannot run {PROGRAM}: this process ignores the ends of its children");
        let failure = Error::new(ExitCode::System, what);
        return Err(failure.hint("Give SIGCHLD its default action while it mounts and unmounts."));
    }
    let output = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .output();
    output.map_err(|error| {
        let kind = error.kind();
        let failure = Error::system(format!("cannot run {PROGRAM}"), error);
        match kind {
            ErrorKind::NotFound => {
                failure.hint("An ordinary user mounts through it: install the package fuse3.")
            }
            ErrorKind::PermissionDenied => failure.hint(
                "An ordinary user mounts through it: it must be executable by users, owned by root, and have the set-user-ID bit.",
            ),
            _ => failure,
        }
    })
}

/// What fusermount3 said, with a remedy for what it says most.
fn refused(what: &str, output: &Output) -> Error {
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.trim().trim_start_matches("fusermount3: ");
    let failure = Error::new(ExitCode::Mount, format!("{what}: fusermount3 says: {said}"));
    if said.contains("user_allow_other") {
        return failure.hint(
            "As root, add a line user_allow_other to /etc/fuse.conf, or leave allow_other out.",
        );
    }
    if said.contains("no write access") || said.contains("not owned") {
        return failure.hint("An ordinary user can only mount on a directory of his own.");
    }
    if said.contains("not found in /etc/mtab") {
        return failure.hint("Only root and the user who mounted it can unmount it.");
    }
    if said.contains("failed to open /dev/fuse") {
        return failure.hint("Only its owner may: as root, chmod 666 /dev/fuse");
    }
    if said.contains("could not determine username") {
        return failure.hint("fusermount3 serves only users that have an entry in /etc/passwd.");
    }
    if said.contains("device not found") {
        return failure
            .hint("Load the kernel's FUSE: modprobe fuse. In a container: --device /dev/fuse");
    }
    if said.contains("failed to access mountpoint") {
        return failure.hint("On top of a FUSE file system only root can mount: unmount it first.");
    }
    if said.contains("too many FUSE filesystems") {
        return failure.hint("As root, raise mount_max in /etc/fuse.conf.");
    }
    if said.contains("Operation not permitted") {
        return failure.hint("fusermount3 must be owned by root and have the set-user-ID bit; in a container it needs CAP_SYS_ADMIN.");
    }
    failure
}

/// What fusermount3 is to be told after `-o`.
fn words(options: &Options, source: &OsStr) -> OsString {
    let mut words = b"subtype=shmfs,default_permissions,fsname=".to_vec();
    escape(
        if source.is_empty() {
            b"shmfs"
        } else {
            source.as_bytes()
        },
        &mut words,
    );
    let flags = [
        (options.allow_other, ",allow_other"),
        (options.read_only, ",ro"),
        (!options.exec, ",noexec"),
        (options.atime == Atime::Never, ",noatime"),
    ];
    for (_, word) in flags.iter().filter(|(wanted, _)| *wanted) {
        words.extend_from_slice(word.as_bytes());
    }
    OsString::from_vec(words)
}

/// A comma ends an option unless a backslash stands before it.
fn escape(value: &[u8], words: &mut Vec<u8>) {
    for &byte in value {
        if byte == b',' || byte == b'\\' {
            words.push(b'\\');
        }
        words.push(byte);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_in_the_source_are_escaped() {
        let options = Options {
            read_only: true,
            ..Options::default()
        };
        let words = words(&options, OsStr::new("a,b\\c"));
        assert_eq!(
            words,
            "subtype=shmfs,default_permissions,fsname=a\\,b\\\\c,ro"
        );
    }

    #[test]
    fn no_source_is_shmfs() {
        assert_eq!(
            words(&Options::default(), OsStr::new("")),
            "subtype=shmfs,default_permissions,fsname=shmfs"
        );
    }
}
