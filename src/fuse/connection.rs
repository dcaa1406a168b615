//! What a process that does not serve it can do with a connection, by its device alone.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

/// The kernel refuses to hand a request to a smaller buffer (FUSE_MIN_READ_BUFFER).
const SMALLEST_BUFFER: usize = 8192;

/// Waits for the kernel's INIT, which is the first request of a connection, and takes it as it is.
pub fn read_init(device: impl AsFd) -> io::Result<Vec<u8>> {
    let mut request = vec![0; SMALLEST_BUFFER];
    let length = loop {
        match rustix::io::read(&device, &mut request) {
            Err(Errno::INTR) => {}
            other => break other?,
        }
    };
    request.truncate(length);
    Ok(request)
}

/// Gives the kernel the answer to its INIT.
pub fn answer_init(device: impl AsFd, answer: &[u8]) -> io::Result<()> {
    rustix::io::write(device, answer)?;
    Ok(())
}

/// Has the kernel send all requests again that were read and not answered
/// (`FUSE_NOTIFY_RESEND` in include/uapi/linux/fuse.h, Linux 6.9).
pub fn resend(device: impl AsFd) -> io::Result<()> {
    const RESEND: i32 = 7;
    // A `struct fuse_out_header` alone: the length, the notification, no request.
    let mut notice = [0; 16];
    notice[..4].copy_from_slice(&16u32.to_ne_bytes());
    notice[4..8].copy_from_slice(&RESEND.to_ne_bytes());
    rustix::io::write(device, &notice)?;
    Ok(())
}

/// Whether the connection is over: unmounted everywhere, or aborted.
pub fn has_ended(device: impl AsFd) -> bool {
    ask(device).contains(PollFlags::ERR)
}

/// Whether there are requests that nobody has read.
pub fn has_requests(device: impl AsFd) -> bool {
    ask(device).contains(PollFlags::IN)
}

/// Looks without waiting: who waits here is woken by each request.
fn ask(device: impl AsFd) -> PollFlags {
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut asked = [PollFd::new(&device, PollFlags::IN)];
    match poll(&mut asked, Some(&now)) {
        Ok(_) => asked[0].revents(),
        Err(_) => PollFlags::empty(),
    }
}

/// Answers the request `unique`, which somebody has read who is gone, with an error.
pub fn answer_error(device: impl AsFd, unique: u64, errno: i32) -> io::Result<()> {
    // The kernel knows a request that it has sent again by another number (`FUSE_UNIQUE_RESEND`).
    let answer = |unique: u64| {
        let mut header = [0; 16];
        header[..4].copy_from_slice(&16u32.to_ne_bytes());
        header[4..8].copy_from_slice(&(-errno).to_ne_bytes());
        header[8..].copy_from_slice(&unique.to_ne_bytes());
        rustix::io::write(&device, &header).map(drop)
    };
    match answer(unique | 1 << 63) {
        Err(Errno::NOENT) => Ok(answer(unique)?),
        other => Ok(other?),
    }
}

/// Ends the connection at once: programs that use it get ENOTCONN. Says whether the kernel let us;
/// otherwise only the end of all processes that have the device does it.
pub fn abort(device: impl AsFd) -> bool {
    control_file(device, "abort").is_some_and(|path| fs::write(path, "1").is_ok())
}

/// A file of the connection in the kernel's fusectl.
fn control_file(device: impl AsFd, name: &str) -> Option<String> {
    let info = format!("/proc/self/fdinfo/{}", device.as_fd().as_raw_fd());
    let info = fs::read_to_string(info).ok()?;
    let mut lines = info.lines();
    let number = lines.find_map(|line| line.strip_prefix("fuse_connection:"))?;
    Some(format!("/sys/fs/fuse/connections/{}/{name}", number.trim()))
}
