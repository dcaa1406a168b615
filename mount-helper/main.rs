//! `mount.shmfs`, which mount(8) calls for `mount -t shmfs` and `mount -t fuse.shmfs`.
//!
//! Its calling convention is in mount(8), EXTERNAL HELPERS; its exit codes are mount(8)'s.

mod arguments;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use arguments::Arguments;
use shmfs::cli;
use shmfs::error::{Error, Result};
use shmfs::log;
use shmfs::mount::{self, MountArgs};
use shmfs::options::{Environment, Given, Options};
use shmfs::sys::buffers::Allocator;
use shmfs::sys::{namespace, signal};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const NAME: &str = "mount.shmfs";

fn main() -> ExitCode {
    // The process that serves is this program too.
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(status) = mount::worker(&words) {
        return ExitCode::from(status as u8);
    }
    if let Some(ended) = mount::supervisor(&words) {
        return match ended {
            Ok(status) => ExitCode::from(status as u8),
            Err(error) => ExitCode::from(cli::report(NAME, &error)),
        };
    }
    signal::await_children();
    match Arguments::parse(words.into_iter()).and_then(|arguments| arguments.map_or(Ok(()), act)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => ExitCode::from(cli::report(NAME, &error)),
    }
}

fn act(arguments: Arguments) -> Result<()> {
    log::start(if arguments.verbose { "info" } else { "warn" })?;
    arguments.check_type()?;
    let environment = Environment::of_host();
    let given = Given::parse(&arguments.options, &environment, arguments.unknown())?;
    if arguments.verbose && !given.ignored.is_empty() {
        eprintln!("{NAME}: without effect here: {}", given.ignored.join(","));
    }
    if arguments.fake {
        return Ok(());
    }
    if let Some(path) = &arguments.namespace {
        namespace::enter_mounts(path)
            .map_err(|error| Error::path("enter the namespace", path, error))?;
    }
    let base = defaults(&environment);
    if given.remount {
        return cli::remount(&arguments.directory, &given, Some(base));
    }
    // For `mount -a`, which looks for the same source and directory, but also for the root directory of the file
    // system, and our root in mountinfo is none that it would know.
    if mount::is_mounted(&arguments.source, &arguments.directory) {
        eprintln!(
            "{NAME}: {} is already mounted on {}: nothing is done, `mount -o remount` would change its options",
            Path::new(&arguments.source).display(),
            arguments.directory.display()
        );
        return Ok(());
    }
    mount::mount(&MountArgs {
        options: given.apply(base),
        source: arguments.source,
        target: arguments.directory,
        foreground: false,
    })
}

/// mount(8) tells root's helper of `nosuid`, `nodev` and `noexec`, and of nothing where they are not
/// asked for; an ordinary user's mount never has the others.
fn defaults(environment: &Environment) -> Options {
    if rustix::process::geteuid().is_root() {
        Options::of_tmpfs(environment)
    } else {
        Options::new(environment)
    }
}
