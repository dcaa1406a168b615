//! The `shmfs` command.

use std::process::ExitCode;

use shmfs::cli;
use shmfs::sys::buffers::Allocator;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    match cli::execute(std::env::args_os()) {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => ExitCode::from(cli::report("shmfs", &error)),
    }
}
