//! NuttX: `/var/shm/` of its pseudo file system.

use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use super::{concat, strip_slashes};
use crate::errno::Errno;

const VAR_SHM: &str = "/var/shm/";
/// `CONFIG_NAME_MAX`; its default is not verified.
const NAME_MAX: usize = 32;

#[derive(Debug)]
struct NuttX;

impl NameScheme for NuttX {
    fn open(&self, name: &[u8]) -> Answer {
        let body = strip_slashes(name);
        if body.is_empty() {
            return refuse(Errno::EINVAL);
        }
        if body.len() > NAME_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(concat(VAR_SHM.as_bytes(), body)))
    }

    fn unlink(&self, name: &[u8]) -> Answer {
        if strip_slashes(name).is_empty() {
            refuse(Errno::ENOENT)
        } else {
            self.open(name)
        }
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(VAR_SHM.as_bytes())?))
    }
}

pub(super) const NUTTX: Scheme = Scheme {
    key: "nuttx",
    platform: "nuttx",
    title: "NuttX",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(VAR_SHM),
    limit: "body of 32 bytes",
    reversible: Reversible::Spelling,
    semaphores: None,
    source: "NuttX fs/shm/shm_open.c, shm_unlink.c",
    file_system: FileSystem::UNKNOWN,
    rules: &NuttX,
};
