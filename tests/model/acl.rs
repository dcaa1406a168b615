//! Access control lists as acl(5) tells them: whom they speak of, by name.

use std::collections::BTreeMap;

use shmfs::errno::Errno;

const NO_ID: u32 = u32::MAX;

/// What a value of `system.posix_acl_*` is made from.
#[derive(Clone, Debug)]
pub enum AclValue {
    /// A list in its order.
    List(List),
    /// No entries: the list is to be removed.
    Empty,
    /// Version 1.
    OtherVersion,
    /// A named user without a mask.
    Unmasked,
    /// Cut off.
    Short,
}

/// A valid list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct List {
    pub owner: u32,
    pub users: BTreeMap<u32, u32>,
    pub group: u32,
    pub groups: BTreeMap<u32, u32>,
    pub mask: Option<u32>,
    pub other: u32,
}

impl AclValue {
    /// The bytes that a program would hand to setxattr(2).
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            AclValue::List(list) => list.bytes(),
            AclValue::Empty => vec![2, 0, 0, 0],
            AclValue::OtherVersion => vec![1, 0, 0, 0],
            AclValue::Unmasked => {
                encode(&[(1, 7, NO_ID), (2, 7, 9), (4, 5, NO_ID), (32, 5, NO_ID)])
            }
            AclValue::Short => vec![2, 0, 0, 0, 1, 0, 7],
        }
    }

    /// What the kernel reads from those.
    pub fn parsed(&self) -> Result<Option<List>, Errno> {
        match self {
            AclValue::List(list) => Ok(Some(list.clone())),
            AclValue::Empty => Ok(None),
            AclValue::OtherVersion => Err(Errno::EOPNOTSUPP),
            AclValue::Unmasked | AclValue::Short => Err(Errno::EINVAL),
        }
    }
}

impl List {
    /// The entries in the order that the kernel wants.
    pub fn bytes(&self) -> Vec<u8> {
        let mut entries = vec![(1, self.owner, NO_ID)];
        entries.extend(self.users.iter().map(|(&id, &perm)| (2, perm, id)));
        entries.push((4, self.group, NO_ID));
        entries.extend(self.groups.iter().map(|(&id, &perm)| (8, perm, id)));
        entries.extend(self.mask.map(|perm| (16, perm, NO_ID)));
        entries.push((32, self.other, NO_ID));
        encode(&entries)
    }

    /// Whether permission bits can say the same.
    pub fn is_minimal(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty() && self.mask.is_none()
    }

    /// The permission bits: the group's are the mask's, where there is one.
    pub fn bits(&self) -> u32 {
        self.owner << 6 | self.mask.unwrap_or(self.group) << 3 | self.other
    }

    /// The list after chmod(2).
    pub fn chmod(&self, mode: u32) -> List {
        let mut list = self.clone();
        list.owner = mode >> 6 & 7;
        list.other = mode & 7;
        *list.group_class() = mode >> 3 & 7;
        list
    }

    /// The list of an object created with `mode` under this default list.
    pub fn inherited(&self, mode: u32) -> List {
        let mut list = self.clone();
        list.owner &= mode >> 6;
        list.other &= mode;
        *list.group_class() &= mode >> 3;
        list
    }

    fn group_class(&mut self) -> &mut u32 {
        self.mask.as_mut().unwrap_or(&mut self.group)
    }
}

fn encode(entries: &[(u16, u32, u32)]) -> Vec<u8> {
    let mut bytes = vec![2, 0, 0, 0];
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend((*perm as u16).to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}
