//! `shmfs name reverse`.

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::output::{self, JsonBytes};
use super::{NO, Outcome, parse_scheme};
use crate::error::{Error, ExitCode, Result};
use crate::view::{self, Directory, Reversal, Scheme};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The scheme that made the path
    #[arg(long, value_name = "KEY", value_parser = parse_scheme)]
    scheme: &'static Scheme,
    /// Try the names in FILE, one a line: what a digest needs
    #[arg(long, value_name = "FILE")]
    names: Vec<PathBuf>,
    /// Try the names of the objects in DIR, a mount
    #[arg(long, value_name = "DIR")]
    mount: Vec<PathBuf>,
    /// Print one JSON array
    #[arg(long)]
    json: bool,
    /// Paths, or file names in the scheme's directory; of a platform that keeps names in its kernel,
    /// file names in its view, or keys that hold a slash
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<OsString>,
}

/// What was found for one path.
struct Found {
    names: Vec<Vec<u8>>,
    remark: &'static str,
}

pub(super) fn run(args: Args, out: &mut dyn Write) -> Outcome {
    let candidates = Candidates::read(&args)?;
    let found: Vec<(&[u8], Found)> = args
        .paths
        .iter()
        .map(|path| {
            (
                path.as_bytes(),
                candidates.find(args.scheme, path.as_bytes()),
            )
        })
        .collect();
    if args.json {
        let rows: Vec<Row> = found
            .iter()
            .map(|(path, found)| Row::new(args.scheme, path, found))
            .collect();
        output::json(out, &rows)?;
    } else {
        let rows: Vec<[Cow<'_, str>; 2]> = found
            .iter()
            .flat_map(|(path, found)| {
                let names = found.names.iter().map(|name| output::show(name));
                let remark = found.names.is_empty().then(|| found.remark.into());
                names.chain(remark).map(|text| [output::show(path), text])
            })
            .collect();
        output::table(out, 0, &rows)?;
    }
    Ok(if found.iter().any(|(_, found)| found.names.is_empty()) {
        NO
    } else {
        ExitCode::Success
    })
}

/// The names to try.
struct Candidates(Vec<Vec<u8>>);

impl Candidates {
    fn read(args: &Args) -> Result<Candidates> {
        let mut names = Vec::new();
        for file in &args.names {
            let text = fs::read(file).map_err(|cause| Error::path("read", file, cause))?;
            names.extend(
                text.split(|&byte| byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .filter(|name| !name.is_empty()),
            );
        }
        for directory in &args.mount {
            names.extend(objects(directory)?);
        }
        Ok(Candidates(names))
    }

    fn find(&self, scheme: &Scheme, path: &[u8]) -> Found {
        let path = full_path(scheme, path);
        match scheme.reverse(&path) {
            Reversal::Name(name) => Found {
                names: vec![name],
                remark: "",
            },
            Reversal::NotAnObject => Found {
                names: Vec::new(),
                remark: "(no name leads there)",
            },
            Reversal::Digest => {
                let mut names: Vec<_> = self
                    .0
                    .iter()
                    .filter(|name| scheme.leads_to(name, &path))
                    .cloned()
                    .collect();
                names.sort_unstable();
                names.dedup();
                let remark = if self.0.is_empty() {
                    "(a digest: give --names or --mount)"
                } else {
                    "(none of the names given)"
                };
                Found { names, remark }
            }
        }
    }
}

/// The names that the objects in a tree answer to: `/name`, `name`, and the semaphores among them.
fn objects(directory: &Path) -> Result<Vec<Vec<u8>>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(directory).map_err(|cause| Error::path("list", directory, cause))? {
        let entry = entry.map_err(|cause| Error::path("list", directory, cause))?;
        let stored = entry.file_name().into_vec();
        let semaphore = stored.strip_prefix(b"sem.").map(<[u8]>::to_vec);
        for body in std::iter::once(stored).chain(semaphore) {
            names.push([b"/".as_slice(), &body].concat());
            names.push(body);
        }
    }
    Ok(names)
}

/// The path as the platform would have it: a bare file name is one in the scheme's directory.
fn full_path<'a>(scheme: &Scheme, path: &'a [u8]) -> Cow<'a, [u8]> {
    match scheme.directory {
        Directory::Path(directory)
            if !path.contains(&b'/') && !path.starts_with(directory.as_bytes()) =>
        {
            Cow::Owned([directory.as_bytes(), path].concat())
        }
        Directory::Path(_) => Cow::Borrowed(path),
        Directory::Kernel if path.contains(&b'/') => Cow::Owned(view::encode_key(path)),
        Directory::Kernel => Cow::Borrowed(path),
    }
}

#[derive(Serialize)]
struct Row {
    scheme: &'static str,
    path: JsonBytes,
    names: Vec<JsonBytes>,
}

impl Row {
    fn new(scheme: &Scheme, path: &[u8], found: &Found) -> Row {
        let names = found
            .names
            .iter()
            .map(|name| JsonBytes::new(name))
            .collect();
        Row {
            scheme: scheme.key,
            path: JsonBytes::new(path),
            names,
        }
    }
}
