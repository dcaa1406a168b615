//! What people type.

pub mod name;
