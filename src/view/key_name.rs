//! The file name under which a kernel key is shown in a view.
//!
//! Where a platform keeps names in its kernel, the name is the key and may hold what a file name
//! cannot. So that `/foo` is the file `foo`, and every key has exactly one file name:
//!
//! | key | file name |
//! |---|---|
//! | `/` and the rest | the rest, escaped |
//! | without a leading slash (XNU, Haiku, NetBSD's lookups) | `%:` and the key, escaped |
//! | `/` alone | `%-` |
//! | one whose file name would pass 255 bytes | `%#` and the SHA-256 of the key, 64 lower-case hex digits |
//!
//! Escaped: `/` is `%2F`, `%` is `%25`; a file name that would be `.` or `..` is `%2E` or `%2E.`.
//! No other spelling is accepted back, so two file names are never one key.

use sha2::{Digest, Sha256};

use super::file_system::NAME_MAX;
use super::{concat, openbsd::hex};

const NO_SLASH: &[u8] = b"%:";
const ONLY_SLASH: &[u8] = b"%-";
const DIGEST: &[u8] = b"%#";

/// What a file name in a view of kernel keys stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileName {
    /// This key.
    Key(Vec<u8>),
    /// A key too long for a file name: only its digest is known.
    Digest,
    /// No key: a file that lives in the view only.
    Other,
}

/// The file name of a key.
pub fn encode(key: &[u8]) -> Vec<u8> {
    let name = match key.split_first() {
        Some((b'/', [])) => ONLY_SLASH.to_vec(),
        Some((b'/', b".")) => b"%2E".to_vec(),
        Some((b'/', b"..")) => b"%2E.".to_vec(),
        Some((b'/', rest)) => escape(rest),
        Some(_) | None => concat(NO_SLASH, &escape(key)),
    };
    if name.len() <= NAME_MAX {
        return name;
    }
    concat(DIGEST, hex(&Sha256::digest(key)).as_bytes())
}

/// The key behind a file name.
pub fn decode(file: &[u8]) -> FileName {
    if let Some(digits) = file.strip_prefix(DIGEST) {
        return if is_hex(digits, 64) {
            FileName::Digest
        } else {
            FileName::Other
        };
    }
    let key = if file == ONLY_SLASH {
        Some(b"/".to_vec())
    } else if let Some(escaped) = file.strip_prefix(NO_SLASH) {
        unescape(escaped)
    } else {
        unescape(file).map(|rest| concat(b"/", &rest))
    };
    match key {
        Some(key) if encode(&key) == file => FileName::Key(key),
        Some(_) | None => FileName::Other,
    }
}

/// Whether these are exactly `count` lower-case hex digits.
pub(super) fn is_hex(digits: &[u8], count: usize) -> bool {
    digits.len() == count
        && digits
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn escape(bytes: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(bytes.len());
    for &byte in bytes {
        match byte {
            b'/' => escaped.extend_from_slice(b"%2F"),
            b'%' => escaped.extend_from_slice(b"%25"),
            byte => escaped.push(byte),
        }
    }
    escaped
}

fn unescape(mut escaped: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(escaped.len());
    while let Some((&byte, rest)) = escaped.split_first() {
        escaped = rest;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match escaped.get(..2)? {
            b"2F" => b'/',
            b"25" => b'%',
            b"2E" => b'.',
            _ => return None,
        });
        escaped = &escaped[2..];
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(key: &[u8], file: &[u8]) {
        assert_eq!(encode(key), file);
        assert_eq!(decode(file), FileName::Key(key.to_vec()));
    }

    #[test]
    fn every_form_round_trips() {
        round_trip(b"/foo", b"foo");
        round_trip(b"foo", b"%:foo");
        round_trip(b"", b"%:");
        round_trip(b"/", b"%-");
        round_trip(b"//foo", b"%2Ffoo");
        round_trip(b"/.", b"%2E");
        round_trip(b"/..", b"%2E.");
        round_trip(b".", b"%:.");
        round_trip(b"/a%2Fb", b"a%252Fb");
        round_trip(&[b"/".as_slice(), &[b'a'; 255]].concat(), &[b'a'; 255]);
    }

    #[test]
    fn a_key_too_long_is_a_digest() {
        let key = [b"/".as_slice(), &[b'a'; 256]].concat();
        let file = encode(&key);
        assert_eq!(file.len(), 66);
        assert_eq!(decode(&file), FileName::Digest);
    }

    #[test]
    fn no_second_spelling_is_accepted() {
        for file in [
            "%2f", "%41", "%", "%2", "%:/x", "", "%2E..", "a%2Eb", "%#", "%:%2E", "%--",
        ] {
            assert_eq!(decode(file.as_bytes()), FileName::Other, "{file}");
        }
    }
}
