//! Mounting, the daemon behind it, and unmounting.

pub(crate) mod attach;
pub(crate) mod daemon;
pub(crate) mod detached;
pub(crate) mod fusermount;
pub(crate) mod live;
pub(crate) mod place;
pub(crate) mod serve;
pub mod table;

pub use self::daemon::{MountArgs, mount};
