//! readdir.

use super::{Dir, Entry, Face, FileKey, Fs};
use crate::errno::Result;
use crate::store::{Cookie, Inode, Tree};
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
    /// What a file of an export is to the kernel.
    pub key: Option<FileKey>,
    /// Its attributes, where they were asked for; never for `.` and `..`.
    pub entry: Option<Entry>,
}

/// Marks the position of an entry of a view's own: those come first, the root's after them.
pub(super) const OWN: u64 = 1 << 62;

impl Fs {
    /// Hands the entries after `from` to `add` until that answers `false`.
    ///
    /// With [`Listing::plus`], each entry comes with its attributes, and each that `add` took counts as looked up.
    pub fn readdir(
        &self,
        of: impl Into<Dir>,
        from: DirPosition,
        listing: Listing,
        mut add: impl FnMut(&DirEntry<'_>) -> bool,
    ) -> Result<()> {
        let of = of.into();
        let tree = self.superblock.tree();
        tree.directory(of.ino)?;
        let exported = match of.face {
            Face::Export(id) => Some(id),
            Face::Tree | Face::View(_) => None,
        };
        if !listing.noatime && exported.is_none() {
            let inode = tree.inode(of.ino)?;
            self.touch_atime(inode, &mut inode.state());
        }
        // What is above a place without a way up is itself.
        let above = self.above(&tree, of)?.unwrap_or(of.ino);
        let dots = [
            (b".".as_slice(), of.ino, START, AFTER_DOT),
            (b"..", above, AFTER_DOT, AFTER_DOTDOT),
        ];
        for (name, ino, at, next) in dots {
            let next = DirPosition(next);
            if from.0 <= at
                && !add(&DirEntry {
                    name,
                    ino,
                    type_bits: libc::S_IFDIR,
                    next,
                    key: None,
                    entry: None,
                })
            {
                return Ok(());
            }
        }
        if let Some(id) = exported {
            return self.list_export(&tree, id, of.ino, from, listing, &mut add);
        }
        let started = from.0 >= Cookie::FIRST.0;
        let Some(window) = self.window(&tree, of)? else {
            let after = started.then_some(Cookie(from.0));
            self.stream(&tree, of.ino, after, 0, listing, &mut add, |_| None)?;
            return Ok(());
        };
        let in_own = !started || from.0 & OWN != 0;
        if in_own {
            let after = started.then_some(Cookie(from.0 & !OWN));
            if !self.stream(&tree, window.own, after, OWN, listing, &mut add, |_| None)? {
                return Ok(());
            }
        }
        let after = (!in_own).then_some(Cookie(from.0));
        let shows = |entry: &[u8]| Some(window.shows(&tree, entry));
        self.stream(&tree, self.root(), after, 0, listing, &mut add, shows)?;
        Ok(())
    }

    /// Hands the entries of one directory to `add`; says whether that took all.
    ///
    /// `shows` may give another name for an entry, or say that there is none.
    #[allow(clippy::too_many_arguments)]
    pub(super) fn stream(
        &self,
        tree: &Tree,
        ino: Ino,
        after: Option<Cookie>,
        mark: u64,
        listing: Listing,
        add: &mut impl FnMut(&DirEntry<'_>) -> bool,
        shows: impl Fn(&[u8]) -> Option<Option<Vec<u8>>>,
    ) -> Result<bool> {
        for (cookie, dentry) in tree.directory(ino)?.stream(after) {
            let shown = match shows(&dentry.name) {
                Some(None) => continue,
                Some(Some(name)) => Some(name),
                None => None,
            };
            let child: &Inode = tree.inode(dentry.ino)?;
            let entry = if listing.plus {
                Some(self.entry(tree, child)?)
            } else {
                None
            };
            let taken = add(&DirEntry {
                name: shown.as_deref().unwrap_or(&dentry.name),
                ino: dentry.ino,
                type_bits: child.kind.type_bits(),
                next: DirPosition(cookie.0 | mark),
                key: None,
                entry,
            });
            if !taken {
                return Ok(false);
            }
            if listing.plus {
                child.raise_lookups();
            }
        }
        Ok(true)
    }
}
