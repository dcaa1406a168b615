//! The raw system calls of the benchmark: fork, identity, mappings, FUSE's ioctl.

use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::time::Instant;

/// The page size of every machine this runs on.
pub(crate) const PAGE: usize = 4096;

/// `0`, or the error of the last system call.
fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(result)
}

/// A child process; killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Child(libc::pid_t);

impl Child {
    /// Runs `body` in a forked child, which exits with its result.
    pub(crate) fn fork(body: impl FnOnce() -> io::Result<()>) -> io::Result<Child> {
        io::stdout().flush()?;
        // SAFETY: the benchmark forks only while it has one thread, so the child may do anything.
        let pid = check(unsafe { libc::fork() })?;
        if pid > 0 {
            return Ok(Child(pid));
        }
        die_with_parent();
        let status = match catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(())) => 0,
            Ok(Err(error)) => {
                eprintln!("figures: in a child process: {error}");
                1
            }
            Err(_) => 1,
        };
        let _ = io::stdout().flush();
        // SAFETY: ends the child without running the parent's destructors.
        unsafe { libc::_exit(status) }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> libc::pid_t {
        self.0
    }

    /// Waits for it to end; anything but exit status 0 is an error.
    pub(crate) fn join(mut self) -> io::Result<()> {
        let status = self.wait()?;
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0 {
            return Ok(());
        }
        Err(io::Error::other(format!(
            "a child process failed (wait status {status:#x})"
        )))
    }

    fn wait(&mut self) -> io::Result<libc::c_int> {
        let mut status = 0;
        // SAFETY: `status` outlives the call; the pid is our child, not yet reaped.
        check(unsafe { libc::waitpid(self.0, &raw mut status, 0) })?;
        self.0 = 0;
        Ok(status)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.0 > 0 {
            // SAFETY: the pid is our child, not yet reaped.
            unsafe { libc::kill(self.0, libc::SIGKILL) };
            let _ = self.wait();
        }
    }
}

/// Keeps all threads of a process on the first CPU; 0 is the calling process.
pub(crate) fn pin(process: libc::pid_t) -> io::Result<()> {
    let mut first = rustix::thread::CpuSet::new();
    first.set(0);
    let path = match process {
        0 => "/proc/self/task".to_owned(),
        id => format!("/proc/{id}/task"),
    };
    for thread in std::fs::read_dir(path)? {
        let name = thread?.file_name();
        let id = name.to_str().and_then(|name| name.parse().ok());
        rustix::thread::sched_setaffinity(id.and_then(rustix::process::Pid::from_raw), &first)?;
    }
    Ok(())
}

/// The caller is killed when its parent ends, however that happens.
pub(crate) fn die_with_parent() {
    // SAFETY: sets a flag of this process only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
}

/// Becomes `uid` for good: user, group and no other groups.
pub(crate) fn become_user(uid: u32) -> io::Result<()> {
    if uid == 0 {
        return Ok(());
    }
    // SAFETY: three calls without pointers but a null one with length 0.
    unsafe {
        check(libc::setgroups(0, std::ptr::null()))?;
        check(libc::setresgid(uid, uid, uid))?;
        check(libc::setresuid(uid, uid, uid))?;
    }
    Ok(())
}

/// Runs `body` in a child of user `uid` and returns the numbers that it returned.
pub(crate) fn numbers_as(
    uid: u32,
    body: impl FnOnce() -> io::Result<Vec<f64>>,
) -> io::Result<Vec<f64>> {
    let (mut reader, mut writer) = pipe()?;
    let child = Child::fork(move || {
        become_user(uid)?;
        let bytes: Vec<u8> = body()?.iter().flat_map(|n| n.to_le_bytes()).collect();
        writer.write_all(&bytes)
    })?;
    let mut bytes = Vec::new();
    reader.read_to_end(&mut bytes)?;
    child.join()?;
    Ok(bytes
        .chunks_exact(8)
        .map(|b| f64::from_le_bytes(b.try_into().unwrap_or_default()))
        .collect())
}

/// A pipe: reader and writer, closed on exec.
pub(crate) fn pipe() -> io::Result<(File, File)> {
    let mut fds = [0; 2];
    // SAFETY: `fds` has room for two; both are new and owned by nobody else.
    unsafe {
        check(libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC))?;
        Ok((
            File::from(OwnedFd::from_raw_fd(fds[0])),
            File::from(OwnedFd::from_raw_fd(fds[1])),
        ))
    }
}

/// open(2) with exactly these flags.
pub(crate) fn open(path: &Path, flags: libc::c_int, mode: libc::mode_t) -> io::Result<File> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string; the descriptor is new and owned by nobody else.
    unsafe {
        let fd = check(libc::open(path.as_ptr(), flags | libc::O_CLOEXEC, mode))?;
        Ok(File::from(OwnedFd::from_raw_fd(fd)))
    }
}

/// truncate(2): changes the size of a file that nobody opens.
pub(crate) fn truncate(path: &Path, len: usize) -> io::Result<()> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: `path` is a C string.
    check(unsafe { libc::truncate(path.as_ptr(), len as libc::off_t) })?;
    Ok(())
}

/// stat(2), its answer thrown away; `Path::metadata` would ask statx for the birth time too.
pub(crate) fn stat(path: &Path) -> io::Result<()> {
    rustix::fs::stat(path)?;
    Ok(())
}

/// A shared, writable mapping of a whole file.
#[derive(Debug)]
pub(crate) struct Map {
    start: *mut u8,
    len: usize,
}

impl Map {
    /// Maps the first `len` bytes of `file`.
    pub(crate) fn new(file: &File, len: usize) -> io::Result<Map> {
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                0,
            )
        };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Map {
            start: start.cast(),
            len,
        })
    }

    /// Stores one byte into each page and says how many nanoseconds that took per page.
    pub(crate) fn touch(&self) -> f64 {
        let start = Instant::now();
        for offset in (0..self.len).step_by(PAGE) {
            // SAFETY: inside the mapping, whose file the caller made long enough.
            unsafe { self.start.add(offset).write_volatile(1) };
        }
        start.elapsed().as_nanos() as f64 / (self.len / PAGE) as f64
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: our mapping; nobody keeps a reference into it.
        unsafe { libc::munmap(self.start.cast(), self.len) };
    }
}

/// Counters in memory that is shared with children forked later; never freed.
pub(crate) fn shared_counters<const N: usize>() -> io::Result<&'static [AtomicU64; N]> {
    // SAFETY: a new zeroed anonymous mapping, large enough, aligned to a page, never unmapped.
    unsafe {
        let start = libc::mmap(
            std::ptr::null_mut(),
            N * 8,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_SHARED | libc::MAP_ANONYMOUS,
            -1,
            0,
        );
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(&*start.cast())
    }
}

/// Registers `file` as a backing file of a FUSE connection; returns its id.
pub(crate) fn backing_open(fuse: BorrowedFd<'_>, file: BorrowedFd<'_>) -> io::Result<i32> {
    #[repr(C)]
    struct BackingMap {
        fd: i32,
        flags: u32,
        padding: u64,
    }
    const FUSE_DEV_IOC_BACKING_OPEN: libc::c_ulong = 0x4010_e501;
    let map = BackingMap {
        fd: file.as_raw_fd(),
        flags: 0,
        padding: 0,
    };
    // SAFETY: `map` is struct fuse_backing_map, which this ioctl reads.
    check(unsafe { libc::ioctl(fuse.as_raw_fd(), FUSE_DEV_IOC_BACKING_OPEN, &raw const map) })
}

/// unshare(2).
pub(crate) fn unshare(flags: libc::c_int) -> io::Result<()> {
    // SAFETY: no pointers; the process has one thread.
    check(unsafe { libc::unshare(flags) })?;
    Ok(())
}
