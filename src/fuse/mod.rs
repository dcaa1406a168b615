//! The only folder that names fuser: requests in, replies out, cache lifetimes, passthrough.

mod adapter;
mod aliases;
pub mod connection;
mod convert;
mod handshake;
mod nodes;
mod passthrough;
mod session;
mod views;

pub use self::handshake::{Handshake, Kept};
pub use self::nodes::Layout;
pub use self::session::{Resources, Service};
