//! Data files on a detached tmpfs.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{AtFlags, Dir, Mode, OFlags, Stat, Timestamps};
use rustix::io;
use rustix::mount::{FsPickFlags, fsconfig_reconfigure, fsconfig_set_string, fspick};

use super::{DataFile, PAGE_SIZE};
use crate::types::Ino;

/// Data files with more bytes than this are freed by a thread of their own.
const LARGE: u64 = 256 << 20;

/// Only the daemon opens data files.
const FILE_MODE: u32 = 0o600;

/// A tmpfs that is mounted nowhere, by the descriptor of its root directory.
#[derive(Debug)]
pub struct DetachedTmpfs {
    root: OwnedFd,
}

impl DetachedTmpfs {
    pub(super) fn new(root: OwnedFd) -> DetachedTmpfs {
        DetachedTmpfs { root }
    }

    pub(super) fn create(&self, ino: Ino) -> io::Result<DataFile> {
        self.open_with(ino, OFlags::CREATE | OFlags::EXCL)
    }

    pub(super) fn open(&self, ino: Ino) -> io::Result<DataFile> {
        self.open_with(ino, OFlags::empty())
    }

    pub(super) fn open_noatime(&self, ino: Ino) -> io::Result<DataFile> {
        self.open_with(ino, OFlags::NOATIME)
    }

    fn open_with(&self, ino: Ino, extra: OFlags) -> io::Result<DataFile> {
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | extra;
        let file =
            rustix::fs::openat(&self.root, name(ino).as_str(), flags, Mode::from(FILE_MODE))?;
        Ok(Arc::new(file))
    }

    pub(super) fn stat(&self, ino: Ino) -> io::Result<Stat> {
        rustix::fs::statat(&self.root, name(ino).as_str(), AtFlags::SYMLINK_NOFOLLOW)
    }

    pub(super) fn set_times(&self, ino: Ino, times: &Timestamps) -> io::Result<()> {
        rustix::fs::utimensat(
            &self.root,
            name(ino).as_str(),
            times,
            AtFlags::SYMLINK_NOFOLLOW,
        )
    }

    pub(super) fn touch_ctime(&self, ino: Ino) -> io::Result<()> {
        let mode = Mode::from(FILE_MODE);
        rustix::fs::chmodat(&self.root, name(ino).as_str(), mode, AtFlags::empty())
    }

    pub(super) fn remove(&self, ino: Ino) -> io::Result<()> {
        if self.stat(ino)?.st_blocks as u64 * 512 > LARGE {
            return self.remove_beside(ino);
        }
        unlink(&self.root, ino)
    }

    /// Freeing gigabytes takes a while, in which others want to be served.
    fn remove_beside(&self, ino: Ino) -> io::Result<()> {
        let root = rustix::io::fcntl_dupfd_cloexec(&self.root, 0)?;
        let free = move || {
            if let Err(error) = unlink(&root, ino) {
                tracing::error!(?ino, %error, "cannot remove a data file");
            }
        };
        match std::thread::Builder::new()
            .name("shmfs-free".into())
            .spawn(free)
        {
            Ok(_) => Ok(()),
            Err(_) => unlink(&self.root, ino),
        }
    }

    pub(super) fn inos(&self) -> io::Result<Vec<Ino>> {
        let mut inos = Vec::new();
        // fsmount(2) gives a place, which cannot be read.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(&self.root, ".", flags, Mode::empty())?;
        for entry in Dir::new(root)? {
            let entry = entry?;
            inos.extend(ino(entry.file_name().to_bytes()));
        }
        Ok(inos)
    }

    /// How many there are, where the host's tmpfs tells: each entry, `.` and `..` too, adds to the directory's size
    /// (`BOGO_DIRENT_SIZE`, mm/shmem.c).
    pub(super) fn count(&self) -> Option<usize> {
        const ENTRY: u64 = 20;
        let size = rustix::fs::fstat(&self.root).ok()?.st_size as u64;
        if size % ENTRY != 0 {
            return None;
        }
        usize::try_from(size / ENTRY).ok()?.checked_sub(2)
    }

    /// `None` where there is no limit: then the tmpfs does not count.
    pub(super) fn used_pages(&self) -> Option<u64> {
        let statfs = rustix::fs::fstatfs(&self.root).ok()?;
        (statfs.f_blocks != 0).then(|| statfs.f_blocks.saturating_sub(statfs.f_bfree))
    }

    pub(super) fn set_size(&self, bytes: u64) -> io::Result<()> {
        let flags = FsPickFlags::FSPICK_EMPTY_PATH | FsPickFlags::FSPICK_CLOEXEC;
        let context = fspick(&self.root, "", flags)?;
        fsconfig_set_string(
            &context,
            "nr_blocks",
            (bytes / PAGE_SIZE).to_string().as_str(),
        )?;
        fsconfig_reconfigure(&context)
    }
}

fn unlink(root: &OwnedFd, ino: Ino) -> io::Result<()> {
    rustix::fs::unlinkat(root, name(ino).as_str(), AtFlags::empty())
}

/// A data file bears the number of its inode.
fn name(ino: Ino) -> FileName {
    FileName::new(ino)
}

/// The inode of a data file with that name.
fn ino(name: &[u8]) -> Option<Ino> {
    let digits = std::str::from_utf8(name).ok().filter(|it| it.len() == 16)?;
    u64::from_str_radix(digits, 16).ok().map(Ino)
}

/// Sixteen hexadecimal digits, made without an allocation.
struct FileName([u8; 16]);

impl FileName {
    fn new(ino: Ino) -> FileName {
        let mut digits = [0; 16];
        for (at, digit) in digits.iter_mut().enumerate() {
            *digit = b"0123456789abcdef"[(ino.0 >> (60 - 4 * at) & 15) as usize];
        }
        FileName(digits)
    }

    fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_hexadecimal() {
        assert_eq!(
            name(Ino(0x0123_4567_89ab_cdef)).as_str(),
            "0123456789abcdef"
        );
        assert_eq!(ino(b"0123456789abcdef"), Some(Ino(0x0123_4567_89ab_cdef)));
        assert_eq!((ino(b".."), ino(b"0123456789abcdeg")), (None, None));
    }
}
