//! The library that `shmfs run --as KEY` preloads: `shm_open`, `sem_open` and their kin as another
//! platform's C library or kernel has them, in that platform's view of the tree.
//!
//! The way of a call: `sys::exports` (C in, C out) → `session` (which platform, trace) →
//! `personality` (one file per family: its checks in their order) → `view` (the pure name rules,
//! shared with the file system) → `directory` (the view on this host). What a platform's rules say
//! of a descriptor is in `object` and `sys::descriptors`.
//!
//! `errno`, `types` and `view` are the main crate's own files. They are included by path, not depended on: the
//! library is loaded into other people's programs, and holds nothing of FUSE or of a command line.
#![warn(missing_debug_implementations)]
// Nothing is exported in a test: the test itself would be under our functions.
#![cfg_attr(test, allow(dead_code))]

#[cfg(not(all(target_os = "linux", target_pointer_width = "64")))]
compile_error!("the functions and their calling convention are those of 64-bit Linux");

mod directory;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/errno.rs"]
mod errno;
mod object;
mod personality;
mod semaphore;
mod session;
mod sys;
mod trace;
#[allow(dead_code, unreachable_pub)]
#[path = "../../src/types.rs"]
mod types;
#[allow(dead_code, unreachable_pub, unused_imports)]
#[path = "../../src/view/mod.rs"]
mod view;
