//! Exports on a real mount, against a model of the rules that is written from their
//! specification (docs/EXPORTS.md) and not from the code.
//!
//! All tests share a mount namespace that nobody else sees. They need root, /dev/fuse, gcc,
//! musl-gcc (musl-tools) and python3.

#![allow(unreachable_pub)] // nothing of a test is for others

#[path = "../support/alone.rs"]
mod alone;
mod attacks;
mod calls;
mod cases;
mod consumer;
mod handles;
mod hidden;
mod leaks;
mod memory;
mod model;
mod private;
#[allow(dead_code)]
#[path = "../mounted/proc.rs"]
mod proc;
mod programs;
mod random;
mod reload;
#[allow(dead_code)]
#[path = "../mounted/rng.rs"]
mod rng;
mod rules;
#[allow(unused_imports)]
#[path = "../support/mod.rs"]
mod support;
#[allow(dead_code)]
#[path = "../mounted/sys.rs"]
mod sys;
mod table;
mod world;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed};

/// Each test by its name.
macro_rules! tests {
    ($($module:ident { $($test:ident)* })*) => {
        &[$($((
            concat!(stringify!($module), "::", stringify!($test)),
            $module::$test as fn(),
        ),)*)*]
    };
}

const TESTS: &[(&str, fn())] = tests! {
    table {
        one_name_on_a_tmpfs_as_a_user one_name_on_a_tmpfs_as_root
        two_names_on_a_tmpfs_as_a_user two_names_on_a_tmpfs_as_root
        one_name_passthrough_as_a_user one_name_passthrough_as_root
        one_name_page_cache_as_a_user one_name_page_cache_as_root
        two_names_passthrough_as_a_user two_names_passthrough_as_root
        two_names_page_cache_as_a_user two_names_page_cache_as_root
    }
    rules {
        rights_are_the_models what_is_accepted_says_what_holds real_patterns_match_real_names
        matching_is_linear
    }
    random {
        the_provider_on_a_tmpfs
        one_call_after_another_passthrough one_call_after_another_page_cache
        both_at_once_passthrough both_at_once_page_cache
    }
    cases { every_number every_load_error toml_keeps_patterns }
    memory {
        a_store_is_seen_at_once two_mappings_count_in_turns
        without_passthrough_read_sees_what_was_written_back
        what_a_writer_writes_the_provider_reads sizes_follow
        an_unlinked_object_lives_while_it_is_open an_open_object_that_is_renamed_is_the_same
        appends_follow_each_other the_log_says_that_readers_cannot_map
    }
    private {
        a_private_tree_is_a_tmpfs_of_ones_own sessions_do_not_meet a_sessions_tree_ends_with_it
        what_is_kept_is_found_again unmatched_names_are_ones_own scratch_names_are_ones_own limits
    }
    programs {
        students_and_teachers a_talker_and_a_listener a_talker_and_a_listener_with_musl
        semaphores_under_exact_rules sem_open_gives_one_address pythons_shared_memory every_real_name
    }
    reload {
        open_descriptors_and_mappings_keep_their_rights no_entry_is_stale
        rights_that_are_won_hold_at_once a_bad_file_leaves_the_old_rules
        what_cannot_change_is_refused an_export_that_is_gone_shows_nothing
        while_a_consumer_works another_file
    }
    hidden {
        listings_and_offsets offsets_do_not_count_hidden_names a_directorys_attributes
        notifications inode_numbers nothing_stale_of_visible_names
        nothing_stale_of_the_consumers_work creation_is_no_oracle
        hidden_children_keep_their_directory while_the_provider_works
    }
    leaks { hard_links statfs taken_names locks notifications }
};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !arguments.list {
        // Before there are threads: /proc/self shows the namespace of the first one.
        alone::private_namespace();
        proc::keep_panics();
    }
    let trials = TESTS
        .iter()
        .map(|&(name, test)| alone::trial(name, move || run(&test)));
    let trials = trials.chain(attacks::trials(run)).collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// A panic is a failure that says what was wrong.
fn run(test: &dyn Fn()) -> Result<(), Failed> {
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
    outcome.map_err(|_| Failed::from(proc::last_panic()))
}
