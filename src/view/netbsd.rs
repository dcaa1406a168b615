//! NetBSD: `/var/shm/.shmobj_` and the body; semaphores are in the kernel.

use super::concat;
use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

const VAR_SHM: &str = "/var/shm/";
const PREFIX: &str = "/var/shm/.shmobj_";
/// The library's buffer for the path, NUL included.
const PATH_BUFFER: usize = 1024;
/// The longest name of a semaphore: `SEM_MAX_NAMELEN`.
const SEM_NAME_MAX: usize = 14;

/// `_shm_get_path`.
#[derive(Debug)]
struct Shm;

impl NameScheme for Shm {
    fn open(&self, name: &[u8]) -> Answer {
        let Some((b'/', body)) = name.split_first() else {
            return refuse(Errno::EINVAL);
        };
        if body.contains(&b'/') {
            return refuse(Errno::EINVAL);
        }
        let path = concat(PREFIX.as_bytes(), body);
        if path.len() >= PATH_BUFFER {
            refuse(Errno::ENAMETOOLONG)
        } else {
            Ok(Place::Path(path))
        }
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(PREFIX.as_bytes())?))
    }
}

/// `ksem_create`.
#[derive(Debug)]
struct Sem;

impl NameScheme for Sem {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() > SEM_NAME_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        match name.split_first() {
            Some((b'/', body)) if !body.is_empty() && !body.contains(&b'/') => {
                Ok(Place::Key(name.to_vec()))
            }
            Some(_) | None => refuse(Errno::EINVAL),
        }
    }

    /// No check but the length: an odd name is only absent.
    fn unlink(&self, name: &[u8]) -> Answer {
        if name.len() > SEM_NAME_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        self.open(name).or(refuse(Errno::ENOENT))
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

pub(super) const NETBSD: Scheme = Scheme {
    key: "netbsd",
    platform: "netbsd",
    title: "NetBSD",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(VAR_SHM),
    limit: "body of 247 bytes",
    reversible: Reversible::Exact,
    semaphores: None,
    source: "NetBSD lib/librt/shm.c",
    file_system: FileSystem::BSD,
    rules: &Shm,
};

pub(super) const NETBSD_SEM: Scheme = Scheme {
    key: "netbsd-sem",
    kind: Kind::Semaphore,
    directory: Directory::Kernel,
    limit: "name of 14 bytes",
    source: "NetBSD sys/kern/uipc_sem.c",
    rules: &Sem,
    ..NETBSD
};
