//! Real programs on tmpfs and on shmfs: what works there must work here.
//!
//! `/dev/shm` is the file system under test, in a namespace of the test's own.

mod archives;
mod databases;
mod shared_memory;
mod stress;
#[path = "../support/mod.rs"]
mod support;
mod tools;
mod under_run;

use support::Suite;

fn main() {
    let mut cases = Vec::new();
    cases.extend(shared_memory::cases());
    cases.extend(archives::cases());
    cases.extend(tools::cases());
    cases.extend(databases::cases());
    cases.extend(stress::cases());
    Suite {
        cases,
        extra: under_run::trials(),
    }
    .main()
}
