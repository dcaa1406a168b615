//! Places where a test has the process killed; there are none in what is released.

/// Kills the process here if a test asks for it: `SHMFS_FAILPOINTS` names a file, which has the place's name and the
/// opcode of the request that must be in hand, 0 for any; one process dies of it, or each where it says `always`.
#[cfg(debug_assertions)]
pub fn failpoint(name: &str) {
    armed::pass(name);
}

/// Nothing.
#[cfg(not(debug_assertions))]
#[inline(always)]
pub fn failpoint(_: &str) {}

/// What names the file.
pub const VARIABLE: &str = "SHMFS_FAILPOINTS";

#[cfg(debug_assertions)]
mod armed {
    use std::ffi::OsString;
    use std::sync::OnceLock;

    use rustix::process::{Signal, getpid, kill_process};

    use crate::slots::opcode_in_hand;

    static FILE: OnceLock<Option<OsString>> = OnceLock::new();

    pub(super) fn pass(name: &str) {
        let Some(file) = FILE.get_or_init(|| std::env::var_os(super::VARIABLE)) else {
            return;
        };
        let Ok(text) = std::fs::read_to_string(file) else {
            return;
        };
        let mut words = text.split_ascii_whitespace();
        let named = words.next() == Some(name);
        let opcode = words.next().and_then(|word| word.parse::<u32>().ok());
        let meant = opcode.is_some_and(|opcode| opcode == 0 || opcode == opcode_in_hand());
        let always = words.next() == Some("always");
        // Else whoever takes the file away dies, and nobody after.
        if named && meant && (always || std::fs::remove_file(file).is_ok()) {
            let _ = kill_process(getpid(), Signal::KILL);
            loop {
                std::thread::park();
            }
        }
    }
}
