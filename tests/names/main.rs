//! `shmfs name` and the rules behind it.

mod cli;
mod examples;
mod properties;
mod vectors;
