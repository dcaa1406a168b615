//! New names: mknod, mkdir, symlink, create, link.

use super::access::{Caller, may_open, may_write};
use super::exports::gate::Zone;
use super::exports::objects::Source;
use super::faces::Located;
use super::{Dir, Entry, Fs, Object, Opened, SetAttr, check_name};
use crate::errno::{Errno, Result};
use crate::export::{Operation, Rights};
use crate::store::acl::{self, Acls};
use crate::store::budget::INODE_SPACE;
use crate::store::change::{Place, TreeChange};
use crate::store::inode::NewInode;
use crate::store::record::Answer;
use crate::store::{DataState, Identity, Tree};
use crate::types::{Ino, Kind, Timestamp};

/// What is to be made.
#[derive(Clone, Debug)]
pub struct NewNode {
    /// Its type.
    pub kind: Kind,
    /// Permissions, before umask and default ACL.
    pub mode: u32,
    /// The caller's umask.
    pub umask: u32,
}

/// How a new file is opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CreateFlags {
    /// `O_EXCL`.
    pub exclusive: bool,
    /// For writing.
    pub writable: bool,
}

impl CreateFlags {
    /// As open(2) says.
    pub fn of(flags: i32) -> CreateFlags {
        CreateFlags {
            exclusive: flags & libc::O_EXCL != 0,
            writable: flags & libc::O_ACCMODE != libc::O_RDONLY,
        }
    }
}

/// How often a name may come and go between looking and making.
const RACES: usize = 100;

/// `SHORT_SYMLINK_LEN` (mm/shmem.c): a longer target, its final NUL counted, takes a page.
const SHORT_SYMLINK: usize = 128;

impl Fs {
    /// Makes a node of any type but a symlink's; mkdir(2) is one of a directory.
    pub fn mknod(
        &self,
        caller: &Caller,
        dir: impl Into<Dir>,
        name: &[u8],
        node: NewNode,
    ) -> Result<Entry> {
        self.may_add()?;
        let data = DataState::default();
        let identity = self.superblock.fresh();
        let operation = operation_of(&node.kind);
        self.create_in(caller, (dir.into(), name), identity, node, data, operation)
    }

    /// Makes a symbolic link.
    pub fn symlink(
        &self,
        caller: &Caller,
        dir: impl Into<Dir>,
        name: &[u8],
        target: &[u8],
    ) -> Result<Entry> {
        check_name(name)?;
        self.may_add()?;
        let identity = self.superblock.fresh();
        let data = if target.len() + 1 > SHORT_SYMLINK {
            self.new_page(&identity, target)?
        } else {
            DataState::default()
        };
        let node = NewNode {
            kind: Kind::Symlink(target.into()),
            mode: 0o777,
            umask: 0,
        };
        let operation = Operation::Special;
        self.create_in(caller, (dir.into(), name), identity, node, data, operation)
    }

    /// Makes a regular file and opens it (`open` with `O_CREAT`).
    ///
    /// Where the name is there already, the kernel did not know of it when it checked permissions: only
    /// `ESTALE` makes it look again. Anything else would open a file unchecked.
    pub fn create(
        &self,
        caller: &Caller,
        dir: impl Into<Dir>,
        name: &[u8],
        node: NewNode,
        flags: CreateFlags,
    ) -> Result<(Entry, Opened)> {
        let operation = Operation::Create {
            exclusive: flags.exclusive,
            read: !flags.writable,
            write: flags.writable,
            truncate: false,
        };
        self.create_as(caller, (dir.into(), name), node, flags, operation)
    }

    fn create_as(
        &self,
        caller: &Caller,
        (dir, name): (Dir, &[u8]),
        node: NewNode,
        flags: CreateFlags,
        operation: Operation,
    ) -> Result<(Entry, Opened)> {
        check_name(name)?;
        self.may_add()?;
        let identity = self.superblock.fresh();
        let data = self.new_open_file(&identity, flags.writable)?;
        let opened = self.opened(&identity.slot, flags.writable);
        match self.create_in(caller, (dir, name), identity, node, data, operation) {
            Ok(entry) => {
                let opened = self.direct(opened, &entry);
                Ok((entry, opened))
            }
            Err(Errno::EEXIST) if !flags.exclusive => Err(Errno::ESTALE),
            Err(errno) => Err(errno),
        }
    }

    /// As [`Fs::create`], where another directory of this tree may have made the name since the kernel looked:
    /// the kernel looks again once only, so what can be decided here is.
    ///
    /// The kernel takes what it gets for new: permission and `O_TRUNC` are ours.
    pub fn create_or_open(
        &self,
        caller: &Caller,
        (dir, name): (Dir, &[u8]),
        node: &NewNode,
        flags: i32,
    ) -> Result<(Entry, Opened)> {
        let create = CreateFlags::of(flags);
        let operation = Operation::Create {
            exclusive: create.exclusive,
            read: flags & libc::O_ACCMODE != libc::O_WRONLY,
            write: create.writable,
            truncate: flags & libc::O_TRUNC != 0,
        };
        // Made and unlinked, made and unlinked: as often as somebody does that just between.
        for _ in 0..RACES {
            match self.create_as(caller, (dir, name), node.clone(), create, operation) {
                Err(Errno::ESTALE) => {}
                other => return other,
            }
            match self.open_made(caller, dir, name, flags) {
                Err(Errno::ENOENT) => {}
                other => return other,
            }
        }
        Err(Errno::ESTALE)
    }

    fn open_made(
        &self,
        caller: &Caller,
        dir: Dir,
        name: &[u8],
        flags: i32,
    ) -> Result<(Entry, Opened)> {
        let truncate = flags & libc::O_TRUNC != 0;
        let read = flags & libc::O_ACCMODE != libc::O_WRONLY;
        let write = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let want = u32::from(read) << 2 | u32::from(write || truncate) << 1;
        let operation = Operation::Open {
            read,
            write,
            truncate,
        };
        let (inode, way) = {
            let tree = self.superblock.tree();
            let at = self.locate(&tree, dir, name)?;
            let there = self.seen(&tree, &at)?;
            at.check(operation, there, false)?;
            let inode = there.ok_or(Errno::ENOENT)?.clone();
            if inode.kind != Kind::Regular {
                return Err(Errno::ESTALE);
            }
            may_open(caller, &inode.state(), want)?;
            let way = self.found_at(&tree, &inode, dir, &at)?.way;
            (inode, way)
        };
        let object = Object {
            way,
            ..Object::from(inode.ino)
        };
        let opened = self.open(object.clone(), write).and_then(|opened| {
            if truncate {
                let empty = SetAttr {
                    size: Some(0),
                    ..SetAttr::default()
                };
                // The answer is the whole of it.
                let truncated = self.set_size(caller, &inode, empty, Answer::Unfinished);
                truncated.inspect_err(|_| self.release(inode.ino))?;
            }
            Ok((self.getattr(object)?, opened))
        });
        opened.inspect_err(|_| self.forget(inode.ino, 1))
    }

    /// The one skeleton of creation; the order of the checks is what a program can see.
    fn create_in(
        &self,
        caller: &Caller,
        (dir, name): (Dir, &[u8]),
        identity: Identity,
        node: NewNode,
        mut data: DataState,
        operation: Operation,
    ) -> Result<Entry> {
        let ino = identity.ino;
        let born = self.birth_time(ino, &data);
        let now = self.clock.now();
        let mut tree = self.superblock.tree_mut();
        let checked = self.locate_mut(&mut tree, dir, name).and_then(|at| {
            self.check_new(&tree, &at, operation, node.kind.is_dir())?;
            self.check_lent(Some(caller), &tree, &at)?;
            self.superblock.inodes.take(INODE_SPACE)?;
            self.enter_pool(&at, &mut data)
                .inspect_err(|_| self.superblock.inodes.give(INODE_SPACE))?;
            self.charge_new(caller, &mut data)
                .inspect_err(|_| self.superblock.inodes.give(INODE_SPACE))?;
            Ok(at)
        });
        let located = match checked {
            Ok(located) => located,
            Err(errno) => {
                drop(tree);
                self.discard(&identity, data);
                return Err(errno);
            }
        };
        let at = located.place();
        // What is recorded has been counted: an answer from the record counts nothing.
        identity.slot.raise_lookups();
        let inode = self.new_inode(caller, &tree, at.dir, identity, node)?;
        let change = TreeChange::Insert {
            at,
            inode,
            born: born.unwrap_or(now),
            data,
        };
        let made = self.commit(&mut tree, change, now, Answer::Made(ino));
        let inode = made.ok_or(Errno::EIO)?;
        self.made_at(&tree, &inode, dir, &located)
    }

    /// Whether something can come to be at a place: the rules on its name first, so that who may not make it learns
    /// nothing of what is there.
    fn check_new(
        &self,
        tree: &Tree,
        at: &Located<'_>,
        operation: Operation,
        makes_dir: bool,
    ) -> Result<()> {
        let place = at.place();
        check_name(place.name)?;
        at.check(operation, tree.find(place.dir, place.name)?, makes_dir)?;
        check_new_name(tree, place)
    }

    /// The kernel has checked the directory of the request: an entry that the root lends to it is the root's
    /// (`may_create`).
    pub(super) fn check_lent(
        &self,
        caller: Option<&Caller>,
        tree: &Tree,
        at: &Located<'_>,
    ) -> Result<()> {
        if !at.lent {
            return Ok(());
        }
        may_write(caller, &tree.inode(self.root())?.state())
    }

    /// Owner, group, mode and ACLs of a new inode (`inode_init_owner`, `posix_acl_create`).
    pub(super) fn new_inode(
        &self,
        caller: &Caller,
        tree: &Tree,
        dir: Ino,
        identity: Identity,
        node: NewNode,
    ) -> Result<NewInode> {
        let parent = tree.inode(tree.authority(dir))?.state();
        let NewNode {
            kind,
            mut mode,
            umask,
        } = node;
        let inherits_group = parent.mode & libc::S_ISGID != 0;
        if inherits_group && kind.is_dir() {
            mode |= libc::S_ISGID;
        }
        let (mode, acls) = match kind {
            Kind::Symlink(_) => (mode, Acls::default()),
            _ => {
                let default = parent.acls.as_ref().and_then(|acls| acls.default.as_ref());
                acl::of_new_inode(default, mode, umask, kind.is_dir())
            }
        };
        let gid = if inherits_group {
            parent.gid
        } else {
            caller.gid
        };
        Ok(NewInode {
            identity,
            kind,
            mode,
            uid: caller.uid,
            gid,
            acls,
        })
    }

    /// When an inode with a data file was born: the kernel stamped the file.
    fn birth_time(&self, ino: Ino, data: &DataState) -> Option<Timestamp> {
        if !data.present {
            return None;
        }
        self.files.stat(ino).ok().map(|stat| stat.ctime)
    }

    /// Gives the inode `ino` another name.
    pub fn link(&self, of: impl Into<Object>, dir: impl Into<Dir>, name: &[u8]) -> Result<Entry> {
        check_name(name)?;
        self.may_add()?;
        let (of, dir) = (of.into(), dir.into());
        let ino = of.ino;
        let mut tree = self.superblock.tree_mut();
        let inode = tree.inode(ino)?.clone();
        if inode.kind.is_dir() {
            return Err(Errno::EPERM);
        }
        let located = self.locate_mut(&mut tree, dir, name)?;
        let at = located.place();
        self.check_link(&tree, &of, dir, &located)?;
        check_new_name(&tree, at)?;
        self.check_lent(None, &tree, &located)?;
        if inode.state().is_orphan() {
            return Err(Errno::ENOENT);
        }
        self.superblock.inodes.take(INODE_SPACE)?;
        let now = self.clock.now();
        let change = TreeChange::Link { at, ino };
        inode.raise_lookups();
        self.commit(&mut tree, change, now, Answer::Made(ino));
        self.made_at(&tree, &inode, dir, &located)
    }

    /// What the rules say of a link: none may give more than the name that there is.
    fn check_link(&self, tree: &Tree, of: &Object, dir: Dir, at: &Located<'_>) -> Result<()> {
        let source = self.source_of_link(tree, of, dir)?;
        let from = match (source, &at.zone) {
            (_, Zone::Free) | (Source::Own, Zone::Layer(_) | Zone::Scratch(_)) => return Ok(()),
            (Source::Ruled(_), Zone::Layer(_) | Zone::Scratch(_)) => return Err(Errno::EXDEV),
            (Source::Ruled(rights), Zone::Ruled(_)) => rights,
            (Source::Own, Zone::Ruled(_)) => Rights::ALL,
        };
        let place = at.place();
        let there = tree.find(place.dir, place.name)?;
        at.check(Operation::LinkTo { from }, there, false)
    }
}

/// What the rules are asked for where a node of this type is made.
fn operation_of(kind: &Kind) -> Operation {
    match kind {
        Kind::Regular => Operation::Create {
            exclusive: true,
            read: false,
            write: false,
            truncate: false,
        },
        Kind::Directory => Operation::Mkdir,
        Kind::Symlink(_)
        | Kind::Fifo
        | Kind::Socket
        | Kind::CharDevice(_)
        | Kind::BlockDevice(_) => Operation::Special,
    }
}

/// Whether `at` can become a name: `ENAMETOOLONG`, `ENOTDIR`, `ENOENT` in a directory that was removed, `EEXIST`.
pub(super) fn check_new_name(tree: &Tree, at: Place<'_>) -> Result<()> {
    check_name(at.name)?;
    if tree.find(at.dir, at.name)?.is_some() || matches!(at.name, b"." | b"..") {
        return Err(Errno::EEXIST);
    }
    if tree.inode(at.dir)?.state().is_orphan() {
        return Err(Errno::ENOENT);
    }
    Ok(())
}
