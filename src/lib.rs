//! A `/dev/shm` that anyone can mount anywhere.
#![warn(missing_debug_implementations)]

pub mod cli;
pub mod doctor;
pub mod errno;
pub mod error;
pub mod log;
pub mod mount;
pub mod options;
pub mod run;
pub mod sys;
pub mod types;
