//! How a program is started under a personality: for `shmfs run --as`.
//!
//! Pure: what is in the environment goes in, what must be set comes out; where files are is asked by
//! the caller.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The library's file name.
pub(super) const LIBRARY: &str = "libshmfs_preload.so";

/// What `--as` was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Start<'a> {
    /// The key of a scheme of shared memory.
    pub(super) key: &'a str,
    /// The directory that shows that scheme.
    pub(super) view: &'a Path,
    /// The directory that shows the platform's semaphores, unless it is the same.
    pub(super) sem_view: Option<&'a Path>,
    /// `--lenient`.
    pub(super) lenient: bool,
    /// `--trace`.
    pub(super) trace: bool,
}

/// Where the library may be, the likeliest first, seen from the program's own path: next to it
/// (`target/{debug,release}` is such a place), then where an installation puts it.
pub(super) fn candidates(program: &Path) -> Vec<PathBuf> {
    let Some(directory) = program.parent() else {
        return Vec::new();
    };
    let mut found = vec![directory.join(LIBRARY)];
    // A test runs from target/debug/deps, and cargo may have built the library only there.
    found.push(directory.join("deps").join(LIBRARY));
    if let Some(prefix) = directory.parent() {
        found.push(prefix.join("lib/shmfs").join(LIBRARY));
        found.push(prefix.join("lib64/shmfs").join(LIBRARY));
    }
    found
}

/// Whether ld.so can be told of this path: LD_PRELOAD is divided at spaces and colons.
pub(super) fn can_be_preloaded(library: &Path) -> bool {
    let divides = |byte: &u8| matches!(byte, b' ' | b':' | b'\t' | b'\n');
    library.is_absolute() && !library.as_os_str().as_bytes().iter().any(divides)
}

/// The environment of the command: what to set, or (`None`) to remove.
///
/// `preload` is LD_PRELOAD as it is now. Ours comes first, and an older one of ours is taken out: the
/// innermost `--as` holds.
pub(super) fn environment(
    start: &Start<'_>,
    library: &Path,
    preload: Option<&OsStr>,
) -> Vec<(&'static str, Option<OsString>)> {
    let flag = |set: bool| set.then(|| OsString::from("1"));
    vec![
        ("LD_PRELOAD", Some(preload_list(library, preload))),
        ("SHMFS_AS", Some(start.key.into())),
        ("SHMFS_VIEW", Some(start.view.into())),
        ("SHMFS_VIEW_SEM", start.sem_view.map(OsString::from)),
        ("SHMFS_LENIENT", flag(start.lenient)),
        ("SHMFS_TRACE", flag(start.trace)),
    ]
}

fn preload_list(library: &Path, preload: Option<&OsStr>) -> OsString {
    let mut list = library.as_os_str().as_bytes().to_vec();
    let others = preload
        .unwrap_or_default()
        .as_bytes()
        .split(|byte| matches!(byte, b' ' | b':'))
        .filter(|entry| !entry.is_empty() && !entry.ends_with(LIBRARY.as_bytes()));
    for other in others {
        list.push(b':');
        list.extend_from_slice(other);
    }
    OsString::from_vec(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_next_to_the_program_or_installed() {
        let found = candidates(Path::new("/usr/bin/shmfs"));
        assert_eq!(found[0], Path::new("/usr/bin/libshmfs_preload.so"));
        assert!(found.contains(&PathBuf::from("/usr/lib/shmfs/libshmfs_preload.so")));
    }

    #[test]
    fn other_libraries_stay_and_an_older_one_of_ours_goes() {
        let before = OsString::from("/a.so /old/libshmfs_preload.so:/b.so");
        let list = preload_list(Path::new("/n/libshmfs_preload.so"), Some(&before));
        assert_eq!(list, "/n/libshmfs_preload.so:/a.so:/b.so");
    }

    #[test]
    fn a_path_with_a_space_cannot_be_preloaded() {
        assert!(can_be_preloaded(Path::new("/x/libshmfs_preload.so")));
        assert!(!can_be_preloaded(Path::new("/x y/libshmfs_preload.so")));
        assert!(!can_be_preloaded(Path::new("libshmfs_preload.so")));
    }
}
