//! The operations, and how they are chosen: few names, so that they meet.

use crate::consts::*;
use crate::rng::Rng;

/// A path from the root of the tree, with few names and little depth.
pub(crate) type Name = String;

/// One operation. Slots are open descriptors.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Open {
        path: Name,
        flags: i32,
        mode: u32,
        slot: usize,
    },
    Close {
        slot: usize,
    },
    Write {
        slot: usize,
        len: usize,
        byte: u8,
    },
    Pwrite {
        slot: usize,
        at: i64,
        len: usize,
        byte: u8,
    },
    Pread {
        slot: usize,
        at: i64,
        len: usize,
    },
    Seek {
        slot: usize,
        at: i64,
        whence: i32,
    },
    Ftruncate {
        slot: usize,
        len: i64,
    },
    Fallocate {
        slot: usize,
        mode: i32,
        at: i64,
        len: i64,
    },
    Fchmod {
        slot: usize,
        mode: u32,
    },
    Fsync {
        slot: usize,
    },
    Copy {
        from: usize,
        at: i64,
        to: usize,
        to_at: i64,
        len: usize,
    },
    Store {
        slot: usize,
        at: usize,
        len: usize,
    },
    Mkdir {
        path: Name,
        mode: u32,
    },
    Rmdir {
        path: Name,
    },
    Unlink {
        path: Name,
    },
    Rename {
        from: Name,
        to: Name,
        flags: u32,
    },
    Link {
        from: Name,
        to: Name,
    },
    Symlink {
        target: Name,
        path: Name,
    },
    Mknod {
        path: Name,
        mode: u32,
    },
    Chmod {
        path: Name,
        mode: u32,
    },
    Chown {
        path: Name,
        uid: u32,
        gid: u32,
    },
    Truncate {
        path: Name,
        len: i64,
    },
    Utimens {
        path: Name,
        times: [(i64, i64); 2],
        nofollow: bool,
    },
    Setxattr {
        path: Name,
        name: &'static str,
        len: usize,
        flags: i32,
    },
    Removexattr {
        path: Name,
        name: &'static str,
    },
    SetAcl {
        path: Name,
        default: bool,
        text: &'static str,
    },
    Umask {
        mask: u32,
    },
    User {
        uid: u32,
    },
}

const DIRS: [&str; 6] = ["", "", "a/", "b/", "a/c/", "l/"];
const NAMES: [&str; 6] = ["a", "b", "c", "f", "g", "l"];
const SIZES: [i64; 10] = [1, 10, 100, 4095, 4096, 4097, 8192, 10_000, 20_000, 70_000];
const MODES: [u32; 10] = [
    0o644, 0o600, 0o755, 0o777, 0o444, 0, 0o4755, 0o2755, 0o6711, 0o1777,
];
const XATTRS: [&str; 5] = ["user.a", "user.bb", "trusted.t", "security.s", "nonsense.x"];
const ACLS: [&str; 7] = [
    "u::rwx,g::r-x,o::r-x",
    "u::rw-,g::r--,o::---",
    "u::rwx,u:1000:rwx,g::r-x,m::rwx,o::---",
    "u::rw-,u:1001:r--,g::r--,g:1000:rw-,m::rw-,o::r--",
    "u::r-x,u:1000:---,g::rwx,m::--x,o::rwx",
    "u::rwx,g::rwx,m::r--,o::---",
    "u::rwx,u:1000:rwx,g::r-x,o::---",
];
const FLAGS: [i32; 10] = [
    O_RDWR | O_CREAT,
    O_RDWR | O_CREAT | O_EXCL,
    O_RDWR | O_CREAT | O_TRUNC,
    O_WRONLY | O_CREAT | O_APPEND,
    O_RDONLY,
    O_RDWR,
    O_WRONLY,
    O_RDONLY | O_DIRECTORY,
    O_RDWR | O_NOFOLLOW,
    O_PATH,
];

fn path(rng: &mut Rng) -> Name {
    format!("{}{}", rng.pick(&DIRS), rng.pick(&NAMES))
}

fn size(rng: &mut Rng) -> i64 {
    rng.pick(&SIZES)
}

fn time(rng: &mut Rng) -> (i64, i64) {
    let seconds = [
        0,
        1,
        -1,
        1_000_000_000,
        -315_619_200,
        16_725_225_600,
        1 << 31,
    ];
    let nanoseconds = [0, 1, 999_999_999, 500_000_000, UTIME_NOW, UTIME_OMIT];
    (rng.pick(&seconds), rng.pick(&nanoseconds))
}

impl Op {
    /// The next operation. `cached`: without what the page cache is listed to do otherwise.
    pub(crate) fn random(rng: &mut Rng, cached: bool) -> Op {
        match rng.below(100) {
            0..42 => Op::by_descriptor(rng, cached),
            42..80 => Op::by_path(rng),
            _ => Op::of_attributes(rng),
        }
    }

    fn by_descriptor(rng: &mut Rng, cached: bool) -> Op {
        let slot = rng.below(5);
        let at = if rng.below(2) == 0 { 0 } else { size(rng) };
        match rng.below(20) {
            0..6 => Op::Open {
                path: path(rng),
                flags: rng.pick(&FLAGS),
                mode: rng.pick(&MODES),
                slot,
            },
            6 => Op::Close { slot },
            7 | 8 => Op::Write {
                slot,
                len: size(rng) as usize,
                byte: rng.next() as u8,
            },
            9 | 10 => Op::Pwrite {
                slot,
                at,
                len: size(rng) as usize,
                byte: rng.next() as u8,
            },
            11 => Op::Pread {
                slot,
                at,
                len: size(rng) as usize,
            },
            12 => Op::Seek {
                slot,
                at,
                whence: rng.pick(&[SEEK_SET, SEEK_END, SEEK_CUR, SEEK_DATA, SEEK_HOLE]),
            },
            13 => Op::Ftruncate {
                slot,
                len: if rng.below(4) == 0 { 0 } else { size(rng) },
            },
            14 | 15 => Op::Fallocate {
                slot,
                mode: fallocate_mode(rng),
                at,
                len: size(rng),
            },
            16 => Op::Fchmod {
                slot,
                mode: rng.pick(&MODES),
            },
            17 => Op::Copy {
                from: slot,
                at,
                to: rng.below(5),
                to_at: size(rng),
                len: size(rng) as usize,
            },
            18 if !cached => Op::Store {
                slot,
                at: size(rng) as usize,
                len: size(rng) as usize,
            },
            _ => Op::Fsync { slot },
        }
    }

    fn by_path(rng: &mut Rng) -> Op {
        let path = path(rng);
        match rng.below(16) {
            0 | 1 => Op::Mkdir {
                path,
                mode: rng.pick(&MODES),
            },
            2 => Op::Rmdir { path },
            3 | 4 => Op::Unlink { path },
            5..9 => Op::Rename {
                from: path,
                to: self::path(rng),
                flags: rename_flags(rng),
            },
            9 | 10 => Op::Link {
                from: path,
                to: self::path(rng),
            },
            11 | 12 => Op::Symlink {
                target: rng.pick(&["a", "f", "../f", "none", "a/c"]).into(),
                path,
            },
            13 => Op::Mknod {
                path,
                mode: rng.pick(&[S_IFIFO, S_IFSOCK, S_IFREG, S_IFCHR]) | rng.pick(&MODES),
            },
            _ => Op::Truncate {
                path,
                len: size(rng),
            },
        }
    }

    fn of_attributes(rng: &mut Rng) -> Op {
        let path = path(rng);
        match rng.below(16) {
            0..3 => Op::Chmod {
                path,
                mode: rng.pick(&MODES),
            },
            // Not both −1: what that does to setuid files is in the list of differences.
            3 | 4 => Op::Chown {
                path,
                uid: rng.pick(&[0, 1000, 1001]),
                gid: rng.pick(&[0, 1000, 1001, u32::MAX]),
            },
            5 | 6 => Op::Utimens {
                path,
                times: [time(rng), time(rng)],
                nofollow: rng.below(2) == 0,
            },
            7..10 => {
                let flags = rng.pick(&[0, 0, XATTR_CREATE, XATTR_REPLACE]);
                Op::Setxattr {
                    path,
                    name: rng.pick(&XATTRS),
                    len: rng.pick(&[0, 1, 300, 5_000]),
                    flags,
                }
            }
            10 => Op::Removexattr {
                path,
                name: rng.pick(&XATTRS),
            },
            11 | 12 => Op::SetAcl {
                path,
                default: rng.below(2) == 0,
                text: rng.pick(&ACLS),
            },
            13 => Op::Umask {
                mask: rng.pick(&[0, 0o022, 0o077, 0o027]),
            },
            _ => Op::User {
                uid: rng.pick(&[0, 0, 1000, 1001]),
            },
        }
    }
}

fn fallocate_mode(rng: &mut Rng) -> i32 {
    let punch = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    rng.pick(&[
        0,
        FALLOC_FL_KEEP_SIZE,
        punch,
        punch,
        FALLOC_FL_COLLAPSE_RANGE,
    ])
}

fn rename_flags(rng: &mut Rng) -> u32 {
    rng.pick(&[
        0,
        0,
        0,
        0,
        RENAME_NOREPLACE,
        RENAME_EXCHANGE,
        RENAME_WHITEOUT,
    ])
}
