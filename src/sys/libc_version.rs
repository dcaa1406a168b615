//! The C library that this program runs with.

use std::ffi::CStr;

/// The version of glibc, such as (2, 36).
pub fn glibc() -> Option<(u32, u32)> {
    // SAFETY: the answer is a string that lives as long as the program.
    let text = unsafe { CStr::from_ptr(libc::gnu_get_libc_version()) };
    parse(text.to_str().ok()?)
}

fn parse(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_two_numbers() {
        assert_eq!(parse("2.36"), Some((2, 36)));
        assert_eq!(parse("2.33.9000"), Some((2, 33)));
        assert_eq!(parse("x"), None);
        assert!(glibc().is_some_and(|version| version >= (2, 2)));
    }
}
