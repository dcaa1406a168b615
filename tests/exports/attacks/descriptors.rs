//! Attempts by a descriptor that was opened for reading, or for writing alone.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use super::{Cell, LENGTH, PUBLIC, no_secret, uring};
use crate::calls::{Call, proc_link, reopen};
use crate::proc::mmap;
use crate::sys::{self, EACCES, EBADF, EEXIST, EINVAL, EPERM, ETXTBSY, R, fails};
use crate::syscall;

pub(super) fn read_only(jail: &Path) -> OwnedFd {
    sys::open(jail.join("ro"), libc::O_RDONLY).expect("open what may be read")
}

/// Fails unless it is refused with one of these.
#[track_caller]
pub(super) fn refused<T: std::fmt::Debug>(result: R<T>, with: &[sys::E]) {
    match result {
        Ok(got) => panic!("succeeded with {got:?}"),
        Err(errno) => assert!(with.contains(&errno), "{errno:?} and not one of {with:?}"),
    }
}

pub(super) fn write_calls(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        fails(sys::write(&file, b"x"), EBADF);
        fails(sys::pwrite(&file, b"x", 0), EBADF);
        let part = libc::iovec {
            iov_base: b"x".as_ptr().cast_mut().cast(),
            iov_len: 1,
        };
        for flags in [
            0,
            libc::RWF_APPEND,
            libc::RWF_DSYNC,
            0x20, /* RWF_NOAPPEND */
        ] {
            // SAFETY: one part of one byte.
            let written = unsafe { libc::pwritev2(file.as_raw_fd(), &raw const part, 1, 0, flags) };
            fails(sys::check(written), EBADF);
        }
    });
}

pub(super) fn shrinking_and_growing(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        for length in [0, 1, 1 << 20] {
            fails(sys::ftruncate(&file, length), EINVAL);
            fails(sys::truncate(jail.join("ro"), length), EACCES);
            fails(sys::truncate(proc_link(&file), length), EACCES);
        }
        let keep = libc::FALLOC_FL_KEEP_SIZE;
        let modes = [
            0,
            keep,
            keep | libc::FALLOC_FL_PUNCH_HOLE,
            libc::FALLOC_FL_ZERO_RANGE,
        ];
        for mode in modes {
            fails(sys::fallocate(&file, mode, 0, 1 << 20), EBADF);
        }
    });
}

pub(super) fn copies_into_it(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        let from = sys::open(jail.join("rw"), libc::O_RDONLY).unwrap();
        let (to, source) = (file.as_raw_fd(), from.as_raw_fd());
        let null = std::ptr::null_mut::<i64>();
        // SAFETY: null offsets are allowed.
        unsafe {
            let copied = libc::copy_file_range(source, null, to, null, 100, 0);
            fails(sys::check(copied), EBADF);
            fails(sys::check(libc::sendfile(to, source, null, 100)), EBADF);
            let (reader, writer) = rustix::pipe::pipe().unwrap();
            assert_eq!(sys::write(&writer, b"attack"), Ok(6));
            let spliced = libc::splice(reader.as_raw_fd(), null, to, null, 6, 0);
            fails(sys::check(spliced), EBADF);
        }
        // FICLONE: no reflinks here, whatever the rights.
        let cloned = syscall!(libc::SYS_ioctl, to, 0x4004_9409u64, source);
        refused(cloned, &[EBADF, sys::EOPNOTSUPP, sys::ENOTTY, sys::EXDEV]);
    });
}

/// Flags that would write.
pub(super) const WRITING: [i32; 6] = [
    libc::O_RDWR,
    libc::O_WRONLY,
    libc::O_RDONLY | libc::O_TRUNC,
    libc::O_RDWR | libc::O_APPEND,
    libc::O_WRONLY | libc::O_TRUNC,
    libc::O_ACCMODE,
];

pub(super) fn reopening_by_proc(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        for flags in WRITING {
            let again = reopen(&file, flags);
            assert!(again.is_err(), "opened again with {flags:#o}");
            let number = file.as_raw_fd();
            for process in ["thread-self".to_owned(), std::process::id().to_string()] {
                let link = format!("/proc/{process}/fd/{number}");
                refused(sys::open(link, flags), &[EACCES]);
            }
            refused(
                sys::open(format!("/dev/fd/{number}"), flags),
                &[EACCES, sys::ENOENT],
            );
        }
        reopen(&file, libc::O_RDONLY).expect("for reading it is opened again");
    });
}

pub(super) fn reopening_a_path_descriptor(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = sys::open(jail.join("ro"), libc::O_PATH).unwrap();
        for flags in WRITING {
            refused(reopen(&file, flags), &[EACCES]);
        }
        fails(sys::ftruncate(&file, 0), EBADF);
        refused(sys::truncate(proc_link(&file), 0), &[EACCES]);
        fails(sys::chmod(proc_link(&file), 0o777), EPERM);
        fails(sys::setxattr(proc_link(&file), "user.k", b"x", 0), EACCES);
    });
}

pub(super) fn changed_flags(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        for flags in [
            libc::O_RDWR,
            libc::O_WRONLY | libc::O_APPEND,
            libc::O_DIRECT,
        ] {
            // The access mode is not among what F_SETFL changes.
            let _ = syscall!(libc::SYS_fcntl, file.as_raw_fd(), libc::F_SETFL, flags);
            fails(sys::write(&file, b"x"), EBADF);
        }
        let copy = file.try_clone().unwrap();
        fails(sys::write(&copy, b"x"), EBADF);
    });
}

pub(super) fn attributes_by_descriptor(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        fails(sys::fchmod(&file, 0o777), EPERM);
        fails(sys::fchown(&file, 1000, 1000), EPERM);
        fails(sys::fchown(&file, u32::MAX, 1000), EPERM);
        fails(sys::futimens(&file, [(1, 1), (1, 1)]), EPERM);
        for (first, second) in [(libc::UTIME_NOW, libc::UTIME_OMIT), (5, libc::UTIME_OMIT)] {
            let changed = sys::futimens(&file, [(1, first), (1, second)]);
            refused(changed, &[EPERM, EACCES]);
        }
        let now = [(0, libc::UTIME_NOW); 2];
        fails(sys::futimens(&file, now), EACCES);
        for name in ["user.k", "user.new", "security.capability", "trusted.k"] {
            let value = [0u8; 20];
            let refusal = sys::setxattr(proc_link(&file), name, &value, 0);
            refused(refusal, &[EACCES, EPERM, EINVAL]);
        }
        fails(sys::removexattr(jail.join("ro"), "user.k"), EACCES);
    });
}

/// chattr's way to change a file that is not open for writing.
pub(super) fn inode_flags(cell: &mut Cell) {
    const SETFLAGS: u64 = 0x4008_6602;
    const FSSETXATTR: u64 = 0x401c_5820;
    cell.attack(|jail| {
        let file = read_only(jail);
        let (flags, extended) = ([0x10u64 /* immutable */], [0x8u8; 28]);
        let known = [
            sys::ENOTTY,
            sys::EOPNOTSUPP,
            EPERM,
            EACCES,
            EINVAL,
            sys::ENOSYS,
        ];
        refused(
            syscall!(libc::SYS_ioctl, file.as_raw_fd(), SETFLAGS, flags.as_ptr()),
            &known,
        );
        let set = syscall!(
            libc::SYS_ioctl,
            file.as_raw_fd(),
            FSSETXATTR,
            extended.as_ptr()
        );
        refused(set, &known);
    });
    // Nothing became immutable.
    drop(sys::open(cell.world.path("ro"), libc::O_RDWR).expect("the provider's"));
}

pub(super) fn seals(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        let all = libc::F_SEAL_WRITE | libc::F_SEAL_SHRINK | libc::F_SEAL_GROW;
        for flags in [libc::O_RDONLY, libc::O_RDWR] {
            let name = if flags == libc::O_RDONLY { "ro" } else { "rw" };
            let other = sys::open(jail.join(name), flags).unwrap();
            // A data file may be a memfd: its seals are nobody's.
            let sealed = syscall!(libc::SYS_fcntl, other.as_raw_fd(), libc::F_ADD_SEALS, all);
            refused(sealed, &[EINVAL, EPERM]);
        }
        drop(file);
    });
    let rw = sys::open(cell.world.path("rw"), libc::O_RDWR).unwrap();
    sys::ftruncate(&rw, 1).expect("not sealed");
}

pub(super) fn leases_and_signals(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        let leased = syscall!(
            libc::SYS_fcntl,
            file.as_raw_fd(),
            libc::F_SETLEASE,
            libc::F_WRLCK
        );
        // A write lease on what is open elsewhere, or none at all.
        if leased.is_ok() {
            fails(sys::write(&file, b"x"), EBADF);
        }
    });
}

pub(super) fn truncation_by_open(cell: &mut Cell) {
    cell.attack(|jail| {
        for name in ["ro", "d/ro"] {
            for flags in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR] {
                for more in [0, libc::O_CREAT, libc::O_NOFOLLOW, libc::O_APPEND] {
                    let flags = flags | more | libc::O_TRUNC;
                    fails(sys::open(jail.join(name), flags), EACCES);
                }
            }
        }
    });
}

pub(super) fn creation_flags_on_what_is_there(cell: &mut Cell) {
    cell.attack(|jail| {
        for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY | libc::O_TRUNC] {
            fails(sys::open(jail.join("ro"), flags | libc::O_CREAT), EACCES);
            let exclusive = flags | libc::O_CREAT | libc::O_EXCL;
            fails(sys::open(jail.join("ro"), exclusive), EEXIST);
            for secret in ["secret", "d/secret"] {
                fails(sys::open(jail.join(secret), flags | libc::O_CREAT), EACCES);
                fails(sys::open(jail.join(secret), exclusive), EACCES);
            }
        }
        sys::open(jail.join("ro"), libc::O_RDONLY | libc::O_CREAT).expect("as without it");
    });
}

pub(super) fn chmod_and_then_open(cell: &mut Cell) {
    cell.attack(|jail| {
        let path = jail.join("ro");
        fails(sys::chmod(&path, 0o777), EPERM);
        fails(sys::chmod(&path, 0o4777), EPERM);
        for (uid, gid) in [(0, 0), (1000, 1000), (1000, u32::MAX)] {
            fails(sys::chown(&path, uid, gid), EPERM);
            fails(sys::lchown(&path, uid, gid), EPERM);
        }
        fails(sys::open(&path, libc::O_RDWR), EACCES);
    });
}

pub(super) fn acl_and_then_open(cell: &mut Cell) {
    // user::rwx, user:1000:rwx, group::rwx, mask::rwx, other::rwx.
    let mut acl = vec![2, 0, 0, 0];
    for (tag, id) in [
        (1u16, u32::MAX),
        (2, 1000),
        (4, u32::MAX),
        (0x10, u32::MAX),
        (0x20, u32::MAX),
    ] {
        acl.extend(tag.to_le_bytes());
        acl.extend(7u16.to_le_bytes());
        acl.extend(id.to_le_bytes());
    }
    cell.attack(|jail| {
        let path = jail.join("ro");
        let known = [EPERM, EACCES, sys::EOPNOTSUPP];
        refused(
            sys::setxattr(&path, "system.posix_acl_access", &acl, 0),
            &known,
        );
        let removed = sys::removexattr(&path, "system.posix_acl_access");
        refused(removed, &[EPERM, EACCES, sys::EOPNOTSUPP, sys::ENODATA]);
        fails(sys::open(&path, libc::O_RDWR), EACCES);
    });
}

/// Opening and writing by a kernel thread on our behalf.
pub(super) fn io_uring(cell: &mut Cell) {
    cell.attack(|jail| {
        let mut ring = uring::Ring::new().expect("io_uring: sysctl kernel.io_uring_disabled=0");
        let file = read_only(jail);
        let written = ring.write(file.as_raw_fd(), b"attack");
        assert_eq!(written, -libc::EBADF, "IORING_OP_WRITE");
        for flags in [libc::O_RDWR, libc::O_RDONLY | libc::O_TRUNC] {
            let opened = ring.open(&jail.join("ro"), flags);
            assert_eq!(opened, -libc::EACCES, "IORING_OP_OPENAT");
        }
        let opened = ring.open(&jail.join("secret"), libc::O_RDONLY);
        assert_eq!(opened, -libc::ENOENT, "IORING_OP_OPENAT of a secret");
    });
}

pub(super) fn a_write_only_descriptor_reads_nothing(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = sys::open(jail.join("wo"), libc::O_WRONLY).expect("open for writing");
        fails(sys::read(&file, 10), EBADF);
        fails(sys::pread(&file, 10, 0), EBADF);
        for kind in [libc::MAP_SHARED, libc::MAP_PRIVATE] {
            for prot in [libc::PROT_READ, libc::PROT_WRITE, libc::PROT_NONE] {
                fails(mmap(&file, LENGTH, prot, kind, 0).map(drop), EACCES);
            }
        }
        let target = sys::open(jail.join("rw-copy"), libc::O_RDWR | libc::O_CREAT).unwrap();
        let null = std::ptr::null_mut::<i64>();
        let (from, to) = (file.as_raw_fd(), target.as_raw_fd());
        // SAFETY: null offsets are allowed.
        unsafe {
            fails(
                sys::check(libc::copy_file_range(from, null, to, null, 100, 0)),
                EBADF,
            );
            fails(sys::check(libc::sendfile(to, from, null, 100)), EBADF);
            let (_reader, writer) = rustix::pipe::pipe().unwrap();
            let spliced = libc::splice(from, null, writer.as_raw_fd(), null, 100, 0);
            fails(sys::check(spliced), EBADF);
        }
        sys::unlink(jail.join("rw-copy")).unwrap();
    });
}

pub(super) fn a_write_only_object_is_not_reopened_readable(cell: &mut Cell) {
    cell.attack(|jail| {
        let path = jail.join("wo");
        for flags in [libc::O_RDONLY, libc::O_RDWR, libc::O_RDONLY | libc::O_CREAT] {
            fails(sys::open(&path, flags), EACCES);
        }
        let writer = sys::open(&path, libc::O_WRONLY).unwrap();
        let by_path = sys::open(&path, libc::O_PATH).unwrap();
        for flags in [libc::O_RDONLY, libc::O_RDWR] {
            fails(reopen(&writer, flags), EACCES);
            fails(reopen(&by_path, flags), EACCES);
        }
        fails(sys::getxattr(&path, "user.k"), EACCES);
        fails(sys::listxattr_len(&path, 100), EACCES);
        // chmod is a writer's, and does not make it a reader.
        let _ = sys::chmod(&path, 0o777);
        fails(sys::open(&path, libc::O_RDONLY), EACCES);
        fails(sys::link(&path, jail.join("rw-link")), EPERM);
        fails(sys::rename(&path, jail.join("rw-link")), EACCES);
        for call in [Call::Link, Call::LinkPath, Call::Rename(0)] {
            refused(call.run(jail, "wo", "ro-link"), &[EPERM, EACCES]);
        }
    });
}

/// What is spliced into a pipe is not a way back.
pub(super) fn pipes_hold_copies(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        let (reader, writer) = rustix::pipe::pipe().unwrap();
        let null = std::ptr::null_mut::<i64>();
        let mut offset = 0i64;
        // SAFETY: the offset is ours.
        let spliced = unsafe {
            let (from, to) = (file.as_raw_fd(), writer.as_raw_fd());
            libc::splice(from, &raw mut offset, to, null, 1, 0)
        };
        assert_eq!(sys::check(spliced), Ok(1));
        assert_eq!(sys::write(&writer, b"attack"), Ok(6));
        assert_eq!(sys::read(&reader, 100), Ok(b"Pattack".to_vec()));
        assert_eq!(sys::pread(&file, 7, 0), Ok(vec![PUBLIC; 7]));
    });
}

/// They may be asked of what may be read, and tell nothing but its own shape.
pub(super) fn extents_and_holes(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        assert_eq!(sys::lseek(&file, 0, libc::SEEK_DATA), Ok(0));
        assert_eq!(sys::lseek(&file, 0, libc::SEEK_HOLE), Ok(LENGTH as i64));
        // FS_IOC_FIEMAP with room for no extent.
        let mut ask = [0u64, u64::MAX, 0, 0];
        let known = [
            sys::EOPNOTSUPP,
            sys::ENOTTY,
            sys::ENOSYS,
            EINVAL,
            EACCES,
            EBADF,
            ETXTBSY,
        ];
        let asked = syscall!(
            libc::SYS_ioctl,
            file.as_raw_fd(),
            0xc020_660bu64,
            ask.as_mut_ptr()
        );
        if let Err(errno) = asked {
            assert!(known.contains(&errno), "{errno:?}");
        }
        no_secret(&sys::pread(&file, LENGTH, 0).unwrap());
    });
}
