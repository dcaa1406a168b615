//! mount(8) helper: `mount.shmfs`.
fn main() {}
