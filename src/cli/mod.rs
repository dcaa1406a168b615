//! The command line of `shmfs`: names, headings, help; what is done with it is in `execute`.

mod execute;
mod export;
mod journal;
pub mod name;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser, Subcommand};

pub use execute::{execute, parse, remount, report};

/// A /dev/shm that anyone can mount anywhere.
#[derive(Debug, Parser)]
#[command(
    name = "shmfs",
    version,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "EXAMPLES\n  \
        shmfs run -- make check           a private /dev/shm for one command\n  \
        shmfs run -o size=64m -- sh       the same with a limit\n  \
        shmfs mount -o size=1g DIR        a mount in the background\n  \
        shmfs umount DIR                  and its end\n  \
        shmfs doctor                      what works on this host, and what is missing\n\n\
        More in shmfs(1) and mount.shmfs(8)."
)]
pub struct Cli {
    #[command(flatten)]
    verbosity: Verbosity,
    #[command(subcommand)]
    command: Command,
}

/// How much is said.
#[derive(Args, Clone, Copy, Debug)]
struct Verbosity {
    /// Say more; twice, even more. SHMFS_LOG=debug and the like override it
    #[arg(short, long, global = true, action = ArgAction::Count, help_heading = "Messages")]
    verbose: u8,
    /// Say errors only; twice, nothing
    #[arg(
        short,
        long,
        global = true,
        action = ArgAction::Count,
        conflicts_with = "verbose",
        help_heading = "Messages"
    )]
    quiet: u8,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(RunCommand),
    Mount(MountCommand),
    Umount(UmountCommand),
    Upgrade(UpgradeCommand),
    Doctor(DoctorCommand),
    /// What a mount saves of its state
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    /// Parts of a mounted tree for consumers, with rights
    #[command(subcommand)]
    Export(export::ExportCommand),
    /// Names of shared memory on every platform
    #[command(subcommand)]
    Name(name::NameCommand),
}

/// Run a command with a private shmfs at /dev/shm
///
/// The command and its children see a new, empty shmfs at /dev/shm; nothing else changes, for
/// them or for the host. The exit status is the command's, or 128+n when signal n ended it.
#[derive(Args, Debug)]
#[command(
    override_usage = "shmfs run [-o OPTIONS] [--as KEY [--lenient] [--trace]] [--wait] [--] COMMAND [ARGUMENT]...\n       \
        shmfs run --export NAME --from DIR [--wait] [--] COMMAND [ARGUMENT]...",
    after_help = words::exit_status_of_run(),
    after_long_help = words::help(words::exit_status_of_run()),
)]
struct RunCommand {
    #[command(flatten)]
    lists: Lists,
    #[command(flatten)]
    personality: PersonalityArgs,
    /// Give COMMAND this export of the mount on --from as its /dev/shm, instead of a new shmfs
    #[arg(
        long,
        value_name = "NAME",
        requires = "from",
        conflicts_with_all = ["options", "as"],
        help_heading = "An export"
    )]
    export: Option<String>,
    /// Where that mount is
    #[arg(
        long,
        value_name = "DIR",
        requires = "export",
        help_heading = "An export"
    )]
    from: Option<PathBuf>,
    /// Wait for what COMMAND leaves running, instead of ending it
    #[arg(long, help_heading = "Running")]
    wait: bool,
    /// The command and its arguments
    #[arg(required = true, trailing_var_arg = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

/// The functions of another platform.
#[derive(Args, Debug)]
struct PersonalityArgs {
    /// Give COMMAND the shm_open and sem_open of the platform KEY (see `shmfs name list`)
    #[arg(
        long = "as",
        id = "as",
        value_name = "KEY",
        help_heading = "Another platform"
    )]
    key: Option<String>,
    /// Leave out that platform's rules for descriptors and for the directory's file system
    #[arg(long, requires = "as", help_heading = "Another platform")]
    lenient: bool,
    /// Print each of those calls on standard error, and what other platforms say of the name
    #[arg(long, requires = "as", help_heading = "Another platform")]
    trace: bool,
}

/// Mount a shmfs on a directory
///
/// It returns when the mount answers; a process in the background serves it until it is
/// unmounted. SOURCE is the name that df(1) shows.
#[derive(Args, Debug)]
#[command(
    override_usage = "shmfs mount [-o OPTIONS] [--exports FILE] [-f] [SOURCE] DIR",
    after_long_help = words::help(words::EXIT_STATUS),
)]
struct MountCommand {
    #[command(flatten)]
    lists: Lists,
    /// Serve the exports of this file, as the option exports=FILE
    #[arg(long, value_name = "FILE", help_heading = "File system")]
    exports: Option<PathBuf>,
    /// Serve in the foreground, until unmounted or interrupted
    #[arg(short, long, help_heading = "Mounting")]
    foreground: bool,
    /// The directory to mount on; before it, if both are given, what df(1) shows as the source
    #[arg(required = true, num_args = 1..=2, value_name = "DIR")]
    places: Vec<OsString>,
}

/// Unmount a shmfs
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
struct UmountCommand {
    /// Let it disappear now, and end with its last user
    #[arg(short, long, conflicts_with = "force", help_heading = "Unmounting")]
    lazy: bool,
    /// End it now, whoever uses it
    #[arg(short, long, help_heading = "Unmounting")]
    force: bool,
    /// The mount point
    dir: PathBuf,
}

/// Let another version serve a mount, which stays as it is
///
/// BINARY, or the shmfs that this command is, takes over: objects, mappings, open files and locks stay.
/// Where it cannot, because it does not know the saved state or does not start, the old one goes on.
#[derive(Args, Debug)]
#[command(after_long_help = words::EXIT_STATUS)]
struct UpgradeCommand {
    /// The mount point
    dir: PathBuf,
    /// The shmfs to take over
    binary: Option<PathBuf>,
}

/// Say what this host gives, and what is missing
///
/// Each line has what was found, the reason, and the remedy. The exit status is 0 only if
/// `shmfs run` works.
#[derive(Args, Debug)]
struct DoctorCommand {
    /// Print one JSON object
    #[arg(long, help_heading = "Output")]
    json: bool,
}

/// The `-o` lists.
#[derive(Args, Debug)]
struct Lists {
    /// Mount options separated by commas, such as size=1g,mode=0700; may be given again
    #[arg(
        short = 'o',
        long = "options",
        value_name = "OPTIONS",
        help_heading = "File system"
    )]
    options: Vec<OsString>,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }
}
