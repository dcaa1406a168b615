//! Any bytes as a list of mount options: refused with a message, or understood, and then the same again
//! when they are written out.
#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use libfuzzer_sys::fuzz_target;
use shmfs::options::{Environment, Options};

fuzz_target!(|list: &[u8]| {
    let environment = Environment::with_ram(16 << 30);
    let Ok(options) = Options::parse(OsStr::from_bytes(list), &environment) else {
        return;
    };
    // A directory's name may have bytes that no text has.
    if !options.views.is_empty() {
        return;
    }
    let written = options.to_string();
    let again = Options::parse(OsStr::new(&written), &environment);
    assert_eq!(again.ok(), Some(options), "{written}");
});
