//! Requests on the contents and attributes of one object.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::Arc;

use fuser::{
    INodeNo, OpenFlags, ReplyAttr, ReplyData, ReplyEmpty, ReplyLseek, ReplyOpen, ReplyStatfs,
    ReplyWrite, ReplyXattr, Request,
};

use super::adapter::{FOR_EVER, Refuse, Server, answer, caller, done};
use super::hand::{Hand, Opcode};
use super::nodes::Node;
use super::passthrough::reply_open;
use crate::data::PAGE_SIZE;
use crate::errno::{Errno, Result};
use crate::ops::{Access, Caller, NAME_MAX, SetAttr, WriteFlags};
use crate::types::Ino;

thread_local! {
    /// Where a thread reads data before it sends them.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl Server {
    pub(super) fn getattr(&self, id: INodeNo, reply: ReplyAttr) {
        match self.nodes.node(id) {
            Node::Anteroom => reply.attr(&FOR_EVER, &self.nodes.anteroom()),
            Node::Special(special) => reply.attr(&FOR_EVER, &self.nodes.special(special)),
            Node::Object(object) => answer(reply, self.fs.getattr(object), |reply, entry| {
                self.send_attr(reply, id, &entry);
            }),
        }
    }

    pub(super) fn setattr(
        self: &Arc<Server>,
        request: &Request,
        id: INodeNo,
        set: SetAttr,
        reply: ReplyAttr,
    ) {
        let held = self.hold(request, Opcode::Setattr, id);
        if self.answered(request).is_some() {
            let _hand = Hand::enter(&self.fs, held);
            return self.getattr(id, reply);
        }
        if set.size.is_none() {
            let _hand = Hand::enter(&self.fs, held);
            let change = |caller: &Caller| self.fs.setattr(caller, self.nodes.object(id)?, set);
            return self.change(request, reply, change, |reply, entry| {
                self.send_attr(reply, id, &entry);
            });
        }
        self.await_room();
        let before = self.nodes.inode(id).and_then(|ino| self.fs.getattr(ino));
        let freed = before.map_or(0, |entry| entry.attr.blocks * 512);
        let apart = self.apart(id);
        let freed = apart.map_or(freed, |_| u64::MAX);
        let change = move |server: &Server, caller: &Caller| {
            let object = server.nodes.object(id)?;
            server.past_the_cache(apart, || server.fs.setattr(caller, object, set))
        };
        self.change_beside(
            held,
            request,
            reply,
            freed,
            change,
            move |server, reply, entry| {
                server.send_attr(reply, id, &entry);
            },
        );
    }

    pub(super) fn readlink(&self, id: INodeNo, reply: ReplyData) {
        let target = self.nodes.inode(id).and_then(|ino| self.fs.readlink(ino));
        answer(reply, target, |reply, target| reply.data(&target));
    }

    pub(super) fn open(&self, request: &Request, id: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        self.await_room();
        // All bits of O_ACCMODE together ask for both, and give neither.
        let mode = flags.0 & libc::O_ACCMODE;
        let access = Access {
            read: mode != libc::O_WRONLY,
            write: mode != libc::O_RDONLY,
        };
        let open = |_: &Caller| self.fs.open(self.nodes.object(id)?, access);
        self.change(request, reply, open, |reply, opened| {
            if opened.newly_exposed {
                self.forget_attributes(id);
            }
            reply_open(reply, opened, access.write);
        });
    }

    pub(super) fn release(&self, request: &Request, id: INodeNo, reply: ReplyEmpty) {
        let release = |_: &Caller| {
            if let Ok(ino) = self.nodes.inode(id) {
                self.fs.release(ino);
            }
            Ok(())
        };
        self.change(request, reply, release, done);
    }

    pub(super) fn read(
        &self,
        id: INodeNo,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let ino = self.nodes.inode(id);
            let read = ino.and_then(|ino| {
                let into = &mut buffer[..size];
                self.fs.read(ino, offset, into, noatime(flags))
            });
            answer(reply, read, |reply, count| reply.data(&buffer[..count]));
        });
    }

    pub(super) fn write(
        self: &Arc<Server>,
        request: &Request,
        id: INodeNo,
        (offset, data): (u64, &[u8]),
        (flags, open): (fuser::WriteFlags, OpenFlags),
        reply: ReplyWrite,
    ) {
        self.await_room();
        let apart = self.apart(id);
        let flags = WriteFlags {
            from_cache: flags.contains(fuser::WriteFlags::FUSE_WRITE_CACHE),
            kill_privileges: flags.contains(fuser::WriteFlags::FUSE_WRITE_KILL_SUIDGID),
            // What goes through the page cache is in its place there already.
            append: open.0 & libc::O_APPEND != 0 && (apart.is_some() || self.fs.is_passthrough()),
        };
        if let Some(ino) = apart {
            let data = data.to_vec();
            let write = move |server: &Server, caller: &Caller| {
                server.past_the_cache(Some(ino), || {
                    server.fs.write(caller, ino, offset, &data, flags)
                })
            };
            let send = |_: &Server, reply, count| written(reply, count);
            let held = self.hold(request, Opcode::Write, id);
            return self.change_beside(held, request, reply, u64::MAX, write, send);
        }
        let _hand = self.begin(request, Opcode::Write, id);
        let write = |caller: &Caller| {
            let ino = self.nodes.inode(id)?;
            self.fs.write(caller, ino, offset, data, flags)
        };
        self.change(request, reply, write, written);
    }

    pub(super) fn fallocate(
        self: &Arc<Server>,
        request: &Request,
        id: INodeNo,
        (offset, length): (u64, u64),
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let held = self.hold(request, Opcode::Fallocate, id);
        if self.answered(request).is_some() {
            drop(held);
            return done(reply, ());
        }
        self.await_room();
        let apart = self.apart(id);
        let allocate = move |server: &Server, caller: &Caller| {
            let ino = server.nodes.inode(id)?;
            let fs = &server.fs;
            let allocate = || fs.fallocate(caller, ino, mode as u32, offset, length);
            server.past_the_cache(apart, allocate)
        };
        let send = |_: &Server, reply, ()| done(reply, ());
        let bytes = apart.map_or(length, |_| u64::MAX);
        self.change_beside(held, request, reply, bytes, allocate, send);
    }

    /// The inode of a node whose contents do not go through the page cache, though the object's do.
    fn apart(&self, id: INodeNo) -> Option<Ino> {
        if self.fs.is_passthrough() {
            return None;
        }
        let object = self.nodes.object(id).ok()?;
        object.way.map(|_| object.ino)
    }

    /// Changes contents that the kernel may have in its page cache: what is there is written back before, and dropped
    /// after. Whoever does that waits for requests, and so does not read them.
    fn past_the_cache<T>(&self, apart: Option<Ino>, change: impl FnOnce() -> T) -> T {
        apart.inspect(|&ino| self.drop_pages(ino, 0));
        let result = change();
        apart.inspect(|&ino| {
            self.tell_end(ino);
            self.drop_pages(ino, 0);
        });
        result
    }

    /// Lets the kernel know how long the tree's node has become: it appends there by what it knows, and of a notice takes
    /// nothing but bytes.
    fn tell_end(&self, ino: Ino) {
        let Some(last) = self
            .fs
            .getattr(ino)
            .ok()
            .and_then(|it| it.attr.size.checked_sub(1))
        else {
            return;
        };
        let mut byte = [0];
        if let (Ok(1), Some(notifier)) = (
            self.fs.read(ino, last, &mut byte, true),
            self.notifier.get(),
        ) {
            // Where the kernel does not know the node it will ask.
            let _ = notifier.store(self.nodes.id(ino), last, &byte);
        }
    }

    /// Has the kernel write back and drop what it has of an inode from an offset on.
    fn drop_pages(&self, ino: Ino, from: i64) {
        let told = self
            .notifier
            .get()
            .map(|it| it.inval_inode(self.nodes.id(ino), from, 0));
        match told {
            // The kernel does not know the node.
            Some(Err(error)) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Some(Err(error)) => tracing::warn!(%error, "cannot drop pages"),
            Some(Ok(())) | None => {}
        }
    }

    /// What a mapping has stored is data, and the kernel asks before it writes that back.
    pub(super) fn lseek(
        self: &Arc<Server>,
        request: &Request,
        id: INodeNo,
        (offset, whence): (i64, i32),
        reply: ReplyLseek,
    ) {
        let held = self.hold(request, Opcode::Lseek, id);
        let ino = self.nodes.inode(id);
        let stored = ino.ok().filter(|&ino| self.fs.may_be_stored(ino));
        let seek = move |server: &Server, _: &Caller| {
            let from = offset.max(0);
            stored.inspect(|&ino| server.drop_pages(ino, from));
            server.fs.lseek(server.nodes.inode(id)?, offset, whence)
        };
        let send = |_: &Server, reply: ReplyLseek, offset: u64| reply.offset(offset as i64);
        let bytes = stored.map_or(0, |_| u64::MAX);
        self.change_beside(held, request, reply, bytes, seek, send);
    }

    pub(super) fn copy_file_range(
        self: &Arc<Server>,
        request: &Request,
        (source, offset_in): (INodeNo, u64),
        (target, offset_out): (INodeNo, u64),
        length: u64,
        reply: ReplyWrite,
    ) {
        let apart = self.apart(target);
        let copy = move |server: &Server, caller: &Caller| {
            let from = (server.nodes.inode(source)?, offset_in);
            let to = (server.nodes.inode(target)?, offset_out);
            let copy = || server.fs.copy_file_range(caller, from, to, length);
            server.past_the_cache(apart, copy)
        };
        let send = |_: &Server, reply, count| written(reply, count);
        let bytes = apart.map_or(length, |_| u64::MAX);
        let held = self.hold(request, Opcode::CopyFileRange, target);
        self.change_beside(held, request, reply, bytes, copy, send);
    }

    pub(super) fn statfs(&self, id: INodeNo, reply: ReplyStatfs) {
        self.await_freed();
        let statfs = match self.nodes.dir(id) {
            Ok(dir) => self.fs.statfs_of(dir),
            Err(_) => self.fs.statfs(),
        };
        let page = PAGE_SIZE as u32;
        let (blocks, free) = (statfs.blocks, statfs.blocks_free);
        let (files, files_free) = (statfs.files, statfs.files_free);
        let longest = NAME_MAX as u32;
        reply.statfs(blocks, free, free, files, files_free, page, longest, page);
    }

    pub(super) fn setxattr(
        &self,
        request: &Request,
        id: INodeNo,
        (name, value): (&OsStr, &[u8]),
        flags: i32,
        reply: ReplyEmpty,
    ) {
        let set = |caller: &Caller| {
            let (object, name) = (self.nodes.object(id)?, name.as_bytes());
            self.fs.setxattr(caller, object, name, value, flags)
        };
        self.change_once(request, reply, set);
    }

    pub(super) fn removexattr(
        &self,
        request: &Request,
        id: INodeNo,
        name: &OsStr,
        reply: ReplyEmpty,
    ) {
        let remove = |caller: &Caller| {
            let object = self.nodes.object(id)?;
            self.fs.removexattr(caller, object, name.as_bytes())
        };
        self.change_once(request, reply, remove);
    }

    pub(super) fn getxattr(&self, id: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = match self.nodes.node(id) {
            Node::Anteroom | Node::Special(_) => Err(Errno::ENODATA),
            Node::Object(object) => self.fs.getxattr(object, name.as_bytes()),
        };
        reply_xattr(reply, value, size);
    }

    pub(super) fn listxattr(&self, request: &Request, id: INodeNo, size: u32, reply: ReplyXattr) {
        let object = self.nodes.object(id);
        let names = object.and_then(|object| self.fs.listxattr(&caller(request), object));
        reply_xattr(reply, names, size);
    }
}

pub(super) fn noatime(flags: OpenFlags) -> bool {
    flags.0 & libc::O_NOATIME != 0
}

fn written(reply: ReplyWrite, count: usize) {
    reply.written(count as u32);
}

/// A size of 0 asks how long the value is.
fn reply_xattr(reply: ReplyXattr, value: Result<Vec<u8>>, size: u32) {
    match value {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.refuse(Errno::ERANGE),
        Ok(value) => reply.data(&value),
        Err(error) => reply.refuse(error),
    }
}
