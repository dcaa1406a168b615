//! musl: `/dev/shm/`, and semaphores are files of the same names as shared memory.

use super::file_system::{FileSystem, NAME_MAX};
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use super::{concat, strip_slashes};
use crate::errno::Errno;

const DEV_SHM: &str = "/dev/shm/";

/// `__shm_mapname`, since 0.9.7.
#[derive(Debug)]
struct Musl;

impl NameScheme for Musl {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.is_empty() || body.contains(&b'/') || body == b"." || body == b".." {
            return refuse(Errno::EINVAL);
        }
        if body.len() > NAME_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(concat(DEV_SHM.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        guess(path)
    }
}

/// 0.7.0 to 0.9.6: opened relative to a descriptor of the directory.
#[derive(Debug)]
struct Old;

impl NameScheme for Old {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.contains(&b'/') {
            return refuse(Errno::EINVAL);
        }
        if body.is_empty() {
            return refuse(Errno::ENOENT);
        }
        Ok(Place::Path(concat(DEV_SHM.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        guess(path)
    }
}

fn guess(path: &[u8]) -> Option<Vec<u8>> {
    Some(concat(b"/", path.strip_prefix(DEV_SHM.as_bytes())?))
}

pub(super) const MUSL: Scheme = Scheme {
    key: "musl",
    platform: "musl",
    title: "musl 0.9.7 and later, Linux",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(DEV_SHM),
    limit: "body of 255 bytes",
    reversible: Reversible::Spelling,
    semaphores: Some("musl-sem"),
    source: "musl src/mman/shm_open.c",
    file_system: FileSystem::LINUX,
    rules: &Musl,
};

pub(super) const MUSL_SEM: Scheme = Scheme {
    key: "musl-sem",
    kind: Kind::Semaphore,
    semaphores: None,
    source: "musl src/thread/sem_open.c, sem_unlink.c",
    ..MUSL
};

pub(super) const MUSL_OLD: Scheme = Scheme {
    key: "musl-old",
    platform: "musl-old",
    title: "musl 0.7.0 to 0.9.6, Linux",
    age: Age::Past,
    semaphores: None,
    file_system: FileSystem::LINUX.relative_to(DEV_SHM),
    rules: &Old,
    ..MUSL
};
