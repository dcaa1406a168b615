//! The only folder that names fuser: requests in, replies out, cache lifetimes, passthrough.

mod adapter;
mod aliases;
mod convert;
mod nodes;
mod passthrough;
mod session;
mod views;

pub use self::nodes::Layout;
pub use self::session::Service;
