//! A `/dev/shm` that anyone can mount anywhere.
#![warn(missing_debug_implementations)]

pub mod data;
pub mod errno;
pub mod error;
pub mod fuse;
pub mod ops;
pub mod options;
pub mod store;
pub mod sys;
pub mod types;
