//! Views on a real mount: one object under every platform's name, whatever happens to it where.
//!
//! Cases on a mount run twice, as `passthrough::…` and `cached::…`: both ways for data to travel.
//!
//! All tests share a mount namespace that nobody else sees. They need root, /dev/fuse, util-linux, gcc, and
//! musl-gcc (musl-tools).

#[allow(dead_code)]
#[path = "../support/alone.rs"]
mod alone;
mod objects;
mod protocols;
mod races;
mod resolver;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

/// Each function with its name.
macro_rules! named {
    ($($module:ident::$name:ident,)+) => {
        &[$((concat!(stringify!($module), "::", stringify!($name)), $module::$name)),+]
    };
}

type Case<F> = (&'static str, F);

/// Without a mount, or in the one mode that an ordinary user has.
const ONCE: &[Case<fn()>] = named![
    resolver::one_object_under_every_name,
    resolver::semaphores_are_entries_of_their_own,
    resolver::what_is_no_object_is_the_views_own,
    resolver::a_digest_is_claimed_by_looking_and_by_making,
    resolver::digests_follow_renames_and_links,
    resolver::entries_from_before_a_view_are_in_it,
    resolver::long_names_of_illumos_are_lent_to_their_directories,
    resolver::the_way_to_the_views_is_nobodys_name,
    resolver::directories_move_between_the_tree_and_a_view,
    resolver::two_names_of_one_zephyr_hash_are_both_found,
    resolver::what_was_made_meanwhile_is_opened_by_its_owner_alone,
    protocols::an_ordinary_user_binds_views_in_run,
];

/// With passthrough, and with the data in the kernel's page cache.
const IN_BOTH_MODES: &[Case<fn(&str)>] = named![
    objects::made_anywhere_it_is_one_object_everywhere,
    objects::unlinked_anywhere_it_is_gone_everywhere,
    objects::attributes_and_links_are_the_objects,
    objects::the_directory_is_one_too,
    objects::names_move_through_views,
    objects::digests_wait_for_their_names,
    objects::a_claim_keeps_memory_coherent,
    objects::a_name_has_its_digest_already,
    objects::what_the_kernel_knew_before_the_first_view_is_asked_again,
    objects::directories_are_seen_in_every_view_at_once,
    objects::memory_is_free_when_the_last_name_goes,
    objects::the_way_to_the_views,
    protocols::glibcs_sem_open,
    protocols::musls_sem_open,
    protocols::a_view_bound_at_dev_shm_is_what_the_command_sees,
    protocols::a_bound_view_is_the_tree_and_ends_with_it,
    protocols::a_remount_binds_views_that_are_there,
    protocols::illumoss_locks_and_hash_directories,
    protocols::other_semaphores_are_files_that_grow_and_change_modes,
    races::a_race_of_two_views_opens_nothing_that_is_forbidden,
    races::after_a_stress_every_view_lists_the_same,
];

fn main() -> ExitCode {
    if races::play_part() {
        return ExitCode::SUCCESS;
    }
    let arguments = Arguments::from_args();
    if !arguments.list {
        // Before there are threads: /proc/self shows the namespace of the first one.
        alone::private_namespace();
    }
    let once = ONCE.iter().map(|&(name, test)| {
        alone::trial(name, move || {
            test();
            Ok(())
        })
    });
    let mut trials: Vec<Trial> = once.collect();
    for (mode, option) in world::MODES {
        trials.extend(IN_BOTH_MODES.iter().map(|&(name, test)| {
            alone::trial(format!("{mode}::{name}"), move || {
                test(option);
                Ok(())
            })
        }));
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}
