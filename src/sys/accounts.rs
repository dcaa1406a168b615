//! Numbers of users and groups by name, from the system's databases.

use std::ffi::{CStr, CString};
use std::mem::MaybeUninit;
use std::ptr;

/// Bytes for one entry; a group of many members needs more, up to [`LARGEST`].
const FIRST: usize = 4 << 10;
const LARGEST: usize = 4 << 20;

/// The number of the user `name`.
pub fn user(name: &[u8]) -> Option<u32> {
    let name = CString::new(name).ok()?;
    with_growing_buffer(|buffer| user_into(&name, buffer))
}

/// The number of the group `name`.
pub fn group(name: &[u8]) -> Option<u32> {
    let name = CString::new(name).ok()?;
    with_growing_buffer(|buffer| group_into(&name, buffer))
}

/// What one attempt with a buffer came to.
enum Attempt {
    Found(u32),
    Absent,
    TooSmall,
}

fn with_growing_buffer(attempt: impl Fn(&mut [libc::c_char]) -> Attempt) -> Option<u32> {
    let mut size = FIRST;
    while size <= LARGEST {
        match attempt(&mut vec![0; size]) {
            Attempt::Found(id) => return Some(id),
            Attempt::Absent => return None,
            Attempt::TooSmall => size *= 4,
        }
    }
    None
}

fn user_into(name: &CStr, buffer: &mut [libc::c_char]) -> Attempt {
    let mut entry = MaybeUninit::<libc::passwd>::uninit();
    let mut found = ptr::null_mut();
    // SAFETY: `name` ends in a zero byte, `buffer` is as long as said, and both outputs outlive
    // the call.
    let error = unsafe {
        libc::getpwnam_r(
            name.as_ptr(),
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut found,
        )
    };
    // SAFETY: where `found` is not null it points to `entry`, which the call has then filled in.
    answer(error, unsafe { found.as_ref() }.map(|entry| entry.pw_uid))
}

fn group_into(name: &CStr, buffer: &mut [libc::c_char]) -> Attempt {
    let mut entry = MaybeUninit::<libc::group>::uninit();
    let mut found = ptr::null_mut();
    // SAFETY: `name` ends in a zero byte, `buffer` is as long as said, and both outputs outlive
    // the call.
    let error = unsafe {
        libc::getgrnam_r(
            name.as_ptr(),
            entry.as_mut_ptr(),
            buffer.as_mut_ptr(),
            buffer.len(),
            &mut found,
        )
    };
    // SAFETY: where `found` is not null it points to `entry`, which the call has then filled in.
    answer(error, unsafe { found.as_ref() }.map(|entry| entry.gr_gid))
}

fn answer(error: libc::c_int, id: Option<u32>) -> Attempt {
    match (error, id) {
        (libc::ERANGE, _) => Attempt::TooSmall,
        (_, Some(id)) => Attempt::Found(id),
        (_, None) => Attempt::Absent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_is_zero() {
        assert_eq!((user(b"root"), group(b"root")), (Some(0), Some(0)));
    }

    #[test]
    fn unknown_and_impossible_names_are_absent() {
        for name in [&b"no-such-account"[..], b"", b"a\0b", &[0xff; 300]] {
            assert_eq!((user(name), group(name)), (None, None));
        }
    }
}
