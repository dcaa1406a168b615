//! Message queues of Linux: files where mqueuefs is mounted on `/dev/mqueue`.

use super::concat;
use super::file_system::{FileSystem, NAME_MAX};
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

const DEV_MQUEUE: &str = "/dev/mqueue/";
const PATH_MAX: usize = 4096;

/// The C library asks for the slash; the rest is the kernel's, one component looked up.
#[derive(Debug)]
struct Mqueue;

impl NameScheme for Mqueue {
    fn open(&self, name: &[u8]) -> Answer {
        let Some((b'/', body)) = name.split_first() else {
            return refuse(Errno::EINVAL);
        };
        if body.is_empty() {
            return refuse(Errno::ENOENT);
        }
        if body.len() >= PATH_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        if body.contains(&b'/') || body == b"." || body == b".." {
            return refuse(Errno::EACCES);
        }
        if body.len() > NAME_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(concat(DEV_MQUEUE.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(DEV_MQUEUE.as_bytes())?))
    }
}

pub(super) const LINUX_MQ: Scheme = Scheme {
    key: "linux-mq",
    platform: "linux-mq",
    title: "Linux",
    kind: Kind::MessageQueue,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(DEV_MQUEUE),
    limit: "body of 255 bytes",
    reversible: Reversible::Exact,
    semaphores: None,
    source: "Linux ipc/mqueue.c, glibc sysdeps/unix/sysv/linux/mq_open.c",
    file_system: FileSystem::LINUX,
    rules: &Mqueue,
};
