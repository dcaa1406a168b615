//! Requests that list directories.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use fuser::{
    FileAttr, FileHandle, FopenFlags, Generation, INodeNo, OpenFlags, ReplyDirectory,
    ReplyDirectoryPlus, ReplyOpen,
};

use super::adapter::{Server, answer};
use super::contents::noatime;
use super::convert::file_type;
use super::nodes::Node;
use crate::ops::{Dir, DirEntry, DirPosition, Listing};

impl Server {
    /// A stream is its position; the handle only remembers `O_NOATIME`.
    ///
    /// Without an answer (`NO_OPENDIR_SUPPORT`) the kernel would keep listings of its own, whose reading moves
    /// no atime, and which names made in another directory of the tree do not reach.
    pub(super) fn opendir(&self, id: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let handle = FileHandle(u64::from(noatime(flags)));
        let opened = match self.nodes.node(id) {
            Node::Object(object) => self.fs.opendir(object),
            Node::Anteroom | Node::Special(_) => Ok(()),
        };
        answer(reply, opened, |reply, ()| {
            reply.opened(handle, FopenFlags::empty());
        });
    }

    pub(super) fn readdir(
        &self,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok(dir) = self.nodes.dir(id) else {
            return self.list_signposts(id, offset, reply);
        };
        let add = |entry: &DirEntry<'_>| {
            let is_dir = entry.type_bits == libc::S_IFDIR;
            let id = self.nodes.id_in(dir.face, entry.ino, is_dir, entry.key);
            let name = OsStr::from_bytes(entry.name);
            !reply.add(id, entry.next.0, file_type(entry.type_bits), name)
        };
        let from = DirPosition(offset);
        let listed = self.fs.readdir(dir, from, listing(handle, false), add);
        answer(reply, listed, |reply, ()| reply.ok());
    }

    pub(super) fn readdirplus(
        &self,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Ok(dir) = self.nodes.dir(id) else {
            return self.list_signposts_plus(id, offset, reply);
        };
        let add = |entry: &DirEntry<'_>| self.add_entry(&mut reply, dir, entry);
        let from = DirPosition(offset);
        let listed = self.fs.readdir(dir, from, listing(handle, true), add);
        answer(reply, listed, |reply, ()| reply.ok());
    }

    /// Adds an entry with attributes; says whether there was room.
    fn add_entry(&self, reply: &mut ReplyDirectoryPlus, dir: Dir, entry: &DirEntry<'_>) -> bool {
        let name = OsStr::from_bytes(entry.name);
        let next = entry.next.0;
        let Some(full) = &entry.entry else {
            let dot = FileAttr {
                ino: self.nodes.id_in(dir.face, entry.ino, true, None),
                ..self.nodes.anteroom()
            };
            let zero = Duration::ZERO;
            return !reply.add(dot.ino, next, name, &zero, &dot, Generation(0));
        };
        let (attr, generation) = self.nodes.attr_in(dir.face, full);
        // One lifetime for name and attributes: a name costs a LOOKUP where attributes may change unseen.
        let ttl = self.attr_ttl(full);
        if reply.add(attr.ino, next, name, &ttl, &attr, generation) {
            return false;
        }
        self.nodes.enter(dir.face, full, attr.ino);
        true
    }
}

/// What is wanted of a stream that `opendir` gave `handle`.
fn listing(handle: FileHandle, plus: bool) -> Listing {
    Listing {
        plus,
        noatime: handle.0 != 0,
    }
}
