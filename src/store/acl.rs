//! POSIX access control lists: the xattr form, and the rules that tie a list to a mode.
//!
//! The rules are those of the kernel's `fs/posix_acl.c`; each function names the one it mirrors.
//! Permission itself is checked by the kernel (`default_permissions`), never here.

use crate::errno::{Errno, Result};

/// The name under which an access ACL travels.
pub const XATTR_ACCESS: &[u8] = b"system.posix_acl_access";
/// The name under which a default ACL travels.
pub const XATTR_DEFAULT: &[u8] = b"system.posix_acl_default";

/// `POSIX_ACL_XATTR_VERSION` (include/uapi/linux/posix_acl_xattr.h).
const VERSION: u32 = 2;
/// `ACL_UNDEFINED_ID`.
const NO_ID: u32 = u32::MAX;
const PERM_BITS: u32 = 0o7;

/// Whom an entry speaks of. The order is the order of a valid list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Tag {
    UserObj,
    User(u32),
    GroupObj,
    Group(u32),
    Mask,
    Other,
}

impl Tag {
    fn decode(tag: u16, id: u32) -> Result<Tag> {
        match (tag, id) {
            (0x01, _) => Ok(Tag::UserObj),
            (0x04, _) => Ok(Tag::GroupObj),
            (0x10, _) => Ok(Tag::Mask),
            (0x20, _) => Ok(Tag::Other),
            (0x02, id) if id != NO_ID => Ok(Tag::User(id)),
            (0x08, id) if id != NO_ID => Ok(Tag::Group(id)),
            _ => Err(Errno::EINVAL),
        }
    }

    fn encode(self) -> (u16, u32) {
        match self {
            Tag::UserObj => (0x01, NO_ID),
            Tag::User(id) => (0x02, id),
            Tag::GroupObj => (0x04, NO_ID),
            Tag::Group(id) => (0x08, id),
            Tag::Mask => (0x10, NO_ID),
            Tag::Other => (0x20, NO_ID),
        }
    }

    fn rank(self) -> u8 {
        match self {
            Tag::UserObj => 0,
            Tag::User(_) => 1,
            Tag::GroupObj => 2,
            Tag::Group(_) => 3,
            Tag::Mask => 4,
            Tag::Other => 5,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    tag: Tag,
    perm: u32,
}

/// A valid access control list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acl {
    entries: Box<[Entry]>,
}

/// The two lists that an inode can have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acls {
    /// Who may do what.
    pub access: Option<Acl>,
    /// What new entries of a directory inherit.
    pub default: Option<Acl>,
}

impl Acl {
    /// Reads the xattr form; `None` where it has no entry, which means to remove the list.
    ///
    /// As `posix_acl_from_xattr` and `posix_acl_valid`.
    pub fn from_xattr(value: &[u8]) -> Result<Option<Acl>> {
        let (version, body) = value.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*version) != VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        if body.len() % 8 != 0 {
            return Err(Errno::EINVAL);
        }
        let entries = body
            .chunks_exact(8)
            .map(Entry::decode)
            .collect::<Result<Box<[Entry]>>>()?;
        if entries.is_empty() {
            return Ok(None);
        }
        check_order(&entries)?;
        Ok(Some(Acl { entries }))
    }

    /// Writes the xattr form.
    pub fn to_xattr(&self) -> Vec<u8> {
        let mut value = Vec::with_capacity(4 + 8 * self.entries.len());
        value.extend_from_slice(&VERSION.to_le_bytes());
        for entry in &self.entries {
            let (tag, id) = entry.tag.encode();
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&(entry.perm as u16).to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    /// The permission bits that the list stands for, and whether they say all of it
    /// (`posix_acl_equiv_mode`).
    pub fn mode(&self) -> (u32, bool) {
        let mut mode = 0;
        let mut mask = None;
        let mut equivalent = true;
        for entry in &self.entries {
            match entry.tag {
                Tag::UserObj => mode |= entry.perm << 6,
                Tag::GroupObj => mode |= entry.perm << 3,
                Tag::Other => mode |= entry.perm,
                Tag::Mask => mask = Some(entry.perm),
                Tag::User(_) | Tag::Group(_) => {}
            }
            equivalent &= matches!(entry.tag, Tag::UserObj | Tag::GroupObj | Tag::Other);
        }
        if let Some(mask) = mask {
            mode = (mode & !0o070) | mask << 3;
        }
        (mode, equivalent)
    }

    /// What the list grants to a caller who is not the owner: one entry that speaks of him with all of `want`,
    /// or what there is (`posix_acl_permission`).
    pub fn granted(
        &self,
        uid: u32,
        owning_group: u32,
        want: u32,
        is_in_group: impl Fn(u32) -> bool,
    ) -> u32 {
        let mut mask = PERM_BITS;
        let (mut other, mut user, mut group) = (0, None, None);
        for entry in &self.entries {
            let of_group = match entry.tag {
                Tag::User(id) if id == uid => {
                    user = Some(entry.perm);
                    false
                }
                Tag::GroupObj => is_in_group(owning_group),
                Tag::Group(id) => is_in_group(id),
                Tag::Mask => {
                    mask = entry.perm;
                    false
                }
                Tag::Other => {
                    other = entry.perm;
                    false
                }
                Tag::User(_) | Tag::UserObj => false,
            };
            if of_group && group.is_none_or(|before: u32| before & want != want) {
                group = Some(entry.perm);
            }
        }
        user.or(group).map_or(other, |perm| perm & mask)
    }

    /// The list after chmod(2) to `mode` (`__posix_acl_chmod_masq`).
    pub fn chmod(&self, mode: u32) -> Acl {
        let mut entries = self.entries.clone();
        let has_mask = entries.iter().any(|entry| entry.tag == Tag::Mask);
        for entry in &mut entries {
            match entry.tag {
                Tag::UserObj => entry.perm = mode >> 6 & PERM_BITS,
                Tag::GroupObj if !has_mask => entry.perm = mode >> 3 & PERM_BITS,
                Tag::Mask => entry.perm = mode >> 3 & PERM_BITS,
                Tag::Other => entry.perm = mode & PERM_BITS,
                Tag::GroupObj | Tag::User(_) | Tag::Group(_) => {}
            }
        }
        Acl { entries }
    }

    /// The list without what is not in `shown`, as bits of `rwx`.
    pub fn masked(&self, shown: u32) -> Acl {
        let mut entries = self.entries.clone();
        for entry in &mut entries {
            entry.perm &= shown;
        }
        Acl { entries }
    }

    /// What a new inode gets from this default list when it is created with `mode`: its
    /// permission bits, and its access list where the bits do not say all of it
    /// (`posix_acl_create_masq`).
    fn inherit(&self, mode: u32) -> (u32, Option<Acl>) {
        let mut entries = self.entries.clone();
        let mut bits = mode & 0o777;
        let has_mask = entries.iter().any(|entry| entry.tag == Tag::Mask);
        for entry in &mut entries {
            let shift = match entry.tag {
                Tag::UserObj => 6,
                Tag::GroupObj if !has_mask => 3,
                Tag::Mask => 3,
                Tag::Other => 0,
                Tag::GroupObj | Tag::User(_) | Tag::Group(_) => continue,
            };
            entry.perm &= bits >> shift & PERM_BITS;
            bits = bits & !(PERM_BITS << shift) | entry.perm << shift;
        }
        let list = Acl { entries };
        let (_, equivalent) = list.mode();
        (mode & !0o777 | bits, (!equivalent).then_some(list))
    }
}

impl Entry {
    fn decode(bytes: &[u8]) -> Result<Entry> {
        let &[t0, t1, p0, p1, i0, i1, i2, i3] = bytes else {
            return Err(Errno::EINVAL);
        };
        let tag = Tag::decode(
            u16::from_le_bytes([t0, t1]),
            u32::from_le_bytes([i0, i1, i2, i3]),
        )?;
        let perm = u32::from(u16::from_le_bytes([p0, p1]));
        if perm & !PERM_BITS != 0 {
            return Err(Errno::EINVAL);
        }
        Ok(Entry { tag, perm })
    }
}

/// `posix_acl_valid`: the tags in their order, each of the single ones once, a mask where it is needed.
fn check_order(entries: &[Entry]) -> Result<()> {
    let count = |rank: u8| {
        entries
            .iter()
            .filter(|entry| entry.tag.rank() == rank)
            .count()
    };
    let sorted = entries
        .windows(2)
        .all(|pair| pair[0].tag.rank() <= pair[1].tag.rank());
    let single = count(0) == 1 && count(2) == 1 && count(5) == 1 && count(4) <= 1;
    let masked = count(4) == 1 || count(1) + count(3) == 0;
    if sorted && single && masked {
        Ok(())
    } else {
        Err(Errno::EINVAL)
    }
}

/// The mode and the lists of a new inode, from the default list of its directory
/// (`posix_acl_create`; only that list can make the umask not count).
pub fn of_new_inode(default: Option<&Acl>, mode: u32, umask: u32, directory: bool) -> (u32, Acls) {
    let Some(default) = default else {
        return (mode & !umask, Acls::default());
    };
    let (mode, access) = default.inherit(mode);
    (
        mode,
        Acls {
            access,
            default: directory.then(|| default.clone()),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xattr(entries: &[(u16, u16, u32)]) -> Vec<u8> {
        let mut value = 2u32.to_le_bytes().to_vec();
        for (tag, perm, id) in entries {
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&perm.to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    fn acl(entries: &[(u16, u16, u32)]) -> Acl {
        Acl::from_xattr(&xattr(entries)).unwrap().unwrap()
    }

    const FULL: &[(u16, u16, u32)] = &[
        (1, 7, NO_ID),
        (2, 6, 1000),
        (4, 5, NO_ID),
        (8, 7, 50),
        (16, 6, NO_ID),
        (32, 4, NO_ID),
    ];

    #[test]
    fn round_trips() {
        assert_eq!(acl(FULL).to_xattr(), xattr(FULL));
    }

    #[test]
    fn mode_is_the_masks_group() {
        assert_eq!(acl(FULL).mode(), (0o764, false));
        assert_eq!(
            acl(&[(1, 6, NO_ID), (4, 4, NO_ID), (32, 0, NO_ID)]).mode(),
            (0o640, true)
        );
    }

    #[test]
    fn a_lone_mask_is_no_equivalent_mode() {
        let list = acl(&[(1, 6, NO_ID), (4, 7, NO_ID), (16, 4, NO_ID), (32, 0, NO_ID)]);
        assert_eq!(list.mode(), (0o640, false));
    }

    #[test]
    fn chmod_sets_the_mask_and_leaves_the_group() {
        let changed = acl(FULL).chmod(0o701);
        assert_eq!(changed.mode(), (0o701, false));
        assert_eq!(
            changed,
            acl(&[
                (1, 7, NO_ID),
                (2, 6, 1000),
                (4, 5, NO_ID),
                (8, 7, 50),
                (16, 0, NO_ID),
                (32, 1, NO_ID)
            ])
        );
    }

    #[test]
    fn inheritance_ignores_the_umask_and_intersects() {
        let (mode, acls) = of_new_inode(Some(&acl(FULL)), 0o100666, 0o077, false);
        assert_eq!(mode, 0o100664);
        assert_eq!(acls.default, None);
        assert_eq!(acls.access.unwrap().mode(), (0o664, false));
        let (mode, acls) = of_new_inode(None, 0o100666, 0o077, false);
        assert_eq!((mode, acls), (0o100600, Acls::default()));
    }

    #[test]
    fn an_equivalent_default_list_leaves_only_a_mode() {
        let list = acl(&[(1, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)]);
        let (mode, acls) = of_new_inode(Some(&list), 0o040777, 0, true);
        assert_eq!(mode, 0o040750);
        assert_eq!(
            acls,
            Acls {
                access: None,
                default: Some(list)
            }
        );
    }

    #[test]
    fn malformed_lists_are_refused() {
        let einval: &[&[(u16, u16, u32)]] = &[
            &[(1, 7, NO_ID)],
            &[(1, 8, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)],
            &[(4, 5, NO_ID), (1, 7, NO_ID), (32, 0, NO_ID)],
            &[(1, 7, NO_ID), (1, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)],
            &[(1, 7, NO_ID), (2, 7, 5), (4, 5, NO_ID), (32, 0, NO_ID)],
            &[
                (1, 7, NO_ID),
                (2, 7, NO_ID),
                (4, 5, NO_ID),
                (16, 7, NO_ID),
                (32, 0, NO_ID),
            ],
            &[(3, 7, NO_ID), (4, 5, NO_ID), (32, 0, NO_ID)],
        ];
        for entries in einval {
            assert_eq!(
                Acl::from_xattr(&xattr(entries)),
                Err(Errno::EINVAL),
                "{entries:?}"
            );
        }
        assert_eq!(Acl::from_xattr(&[]), Err(Errno::EINVAL));
        assert_eq!(Acl::from_xattr(&[1, 0, 0, 0]), Err(Errno::EOPNOTSUPP));
        assert_eq!(Acl::from_xattr(&[2, 0, 0, 0]), Ok(None));
        assert_eq!(Acl::from_xattr(&[2, 0, 0, 0, 1]), Err(Errno::EINVAL));
    }
}
