//! The naive model: a map from paths to objects. Slow, and easy to see to be right.
//!
//! What can be counted is counted anew each time: links, inodes, pages.

use std::collections::BTreeMap;

use shmfs::errno::{Errno, Result};
use shmfs::types::Timestamp;

use crate::acl::List;
use crate::contents::Contents;
use crate::generators::{Made, Who};
use crate::times::{Mark, Marks};

/// An object.
pub type Id = usize;
/// The root directory.
pub const ROOT: Id = 0;
/// The names from the root on.
pub type Path = Vec<Vec<u8>>;

/// `BOGO_INODE_SIZE`.
const INODE: u64 = 1024;

/// What an object is.
#[derive(Clone, Debug)]
pub enum What {
    File(Contents),
    Dir,
    Symlink(Vec<u8>),
    /// The last is the device.
    Other(Made, u32),
}

/// An object.
#[derive(Clone, Debug)]
pub struct Node {
    pub what: What,
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// atime, mtime, ctime as they were last seen.
    pub times: [Timestamp; 3],
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    pub access: Option<List>,
    pub default: Option<List>,
    pub lookups: u64,
    pub opens: u32,
    /// Attributes can change without a request.
    pub exposed: bool,
    /// mtime was set, and what the page cache writes back leaves it alone.
    pub pinned: bool,
}

/// A name: what it stands for, and when it came to its place.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    pub id: Id,
    pub seq: u64,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Model {
    pub nodes: BTreeMap<Id, Node>,
    pub names: BTreeMap<Path, Name>,
    pub marks: BTreeMap<Id, Marks>,
    pub passthrough: bool,
    /// Pages at most.
    pub pages: u64,
    /// Inodes at most.
    pub inodes: u64,
    next_id: Id,
    next_seq: u64,
}

impl Model {
    pub fn new(passthrough: bool, pages: u64, inodes: u64, root_mode: u32) -> Model {
        let mut model = Model {
            nodes: BTreeMap::new(),
            names: BTreeMap::new(),
            marks: BTreeMap::new(),
            passthrough,
            pages,
            inodes,
            next_id: ROOT,
            next_seq: 1,
        };
        model.add_node(What::Dir, root_mode, (0, 0));
        model.node_mut(ROOT).lookups = 1;
        model
    }

    pub fn node(&self, id: Id) -> &Node {
        &self.nodes[&id]
    }

    pub fn node_mut(&mut self, id: Id) -> &mut Node {
        self.nodes
            .get_mut(&id)
            .expect("the harness picks objects that exist")
    }

    fn add_node(&mut self, what: What, mode: u32, (uid, gid): (u32, u32)) -> Id {
        let id = self.next_id;
        self.next_id += 1;
        let node = Node {
            what,
            mode,
            uid,
            gid,
            times: [Timestamp::default(); 3],
            xattrs: BTreeMap::new(),
            access: None,
            default: None,
            lookups: 0,
            opens: 0,
            exposed: false,
            pinned: false,
        };
        self.nodes.insert(id, node);
        let (atime, mtime, ctime) = (Mark::Touched, Mark::Touched, Mark::Touched);
        self.marks.insert(
            id,
            Marks {
                atime,
                mtime,
                ctime,
                together: true,
            },
        );
        id
    }

    pub fn add_name(&mut self, path: Path, id: Id) {
        let seq = self.next_seq;
        self.next_seq += 1;
        assert!(self.names.insert(path, Name { id, seq }).is_none());
    }

    /// The paths of an object; the root's is not among them.
    pub fn paths(&self, id: Id) -> Vec<Path> {
        self.names
            .iter()
            .filter(|(_, name)| name.id == id)
            .map(|(path, _)| path.clone())
            .collect()
    }

    pub fn is_dir(&self, id: Id) -> bool {
        matches!(self.node(id).what, What::Dir)
    }

    pub fn is_orphan(&self, id: Id) -> bool {
        id != ROOT && self.paths(id).is_empty()
    }

    /// The path of a directory that has one.
    pub fn dir_path(&self, dir: Id) -> Option<Path> {
        if dir == ROOT {
            Some(Path::new())
        } else {
            self.paths(dir).pop()
        }
    }

    /// What is in a directory, by name.
    pub fn children(&self, dir: Id) -> Vec<(Vec<u8>, Name)> {
        let Some(path) = self.dir_path(dir) else {
            return Vec::new();
        };
        let inside = |child: &Path| child.len() == path.len() + 1 && child.starts_with(&path);
        let children = self.names.iter().filter(|(child, _)| inside(child));
        children
            .map(|(child, name)| (child[path.len()].clone(), *name))
            .collect()
    }

    /// Where a name in a directory is, or would be; in a removed directory there is no such place.
    pub fn place(&self, dir: Id, name: &[u8]) -> Result<Option<Path>> {
        if !self.is_dir(dir) {
            return Err(Errno::ENOTDIR);
        }
        let join = |mut path: Path| {
            path.push(name.to_vec());
            path
        };
        Ok(self.dir_path(dir).map(join))
    }

    pub fn find(&self, dir: Id, name: &[u8]) -> Result<Option<Id>> {
        Ok(self
            .place(dir, name)?
            .and_then(|path| self.names.get(&path))
            .map(|name| name.id))
    }

    pub fn nlink(&self, id: Id) -> u32 {
        if self.is_orphan(id) {
            return 0;
        }
        if !self.is_dir(id) {
            return self.paths(id).len() as u32;
        }
        2 + self
            .children(id)
            .iter()
            .filter(|(_, child)| self.is_dir(child.id))
            .count() as u32
    }

    /// What stat(2) shows as the size.
    pub fn size(&self, id: Id) -> u64 {
        match &self.node(id).what {
            What::File(contents) => contents.bytes.len() as u64,
            What::Dir => 20 * (2 + self.children(id).len() as u64),
            What::Symlink(target) => target.len() as u64,
            What::Other(..) => 0,
        }
    }

    /// Pages that it takes of the limit.
    fn pages_of(node: &Node) -> u64 {
        match &node.what {
            What::File(contents) => contents.reserved,
            What::Symlink(target) => u64::from(target.len() >= 128),
            What::Dir | What::Other(..) => 0,
        }
    }

    pub fn used_pages(&self) -> u64 {
        self.nodes.values().map(Model::pages_of).sum()
    }

    pub fn used_inode_space(&self) -> u64 {
        let space = |(&id, node): (&Id, &Node)| {
            let links = if self.is_dir(id) {
                1
            } else {
                self.paths(id).len().max(1)
            } as u64;
            let xattrs = node.xattrs.iter();
            links * INODE
                + xattrs
                    .map(|(name, value)| (40 + name.len() + value.len()) as u64)
                    .sum::<u64>()
        };
        self.nodes.iter().map(space).sum()
    }

    /// Whether the budget for inodes has room for `space` bytes more.
    pub fn take_inode_space(&self, space: u64) -> Result<()> {
        if self.used_inode_space() + space > self.inodes * INODE {
            Err(Errno::ENOSPC)
        } else {
            Ok(())
        }
    }

    /// Objects that nothing leads to are gone.
    pub fn evict(&mut self) {
        let gone = |(&id, node): (&Id, &Node)| {
            (self.is_orphan(id) && node.lookups == 0 && node.opens == 0).then_some(id)
        };
        for id in self.nodes.iter().filter_map(gone).collect::<Vec<_>>() {
            self.nodes.remove(&id);
        }
    }

    /// A new object under a new name, its checks done.
    fn make(&mut self, who: Who, dir: Id, path: Path, what: What, mode: u32, umask: u32) -> Id {
        let parent = self.node(dir).clone();
        let is_dir = matches!(what, What::Dir);
        let setgid = parent.mode & 0o2000 != 0;
        let gid = if setgid { parent.gid } else { who.gid() };
        let mode = if setgid && is_dir {
            mode | 0o2000
        } else {
            mode
        };
        let is_symlink = matches!(what, What::Symlink(_));
        let id = self.add_node(what, mode & !umask, (who.uid(), gid));
        if let (Some(default), false) = (&parent.default, is_symlink) {
            let list = default.inherited(mode);
            let node = self.node_mut(id);
            node.mode = mode & !0o777 | list.bits();
            node.access = (!list.is_minimal()).then_some(list);
            node.default = is_dir.then(|| default.clone());
        }
        self.add_name(path, id);
        self.touch_data(dir);
        id
    }

    /// mknod, mkdir, symlink and create.
    pub fn create(
        &mut self,
        who: Who,
        dir: Id,
        name: &[u8],
        what: What,
        mode: u32,
        umask: u32,
    ) -> Result<Id> {
        check_name(name)?;
        if let What::Symlink(target) = &what {
            if target.len() >= 128 && self.used_pages() >= self.pages {
                return Err(Errno::ENOSPC);
            }
        }
        let path = self.place(dir, name)?;
        if self.find(dir, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let path = path.ok_or(Errno::ENOENT)?;
        self.take_inode_space(INODE)?;
        Ok(self.make(who, dir, path, what, mode, umask))
    }

    pub fn link(&mut self, id: Id, dir: Id, name: &[u8]) -> Result<()> {
        check_name(name)?;
        if self.is_dir(id) {
            return Err(Errno::EPERM);
        }
        let path = self.place(dir, name)?;
        if self.find(dir, name)?.is_some() {
            return Err(Errno::EEXIST);
        }
        let path = path.ok_or(Errno::ENOENT)?;
        if self.is_orphan(id) {
            return Err(Errno::ENOENT);
        }
        self.take_inode_space(INODE)?;
        self.add_name(path, id);
        self.touch_data(dir);
        self.touch_ctime(id);
        Ok(())
    }

    /// The sticky bit.
    fn check_sticky(&self, who: Who, dir: Id, id: Id) -> Result<()> {
        let (dir, node) = (self.node(dir), self.node(id));
        if dir.mode & 0o1000 == 0 || who == Who::Root || [dir.uid, node.uid].contains(&who.uid()) {
            Ok(())
        } else {
            Err(Errno::EPERM)
        }
    }

    /// unlink and rmdir.
    pub fn remove(&mut self, who: Who, dir: Id, name: &[u8], directory: bool) -> Result<()> {
        check_name(name)?;
        let id = self.find(dir, name)?.ok_or(Errno::ENOENT)?;
        self.check_sticky(who, dir, id)?;
        match (self.is_dir(id), directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            (true, true) if !self.children(id).is_empty() => return Err(Errno::ENOTEMPTY),
            _ => {}
        }
        let path = self.place(dir, name)?.ok_or(Errno::ENOENT)?;
        self.names.remove(&path);
        self.touch_data(dir);
        self.touch_ctime(id);
        Ok(())
    }

    /// Everything below `from` is below `to`.
    fn move_below(&mut self, from: &Path, to: &Path) {
        let inside = |path: &&Path| path.len() > from.len() && path.starts_with(from);
        for path in self
            .names
            .keys()
            .filter(inside)
            .cloned()
            .collect::<Vec<_>>()
        {
            let name = self.names.remove(&path).expect("it was there");
            self.names
                .insert([to.as_slice(), &path[from.len()..]].concat(), name);
        }
    }

    /// rename; `no_replace` where an existing target is an error, `whiteout` where one is left behind.
    pub fn rename(
        &mut self,
        who: Who,
        (from_dir, from_name): (Id, &[u8]),
        (to_dir, to_name): (Id, &[u8]),
        (no_replace, whiteout): (bool, bool),
    ) -> Result<()> {
        let (from, id) = self.source(from_dir, from_name, to_name)?;
        let target = self.find(to_dir, to_name)?;
        let to = self.place(to_dir, to_name)?.ok_or(Errno::ENOENT)?;
        if self.is_dir(id) && to.len() > from.len() && to.starts_with(&from) {
            return Err(Errno::EINVAL);
        }
        match target {
            Some(_) if no_replace => return Err(Errno::EEXIST),
            Some(target) if target == id => return Ok(()),
            Some(target) => self.check_replace(who, to_dir, id, target)?,
            None => {}
        }
        self.check_sticky(who, from_dir, id)?;
        if whiteout {
            self.take_inode_space(INODE)?;
        }
        self.names.remove(&from);
        if let Some(target) = target {
            self.names.remove(&to);
            self.touch_ctime(target);
        }
        self.move_below(&from, &to);
        let renamed = to.clone();
        self.add_name(to, id);
        for dir in [from_dir, to_dir] {
            self.touch_data(dir);
        }
        self.touch_ctime(id);
        if whiteout {
            self.make(who, from_dir, from, What::Other(Made::Char, 0), 0, 0);
            self.renew(&renamed);
        }
        Ok(())
    }

    /// The name's place in its directory's streams is a new one.
    fn renew(&mut self, path: &Path) {
        let seq = self.next_seq;
        self.next_seq += 1;
        self.names.get_mut(path).expect("a name").seq = seq;
    }

    fn source(&self, dir: Id, name: &[u8], to_name: &[u8]) -> Result<(Path, Id)> {
        check_name(name)?;
        check_name(to_name)?;
        let id = self.find(dir, name)?.ok_or(Errno::ENOENT)?;
        Ok((self.place(dir, name)?.ok_or(Errno::ENOENT)?, id))
    }

    fn check_replace(&self, who: Who, dir: Id, id: Id, target: Id) -> Result<()> {
        self.check_sticky(who, dir, target)?;
        match (self.is_dir(id), self.is_dir(target)) {
            (true, false) => Err(Errno::ENOTDIR),
            (false, true) => Err(Errno::EISDIR),
            (true, true) if !self.children(target).is_empty() => Err(Errno::ENOTEMPTY),
            _ => Ok(()),
        }
    }

    pub fn exchange(&mut self, who: Who, a: (Id, &[u8]), b: (Id, &[u8])) -> Result<()> {
        let (path_a, id_a) = self.source(a.0, a.1, b.1)?;
        let target = self.find(b.0, b.1)?;
        let path_b = self.place(b.0, b.1)?.ok_or(Errno::ENOENT)?;
        if self.is_dir(id_a) && path_b.len() > path_a.len() && path_b.starts_with(&path_a) {
            return Err(Errno::EINVAL);
        }
        let id_b = target.ok_or(Errno::ENOENT)?;
        if id_a == id_b {
            return Ok(());
        }
        self.check_sticky(who, b.0, id_b)?;
        if self.is_dir(id_b) && path_a.starts_with(&path_b) {
            return Err(Errno::EINVAL);
        }
        self.check_sticky(who, a.0, id_a)?;
        let aside = vec![b"/aside".to_vec()];
        self.move_below(&path_a, &aside);
        self.move_below(&path_b, &path_a);
        self.move_below(&aside, &path_b);
        self.names.get_mut(&path_a).expect("found above").id = id_b;
        self.names.get_mut(&path_b).expect("found above").id = id_a;
        self.renew(&path_a);
        self.renew(&path_b);
        [a.0, b.0].into_iter().for_each(|dir| self.touch_data(dir));
        [id_a, id_b].into_iter().for_each(|id| self.touch_ctime(id));
        Ok(())
    }
}

pub fn check_name(name: &[u8]) -> Result<()> {
    if name.len() > 255 {
        Err(Errno::ENAMETOOLONG)
    } else {
        Ok(())
    }
}
