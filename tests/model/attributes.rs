//! Operations on one object: its attributes, its contents.

use shmfs::errno::{Errno, Result};
use shmfs::ops::{SetAttr, SetTime};

use crate::acl::AclValue;
use crate::contents::check_xattr_name;
use crate::generators::{Op, Time, Which, Who};
use crate::harness::{HALF, Harness, caller};
use crate::reference::{Id, What};

impl Harness {
    fn setattr(&mut self, who: Who, id: Id, set: SetAttr) -> Result<()> {
        let entry = self.fs.setattr(&caller(who), self.ino(id), set)?;
        assert_eq!(Ok(entry), self.fs.getattr(self.ino(id)));
        Ok(())
    }

    pub fn apply_setattr(&mut self, op: &Op) {
        let nothing = SetAttr::default();
        let done = match *op {
            Op::Chmod(who, pick, mode) => {
                let id = self.any(pick);
                self.model.chmod(id, mode);
                self.setattr(
                    who,
                    id,
                    SetAttr {
                        mode: Some(mode),
                        ..nothing
                    },
                )
            }
            Op::Chown(who, pick, uid, gid) => {
                let id = self.any(pick);
                let set = SetAttr {
                    uid,
                    gid,
                    ..nothing
                };
                match self.setattr(who, id, set) {
                    // Of nothing, and not from who could write.
                    Err(Errno::EPERM) if set == nothing && who != Who::Root => return,
                    done => {
                        self.model.chown(who, id, uid, gid);
                        done
                    }
                }
            }
            Op::KillPrivileges(who, pick) => {
                let id = self.any(pick);
                match self.setattr(who, id, nothing) {
                    Err(Errno::EPERM) if who != Who::Root => return,
                    done => {
                        self.model.chown(who, id, None, None);
                        done
                    }
                }
            }
            // With nothing to set the kernel does not ask.
            Op::Utimes(_, _, Time::Omit, Time::Omit) => Ok(()),
            Op::Utimes(who, pick, atime, mtime) => {
                let id = self.any(pick);
                self.model.utimes(id, atime, mtime);
                let (atime, mtime) = (set_time(atime), set_time(mtime));
                self.setattr(
                    who,
                    id,
                    SetAttr {
                        atime,
                        mtime,
                        ..nothing
                    },
                )
            }
            _ => unreachable!(),
        };
        assert_eq!(done, Ok(()));
    }

    pub fn apply_xattr(&mut self, op: &Op) {
        match op {
            Op::SetXattr(who, pick, name, size, flags) => {
                let (id, value) = (self.any(*pick), vec![b'v'; *size]);
                let ours = self
                    .fs
                    .setxattr(&caller(*who), self.ino(id), name, &value, *flags);
                assert_eq!(ours, self.model.set_xattr(id, name, value, *flags));
            }
            Op::RemoveXattr(who, pick, name) => {
                let id = self.any(*pick);
                let ours = self.fs.removexattr(&caller(*who), self.ino(id), name);
                assert_eq!(ours, self.model.remove_xattr(id, name));
                let gone = check_xattr_name(name).and(Err(Errno::ENODATA));
                assert_eq!(self.fs.getxattr(self.ino(id), name), gone);
            }
            Op::SetAcl(who, pick, which, acl) => {
                let id = self.any(*pick);
                let ours = self.fs.setxattr(
                    &caller(*who),
                    self.ino(id),
                    acl_name(*which),
                    &acl.bytes(),
                    0,
                );
                assert_eq!(ours, self.model.set_acl(*who, id, *which, acl));
            }
            Op::RemoveAcl(who, pick, which) => {
                let id = self.any(*pick);
                let ours = self
                    .fs
                    .removexattr(&caller(*who), self.ino(id), acl_name(*which));
                let empty = AclValue::Empty;
                assert_eq!(ours, self.model.set_acl(*who, id, *which, &empty));
            }
            _ => unreachable!(),
        }
    }

    pub fn readlink(&mut self, id: Id) {
        let ours = self.fs.readlink(self.ino(id));
        match &self.model.node(id).what {
            What::Symlink(target) => {
                assert_eq!(ours.as_ref(), Ok(target));
                self.touch_atime(id);
            }
            What::File(_) | What::Dir | What::Other(..) => assert_eq!(ours, Err(Errno::EINVAL)),
        }
    }

    pub fn apply_data(&mut self, op: &Op) {
        match *op {
            Op::Truncate(who, pick, size, by_handle) => {
                let id = self.file(pick);
                let size_of = SetAttr {
                    size: Some(size),
                    by_handle,
                    ..SetAttr::default()
                };
                let ours = self.setattr(who, id, size_of);
                assert_eq!(ours, self.model.truncate(who, id, size, by_handle));
            }
            Op::Write(who, pick, offset, len, fill, flags) => {
                let id = self.file(pick);
                let ours =
                    self.fs
                        .write(&caller(who), self.ino(id), offset, &vec![fill; len], flags);
                assert_eq!(ours, self.model.write(who, id, offset, len, fill, flags));
            }
            Op::Read(pick, offset, len) => {
                let (id, offset, mut buffer) = (self.file(pick), offset & HALF, vec![0; len]);
                let ours = self.fs.read(self.ino(id), offset, &mut buffer, false);
                let ours = ours.map(|count| buffer[..count].to_vec());
                assert_eq!(ours, self.model.read(id, offset, len));
            }
            Op::Fallocate(pick, mode, offset, len) => {
                let id = self.file(pick);
                let ours = self
                    .fs
                    .fallocate(&caller(Who::Root), self.ino(id), mode, offset, len);
                assert_eq!(ours, self.model.fallocate(id, mode as i32, offset, len));
            }
            Op::Lseek(pick, offset, whence) => {
                let id = self.file(pick);
                let ours = self.fs.lseek(self.ino(id), offset, whence);
                if !matches!(&self.model.node(id).what, What::File(contents) if contents.is_ambiguous())
                {
                    assert_eq!(ours, self.model.lseek(id, offset, whence));
                }
            }
            Op::Copy(from, at, to, into, len) => {
                let (from, to, at) = (self.file(from), self.file(to), at & HALF);
                let ours = self.fs.copy_file_range(
                    &caller(Who::Root),
                    (self.ino(from), at),
                    (self.ino(to), into),
                    len,
                );
                let theirs = match self.model.node(from).what {
                    What::File(_) => self.model.copy((from, at), (to, into), len),
                    What::Dir => Err(Errno::EISDIR),
                    What::Symlink(_) | What::Other(..) => Err(Errno::EINVAL),
                };
                assert_eq!(ours, theirs);
            }
            _ => unreachable!("all others are carried out elsewhere"),
        }
    }
}

fn set_time(time: Time) -> Option<SetTime> {
    match time {
        Time::Omit => None,
        Time::Now => Some(SetTime::Now),
        Time::At(..) => time.exact().map(SetTime::At),
    }
}

pub fn acl_name(which: Which) -> &'static [u8] {
    match which {
        Which::Access => b"system.posix_acl_access",
        Which::Default => b"system.posix_acl_default",
    }
}
