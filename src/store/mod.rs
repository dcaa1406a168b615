//! The tree of objects in memory: inodes, directories, limits, and the invariants that hold them together.
//!
//! Nothing here knows a caller, a policy, FUSE, or a platform.
//!
//! # Lock order
//!
//! ```text
//! 1  Superblock::tree     names, link counts, the table of inodes; written by whatever changes a name
//! 2    Inode::state       attributes, xattrs, ACLs, and what is known of the data file
//! 3      (the data file)  the host kernel's own lock
//! 3      (the recorder)   its own
//! ```
//!
//! Two states are never locked at once, but to record a change of names, by who has the tree for writing: `history.rs`
//! says why nobody waits for ever. A caller that changes names holds the tree for writing, so an
//! operation on two inodes needs no further order. Budgets are atomics and are taken last. No lock is
//! held while a reply is sent or `/proc` is read.
//!
//! # How the store changes
//!
//! In one place, [`change`]: an operation checks, then commits one [`change::TreeChange`] or
//! [`change::InodeChange`], which cannot fail. Whatever would record or replay the store's history
//! does it there: a [`record::Recorder`] is told of each change after it, under the same locks.
//!
//! # When an inode goes
//!
//! An inode is evicted when no name (`nlink`), no reference of the kernel (lookup count) and no open
//! handle (`nopen`) is left. The lookup count is an atomic that is raised under the tree's read lock; whoever
//! lowers it to zero takes the lock for writing and looks at all three again.

pub mod acl;
pub mod budget;
pub mod change;
pub mod directory;
mod history;
mod ids;
pub mod inode;
mod keep;
mod parts;
pub mod pools;
pub mod record;
pub mod restore;
pub mod superblock;
pub mod users;
pub mod xattr;

pub use self::budget::InodeBudget;
pub use self::directory::{Cookie, Directory};
pub use self::inode::{DataState, Identity, Inode, Leaving, State};
pub use self::keep::Mark;
pub use self::superblock::{Superblock, Tree};
pub use self::users::{Share, Users};
