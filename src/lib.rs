//! A `/dev/shm` that anyone can mount anywhere: a FUSE file system that keeps POSIX shared memory with
//! the semantics of Linux's tmpfs.
//!
//! What other projects use is [`Mount`], a mounted file system as a value, for instance as a fixture of their tests:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! let mount = shmfs::Mount::builder().size(64 << 20).mount(dir.path())?;
//! std::fs::write(mount.path().join("object"), b"shared")?;
//! mount.unmount()?;
//! # Ok(())
//! # }
//! ```
//!
//! The rest is public for the commands `shmfs` and `mount.shmfs` and for the tests, and may change at any time.
//! docs/ARCHITECTURE.md has the map: a request goes `fuse` → `ops` → `store` and `data`. Only `fuse` names
//! fuser, only `sys` has unsafe code (and two replies in `fuse::passthrough`), `ops` runs without a mount.
#![warn(missing_debug_implementations)]

pub mod cli;
pub mod data;
pub mod doctor;
pub mod errno;
pub mod error;
pub mod export;
pub mod fuse;
pub mod log;
pub mod mount;
pub mod ops;
pub mod options;
pub mod recovery;
pub mod run;
pub mod slots;
pub mod store;
pub mod supervisor;
pub mod sys;
pub mod types;
pub mod view;

pub use mount::Mount;
