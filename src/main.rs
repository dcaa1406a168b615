//! The `shmfs` command.
fn main() {}
