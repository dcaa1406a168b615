//! A platform's directory as a view of the tree: which file is which entry.
//!
//! The tree's entries have the names of glibc's `/dev/shm`: shared memory `/foo` is `foo`, a semaphore
//! `/foo` is `sem.foo`. A [`Naming`] is all schemes of one platform whose files share a directory; what is
//! neither shared memory nor a semaphore there, or has a name that the tree has no entry for, is the view's
//! own.

use super::file_system::NAME_MAX;
use super::scheme::{Directory, Kind, NameOp, Place, Reversal, Reversible, Scheme};
use super::{SCHEMES, concat, find};
use crate::types::{Meaning, Names, RESERVED};

const SEMAPHORE: &[u8] = b"sem.";

/// The names of one platform's directory.
#[derive(Clone, Copy, Debug)]
pub struct Naming {
    key: &'static str,
    directory: Directory,
    shared_memory: Option<&'static Scheme>,
    semaphores: Option<&'static Scheme>,
}

/// Why a key names no view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoView {
    /// There is no such scheme.
    Unknown,
    /// Its files are in the view of this other scheme.
    PartOf(&'static str),
}

impl Naming {
    /// The view called `key`: of a scheme and what else its platform keeps in the same directory.
    pub fn of(key: &str) -> Result<Naming, NoView> {
        let scheme = find(key).ok_or(NoView::Unknown)?;
        let mut members = SCHEMES.iter().copied().filter(|other| {
            std::ptr::eq(*other, scheme) || (in_files(scheme) && shares_directory(scheme, other))
        });
        let first = members.clone().next().unwrap_or(scheme);
        if !std::ptr::eq(first, scheme) {
            return Err(NoView::PartOf(first.key));
        }
        let shared_memory = members
            .clone()
            .find(|member| member.kind == Kind::SharedMemory);
        let semaphores = members.find(|member| member.kind == Kind::Semaphore);
        Ok(Naming {
            key: scheme.key,
            directory: scheme.directory,
            shared_memory,
            semaphores: semaphores.filter(|semaphores| {
                // musl's semaphores are the shared memory of the same name.
                let place = |scheme: &Scheme| scheme.translate(NameOp::Open, b"/x");
                shared_memory.is_none_or(|shm| place(shm) != place(semaphores))
            }),
        })
    }

    /// Each scheme that tells an object by its file, shared memory first.
    fn schemes(&self) -> impl Iterator<Item = &'static Scheme> {
        self.shared_memory.into_iter().chain(self.semaphores)
    }

    fn full_path(&self, path: &[u8]) -> Vec<u8> {
        match self.directory {
            Directory::Path(directory) => concat(directory.as_bytes(), path),
            Directory::Kernel => path.to_vec(),
        }
    }

    /// The path of the entry as an object of `scheme`, if the platform leads there and back.
    fn path_by(&self, scheme: &Scheme, entry: &[u8]) -> Option<Vec<u8>> {
        let body = match scheme.kind {
            Kind::SharedMemory => entry,
            Kind::Semaphore => entry.strip_prefix(SEMAPHORE)?,
            Kind::MessageQueue | Kind::LockFile => return None,
        };
        let name = concat(b"/", body);
        if entry_of(scheme.kind, &name)? != entry {
            return None;
        }
        let path = scheme.view_path(&scheme.object(&name).ok()?).ok()?;
        match scheme.reverse(&self.full_path(&path)) {
            Reversal::Name(back) => (back == name).then_some(path),
            Reversal::Digest => Some(path),
            Reversal::NotAnObject => None,
        }
    }
}

impl Names for Naming {
    fn key(&self) -> &'static str {
        self.key
    }

    fn meaning(&self, path: &[u8]) -> Meaning {
        let full = self.full_path(path);
        for scheme in self.schemes() {
            match scheme.reverse(&full) {
                Reversal::Name(name) => {
                    // Only the one spelling that a walk leaves is an entry: `a//b` never comes here.
                    if let Some(entry) = entry_of(scheme.kind, &name) {
                        return Meaning::Entry(entry);
                    }
                }
                Reversal::Digest => return Meaning::Digest,
                Reversal::NotAnObject => {}
            }
        }
        Meaning::Own
    }

    /// A semaphore's entry is shown as a semaphore where there are any.
    fn path(&self, entry: &[u8]) -> Option<Vec<u8>> {
        let mut schemes = [self.semaphores, self.shared_memory].into_iter().flatten();
        schemes.find_map(|scheme| self.path_by(scheme, entry))
    }

    fn paths(&self, entry: &[u8]) -> Vec<Vec<u8>> {
        let mut paths: Vec<Vec<u8>> = self
            .schemes()
            .filter_map(|scheme| self.path_by(scheme, entry))
            .collect();
        paths.dedup();
        paths
    }

    fn has_digests(&self) -> bool {
        let digests = |scheme: &Scheme| {
            scheme.reversible == Reversible::Digest || scheme.directory == Directory::Kernel
        };
        self.schemes().any(digests)
    }

    fn nests(&self) -> bool {
        // The longest body that an entry can have tells.
        let longest = concat(b"/", &[b'x'; NAME_MAX]);
        self.schemes().any(|scheme| {
            matches!(scheme.object(&longest), Ok(place @ Place::Path(_))
                if scheme.view_path(&place).is_ok_and(|path| path.contains(&b'/')))
        })
    }
}

/// The tree's entry for the object of this name; `None` where it has none.
fn entry_of(kind: Kind, name: &[u8]) -> Option<Vec<u8>> {
    let body = name
        .strip_prefix(b"/")
        .filter(|body| !body.is_empty() && !body.contains(&b'/'))?;
    let entry = match kind {
        Kind::SharedMemory => body.to_vec(),
        Kind::Semaphore => concat(SEMAPHORE, body),
        Kind::MessageQueue | Kind::LockFile => return None,
    };
    let possible = entry.len() <= NAME_MAX && !matches!(&*entry, b"." | b"..") && entry != RESERVED;
    possible.then_some(entry)
}

/// Objects that a kernel keeps are in a table for each kind.
fn in_files(scheme: &Scheme) -> bool {
    matches!(scheme.directory, Directory::Path(_))
}

fn shares_directory(one: &Scheme, other: &Scheme) -> bool {
    one.platform == other.platform && one.directory == other.directory
}

#[cfg(test)]
#[path = "naming_tests.rs"]
mod tests;
