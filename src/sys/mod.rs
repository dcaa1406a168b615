//! The only place with system calls that no library wraps safely, and with `unsafe`.

pub mod credentials;
pub mod fuse_device;
