//! The only place with system calls that no library wraps safely, and with `unsafe`.

pub mod channel;
pub mod descriptors;
pub mod mount;
pub mod namespace;
pub mod process;
pub mod signal;
pub mod syslog;
