//! Operations on one object: contents, size, mode, times, extended attributes, ACLs.

use std::collections::BTreeMap;

use rustix::fs::{self as fs, CWD, Mode, OFlags, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;

use super::model::{DIRS, File, Id, LONGEST, Object};
use super::{Load, Outcome, contents, errno, expect, timed};

const ACL: &str = "system.posix_acl_access";
const XATTRS: [&str; 3] = ["user.one", "user.two", "user.three"];

impl Load {
    pub(super) fn step_of_objects(&mut self) -> Outcome {
        let name = self.any_name();
        let Some(&id) = self.model.names.get(&name) else {
            return self.absent(&name);
        };
        if let Some(Object::Symlink(target)) = self.model.objects.get(&id) {
            let path = self.dir.join(&name);
            let read = timed(&mut self.watch, || fs::readlink(&path, Vec::new()));
            return match read {
                Ok(read) if read.to_bytes() == target.as_bytes() => Ok(()),
                other => Err(format!("readlink {name}: {other:?} instead of {target}")),
            };
        }
        match self.rng.below(8) {
            0..=1 => self.write(&name, id),
            2 => self.truncate(&name, id),
            3 => self.chmod(&name, id),
            4 => self.set_xattr(&name, id),
            5 if !self.is_export => self.set_acl(&name, id),
            6 => self.set_times(&name, id),
            _ => self.check_object(&name),
        }
    }

    fn absent(&mut self, name: &str) -> Outcome {
        let path = self.path(name);
        let stat = errno(timed(&mut self.watch, || fs::lstat(&path)));
        expect(|| format!("stat {name}"), stat, Some(Errno::NOENT))
    }

    /// Bytes that nothing else has, and a place for them.
    pub(super) fn some_bytes(&mut self) -> (usize, Vec<u8>) {
        let len = 1 + self.rng.below(6000);
        let at = self.rng.below(LONGEST - len);
        let first = self.rng.next();
        let bytes = (0..len)
            .map(|n| (first as usize + n * 7 / 3) as u8)
            .collect();
        (at, bytes)
    }

    fn write(&mut self, name: &str, id: Id) -> Outcome {
        let path = self.path(name);
        let (at, bytes) = self.some_bytes();
        let written = timed(&mut self.watch, || {
            let file = fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
            rustix::io::pwrite(&file, &bytes, at as u64)
        });
        if written != Ok(bytes.len()) {
            return Err(format!(
                "write {name}: {written:?} instead of {}",
                bytes.len()
            ));
        }
        self.wrote(id, at, &bytes);
        Ok(())
    }

    /// The model's side of a write.
    pub(super) fn wrote(&mut self, id: Id, at: usize, bytes: &[u8]) {
        let Some(file) = self.model.file_mut(id) else {
            return;
        };
        let end = at + bytes.len();
        if file.bytes.len() < end {
            file.bytes.resize(end, 0);
        }
        file.bytes[at..end].copy_from_slice(bytes);
        file.mtime = None;
    }

    fn truncate(&mut self, name: &str, id: Id) -> Outcome {
        let path = self.path(name);
        // What is mapped is not made shorter: a store beyond the end is SIGBUS.
        let shortest = if self.is_mapped(id) {
            self.model.file(id).map_or(0, |file| file.bytes.len())
        } else {
            0
        };
        let size = shortest + self.rng.below(LONGEST - shortest);
        let by_open = self.rng.below(4) == 0 && shortest == 0;
        let result = timed(&mut self.watch, || {
            let truncate = if by_open {
                OFlags::TRUNC
            } else {
                OFlags::empty()
            };
            let flags = OFlags::RDWR | OFlags::CLOEXEC | truncate;
            let file = fs::open(&path, flags, Mode::empty())?;
            fs::ftruncate(&file, size as u64)
        });
        expect(|| format!("truncate {name} {size}"), errno(result), None)?;
        if let Some(file) = self.model.file_mut(id) {
            if by_open {
                file.bytes.clear();
            }
            file.bytes.resize(size, 0);
            file.mtime = None;
        }
        Ok(())
    }

    fn chmod(&mut self, name: &str, id: Id) -> Outcome {
        let path = self.path(name);
        let mode = self.rng.pick(&[0o600, 0o644, 0o755, 0o640]);
        if self.model.file(id).is_none_or(|file| file.acl.is_some()) {
            return Ok(());
        }
        let done = errno(timed(&mut self.watch, || {
            fs::chmod(&path, Mode::from_raw_mode(mode))
        }));
        expect(|| format!("chmod {name}"), done, None)?;
        if let Some(file) = self.model.file_mut(id) {
            file.mode = mode;
        }
        Ok(())
    }

    fn set_xattr(&mut self, name: &str, id: Id) -> Outcome {
        let path = self.path(name);
        let key = self.rng.pick(&XATTRS);
        let there = self
            .model
            .file(id)
            .is_some_and(|file| file.xattrs.contains_key(key));
        if self.rng.below(3) == 0 {
            let gone = errno(timed(&mut self.watch, || fs::removexattr(&path, key)));
            let wanted = (!there).then_some(Errno::NODATA);
            expect(|| format!("removexattr {name} {key}"), gone, wanted)?;
            if let Some(file) = self.model.file_mut(id) {
                file.xattrs.remove(key);
            }
            return Ok(());
        }
        let flags = self
            .rng
            .pick(&[XattrFlags::CREATE, XattrFlags::REPLACE, XattrFlags::empty()]);
        let value = vec![self.rng.next() as u8; self.rng.below(500)];
        let set = errno(timed(&mut self.watch, || {
            fs::setxattr(&path, key, &value, flags)
        }));
        let wanted = match (flags, there) {
            (XattrFlags::CREATE, true) => Some(Errno::EXIST),
            (XattrFlags::REPLACE, false) => Some(Errno::NODATA),
            _ => None,
        };
        expect(|| format!("setxattr {name} {key} {flags:?}"), set, wanted)?;
        if let (None, Some(file)) = (set, self.model.file_mut(id)) {
            file.xattrs.insert(key.into(), value);
        }
        Ok(())
    }

    fn set_acl(&mut self, name: &str, id: Id) -> Outcome {
        let path = self.path(name);
        let Some(file) = self.model.file_mut(id) else {
            return Ok(());
        };
        if file.acl.take().is_some() {
            let gone = errno(timed(&mut self.watch, || fs::removexattr(&path, ACL)));
            return expect(|| format!("remove the ACL of {name}"), gone, None);
        }
        let acl = acl(self.rng.below(8) as u16);
        let set = timed(&mut self.watch, || {
            fs::setxattr(&path, ACL, &acl, XattrFlags::empty())
        });
        expect(|| format!("set the ACL of {name}"), errno(set), None)?;
        if let Some(file) = self.model.file_mut(id) {
            // Owner, mask, others.
            file.mode = 0o664;
            file.acl = Some(acl);
        }
        Ok(())
    }

    fn set_times(&mut self, name: &str, id: Id) -> Outcome {
        // A store that is written back later moves the time where the kernel caches.
        if self.is_mapped(id) {
            return Ok(());
        }
        let path = self.path(name);
        let sec = 1_000_000_000 + self.rng.below(1 << 29) as i64;
        let time = Timespec {
            tv_sec: sec,
            tv_nsec: 7,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        let set = timed(&mut self.watch, || {
            fs::utimensat(CWD, &path, &times, fs::AtFlags::empty())
        });
        expect(|| format!("utimensat {name}"), errno(set), None)?;
        if let Some(file) = self.model.file_mut(id) {
            file.mtime = Some(sec);
        }
        Ok(())
    }

    pub(super) fn check_object(&mut self, name: &str) -> Outcome {
        let path = self.path(name);
        let Some(&id) = self.model.names.get(name) else {
            return Ok(());
        };
        let Some(file) = self.model.file(id).cloned() else {
            return Ok(());
        };
        let links = self.model.links(id);
        let opened = timed(&mut self.watch, || {
            fs::open(&path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        });
        let opened = opened.map_err(|e| format!("open {name}: {e}"))?;
        let what = || format!("{name} after {} steps", self.steps);
        self.check_file(&opened, &file, links)
            .map_err(|e| format!("{}: {e}", what()))?;
        let there: BTreeMap<String, Vec<u8>> =
            xattrs_of(&opened).map_err(|e| format!("{}: xattrs: {e}", what()))?;
        let mut wanted = file.xattrs;
        wanted.extend(file.acl.map(|acl| (ACL.to_owned(), acl)));
        if there != wanted {
            return Err(format!("{}: {there:?} instead of {wanted:?}", what()));
        }
        Ok(())
    }

    /// Contents and attributes of an open file.
    pub(super) fn check_file(
        &self,
        opened: &impl std::os::fd::AsFd,
        file: &File,
        links: usize,
    ) -> Outcome {
        let stat = fs::fstat(opened).map_err(|e| format!("stat: {e}"))?;
        let got = (
            stat.st_size as usize,
            stat.st_mode & 0o7777,
            stat.st_nlink as usize,
        );
        let wanted = (file.bytes.len(), file.mode, links);
        if got != wanted {
            return Err(format!("size, mode, links: {got:?} instead of {wanted:?}"));
        }
        if file
            .mtime
            .is_some_and(|mtime| mtime != stat.st_mtime as i64)
        {
            let mtime = stat.st_mtime;
            return Err(format!("mtime {mtime} instead of {:?}", file.mtime));
        }
        let bytes = contents(opened)?;
        match bytes.iter().zip(&file.bytes).position(|(a, b)| a != b) {
            Some(at) => Err(format!(
                "byte {at} is {} instead of {}",
                bytes[at], file.bytes[at]
            )),
            None if bytes.len() != file.bytes.len() => Err(format!("{} bytes", bytes.len())),
            None => Ok(()),
        }
    }

    pub(super) fn check_everything(&mut self) -> Outcome {
        for dir in DIRS {
            self.check_names(dir)?;
        }
        let names: Vec<String> = self.model.names.keys().cloned().collect();
        names.iter().try_for_each(|name| self.check_object(name))
    }

    pub(super) fn remove_everything(&mut self) -> Outcome {
        for dir in DIRS {
            self.empty(dir)?;
        }
        let names: Vec<String> = self.model.names.keys().cloned().collect();
        for name in names {
            let path = self.path(&name);
            let gone = match self.model.at(&name) {
                Some(Object::Dir) => fs::rmdir(&path),
                Some(Object::File(_) | Object::Symlink(_)) | None => fs::unlink(&path),
            };
            expect(|| format!("remove {name}"), errno(gone), None)?;
        }
        Ok(())
    }
}

fn xattrs_of(file: &impl std::os::fd::AsFd) -> rustix::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut names = vec![0; 4096];
    let count = fs::flistxattr(file, &mut names[..])?;
    let names = names[..count].split(|byte| *byte == 0);
    let names = names.filter(|name| !name.is_empty());
    let mut all = BTreeMap::new();
    for name in names {
        let name = String::from_utf8_lossy(name).into_owned();
        let mut value = vec![0; 4096];
        let count = fs::fgetxattr(file, &name, &mut value[..])?;
        value.truncate(count);
        all.insert(name, value);
    }
    Ok(all)
}

/// An ACL as an extended attribute: the owner, a user with these rights, the group, the mask, others. The user is
/// one whom every user namespace knows.
fn acl(rights: u16) -> Vec<u8> {
    const NOBODY: u32 = u32::MAX;
    let user = rustix::process::geteuid().as_raw();
    let entries: [(u16, u16, u32); 5] = [
        (1, 6, NOBODY),
        (2, rights, user),
        (4, 4, NOBODY),
        (0x10, 6, NOBODY),
        (0x20, 4, NOBODY),
    ];
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, rights, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(rights.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}
