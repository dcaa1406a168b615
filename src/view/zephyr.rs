//! Zephyr: the kernel's list knows a 32-bit hash of the name and nothing else.

use super::file_system::FileSystem;
use super::key_name::is_hex;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

/// The bytes that are hashed; the value of Zephyr's PATH_MAX is not verified.
const HASHED: usize = 256;

#[derive(Debug)]
struct Zephyr;

impl NameScheme for Zephyr {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() < 2 || name.first() != Some(&b'/') {
            return refuse(Errno::EINVAL);
        }
        Ok(Place::Hash(hash(name)))
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn is_digest(&self, path: &[u8]) -> bool {
        is_hex(path, 8)
    }
}

fn hash(name: &[u8]) -> u32 {
    let hashed = &name[..name.len().min(HASHED)];
    hashed.iter().fold(5381, |hash: u32, &byte| {
        hash.wrapping_mul(33) ^ u32::from(byte)
    })
}

pub(super) const ZEPHYR: Scheme = Scheme {
    key: "zephyr",
    platform: "zephyr",
    title: "Zephyr",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Kernel,
    limit: "256 bytes count, the rest is ignored",
    reversible: Reversible::Digest,
    semaphores: None,
    source: "Zephyr lib/posix/options/shm.c",
    file_system: FileSystem::UNKNOWN,
    rules: &Zephyr,
};
