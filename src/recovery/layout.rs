//! Where what is in the journal's file: a header, then segments of one size, in each records one after the other.
//!
//! Segments are numbered from 0 and never used twice: a segment that is not needed any more becomes a hole. All
//! numbers are little-endian.
//!
//! ```text
//! header    0  "shmfsJRN"   8  version u32   12  bytes of a segment u32   16  checksum of these u32
//!          64  sealed number of the first segment u64     128  end of what is surely there u64
//! segment   0  "SEGM"       4  checksum u32 of what follows   8  number u64   16  first sequence number u64
//! record    0  bytes of the body u32, stored last   4  checksum u32   8  sequence number u64   16  the body
//! ```
//!
//! A record begins at a multiple of eight. Its checksum is of its length, its number and its body.

use std::fmt;

use crc32fast::Hasher;

/// The version of the saved form that this program writes; it reads all versions up to it.
pub const VERSION: u32 = 1;
pub(super) const MAGIC: [u8; 8] = *b"shmfsJRN";
const SEGMENT_MAGIC: [u8; 4] = *b"SEGM";

/// Bytes of the header, of which most are free for later versions: a page.
pub(super) const HEADER: usize = 4096;
/// Where the header has the first segment's number.
pub(super) const FIRST: usize = 64;
/// Where it has the end of the last record that is surely whole.
pub(super) const COMMITTED: usize = 128;

/// Bytes of a segment: two extended attributes and two lists of the largest size fit in.
pub(super) const SEGMENT: usize = 256 << 10;
pub(super) const SEGMENT_HEADER: usize = 24;
pub(super) const RECORD_HEADER: usize = 16;
/// Bytes of the largest body.
pub(super) const MAX_BODY: usize = SEGMENT - SEGMENT_HEADER - RECORD_HEADER;

/// Why a journal cannot be read. The state that it would give could be a wrong one.
#[derive(Debug)]
pub enum Damage {
    /// The file cannot be read.
    Unreadable(std::io::Error),
    /// It is no journal of shmfs.
    NotAJournal,
    /// A version that this program does not know.
    Version(u32),
    /// The header contradicts itself.
    Header,
    /// Something is missing or not as it was written.
    Corrupt {
        /// The offset in the file.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Each part is as it was written, but they do not go together.
    Contradiction(String),
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Damage::Unreadable(error) => write!(f, "the journal cannot be read: {error}"),
            Damage::NotAJournal => f.write_str("this is no journal of shmfs"),
            Damage::Version(version) => write!(
                f,
                "the journal has version {version}, and this shmfs knows versions up to {VERSION}"
            ),
            Damage::Header => f.write_str("the journal's header is damaged"),
            Damage::Corrupt { at, what } => {
                write!(f, "the journal is damaged at offset {at}: {what}")
            }
            Damage::Contradiction(what) => write!(f, "the journal contradicts itself: {what}"),
        }
    }
}

impl std::error::Error for Damage {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Damage::Unreadable(error) => Some(error),
            Damage::NotAJournal
            | Damage::Version(_)
            | Damage::Header
            | Damage::Corrupt { .. }
            | Damage::Contradiction(_) => None,
        }
    }
}

impl From<rustix::io::Errno> for Damage {
    fn from(errno: rustix::io::Errno) -> Damage {
        Damage::Unreadable(errno.into())
    }
}

/// Where the segment begins in the file.
pub(super) fn offset_of(segment: u64) -> u64 {
    HEADER as u64 + segment * SEGMENT as u64
}

/// A number below 2^40 with a checksum in the bits above: a store of eight bytes is never torn.
pub(super) fn seal(number: u64) -> u64 {
    let check = crc32fast::hash(&number.to_le_bytes());
    number & NUMBER_BITS | u64::from(check & 0x00ff_ffff) << 40
}

const NUMBER_BITS: u64 = (1 << 40) - 1;

pub(super) fn unseal(sealed: u64) -> Option<u64> {
    let number = sealed & NUMBER_BITS;
    (seal(number) == sealed).then_some(number)
}

/// The header's part that never changes.
pub(super) fn header(version: u32) -> [u8; 20] {
    let mut bytes = [0; 20];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&version.to_le_bytes());
    bytes[12..16].copy_from_slice(&(SEGMENT as u32).to_le_bytes());
    let check = crc32fast::hash(&bytes[..16]);
    bytes[16..].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// Checks the header, and gives the first segment's number and the end of what is surely there.
pub(super) fn read_header(bytes: &[u8; HEADER]) -> Result<(u64, u64), Damage> {
    if bytes[..8] != MAGIC {
        return Err(Damage::NotAJournal);
    }
    let version = word32(bytes, 8);
    if crc32fast::hash(&bytes[..16]) != word32(bytes, 16) {
        return Err(Damage::Header);
    }
    if version == 0 || version > VERSION {
        return Err(Damage::Version(version));
    }
    if word32(bytes, 12) as usize != SEGMENT {
        return Err(Damage::Header);
    }
    let first = unseal(word64(bytes, FIRST)).ok_or(Damage::Header)?;
    Ok((first, word64(bytes, COMMITTED)))
}

pub(super) fn segment_header(number: u64, first_sequence: u64) -> [u8; SEGMENT_HEADER] {
    let mut bytes = [0; SEGMENT_HEADER];
    bytes[..4].copy_from_slice(&SEGMENT_MAGIC);
    bytes[8..16].copy_from_slice(&number.to_le_bytes());
    bytes[16..].copy_from_slice(&first_sequence.to_le_bytes());
    let check = crc32fast::hash(&bytes[8..]);
    bytes[4..8].copy_from_slice(&check.to_le_bytes());
    bytes
}

/// The sequence number of a segment's first record; `None` where this is not the segment.
pub(super) fn read_segment_header(bytes: &[u8], number: u64) -> Option<u64> {
    let header = bytes.get(..SEGMENT_HEADER)?;
    let first_sequence = word64(header, 16);
    (header == segment_header(number, first_sequence)).then_some(first_sequence)
}

pub(super) fn checksum(len: u32, sequence: u64, body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(&sequence.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

/// Where the record after one with a body of `len` bytes begins.
pub(super) fn after(at: usize, len: usize) -> usize {
    (at + RECORD_HEADER + len).next_multiple_of(8)
}

/// What is at a place of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// A whole record.
    Record {
        body: &'a [u8],
        /// Where the next one begins.
        next: usize,
    },
    /// Nothing was stored here.
    Nothing,
    /// A record that is not whole, or was stored as another one.
    Broken(&'static str),
}

/// Looks at the record with the number `sequence` at the place `at` of a segment.
pub(super) fn record(segment: &[u8], at: usize, sequence: u64) -> Found<'_> {
    let Some(header) = segment.get(at..at + RECORD_HEADER) else {
        return Found::Nothing;
    };
    let len = word32(header, 0);
    if len == 0 {
        return Found::Nothing;
    }
    let from = at + RECORD_HEADER;
    let Some(body) = segment.get(from..from.saturating_add(len as usize)) else {
        return Found::Broken("a record is longer than its segment");
    };
    if checksum(len, word64(header, 8), body) != word32(header, 4) {
        return Found::Broken("a checksum is wrong");
    }
    if word64(header, 8) != sequence {
        return Found::Broken("a record is out of order");
    }
    let next = after(at, len as usize);
    Found::Record { body, next }
}

fn word32(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(word)
}

fn word64(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_shows_every_flipped_bit() {
        for number in [0, 1, 77, NUMBER_BITS] {
            let sealed = seal(number);
            assert_eq!(unseal(sealed), Some(number));
            assert!((0..64).all(|bit| unseal(sealed ^ 1 << bit) != Some(number)));
            assert!((0..64).all(|bit| unseal(sealed ^ 1 << bit).is_none()));
        }
    }

    #[test]
    fn other_versions_are_refused() {
        let mut bytes = [0; HEADER];
        bytes[..20].copy_from_slice(&header(VERSION + 1));
        assert!(
            matches!(read_header(&bytes), Err(Damage::Version(version)) if version == VERSION + 1)
        );
        bytes[..20].copy_from_slice(&header(VERSION));
        bytes[FIRST..FIRST + 8].copy_from_slice(&seal(5).to_le_bytes());
        assert_eq!(read_header(&bytes).unwrap(), (5, 0));
        bytes[0] = b'X';
        assert!(matches!(read_header(&bytes), Err(Damage::NotAJournal)));
    }
}
