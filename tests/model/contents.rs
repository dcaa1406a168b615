//! The model's regular files and attributes: contents as bytes, and the pages that hold them.

use std::collections::BTreeMap;

use shmfs::errno::{Errno, Result};
use shmfs::ops::WriteFlags;

use crate::acl::AclValue;
use crate::generators::{Time, Which, Who};
use crate::reference::{Id, Model, Node, What};
use crate::times::Mark;

pub const PAGE: u64 = 4096;

/// The contents of a regular file.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    pub bytes: Vec<u8>,
    /// Pages that there are, and whether anything was written to them.
    pub pages: BTreeMap<u64, bool>,
    /// Pages taken from the limit.
    pub reserved: u64,
}

impl Contents {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn resize(&mut self, size: u64) {
        if size <= self.len() {
            self.pages.retain(|&page, _| page < size.div_ceil(PAGE));
            self.reserved = size.div_ceil(PAGE);
        }
        self.bytes.resize(size as usize, 0);
    }

    fn write(&mut self, offset: u64, bytes: &[u8]) {
        let end = offset + bytes.len() as u64;
        if end > self.len() {
            self.bytes.resize(end as usize, 0);
        }
        self.bytes[offset as usize..end as usize].copy_from_slice(bytes);
        self.pages
            .extend((offset / PAGE..end.div_ceil(PAGE)).map(|page| (page, true)));
    }

    fn punch(&mut self, offset: u64, end: u64) {
        self.pages
            .retain(|&page, _| page < offset.div_ceil(PAGE) || page >= end / PAGE);
        let (start, end) = (offset.min(self.len()), end.min(self.len()));
        self.bytes[start as usize..end as usize].fill(0);
    }

    /// Whether a page was allocated and never written to: what SEEK_DATA makes of it is the host kernel's affair.
    pub fn is_ambiguous(&self) -> bool {
        self.pages.values().any(|&written| !written)
    }

    fn is_data(&self, at: u64) -> bool {
        self.pages.get(&(at / PAGE)) == Some(&true)
    }

    pub fn read(&self, offset: u64, len: usize) -> &[u8] {
        let start = offset.min(self.len()) as usize;
        &self.bytes[start..(start.saturating_add(len)).min(self.bytes.len())]
    }
}

impl Model {
    fn contents(&self, id: Id) -> Result<&Contents> {
        match &self.node(id).what {
            What::File(contents) => Ok(contents),
            What::Dir => Err(Errno::EISDIR),
            What::Symlink(_) | What::Other(..) => Err(Errno::EINVAL),
        }
    }

    fn contents_mut(&mut self, id: Id) -> &mut Contents {
        match &mut self.node_mut(id).what {
            What::File(contents) => contents,
            What::Dir | What::Symlink(_) | What::Other(..) => panic!("checked to be a file"),
        }
    }

    /// Takes room for the first `end` bytes.
    fn reserve(&mut self, id: Id, end: u64) -> Result<()> {
        let (wanted, has) = (end.div_ceil(PAGE), self.contents(id)?.reserved);
        if wanted > has && self.used_pages() - has + wanted > self.pages {
            return Err(Errno::ENOSPC);
        }
        self.contents_mut(id).reserved = wanted.max(has);
        Ok(())
    }

    /// As much as there is room for; the end of it.
    fn reserve_some(&mut self, id: Id, start: u64, end: u64) -> Result<u64> {
        if self.reserve(id, end).is_ok() {
            return Ok(end);
        }
        let room = self.contents(id)?.reserved + self.pages.saturating_sub(self.used_pages());
        let end = end.min(room * PAGE);
        if end <= start {
            return Err(Errno::ENOSPC);
        }
        self.reserve(id, end)?;
        Ok(end)
    }

    pub fn write(
        &mut self,
        who: Who,
        id: Id,
        offset: u64,
        len: usize,
        fill: u8,
        flags: WriteFlags,
    ) -> Result<usize> {
        self.contents(id)?;
        if len == 0 {
            return Ok(0);
        }
        let end = offset.checked_add(len as u64).ok_or(Errno::EFBIG)?;
        let end = self.reserve_some(id, offset, end)?;
        let len = (end - offset) as usize;
        self.contents_mut(id).write(offset, &vec![fill; len]);
        self.node_mut(id).pinned &= flags.from_cache;
        let pinned = self.node(id).pinned;
        self.touch_data(id);
        if pinned {
            self.marks_of(id).mtime = Mark::Kept;
        }
        if flags.kill_privileges {
            self.kill_privileges(who, id);
        }
        if !flags.from_cache {
            self.node_mut(id)
                .xattrs
                .remove(b"security.capability".as_slice());
        }
        Ok(len)
    }

    fn kill_privileges(&mut self, who: Who, id: Id) {
        let mode = without_privileges(who, self.node(id));
        self.node_mut(id).mode = mode;
    }

    pub fn read(&mut self, id: Id, offset: u64, len: usize) -> Result<Vec<u8>> {
        let bytes = self.contents(id)?.read(offset, len).to_vec();
        self.marks_of(id).atime = Mark::Maybe;
        Ok(bytes)
    }

    pub fn truncate(&mut self, who: Who, id: Id, size: u64, by_handle: bool) -> Result<()> {
        let contents = self.contents(id)?;
        // What truncate(2) leaves alone: a size that stays, and no page to look through.
        let nothing =
            size == contents.len() && size != 0 && !by_handle && contents.pages.is_empty();
        if !nothing {
            self.reserve(id, size)?;
            self.contents_mut(id).resize(size);
            self.node_mut(id).pinned = false;
            self.touch_data(id);
        }
        let node = self.node(id);
        if who != Who::Root && node.mode & 0o6000 != 0 {
            let mode = without_privileges(who, node);
            if mode != node.mode {
                self.touch_ctime(id);
            }
            self.node_mut(id).mode = mode;
        }
        Ok(())
    }

    pub fn fallocate(&mut self, id: Id, mode: i32, offset: u64, len: u64) -> Result<()> {
        const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
        self.contents(id)?;
        if len == 0 {
            return Err(Errno::EINVAL);
        }
        if ![0, libc::FALLOC_FL_KEEP_SIZE, PUNCH].contains(&mode) {
            return Err(Errno::EOPNOTSUPP);
        }
        let end = offset.checked_add(len).ok_or(Errno::EFBIG)?;
        if mode == PUNCH {
            if end > i64::MAX as u64 {
                return Err(Errno::EFBIG);
            }
            self.contents_mut(id).punch(offset, end);
        } else {
            self.reserve(id, end)?;
            let contents = self.contents_mut(id);
            (offset / PAGE..end.div_ceil(PAGE)).for_each(|page| {
                contents.pages.entry(page).or_insert(false);
            });
            if mode == 0 && end > contents.len() {
                contents.bytes.resize(end as usize, 0);
            }
        }
        self.node_mut(id).pinned = false;
        self.touch_data(id);
        Ok(())
    }

    pub fn lseek(&self, id: Id, offset: i64, whence: i32) -> Result<u64> {
        let contents = self.contents(id)?;
        let offset = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
        let data = match whence {
            libc::SEEK_DATA => true,
            libc::SEEK_HOLE => false,
            _ => return Err(Errno::EINVAL),
        };
        if offset >= contents.len() {
            return Err(Errno::ENXIO);
        }
        let found = (offset..contents.len()).find(|&at| contents.is_data(at) == data);
        match (found, data) {
            (Some(at), _) => Ok(at),
            (None, true) => Err(Errno::ENXIO),
            (None, false) => Ok(contents.len()),
        }
    }

    pub fn copy(
        &mut self,
        (from, at): (Id, u64),
        (to, into): (Id, u64),
        len: u64,
    ) -> Result<usize> {
        self.contents(to)?;
        let source = self.contents(from)?.read(at, len as usize).to_vec();
        if source.is_empty() {
            return Ok(0);
        }
        let end = into.checked_add(source.len() as u64).ok_or(Errno::EFBIG)?;
        let before = self.contents(to)?.reserved;
        let end = self.reserve_some(to, into, end)?;
        let len = end - into;
        self.node_mut(to).pinned = false;
        if from == to && into + len > at && into < at + len {
            self.contents_mut(to).reserved = before;
            return Err(Errno::EINVAL);
        }
        self.contents_mut(to).write(into, &source[..len as usize]);
        self.touch_data(to);
        self.marks_of(from).atime = Mark::Maybe;
        Ok(len as usize)
    }

    pub fn chmod(&mut self, id: Id, mode: u32) {
        let node = self.node_mut(id);
        node.mode = mode;
        node.access = node.access.as_ref().map(|list| list.chmod(mode));
        self.touch_ctime(id);
    }

    /// chown, or with nothing to set the kernel's word that a file was written to.
    pub fn chown(&mut self, who: Who, id: Id, uid: Option<u32>, gid: Option<u32>) {
        if !self.is_dir(id) {
            self.kill_privileges(who, id);
        }
        let node = self.node_mut(id);
        node.uid = uid.unwrap_or(node.uid);
        node.gid = gid.unwrap_or(node.gid);
        self.touch_ctime(id);
    }

    pub fn utimes(&mut self, id: Id, atime: Time, mtime: Time) {
        let mark = |time: Time| match time {
            Time::Omit => Mark::Kept,
            Time::Now => Mark::Touched,
            Time::At(..) => time.exact().map_or(Mark::Kept, Mark::Exact),
        };
        let passthrough = self.passthrough;
        self.node_mut(id).pinned |= mtime != Time::Omit && !passthrough;
        let marks = self.marks_of(id);
        (marks.atime, marks.mtime, marks.ctime) = (mark(atime), mark(mtime), Mark::Touched);
        marks.together = true;
    }

    pub fn set_xattr(&mut self, id: Id, name: &[u8], value: Vec<u8>, flags: i32) -> Result<()> {
        check_xattr_name(name)?;
        if value.len() > 65536 {
            return Err(Errno::E2BIG);
        }
        self.take_inode_space((40 + name.len() + value.len()) as u64)?;
        let exists = self.node(id).xattrs.contains_key(name);
        match flags {
            libc::XATTR_CREATE if exists => return Err(Errno::EEXIST),
            libc::XATTR_REPLACE if !exists => return Err(Errno::ENODATA),
            _ => {}
        }
        self.node_mut(id).xattrs.insert(name.to_vec(), value);
        self.touch_ctime(id);
        Ok(())
    }

    pub fn remove_xattr(&mut self, id: Id, name: &[u8]) -> Result<()> {
        check_xattr_name(name)?;
        self.node_mut(id)
            .xattrs
            .remove(name)
            .ok_or(Errno::ENODATA)?;
        self.touch_ctime(id);
        Ok(())
    }

    pub fn set_acl(&mut self, who: Who, id: Id, which: Which, acl: &AclValue) -> Result<()> {
        let list = acl.parsed()?;
        let node = self.node_mut(id);
        match (&node.what, which) {
            (What::Symlink(_), _) => return Err(Errno::EOPNOTSUPP),
            (What::File(_) | What::Other(..), Which::Default) => {
                return if list.is_some() {
                    Err(Errno::EACCES)
                } else {
                    Ok(())
                };
            }
            _ => {}
        }
        if !who.owns(node.uid) {
            return Err(Errno::EPERM);
        }
        match which {
            Which::Default => node.default = list,
            Which::Access => {
                let bits = list.as_ref().map_or(node.mode & 0o777, |list| list.bits());
                let keep = if who.keeps_setgid(node.gid) {
                    0o7000
                } else {
                    0o5000
                };
                node.mode = node.mode & keep | bits;
                node.access = list.filter(|list| !list.is_minimal());
            }
        }
        self.touch_ctime(id);
        Ok(())
    }
}

fn without_privileges(who: Who, node: &Node) -> u32 {
    let mode = node.mode & !0o4000;
    if mode & 0o0010 != 0 || !who.keeps_setgid(node.gid) {
        mode & !0o2000
    } else {
        mode
    }
}

pub fn check_xattr_name(name: &[u8]) -> Result<()> {
    let known = [&b"user."[..], b"trusted.", b"security."];
    match known.iter().find_map(|prefix| name.strip_prefix(*prefix)) {
        None => Err(Errno::EOPNOTSUPP),
        Some(b"") => Err(Errno::EINVAL),
        Some(_) if name.len() > 255 => Err(Errno::ERANGE),
        Some(_) => Ok(()),
    }
}
