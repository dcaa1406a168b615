//! Cygwin: `/dev/shm/` and `/dev/mqueue/`, in three ages.

use super::concat;
use super::file_system::{FileSystem, NAME_MAX};
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

const DEV_SHM: &str = "/dev/shm/";
const SEM_PREFIX: &str = "/dev/shm/sem.";
const DEV_MQUEUE: &str = "/dev/mqueue/";
const PATH_MAX: usize = 4096;

fn is_slash(byte: u8) -> bool {
    byte == b'/' || byte == b'\\'
}

/// `check_path` since 3.3.0. The whole name is counted, its slash too.
#[derive(Debug)]
struct Cygwin {
    prefix: &'static str,
    longest: usize,
}

impl NameScheme for Cygwin {
    fn open(&self, name: &[u8]) -> Answer {
        // strchr finds the terminator of an empty name too; what is read after it is mostly 0.
        let Some((&first, body)) = name.split_first() else {
            return refuse(Errno::ENOENT);
        };
        if !is_slash(first) {
            return refuse(Errno::EINVAL);
        }
        if body.is_empty() {
            return refuse(Errno::ENOENT);
        }
        if body.iter().copied().any(is_slash) {
            return refuse(Errno::EACCES);
        }
        if name.len() > self.longest {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(concat(self.prefix.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(self.prefix.as_bytes())?))
    }
}

/// `check_path` of 1.7.0 to 3.2.0.
#[derive(Debug)]
struct Middle {
    prefix: &'static str,
    /// What the length check takes for the length of the prefix.
    prefix_len: usize,
}

impl NameScheme for Middle {
    fn open(&self, name: &[u8]) -> Answer {
        let Some((&first, rest)) = name.split_first() else {
            return refuse(Errno::EINVAL);
        };
        let body = if is_slash(first) { rest } else { name };
        if is_slash(first) && rest.first().is_none_or(|&second| is_slash(second)) {
            return refuse(Errno::EINVAL);
        }
        if name.len() > PATH_MAX - self.prefix_len {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(concat(self.prefix.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(self.prefix.as_bytes())?))
    }
}

/// `check_path` of 1.5.24 and 1.5.25: a backslash is a byte like any.
#[derive(Debug)]
struct Old {
    longest: usize,
}

impl NameScheme for Old {
    fn open(&self, name: &[u8]) -> Answer {
        let Some((b'/', body)) = name.split_first() else {
            return refuse(Errno::EINVAL);
        };
        if body.first().is_none_or(|&second| second == b'/') {
            return refuse(Errno::EINVAL);
        }
        if name.len() > self.longest {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(concat(DEV_SHM.as_bytes(), body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        Some(concat(b"/", path.strip_prefix(DEV_SHM.as_bytes())?))
    }
}

pub(super) const CYGWIN: Scheme = Scheme {
    key: "cygwin",
    platform: "cygwin",
    title: "Cygwin 3.3.0 and later",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(DEV_SHM),
    limit: "body of 254 bytes",
    reversible: Reversible::Spelling,
    semaphores: Some("cygwin-sem"),
    source: "Cygwin winsup/cygwin/posix_ipc.cc",
    file_system: FileSystem::CYGWIN,
    rules: &Cygwin {
        prefix: DEV_SHM,
        longest: NAME_MAX,
    },
};

pub(super) const CYGWIN_SEM: Scheme = Scheme {
    key: "cygwin-sem",
    kind: Kind::Semaphore,
    limit: "body of 250 bytes",
    semaphores: None,
    rules: &Cygwin {
        prefix: SEM_PREFIX,
        longest: NAME_MAX - 4,
    },
    ..CYGWIN
};

pub(super) const CYGWIN_MQ: Scheme = Scheme {
    key: "cygwin-mq",
    kind: Kind::MessageQueue,
    directory: Directory::Path(DEV_MQUEUE),
    semaphores: None,
    rules: &Cygwin {
        prefix: DEV_MQUEUE,
        longest: NAME_MAX,
    },
    ..CYGWIN
};

pub(super) const CYGWIN_1_7: Scheme = Scheme {
    key: "cygwin-1.7",
    platform: "cygwin-1.7",
    title: "Cygwin 1.7.0 to 3.2.0",
    age: Age::Past,
    limit: "name of 4086 bytes, components of 255",
    semaphores: Some("cygwin-1.7-sem"),
    source: "Cygwin 1.7.1 winsup/cygwin/posix_ipc.cc",
    rules: &Middle {
        prefix: DEV_SHM,
        prefix_len: 10,
    },
    ..CYGWIN
};

pub(super) const CYGWIN_1_7_SEM: Scheme = Scheme {
    key: "cygwin-1.7-sem",
    kind: Kind::Semaphore,
    limit: "name of 4082 bytes, components of 255",
    semaphores: None,
    rules: &Middle {
        prefix: SEM_PREFIX,
        prefix_len: 14,
    },
    ..CYGWIN_1_7
};

pub(super) const CYGWIN_1_7_MQ: Scheme = Scheme {
    key: "cygwin-1.7-mq",
    kind: Kind::MessageQueue,
    directory: Directory::Path(DEV_MQUEUE),
    limit: "name of 4083 bytes, components of 255",
    semaphores: None,
    rules: &Middle {
        prefix: DEV_MQUEUE,
        prefix_len: 13,
    },
    ..CYGWIN_1_7
};

pub(super) const CYGWIN_1_5: Scheme = Scheme {
    key: "cygwin-1.5",
    platform: "cygwin-1.5",
    title: "Cygwin 1.5.24 and 1.5.25",
    limit: "name of 250 bytes",
    semaphores: None,
    source: "Cygwin of 2007 winsup/cygwin/posix_ipc.cc",
    rules: &Old { longest: 250 },
    ..CYGWIN_1_7
};
