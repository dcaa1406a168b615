//! Counts that outlive the process: what the kernel holds of each inode, and which request each thread has in hand.
//!
//! A journal would be too dear for what changes with each lookup and open. It lies in memory that is shared
//! with the supervisor, in *slots* that are changed in place, and a process that takes over finds it as the
//! last one left it: a processor that dies by a signal has done all its stores up to one instruction, and none
//! behind it.
//!
//! ```text
//! 0        header
//! 4 KiB    requests in hand, a slot for each thread
//! 36 KiB   requests of processes that died, as far as they had opened or closed something
//! 64 KiB   inodes' slots, in chunks of 64 KiB that never move
//! ```
//!
//! **Lookup counts** are raised before the reply that gives the kernel its reference, and lowered after a FORGET was
//! read: too high by those requests that were in hand, never too low. **Open handles** are exact: a change names
//! itself in the request's slot first, and a request that comes again finds there what it has done.
//!
//! An inode's slot is taken before its data file is made and given back after that is gone. So a slot whose
//! inode the journal does not know names what a process that died had begun to make, or not ended to free.
//!
//! Without a supervisor the slots are memory of our own.

mod cell;
mod chunk;
mod deed;
mod failpoint;
mod requests;
mod table;

pub use self::cell::{Cell, Flag};
pub use self::failpoint::{VARIABLE as FAILPOINTS, failpoint};
pub use self::requests::{InHand, RESENT, Request, Requests, Seen, opcode_in_hand, unique_in_hand};
pub use self::table::{Slot, Slots, Survivors};

#[cfg(test)]
mod tests;
