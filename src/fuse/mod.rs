//! The only folder that names fuser: requests in, replies out, cache lifetimes, passthrough.

mod adapter;
mod aliases;
mod beside;
pub mod connection;
mod contents;
mod convert;
mod drain;
mod exports;
mod hand;
mod handshake;
mod listing;
mod names;
mod nodes;
mod passthrough;
mod patience;
mod requests;
mod resends;
mod session;
mod signposts;
mod views;

pub use self::handshake::{Handshake, Kept};
pub use self::nodes::Layout;
pub use self::session::{Resources, Saved, Service};
