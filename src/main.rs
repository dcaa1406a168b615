//! The `shmfs` command: a stand-in with no help, replaced at merge.

use std::ffi::OsString;
use std::process::ExitCode;

use shmfs::error::{Error, Result};
use shmfs::mount::{MountArgs, RemountArgs, UmountArgs, mount, remount, umount};
use shmfs::options::{Limits, Options};
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
    let Some((verb, rest)) = words.split_first() else {
        return Err(Error::usage("no command"));
    };
    let flag = |name: &str| rest.iter().any(|word| word == name);
    let places: Vec<&OsString> = rest
        .iter()
        .filter(|word| !word.as_encoded_bytes().starts_with(b"-"))
        .collect();
    match verb.to_str() {
        Some("mount") => {
            let target = places.last().ok_or_else(|| Error::usage("no directory"))?;
            let source = if places.len() > 1 {
                places[0].clone()
            } else {
                OsString::from("shmfs")
            };
            let options = Options::default();
            mount(&MountArgs {
                options,
                source,
                target: target.into(),
                foreground: flag("-f"),
            })?;
            Ok(0)
        }
        Some("umount") => {
            let dir = places.last().ok_or_else(|| Error::usage("no directory"))?;
            umount(&UmountArgs {
                dir: dir.into(),
                lazy: flag("--lazy"),
                force: flag("--force"),
            })?;
            Ok(0)
        }
        Some("remount") => {
            let size = places[0].to_str().and_then(|size| size.parse().ok());
            let limits = Limits {
                size,
                nr_inodes: None,
            };
            let flags = flag("--ro").then(|| Options {
                read_only: true,
                ..Options::default()
            });
            remount(&RemountArgs {
                dir: places[1].into(),
                limits,
                flags,
            })?;
            Ok(0)
        }
        Some("run") => {
            let wait = rest.first().is_some_and(|word| word == "--wait");
            let command = rest
                .iter()
                .skip(usize::from(wait))
                .skip_while(|word| *word == "--")
                .cloned()
                .collect();
            run(&RunArgs {
                options: Options::default(),
                command,
                wait,
            })
        }
        _ => Err(Error::usage("unknown command")),
    }
}
