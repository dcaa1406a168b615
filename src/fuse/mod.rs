//! The only folder that names fuser: requests in, replies out, cache lifetimes, passthrough.

mod adapter;
mod aliases;
mod beside;
mod contents;
mod convert;
mod listing;
mod names;
mod nodes;
mod passthrough;
mod requests;
mod session;
mod signposts;
mod views;

pub use self::nodes::Layout;
pub use self::session::Service;
