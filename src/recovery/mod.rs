//! What makes the objects outlive the process that serves them: a journal of all that changes, and what is read
//! from it by the process that comes next.
//!
//! docs/RECOVERY.md has the saved form. The store tells each change to the [`Journal`], in a memfd that somebody else
//! holds too; [`Journal::open`] gives the [`Image`] of the last whole state, from which `ops::Fs::restore` makes the
//! file system again.

mod bytes;
mod codec;
mod compact;
pub mod dump;
mod image;
mod journal;
mod layout;
mod reserve;
mod scan;

#[cfg(test)]
mod samples;
#[cfg(test)]
mod tests;

pub use self::codec::Origin;
pub use self::compact::Step;
pub use self::image::{Answers, Image};
pub use self::journal::{InHand, Journal, Space, check};
pub use self::layout::{Damage, VERSION};
pub use self::reserve::Effect;
pub use self::scan::{Record, copy, read};
