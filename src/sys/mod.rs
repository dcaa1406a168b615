//! The only place with system calls that no library wraps safely, and with `unsafe`.

pub mod accounts;
pub mod buffers;
pub mod cgroup;
pub mod channel;
pub mod credentials;
pub mod descriptors;
pub mod fuse_device;
pub mod libc_version;
pub mod mapping;
pub mod memory;
pub mod mount;
pub mod mount_tables;
pub mod namespace;
pub mod process;
pub mod signal;
pub mod syslog;
