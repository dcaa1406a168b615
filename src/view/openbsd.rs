//! OpenBSD: `/tmp/`, the SHA-256 of the whole name, slashes included, and `.shm` or `.sem`.
//!
//! No name is refused, and every spelling is an object of its own.

use sha2::{Digest, Sha256};

use super::concat;
use super::file_system::FileSystem;
use super::key_name::is_hex;
use super::scheme::{Age, Answer, Directory, Kind, NameScheme, Place, Reversible, Scheme};

const TMP: &str = "/tmp/";

#[derive(Debug)]
struct OpenBsd {
    suffix: &'static str,
}

impl NameScheme for OpenBsd {
    fn open(&self, name: &[u8]) -> Answer {
        let mut path = concat(TMP.as_bytes(), hex(&Sha256::digest(name)).as_bytes());
        path.extend_from_slice(self.suffix.as_bytes());
        Ok(Place::Path(path))
    }

    fn guess(&self, _path: &[u8]) -> Option<Vec<u8>> {
        None
    }

    fn is_digest(&self, path: &[u8]) -> bool {
        let digits = path
            .strip_prefix(TMP.as_bytes())
            .and_then(|leaf| leaf.strip_suffix(self.suffix.as_bytes()));
        digits.is_some_and(|digits| is_hex(digits, 64))
    }
}

/// Lower-case hex digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    bytes
        .iter()
        .flat_map(|byte| [digit(byte >> 4), digit(byte & 15)])
        .collect()
}

pub(super) const OPENBSD: Scheme = Scheme {
    key: "openbsd",
    platform: "openbsd",
    title: "OpenBSD",
    kind: Kind::SharedMemory,
    companion: None,
    age: Age::Current,
    directory: Directory::Path(TMP),
    limit: "none",
    reversible: Reversible::Digest,
    semaphores: Some("openbsd-sem"),
    source: "OpenBSD lib/libc/gen/shm_open.c",
    file_system: FileSystem::BSD,
    rules: &OpenBsd { suffix: ".shm" },
};

pub(super) const OPENBSD_SEM: Scheme = Scheme {
    key: "openbsd-sem",
    kind: Kind::Semaphore,
    semaphores: None,
    source: "OpenBSD lib/librthread/rthread_sem.c",
    rules: &OpenBsd { suffix: ".sem" },
    ..OPENBSD
};
