//! A platform beside one of its schemes: its shared memory, and where its semaphores are.

use super::scheme::{Directory, Kind, Scheme};
use super::{Naming, NoView, SCHEMES, find};

/// The shared memory of the platform, whichever of its schemes is named.
pub fn shared_memory(key: &str) -> Option<&'static Scheme> {
    let platform = find(key)?.platform;
    find(platform).filter(|scheme| scheme.kind == Kind::SharedMemory)
}

/// The semaphores of the platform with this shared memory; an older age without rules of its own has
/// those of its successor.
pub fn semaphores(shared_memory: &Scheme) -> Option<&'static Scheme> {
    let key = match shared_memory.key {
        "xnu-old" => "xnu-sem",
        "dragonfly-old" => "dragonfly-sem",
        "illumos-be" => "illumos-sem",
        _ => match shared_memory.semaphores {
            Some(key) => key,
            None => return of_platform(shared_memory.platform),
        },
    };
    find(key)
}

fn of_platform(platform: &str) -> Option<&'static Scheme> {
    SCHEMES.iter().copied().find(|scheme| {
        scheme.kind == Kind::Semaphore && scheme.platform == platform && scheme.companion.is_none()
    })
}

/// Whether the two are files of one directory.
pub fn together(one: &Scheme, other: &Scheme) -> bool {
    one.directory == other.directory && one.directory != Directory::Kernel
}

/// The view that has the objects of this scheme.
pub fn view_of(scheme: &Scheme) -> Option<Naming> {
    match Naming::of(scheme.key) {
        Ok(naming) => Some(naming),
        Err(NoView::PartOf(first)) => Naming::of(first).ok(),
        Err(NoView::Unknown) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::Names;

    #[test]
    fn every_platform_has_a_view_of_its_shared_memory() {
        for scheme in SCHEMES {
            let Some(memory) = shared_memory(scheme.key) else {
                assert_eq!(scheme.key, "linux-mq");
                continue;
            };
            let naming = view_of(memory).unwrap();
            assert_eq!(naming.key(), memory.key, "{}", scheme.key);
        }
    }

    #[test]
    fn semaphores_are_in_the_same_view_or_in_one_of_their_own() {
        for (key, view) in [
            ("glibc", Some("glibc")),
            ("glibc-2.19", Some("glibc-2.18")),
            ("musl", Some("musl")),
            ("illumos", Some("illumos")),
            ("illumos-be", Some("illumos")),
            ("freebsd", Some("freebsd-sem")),
            ("haiku", Some("haiku-sem")),
            ("xnu", Some("xnu-sem")),
            ("xnu-old", Some("xnu-sem")),
            ("dragonfly-old", Some("dragonfly-sem")),
            ("zephyr", None),
        ] {
            let semaphores = semaphores(find(key).unwrap());
            let naming = semaphores.map(|scheme| view_of(scheme).unwrap());
            assert_eq!(naming.map(|naming| naming.key()), view, "{key}");
        }
    }
}
