//! `--as KEY`: a command that calls another platform's functions, by a library that is loaded first.
//!
//! What the library does is in preload/README.md; here it is found, and told of its views.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;

use super::shm::SHM;
use super::start::{self, Start};
use crate::error::{Error, ExitCode, Result};
use crate::options::{Options, ViewOption};
use crate::sys::process;
use crate::types::{Names, RESERVED};
use crate::view::{Naming, platform};

/// What the command line asks for.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The platform: a key of its shared memory, or of its semaphores.
    pub key: String,
    /// Without the rules that concern descriptors and file systems.
    pub lenient: bool,
    /// Each call on standard error.
    pub trace: bool,
}

/// A platform, the views of the tree that it needs, and the library with its functions.
#[derive(Clone, Debug)]
pub struct Personality {
    key: &'static str,
    view: PathBuf,
    /// Where semaphores are not in the same view.
    sem_view: Option<PathBuf>,
    library: PathBuf,
    lenient: bool,
    trace: bool,
}

impl Personality {
    /// Finds the platform and the library, and adds the platform's views to `options`.
    pub fn prepare(wish: &Wish, options: &mut Options) -> Result<Personality> {
        let unknown = || {
            Error::usage(format!(
                "--as {}: there is no such platform with shared memory",
                wish.key
            ))
            .hint("They are listed by `shmfs name list`.")
        };
        let memory = platform::shared_memory(&wish.key).ok_or_else(unknown)?;
        let view = platform::view_of(memory).ok_or_else(unknown)?;
        // The semaphores' view shows the same tree: a kernel's table of semaphores is a view too.
        let sem_view = platform::semaphores(memory)
            .and_then(platform::view_of)
            .filter(|semaphores| semaphores.key() != view.key());
        let program = program()?;
        Ok(Personality {
            key: memory.key,
            library: library(&start::candidates(&program))?,
            view: add_view(view, options),
            sem_view: sem_view.map(|semaphores| add_view(semaphores, options)),
            lenient: wish.lenient,
            trace: wish.trace,
        })
    }

    /// Sets the environment of this process, which sees what the command will see.
    ///
    /// ld.so only warns of a library that it cannot load, and the command would run on the host's rules.
    pub(super) fn enter(&self) -> Result<()> {
        check_library(&self.library)?;
        for view in [Some(&self.view), self.sem_view.as_ref()] {
            view.map_or(Ok(()), |view| check_view(view))?;
        }
        let start = Start {
            key: self.key,
            view: &self.view,
            sem_view: self.sem_view.as_deref(),
            lenient: self.lenient,
            trace: self.trace,
        };
        let preload = std::env::var_os("LD_PRELOAD");
        let variables = start::environment(&start, &self.library, preload.as_deref());
        process::set_environment(&variables)
            .map_err(|error| Error::system("cannot set the environment", error))
    }
}

/// Asks for the view unless it is asked for already; returns where the command sees it.
fn add_view(naming: Naming, options: &mut Options) -> PathBuf {
    let key = naming.key();
    if !options.views.iter().any(|view| view.naming.key() == key) {
        options.views.push(ViewOption {
            naming,
            directory: None,
        });
    }
    let special = String::from_utf8_lossy(RESERVED);
    [SHM, &special, "views", key].iter().collect()
}

/// Where the library is, if it is found.
pub fn preload_library() -> Option<PathBuf> {
    let program = program().ok()?;
    library(&start::candidates(&program)).ok()
}

fn program() -> Result<PathBuf> {
    std::env::current_exe()
        .map_err(|error| Error::system("cannot tell where shmfs itself is", error))
}

/// The first of `candidates` that is there.
fn library(candidates: &[PathBuf]) -> Result<PathBuf> {
    let Some(library) = candidates.iter().find(|candidate| candidate.is_file()) else {
        let places: Vec<_> = candidates
            .iter()
            .map(|candidate| candidate.display().to_string())
            .collect();
        let what = format!("cannot find {}, which --as needs", start::LIBRARY);
        return Err(Error::new(ExitCode::RunFailed, what).hint(format!(
            "It was looked for at {}. Build it: `cargo build -p shmfs-preload`, with --release if shmfs \
             was; mount-helper/install.sh installs it.",
            places.join(", ")
        )));
    };
    if !start::can_be_preloaded(library) {
        let what = format!("cannot preload {}", library.display());
        return Err(Error::new(ExitCode::RunFailed, what).hint(
            "LD_PRELOAD is divided at spaces and colons: put shmfs and its library in another directory.",
        ));
    }
    Ok(library.clone())
}

fn check_library(library: &Path) -> Result<()> {
    let failed = |error| Error::path("preload", library, error);
    let file = File::open(library).map_err(failed)?;
    let flags = rustix::fs::fstatvfs(&file)
        .map_err(|error| failed(error.into()))?
        .f_flag;
    if flags.contains(StatVfsMountFlags::NOEXEC) {
        let noexec = failed(rustix::io::Errno::PERM.into());
        return Err(noexec.hint("It is on a file system that is mounted noexec."));
    }
    Ok(())
}

fn check_view(view: &Path) -> Result<()> {
    let hidden = |error| {
        Error::path("see the view", view, error)
            .hint("A view that is bound at /dev/shm hides it: bind that one elsewhere.")
    };
    std::fs::metadata(view).map(drop).map_err(hidden)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_platform_says_so() {
        for key in ["plan9", "linux-mq", ""] {
            let wish = Wish {
                key: key.to_owned(),
                lenient: false,
                trace: false,
            };
            let error = Personality::prepare(&wish, &mut Options::default()).unwrap_err();
            assert!(error.to_string().contains("no such platform"), "{error}");
        }
    }

    #[test]
    fn a_library_that_is_not_there_is_asked_for() {
        let error = library(&[PathBuf::from("/nowhere/libshmfs_preload.so")]).unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("/nowhere/") && text.contains("cargo build"),
            "{text}"
        );
    }

    #[test]
    fn a_view_is_asked_for_once() {
        let mut options: Options = "view=xnu:/mnt".parse().unwrap();
        let path = add_view(Naming::of("xnu").unwrap(), &mut options);
        assert_eq!(path, Path::new("/dev/shm/.shmfs/views/xnu"));
        add_view(Naming::of("xnu-sem").unwrap(), &mut options);
        add_view(Naming::of("xnu-sem").unwrap(), &mut options);
        assert_eq!(options.views.len(), 2);
    }
}
