//! The calls of the decision table.

use crate::calls::{Call, Descriptor, Ids, Times, XATTR};

/// Open flags of each kind.
fn open_flags() -> Vec<i32> {
    use libc::*;
    let more = [
        0,
        O_TRUNC,
        O_APPEND,
        O_CREAT,
        O_CREAT | O_EXCL,
        O_CREAT | O_TRUNC,
        O_CREAT | O_APPEND,
        O_NOFOLLOW,
        O_NONBLOCK,
    ];
    let mut all: Vec<i32> = Vec::new();
    for access in [O_RDONLY, O_WRONLY, O_RDWR] {
        all.extend(more.iter().map(|more| access | more));
    }
    all.extend([O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_DIRECTORY]);
    all.extend([O_TMPFILE | O_RDWR, O_TMPFILE | O_WRONLY]);
    all
}

/// Calls with one name, for whatever is there.
pub(super) fn by_name() -> Vec<Call> {
    use Call::*;
    let mut all = vec![
        Stat,
        Statx,
        Truncate,
        Chmod,
        Chown(Ids::Same),
        Chown(Ids::Neither),
        Utimes(Times::Now),
        Utimes(Times::Given),
        Utimes(Times::HalfNow),
        RemoveXattr(XATTR),
        GetXattr(XATTR),
        GetXattr("trusted.x"),
        GetXattr("system.posix_acl_access"),
        ListXattr,
        Unlink,
        Rmdir,
        Mkdir,
        Symlink,
        Bind,
        Readlink,
        ReadDir,
    ];
    all.extend([libc::F_OK, libc::R_OK, libc::W_OK, libc::X_OK].map(Access));
    all.extend(open_flags().into_iter().map(Open));
    all.extend(
        [
            "user.k2",
            "trusted.x",
            "security.x",
            "security.capability",
            "system.posix_acl_access",
            "system.posix_acl_default",
            "system.unknown",
            "unknown.x",
        ]
        .map(SetXattr),
    );
    let kinds = [
        libc::S_IFREG,
        libc::S_IFIFO,
        libc::S_IFSOCK,
        libc::S_IFCHR,
        libc::S_IFBLK,
    ];
    all.extend(kinds.map(Mknod));
    for flags in [
        libc::O_RDONLY,
        libc::O_WRONLY,
        libc::O_RDWR,
        libc::O_RDONLY | libc::O_TRUNC,
    ] {
        all.extend([Reopen(flags), Handle(flags)]);
    }
    all
}

/// Calls that open a file and go on by its descriptor.
pub(super) fn by_descriptor() -> Vec<Call> {
    use libc::*;
    let mut all = Vec::new();
    let both = PROT_READ | PROT_WRITE;
    for flags in [O_RDONLY, O_WRONLY, O_RDWR, O_WRONLY | O_APPEND, O_PATH] {
        let mut then = vec![
            Descriptor::Fstat,
            Descriptor::Read,
            Descriptor::Write,
            Descriptor::Ftruncate,
            Descriptor::Fallocate(0),
            Descriptor::Fallocate(FALLOC_FL_KEEP_SIZE),
            Descriptor::Fallocate(FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE),
            Descriptor::CopyTo,
            Descriptor::CopyFrom,
            Descriptor::Fchmod,
            Descriptor::EmptyPathChmod,
            Descriptor::Fchown,
            Descriptor::Fsetxattr,
            Descriptor::Fgetxattr,
            Descriptor::Seek(SEEK_DATA),
            Descriptor::Seek(SEEK_HOLE),
            Descriptor::Fsync,
        ];
        then.extend([Times::Now, Times::Given, Times::HalfNow].map(Descriptor::Futimes));
        for shared in [true, false] {
            let prots = [PROT_READ, PROT_WRITE, both, PROT_EXEC | PROT_READ];
            then.extend(prots.map(|prot| Descriptor::Mmap { prot, shared }));
            then.extend(prots.map(|prot| Descriptor::Mprotect { prot, shared }));
        }
        then.extend([LOCK_SH, LOCK_EX].map(Descriptor::Flock));
        for ofd in [false, true] {
            let kinds = [F_RDLCK, F_WRLCK];
            then.extend(kinds.map(|kind| Descriptor::Lock { kind, ofd }));
        }
        let again = [
            O_RDONLY,
            O_WRONLY,
            O_RDWR,
            O_RDONLY | O_TRUNC,
            O_RDWR | O_APPEND,
        ];
        then.extend(again.map(Descriptor::Reopen));
        all.extend(then.into_iter().map(|then| Call::By(flags, then)));
    }
    all
}
