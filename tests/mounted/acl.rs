//! POSIX ACLs as the kernel's xattrs carry them (linux/posix_acl_xattr.h).

use std::path::Path;

use crate::sys::{self, R};

/// The access ACL's xattr.
pub(crate) const ACCESS: &str = "system.posix_acl_access";
/// The default ACL's xattr.
pub(crate) const DEFAULT: &str = "system.posix_acl_default";

/// ACL_USER_OBJ: the owner.
pub(crate) const OWNER: u16 = 0x01;
/// ACL_USER.
pub(crate) const USER: u16 = 0x02;
/// ACL_GROUP_OBJ: the owning group.
pub(crate) const OWNING: u16 = 0x04;
/// ACL_GROUP.
pub(crate) const GROUP: u16 = 0x08;
/// ACL_MASK.
pub(crate) const MASK: u16 = 0x10;
/// ACL_OTHER.
pub(crate) const OTHER: u16 = 0x20;
/// The id of entries that have none.
pub(crate) const NONE: u32 = u32::MAX;

/// One entry: tag, permissions, id.
pub(crate) type Entry = (u16, u16, u32);

/// The xattr's bytes: version 2 and eight bytes an entry, all little-endian.
pub(crate) fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// The entries in the xattr's bytes.
pub(crate) fn decode(bytes: &[u8]) -> Vec<Entry> {
    assert_eq!(
        bytes[..4],
        2u32.to_le_bytes(),
        "the version of an ACL xattr"
    );
    let half = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
    let entry = |b: &[u8]| {
        (
            half(b),
            half(&b[2..]),
            u32::from_le_bytes([b[4], b[5], b[6], b[7]]),
        )
    };
    bytes[4..].chunks_exact(8).map(entry).collect()
}

/// An ACL in the text form of acl(5), numbers for ids: `u::rw-,u:1001:r--,g::r--,m::rw-,o::---`.
pub(crate) fn text(short: &str) -> Vec<Entry> {
    short.split(',').map(parse_entry).collect()
}

fn parse_entry(word: &str) -> Entry {
    let parts: Vec<&str> = word.split(':').collect();
    let id = parts[1].parse().ok();
    let tag = match (parts[0], id) {
        ("u", None) => OWNER,
        ("u", Some(_)) => USER,
        ("g", None) => OWNING,
        ("g", Some(_)) => GROUP,
        ("m", None) => MASK,
        ("o", None) => OTHER,
        other => panic!("not an ACL entry: {other:?}"),
    };
    let bit = |c, n| if parts[2].contains(c) { n } else { 0 };
    (
        tag,
        bit('r', 4) | bit('w', 2) | bit('x', 1),
        id.unwrap_or(NONE),
    )
}

/// The text form of entries.
pub(crate) fn show(entries: &[Entry]) -> String {
    let word = |&(tag, perm, id): &Entry| {
        let who = match tag {
            OWNER => "u:".to_string(),
            USER => format!("u:{id}"),
            OWNING => "g:".to_string(),
            GROUP => format!("g:{id}"),
            MASK => "m:".to_string(),
            OTHER => "o:".to_string(),
            other => format!("{other:#x}:{id}"),
        };
        let letter = |n, c| if perm & n != 0 { c } else { '-' };
        format!(
            "{who}:{}{}{}",
            letter(4, 'r'),
            letter(2, 'w'),
            letter(1, 'x')
        )
    };
    entries.iter().map(word).collect::<Vec<_>>().join(",")
}

/// Sets an ACL from its text form.
pub(crate) fn set(path: impl AsRef<Path>, kind: &str, short: &str) -> R {
    sys::setxattr(path, kind, &encode(&text(short)), 0)
}

/// An ACL in its text form, or the errno of getxattr.
pub(crate) fn get(path: impl AsRef<Path>, kind: &str) -> R<String> {
    sys::getxattr(path, kind).map(|bytes| show(&decode(&bytes)))
}
