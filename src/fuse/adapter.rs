//! FUSE requests become calls of [`Fs`], its answers replies. There are no rules here.

use std::cell::RefCell;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig, LockOwner, Notifier, OpenAccMode,
    OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags, ReplyAttr, ReplyCreate, ReplyData,
    ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyIoctl, ReplyLseek, ReplyOpen,
    ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
};

use super::convert::{errno, file_type, kind_of, rename_mode, set_time};
use super::nodes::{Node, Nodes};
use super::passthrough::{reply_create, reply_open};
use super::session::{MAX_WRITE, request_capabilities};
use super::views::{self, Opener, Signpost, Target};
use crate::data::PAGE_SIZE;
use crate::errno::{Errno, Result};
use crate::ops::{
    Caller, CreateFlags, Dir, DirPosition, Entry, Fs, Listing, NAME_MAX, NewNode, SetAttr, ViewId,
    WriteFlags,
};
use crate::types::Kind;

/// What the kernel learns stays true until it changes it itself.
pub(super) const FOR_EVER: Duration = Duration::from_secs(1 << 31);

/// An operation on more bytes than this is carried out beside the threads that read requests.
const LONG_OPERATION: u64 = 4 << 20;

/// The file system as fuser wants it.
#[derive(Debug)]
pub(super) struct Adapter {
    pub(super) fs: Arc<Fs>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) notifier: Arc<OnceLock<Notifier>>,
    pub(super) passthrough: bool,
    pub(super) opener: Opener,
}

thread_local! {
    /// Where a thread reads data before it sends them.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Sends what an operation answers.
macro_rules! reply {
    ($reply:expr, $result:expr, $value:pat => $send:expr) => {
        match $result {
            Ok($value) => $send,
            Err(error) => $reply.error(errno(error)),
        }
    };
}

fn caller(request: &Request) -> Caller {
    Caller::new(request.uid(), request.gid(), request.pid())
}

/// How long attributes last: not at all where another directory can change them unseen.
fn attr_ttl(fs: &Fs, entry: &Entry) -> Duration {
    if entry.lasting && !fs.has_open_views() {
        FOR_EVER
    } else {
        Duration::ZERO
    }
}

impl Adapter {
    /// How long names last.
    fn entry_ttl(&self) -> Duration {
        if self.fs.has_open_views() {
            Duration::ZERO
        } else {
            FOR_EVER
        }
    }

    /// Sends what was found or made in a directory that is seen in `view`.
    fn reply_entry(&self, reply: ReplyEntry, view: Option<ViewId>, result: Result<Entry>) {
        reply!(reply, result, entry => {
            let (attr, generation) = self.nodes.attr_in(view, &entry.attr);
            self.nodes.enter(view, &entry.attr, attr.ino);
            reply.entry_with_ttls(&attr_ttl(&self.fs, &entry), &self.entry_ttl(), &attr, generation);
        });
    }

    fn reply_attr(&self, reply: ReplyAttr, id: INodeNo, result: Result<Entry>) {
        reply!(reply, result, entry => {
            let attr = FileAttr { ino: id, ..self.nodes.attr(&entry.attr).0 };
            reply.attr(&attr_ttl(&self.fs, &entry), &attr);
        });
    }

    /// On the way to the views.
    fn lookup_special(&self, node: Node, name: &[u8], reply: ReplyEntry) {
        let to = match (node, name) {
            (Node::Way | Node::Views, b".") => node,
            (Node::Way, b"..") => {
                return self.reply_entry(reply, None, self.fs.lookup(self.nodes.root(), b"."));
            }
            (Node::Views, b"..") => Node::Way,
            (Node::Way, name) if views::is_views(name) => Node::Views,
            (Node::Views, key) => {
                let notifier = self.notifier.get();
                let opened = self.opener.open(&self.fs, &self.nodes, notifier, key);
                let view = opened.ok().and_then(|dir| dir.view);
                let found = opened.and_then(|dir| self.fs.lookup(dir, b"."));
                return self.reply_entry(reply, view, found);
            }
            (Node::Anteroom | Node::Way | Node::Inode(_), _) => {
                return reply.error(errno(Errno::ENOENT));
            }
        };
        reply.entry(&FOR_EVER, &self.nodes.special(to), Generation(1));
    }

    /// Adds an entry with attributes; a view stays closed until somebody looks it up.
    fn add_signpost(&self, reply: &mut ReplyDirectoryPlus, entry: &Signpost) -> bool {
        let name = OsStr::from_bytes(&entry.name);
        let zero = Duration::ZERO;
        match entry.to {
            Target::Dot(node) | Target::Special(node) => {
                let attr = self.nodes.special(node);
                !reply.add(attr.ino, entry.next, name, &zero, &attr, Generation(1))
            }
            Target::View(view) => {
                let root = self.nodes.root();
                let Ok(found) = self.fs.lookup(root, b".") else {
                    return false;
                };
                let (attr, generation) = self.nodes.attr_in(Some(view), &found.attr);
                if reply.add(attr.ino, entry.next, name, &zero, &attr, generation) {
                    self.fs.forget(root, 1);
                    return false;
                }
                self.nodes.enter(Some(view), &found.attr, attr.ino);
                true
            }
        }
    }

    fn lookup_in(&self, dir: Dir, name: &[u8], reply: ReplyEntry) {
        let view = dir.view;
        if self.nodes.is_way(dir, name) {
            return reply.entry(&FOR_EVER, &self.nodes.special(Node::Way), Generation(1));
        }
        if name == b".." && dir.ino == self.nodes.root() {
            // The way up from the tree's root leads out of the tree, from a view's to the other views.
            return match view {
                None => self.lookup_in_anteroom(b"..", reply),
                Some(_) => self.lookup_special(Node::Views, b".", reply),
            };
        }
        match self.fs.lookup(dir, name) {
            Err(Errno::ENOENT) => self.reply_absent(reply),
            result => self.reply_entry(reply, view, result),
        }
    }

    /// In the anteroom there is one name to find, and itself.
    fn lookup_in_anteroom(&self, name: &[u8], reply: ReplyEntry) {
        match name {
            b"." | b".." => reply.entry(&FOR_EVER, &self.nodes.anteroom(), Generation(0)),
            name if self.nodes.is_entrance(name) => {
                self.reply_entry(reply, None, self.fs.lookup(self.nodes.root(), b"."));
            }
            _ => reply.error(errno(Errno::ENOENT)),
        }
    }

    /// The kernel keeps that there is no such name, until it makes one.
    fn reply_absent(&self, reply: ReplyEntry) {
        let nothing = FileAttr {
            ino: INodeNo(0),
            ..self.nodes.anteroom()
        };
        reply.entry_with_ttls(&Duration::ZERO, &self.entry_ttl(), &nothing, Generation(0));
    }

    /// Makes the kernel ask for attributes again: those that it has for ever are true no more.
    fn forget_attributes(&self, id: INodeNo) {
        // A negative offset leaves the data alone, and takes no lock that the caller could hold.
        if let Some(Err(error)) = self
            .notifier
            .get()
            .map(|notifier| notifier.inval_inode(id, -1, 0))
        {
            tracing::warn!(%error, "cannot invalidate attributes");
        }
    }
}

/// How long a request waits for inodes that are about to go: in steps of 0.1 ms, for 5 ms at most.
const PATIENCE: u32 = 50;

/// Only one request waits at a time: the others' threads are there for what it waits for.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Gives the kernel time to forget what was unlinked a moment ago.
fn wait_while(condition: impl Fn() -> bool) {
    if !condition() || WAITING.swap(true, Ordering::Acquire) {
        return;
    }
    for _ in 0..PATIENCE {
        std::thread::sleep(Duration::from_micros(100));
        if !condition() {
            break;
        }
    }
    WAITING.store(false, Ordering::Release);
}

/// Runs an operation of `bytes` bytes here, or beside us where it would take long.
fn run_beside(bytes: u64, operation: impl FnOnce() + Send + 'static) {
    if bytes <= LONG_OPERATION {
        return operation();
    }
    let cell = Arc::new(parking_lot::Mutex::new(Some(operation)));
    let theirs = Arc::clone(&cell);
    let run = move || {
        if let Some(operation) = theirs.lock().take() {
            operation();
        }
    };
    let spawned = std::thread::Builder::new()
        .name("shmfs-long".into())
        .spawn(run);
    if spawned.is_ok() {
        return;
    }
    // No thread to be had: slow is better than not at all.
    if let Some(operation) = cell.lock().take() {
        operation();
    }
}

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = request_capabilities(self.passthrough);
        let refused = config
            .add_capabilities(wanted & config.capabilities())
            .err();
        debug_assert_eq!(refused, None);
        let missing = wanted & !config.capabilities();
        if missing.intersects(InitFlags::FUSE_POSIX_ACL | InitFlags::FUSE_HANDLE_KILLPRIV_V2) {
            tracing::warn!(?missing, "this kernel's FUSE lacks what shmfs is built on");
        }
        if self.passthrough {
            let _ = config.set_max_stack_depth(1);
        }
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let name = name.as_bytes();
        match self.nodes.node(parent) {
            Node::Anteroom => self.lookup_in_anteroom(name, reply),
            node @ (Node::Way | Node::Views) => self.lookup_special(node, name, reply),
            Node::Inode(dir) => self.lookup_in(dir, name, reply),
        }
    }

    fn forget(&self, _: &Request, id: INodeNo, count: u64) {
        if let Some(ino) = self.nodes.forget(id, count) {
            self.fs.forget(ino, count);
        }
    }

    fn getattr(&self, _: &Request, id: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match self.nodes.node(id) {
            node @ (Node::Anteroom | Node::Way | Node::Views) => {
                reply.attr(&FOR_EVER, &self.nodes.special(node));
            }
            Node::Inode(dir) => self.reply_attr(reply, id, self.fs.getattr(dir)),
        }
    }

    fn setattr(
        &self,
        request: &Request,
        id: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        atime: Option<TimeOrNow>,
        mtime: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (atime, mtime) = (atime.map(set_time), mtime.map(set_time));
        let set = SetAttr {
            mode,
            uid,
            gid,
            size,
            atime,
            mtime,
            by_handle: handle.is_some(),
        };
        let ino = match self.nodes.inode(id) {
            Ok(ino) => ino,
            Err(error) => return reply.error(errno(error)),
        };
        let caller = caller(request);
        if size.is_none() {
            return self.reply_attr(reply, id, self.fs.setattr(&caller, ino, set));
        }
        wait_while(|| self.fs.is_short());
        let freed = self
            .fs
            .getattr(ino)
            .map_or(0, |entry| entry.attr.blocks * 512);
        let (fs, nodes) = (Arc::clone(&self.fs), Arc::clone(&self.nodes));
        run_beside(freed, move || {
            reply!(reply, fs.setattr(&caller, ino, set), entry => {
                reply.attr(&attr_ttl(&fs, &entry), &nodes.attr(&entry.attr).0);
            });
        });
    }

    fn readlink(&self, _: &Request, id: INodeNo, reply: ReplyData) {
        let target = self.nodes.inode(id).and_then(|ino| self.fs.readlink(ino));
        reply!(reply, target, target => reply.data(&target));
    }

    fn mknod(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        rdev: u32,
        reply: ReplyEntry,
    ) {
        wait_while(|| self.fs.is_short());
        let made = self.nodes.dir(parent).and_then(|dir| {
            let node = NewNode {
                kind: kind_of(mode, rdev)?,
                mode: mode & 0o7777,
                umask,
            };
            self.fs.mknod(&caller(request), dir, name.as_bytes(), node)
        });
        self.reply_entry(reply, self.nodes.view(parent), made);
    }

    fn mkdir(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        reply: ReplyEntry,
    ) {
        wait_while(|| self.fs.is_short());
        let made = self.nodes.dir(parent).and_then(|dir| {
            let node = NewNode {
                kind: Kind::Directory,
                mode: mode & 0o7777,
                umask,
            };
            self.fs.mknod(&caller(request), dir, name.as_bytes(), node)
        });
        self.reply_entry(reply, self.nodes.view(parent), made);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        wait_while(|| self.fs.is_short());
        let target = target.as_os_str().as_bytes();
        let made = self.nodes.dir(parent);
        let made = made.and_then(|dir| {
            self.fs
                .symlink(&caller(request), dir, name.as_bytes(), target)
        });
        self.reply_entry(reply, self.nodes.view(parent), made);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let dir = self.nodes.dir(parent);
        let gone = dir.and_then(|dir| self.fs.unlink(&caller(request), dir, name.as_bytes()));
        reply!(reply, gone, () => reply.ok());
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let dir = self.nodes.dir(parent);
        let gone = dir.and_then(|dir| self.fs.rmdir(&caller(request), dir, name.as_bytes()));
        reply!(reply, gone, () => reply.ok());
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let renamed = self.nodes.dir(parent).and_then(|dir| {
            let to = (self.nodes.dir(new_parent)?, new_name.as_bytes());
            self.fs.rename(
                &caller(request),
                (dir, name.as_bytes()),
                to,
                rename_mode(flags)?,
            )
        });
        reply!(reply, renamed, () => reply.ok());
    }

    fn link(&self, _: &Request, id: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        wait_while(|| self.fs.is_short());
        let linked = self.nodes.inode(id);
        let linked =
            linked.and_then(|ino| self.fs.link(ino, self.nodes.dir(parent)?, name.as_bytes()));
        self.reply_entry(reply, self.nodes.view(parent), linked);
    }

    fn create(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        mode: u32,
        umask: u32,
        flags: i32,
        reply: ReplyCreate,
    ) {
        wait_while(|| self.fs.is_short());
        let created = self.nodes.dir(parent).and_then(|dir| {
            let node = NewNode {
                kind: Kind::Regular,
                mode: mode & 0o7777,
                umask,
            };
            let (caller, name) = (caller(request), name.as_bytes());
            if self.fs.has_open_views() {
                return self.fs.create_or_open(&caller, (dir, name), &node, flags);
            }
            let flags = CreateFlags::of(flags);
            self.fs.create(&caller, dir, name, node, flags)
        });
        reply!(reply, created, (entry, opened) => {
            // Its attributes last for the time being: as long as it is empty no mapping can change it, and
            // what makes it longer is a request.
            let (attr, generation) = self.nodes.attr(&entry.attr);
            reply_create(reply, &self.entry_ttl(), &attr, generation, opened);
        });
    }

    fn open(&self, _: &Request, id: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        wait_while(|| self.fs.is_short());
        let writable = flags.acc_mode() != OpenAccMode::O_RDONLY;
        let opened = self
            .nodes
            .inode(id)
            .and_then(|ino| self.fs.open(ino, writable));
        reply!(reply, opened, opened => {
            if opened.newly_exposed {
                self.forget_attributes(id);
            }
            reply_open(reply, opened);
        });
    }

    fn release(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        if let Ok(ino) = self.nodes.inode(id) {
            self.fs.release(ino);
        }
        reply.ok();
    }

    fn read(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        BUFFER.with_borrow_mut(|buffer| {
            let size = size as usize;
            if buffer.len() < size {
                buffer.resize(size, 0);
            }
            let read = self.nodes.inode(id).and_then(|ino| {
                self.fs
                    .read(ino, offset, &mut buffer[..size], noatime(flags))
            });
            reply!(reply, read, count => reply.data(&buffer[..count]));
        });
    }

    fn write(
        &self,
        request: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: fuser::WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        wait_while(|| self.fs.is_short());
        let flags = WriteFlags {
            from_cache: flags.contains(fuser::WriteFlags::FUSE_WRITE_CACHE),
            kill_privileges: flags.contains(fuser::WriteFlags::FUSE_WRITE_KILL_SUIDGID),
        };
        let ino = self.nodes.inode(id);
        let written = ino.and_then(|ino| self.fs.write(&caller(request), ino, offset, data, flags));
        reply!(reply, written, count => reply.written(count as u32));
    }

    fn fallocate(
        &self,
        request: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        wait_while(|| self.fs.is_short());
        let (fs, ino) = (Arc::clone(&self.fs), self.nodes.inode(id));
        let caller = caller(request);
        run_beside(length, move || {
            let done = ino.and_then(|ino| fs.fallocate(&caller, ino, mode as u32, offset, length));
            reply!(reply, done, () => reply.ok());
        });
    }

    fn lseek(
        &self,
        _: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        let found = self
            .nodes
            .inode(id)
            .and_then(|ino| self.fs.lseek(ino, offset, whence));
        reply!(reply, found, offset => reply.offset(offset as i64));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        source: INodeNo,
        _: FileHandle,
        offset_in: u64,
        target: INodeNo,
        _: FileHandle,
        offset_out: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (fs, nodes) = (Arc::clone(&self.fs), Arc::clone(&self.nodes));
        let caller = caller(request);
        run_beside(length, move || {
            let copied = nodes.inode(source).and_then(|from| {
                fs.copy_file_range(
                    &caller,
                    (from, offset_in),
                    (nodes.inode(target)?, offset_out),
                    length,
                )
            });
            reply!(reply, copied, count => reply.written(count as u32));
        });
    }

    fn readdir(
        &self,
        _: &Request,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectory,
    ) {
        let Ok(dir) = self.nodes.dir(id) else {
            for entry in views::entries(&self.nodes, self.nodes.node(id), offset) {
                let id = match entry.to {
                    Target::Dot(node) | Target::Special(node) => self.nodes.special(node).ino,
                    Target::View(view) => self.nodes.id_in(Some(view), self.nodes.root(), true),
                };
                let name = OsStr::from_bytes(&entry.name);
                if reply.add(id, entry.next, FileType::Directory, name) {
                    break;
                }
            }
            return reply.ok();
        };
        let listed = self
            .fs
            .readdir(dir, DirPosition(offset), listing(handle, false), |entry| {
                let is_dir = entry.type_bits == libc::S_IFDIR;
                let id = self.nodes.id_in(dir.view, entry.ino, is_dir);
                !reply.add(
                    id,
                    entry.next.0,
                    file_type(entry.type_bits),
                    OsStr::from_bytes(entry.name),
                )
            });
        reply!(reply, listed, () => reply.ok());
    }

    fn readdirplus(
        &self,
        _: &Request,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Ok(dir) = self.nodes.dir(id) else {
            for entry in views::entries(&self.nodes, self.nodes.node(id), offset) {
                if !self.add_signpost(&mut reply, &entry) {
                    break;
                }
            }
            return reply.ok();
        };
        let listed = self
            .fs
            .readdir(dir, DirPosition(offset), listing(handle, true), |entry| {
                let name = OsStr::from_bytes(entry.name);
                let Some(full) = &entry.entry else {
                    let dot = FileAttr {
                        ino: self.nodes.id_in(dir.view, entry.ino, true),
                        ..self.nodes.anteroom()
                    };
                    return !reply.add(
                        dot.ino,
                        entry.next.0,
                        name,
                        &Duration::ZERO,
                        &dot,
                        Generation(0),
                    );
                };
                let (attr, generation) = self.nodes.attr_in(dir.view, &full.attr);
                // One lifetime for name and attributes: a name costs a LOOKUP where attributes may change unseen.
                let full_up = reply.add(
                    attr.ino,
                    entry.next.0,
                    name,
                    &attr_ttl(&self.fs, full),
                    &attr,
                    generation,
                );
                if !full_up {
                    self.nodes.enter(dir.view, &full.attr, attr.ino);
                }
                !full_up
            });
        reply!(reply, listed, () => reply.ok());
    }

    /// Never asked for again: there is nothing to do when a descriptor is closed.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(errno(Errno::ENOSYS));
    }

    /// Never asked for again: memory has nothing behind it, and the kernel has written its pages back.
    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(errno(Errno::ENOSYS));
    }

    /// A stream is its position; the handle only remembers `O_NOATIME`.
    ///
    /// Without an answer (`NO_OPENDIR_SUPPORT`) the kernel would keep listings of its own, whose reading moves
    /// no atime, and which names made in another directory of the tree do not reach.
    fn opendir(&self, _: &Request, _: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let handle = FileHandle(u64::from(noatime(flags)));
        reply.opened(handle, FopenFlags::empty());
    }

    fn fsyncdir(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(errno(Errno::ENOSYS));
    }

    /// Never asked for again: files are always ready.
    fn poll(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: PollNotifier,
        _: PollEvents,
        _: PollFlags,
        reply: ReplyPoll,
    ) {
        reply.error(errno(Errno::ENOSYS));
    }

    fn ioctl(
        &self,
        _: &Request,
        _: INodeNo,
        _: FileHandle,
        _: IoctlFlags,
        _: u32,
        _: &[u8],
        _: u32,
        reply: ReplyIoctl,
    ) {
        reply.error(errno(Errno::ENOTTY));
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        wait_while(|| self.fs.is_freeing());
        let statfs = self.fs.statfs();
        let page = PAGE_SIZE as u32;
        let (blocks, free) = (statfs.blocks, statfs.blocks_free);
        reply.statfs(
            blocks,
            free,
            free,
            statfs.files,
            statfs.files_free,
            page,
            NAME_MAX as u32,
            page,
        );
    }

    fn setxattr(
        &self,
        request: &Request,
        id: INodeNo,
        name: &OsStr,
        value: &[u8],
        flags: i32,
        _: u32,
        reply: ReplyEmpty,
    ) {
        let ino = self.nodes.inode(id);
        let set = ino.and_then(|ino| {
            self.fs
                .setxattr(&caller(request), ino, name.as_bytes(), value, flags)
        });
        reply!(reply, set, () => reply.ok());
    }

    fn getxattr(&self, _: &Request, id: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let value = match self.nodes.node(id) {
            Node::Anteroom | Node::Way | Node::Views => Err(Errno::ENODATA),
            Node::Inode(dir) => self.fs.getxattr(dir.ino, name.as_bytes()),
        };
        reply_xattr(reply, value, size);
    }

    fn listxattr(&self, request: &Request, id: INodeNo, size: u32, reply: ReplyXattr) {
        let names = self
            .nodes
            .inode(id)
            .and_then(|ino| self.fs.listxattr(&caller(request), ino));
        reply_xattr(reply, names, size);
    }

    fn removexattr(&self, request: &Request, id: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let ino = self.nodes.inode(id);
        let removed =
            ino.and_then(|ino| self.fs.removexattr(&caller(request), ino, name.as_bytes()));
        reply!(reply, removed, () => reply.ok());
    }
}

fn noatime(flags: OpenFlags) -> bool {
    flags.0 & libc::O_NOATIME != 0
}

/// What is wanted of a stream that `opendir` gave `handle`.
fn listing(handle: FileHandle, plus: bool) -> Listing {
    Listing {
        plus,
        noatime: handle.0 != 0,
    }
}

/// A size of 0 asks how long the value is.
fn reply_xattr(reply: ReplyXattr, value: Result<Vec<u8>>, size: u32) {
    match value {
        Ok(value) if size == 0 => reply.size(value.len() as u32),
        Ok(value) if value.len() > size as usize => reply.error(errno(Errno::ERANGE)),
        Ok(value) => reply.data(&value),
        Err(error) => reply.error(errno(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn long_operations_are_carried_out() {
        let (done, answers) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            run_beside(LONG_OPERATION + 1, move || done.send(number).unwrap());
        }
        drop(done);
        let mut numbers: Vec<i32> = answers.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}
