//! The only folder that names fuser: requests in, replies out, cache lifetimes, passthrough.

mod adapter;
mod convert;
mod nodes;
mod passthrough;
mod session;

pub use self::nodes::Layout;
pub use self::session::Service;
