//! FreeBSD: shared memory is in the kernel, keyed by the name; semaphores are files `/tmp/SEMD…`.

use super::concat;
use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

const TMP: &str = "/tmp/";
const SEM_PREFIX: &str = "/tmp/SEMD";
/// `MAXPATHLEN`, the NUL included.
const PATH_BUFFER: usize = 1024;

/// `shm_copyin_path`: the length is checked while the name is copied, before its first byte.
#[derive(Debug)]
struct Shm;

impl NameScheme for Shm {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() >= PATH_BUFFER {
            return refuse(Errno::ENAMETOOLONG);
        }
        if name.first() != Some(&b'/') {
            return refuse(Errno::EINVAL);
        }
        Ok(Place::Key(name.to_vec()))
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

#[derive(Debug)]
struct Sem;

impl NameScheme for Sem {
    fn open(&self, name: &[u8]) -> Answer {
        let Some((b'/', body)) = name.split_first() else {
            return refuse(Errno::EINVAL);
        };
        let path = concat(SEM_PREFIX.as_bytes(), body);
        if path.len() >= PATH_BUFFER {
            refuse(Errno::ENAMETOOLONG)
        } else {
            Ok(Place::Path(path))
        }
    }

    /// A name without a slash is only absent.
    fn unlink(&self, name: &[u8]) -> Answer {
        if name.first() == Some(&b'/') {
            self.open(name)
        } else {
            refuse(Errno::ENOENT)
        }
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(SEM_PREFIX.as_bytes())?))
    }
}

pub(super) const FREEBSD: Scheme = Scheme {
    key: "freebsd",
    platform: "freebsd",
    title: "FreeBSD 8 and later",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Kernel,
    limit: "name of 1023 bytes",
    reversible: Reversible::Exact,
    semaphores: None,
    source: "FreeBSD sys/kern/uipc_shm.c",
    file_system: FileSystem::BSD,
    rules: &Shm,
};

pub(super) const FREEBSD_SEM: Scheme = Scheme {
    key: "freebsd-sem",
    title: "FreeBSD 9 and later",
    kind: Kind::Semaphore,
    directory: Directory::Path(TMP),
    limit: "body of 251 bytes",
    reversible: Reversible::Spelling,
    source: "FreeBSD lib/libc/gen/sem_new.c",
    rules: &Sem,
    ..FREEBSD
};
