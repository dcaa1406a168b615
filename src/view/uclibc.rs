//! uClibc and uClibc-ng: `/dev/shm/`, and no check at all for shared memory.

use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use super::{concat, strip_slashes};
use crate::errno::Errno;

const DEV_SHM: &str = "/dev/shm/";
const SEM_PREFIX: &str = "/dev/shm/sem.";

/// `get_shm_name`.
#[derive(Debug)]
struct Shm;

impl NameScheme for Shm {
    fn open(&self, name: &[u8]) -> Answer {
        Ok(Place::Path(concat(DEV_SHM.as_bytes(), strip_slashes(name))))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(DEV_SHM.as_bytes())?))
    }
}

/// The design of glibc 2.18.
#[derive(Debug)]
struct Sem;

impl NameScheme for Sem {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.is_empty() {
            return refuse(Errno::EINVAL);
        }
        Ok(Place::Path(concat(SEM_PREFIX.as_bytes(), body)))
    }

    fn unlink(&self, name: &[u8]) -> Answer {
        self.open(name).or(refuse(Errno::ENOENT))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(SEM_PREFIX.as_bytes())?))
    }
}

pub(super) const UCLIBC: Scheme = Scheme {
    key: "uclibc",
    platform: "uclibc",
    title: "uClibc and uClibc-ng, Linux",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(DEV_SHM),
    limit: "path of 4095 bytes, components of 255",
    reversible: Reversible::Spelling,
    semaphores: Some("uclibc-sem"),
    source: "uClibc-ng librt/shm.c",
    file_system: FileSystem::LINUX_EINVAL,
    rules: &Shm,
};

pub(super) const UCLIBC_SEM: Scheme = Scheme {
    key: "uclibc-sem",
    kind: Kind::Semaphore,
    semaphores: None,
    source: "uClibc-ng libpthread/nptl/sem_open.c, sem_unlink.c",
    file_system: FileSystem::LINUX,
    rules: &Sem,
    ..UCLIBC
};
