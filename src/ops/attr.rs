//! getattr, setattr, statfs.

use super::access::{self, Caller};
use super::growth::{Change, Outcome};
use super::{Dir, Entry, Face, Fs, Object};
use crate::data::{self, DataFile};
use crate::errno::{Errno, Result};
use crate::store::acl::{Acl, Acls};
use crate::store::change::{Attributes, InodeChange};
use crate::store::record::Answer;
use crate::store::{Inode, State, Tree};
use crate::types::{Attr, Kind, Timestamp};

/// `BOGO_DIRENT_SIZE` (mm/shmem.c): what a name adds to its directory's size.
pub(super) const DIRENT_SIZE: u64 = 20;
/// `.` and `..`.
pub(super) const EMPTY_DIRECTORY: u64 = 2 * DIRENT_SIZE;

/// A time to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetTime {
    /// The time of the request.
    Now,
    /// This one.
    At(Timestamp),
}

/// What setattr is to change; nothing at all stands for a write by an unprivileged program, after which
/// set-user-ID and set-group-ID must go (`FUSE_HANDLE_KILLPRIV_V2`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttr {
    /// Permissions.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<u32>,
    /// Group.
    pub gid: Option<u32>,
    /// Bytes.
    pub size: Option<u64>,
    /// Last access.
    pub atime: Option<SetTime>,
    /// Last change of the contents.
    pub mtime: Option<SetTime>,
    /// By descriptor: ftruncate(2) moves the times also when the size stays.
    pub by_handle: bool,
    /// By one that is not open for writing.
    pub read_only_handle: bool,
}

/// Limits and use, as statfs(2) shows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statfs {
    /// The limit in pages, 0 for none.
    pub blocks: u64,
    /// Pages free.
    pub blocks_free: u64,
    /// The limit in inodes, 0 for none.
    pub files: u64,
    /// Inodes free.
    pub files_free: u64,
}

/// A change of size that can be made.
struct Resize {
    file: DataFile,
    grows: bool,
    /// Sent again, the request finds the file as long as it was to become: once more it would free what is
    /// allocated behind the end.
    grown: bool,
    change: Change,
}

impl Fs {
    /// The attributes of an inode.
    pub fn getattr(&self, of: impl Into<Object>) -> Result<Entry> {
        let of = of.into();
        let tree = self.superblock.tree();
        let entry = self.entry_in(&tree, tree.inode(of.ino)?, of.dir())?;
        Ok(self.mask_object(&of, entry))
    }

    /// The attributes of an inode as one sees it in the face that `dir` has.
    pub(super) fn entry_in(&self, tree: &Tree, inode: &Inode, dir: Dir) -> Result<Entry> {
        let mut entry = self.entry(tree, inode)?;
        match dir.face {
            Face::View(view) if inode.ino == self.root() => {
                self.add_own(tree, view, &mut entry)?;
            }
            Face::Export(id) if inode.kind.is_dir() => {
                self.show_directory(tree, id, inode.ino, &mut entry)?;
            }
            Face::View(_) | Face::Export(_) | Face::Tree => {}
        }
        Ok(entry)
    }

    pub(super) fn entry(&self, tree: &Tree, inode: &Inode) -> Result<Entry> {
        let state = inode.state();
        let (size, blocks, atime, mtime, ctime) = match &inode.kind {
            Kind::Regular => {
                let stat = self.data_stat(inode.ino, &state)?;
                (stat.size, stat.blocks, stat.atime, stat.mtime, stat.ctime)
            }
            // "Some things misbehave if size == 0 on a directory" (shmem_get_inode): `.` and `..` count.
            Kind::Directory => {
                let names = 2 + tree.directory(inode.ino)?.len() as u64;
                (
                    names * DIRENT_SIZE,
                    0,
                    state.atime,
                    state.mtime,
                    state.ctime,
                )
            }
            Kind::Symlink(target) => {
                let blocks = if state.data.present {
                    data::PAGE_SIZE / 512
                } else {
                    0
                };
                (
                    target.len() as u64,
                    blocks,
                    state.atime,
                    state.mtime,
                    state.ctime,
                )
            }
            Kind::Fifo | Kind::Socket | Kind::CharDevice(_) | Kind::BlockDevice(_) => {
                (0, 0, state.atime, state.mtime, state.ctime)
            }
        };
        let rdev = match inode.kind {
            Kind::CharDevice(rdev) | Kind::BlockDevice(rdev) => rdev,
            Kind::Regular | Kind::Directory | Kind::Symlink(_) | Kind::Fifo | Kind::Socket => 0,
        };
        let attr = Attr {
            ino: inode.ino,
            generation: inode.generation,
            size,
            blocks,
            atime,
            mtime,
            ctime,
            btime: state.btime,
            mode: inode.kind.type_bits() | state.mode,
            nlink: state.nlink,
            uid: state.uid,
            gid: state.gid,
            rdev,
        };
        Ok(Entry {
            attr,
            lasting: !state.is_exposed(),
            way: None,
        })
    }

    /// Changes attributes, the size first, as `shmem_setattr`.
    pub fn setattr(&self, caller: &Caller, of: impl Into<Object>, set: SetAttr) -> Result<Entry> {
        let of = of.into();
        self.check_setattr(&of, &set)?;
        let inode = self.superblock.inode(of.ino)?;
        match set.size {
            Some(size) if size <= self.data_stat(inode.ino, &inode.state())?.size => {
                self.may_free()?;
            }
            Some(_) | None => self.may_add()?,
        }
        let others = SetAttr {
            size: None,
            by_handle: false,
            read_only_handle: false,
            ..set
        };
        let more = others != SetAttr::default() || set.size.is_none();
        if set.size.is_some() {
            let answer = if more {
                Answer::Unfinished
            } else {
                Answer::Done
            };
            self.set_size(caller, &inode, set, answer)?;
        }
        if more {
            self.set_attributes(caller, &inode, set)?;
        }
        self.getattr(of)
    }

    /// Changes the size; `answer` is what the request in hand has come to with it.
    pub(super) fn set_size(
        &self,
        caller: &Caller,
        inode: &Inode,
        set: SetAttr,
        answer: Answer,
    ) -> Result<()> {
        match inode.kind {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::EISDIR),
            Kind::Symlink(_)
            | Kind::Fifo
            | Kind::Socket
            | Kind::CharDevice(_)
            | Kind::BlockDevice(_) => {
                return Err(Errno::EINVAL);
            }
        }
        // The kernel holds the inode's lock: only the size's neighbours move meanwhile.
        let size = set.size.unwrap_or_default();
        if let Some(resize) = self.prepare_size(caller, inode, size, set.by_handle)? {
            self.resize(inode, size, resize)?;
        }
        let mut state = inode.state();
        let mode = access::after_write(caller, &state);
        let change = if mode == state.mode {
            // A request that is sent again must not truncate what was written since.
            InodeChange::Data
        } else {
            let ctime = Some(self.clock.now());
            InodeChange::Attributes(Attributes {
                mode: Some(mode),
                ctime,
                ..Attributes::default()
            })
        };
        self.superblock
            .commit_inode(inode, &mut state, change, answer);
        Ok(())
    }

    fn resize(&self, inode: &Inode, size: u64, resize: Resize) -> Result<()> {
        let truncated = match resize.grown {
            true => Ok(()),
            false => data::truncate(&resize.file, size),
        };
        let outcome = match truncated {
            // Growing leaves alone what fallocate(2) gave beyond the old size.
            Ok(()) if resize.grows => Outcome::Grown,
            Ok(()) => Outcome::Cut(0),
            Err(_) => Outcome::Failed,
        };
        self.end(inode.ino, &mut inode.state(), resize.change, outcome)?;
        truncated
    }

    /// The data file to truncate, its growth reserved; `None` where truncate(2) would change nothing: a size
    /// that stays moves the times only if there are pages to look through (`shmem_truncate_range`), or if
    /// ftruncate(2) says so.
    ///
    /// A request of size 0 without a handle is open(2)'s `O_TRUNC`, which moves the times in any case, or
    /// truncate(2) of an empty file, which does not: they look the same, and the first is the common one.
    fn prepare_size(
        &self,
        caller: &Caller,
        inode: &Inode,
        size: u64,
        by_handle: bool,
    ) -> Result<Option<Resize>> {
        let mut state = inode.state();
        let old = self.data_stat(inode.ino, &state)?;
        // Sent again, the file may have the size already, and the rest is to be done.
        let planned = self.planned();
        if planned.is_none() && size == old.size && old.blocks == 0 && size != 0 && !by_handle {
            return Ok(None);
        }
        self.make_present(inode, &mut state)?;
        let file = self.file(inode.ino, &mut state)?;
        let change = self.begin(inode.ino, &state);
        let grows = planned.map_or(size > old.size, |grows| grows != 0);
        if planned.is_none() {
            self.plan(inode, &mut state, grows.into());
        }
        if grows {
            if let Err(errno) = self.reserve(caller, &mut state, size) {
                self.end(inode.ino, &mut state, change, Outcome::Failed)?;
                return Err(errno);
            }
        }
        state.data.mtime_set = false;
        Ok(Some(Resize {
            file,
            grows,
            grown: grows && size <= old.size,
            change,
        }))
    }

    fn set_attributes(&self, caller: &Caller, inode: &Inode, set: SetAttr) -> Result<()> {
        let mut state = inode.state();
        let change = self.attributes(caller, inode, &mut state, set)?;
        let owner_or_mode = change.mode.is_some() || change.uid.is_some() || change.gid.is_some();
        let owner = change.uid.unwrap_or(state.uid);
        self.transfer(caller, &state, owner)?;
        if owner_or_mode && state.data.present && self.is_passthrough() {
            // What the kernel reads next it judges by the data file's ctime (`relatime_need_update`).
            let touched = self.files.touch_ctime(inode.ino);
            touched.inspect_err(|_| self.transfer_back(&state, owner))?;
        }
        let (times, ctime) = ((change.atime, change.mtime), change.ctime);
        let change = InodeChange::Attributes(change);
        self.superblock
            .commit_inode(inode, &mut state, change, Answer::Done);
        drop(state);
        if let (true, Some(ctime)) = (inode.kind.is_dir(), ctime) {
            self.follow_attributes(inode.ino, times, ctime);
        }
        Ok(())
    }

    fn attributes(
        &self,
        caller: &Caller,
        inode: &Inode,
        state: &mut State,
        set: SetAttr,
    ) -> Result<Attributes> {
        // One change has one time (`notify_change`).
        let now = self.clock.now();
        let explicit = |time: SetTime| match time {
            SetTime::Now => now,
            SetTime::At(time) => time,
        };
        let (atime, mtime) = (set.atime.map(explicit), set.mtime.map(explicit));
        if state.data.present && (atime.is_some() || mtime.is_some()) {
            self.set_data_times(inode.ino, state, atime, mtime)?;
        }
        state.data.mtime_set |= mtime.is_some() && !self.is_passthrough();
        let nothing = SetAttr {
            by_handle: false,
            read_only_handle: false,
            ..set
        } == SetAttr::default();
        if nothing {
            access::may_drop_privileges(caller, state)?;
        }
        let chown = set.uid.is_some() || set.gid.is_some();
        let mode = match set.mode {
            Some(mode) => Some(mode & 0o7777),
            None if (chown || nothing) && !inode.kind.is_dir() => {
                Some(access::without_privileges(caller, state))
            }
            None => None,
        };
        let acls = set.mode.and_then(|mode| chmod(state, mode));
        Ok(Attributes {
            mode,
            uid: set.uid,
            gid: set.gid,
            atime,
            mtime,
            ctime: Some(now),
            acls,
        })
    }

    /// Limits and use.
    pub fn statfs(&self) -> Statfs {
        let blocks = self.room.limit();
        let blocks_free = blocks.saturating_sub(self.used_pages());
        let (files, files_free) = self.superblock.inodes.inodes();
        Statfs {
            blocks,
            blocks_free,
            files,
            files_free,
        }
    }
}

/// The ACLs after a chmod(2), where there is an access ACL (`posix_acl_chmod`).
fn chmod(state: &State, mode: u32) -> Option<Acls> {
    let acls = state.acls.as_deref()?;
    let access: &Acl = acls.access.as_ref()?;
    Some(Acls {
        access: Some(access.chmod(mode)),
        default: acls.default.clone(),
    })
}
