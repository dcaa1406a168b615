//! The requests, as fuser hands them over; what they do is beside, by family.

use std::ffi::OsStr;
use std::path::Path;
use std::time::SystemTime;

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, FileHandle, Filesystem, INodeNo, InitFlags, IoctlFlags,
    KernelConfig, LockOwner, OpenFlags, PollEvents, PollFlags, PollNotifier, RenameFlags,
    ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyIoctl, ReplyLseek, ReplyOpen, ReplyPoll, ReplyStatfs, ReplyWrite, ReplyXattr, Request,
    TimeOrNow,
};

use super::adapter::Adapter;
use super::convert::{errno, set_time};
use super::hand::Opcode;
use super::passthrough::is_read_only;
use super::session::{MAX_WRITE, request_capabilities};
use crate::errno::Errno;
use crate::ops::SetAttr;

impl Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        let wanted = request_capabilities(self.0.passthrough);
        let asked = config.add_capabilities(wanted & config.capabilities());
        debug_assert_eq!(asked.err(), None);
        let missing = wanted & !config.capabilities();
        if missing.intersects(InitFlags::FUSE_POSIX_ACL | InitFlags::FUSE_HANDLE_KILLPRIV_V2) {
            tracing::warn!(?missing, "this kernel's FUSE lacks what shmfs is built on");
        }
        if self.0.passthrough {
            let _ = config.set_max_stack_depth(1);
        }
        let _ = config.set_max_write(MAX_WRITE);
        let _ = config.set_max_background(64);
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let _hand = self.0.begin(request, Opcode::Lookup, parent);
        self.0.lookup(parent, name.as_encoded_bytes(), reply);
    }

    fn forget(&self, _: &Request, id: INodeNo, count: u64) {
        self.0.forget(id, count);
    }

    fn getattr(&self, request: &Request, id: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let _hand = self.0.begin(request, Opcode::Getattr, id);
        self.0.getattr(id, reply);
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
        let set = SetAttr {
            mode,
            uid,
            gid,
            size,
            atime: atime.map(set_time),
            mtime: mtime.map(set_time),
            by_handle: handle.is_some(),
            read_only_handle: handle.is_some_and(is_read_only),
        };
        self.0.setattr(request, id, set, reply);
    }

    fn readlink(&self, request: &Request, id: INodeNo, reply: ReplyData) {
        let _hand = self.0.begin(request, Opcode::Readlink, id);
        self.0.readlink(id, reply);
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
        let _hand = self.0.begin(request, Opcode::Mknod, parent);
        let node = (mode, umask, rdev);
        self.0.mknod(request, (parent, name), node, reply);
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
        let _hand = self.0.begin(request, Opcode::Mkdir, parent);
        self.0.mkdir(request, (parent, name), (mode, umask), reply);
    }

    fn symlink(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        target: &Path,
        reply: ReplyEntry,
    ) {
        let _hand = self.0.begin(request, Opcode::Symlink, parent);
        let target = target.as_os_str();
        self.0.symlink(request, (parent, name), target, reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _hand = self.0.begin(request, Opcode::Unlink, parent);
        self.0.unlink(request, (parent, name), reply);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _hand = self.0.begin(request, Opcode::Rmdir, parent);
        self.0.rmdir(request, (parent, name), reply);
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
        let _hand = self.0.begin(request, Opcode::Rename, parent);
        let to = (new_parent, new_name);
        self.0.rename(request, (parent, name), to, flags, reply);
    }

    fn link(
        &self,
        request: &Request,
        id: INodeNo,
        parent: INodeNo,
        name: &OsStr,
        reply: ReplyEntry,
    ) {
        let _hand = self.0.begin(request, Opcode::Link, parent);
        self.0.link(request, id, (parent, name), reply);
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
        let _hand = self.0.begin(request, Opcode::Create, parent);
        let modes = (mode, umask);
        self.0.create(request, (parent, name), modes, flags, reply);
    }

    fn open(&self, request: &Request, id: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let _hand = self.0.begin(request, Opcode::Open, id);
        self.0.open(request, id, flags, reply);
    }

    fn release(
        &self,
        request: &Request,
        id: INodeNo,
        _: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let _hand = self.0.begin(request, Opcode::Release, id);
        self.0.release(request, id, reply);
    }

    fn read(
        &self,
        request: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        flags: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let _hand = self.0.begin(request, Opcode::Read, id);
        self.0.read(id, offset, size, flags, reply);
    }

    fn write(
        &self,
        request: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        flags: fuser::WriteFlags,
        open: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        self.0
            .write(request, id, (offset, data), (flags, open), reply);
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
        self.0.fallocate(request, id, (offset, length), mode, reply);
    }

    fn lseek(
        &self,
        request: &Request,
        id: INodeNo,
        _: FileHandle,
        offset: i64,
        whence: i32,
        reply: ReplyLseek,
    ) {
        self.0.lseek(request, id, (offset, whence), reply);
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
        let (from, to) = ((source, offset_in), (target, offset_out));
        self.0.copy_file_range(request, from, to, length, reply);
    }

    fn opendir(&self, request: &Request, id: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let _hand = self.0.begin(request, Opcode::Opendir, id);
        self.0.opendir(id, flags, reply);
    }

    fn readdir(
        &self,
        request: &Request,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectory,
    ) {
        let _hand = self.0.begin(request, Opcode::Readdir, id);
        self.0.readdir(id, handle, offset, reply);
    }

    fn readdirplus(
        &self,
        request: &Request,
        id: INodeNo,
        handle: FileHandle,
        offset: u64,
        reply: ReplyDirectoryPlus,
    ) {
        let _hand = self.0.begin(request, Opcode::Readdirplus, id);
        self.0.readdirplus(id, handle, offset, reply);
    }

    /// Never asked for again: there is nothing to do when a descriptor is closed.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.error(errno(Errno::ENOSYS));
    }

    /// Never asked for again: memory has nothing behind it, and the kernel has written its pages back.
    fn fsync(&self, _: &Request, _: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        reply.error(errno(Errno::ENOSYS));
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

    fn statfs(&self, request: &Request, id: INodeNo, reply: ReplyStatfs) {
        let _hand = self.0.begin(request, Opcode::Statfs, id);
        self.0.statfs(id, reply);
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
        let _hand = self.0.begin(request, Opcode::Setxattr, id);
        self.0.setxattr(request, id, (name, value), flags, reply);
    }

    fn getxattr(&self, request: &Request, id: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let _hand = self.0.begin(request, Opcode::Getxattr, id);
        self.0.getxattr(id, name, size, reply);
    }

    fn listxattr(&self, request: &Request, id: INodeNo, size: u32, reply: ReplyXattr) {
        let _hand = self.0.begin(request, Opcode::Listxattr, id);
        self.0.listxattr(request, id, size, reply);
    }

    fn removexattr(&self, request: &Request, id: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let _hand = self.0.begin(request, Opcode::Removexattr, id);
        self.0.removexattr(request, id, name, reply);
    }
}
