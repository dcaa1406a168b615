//! Where shmfs differs from tmpfs, each with what forces it: the source of the
//! exceptions in docs/SEMANTICS.md. A listed case asserts the different result.

use libtest_mimic::Failed;

use crate::table::{Case, Differs, PAGE_CACHE, SHMFS, Target};

/// The whole list.
pub(crate) const DIFFERS: &[Differs] = &[
    // What FUSE has no way to say.
    Differs {
        case: "open::tmpfile",
        targets: SHMFS,
        why: "fuser 0.18 has no method for FUSE_TMPFILE",
        expect: "EOPNOTSUPP, as of any file system without it",
    },
    Differs {
        case: "misc::statx_birth",
        targets: SHMFS,
        why: "fuser 0.18 has no method for FUSE_STATX",
        expect: "statx gives no birth time",
    },
    Differs {
        case: "misc::fstatfs_type",
        targets: SHMFS,
        why: "the kernel fills in f_type",
        expect: "FUSE_SUPER_MAGIC",
    },
    Differs {
        case: "misc::seals_are_refused",
        targets: SHMFS,
        why: "the kernel looks for seals in tmpfs and hugetlbfs files alone",
        expect: "F_GET_SEALS and F_ADD_SEALS fail with EINVAL",
    },
    Differs {
        case: "misc::ioctl_flags",
        targets: SHMFS,
        why: "flags that nobody would enforce are not kept",
        expect: "FS_IOC_GETFLAGS fails with ENOTTY",
    },
    Differs {
        case: "misc::immutable_flag",
        targets: SHMFS,
        why: "the flag of an inode that the kernel would enforce does not travel over FUSE",
        expect: "FS_IOC_SETFLAGS fails with ENOTTY",
    },
    Differs {
        case: "special::epoll_regular",
        targets: SHMFS,
        why: "FUSE files have a poll method, so the kernel lets epoll take them",
        expect: "EPOLL_CTL_ADD of a regular file succeeds; it is always ready",
    },
    Differs {
        case: "fallocate::seek_of_directory",
        targets: SHMFS,
        why: "the kernel seeks in FUSE directories by itself",
        expect: "lseek of a directory takes SEEK_DATA and SEEK_HOLE",
    },
    Differs {
        case: "quotas::truncate_may_exceed",
        targets: SHMFS,
        why: "a store through a mapping has nobody to ask, so a user pays for the logical size",
        expect: "growth beyond uid_size fails with EDQUOT at once, not with SIGBUS later",
    },
    Differs {
        case: "quotas::hole_gives_back",
        targets: SHMFS,
        why: "a hole below the size can fill again by a store that nobody sees",
        expect: "only holes beyond the size give back what a user is charged with",
    },
    Differs {
        case: "readdir::lseek_to_the_end",
        targets: SHMFS,
        why: "the kernel seeks in FUSE directories by itself",
        expect: "lseek of a directory takes SEEK_END",
    },
    Differs {
        case: "acl::largest",
        targets: SHMFS,
        why: "the kernel asks FUSE for an ACL with a buffer of one page",
        expect: "an ACL of more than 4096 bytes (511 entries) is refused with E2BIG",
    },
    Differs {
        case: "xattr::total_of_list",
        targets: SHMFS,
        why: "the kernel cuts the size that FUSE reports to 64 KiB",
        expect: "listxattr with size 0 never says more than 65536; the list itself fails with E2BIG alike",
    },
    Differs {
        case: "times::truncate_empty_to_zero_by_path",
        targets: SHMFS,
        why: "over FUSE it looks the same as the truncation of open(O_TRUNC), which moves the times",
        expect: "truncate(path, 0) of an empty file moves mtime and ctime",
    },
    Differs {
        case: "atime::fifo_times",
        targets: SHMFS,
        why: "the kernel tells FUSE nothing of reads and writes of a FIFO",
        expect: "they move none of the FIFO's times",
    },
    Differs {
        case: "atime::read_nothing",
        targets: SHMFS,
        why: "the kernel answers a read of 0 bytes by itself",
        expect: "it does not move atime",
    },
    Differs {
        case: "suid::chown_nothing_by_writers",
        targets: SHMFS,
        why: "over FUSE it looks the same as the write of a setuid file through a backing file",
        expect: "chown(path, -1, -1) of a setuid file by one who may write to it clears the bits instead of EPERM",
    },
    Differs {
        case: "suid::zero_range_by_user",
        targets: SHMFS,
        why: "the kernel clears the bits before it asks FUSE",
        expect: "fallocate(FALLOC_FL_ZERO_RANGE), refused with EOPNOTSUPP, has cleared setuid and setgid as a write would",
    },
    // Only where data is in the page cache.
    Differs {
        case: "atime::read_at_the_end",
        targets: PAGE_CACHE,
        why: "the kernel answers a read past the end by itself",
        expect: "it does not move atime",
    },
    Differs {
        case: "atime::relatime_read_again",
        targets: PAGE_CACHE,
        why: "the kernel answers a read from its page cache by itself",
        expect: "it does not move atime; the first read, which shmfs answers, does",
    },
    Differs {
        case: "atime::relatime_after_chmod",
        targets: PAGE_CACHE,
        why: "the kernel answers a read from its page cache by itself",
        expect: "it does not move atime",
    },
    Differs {
        case: "atime::strictatime_mount",
        targets: PAGE_CACHE,
        why: "the kernel answers a read from its page cache by itself",
        expect: "it does not move atime, not even with strictatime",
    },
    Differs {
        case: "times::mapped_store_without_msync",
        targets: PAGE_CACHE,
        why: "a store reaches shmfs when the kernel writes the page back",
        expect: "mtime and ctime move at msync, munmap, close or later, not at the store",
    },
    Differs {
        case: "times::mapped_second_store",
        targets: PAGE_CACHE,
        why: "a page that was written back is protected again, and the next store is written back too",
        expect: "each store after an msync moves mtime and ctime; on tmpfs only the first",
    },
    Differs {
        case: "fallocate::seek_sees_mapped",
        targets: PAGE_CACHE,
        why: "the kernel does not write back before it asks for attributes",
        expect: "st_blocks sees what a mapping stored only after msync or SEEK_DATA",
    },
    Differs {
        case: "fallocate::seek_sees_loaded",
        targets: PAGE_CACHE,
        why: "pages that were never stored to are never written back",
        expect: "a hole that a mapping has loaded from is a hole still; on tmpfs it is data",
    },
    Differs {
        case: "mmap::mlock_pages",
        targets: PAGE_CACHE,
        why: "pages that were never stored to are never written back",
        expect: "st_blocks does not count them; mlock itself works",
    },
    Differs {
        case: "mmap::populate",
        targets: PAGE_CACHE,
        why: "pages that were never stored to are never written back",
        expect: "st_blocks does not count pages that MAP_POPULATE made",
    },
    Differs {
        case: "limits::sparse_takes_no_blocks",
        targets: PAGE_CACHE,
        why: "an object reserves its logical size, so that a store through a mapping is never lost",
        expect: "statfs counts the size of a sparse object as used; its st_blocks stays tmpfs's",
    },
    Differs {
        case: "limits::truncate_may_exceed",
        targets: PAGE_CACHE,
        why: "an object reserves its logical size",
        expect: "growing beyond what is free fails with ENOSPC at once",
    },
    Differs {
        case: "limits::mapped_store_over_limit",
        targets: PAGE_CACHE,
        why: "an object reserves its logical size",
        expect: "ENOSPC from ftruncate instead of SIGBUS at the store",
    },
    Differs {
        case: "limits::punch_frees",
        targets: PAGE_CACHE,
        why: "an object reserves its logical size",
        expect: "a hole's blocks stay reserved until the object shrinks",
    },
    Differs {
        case: "truncate::sparse_huge",
        targets: PAGE_CACHE,
        why: "an object reserves its logical size",
        expect: "a sparse object larger than what is free is refused with ENOSPC",
    },
    Differs {
        case: "truncate::largest_size",
        targets: PAGE_CACHE,
        why: "an object reserves its logical size",
        expect: "a sparse object larger than what is free is refused with ENOSPC",
    },
];

/// The entry for a case on a target.
pub(crate) fn find(case: &Case, target: Target) -> Option<&'static Differs> {
    let name = format!("{}::{}", case.group, case.name);
    DIFFERS
        .iter()
        .find(|d| d.case == name && d.targets.contains(&target))
}

/// Every entry names a case that exists, once, and says why and what.
pub(crate) fn check() -> Result<(), Failed> {
    for differs in DIFFERS {
        let named =
            crate::cases::all().filter(|c| format!("{}::{}", c.group, c.name) == differs.case);
        if named.count() != 1 {
            return Err(format!("{} is no case, or more than one", differs.case).into());
        }
        if differs.why.is_empty()
            || differs.expect.is_empty()
            || differs.targets.iter().any(|t| t.is_tmpfs())
        {
            return Err(format!("{}: say why and what, and never of tmpfs", differs.case).into());
        }
    }
    Ok(())
}
