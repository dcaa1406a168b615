//! readdir.

use super::{Entry, Fs};
use crate::errno::Result;
use crate::store::{Cookie, Inode};
use crate::types::Ino;

/// Where a stream goes on: what the kernel hands back from the last entry that it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DirPosition(pub u64);

const START: u64 = 0;
const AFTER_DOT: u64 = 1;
const AFTER_DOTDOT: u64 = 2;

/// What is wanted of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Attributes with the names.
    pub plus: bool,
    /// Reading moves no atime (`O_NOATIME`).
    pub noatime: bool,
}

/// One entry of a stream.
#[derive(Debug)]
pub struct DirEntry<'a> {
    /// The name's bytes.
    pub name: &'a [u8],
    /// The inode's number.
    pub ino: Ino,
    /// The type bits of its mode.
    pub type_bits: u32,
    /// Where the stream goes on after it.
    pub next: DirPosition,
    /// Its attributes, where they were asked for; never for `.` and `..`.
    pub entry: Option<Entry>,
}

impl Fs {
    /// Hands the entries after `from` to `add` until that answers `false`.
    ///
    /// With [`Listing::plus`], each entry comes with its attributes, and each that `add` took counts as looked up.
    pub fn readdir(
        &self,
        ino: Ino,
        from: DirPosition,
        listing: Listing,
        mut add: impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<()> {
        let tree = self.superblock.tree();
        let directory = tree.directory(ino)?;
        let inode = tree.inode(ino)?;
        if !listing.noatime {
            self.touch_atime(&mut inode.state(), true);
        }
        let dots = [
            (b".".as_slice(), ino, START, AFTER_DOT),
            (b"..", directory.parent, AFTER_DOT, AFTER_DOTDOT),
        ];
        for (name, ino, at, next) in dots {
            let next = DirPosition(next);
            if from.0 <= at
                && !add(&DirEntry {
                    name,
                    ino,
                    type_bits: libc::S_IFDIR,
                    next,
                    entry: None,
                })
            {
                return Ok(());
            }
        }
        let after = (from.0 >= Cookie::FIRST.0).then_some(Cookie(from.0));
        for (cookie, dentry) in directory.stream(after) {
            let child: &Inode = tree.inode(dentry.ino)?;
            let entry = if listing.plus {
                Some(self.entry(&tree, child)?)
            } else {
                None
            };
            let next = DirPosition(cookie.0);
            let type_bits = child.kind.type_bits();
            if !add(&DirEntry {
                name: &dentry.name,
                ino: dentry.ino,
                type_bits,
                next,
                entry,
            }) {
                return Ok(());
            }
            if listing.plus {
                child.raise_lookups();
            }
        }
        Ok(())
    }
}
