//! The `shmfs` command.

use std::process::ExitCode;

use clap::Parser;
use shmfs::cli::name::{self, NameCommand};

#[derive(Parser)]
#[command(name = "shmfs", version, about)]
enum Command {
    /// Names of shared memory on every platform
    #[command(subcommand)]
    Name(NameCommand),
}

fn main() -> ExitCode {
    let Command::Name(command) = Command::parse();
    match name::run(command) {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) => {
            eprintln!("shmfs: {error}");
            ExitCode::from(error.exit_code() as u8)
        }
    }
}
