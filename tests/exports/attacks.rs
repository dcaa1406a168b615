//! An attacker: root (without CAP_SYS_ADMIN and CAP_SYS_PTRACE) and then an ordinary user, in a
//! mount namespace where nothing of the mount is but the export, tries to write what the
//! export lets it read, to read what it lets it write, and to see what it hides.
//!
//! Each attempt is a test; after each all that was guarded is what it was.

mod descriptors;
mod escapes;
mod locks;
mod mappings;
mod names;
mod races;
mod uring;

use std::collections::BTreeMap;
use std::path::Path;

use libtest_mimic::Trial;

use crate::consumer::imprison;
use crate::model::{Rights, Rules, Way, Who};
use crate::sys::{self, Stat};
use crate::world::{USER, WAYS, World};

/// What every attack finds.
pub(crate) struct Cell {
    world: World,
    before: BTreeMap<&'static str, Print>,
}

/// All that identifies an object's state.
#[derive(Debug, PartialEq, Eq, Clone)]
struct Print {
    stat: Stat,
    contents: Vec<u8>,
    xattrs: Vec<String>,
}

/// Objects of the provider; what the attacker may do is said by the name.
const OBJECTS: [&str; 9] = [
    "ro", "rw", "wo", "del", "secret", "d/ro", "d/rw", "d/secret", "mr/x",
];

/// What no attack may change; `rw` and `wo` may be written, `del` may be removed.
const GUARDED: [&str; 5] = ["ro", "secret", "d/ro", "d/secret", "mr/x"];

/// Every object is this long.
const LENGTH: usize = 8192;

/// What is in a secret: an attacker that reads it has won.
const SECRET: u8 = b'S';

/// What is in objects that may be read.
const PUBLIC: u8 = b'P';

/// `ro*` read, `rw*` all, `wo*` write, `del*` read and delete; directories `d`, `mr*` (its
/// children read only) and `mw*` (its children all).
fn rules() -> Rules {
    let (read, write, delete) = (Rights::READ, Rights::WRITE, Rights::DELETE);
    Rules::default()
        .grant("ro*", read)
        .grant("rw*", Rights::ALL)
        .grant("wo*", write)
        .grant("del*", read.and(delete))
        .grant("d/", Rights::ALL)
        .grant("d/ro*", read)
        .grant("d/rw*", Rights::ALL)
        .grant("mr*/", Rights::ALL)
        .grant("mr*/*", read)
        .grant("mw*/", Rights::ALL)
        .grant("mw*/*", Rights::ALL)
}

impl Cell {
    fn new(way: Way) -> Cell {
        let world = World::new(way, &rules().toml("cell"));
        for name in ["d", "mr"] {
            sys::mkdir(world.path(name), 0o777).unwrap();
            sys::chmod(world.path(name), 0o777).unwrap();
            sys::chown(world.path(name), USER, USER).unwrap();
        }
        let mut cell = Cell {
            world,
            before: BTreeMap::new(),
        };
        OBJECTS.into_iter().for_each(|name| cell.provide(name));
        cell.before = cell.prints();
        cell
    }

    /// Makes an object; modes, owner and sticky bit would let the attacker do anything.
    fn provide(&self, name: &str) {
        let path = self.world.path(name);
        let byte = match name.contains("secret") || name.contains("wo") {
            true => SECRET,
            false => PUBLIC,
        };
        drop(sys::put(&path, &[byte; LENGTH]));
        sys::chmod(&path, 0o666).unwrap();
        sys::chown(&path, USER, USER).unwrap();
        sys::setxattr(&path, "user.k", b"v", 0).unwrap();
    }

    fn prints(&self) -> BTreeMap<&'static str, Print> {
        let print = |name: &'static str| (name, self.print(name));
        GUARDED.into_iter().map(print).collect()
    }

    fn print(&self, name: &str) -> Print {
        let path = self.world.path(name);
        let mut stat = sys::stat(&path).unwrap_or_else(|errno| panic!("{name} is gone: {errno:?}"));
        stat.atime = (0, 0);
        Print {
            stat,
            contents: sys::slurp(&path),
            xattrs: sys::listxattr(&path),
        }
    }

    /// Fails if anything that was guarded is not what it was.
    #[track_caller]
    fn check(&self) {
        for (name, before) in &self.before {
            let after = self.print(name);
            assert_eq!(after.stat, before.stat, "{name}: attributes were changed");
            assert_eq!(after.xattrs, before.xattrs, "{name}: xattrs were changed");
            assert!(
                after.contents == before.contents,
                "{name}: contents were changed"
            );
        }
    }

    /// What was done lawfully is from now on what it was.
    fn remember(&mut self) {
        self.before = self.prints();
    }

    /// Runs the attempt as root and as a user, and looks what it did.
    #[track_caller]
    fn attack(&self, attempt: impl Fn(&Path)) {
        for who in [Who::Root, Who::User] {
            self.attack_as(who, &attempt);
        }
    }

    #[track_caller]
    fn attack_as(&self, who: Who, attempt: impl Fn(&Path)) {
        imprison(&self.world, "cell", who, |jail| attempt(jail));
        self.check();
    }
}

/// Fails if any byte of this is of a secret.
#[track_caller]
fn no_secret(bytes: &[u8]) {
    assert!(!bytes.contains(&SECRET), "a secret was read");
}

/// An attempt with its name.
type Attempt = (&'static str, fn(&mut Cell));

macro_rules! attempts {
    ($($module:ident { $($test:ident)* })*) => {
        &[$($((
            concat!("attacks::", stringify!($module), "::", stringify!($test)),
            $module::$test as fn(&mut Cell),
        ),)*)*]
    };
}

const ATTEMPTS: &[Attempt] = attempts! {
    descriptors {
        write_calls shrinking_and_growing copies_into_it reopening_by_proc
        reopening_a_path_descriptor changed_flags
        attributes_by_descriptor inode_flags seals leases_and_signals truncation_by_open
        creation_flags_on_what_is_there chmod_and_then_open acl_and_then_open io_uring
        a_write_only_descriptor_reads_nothing a_write_only_object_is_not_reopened_readable
        pipes_hold_copies extents_and_holes
    }
    mappings {
        writable_mappings mprotect_afterwards madvise_remove memory_of_the_process
        reading_into_a_mapping private_mappings_stay_private reopening_by_map_files
    }
    names {
        renames_to_a_wider_name renames_over_what_may_be_read exchanges links_to_a_wider_name
        links_of_a_descriptor links_over_what_may_be_read a_providers_link_under_two_names
        a_rename_between_two_names_of_one_object a_secret_under_a_readable_name
        moving_a_directory_widens_nothing exchanging_directories_widens_nothing
        moving_out_of_a_readable_directory special_files whiteouts unnamed_files_linked
        removal_and_creation_again the_way_to_the_views names_that_are_not_clean
        a_directory_moved_into_the_dark case_and_bytes
    }
    escapes {
        dots_above_the_bind dots_by_descriptors handles_as_they_are_given
        handles_with_another_generation handles_with_another_number handles_of_the_tree
        the_root_node_by_handle connectable_handles other_processes_roots
        other_processes_descriptors mounts user_namespaces
    }
    locks {
        flock_of_a_reader_does_not_block record_locks_of_a_reader_do_not_block
        leases_of_a_reader_do_not_block a_reader_does_not_see_the_providers_locks
    }
    races {
        opening_while_names_are_exchanged opening_while_directories_are_exchanged
        creating_what_is_made_meanwhile looking_while_secrets_come_and_go
        linking_while_names_change
    }
};

/// Each attempt, in each way for data to travel.
pub(crate) fn trials(run: fn(&dyn Fn()) -> Result<(), libtest_mimic::Failed>) -> Vec<Trial> {
    let trial = |way: Way, (name, attempt): Attempt| {
        let name = format!("{name}::{way:?}").to_lowercase();
        crate::alone::trial(name, move || {
            run(&|| {
                let mut cell = Cell::new(way);
                attempt(&mut cell);
                cell.check();
                cell.world.stop();
            })
        })
    };
    let each = |way: Way| ATTEMPTS.iter().map(move |attempt| trial(way, *attempt));
    WAYS.into_iter().flat_map(each).collect()
}
