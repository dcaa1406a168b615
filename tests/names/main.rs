//! `shmfs name` and the rules behind it.

mod cli;
mod documents;
mod examples;
mod properties;
mod vectors;
#[path = "../support/written.rs"]
mod written;
