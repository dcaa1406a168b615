//! Haiku: `/var/shared_memory/`, slashes and percent signs escaped; semaphores are in the kernel.

use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use super::strip_slashes;
use crate::errno::Errno;

const SHARED_MEMORY: &str = "/var/shared_memory/";
/// `B_PATH_NAME_LENGTH`, the NUL included.
const PATH_BUFFER: usize = 1024;

/// `shm_name_to_path`.
#[derive(Debug)]
struct Shm;

impl NameScheme for Shm {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.is_empty() {
            return refuse(Errno::EINVAL);
        }
        let mut path = SHARED_MEMORY.as_bytes().to_vec();
        for &byte in body {
            match byte {
                b'/' => path.extend_from_slice(b"%s"),
                b'%' => path.extend_from_slice(b"%%"),
                byte => path.push(byte),
            }
        }
        if path.len() >= PATH_BUFFER {
            refuse(Errno::ENAMETOOLONG)
        } else {
            Ok(Place::Path(path))
        }
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        let mut escaped = path.strip_prefix(SHARED_MEMORY.as_bytes())?;
        let mut name = vec![b'/'];
        while let Some((&byte, rest)) = escaped.split_first() {
            escaped = rest;
            if byte != b'%' {
                name.push(byte);
                continue;
            }
            let (&kind, rest) = escaped.split_first()?;
            escaped = rest;
            name.push(match kind {
                b's' => b'/',
                b'%' => b'%',
                _ => return None,
            });
        }
        Some(name)
    }
}

/// Exact bytes.
#[derive(Debug)]
struct Sem;

impl NameScheme for Sem {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() >= PATH_BUFFER {
            refuse(Errno::ENAMETOOLONG)
        } else {
            Ok(Place::Key(name.to_vec()))
        }
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

pub(super) const HAIKU: Scheme = Scheme {
    key: "haiku",
    platform: "haiku",
    title: "Haiku",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(SHARED_MEMORY),
    limit: "escaped body of 255 bytes",
    reversible: Reversible::Spelling,
    semaphores: None,
    source: "Haiku src/system/libroot/posix/sys/mman.cpp",
    file_system: FileSystem::BSD,
    rules: &Shm,
};

pub(super) const HAIKU_SEM: Scheme = Scheme {
    key: "haiku-sem",
    kind: Kind::Semaphore,
    directory: Directory::Kernel,
    limit: "name of 1023 bytes",
    reversible: Reversible::Exact,
    source: "Haiku src/system/kernel/posix/realtime_sem.cpp",
    rules: &Sem,
    ..HAIKU
};
