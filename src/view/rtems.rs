//! RTEMS: the kernel's table, the exact bytes of the name.

use super::file_system::FileSystem;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

/// `_POSIX_PATH_MAX`; the value is not verified.
const POSIX_PATH_MAX: usize = 256;

#[derive(Debug)]
struct Rtems;

impl NameScheme for Rtems {
    fn open(&self, name: &[u8]) -> Answer {
        if name.len() > POSIX_PATH_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        if name.first() != Some(&b'/') {
            return refuse(Errno::EINVAL);
        }
        Ok(Place::Key(name.to_vec()))
    }

    /// Nothing without a slash was ever created.
    fn unlink(&self, name: &[u8]) -> Answer {
        if name.len() <= POSIX_PATH_MAX && name.first() != Some(&b'/') {
            return refuse(Errno::ENOENT);
        }
        self.open(name)
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

pub(super) const RTEMS: Scheme = Scheme {
    key: "rtems",
    platform: "rtems",
    title: "RTEMS",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Kernel,
    limit: "name of 256 bytes",
    reversible: Reversible::Exact,
    semaphores: None,
    source: "RTEMS cpukit/posix/src/shmopen.c, shmunlink.c",
    file_system: FileSystem::UNKNOWN,
    rules: &Rtems,
};
