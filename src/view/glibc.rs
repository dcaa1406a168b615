//! The GNU C library on Linux and the Hurd: `/dev/shm/`, all leading slashes stripped.
//!
//! The versions differ in what they call too long, and in the errno for it. Versions 2.2 to 2.33 also
//! look for a tmpfs and pass by a FUSE file system; that concerns the mount, not the name.

use super::file_system::{FileSystem, NAME_MAX};
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use super::{concat, strip_slashes};
use crate::errno::Errno;

const DEV_SHM: &str = "/dev/shm/";
/// `sem_open` puts this before the body.
const SEM: &str = "sem.";
const SEM_PREFIX: &str = "/dev/shm/sem.";

#[derive(Debug)]
struct Glibc {
    prefix: &'static str,
    slashes: Slashes,
    /// The longest body that the library lets pass, and its answer to a longer one.
    longest: Option<(usize, Errno)>,
}

#[derive(Debug, PartialEq)]
enum Slashes {
    Refused,
    Pass,
}

impl NameScheme for Glibc {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.is_empty() || (self.slashes == Slashes::Refused && body.contains(&b'/')) {
            return refuse(Errno::EINVAL);
        }
        match self.longest {
            Some((longest, errno)) if body.len() > longest => refuse(errno),
            Some(_) | None => Ok(Place::Path(concat(self.prefix.as_bytes(), body))),
        }
    }

    /// Every error of the name is ENOENT here, an over-long one too.
    fn unlink(&self, name: &[u8]) -> Answer {
        self.open(name).or(refuse(Errno::ENOENT))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(self.prefix.as_bytes())?))
    }
}

const fn shm(longest: usize, errno: Errno) -> Glibc {
    Glibc {
        prefix: DEV_SHM,
        slashes: Slashes::Refused,
        longest: Some((longest, errno)),
    }
}

const fn sem(longest: usize, errno: Errno) -> Glibc {
    Glibc {
        prefix: SEM_PREFIX,
        slashes: Slashes::Refused,
        longest: Some((longest, errno)),
    }
}

pub(super) const GLIBC: Scheme = Scheme {
    key: "glibc",
    platform: "glibc",
    title: "GNU C library 2.43 and later, Linux",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(DEV_SHM),
    limit: "body of 255 bytes",
    reversible: Reversible::Spelling,
    semaphores: Some("glibc-sem"),
    source: "glibc posix/shm-directory.c, rt/shm_open.c, rt/shm_unlink.c",
    file_system: FileSystem::LINUX_EINVAL,
    rules: &shm(NAME_MAX, Errno::ENAMETOOLONG),
};

// 4 bytes more than a file name holds: the buffer has room for "sem.".
pub(super) const GLIBC_2_38: Scheme = Scheme {
    key: "glibc-2.38",
    platform: "glibc-2.38",
    title: "GNU C library 2.38 to 2.42, Linux",
    age: Age::Past,
    semaphores: Some("glibc-2.38-sem"),
    rules: &shm(NAME_MAX + SEM.len(), Errno::ENAMETOOLONG),
    ..GLIBC
};

pub(super) const GLIBC_2_34: Scheme = Scheme {
    key: "glibc-2.34",
    platform: "glibc-2.34",
    title: "GNU C library 2.34 to 2.37, Linux",
    semaphores: Some("glibc-2.34-sem"),
    rules: &shm(NAME_MAX + SEM.len(), Errno::EINVAL),
    ..GLIBC_2_38
};

pub(super) const GLIBC_2_21: Scheme = Scheme {
    key: "glibc-2.21",
    platform: "glibc-2.21",
    title: "GNU C library 2.21 to 2.33, Linux",
    limit: "body of 253 bytes",
    semaphores: Some("glibc-2.21-sem"),
    source: "glibc 2.21 to 2.33 sysdeps/posix/shm_open.c, shm-directory.h",
    rules: &shm(NAME_MAX - 2, Errno::EINVAL),
    ..GLIBC_2_38
};

// sem_open kept the rules of 2.18.
pub(super) const GLIBC_2_19: Scheme = Scheme {
    key: "glibc-2.19",
    platform: "glibc-2.19",
    title: "GNU C library 2.19 and 2.20, Linux",
    semaphores: Some("glibc-2.18-sem"),
    source: "glibc 2.19 and 2.20 sysdeps/unix/sysv/linux/shm_open.c",
    rules: &shm(NAME_MAX, Errno::EINVAL),
    ..GLIBC_2_38
};

pub(super) const GLIBC_2_18: Scheme = Scheme {
    key: "glibc-2.18",
    platform: "glibc-2.18",
    title: "GNU C library up to 2.18, Linux",
    limit: "path of 4095 bytes, components of 255",
    semaphores: Some("glibc-2.18-sem"),
    source: "glibc 2.18 sysdeps/unix/sysv/linux/shm_open.c",
    rules: &Glibc {
        prefix: DEV_SHM,
        slashes: Slashes::Pass,
        longest: None,
    },
    ..GLIBC_2_38
};

pub(super) const GLIBC_SEM: Scheme = Scheme {
    key: "glibc-sem",
    kind: Kind::Semaphore,
    limit: "body of 251 bytes",
    semaphores: None,
    source: "glibc sysdeps/pthread/sem_open.c, sem_unlink.c",
    file_system: FileSystem::LINUX,
    rules: &sem(NAME_MAX - SEM.len(), Errno::ENAMETOOLONG),
    ..GLIBC
};

pub(super) const GLIBC_2_38_SEM: Scheme = Scheme {
    key: "glibc-2.38-sem",
    platform: "glibc-2.38",
    title: GLIBC_2_38.title,
    age: Age::Past,
    rules: &sem(NAME_MAX, Errno::ENAMETOOLONG),
    ..GLIBC_SEM
};

pub(super) const GLIBC_2_34_SEM: Scheme = Scheme {
    key: "glibc-2.34-sem",
    platform: "glibc-2.34",
    title: GLIBC_2_34.title,
    rules: &sem(NAME_MAX, Errno::EINVAL),
    ..GLIBC_2_38_SEM
};

// The prefix is not counted here, so the kernel refuses bodies of 252 and 253 bytes.
pub(super) const GLIBC_2_21_SEM: Scheme = Scheme {
    key: "glibc-2.21-sem",
    platform: "glibc-2.21",
    title: GLIBC_2_21.title,
    source: "glibc 2.21 to 2.33 nptl/sem_open.c",
    rules: &sem(NAME_MAX - 2, Errno::EINVAL),
    ..GLIBC_2_38_SEM
};

pub(super) const GLIBC_2_18_SEM: Scheme = Scheme {
    key: "glibc-2.18-sem",
    platform: "glibc-2.18",
    title: "GNU C library up to 2.20, Linux",
    limit: GLIBC_2_18.limit,
    source: "glibc 2.18 nptl/sem_open.c",
    rules: &Glibc {
        prefix: SEM_PREFIX,
        slashes: Slashes::Pass,
        longest: None,
    },
    ..GLIBC_2_38_SEM
};

pub(super) const HURD: Scheme = Scheme {
    key: "hurd",
    platform: "hurd",
    title: "GNU C library 2.43 and later, GNU Hurd",
    ..GLIBC
};
