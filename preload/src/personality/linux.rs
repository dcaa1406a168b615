//! C libraries whose objects are plain files in `/dev/shm`: glibc, the Hurd's, musl, uClibc, newlib,
//! and Redox's, which is as plain.

use std::os::fd::OwnedFd;

use super::{Name, Personality};
use crate::directory::{View, letters};
use crate::errno::{Errno, Result};
use crate::semaphore::{Request, Temporary, link_new};
use crate::session::Call;
use crate::view::NameOp;

#[derive(Debug)]
struct Linux {
    /// Flags that shm_open adds.
    forced: i32,
    /// What shm_open makes of EISDIR.
    directory: Errno,
    /// What shm_unlink makes of EPERM.
    not_permitted: Errno,
    /// Shared memory is looked for only on a tmpfs.
    shm_on_tmpfs: bool,
    /// Semaphores are.
    sem_on_tmpfs: bool,
    /// What shm_unlink says where there is no tmpfs.
    no_tmpfs_unlink: Errno,
    semaphores: Semaphores,
    /// The pointer value 1 is an object without a name.
    has_anonymous: bool,
}

#[derive(Debug, PartialEq)]
enum Semaphores {
    /// Temporary `sem.XXXXXX`, link(2).
    Glibc,
    /// Temporary `tmp-` and nanoseconds, link(2).
    Musl,
    /// Not known.
    Unknown,
}

const GLIBC: Linux = Linux {
    forced: libc::O_NOFOLLOW | libc::O_CLOEXEC,
    directory: Errno::EINVAL,
    not_permitted: Errno::EACCES,
    shm_on_tmpfs: false,
    sem_on_tmpfs: false,
    no_tmpfs_unlink: Errno::ENOSYS,
    semaphores: Semaphores::Glibc,
    has_anonymous: false,
};

static GLIBC_NEW: Linux = GLIBC;
static GLIBC_2_21: Linux = Linux {
    shm_on_tmpfs: true,
    sem_on_tmpfs: true,
    ..GLIBC
};
static GLIBC_2_18: Linux = Linux {
    no_tmpfs_unlink: Errno::ENOENT,
    shm_on_tmpfs: true,
    sem_on_tmpfs: true,
    ..GLIBC
};
static HURD: Linux = Linux {
    has_anonymous: true,
    ..GLIBC
};
static MUSL: Linux = Linux {
    forced: libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK,
    semaphores: Semaphores::Musl,
    ..PLAIN
};
static MUSL_OLD: Linux = Linux {
    forced: libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK,
    ..PLAIN
};
static UCLIBC: Linux = Linux {
    forced: libc::O_CLOEXEC,
    not_permitted: Errno::EPERM,
    sem_on_tmpfs: true,
    ..GLIBC
};
static NEWLIB: Linux = Linux {
    forced: libc::O_CLOEXEC,
    ..PLAIN
};
static REDOX: Linux = PLAIN;
const PLAIN: Linux = Linux {
    forced: 0,
    directory: Errno::EISDIR,
    not_permitted: Errno::EPERM,
    semaphores: Semaphores::Unknown,
    ..GLIBC
};

/// The functions of the library of this key.
pub(super) fn of(key: &str) -> Option<&'static dyn Personality> {
    Some(match key {
        "glibc" | "glibc-2.38" | "glibc-2.34" => &GLIBC_NEW,
        "glibc-2.21" => &GLIBC_2_21,
        "glibc-2.19" | "glibc-2.18" => &GLIBC_2_18,
        "hurd" => &HURD,
        "musl" => &MUSL,
        "musl-old" => &MUSL_OLD,
        "uclibc" => &UCLIBC,
        "newlib-linux" => &NEWLIB,
        "redox" => &REDOX,
        _ => return None,
    })
}

/// glibc up to 2.33 and uClibc ask for the type of the file system, once they look for a directory.
fn on_tmpfs(call: &Call, view: &View<'_>, asked: bool, missing: Errno) -> Result<()> {
    if !asked || call.lenient() || view.is_memory() {
        return Ok(());
    }
    call.trail.note("the directory is no tmpfs");
    Err(missing)
}

impl Personality for Linux {
    fn shm_open(&self, call: &Call, name: Name<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
        let view = call.shm();
        if self.has_anonymous && matches!(name, Name::Anonymous) {
            return anonymous(&view, flags | self.forced, mode);
        }
        on_tmpfs(call, &view, self.shm_on_tmpfs, Errno::ENOSYS)?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        view.open(&spot, flags | self.forced, mode)
            .map_err(|errno| match errno {
                Errno::EISDIR => self.directory,
                errno => errno,
            })
    }

    fn shm_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.shm();
        on_tmpfs(call, &view, self.shm_on_tmpfs, self.no_tmpfs_unlink)?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot).map_err(|errno| match errno {
            Errno::EPERM => self.not_permitted,
            errno => errno,
        })
    }

    fn sem_open(&self, call: &Call, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
        let view = call.sem()?;
        match self.semaphores {
            Semaphores::Glibc => self.glibc_sem_open(call, &view, name, request),
            Semaphores::Musl => musl_sem_open(&view, name, request),
            Semaphores::Unknown => Err(Errno::ENOSYS),
        }
    }

    fn sem_unlink(&self, call: &Call, name: Name<'_>) -> Result<()> {
        let view = call.sem()?;
        on_tmpfs(call, &view, self.sem_on_tmpfs, self.no_tmpfs_unlink)?;
        let spot = view.locate(NameOp::Unlink, name.bytes()?)?;
        view.unlink(&spot).map_err(|errno| match errno {
            Errno::EPERM if self.semaphores == Semaphores::Glibc => Errno::EACCES,
            errno => errno,
        })
    }
}

/// The Hurd: O_TMPFILE in the directory; where the file system has none, a name that is removed.
fn anonymous(view: &View<'_>, flags: i32, mode: u32) -> Result<OwnedFd> {
    let directory = crate::directory::Spot::beside(".");
    // Linux refuses O_TMPFILE with O_CREAT.
    let flags = flags & !(libc::O_CREAT | libc::O_EXCL);
    match view.open(&directory, flags | libc::O_TMPFILE, mode) {
        Err(Errno::EOPNOTSUPP) => view.unnamed(flags, mode),
        opened => opened,
    }
}

impl Linux {
    fn glibc_sem_open(
        &self,
        call: &Call,
        view: &View<'_>,
        name: Name<'_>,
        request: &Request,
    ) -> Result<OwnedFd> {
        on_tmpfs(call, view, self.sem_on_tmpfs, Errno::ENOSYS)?;
        let spot = view.locate(NameOp::Open, name.bytes()?)?;
        let temporary = Temporary {
            name: &|| [b"sem.".as_slice(), &letters::<6>()].concat(),
            flags: libc::O_CLOEXEC,
            tries: Some((50, Errno::EAGAIN)),
            exact_mode: false,
        };
        let flags = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_CLOEXEC;
        loop {
            if !request.only_creates() {
                match view.open(&spot, flags, 0) {
                    Err(Errno::ENOENT) if request.creates() => {}
                    opened => return opened,
                }
            }
            request.value_within(i32::MAX as u32)?;
            match link_new(view, &spot, request, &temporary) {
                Err(Errno::EEXIST) if !request.only_creates() => {}
                made => return made,
            }
        }
    }
}

fn musl_sem_open(view: &View<'_>, name: Name<'_>, request: &Request) -> Result<OwnedFd> {
    let spot = view.locate(NameOp::Open, name.bytes()?)?;
    let forced = libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK;
    let temporary = Temporary {
        name: &|| format!("tmp-{}", crate::sys::nanoseconds() % 1_000_000_000).into_bytes(),
        flags: forced,
        tries: None,
        exact_mode: false,
    };
    let masked = Request {
        mode: request.mode & 0o666,
        ..*request
    };
    // access(2) follows a link that open(2) then refuses.
    if request.only_creates() && view.lstat(&spot).is_ok() {
        return Err(Errno::EEXIST);
    }
    loop {
        if !request.only_creates() {
            match view.open(&spot, libc::O_RDWR | forced, 0) {
                Err(Errno::ENOENT) if request.creates() => {}
                opened => return opened,
            }
        }
        request.value_within(i32::MAX as u32)?;
        match link_new(view, &spot, &masked, &temporary) {
            Err(Errno::EEXIST) if !request.only_creates() => {}
            made => return made,
        }
    }
}
