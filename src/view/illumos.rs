//! illumos, Solaris 10 and OpenSolaris: files in `/tmp/` whose first five bytes tell their type.
//!
//! A name that does not fit after its type is put in two directories: `.` and an MD5, then the type.
//! The MD5 is not the usual text: its four words are printed in the machine's byte order.

use md5::{Digest, Md5};

use super::concat;
use super::file_system::{FileSystem, NAME_MAX};
use super::openbsd::hex;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme, refuse};
use crate::errno::Errno;

const TMP: &str = "/tmp/";

#[derive(Debug)]
struct Illumos {
    /// `.SHMD` and the like.
    file_type: &'static str,
    order: ByteOrder,
}

#[derive(Debug)]
enum ByteOrder {
    /// x86.
    Little,
    /// SPARC.
    Big,
}

impl Illumos {
    /// `__pos4obj_md5toa`.
    fn hash(&self, body: &[u8]) -> String {
        let mut digest = Md5::digest(body);
        match self.order {
            ByteOrder::Little => digest.chunks_exact_mut(4).for_each(<[u8]>::reverse),
            ByteOrder::Big => {}
        }
        hex(&digest)
    }

    /// `__pos4obj_name`.
    fn path(&self, body: &[u8]) -> Vec<u8> {
        let prefix = if body.len() <= NAME_MAX - self.file_type.len() {
            format!("{TMP}{}", self.file_type)
        } else {
            format!("{TMP}.{}/{}/", self.hash(body), self.file_type)
        };
        concat(prefix.as_bytes(), body)
    }
}

impl NameScheme for Illumos {
    /// `__pos4obj_check`.
    fn open(&self, name: &[u8]) -> Answer {
        let Some((b'/', body)) = name.split_first() else {
            return refuse(Errno::EINVAL);
        };
        if body.contains(&b'/') {
            return refuse(Errno::EINVAL);
        }
        if body.len() > NAME_MAX {
            return refuse(Errno::ENAMETOOLONG);
        }
        Ok(Place::Path(self.path(body)))
    }

    fn guess(&self, path: &[u8]) -> Option<Vec<u8>> {
        let below = path.strip_prefix(TMP.as_bytes())?;
        let body = match below.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => &below[slash + 1..],
            None => below.strip_prefix(self.file_type.as_bytes())?,
        };
        Some(concat(b"/", body))
    }
}

const fn x86(file_type: &'static str) -> Illumos {
    Illumos {
        file_type,
        order: ByteOrder::Little,
    }
}

pub(super) const ILLUMOS: Scheme = Scheme {
    key: "illumos",
    platform: "illumos",
    title: "illumos and Solaris 10, x86",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(TMP),
    limit: "body of 255 bytes",
    reversible: Reversible::Exact,
    semaphores: Some("illumos-sem"),
    source: "illumos usr/src/lib/libc/port/rt/pos4obj.c, shm.c",
    file_system: FileSystem::BSD,
    rules: &x86(".SHMD"),
};

pub(super) const ILLUMOS_LOCK: Scheme = Scheme {
    key: "illumos-lock",
    kind: Kind::LockFile,
    companion: Some("lock of shared memory"),
    semaphores: None,
    rules: &x86(".SHML"),
    ..ILLUMOS
};

pub(super) const ILLUMOS_BE: Scheme = Scheme {
    key: "illumos-be",
    platform: "illumos-be",
    title: "illumos and Solaris 10, SPARC",
    semaphores: None,
    rules: &Illumos {
        file_type: ".SHMD",
        order: ByteOrder::Big,
    },
    ..ILLUMOS
};

pub(super) const ILLUMOS_SEM: Scheme = Scheme {
    key: "illumos-sem",
    kind: Kind::Semaphore,
    semaphores: None,
    source: "illumos usr/src/lib/libc/port/rt/pos4obj.c, sem.c",
    rules: &x86(".SEMD"),
    ..ILLUMOS
};

pub(super) const ILLUMOS_SEM_LOCK: Scheme = Scheme {
    key: "illumos-sem-lock",
    kind: Kind::LockFile,
    companion: Some("lock of a semaphore"),
    rules: &x86(".SEML"),
    ..ILLUMOS_SEM
};

pub(super) const ILLUMOS_MQ: Scheme = Scheme {
    key: "illumos-mq",
    kind: Kind::MessageQueue,
    source: "illumos usr/src/lib/libc/port/rt/pos4obj.c, mqueue.c",
    rules: &x86(".MQD"),
    ..ILLUMOS_SEM
};

pub(super) const ILLUMOS_MQ_PERM: Scheme = Scheme {
    key: "illumos-mq-perm",
    companion: Some("permissions of a message queue"),
    rules: &x86(".MQP"),
    ..ILLUMOS_MQ
};

pub(super) const ILLUMOS_MQ_DSCN: Scheme = Scheme {
    key: "illumos-mq-dscn",
    companion: Some("description of an open message queue"),
    rules: &x86(".MQN"),
    ..ILLUMOS_MQ
};

pub(super) const ILLUMOS_MQ_LOCK: Scheme = Scheme {
    key: "illumos-mq-lock",
    kind: Kind::LockFile,
    companion: Some("lock of a message queue"),
    rules: &x86(".MQL"),
    ..ILLUMOS_MQ
};

#[cfg(test)]
mod tests {
    use super::*;

    /// MD5 of nothing is d41d8cd98f00b204…: each group of four bytes is reversed on x86.
    #[test]
    fn the_digest_is_printed_by_words() {
        assert!(x86(".SHMD").hash(b"").starts_with("d98c1dd404b2008f"));
        let sparc = Illumos {
            file_type: ".SHMD",
            order: ByteOrder::Big,
        };
        assert_eq!(sparc.hash(b""), "d41d8cd98f00b204e9800998ecf8427e");
    }
}
