//! Suites whose tests share one mount namespace that nobody else sees: that takes root.

use std::path::Path;

use libtest_mimic::{Failed, Trial};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::UnshareFlags;

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A test that an ordinary user finds in the list, with the reason why it is not run.
pub(crate) fn trial(
    name: impl Into<String>,
    test: impl FnOnce() -> Result<(), Failed> + Send + 'static,
) -> Trial {
    let trial = Trial::test(name, test);
    match is_root() {
        true => trial,
        false => trial
            .with_kind("NOT RUN, needs root: makes namespaces")
            .with_ignored_flag(true),
    }
}

/// This process, which has no other thread yet, sees mounts of its own from here on.
pub(crate) fn private_namespace() {
    if !is_root() {
        return; // Then no test is run.
    }
    assert!(
        Path::new("/dev/fuse").exists(),
        "/dev/fuse is missing: modprobe fuse"
    );
    unshare_mounts();
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount_change("/", private).expect("make / private");
}

/// A mount namespace of its own for the calling process.
pub(crate) fn unshare_mounts() {
    // SAFETY: the descriptor table is not unshared.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNS) }.expect("a mount namespace");
}
