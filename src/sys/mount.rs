//! Mounts, by the calls of Linux 5.2 and later: file systems are configured, made and moved by
//! descriptors, and never looked up twice.

use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::{Errno, Result};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, FsPickFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_reconfigure, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen,
    fspick, move_mount, open_tree,
};

use crate::options::{Atime, Options};

/// A file system's parameters: those with an empty value are flags.
pub type Parameters<'a> = &'a [(&'a CStr, &'a CStr)];

/// Makes a file system and a mount of it that is attached nowhere. Allocates nothing.
pub fn make(
    kind: &CStr,
    parameters: Parameters<'_>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd> {
    let context = fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
    for (key, value) in parameters {
        if value.is_empty() {
            fsconfig_set_flag(&context, *key)?;
        } else {
            fsconfig_set_string(&context, *key, *value)?;
        }
    }
    fsconfig_create(&context)?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// Whether the caller may mount here at all, and the kernel has these calls.
pub fn may_mount() -> Result<()> {
    fsopen(c"tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).map(drop)
}

/// Changes one parameter of the file system that `root` is the root of.
pub fn reconfigure(root: impl AsFd, key: &CStr, value: &CStr) -> Result<()> {
    let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
    let context = fspick(root, c"", flags)?;
    fsconfig_set_string(&context, key, value)?;
    fsconfig_reconfigure(&context)
}

/// A detached mount of the directory `path` of `from`.
pub fn clone_tree(from: impl AsFd, path: &CStr) -> Result<OwnedFd> {
    open_tree(from, path, clone_flags())
}

/// The same of what is mounted below it too.
pub fn clone_trees(from: impl AsFd, path: &CStr) -> Result<OwnedFd> {
    open_tree(from, path, clone_flags() | OpenTreeFlags::AT_RECURSIVE)
}

fn clone_flags() -> OpenTreeFlags {
    let look = OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_SYMLINK_NOFOLLOW;
    OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | look
}

/// Takes set-user-ID, devices and programs away from a mount, for good.
pub fn restrict(mount: impl AsFd) -> Result<()> {
    /// `struct mount_attr` (include/uapi/linux/mount.h).
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        user_namespace: u64,
    }
    let set = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let attributes = MountAttr {
        set: set.bits().into(),
        clear: 0,
        propagation: 0,
        user_namespace: 0,
    };
    // SAFETY: a descriptor that lives, an empty path, and a struct of the size that is said.
    let done = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const attributes,
            size_of::<MountAttr>(),
        )
    };
    match done {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// Attaches the detached `mount` to the directory or file `target`.
pub fn attach(mount: BorrowedFd<'_>, target: impl AsFd) -> Result<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", flags)
}

/// The attributes of the mount that `options` ask for.
pub fn attributes(options: &Options) -> MountAttrFlags {
    let mut attributes = atime_attributes(options);
    attributes.set(MountAttrFlags::MOUNT_ATTR_RDONLY, options.read_only);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSUID, !options.suid);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODEV, !options.dev);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, !options.exec);
    attributes.set(MountAttrFlags::MOUNT_ATTR_NOSYMFOLLOW, !options.symfollow);
    attributes
}

/// Those of them that say when reading moves an access time.
pub fn atime_attributes(options: &Options) -> MountAttrFlags {
    let mut attributes = match options.atime {
        Atime::Relative => MountAttrFlags::MOUNT_ATTR_RELATIME,
        Atime::Strict => MountAttrFlags::MOUNT_ATTR_STRICTATIME,
        Atime::Never => MountAttrFlags::MOUNT_ATTR_NOATIME,
    };
    attributes.set(MountAttrFlags::MOUNT_ATTR_NODIRATIME, options.nodiratime);
    attributes
}
