//! From the command line to what does it.

use std::ffi::OsString;
use std::io::{self, Write};
use std::path::Path;

use clap::Parser;
use clap::error::ErrorKind;
use rustix::fs::StatVfsMountFlags;

use super::{Cli, Command, MountCommand, RunCommand, UmountCommand, UpgradeCommand, Verbosity};
use crate::doctor;
use crate::error::{Error, ExitCode, Result};
use crate::log;
use crate::mount::{self, MountArgs, RemountArgs, UmountArgs};
use crate::options::{Atime, Environment, Given, Options, Unknown};
use crate::run::{self, Lent, Personality, RunArgs, Wish};
use crate::sys::signal;

/// Does what the command line `words` says, the program's name first; returns the exit status.
pub fn execute(words: impl IntoIterator<Item = OsString>) -> Result<i32> {
    let words: Vec<OsString> = words.into_iter().collect();
    if let Some(status) = mount::worker(&words) {
        return Ok(status);
    }
    if let Some(ended) = mount::supervisor(&words) {
        return ended;
    }
    match parse(words)? {
        Some(cli) => cli.execute(),
        None => Ok(0),
    }
}

/// Reads the command line; `None` where it asked for help, which has been printed.
pub fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Option<Cli>> {
    let words: Vec<OsString> = words.into_iter().collect();
    match Cli::try_parse_from(&words) {
        Ok(cli) => Ok(Some(cli)),
        Err(stop)
            if matches!(
                stop.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            // Whoever asked has closed the pipe: nothing to do about it.
            drop(stop.print());
            Ok(None)
        }
        Err(stop) => {
            let is_option = |word: &&OsString| word.as_encoded_bytes().starts_with(b"-");
            Err(usage(
                &stop,
                words.iter().skip(1).find(|word| !is_option(word)),
            ))
        }
    }
}

fn usage(stop: &clap::Error, command: Option<&OsString>) -> Error {
    let text = stop.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let error = Error::usage(text.trim_end());
    match command {
        Some(command) if command == "run" => error.code(ExitCode::RunFailed),
        // 1 is an answer.
        Some(command) if command == "name" => error.code(ExitCode::System),
        Some(_) | None => error,
    }
}

impl Cli {
    fn execute(self) -> Result<i32> {
        let is_run = matches!(self.command, Command::Run(_));
        if !is_run {
            // `run` gives its command back what it was started with, and so looks itself.
            signal::await_children();
        }
        let done = log::start(self.verbosity.level()).and_then(|()| self.command.execute());
        done.map_err(|error| if is_run { of_run(error) } else { error })
    }
}

impl Command {
    fn execute(self) -> Result<i32> {
        match self {
            Command::Run(command) => command.execute(),
            Command::Mount(command) => command.execute().map(|()| 0),
            Command::Umount(command) => command.execute().map(|()| 0),
            Command::Upgrade(command) => command.execute().map(|()| 0),
            Command::Journal(command) => super::journal::run(&command).map(|()| 0),
            Command::Export(command) => super::export::run(command).map(|()| 0),
            Command::Name(command) => super::name::run(command).map(|code| code as i32),
            Command::Doctor(command) => doctor::doctor(command.json),
        }
    }
}

/// A failure before the command ran has a status that commands rarely have.
fn of_run(error: Error) -> Error {
    match error.exit_code() {
        ExitCode::RunFailed | ExitCode::CannotExecute | ExitCode::NotFound => error,
        ExitCode::Success
        | ExitCode::Usage
        | ExitCode::System
        | ExitCode::Internal
        | ExitCode::Interrupted
        | ExitCode::Mount => error.code(ExitCode::RunFailed),
    }
}

impl Verbosity {
    /// The log's level where the environment does not choose it.
    fn level(self) -> &'static str {
        match (self.quiet, self.verbose) {
            (0, 0) => "warn",
            (0, 1) => "info",
            (0, 2) => "debug",
            (0, _) => "trace",
            (1, _) => "error",
            (_, _) => "off",
        }
    }
}

impl RunCommand {
    fn execute(self) -> Result<i32> {
        let environment = Environment::of_host();
        let given = Given::parse(&self.lists.options, &environment, Unknown::Refuse)?;
        let mut options = given.new_mount(Options::new(&environment))?;
        let personality = match self.personality.key {
            Some(key) => {
                let wish = Wish {
                    key,
                    lenient: self.personality.lenient,
                    trace: self.personality.trace,
                };
                Some(Personality::prepare(&wish, &mut options)?)
            }
            None => None,
        };
        let lent = self.export.zip(self.from);
        run::run(&RunArgs {
            options,
            lent: lent.map(|(export, from)| Lent { export, from }),
            personality,
            command: self.command,
            wait: self.wait,
        })
    }
}

impl MountCommand {
    fn execute(mut self) -> Result<()> {
        let environment = Environment::of_host();
        let mut given = Given::parse(&self.lists.options, &environment, Unknown::Refuse)?;
        given.exports = self.exports.take().or(given.exports);
        let Some(target) = self.places.pop() else {
            return Err(Error::usage("no directory to mount on"));
        };
        if given.remount {
            return remount(Path::new(&target), &given, None);
        }
        mount::mount(&MountArgs {
            options: given.apply(Options::new(&environment)),
            source: self.places.pop().unwrap_or_else(|| "shmfs".into()),
            target: target.into(),
            foreground: self.foreground,
        })
    }
}

/// Changes the mount on `dir`.
///
/// The flags that are not given become those of `base`, or stay as they are where that is `None`;
/// the rule of access times stays anyhow, as for path_mount() in fs/namespace.c.
pub fn remount(dir: &Path, given: &Given, base: Option<Options>) -> Result<()> {
    let flags = if given.flags == Default::default() && base.is_none() {
        None
    } else {
        let live = live_flags(dir)?;
        let base = match base {
            Some(base) => Options {
                atime: live.atime,
                nodiratime: live.nodiratime,
                ..base
            },
            None => live,
        };
        // An ordinary user may not change them, but say them: mount(8) repeats those of fstab.
        let wanted = given.apply(base);
        mount::differ(&wanted, &live_flags(dir)?).then_some(wanted)
    };
    mount::remount(&RemountArgs {
        dir: dir.into(),
        limits: given.limits,
        exports: given.exports.clone(),
        flags,
        views: given.views.clone(),
    })
}

/// Options with the flags that the mount on `dir` has now.
fn live_flags(dir: &Path) -> Result<Options> {
    let answer = rustix::fs::statvfs(dir)
        .map_err(|error| Error::path("remount", dir, error).code(ExitCode::Mount))?;
    let has = |flag| answer.f_flag.contains(flag);
    let atime = if has(StatVfsMountFlags::NOATIME) {
        Atime::Never
    } else if has(StatVfsMountFlags::RELATIME) {
        Atime::Relative
    } else {
        Atime::Strict
    };
    Ok(Options {
        read_only: has(StatVfsMountFlags::RDONLY),
        suid: !has(StatVfsMountFlags::NOSUID),
        dev: !has(StatVfsMountFlags::NODEV),
        exec: !has(StatVfsMountFlags::NOEXEC),
        // statfs(2): ST_NOSYMFOLLOW.
        symfollow: answer.f_flag.bits() & 0x2000 == 0,
        nodiratime: has(StatVfsMountFlags::NODIRATIME),
        atime,
        ..Options::default()
    })
}

impl UmountCommand {
    fn execute(self) -> Result<()> {
        mount::umount(&UmountArgs {
            dir: self.dir,
            lazy: self.lazy,
            force: self.force,
        })
    }
}

impl UpgradeCommand {
    fn execute(self) -> Result<()> {
        let version = mount::upgrade(&self.dir, self.binary.as_deref())?;
        let said = writeln!(io::stdout(), "{}: {version}", self.dir.display());
        said.map_err(|error| Error::system("cannot write", error))
    }
}

/// Prints the failure of a program called `name`; returns its exit status.
pub fn report(name: &str, error: &Error) -> u8 {
    // There is nobody left to tell where this fails.
    drop(writeln!(io::stderr(), "{name}: {error}"));
    error.exit_code() as u8
}
