//! A `/dev/shm` that anyone can mount anywhere.
#![warn(missing_debug_implementations)]

pub mod cli;
pub mod data;
pub mod errno;
pub mod error;
pub mod fuse;
pub mod log;
pub mod mount;
pub mod ops;
pub mod options;
pub mod run;
pub mod store;
pub mod sys;
pub mod types;
pub mod view;
