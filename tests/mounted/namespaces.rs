//! The private namespaces of a run, and whose capabilities hold in them.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::harness::mount;
use crate::proc;
use crate::sys::{self, check};

/// Runs `inner` in namespaces of its own (mount and pid; user as an ordinary user) and gives
/// its exit status. Whatever `inner` does or leaves, nothing of it outlives this call.
pub(crate) fn in_namespaces(inner: impl FnOnce(PathBuf, bool) -> i32) -> i32 {
    let base = tempfile::Builder::new()
        .prefix("shmfs-mounted-")
        .tempdir()
        .expect("a temporary directory");
    std::fs::set_permissions(base.path(), std::fs::Permissions::from_mode(0o755))
        .expect("chmod the base");
    // SAFETY: Ctrl-C ends the inner processes; we stay to remove the directory.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    let root = proc::ids().0 == 0;
    let path = base.path().to_owned();
    // SAFETY: no thread was started yet; each child ends with _exit.
    let first = unsafe { libc::fork() };
    if first == 0 {
        die_with_parent();
        private_namespaces(root);
        // SAFETY: as above.
        match unsafe { libc::fork() } {
            0 => be_first(path, root, inner),
            init => exit(wait_for(init)),
        }
    }
    wait_for(first)
}

fn exit(code: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(code) }
}

pub(crate) fn die_with_parent() {
    // SAFETY: no pointers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

fn wait_for(pid: i32) -> i32 {
    let mut status = 0;
    loop {
        // SAFETY: `status` is writable.
        let got = unsafe { libc::waitpid(-1, &mut status, 0) };
        if got == pid {
            break;
        }
        assert!(
            got > 0 || sys::errno() == sys::EINTR,
            "waitpid: {:?}",
            sys::errno()
        );
    }
    if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        libc::WEXITSTATUS(status)
    }
}

pub(crate) fn unshare(flags: i32, what: &str) {
    // SAFETY: no pointers.
    if let Err(e) = check(unsafe { libc::unshare(flags) }) {
        eprintln!(
            "tests/mounted: unshare({what}): {e:?}; these tests need root, or user namespaces for ordinary users"
        );
        exit(101);
    }
}

fn private_namespaces(root: bool) {
    let (uid, gid) = proc::ids();
    if root {
        unshare(libc::CLONE_NEWNS | libc::CLONE_NEWPID, "NEWNS|NEWPID");
    } else {
        unshare(
            libc::CLONE_NEWUSER | libc::CLONE_NEWNS | libc::CLONE_NEWPID,
            "NEWUSER|NEWNS|NEWPID",
        );
        map_ids(uid, gid);
    }
    mount(
        "none",
        Path::new("/"),
        "",
        libc::MS_REC | libc::MS_PRIVATE,
        "",
    )
    .expect("make / private");
}

pub(crate) fn map_ids(uid: u32, gid: u32) {
    std::fs::write("/proc/self/setgroups", "deny").expect("write /proc/self/setgroups");
    std::fs::write("/proc/self/uid_map", format!("{uid} {uid} 1"))
        .expect("write /proc/self/uid_map");
    std::fs::write("/proc/self/gid_map", format!("{gid} {gid} 1"))
        .expect("write /proc/self/gid_map");
}

/// Process 1 of the new pid namespace: when it ends the kernel kills all the others.
fn be_first(base: PathBuf, root: bool, inner: impl FnOnce(PathBuf, bool) -> i32) -> ! {
    die_with_parent();
    mount("proc", Path::new("/proc"), "proc", 0, "")
        .expect("mount a /proc for the new pid namespace");
    // What the tests make lives here and goes with the namespace.
    mount("base", &base, "tmpfs", 0, "mode=755").expect("mount a private tmpfs");
    // SAFETY: still a single thread.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: the default again, so that Ctrl-C ends the tests.
            unsafe { libc::signal(libc::SIGINT, libc::SIG_DFL) };
            let run = std::panic::AssertUnwindSafe(|| inner(base, root));
            // `exit` and not `_exit`: what libtest-mimic printed is flushed.
            std::process::exit(std::panic::catch_unwind(run).unwrap_or(101))
        }
        tests => exit(wait_for(tests)),
    }
}

/// In our private namespace an ordinary user may open /dev/fuse, whatever the host allows.
pub(crate) fn open_fuse_to_all(base: &Path) {
    let node = base.join("fuse");
    sys::mknod(&node, libc::S_IFCHR, libc::makedev(10, 229)).expect("mknod a FUSE device");
    sys::chmod(&node, 0o666).expect("chmod the FUSE device");
    let dev = Path::new("/dev/fuse");
    mount(&node.to_string_lossy(), dev, "", libc::MS_BIND, "")
        .expect("bind a FUSE device; is there a /dev/fuse (modprobe fuse)?");
}

/// What capset(2) takes: a header, then effective, permitted and inheritable sets in two halves.
#[repr(C)]
struct Header(u32, i32);
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// An ordinary user's daemon has the capabilities of its own user namespace across exec too.
pub(crate) fn keep_capabilities() {
    let header = Header(CAPABILITY_VERSION_3, 0);
    let mut sets = [0u32; 6];
    // SAFETY: the kernel writes two triples of words; called between fork and exec, allocates nothing.
    unsafe {
        libc::syscall(libc::SYS_capget, &header, sets.as_mut_ptr());
        (sets[2], sets[5]) = (sets[1], sets[4]);
        libc::syscall(libc::SYS_capset, &header, sets.as_ptr());
        for capability in 0..41 {
            libc::prctl(
                libc::PR_CAP_AMBIENT,
                libc::PR_CAP_AMBIENT_RAISE,
                capability,
                0,
                0,
            );
        }
    }
}

/// Whether the caller has a capability: root of a container has not all of them.
pub(crate) fn has_capability(capability: u32) -> bool {
    let header = Header(CAPABILITY_VERSION_3, 0);
    let mut sets = [0u32; 6];
    // SAFETY: the kernel writes two triples of words.
    check(unsafe { libc::syscall(libc::SYS_capget, &header, sets.as_mut_ptr()) })
        .expect("look at capabilities");
    sets[capability as usize / 32 * 3] & 1 << (capability % 32) != 0
}

/// Takes one capability away, for good.
pub(crate) fn drop_capability(capability: u32) {
    let header = Header(CAPABILITY_VERSION_3, 0);
    let mut sets = [0u32; 6];
    let half = capability as usize / 32 * 3;
    // SAFETY: version 3 takes a header and two triples of words.
    check(unsafe {
        libc::syscall(libc::SYS_capget, &header, sets.as_mut_ptr());
        for set in &mut sets[half..half + 3] {
            *set &= !(1 << (capability % 32));
        }
        libc::syscall(libc::SYS_capset, &header, sets.as_ptr())
    })
    .expect("drop a capability");
}

pub(crate) fn drop_capabilities() {
    let header = Header(CAPABILITY_VERSION_3, 0);
    let none = [0u32; 6];
    // SAFETY: version 3 takes a header and two triples of words.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, none.as_ptr()) })
        .expect("drop all capabilities");
}

/// Whether this kernel's tmpfs knows the options of quotas; asked of a file system that is never made.
pub(crate) fn tmpfs_has_quotas() -> bool {
    use rustix::mount::{FsOpenFlags, fsconfig_set_flag, fsopen};
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC);
    context.is_ok_and(|context| fsconfig_set_flag(&context, "usrquota").is_ok())
}
