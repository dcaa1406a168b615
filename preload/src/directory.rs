//! A view on this host: the directory that stands for the platform's own.
//!
//! No descriptor is kept between calls: programs close what they do not know, and take over numbers.

use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags, Stat};
use rustix::io::Errno as HostErrno;

use crate::errno::{Errno, Result};
use crate::trace::Trail;
use crate::view::{Directory as SchemeDirectory, NameOp, Outside, Place, Refusal, Scheme};

const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
const FUSE: i64 = 0x6573_5546;
/// Where descriptors of our own go during a call, unless the limit is lower.
const HIGH: i32 = 200;
/// A walk that renames disturb is begun again so many times (openat2 says EAGAIN).
const WALKS: u32 = 64;

/// A platform's names, and the directory where its objects are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'c> {
    /// The names.
    pub(crate) scheme: &'static Scheme,
    /// The directory.
    pub(crate) path: &'c CStr,
    /// What `--trace` tells.
    pub(crate) trail: &'c Trail,
}

/// Where a name leads: below the directory, as the platform spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Relative to the directory.
    pub(crate) path: Vec<u8>,
    /// What the platform's file system says of the path, where the host's would not.
    refusal: Option<Errno>,
    /// What the file system says first to a call that writes or makes: a directory outside is still a directory.
    to_writers: Option<Errno>,
}

impl Spot {
    /// A file that the platform puts beside its objects.
    pub(crate) fn beside(path: impl Into<Vec<u8>>) -> Spot {
        Spot {
            path: path.into(),
            refusal: None,
            to_writers: None,
        }
    }
}

/// The last step of a walk.
struct Leaf<'p> {
    parent: OwnedFd,
    name: &'p [u8],
}

impl<'c> View<'c> {
    /// The platform's own checks of a name; what its file system says comes with the first use.
    pub(crate) fn locate(&self, op: NameOp, name: &[u8]) -> Result<Spot> {
        let place = match self.scheme.translate(op, name) {
            Ok(place) => place,
            Err(Refusal::Errno(errno)) => return Err(errno),
            Err(Refusal::Undefined) => {
                self.trail
                    .note("the platform reads memory that it never wrote");
                return Err(Errno::ENOENT);
            }
        };
        self.trail.set_place(&place);
        Ok(self.spot(&place))
    }

    fn spot(&self, place: &Place) -> Spot {
        let mut shown = self.scheme.view_path(place);
        if self.scheme.is_directory(place) {
            shown = Ok(Vec::new());
        }
        let effective = self.scheme.effective(place);
        let too_long = effective == Some(Errno::ENAMETOOLONG);
        let to_writers = shown.is_err().then_some(effective).flatten();
        let refusal = match &shown {
            Ok(_) => too_long.then_some(Errno::ENAMETOOLONG),
            Err(Outside) => Some(Errno::EACCES),
        };
        if shown.is_err() {
            self.trail
                .note("outside the platform's directory: it would let it, a view refuses");
        }
        let path = match (place, self.scheme.directory) {
            (Place::Path(path), SchemeDirectory::Path(directory)) => path
                .strip_prefix(directory.as_bytes())
                .unwrap_or_default()
                .to_vec(),
            (Place::Path(_) | Place::Key(_) | Place::Hash(_), _) => shown.unwrap_or_default(),
        };
        Spot {
            path,
            refusal,
            to_writers,
        }
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> Result<OwnedFd> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(out_of_the_way(rustix::fs::open(
            self.path,
            flags,
            Mode::empty(),
        )?))
    }

    /// Whether the directory is one that a C library takes for a tmpfs; shmfs plays one.
    pub(crate) fn is_memory(&self) -> bool {
        rustix::fs::statfs(self.path)
            .is_ok_and(|fs| matches!(i64::from(fs.f_type as u32), TMPFS | RAMFS | FUSE))
    }

    /// The directory's own attributes; a symbolic link is followed.
    pub(crate) fn attributes(&self) -> Result<Stat> {
        Ok(rustix::fs::stat(self.path)?)
    }

    /// Whether the directory is one, and no symbolic link to one.
    pub(crate) fn is_real_directory(&self) -> bool {
        rustix::fs::lstat(self.path).is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
    }

    fn walk<'p>(&self, spot: &'p Spot) -> Result<Leaf<'p>> {
        if let Some(errno) = spot.refusal {
            return Err(errno);
        }
        let parent = self.root()?;
        let path = &spot.path[spot.path.iter().take_while(|&&byte| byte == b'/').count()..];
        if path.is_empty() {
            return Ok(Leaf { parent, name: b"." });
        }
        // Slashes after the last component stay with it: they have a meaning to the kernel.
        let trailing = path.iter().rev().take_while(|&&byte| byte == b'/').count();
        match path[..path.len() - trailing]
            .iter()
            .rposition(|&byte| byte == b'/')
        {
            None => Ok(Leaf { parent, name: path }),
            Some(slash) => Ok(Leaf {
                parent: descend(parent.as_fd(), &path[..slash])?,
                name: &path[slash + 1..],
            }),
        }
    }

    /// open(2) with flags as the caller has them.
    pub(crate) fn open(&self, spot: &Spot, flags: i32, mode: u32) -> Result<OwnedFd> {
        let writes = flags & libc::O_ACCMODE != libc::O_RDONLY || flags & libc::O_CREAT != 0;
        if let (true, Some(errno)) = (writes, spot.to_writers) {
            return Err(errno);
        }
        let leaf = self.walk(spot)?;
        let flags = OFlags::from_bits_retain(flags as u32);
        let mode = Mode::from_bits_retain(mode & 0o7777);
        Ok(rustix::fs::openat(leaf.parent, leaf.name, flags, mode)?)
    }

    /// unlink(2).
    pub(crate) fn unlink(&self, spot: &Spot) -> Result<()> {
        let leaf = self.walk(spot)?;
        Ok(rustix::fs::unlinkat(
            leaf.parent,
            leaf.name,
            AtFlags::empty(),
        )?)
    }

    /// link(2).
    pub(crate) fn link(&self, from: &Spot, to: &Spot) -> Result<()> {
        let (from, to) = (self.walk(from)?, self.walk(to)?);
        Ok(rustix::fs::linkat(
            from.parent,
            from.name,
            to.parent,
            to.name,
            AtFlags::empty(),
        )?)
    }

    /// renameat2(2).
    pub(crate) fn rename(&self, from: &Spot, to: &Spot, flags: RenameFlags) -> Result<()> {
        let (from, to) = (self.walk(from)?, self.walk(to)?);
        Ok(rustix::fs::renameat_with(
            from.parent,
            from.name,
            to.parent,
            to.name,
            flags,
        )?)
    }

    /// lstat(2).
    pub(crate) fn lstat(&self, spot: &Spot) -> Result<Stat> {
        let leaf = self.walk(spot)?;
        Ok(rustix::fs::statat(
            leaf.parent,
            leaf.name,
            AtFlags::SYMLINK_NOFOLLOW,
        )?)
    }

    /// mkdir(2).
    pub(crate) fn mkdir(&self, spot: &Spot, mode: u32) -> Result<()> {
        let leaf = self.walk(spot)?;
        let mode = Mode::from_bits_retain(mode);
        Ok(rustix::fs::mkdirat(leaf.parent, leaf.name, mode)?)
    }

    /// chmod(2).
    pub(crate) fn chmod(&self, spot: &Spot, mode: u32) -> Result<()> {
        let leaf = self.walk(spot)?;
        let mode = Mode::from_bits_retain(mode);
        Ok(rustix::fs::chmodat(
            leaf.parent,
            leaf.name,
            mode,
            AtFlags::empty(),
        )?)
    }

    /// rmdir(2).
    pub(crate) fn rmdir(&self, spot: &Spot) -> Result<()> {
        let leaf = self.walk(spot)?;
        Ok(rustix::fs::unlinkat(
            leaf.parent,
            leaf.name,
            AtFlags::REMOVEDIR,
        )?)
    }

    /// A new file that has no name any more.
    pub(crate) fn unnamed(&self, flags: i32, mode: u32) -> Result<OwnedFd> {
        let flags = flags | libc::O_CREAT | libc::O_EXCL;
        loop {
            let spot = Spot::beside(private_name());
            match self.open(&spot, flags, mode) {
                Ok(file) => {
                    self.unlink(&spot)?;
                    return Ok(file);
                }
                Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The same directory under a high number: shm_open returns the lowest that is free.
fn out_of_the_way(directory: OwnedFd) -> OwnedFd {
    rustix::io::fcntl_dupfd_cloexec(&directory, HIGH).unwrap_or(directory)
}

/// Walks through directories and never out of `root`.
fn descend(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    for _ in 0..WALKS {
        match rustix::fs::openat2(root, path, flags, Mode::empty(), resolve) {
            Err(HostErrno::AGAIN) => {}
            Err(HostErrno::XDEV) => return Err(Errno::EACCES),
            // Before Linux 5.6; `view_path` has already seen that no `..` leads out.
            Err(HostErrno::NOSYS) => {
                let walked = rustix::fs::openat(root, path, flags, Mode::empty())?;
                return Ok(out_of_the_way(walked));
            }
            walked => return Ok(out_of_the_way(walked?)),
        }
    }
    Err(Errno::EAGAIN)
}

/// A name that no platform's object has: `%~` is no escape of a kernel key.
pub(crate) fn private_name() -> Vec<u8> {
    let mut name = b"%~".to_vec();
    name.extend_from_slice(&letters::<12>());
    name
}

/// Letters and digits by chance, as mktemp(3) fills them in.
pub(crate) fn letters<const COUNT: usize>() -> [u8; COUNT] {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut bytes = [0; COUNT];
    let filled = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty());
    if filled != Ok(COUNT) {
        let seed = crate::sys::nanoseconds() ^ u64::from(std::process::id()).rotate_left(40);
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (seed.rotate_right(index as u32 * 7)) as u8;
        }
    }
    bytes.map(|byte| LETTERS[usize::from(byte) % LETTERS.len()])
}
