//! Attempts to leave the export: `..`, handles, /proc, mounts.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::descriptors::refused;
use super::{Cell, OBJECTS};
use crate::handles::{self, Handle};
use crate::model::Who;
use crate::proc::{self, Step};
use crate::sys::{self, EACCES, EINVAL, ENOENT, EPERM, ESRCH, ESTALE};
use crate::syscall;

/// A directory that was reached by some way shows no more than the export does.
#[track_caller]
fn shows_nothing(directory: &OwnedFd, by: &str) {
    for name in ["secret", ".shmfs", "d/secret", "mr/../secret"] {
        let found = sys::openat(directory, name, libc::O_PATH, 0);
        assert!(found.is_err(), "{name} is found by {by}");
    }
    for name in ["ro", "d/ro"] {
        let opened = sys::openat(directory, name, libc::O_RDWR, 0);
        assert!(opened.is_err(), "{name} is opened for writing by {by}");
    }
    let listed = std::fs::read_dir(crate::calls::proc_link(directory));
    for entry in listed.into_iter().flatten().flatten() {
        let name = entry.file_name().into_string().unwrap();
        assert!(!name.contains("secret"), "{name} is listed by {by}");
    }
}

fn device(directory: &OwnedFd) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(crate::calls::proc_link(directory))
        .unwrap()
        .dev()
}

pub(super) fn dots_above_the_bind(cell: &mut Cell) {
    cell.attack(|jail| {
        let inside = sys::open(jail, libc::O_RDONLY | libc::O_DIRECTORY).unwrap();
        for dots in ["..", "d/../..", "../..", "d/../../.."] {
            let path = jail.join(dots);
            let Ok(above) = sys::open(&path, libc::O_RDONLY | libc::O_DIRECTORY) else {
                continue;
            };
            assert_ne!(
                device(&above),
                device(&inside),
                "{dots} is on the same mount"
            );
        }
        // Where the tree was seen there is an empty directory.
        let tree = jail.parent().unwrap().join("tree");
        assert_eq!(
            sys::ls(tree),
            [""; 0],
            "the provider's mount is in the prison"
        );
    });
}

pub(super) fn dots_by_descriptors(cell: &mut Cell) {
    cell.attack(|jail| {
        let flags = libc::O_PATH | libc::O_DIRECTORY;
        let inside = sys::open(jail, flags).unwrap();
        let mut here = sys::open(jail.join("d"), flags).unwrap();
        for _ in 0..6 {
            if device(&here) == device(&inside) {
                shows_nothing(&here, "..");
            }
            here = sys::openat(&here, "..", flags, 0).expect("..");
        }
        sys::chdir(jail.join("d")).unwrap();
        for _ in 0..3 {
            sys::chdir("..").unwrap();
        }
        let here = sys::open(".", flags).unwrap();
        assert_ne!(
            device(&here),
            device(&inside),
            "chdir(..) stays on the mount"
        );
    });
}

/// Opens a handle; whatever opens must be what the consumer may have.
fn try_handle(root: &OwnedFd, handle: &Handle, by: &str) {
    for flags in [libc::O_PATH, libc::O_RDONLY, libc::O_RDWR, libc::O_WRONLY] {
        let Ok(file) = handles::open(root, handle, flags) else {
            continue;
        };
        let kind = sys::fstat(&file).expect("fstat").kind();
        if kind == libc::S_IFDIR {
            shows_nothing(&file, by);
            if let Ok(above) = sys::openat(&file, "..", libc::O_PATH, 0) {
                shows_nothing(&above, by);
            }
            continue;
        }
        let link = std::fs::read_link(crate::calls::proc_link(&file)).unwrap();
        let name = link.display().to_string();
        assert!(!name.contains("secret"), "{name} is opened by {by}");
        let writes = flags == libc::O_RDWR || flags == libc::O_WRONLY;
        let may = name.contains("rw") || (name.contains("wo") && flags == libc::O_WRONLY);
        assert!(!writes || may, "{name} is opened for writing by {by}");
    }
}

fn root_of(jail: &Path) -> OwnedFd {
    sys::open(jail, libc::O_RDONLY | libc::O_DIRECTORY).unwrap()
}

/// What is seen has a handle, whoever asks.
#[track_caller]
fn handle_of(jail: &Path, name: &str) -> Handle {
    let handle = handles::of(jail.join(name));
    handle.unwrap_or_else(|errno| panic!("the handle of {name:?}: {errno:?}"))
}

const SEEN: [&str; 6] = ["ro", "rw", "d", "d/ro", "mr", "mr/x"];

pub(super) fn handles_as_they_are_given(cell: &mut Cell) {
    cell.attack(|jail| {
        let root = root_of(jail);
        for name in SEEN {
            let handle = handle_of(jail, name);
            try_handle(&root, &handle, &format!("the handle of {name}"));
        }
        try_handle(&root, &handle_of(jail, ""), "the handle of the root");
    });
}

pub(super) fn handles_with_another_generation(cell: &mut Cell) {
    cell.attack_as(Who::Root, |jail| {
        let root = root_of(jail);
        for name in SEEN {
            let handle = handle_of(jail, name);
            for generation in [0u32, 1, 2, u32::MAX] {
                let mut forged = handle.clone();
                forged.bytes[8..12].copy_from_slice(&generation.to_ne_bytes());
                if forged == handle {
                    continue;
                }
                let opened = handles::open(&root, &forged, libc::O_RDONLY);
                refused(opened, &[ESTALE, EINVAL, ENOENT]);
            }
        }
    });
}

/// The number of a node is in the first eight bytes, the high half first.
fn with_number(handle: &Handle, number: u64) -> Handle {
    let mut forged = handle.clone();
    forged.bytes[..4].copy_from_slice(&((number >> 32) as u32).to_ne_bytes());
    forged.bytes[4..8].copy_from_slice(&(number as u32).to_ne_bytes());
    forged
}

pub(super) fn handles_with_another_number(cell: &mut Cell) {
    cell.attack_as(Who::Root, |jail| {
        let root = root_of(jail);
        for name in ["ro", "d"] {
            let handle = handle_of(jail, name);
            let own = sys::stat(jail.join(name)).unwrap().ino;
            let near = (1..64).flat_map(|step| [own.wrapping_add(step), own.wrapping_sub(step)]);
            let bits = (0..64).map(|bit| own ^ (1 << bit));
            for number in (0..200).chain(near).chain(bits) {
                let forged = with_number(&handle, number);
                try_handle(
                    &root,
                    &forged,
                    &format!("the number {number} in {name}'s handle"),
                );
            }
        }
    });
}

/// Even an attacker who knows the tree's numbers has not its generations.
pub(super) fn handles_of_the_tree(cell: &mut Cell) {
    let tree: Vec<Handle> = OBJECTS
        .iter()
        .filter_map(|name| handles::of(cell.world.path(name)).ok())
        .collect();
    assert_eq!(tree.len(), OBJECTS.len(), "the tree gives handles");
    cell.attack_as(Who::Root, |jail| {
        let root = root_of(jail);
        for name in SEEN {
            let own = handle_of(jail, name);
            for other in &tree {
                let mut forged = own.clone();
                forged.bytes[..8].copy_from_slice(&other.bytes[..8]);
                if forged.bytes[..12] == other.bytes[..12] {
                    continue; // the same node in both
                }
                try_handle(
                    &root,
                    &forged,
                    &format!("a number of the tree in {name}'s handle"),
                );
            }
        }
    });
}

/// Node 1 has generation 0: its handle is known to everybody.
pub(super) fn the_root_node_by_handle(cell: &mut Cell) {
    cell.attack_as(Who::Root, |jail| {
        let root = root_of(jail);
        let handle = handle_of(jail, "ro");
        let mut forged = with_number(&handle, 1);
        forged.bytes[8..12].copy_from_slice(&[0; 4]);
        for length in [12, forged.bytes.len()] {
            let kind = if length == 12 { 0x81 } else { handle.kind };
            let forged = Handle {
                kind,
                bytes: forged.bytes[..length].to_vec(),
            };
            let Ok(node) = handles::open(&root, &forged, libc::O_RDONLY) else {
                continue;
            };
            shows_nothing(&node, "the handle of node 1");
            let listed: Vec<_> = std::fs::read_dir(crate::calls::proc_link(&node))
                .into_iter()
                .flatten()
                .collect();
            assert!(listed.is_empty(), "node 1 lists {listed:?}");
            for name in ["tree", "exports", "cell", "ro", "rw", ".", ".."] {
                if let Ok(found) = sys::openat(&node, name, libc::O_PATH, 0) {
                    shows_nothing(&found, "node 1");
                }
            }
        }
    });
}

/// A handle that names its parent too: with the parent of another.
pub(super) fn connectable_handles(cell: &mut Cell) {
    cell.attack_as(Who::Root, |jail| {
        let root = root_of(jail);
        let (file, directory) = (handle_of(jail, "d/ro"), handle_of(jail, "mr"));
        let mut forged = file.clone();
        forged.kind = 0x82;
        forged.bytes.truncate(12);
        for parent in [&directory.bytes[..12], &[0; 12]] {
            let bytes = [&forged.bytes[..], parent].concat();
            let handle = Handle { kind: 0x82, bytes };
            try_handle(&root, &handle, "a handle with another parent");
        }
    });
}

/// A process of the provider, with its directory in the tree and an object open.
fn with_provider(cell: &Cell, attempt: impl Fn(&Path, i32, i32)) {
    let (ready, end) = (Step::new(), Step::new());
    let tree = cell.world.tree();
    let provider = proc::spawn(|| {
        sys::chdir(&tree).unwrap();
        let file = sys::open("secret", libc::O_RDWR).unwrap();
        // Where `other_processes_descriptors` looks.
        assert!(file.as_raw_fd() < 64);
        ready.make();
        end.wait();
    });
    ready.wait();
    let pid = provider.pid;
    cell.attack(|jail| {
        for descriptor in 0..64 {
            attempt(jail, pid, descriptor);
        }
    });
    end.make();
    provider.join();
}

pub(super) fn other_processes_roots(cell: &mut Cell) {
    with_provider(cell, |_, pid, descriptor| {
        if descriptor > 0 {
            return;
        }
        for link in ["root", "cwd", "exe"] {
            let path = format!("/proc/{pid}/{link}");
            refused(sys::open(&path, libc::O_PATH), &[EACCES, EPERM]);
            refused(sys::stat(format!("{path}/secret")), &[EACCES, EPERM]);
        }
        for file in ["mem", "ns/mnt"] {
            let path = format!("/proc/{pid}/{file}");
            refused(sys::open(&path, libc::O_RDONLY), &[EACCES, EPERM]);
        }
        let attached = syscall!(libc::SYS_ptrace, libc::PTRACE_ATTACH, pid, 0, 0);
        refused(attached, &[EPERM, ESRCH]);
    });
}

pub(super) fn other_processes_descriptors(cell: &mut Cell) {
    with_provider(cell, |_, pid, descriptor| {
        let path = format!("/proc/{pid}/fd/{descriptor}");
        refused(sys::open(&path, libc::O_RDWR), &[EACCES, EPERM, ENOENT]);
        let process = syscall!(libc::SYS_pidfd_open, pid, 0).expect("a pidfd");
        let process = sys::owned(process as i32).unwrap();
        let got = syscall!(libc::SYS_pidfd_getfd, process.as_raw_fd(), descriptor, 0);
        refused(got, &[EPERM, EACCES, sys::EBADF]);
    });
}

pub(super) fn mounts(cell: &mut Cell) {
    cell.attack(|jail| {
        let (path, none) = (sys::c(jail), std::ptr::null::<libc::c_char>());
        let mount = |source: &Path, flags: libc::c_ulong| {
            let source = sys::c(source);
            // SAFETY: both paths end in a NUL.
            sys::check(unsafe {
                libc::mount(source.as_ptr(), path.as_ptr(), none, flags, none.cast())
            })
        };
        refused(mount(jail, libc::MS_REMOUNT | libc::MS_BIND), &[EPERM]);
        refused(mount(jail, libc::MS_BIND), &[EPERM]);
        refused(mount(jail, libc::MS_MOVE), &[EPERM]);
        // SAFETY: the path ends in a NUL.
        refused(
            sys::check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) }),
            &[EPERM],
        );
        let clone = 1; // OPEN_TREE_CLONE
        let tree = syscall!(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), clone);
        refused(tree, &[EPERM]);
        // The file system's own settings.
        let picked = syscall!(libc::SYS_fspick, libc::AT_FDCWD, path.as_ptr(), 0);
        refused(picked, &[EPERM]);
    });
}

/// Where it may make a user namespace it is root there, and no more than before here.
pub(super) fn user_namespaces(cell: &mut Cell) {
    cell.attack(|jail| {
        // SAFETY: no pointers; this process ends soon.
        let made = unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) };
        assert_eq!(
            made,
            0,
            "this host allows no user namespaces: {}",
            std::io::Error::last_os_error()
        );
        let path = sys::c(jail);
        let none = std::ptr::null::<libc::c_char>();
        for flags in [0, libc::MS_NOSUID, libc::MS_NODEV] {
            let flags = flags | libc::MS_REMOUNT | libc::MS_BIND;
            // SAFETY: the path ends in a NUL.
            let changed =
                sys::check(unsafe { libc::mount(none, path.as_ptr(), none, flags, none.cast()) });
            refused(changed, &[EPERM, EACCES, EINVAL]);
        }
        // What is below the bind stays covered.
        // SAFETY: the path ends in a NUL.
        let unmounted = sys::check(unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) });
        refused(unmounted, &[EPERM, EINVAL]);
        for flags in [libc::O_RDWR, libc::O_RDONLY | libc::O_TRUNC] {
            refused(sys::open(jail.join("ro"), flags), &[EACCES]);
        }
        refused(sys::stat(jail.join("secret")), &[ENOENT]);
        let root = root_of(jail);
        for name in SEEN {
            let handle = handle_of(jail, name);
            try_handle(&root, &handle, "a handle in a user namespace");
        }
    });
}
