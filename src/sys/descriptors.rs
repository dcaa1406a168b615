//! This process's own descriptors.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};

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
