//! A worker that is killed while programs work: no program may notice, nothing may be lost.
//!
//! The load is several processes of mixed operations, each result and each byte of which is compared with a
//! model ([`load`]). It runs on tmpfs too, where nothing is killed: so the model is right. On shmfs the
//! process that serves gets SIGKILL at random moments ([`kills`]).
//!
//! ```text
//! cargo test --test recovery                                    a bounded number of kills
//! SHMFS_KILLS=1000 cargo test --release --test recovery ::kills a thousand, some minutes
//! SHMFS_UPGRADES=100 cargo test --test recovery upgrades       as many upgrades instead of kills
//! SHMFS_KILLS=60 cargo test --test recovery postgresql          PostgreSQL for a minute
//! ```

mod crash_points;
mod kills;
mod leftovers;
mod load;
mod pauses;
mod postgresql;
#[path = "../mounted/rng.rs"]
mod rng;
#[path = "../support/mod.rs"]
mod support;

use std::ffi::OsString;

use support::Suite;

fn main() {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    if args.first().is_some_and(|arg| arg == load::LOAD) {
        load::main(&args[1..]);
    }
    crash_points::prepare(&args);
    Suite {
        cases: [kills::cases(), crash_points::cases(), postgresql::cases()].concat(),
        extra: Vec::new(),
    }
    .main()
}
