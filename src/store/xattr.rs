//! The extended attributes of one inode: bytes by name, and what they cost.

use std::collections::BTreeMap;

/// `XATTR_NAME_MAX`.
pub const NAME_MAX: usize = 255;
/// `XATTR_SIZE_MAX`.
pub const VALUE_MAX: usize = 65536;

/// Attributes in the order of their names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Xattrs {
    values: BTreeMap<Box<[u8]>, Box<[u8]>>,
}

/// What one attribute takes of the budget for inodes, in bytes (`simple_xattr_space`, fs/xattr.c).
pub fn space(name: &[u8], size: usize) -> u64 {
    40 + size as u64 + name.len() as u64
}

impl Xattrs {
    /// The value of `name`.
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        self.values.get(name).map(AsRef::as_ref)
    }

    /// Sets or, with `None`, removes.
    pub(super) fn set(&mut self, name: &[u8], value: Option<&[u8]>) {
        match value {
            Some(value) => self.values.insert(name.into(), value.into()),
            None => self.values.remove(name),
        };
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// All names, the last first: so tmpfs lists them (`simple_xattr_list` walks a tree that is kept in that order).
    pub fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.values.keys().rev().map(AsRef::as_ref)
    }

    /// All names and values, sorted.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.values
            .iter()
            .map(|(name, value)| (name.as_ref(), value.as_ref()))
    }

    /// What all of them take of the budget for inodes, in bytes.
    pub fn space(&self) -> u64 {
        self.values
            .iter()
            .map(|(name, value)| space(name, value.len()))
            .sum()
    }
}
