//! illumos: each name is locked by a file of its own while it is opened or unlinked; what does not fit
//! a file name is put in directories that are made for it.

use std::os::fd::OwnedFd;

use super::{Name, Personality};
use crate::directory::{Spot, View};
use crate::errno::{Errno, Result};
use crate::semaphore::{Request, initialise};
use crate::session::Call;
use crate::view::NameOp;

const LOCK_TRIES: u32 = 64;

#[derive(Debug)]
pub(super) struct Illumos;

impl Personality for Illumos {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let object = Object::find(call.shm(), name, NameOp::Open, b".SHMD", b".SHML")?;
        object.locked(|| Ok(object.open(flags | libc::O_CLOEXEC, mode)?.0))
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        Object::find(call.shm(), name, NameOp::Unlink, b".SHMD", b".SHML")?.unlink()
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        let object = Object::find(call.sem()?, name, NameOp::Open, b".SEMD", b".SEML")?;
        object.locked(|| {
            if request.creates() {
                request.value_within(i32::MAX as u32)?;
            }
            let kept = request.flags & (libc::O_CREAT | libc::O_EXCL);
            let flags = kept | libc::O_RDWR | libc::O_CLOEXEC;
            let (file, new) = object.open(flags, request.mode)?;
            if new {
                initialise(&file, request.value).inspect_err(|_| {
                    // It is our own file, and we hold its lock.
                    let _ = object.view.unlink(&object.data);
                })?;
            }
            Ok(file)
        })
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        Object::find(call.sem()?, name, NameOp::Unlink, b".SEMD", b".SEML")?.unlink()
    }
}

/// The files of one name.
struct Object<'c> {
    view: View<'c>,
    data: Spot,
    lock: Spot,
}

impl<'c> Object<'c> {
    /// `__pos4obj_check` and `__pos4obj_name`.
    fn find(
        view: View<'c>,
        name: Name<'_>,
        op: NameOp,
        data_type: &[u8; 5],
        lock_type: &[u8; 5],
    ) -> Result<Object<'c>> {
        view.root()?;
        let data = view.locate(op, name.bytes()?)?;
        let lock = Spot::beside(retyped(&data.path, data_type, lock_type));
        Ok(Object { view, data, lock })
    }

    /// Runs `work` while nobody else opens or unlinks the name.
    fn locked<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.make_directories(&self.lock)?;
        self.lock()?;
        let done = self.make_directories(&self.data).and_then(|()| work());
        // A lock that cannot be removed stays, as it would there.
        let _ = self.view.unlink(&self.lock);
        self.remove_directories(&self.lock);
        done
    }

    fn lock(&self) -> Result<()> {
        let flags = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC;
        for attempt in 0..LOCK_TRIES {
            if attempt > 0 {
                crate::sys::wait_a_second();
            }
            match self.view.open(&self.lock, flags, 0o666) {
                Ok(_) => return Ok(()),
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::EEXIST)
    }

    /// `__pos4obj_open`; the second is whether it is new.
    fn open(&self, flags: i32, mode: u32) -> Result<(OwnedFd, bool)> {
        let opened = self.open_or_create(flags, mode);
        if opened.is_err() && flags & libc::O_CREAT == 0 {
            self.remove_directories(&self.data);
        }
        opened
    }

    fn open_or_create(&self, flags: i32, mode: u32) -> Result<(OwnedFd, bool)> {
        loop {
            self.no_symlink()?;
            if flags & libc::O_CREAT == 0 {
                return Ok((self.view.open(&self.data, flags, 0)?, false));
            }
            match self.view.open(&self.data, flags | libc::O_EXCL, mode) {
                Err(Errno::EEXIST) if flags & libc::O_EXCL == 0 => {}
                opened => return Ok((opened?, true)),
            }
            match self.view.open(&self.data, flags & !libc::O_CREAT, 0) {
                Err(Errno::ENOENT) => {}
                opened => return Ok((opened?, false)),
            }
        }
    }

    fn no_symlink(&self) -> Result<()> {
        let is_symlink = self
            .view
            .lstat(&self.data)
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFLNK);
        if is_symlink {
            return Err(Errno::EINVAL);
        }
        Ok(())
    }

    fn unlink(&self) -> Result<()> {
        self.locked(|| {
            let done = self.view.unlink(&self.data);
            self.remove_directories(&self.data);
            done
        })
    }

    /// Both are for everybody, and without the sticky bit; that they exist is fine.
    fn make_directories(&self, spot: &Spot) -> Result<()> {
        for directory in directories(&spot.path) {
            match self.view.mkdir(&directory, 0o777) {
                Ok(()) => self.view.chmod(&directory, 0o777)?,
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    fn remove_directories(&self, spot: &Spot) {
        for directory in directories(&spot.path).into_iter().rev() {
            // They may be in use by others.
            let _ = self.view.rmdir(&directory);
        }
    }
}

/// The directories that hold the file: none, or the digest's and in it the type's.
fn directories(path: &[u8]) -> Vec<Spot> {
    let slashes = path.iter().enumerate().filter(|&(_, &byte)| byte == b'/');
    slashes.map(|(at, _)| Spot::beside(&path[..at])).collect()
}

/// The same name's file of another type; types are of one length, so they lie alike.
fn retyped(path: &[u8], from: &[u8; 5], to: &[u8; 5]) -> Vec<u8> {
    let at = match path.iter().position(|&byte| byte == b'/') {
        Some(slash) => slash + 1,
        None => 0,
    };
    let mut path = path.to_vec();
    if let Some(found) = path
        .get_mut(at..at + from.len())
        .filter(|found| *found == from)
    {
        found.copy_from_slice(to);
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lock_lies_beside_the_data() {
        assert_eq!(retyped(b".SHMDfoo", b".SHMD", b".SHML"), b".SHMLfoo");
        assert_eq!(
            retyped(b".d98c/.SEMD/foo", b".SEMD", b".SEML"),
            b".d98c/.SEML/foo"
        );
    }

    #[test]
    fn a_long_name_lies_in_two_directories() {
        assert!(directories(b".SHMDfoo").is_empty());
        assert_eq!(
            directories(b".d98c/.SHMD/foo"),
            [Spot::beside(".d98c"), Spot::beside(".d98c/.SHMD")]
        );
    }
}
