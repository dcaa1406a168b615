//! A FUSE daemon that does nothing: fixed answers, four threads on one descriptor.
//!
//! What it takes is what FUSE takes. It speaks /dev/fuse directly, keeps no state but a counter, and
//! answers by the name that was looked up:
//!
//! * `fresh…` exists, and its attributes have no lifetime: each fstat is one GETATTR;
//! * `new…` does not exist until it is created; attributes have no lifetime;
//! * anything else exists and is cached for ever.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{MemfdFlags, OFlags};

use crate::sys;

/// Threads that read requests: as many as shmfs has.
const THREADS: usize = 4;
/// Each file is always this long.
pub(crate) const FILE_SIZE: u64 = 64 << 20;
const MAX_WRITE: usize = 1 << 20;

const ROOT: u64 = 1;
const LASTING: u64 = 2;
const FRESH: u64 = 3;
const FIRST_NEW: u64 = 16;

mod op {
    pub(super) const LOOKUP: u32 = 1;
    pub(super) const FORGET: u32 = 2;
    pub(super) const GETATTR: u32 = 3;
    pub(super) const SETATTR: u32 = 4;
    pub(super) const UNLINK: u32 = 10;
    pub(super) const OPEN: u32 = 14;
    pub(super) const READ: u32 = 15;
    pub(super) const WRITE: u32 = 16;
    pub(super) const RELEASE: u32 = 18;
    pub(super) const INIT: u32 = 26;
    pub(super) const CREATE: u32 = 35;
    pub(super) const BATCH_FORGET: u32 = 42;
}

const OPEN_KEEP_CACHE: u32 = 1 << 1;
const OPEN_PASSTHROUGH: u32 = 1 << 7;

const INIT_ASYNC_READ: u64 = 1;
const INIT_BIG_WRITES: u64 = 1 << 5;
const INIT_PARALLEL_DIROPS: u64 = 1 << 18;
const INIT_MAX_PAGES: u64 = 1 << 22;
const INIT_HANDLE_KILLPRIV_V2: u64 = 1 << 28;
const INIT_EXT: u64 = 1 << 30;
const INIT_PASSTHROUGH: u64 = 1 << 37;

/// The running daemon; killed when dropped.
#[derive(Debug)]
pub(crate) struct Bare {
    child: sys::Child,
    requests: &'static AtomicU64,
}

impl Bare {
    /// Mounts it on `dir`; `passthrough` gives every open one and the same memory.
    pub(crate) fn mount(dir: &Path, passthrough: bool) -> io::Result<Bare> {
        let fuse = rustix::fs::open(
            "/dev/fuse",
            OFlags::RDWR | OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )?;
        let options = format!(
            "fd={},rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions",
            fuse.as_raw_fd()
        );
        let options = std::ffi::CString::new(options)?;
        rustix::mount::mount(
            "bare",
            dir,
            "fuse",
            rustix::mount::MountFlags::NOSUID | rustix::mount::MountFlags::NODEV,
            options.as_c_str(),
        )?;
        let [requests] = sys::shared_counters::<1>()?;
        let fuse = File::from(fuse);
        let child = sys::Child::fork(|| Server::new(fuse, passthrough, requests)?.run())?;
        sys::stat(dir)?;
        Ok(Bare { child, requests })
    }

    /// Keeps its threads on the first CPU.
    pub(crate) fn pin(&self) -> io::Result<()> {
        sys::pin(self.child.id())
    }

    /// Requests it has read so far, FORGET included.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

struct Server {
    fuse: File,
    memory: File,
    /// None: the kernel's page cache.
    backing: Option<i32>,
    requests: &'static AtomicU64,
    next_node: AtomicU64,
}

impl Server {
    fn new(fuse: File, passthrough: bool, requests: &'static AtomicU64) -> io::Result<Server> {
        let memory = File::from(rustix::fs::memfd_create("bare", MemfdFlags::CLOEXEC)?);
        memory.set_len(FILE_SIZE)?;
        let mut server = Server {
            fuse,
            memory,
            backing: None,
            requests,
            next_node: AtomicU64::new(FIRST_NEW),
        };
        let mut buffer = vec![0; MAX_WRITE + sys::PAGE];
        server.serve_one(&mut buffer)?;
        if passthrough {
            server.backing = Some(sys::backing_open(server.fuse(), server.memory.as_fd())?);
        }
        Ok(server)
    }

    fn fuse(&self) -> BorrowedFd<'_> {
        self.fuse.as_fd()
    }

    fn run(self) -> io::Result<()> {
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..THREADS)
                .map(|_| scope.spawn(|| self.serve_all()))
                .collect();
            threads.into_iter().try_for_each(|t| {
                t.join()
                    .map_err(|_| io::Error::other("a thread panicked"))?
            })
        })
    }

    fn serve_all(&self) -> io::Result<()> {
        let mut buffer = vec![0; MAX_WRITE + sys::PAGE];
        while self.serve_one(&mut buffer)? {}
        Ok(())
    }

    /// One request; false once the file system is unmounted.
    fn serve_one(&self, buffer: &mut [u8]) -> io::Result<bool> {
        let length = match rustix::io::read(&self.fuse, &mut *buffer) {
            Ok(length) => length,
            Err(rustix::io::Errno::NODEV) => return Ok(false),
            // The request was taken back, or a signal came.
            Err(rustix::io::Errno::NOENT | rustix::io::Errno::INTR | rustix::io::Errno::AGAIN) => {
                return Ok(true);
            }
            Err(error) => return Err(error.into()),
        };
        self.requests.fetch_add(1, Ordering::Relaxed);
        let request = Request::new(&buffer[..length]);
        match request.opcode {
            op::FORGET | op::BATCH_FORGET => {}
            op::READ => self.reply(request.unique, Ok(&vec![0; request.u32(16) as usize]))?,
            _ => self.reply(request.unique, self.answer(&request).as_deref())?,
        }
        Ok(true)
    }

    /// The fixed answer to each request, or the errno.
    fn answer(&self, request: &Request<'_>) -> Result<Vec<u8>, &i32> {
        match request.opcode {
            op::INIT => Ok(init_reply()),
            op::LOOKUP if request.body.starts_with(b"new") => Err(&libc::ENOENT),
            op::LOOKUP if request.body.starts_with(b"fresh") => Ok(entry_reply(FRESH)),
            op::LOOKUP => Ok(entry_reply(LASTING)),
            op::GETATTR | op::SETATTR => Ok(attr_reply(request.node)),
            op::CREATE => {
                let node = self.next_node.fetch_add(1, Ordering::Relaxed);
                Ok([entry_reply(node), self.open_reply()].concat())
            }
            op::OPEN => Ok(self.open_reply()),
            // struct fuse_write_in: fh, offset, size.
            op::WRITE => Ok([request.u32(16).to_le_bytes(), [0; 4]].concat()),
            op::RELEASE | op::UNLINK => Ok(Vec::new()),
            _ => Err(&libc::ENOSYS),
        }
    }

    fn open_reply(&self) -> Vec<u8> {
        let (flags, id) = match self.backing {
            Some(id) => (OPEN_PASSTHROUGH, id),
            None => (OPEN_KEEP_CACHE, 0),
        };
        [
            &0u64.to_le_bytes()[..],
            &flags.to_le_bytes(),
            &id.to_le_bytes(),
        ]
        .concat()
    }

    fn reply(&self, unique: u64, result: Result<&[u8], &&i32>) -> io::Result<()> {
        let (error, body) = match result {
            Ok(body) => (0, body),
            Err(errno) => (-**errno, &[][..]),
        };
        let header = [
            &(16 + body.len() as u32).to_le_bytes()[..],
            &error.to_le_bytes(),
            &unique.to_le_bytes(),
        ]
        .concat();
        let parts = [io::IoSlice::new(&header), io::IoSlice::new(body)];
        match rustix::io::writev(&self.fuse, &parts) {
            // The caller was killed meanwhile.
            Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// struct fuse_in_header and what follows it.
struct Request<'a> {
    opcode: u32,
    unique: u64,
    node: u64,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    fn new(bytes: &'a [u8]) -> Request<'a> {
        let number =
            |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap_or_default());
        Request {
            opcode: (number(0) >> 32) as u32,
            unique: number(8),
            node: number(16),
            body: &bytes[40..],
        }
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.body[at..at + 4].try_into().unwrap_or_default())
    }
}

/// struct fuse_init_out of protocol 7.40.
fn init_reply() -> Vec<u8> {
    let flags = INIT_ASYNC_READ
        | INIT_BIG_WRITES
        | INIT_PARALLEL_DIROPS
        | INIT_MAX_PAGES
        | INIT_HANDLE_KILLPRIV_V2
        | INIT_EXT
        | INIT_PASSTHROUGH;
    let background = 64 | (48 << 16);
    let max_pages = (MAX_WRITE / sys::PAGE) as u32;
    let words: [u32; 16] = [
        7,
        40,
        128 << 10,
        flags as u32,
        background,
        MAX_WRITE as u32,
        1,
        max_pages,
        (flags >> 32) as u32,
        1,
        0,
        0,
        0,
        0,
        0,
        0,
    ];
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

/// struct fuse_attr: the root directory, or a file of FILE_SIZE that anyone may use.
fn attr(node: u64) -> Vec<u8> {
    let (mode, size, links) = match node {
        ROOT => (libc::S_IFDIR | 0o777, 0, 2),
        _ => (libc::S_IFREG | 0o666, FILE_SIZE, 1),
    };
    let mut bytes = Vec::with_capacity(88);
    for number in [node, size, size / 512, 0, 0, 0] {
        bytes.extend(number.to_le_bytes());
    }
    for number in [0, 0, 0, mode, links, 0, 0, 0, sys::PAGE as u32, 0] {
        bytes.extend(number.to_le_bytes());
    }
    bytes
}

fn lifetime(node: u64) -> u64 {
    if node == ROOT || node == LASTING {
        1 << 30
    } else {
        0
    }
}

/// struct fuse_entry_out; names are cached for ever.
fn entry_reply(node: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(128);
    for number in [node, 0, 1 << 30, lifetime(node), 0] {
        bytes.extend(u64::to_le_bytes(number));
    }
    bytes.extend(attr(node));
    bytes
}

/// struct fuse_attr_out.
fn attr_reply(node: u64) -> Vec<u8> {
    [
        &lifetime(node).to_le_bytes()[..],
        &0u64.to_le_bytes(),
        &attr(node),
    ]
    .concat()
}
