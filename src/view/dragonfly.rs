//! DragonFly BSD: `/var/run/shm/` since 5.6, the name as a path before; semaphores in `/var/run/sem`.

use super::file_system::FileSystem;
use super::scheme::{
    Age, Answer, Directory, Kind, NameScheme, Place, Refusal, Reversible, Scheme, refuse,
};
use super::{concat, strip_slashes};
use crate::errno::Errno;

const VAR_RUN_SHM: &str = "/var/run/shm/";
const SEM_PREFIX: &str = "/var/run/sem";
/// The library's buffer for a semaphore's path.
const SEM_BUFFER: usize = 1024;

/// Relative to a descriptor of the directory.
#[derive(Debug)]
struct Shm;

impl NameScheme for Shm {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.is_empty() {
            return refuse(Errno::ENOENT);
        }
        Ok(Place::Path(concat(VAR_RUN_SHM.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(VAR_RUN_SHM.as_bytes())?))
    }
}

/// A plain path.
#[derive(Debug)]
struct Old;

impl NameScheme for Old {
    fn open(&self, name: &[u8]) -> Answer {
        if name.is_empty() {
            refuse(Errno::ENOENT)
        } else {
            Ok(Place::Path(name.to_vec()))
        }
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(path.to_vec())
    }
}

/// `strlcpy` of the prefix only where there is a slash, then `strlcat` of the name.
#[derive(Debug)]
struct Sem;

impl NameScheme for Sem {
    fn open(&self, name: &[u8]) -> Answer {
        if name.first() != Some(&b'/') {
            return Err(Refusal::Undefined);
        }
        let mut path = concat(SEM_PREFIX.as_bytes(), name);
        if path.len() > SEM_BUFFER {
            return refuse(Errno::ENAMETOOLONG);
        }
        // A path that fills the buffer loses its last byte to the NUL.
        path.truncate(SEM_BUFFER - 1);
        Ok(Place::Path(path))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(path.strip_prefix(SEM_PREFIX.as_bytes())?.to_vec())
    }
}

pub(super) const DRAGONFLY: Scheme = Scheme {
    key: "dragonfly",
    platform: "dragonfly",
    title: "DragonFly BSD 5.6 and later",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(VAR_RUN_SHM),
    limit: "body of 1023 bytes, components of 255",
    reversible: Reversible::Spelling,
    semaphores: None,
    source: "DragonFly lib/libc/gen/posixshm.c",
    file_system: FileSystem::BSD.relative_to(VAR_RUN_SHM),
    rules: &Shm,
};

pub(super) const DRAGONFLY_OLD: Scheme = Scheme {
    key: "dragonfly-old",
    platform: "dragonfly-old",
    title: "DragonFly BSD before 5.6, FreeBSD before 8",
    age: Age::Past,
    directory: Directory::Path("/"),
    limit: "path of 1023 bytes, components of 255",
    source: "DragonFly lib/libc/gen/posixshm.c 1.3",
    file_system: FileSystem::BSD,
    rules: &Old,
    ..DRAGONFLY
};

pub(super) const DRAGONFLY_SEM: Scheme = Scheme {
    key: "dragonfly-sem",
    kind: Kind::Semaphore,
    directory: Directory::Path("/var/run/sem/"),
    limit: "name of 1011 bytes, components of 255",
    source: "DragonFly lib/libthread_xu/thread/thr_sem.c",
    file_system: FileSystem::BSD,
    rules: &Sem,
    ..DRAGONFLY
};
