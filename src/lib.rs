//! A `/dev/shm` that anyone can mount anywhere.
#![warn(missing_debug_implementations)]

pub mod cli;
pub mod errno;
pub mod error;
pub mod options;
pub mod types;
pub mod view;
