//! The suites of the crates `pjdfstest` and `fsx`, on tmpfs and on shmfs.
//!
//! They are programs, not libraries: `cargo install` builds them once, at fixed
//! versions, under `target/conformance`.

mod fsx;
mod pjdfstest;
#[path = "../support/mod.rs"]
mod support;
mod tools;

use libtest_mimic::{Failed, Trial};
use support::{Case, Suite};

fn main() {
    let expectations = Trial::test("expected_failures::each_has_a_reason", || {
        pjdfstest::expected_failures()
            .map(|_| ())
            .map_err(Failed::from)
    });
    let needs_users = "pjdfstest acts as several users, and a user namespace has one";
    Suite {
        cases: vec![
            Case::root("pjdfstest::all", needs_users, pjdfstest::all),
            Case::root("pjdfstest::erofs", needs_users, pjdfstest::erofs),
            Case::new("fsx::mapped_and_unmapped", fsx::mapped_and_unmapped),
            Case::new("fsx::without_msync", fsx::without_msync),
        ],
        extra: vec![expectations],
    }
    .main()
}
