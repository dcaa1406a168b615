//! The `shmfs` command: a stand-in with no help, until the command line is there.

use std::ffi::OsString;
use std::process::ExitCode;

use shmfs::error::{Error, Result};
use shmfs::mount::{MountArgs, UmountArgs, mount, umount};
use shmfs::options::{Environment, Options};
use shmfs::run::{RunArgs, run};

fn main() -> ExitCode {
    shmfs::log::start();
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match dispatch(&words) {
        Ok(status) => ExitCode::from(status as u8),
        Err(error) => {
            eprintln!("shmfs: {error}");
            ExitCode::from(error.exit_code() as u8)
        }
    }
}

fn dispatch(words: &[OsString]) -> Result<i32> {
    let (mut lists, mut flags, mut places) = (Vec::new(), Vec::new(), Vec::new());
    let mut words = words.iter();
    let verb = words.next().ok_or_else(|| Error::usage("no command"))?;
    while let Some(word) = words.next() {
        match word.to_str() {
            Some("-o") => lists.extend(words.next().cloned()),
            Some("--") => break,
            Some(flag) if flag.starts_with('-') => flags.push(flag),
            _ => places.push(word.clone()),
        }
        if verb == "run" && !places.is_empty() {
            break;
        }
    }
    let options = Options::parse(&lists.join(",".as_ref()), &Environment::of_host())?;
    let target = || {
        places
            .last()
            .map(Into::into)
            .ok_or_else(|| Error::usage("no directory"))
    };
    match verb.to_str() {
        Some("mount") => {
            let source = if places.len() > 1 {
                places[0].clone()
            } else {
                OsString::from("shmfs")
            };
            mount(&MountArgs {
                options,
                source,
                target: target()?,
                foreground: flags.contains(&"-f"),
            })?;
        }
        Some("umount") => {
            let (lazy, force) = (flags.contains(&"--lazy"), flags.contains(&"--force"));
            umount(&UmountArgs {
                dir: target()?,
                lazy,
                force,
            })?;
        }
        Some("run") => {
            let command = places.iter().chain(words).cloned().collect();
            return run(&RunArgs {
                options,
                command,
                wait: flags.contains(&"--wait"),
            });
        }
        _ => return Err(Error::usage("unknown command")),
    }
    Ok(0)
}
