//! newlib's own Linux port (not Cygwin): one slash stripped, nothing checked.

use super::concat;
use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme};

const DEV_SHM: &str = "/dev/shm/";
/// Where strlcpy cuts the body: PATH_MAX and 9.
const CUT: usize = 4105;

#[derive(Debug)]
struct Newlib;

impl NameScheme for Newlib {
    fn open(&self, name: &[u8]) -> Answer {
        let body = name.strip_prefix(b"/").unwrap_or(name);
        Ok(Place::Path(concat(
            DEV_SHM.as_bytes(),
            &body[..body.len().min(CUT)],
        )))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(DEV_SHM.as_bytes())?))
    }
}

pub(super) const NEWLIB_LINUX: Scheme = Scheme {
    key: "newlib-linux",
    platform: "newlib-linux",
    title: "newlib's Linux port, 2002 to 2022",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Past,
    directory: Directory::Path(DEV_SHM),
    limit: "path of 4095 bytes, components of 255",
    reversible: Reversible::Spelling,
    semaphores: None,
    source: "newlib libc/sys/linux/shm_open.c",
    file_system: FileSystem::LINUX,
    rules: &Newlib,
};
