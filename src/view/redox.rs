//! Redox: the scheme `shm:`, nothing checked.

use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme};
use super::{concat, strip_slashes};

const SHM: &str = "shm:";

#[derive(Debug)]
struct Redox;

impl NameScheme for Redox {
    fn open(&self, name: &[u8]) -> Answer {
        Ok(Place::Path(concat(SHM.as_bytes(), strip_slashes(name))))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(SHM.as_bytes())?))
    }
}

pub(super) const REDOX: Scheme = Scheme {
    key: "redox",
    platform: "redox",
    title: "Redox",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(SHM),
    limit: "body of 251 bytes",
    reversible: Reversible::Spelling,
    semaphores: None,
    source: "Redox relibc src/header/sys_mman/mod.rs",
    file_system: FileSystem::UNKNOWN,
    rules: &Redox,
};
