//! syslog(3), for a daemon without a terminal.

use std::ffi::CString;

/// Sends `line` to the system's log as a message of `shmfs`.
pub fn send(priority: i32, line: &[u8]) {
    let text: Vec<u8> = line
        .iter()
        .copied()
        .filter(|&byte| byte != 0 && byte != b'\n')
        .collect();
    let Ok(text) = CString::new(text) else {
        return;
    };
    // SAFETY: the format takes one string, and openlog's identity is a static one.
    unsafe {
        libc::openlog(c"shmfs".as_ptr(), libc::LOG_PID, libc::LOG_DAEMON);
        libc::syslog(priority, c"%s".as_ptr(), text.as_ptr());
    }
}
