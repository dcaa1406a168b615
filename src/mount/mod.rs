//! Mounting, the daemon behind it, and unmounting.

pub(crate) mod attach;
mod control;
pub(crate) mod daemon;
pub(crate) mod detached;
pub mod exports;
pub(crate) mod fusermount;
mod journal;
mod library;
pub(crate) mod live;
mod manager;
pub(crate) mod place;
mod requests;
mod resume;
pub(crate) mod serve;
pub mod table;
mod umount;
mod upgrade;
pub(crate) mod views;

pub use self::daemon::{MountArgs, mount};
pub use self::journal::journal;
pub use self::library::{Builder, Mount};
pub use self::requests::worker;
pub use self::resume::supervisor;
pub use self::umount::{RemountArgs, UmountArgs, differ, is_mounted, remount, umount};
pub use self::upgrade::upgrade;
