//! XNU (macOS, iOS): the kernel's table, the exact bytes of the name, and few of them.

use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

/// `PSHMNAMLEN` and `PSEMNAMLEN`.
const NAMLEN: usize = 31;

/// `pshm_get_name` since 4903.270.
#[derive(Debug)]
struct Xnu;

impl NameScheme for Xnu {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() > NAMLEN {
            return refuse(Errno::ENAMETOOLONG);
        }
        if name.is_empty() {
            refuse(Errno::EINVAL)
        } else {
            Ok(Place::Key(name.to_vec()))
        }
    }

    /// shm_unlink makes EINVAL of every error of the name.
    fn unlink(&self, name: &[u8]) -> Answer {
        self.open(name).or(refuse(Errno::EINVAL))
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The NUL is counted, and no name is too short.
#[derive(Debug)]
struct Old;

impl NameScheme for Old {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() >= NAMLEN {
            refuse(Errno::ENAMETOOLONG)
        } else {
            Ok(Place::Key(name.to_vec()))
        }
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

pub(super) const XNU: Scheme = Scheme {
    key: "xnu",
    platform: "xnu",
    title: "XNU 4903.270 and later, macOS 10.14.6",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Kernel,
    limit: "name of 31 bytes",
    reversible: Reversible::Exact,
    semaphores: None,
    source: "XNU bsd/kern/posix_shm.c",
    file_system: FileSystem::BSD,
    rules: &Xnu,
};

pub(super) const XNU_OLD: Scheme = Scheme {
    key: "xnu-old",
    platform: "xnu-old",
    title: "XNU before 4903.270",
    age: Age::Past,
    limit: "name of 30 bytes",
    source: "XNU 123.5 to 4903.241.1 bsd/kern/posix_shm.c",
    rules: &Old,
    ..XNU
};

pub(super) const XNU_SEM: Scheme = Scheme {
    key: "xnu-sem",
    title: "XNU, macOS",
    kind: Kind::Semaphore,
    limit: "name of 30 bytes",
    source: "XNU bsd/kern/posix_sem.c",
    rules: &Old,
    ..XNU
};
