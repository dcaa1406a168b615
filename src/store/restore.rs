//! A store from what a recorder kept of another one: each part is checked against the others, none is trusted.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use super::acl::Acl;
use super::directory::{Cookie, Directory};
use super::ids;
use super::inode::Inode;
use super::parts::{Parts, Table};
use super::record::{AclKind, Entity, InodeImage, KindImage, Limits, Recorder, SuperImage};
use super::superblock::{Superblock, Tree};
use crate::data::PAGE_SIZE;
use crate::slots::{Slots, Survivors};
use crate::types::{Ino, InoMap, InoSet};

/// What the entities that were recorded last say.
#[derive(Debug, Default)]
pub struct Contents {
    top: Option<SuperImage>,
    limits: Option<Limits>,
    inodes: Table,
    names: InoMap<Names>,
    /// The parts go together: nothing was taken in since they were looked at.
    sound: bool,
}

#[derive(Debug)]
struct Names {
    next: Cookie,
    entries: BTreeMap<Cookie, (Box<[u8]>, Ino)>,
}

impl Default for Names {
    fn default() -> Names {
        Names {
            next: Cookie::FIRST,
            entries: BTreeMap::new(),
        }
    }
}

/// A directory's places are positions of its stream, which are signed for programs (`off_t`).
const PLACES: u64 = i64::MAX as u64;
/// The largest file has so many (`MAX_LFS_FILESIZE`).
const PAGES: u64 = i64::MAX as u64 / PAGE_SIZE + 1;

/// Why the parts do not go together.
type Result<T> = std::result::Result<T, String>;

impl Contents {
    /// Takes in what was recorded after all that was taken in before.
    pub fn apply(&mut self, entity: Entity<'_>) {
        self.sound = false;
        match entity {
            Entity::Super(top) => self.top = Some(top),
            Entity::Limits(limits) => self.limits = Some(limits),
            Entity::Inode(image) => self.parts(image.ino).image = Some(image),
            Entity::InodeGone(ino) => {
                self.inodes.remove(ino);
                self.names.remove(&ino);
            }
            Entity::Target { ino, target } => self.parts(ino).target = Some(target.into()),
            Entity::Directory {
                ino,
                parent,
                next,
                label,
            } => {
                let label = label.map(|label| label.into());
                self.parts(ino).directory = Some((parent, label));
                self.reach(ino, next);
            }
            Entity::Dentry {
                dir,
                cookie,
                name,
                ino,
            } => {
                let names = self.reach(dir, Cookie(cookie.0.saturating_add(1)));
                names.entries.insert(cookie, (name.into(), ino));
            }
            Entity::DentryGone { dir, cookie } => {
                let names = self.reach(dir, Cookie(cookie.0.saturating_add(1)));
                names.entries.remove(&cookie);
            }
            Entity::Xattr { ino, name, value } => {
                self.parts(ino).xattrs.set(&name, Some(&value));
            }
            Entity::XattrGone { ino, name } => self.parts(ino).xattrs.set(&name, None),
            Entity::Acl { ino, which, list } => {
                let list = Acl::from_xattr(&list).ok().flatten();
                let acls = &mut self.parts(ino).acls;
                match which {
                    AclKind::Access => acls.access = list,
                    AclKind::Default => acls.default = list,
                }
            }
            // Others keep notes.
            Entity::Note { .. } => {}
        }
    }

    fn parts(&mut self, ino: Ino) -> &mut Parts {
        self.inodes.entry(ino)
    }

    /// The names of a directory whose next place is `next` or a later one.
    fn reach(&mut self, dir: Ino, next: Cookie) -> &mut Names {
        let names = self.names.entry(dir).or_default();
        names.next = names.next.max(next);
        names
    }

    /// The limits; `None` where none were recorded.
    pub fn limits(&self) -> Option<Limits> {
        self.limits
    }

    /// How many inodes and how many names there are.
    pub fn counts(&self) -> (usize, usize) {
        let names = self.names.values().map(|names| names.entries.len());
        (self.inodes.len(), names.sum())
    }

    /// Nothing was recorded at all.
    pub fn is_empty(&self) -> bool {
        self.top.is_none() && self.inodes.is_empty() && self.names.is_empty()
    }

    /// Whether the parts go together.
    pub fn check(&mut self) -> Result<()> {
        if self.sound || self.is_empty() {
            return Ok(());
        }
        let top = self.top.ok_or("nothing says which the root is")?;
        if self.above(top.root) != Some(top.root) {
            return Err(format!(
                "the root {:?} is no directory of its own",
                top.root
            ));
        }
        if !ids::may_be_gone(top.numbers) {
            return Err("more numbers are set aside than there are".to_owned());
        }
        for (ino, parts) in self.inodes.iter() {
            self.check_inode(ino, parts)?;
        }
        self.check_names(top.root)?;
        let mut sure = InoSet::default();
        let directories = self.inodes.iter().filter(|(_, it)| it.directory.is_some());
        for (ino, _) in directories {
            self.check_ancestors(ino, &mut sure)?;
        }
        self.sound = true;
        Ok(())
    }

    fn check_inode(&self, ino: Ino, parts: &Parts) -> Result<()> {
        let image = parts
            .image
            .ok_or_else(|| format!("{ino:?} has parts and is not there"))?;
        check_image(&image)?;
        let (is_dir, is_link) = match image.kind {
            KindImage::Directory => (true, false),
            KindImage::Symlink => (false, true),
            KindImage::Regular
            | KindImage::Fifo
            | KindImage::Socket
            | KindImage::CharDevice(_)
            | KindImage::BlockDevice(_) => (false, false),
        };
        if (parts.directory.is_some(), parts.target.is_some()) != (is_dir, is_link) {
            return Err(format!(
                "{ino:?} is {:?}, and its parts are not",
                image.kind
            ));
        }
        match &parts.directory {
            Some((parent, Some(_))) if self.above(*parent).is_none() => {
                Err(format!("{ino:?} is hidden in what is no directory"))
            }
            _ => Ok(()),
        }
    }

    /// Each name leads somewhere, and to a directory no more than one does.
    fn check_names(&self, root: Ino) -> Result<()> {
        let mut led_to = InoSet::from_iter([root]);
        for (&dir, names) in &self.names {
            if self.above(dir).is_none() {
                return Err(format!("there are names in {dir:?}, which is no directory"));
            }
            if names.next.0 > PLACES {
                return Err(format!("{dir:?} has no place left"));
            }
            let mut seen = HashSet::new();
            for (name, ino) in names.entries.values() {
                if !seen.insert(name) {
                    return Err(format!("{dir:?} has a name twice"));
                }
                let parts = self.inodes.get(*ino);
                let parts = parts.ok_or_else(|| format!("a name in {dir:?} leads to nothing"))?;
                match &parts.directory {
                    Some((parent, label))
                        if *parent != dir || label.is_some() || !led_to.insert(*ino) =>
                    {
                        return Err(format!(
                            "a name in {dir:?} leads to a directory of another place"
                        ));
                    }
                    Some(_) | None => {}
                }
            }
        }
        Ok(())
    }

    /// The way up ends: at the root, or at a directory that is gone. What is `sure` was looked at before.
    fn check_ancestors(&self, ino: Ino, sure: &mut InoSet) -> Result<()> {
        let (mut at, mut way) = (ino, InoSet::default());
        while let Some(parent) = self.above(at).filter(|&parent| parent != at) {
            if sure.contains(&at) {
                break;
            }
            if !way.insert(at) {
                return Err(format!("the way up from {ino:?} does not end"));
            }
            at = parent;
        }
        sure.extend(way);
        Ok(())
    }

    fn above(&self, ino: Ino) -> Option<Ino> {
        let directory = self.inodes.get(ino)?.directory.as_ref()?;
        Some(directory.0)
    }

    /// How many names each inode has, and how many directories each directory.
    fn count_links(&self) -> (InoMap<u32>, InoMap<u32>) {
        let (mut names, mut below) = (InoMap::default(), InoMap::default());
        for (&dir, of_dir) in &self.names {
            for &(_, ino) in of_dir.entries.values() {
                *names.entry(ino).or_insert(0) += 1;
                if self.above(ino).is_some() {
                    *below.entry(dir).or_insert(0) += 1;
                }
            }
        }
        (names, below)
    }
}

/// What no inode can be would be taken for something else: a scratch file, another type, `UTIME_NOW`.
fn check_image(image: &InodeImage) -> Result<()> {
    let InodeImage { ino, mode, .. } = *image;
    let times = [image.atime, image.mtime, image.ctime, image.btime];
    let mut times = times.into_iter().chain(image.unseen_ctime);
    if !ids::is_number(ino) {
        Err(format!("{ino:?} is no number of an inode"))
    } else if mode & !0o7777 != 0 {
        Err(format!("{ino:?} has the permissions {mode:o}"))
    } else if times.any(|time| time.nsec >= 1_000_000_000) {
        Err(format!("a time of {ino:?} is none"))
    } else if image.reserved > PAGES {
        Err(format!("{ino:?} has more pages than a file can have"))
    } else {
        Ok(())
    }
}

/// What `ino` has as its link count: nobody recorded it.
fn links(ino: Ino, parts: &Parts, names: u32, directories: u32) -> u32 {
    match &parts.directory {
        None => names,
        Some((parent, label)) if names > 0 || label.is_some() || *parent == ino => 2 + directories,
        Some(_) => 0,
    }
}

impl Superblock {
    /// The store that `contents` are of; its history goes on in `recorder`.
    ///
    /// Inodes take their slots from `survivors`; one without is known to the kernel for all we know.
    pub fn restore(
        mut contents: Contents,
        limits: Limits,
        (slots, survivors): (Slots, &mut Survivors),
        recorder: Option<Arc<dyn Recorder>>,
    ) -> Result<Superblock> {
        contents.check()?;
        let top = contents.top.ok_or("nothing was recorded")?;
        let (named, below) = contents.count_links();
        let mut tree = Tree::empty();
        let mut space = 0;
        for (ino, mut parts) in contents.inodes.drain() {
            let count = |of: &InoMap<u32>| of.get(&ino).copied().unwrap_or(0);
            let links = links(ino, &parts, count(&named), count(&below));
            let directory = parts.directory.take();
            let hidden = directory.as_ref().is_some_and(|(_, label)| label.is_some());
            let inode = Inode::restore(parts, links, survivors.take(&slots, ino.0));
            let inode = inode.ok_or("an inode is not there")?;
            space += inode.space(hidden);
            tree.inodes.insert(ino, Arc::new(inode));
            if let Some((parent, label)) = directory {
                let mut directory = Directory::new(parent);
                directory.hidden = label;
                tree.directories.insert(ino, Box::new(directory));
            }
        }
        for (dir, Names { next, entries }) in contents.names {
            let Tree {
                directories,
                hasher,
                ..
            } = &mut tree;
            if let Some(directory) = directories.get_mut(&dir) {
                directory.restore(hasher, next, entries);
            }
        }
        tree.find_places();
        Ok(Superblock::with(tree, top, limits, space, slots, recorder))
    }
}
