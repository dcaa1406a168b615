//! One of the two trees, with its own open descriptors and the caller's identity.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use super::op::Op;
use crate::acl;
use crate::consts::*;
use crate::proc::mmap;
use crate::sys::{self, *};

/// A tree under test.
pub(crate) struct Side {
    root: PathBuf,
    slots: [Option<OwnedFd>; 5],
    umask: u32,
    uid: u32,
}

/// What an operation gave: bytes that were read, or a number.
#[derive(PartialEq, Debug)]
pub(crate) enum Answer {
    Number(i64),
    Bytes(usize, u64),
}

impl From<()> for Answer {
    fn from((): ()) -> Answer {
        Answer::Number(0)
    }
}

impl From<i64> for Answer {
    fn from(n: i64) -> Answer {
        Answer::Number(n)
    }
}

impl From<usize> for Answer {
    fn from(n: usize) -> Answer {
        Answer::Number(n as i64)
    }
}

impl From<Vec<u8>> for Answer {
    fn from(bytes: Vec<u8>) -> Answer {
        Answer::Bytes(bytes.len(), super::tree::hash(&bytes))
    }
}

fn answer<T: Into<Answer>>(result: R<T>) -> R<Answer> {
    result.map(Into::into)
}

/// What a case gets that uses a slot with no descriptor.
const NOT_OPEN: E = EBADF;

impl Side {
    /// A tree under `root`.
    pub(crate) fn new(root: &Path) -> Side {
        Side {
            root: root.to_owned(),
            slots: [const { None }; 5],
            umask: 0o022,
            uid: 0,
        }
    }

    /// Where the tree is.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Carries out one operation as the side's user, and is root again afterwards.
    pub(crate) fn run(&mut self, op: &Op) -> R<Answer> {
        sys::umask(self.umask);
        set_fs_ids(self.uid);
        let result = self.carry_out(op);
        set_fs_ids(0);
        sys::umask(0o022);
        result
    }

    fn p(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    fn fd(&self, slot: usize) -> R<&OwnedFd> {
        self.slots[slot].as_ref().ok_or(NOT_OPEN)
    }

    fn carry_out(&mut self, op: &Op) -> R<Answer> {
        match op {
            Op::Open {
                path,
                flags,
                mode,
                slot,
            } => {
                self.slots[*slot] = None;
                self.slots[*slot] = Some(open_mode(self.p(path), flags | O_NONBLOCK, *mode)?);
                answer(Ok(()))
            }
            Op::Close { slot } => answer(self.slots[*slot].take().map(drop).ok_or(NOT_OPEN)),
            Op::Umask { mask } => {
                self.umask = *mask;
                answer(Ok(()))
            }
            Op::User { uid } => {
                self.uid = *uid;
                answer(Ok(()))
            }
            Op::Write { .. }
            | Op::Pwrite { .. }
            | Op::Pread { .. }
            | Op::Seek { .. }
            | Op::Ftruncate { .. } => self.data(op),
            Op::Fallocate { .. }
            | Op::Fchmod { .. }
            | Op::Fsync { .. }
            | Op::Copy { .. }
            | Op::Store { .. } => self.file(op),
            Op::Mkdir { .. }
            | Op::Rmdir { .. }
            | Op::Unlink { .. }
            | Op::Rename { .. }
            | Op::Link { .. } => self.names(op),
            Op::Symlink { .. }
            | Op::Mknod { .. }
            | Op::Chmod { .. }
            | Op::Chown { .. }
            | Op::Truncate { .. } => self.names(op),
            Op::Utimens { .. }
            | Op::Setxattr { .. }
            | Op::Removexattr { .. }
            | Op::SetAcl { .. } => self.attributes(op),
        }
    }

    fn data(&self, op: &Op) -> R<Answer> {
        match op {
            Op::Write { slot, len, byte } => answer(write(self.fd(*slot)?, &vec![*byte; *len])),
            Op::Pwrite {
                slot,
                at,
                len,
                byte,
            } => answer(pwrite(self.fd(*slot)?, &vec![*byte; *len], *at)),
            Op::Pread { slot, at, len } => answer(pread(self.fd(*slot)?, *len, *at)),
            Op::Seek { slot, at, whence } => {
                let fd = self.fd(*slot)?;
                // Positions in directories are the file system's own business.
                if fstat(fd)?.kind() == S_IFDIR {
                    answer(Ok(()))
                } else {
                    answer(lseek(fd, *at, *whence))
                }
            }
            Op::Ftruncate { slot, len } => answer(ftruncate(self.fd(*slot)?, *len)),
            other => unreachable!("{other:?}"),
        }
    }

    fn file(&self, op: &Op) -> R<Answer> {
        match op {
            Op::Fallocate {
                slot,
                mode,
                at,
                len,
            } => answer(fallocate(self.fd(*slot)?, *mode, *at, *len)),
            Op::Fchmod { slot, mode } => answer(fchmod(self.fd(*slot)?, *mode)),
            Op::Fsync { slot } => answer(fsync(self.fd(*slot)?)),
            Op::Copy {
                from,
                at,
                to,
                to_at,
                len,
            } => {
                let (mut at, mut to_at, from, to) = (*at, *to_at, self.fd(*from)?, self.fd(*to)?);
                let (from, to) = (from.as_raw_fd(), to.as_raw_fd());
                answer(crate::syscall!(
                    libc::SYS_copy_file_range,
                    from,
                    &mut at,
                    to,
                    &mut to_at,
                    *len,
                    0
                ))
            }
            Op::Store { slot, at, len } => {
                let map = mmap(
                    self.fd(*slot)?,
                    90_112,
                    PROT_READ | PROT_WRITE,
                    MAP_SHARED,
                    0,
                )?;
                let source = vec![0x5a; *len];
                let from = libc::iovec {
                    iov_base: source.as_ptr().cast_mut().cast(),
                    iov_len: *len,
                };
                let to = libc::iovec {
                    iov_base: map.at.wrapping_add(*at).cast(),
                    iov_len: *len,
                };
                // SAFETY: inside the mapping; the kernel answers EFAULT or a short count past the end.
                answer(
                    check(unsafe {
                        libc::process_vm_writev(std::process::id() as i32, &from, 1, &to, 1, 0)
                    })
                    .map(|n| n as i64),
                )
            }
            other => unreachable!("{other:?}"),
        }
    }

    fn names(&self, op: &Op) -> R<Answer> {
        let done = match op {
            Op::Mkdir { path, mode } => mkdir(self.p(path), *mode),
            Op::Rmdir { path } => rmdir(self.p(path)),
            Op::Unlink { path } => unlink(self.p(path)),
            Op::Rename { from, to, flags } => rename2(self.p(from), self.p(to), *flags),
            Op::Link { from, to } => link(self.p(from), self.p(to)),
            Op::Symlink { target, path } => symlink(target, self.p(path)),
            Op::Mknod { path, mode } => mknod(self.p(path), *mode, 0),
            Op::Chmod { path, mode } => chmod(self.p(path), *mode),
            Op::Chown { path, uid, gid } => lchown(self.p(path), *uid, *gid),
            Op::Truncate { path, len } => truncate(self.p(path), *len),
            other => unreachable!("{other:?}"),
        };
        answer(done)
    }

    fn attributes(&self, op: &Op) -> R<Answer> {
        let done = match op {
            Op::Utimens {
                path,
                times,
                nofollow,
            } => utimens(
                self.p(path),
                Some(*times),
                if *nofollow { AT_SYMLINK_NOFOLLOW } else { 0 },
            ),
            Op::Setxattr {
                path,
                name,
                len,
                flags,
            } => lsetxattr(self.p(path), name, &vec![b'x'; *len], *flags),
            Op::Removexattr { path, name } => removexattr(self.p(path), name),
            Op::SetAcl {
                path,
                default,
                text,
            } => acl::set(
                self.p(path),
                if *default { acl::DEFAULT } else { acl::ACCESS },
                text,
            ),
            other => unreachable!("{other:?}"),
        };
        answer(done)
    }
}

/// The ids by which the kernel judges access to files, and no others: enough, and easy to take back.
fn set_fs_ids(id: u32) {
    // SAFETY: no pointers.
    unsafe {
        libc::setfsgid(id);
        libc::setfsuid(id);
    }
}
