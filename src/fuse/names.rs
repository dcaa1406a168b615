//! Requests that find, make, move and take names.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use fuser::{Generation, INodeNo, RenameFlags, ReplyCreate, ReplyEmpty, ReplyEntry, Request};

use super::adapter::{FOR_EVER, Refuse, Server, done};
use super::convert::{kind_of, rename_mode};
use super::nodes::{Node, Special};
use super::passthrough::{Made, reply_create};
use super::views::News;
use crate::errno::Errno;
use crate::ops::{Caller, CreateFlags, Dir, Entry, Face, NewNode};
use crate::store::record::Answer;
use crate::types::Kind;

impl Server {
    pub(super) fn lookup(&self, parent: INodeNo, name: &[u8], reply: ReplyEntry) {
        match self.nodes.node(parent) {
            Node::Anteroom => self.lookup_in_anteroom(name, reply),
            Node::Special(special) => self.lookup_special(special, name, reply),
            Node::Object(object) if name == b"." && object.way.is_some() => {
                self.reply_entry(reply, Face::Tree, self.fs.lookup_self(&object));
            }
            Node::Object(object) => self.lookup_in(object.dir(), name, reply),
        }
    }

    fn lookup_in(&self, dir: Dir, name: &[u8], reply: ReplyEntry) {
        if self.nodes.is_way(dir, name) {
            let way = self.nodes.special(Special::Way);
            return reply.entry(&FOR_EVER, &way, Generation(1));
        }
        if name == b".." && dir.ino == self.nodes.root() {
            // The way up from the tree's root leads out of the tree, from a view's to the other views, from an
            // export's nowhere.
            return match dir.face {
                Face::Tree => self.lookup_in_anteroom(b"..", reply),
                Face::View(_) => self.lookup_special(Special::Views, b".", reply),
                Face::Export(_) => reply.refuse(Errno::ENOENT),
            };
        }
        match self.fs.lookup(dir, name) {
            Err(Errno::ENOENT) => self.reply_absent(reply),
            result => self.reply_entry(reply, dir.face, result),
        }
    }

    /// In the anteroom there is one name to find, and itself.
    fn lookup_in_anteroom(&self, name: &[u8], reply: ReplyEntry) {
        match name {
            b"." | b".." => reply.entry(&FOR_EVER, &self.nodes.anteroom(), Generation(0)),
            name if self.nodes.is_entrance(name) => {
                let root = self.fs.lookup(self.nodes.root(), b".");
                self.reply_entry(reply, Face::Tree, root);
            }
            _ => reply.refuse(Errno::ENOENT),
        }
    }

    pub(super) fn forget(&self, id: INodeNo, count: u64) {
        let Some((object, forgotten)) = self.nodes.forget(id, count) else {
            return;
        };
        self.fs.forget(object.ino, count);
        if let (true, Some(session)) = (forgotten, self.nodes.session_of(&object)) {
            self.tell(News::Forgotten(session));
        }
    }

    /// Makes a name in a directory, for which there must be room.
    fn make(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        reply: ReplyEntry,
        operation: impl FnOnce(&Caller, Dir) -> crate::errno::Result<Entry>,
    ) {
        self.await_room();
        let made = |caller: &Caller| {
            let dir = self.nodes.dir(parent)?;
            let made = match self.answered(request) {
                Some(Answer::Made(ino)) => self.fs.made_before(ino, (dir, name.as_bytes())),
                Some(Answer::Done | Answer::Unfinished | Answer::Planned(_)) | None => {
                    operation(caller, dir)
                }
            };
            Ok((dir.face, made?))
        };
        self.change(request, reply, made, |reply, (face, entry)| {
            self.send_entry(reply, face, &entry);
        });
    }

    pub(super) fn mknod(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        (mode, umask, rdev): (u32, u32, u32),
        reply: ReplyEntry,
    ) {
        self.make(request, (parent, name), reply, |caller, dir| {
            let node = new_node(kind_of(mode, rdev)?, mode, umask);
            self.fs.mknod(caller, dir, name.as_bytes(), node)
        });
    }

    pub(super) fn mkdir(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        (mode, umask): (u32, u32),
        reply: ReplyEntry,
    ) {
        self.make(request, (parent, name), reply, |caller, dir| {
            let node = new_node(Kind::Directory, mode, umask);
            self.fs.mknod(caller, dir, name.as_bytes(), node)
        });
    }

    pub(super) fn symlink(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        target: &OsStr,
        reply: ReplyEntry,
    ) {
        self.make(request, (parent, name), reply, |caller, dir| {
            let (name, target) = (name.as_bytes(), target.as_bytes());
            self.fs.symlink(caller, dir, name, target)
        });
    }

    pub(super) fn link(
        &self,
        request: &Request,
        id: INodeNo,
        (parent, name): (INodeNo, &OsStr),
        reply: ReplyEntry,
    ) {
        self.make(request, (parent, name), reply, |_, dir| {
            self.fs.link(self.nodes.object(id)?, dir, name.as_bytes())
        });
    }

    pub(super) fn unlink(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        reply: ReplyEmpty,
    ) {
        let unlink = |caller: &Caller| {
            let dir = self.nodes.dir(parent)?;
            self.fs.unlink(caller, dir, name.as_bytes())
        };
        self.change_once(request, reply, unlink);
    }

    pub(super) fn rmdir(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        reply: ReplyEmpty,
    ) {
        let rmdir = |caller: &Caller| {
            let dir = self.nodes.dir(parent)?;
            self.fs.rmdir(caller, dir, name.as_bytes())
        };
        self.change_once(request, reply, rmdir);
    }

    pub(super) fn rename(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        (new_parent, new_name): (INodeNo, &OsStr),
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let answered = self.answered(request);
        let rename = |caller: &Caller| {
            let from = (self.nodes.dir(parent)?, name.as_bytes());
            let to = (self.nodes.dir(new_parent)?, new_name.as_bytes());
            if answered.is_none() {
                self.fs.rename(caller, from, to, rename_mode(flags)?)?;
            }
            self.renew(to);
            if flags.contains(RenameFlags::RENAME_EXCHANGE) {
                self.renew(from);
            }
            Ok(())
        };
        self.change(request, reply, rename, done);
    }

    /// Lets exports know a file that was renamed by its new name, where they show it: who has it open finds it.
    fn renew(&self, (dir, name): (Dir, &[u8])) {
        if self.fs.has_other_faces() {
            let ways = self.fs.ways(dir, name);
            ways.iter().for_each(|object| self.nodes.renew(object));
        }
    }

    pub(super) fn create(
        &self,
        request: &Request,
        (parent, name): (INodeNo, &OsStr),
        (mode, umask): (u32, u32),
        flags: i32,
        reply: ReplyCreate,
    ) {
        self.await_room();
        let create = |caller: &Caller, dir: Dir| {
            if let Some(Answer::Made(ino)) = self.answered(request) {
                return self
                    .fs
                    .created_before(ino, (dir, name.as_bytes()), CreateFlags::of(flags));
            }
            let node = new_node(Kind::Regular, mode, umask);
            if self.fs.has_other_faces() {
                let at = (dir, name.as_bytes());
                return self.fs.create_or_open(caller, at, &node, flags);
            }
            let flags = CreateFlags::of(flags);
            self.fs.create(caller, dir, name.as_bytes(), node, flags)
        };
        let writable = flags & libc::O_ACCMODE != libc::O_RDONLY;
        let create = |caller: &Caller| {
            let dir = self.nodes.dir(parent)?;
            Ok((dir.face, create(caller, dir)?))
        };
        self.change(request, reply, create, |reply, (face, (entry, opened))| {
            // Its attributes last for the time being: as long as it is empty no mapping can change it, and
            // what makes it longer is a request.
            let (attr, generation) = self.nodes.attr_in(face, &entry);
            self.nodes.enter(face, &entry, attr.ino);
            let made = Made {
                attr,
                generation,
                ttl: self.entry_ttl(),
            };
            reply_create(reply, &made, opened, writable);
        });
    }
}

fn new_node(kind: Kind, mode: u32, umask: u32) -> NewNode {
    NewNode {
        kind,
        mode: mode & 0o7777,
        umask,
    }
}
