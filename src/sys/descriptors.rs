//! This process's own descriptors.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

/// Closes every descriptor but the standard three and `kept`.
///
/// For a process that was given descriptors which it does not use: whoever waits at the other end
/// of a pipe would wait for it too.
pub fn close_all_but(kept: &[BorrowedFd<'_>]) -> io::Result<()> {
    let kept: Vec<RawFd> = kept.iter().map(AsRawFd::as_raw_fd).collect();
    for number in open_numbers()? {
        if number > 2 && !kept.contains(&number) {
            // SAFETY: the callers own no descriptor but those in `kept`.
            unsafe { libc::close(number) };
        }
    }
    Ok(())
}

fn open_numbers() -> io::Result<Vec<RawFd>> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd")? {
        if let Some(number) = entry?
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        {
            numbers.push(number);
        }
    }
    Ok(numbers)
}

/// Points the standard input and output, and with `errors` the standard error too, at /dev/null.
pub fn leave_terminal(errors: bool) -> io::Result<()> {
    let null = File::options().read(true).write(true).open("/dev/null")?;
    let last = if errors { 2 } else { 1 };
    for number in 0..=last {
        // SAFETY: the standard descriptors are owned by no object.
        if unsafe { libc::dup2(null.as_raw_fd(), number) } < 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// Makes the number of `over` another one for what `with` is; programs that are executed do not get it.
///
/// Whoever owns `over` goes on with it and notices nothing.
pub fn replace(over: BorrowedFd<'_>, with: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both are open, and the number stays with its owner.
    match unsafe { libc::dup3(with.as_raw_fd(), over.as_raw_fd(), libc::O_CLOEXEC) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Takes a descriptor that this process was started with; it is not handed on.
///
/// To be called at the start, and once for a number.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // SAFETY: the number is borrowed for one call, which fails where it is not open.
    let borrowed = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_setfd(borrowed, rustix::io::FdFlags::CLOEXEC)?;
    // SAFETY: it is open, as was just seen, and who started us gave it to us alone.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
