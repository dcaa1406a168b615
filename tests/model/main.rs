//! Random operations on `ops::Fs`, without a mount, beside a naive model: the same answers, and after each
//! operation the same tree.
//!
//! The seed is fixed; `SHMFS_SEED=7 cargo test --test model` varies it, `SHMFS_CASES` the number of runs.

#![allow(unreachable_pub)]

mod acl;
mod attributes;
mod check;
mod contents;
mod generators;
mod harness;
mod names;
mod recovery;
mod reference;
mod streams;
mod times;

use proptest::prelude::*;
use proptest::test_runner::{
    Config, FileFailurePersistence, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner,
};
use shmfs::options::Atime;

use crate::harness::{Harness, Setup};

const CASES: u32 = 150;
const CRASH_CASES: u32 = 60;
const REGRESSIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/proptest-regressions/model.txt"
);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn runner(cases: u32) -> (TestRunner, u64) {
    let seed = number("SHMFS_SEED").unwrap_or(1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: number("SHMFS_CASES").map_or(cases, |cases| cases as u32),
        max_shrink_iters: number("SHMFS_SHRINK").map_or(4000, |steps| steps as u32),
        failure_persistence: Some(Box::new(FileFailurePersistence::Direct(REGRESSIONS))),
        ..Config::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    (TestRunner::new_with_rng(config, rng), seed)
}

fn setup() -> impl Strategy<Value = Setup> {
    let atime = prop::sample::select(
        &[
            Atime::Relative,
            Atime::Relative,
            Atime::Strict,
            Atime::Never,
        ][..],
    );
    (any::<bool>(), atime, prop::bool::weighted(0.2)).prop_map(
        |(passthrough, atime, nodiratime)| Setup {
            passthrough,
            atime,
            nodiratime,
        },
    )
}

#[test]
fn operations_agree_with_the_model() {
    let (mut runner, seed) = runner(CASES);
    let result = runner.run(&(setup(), generators::ops()), |(setup, ops)| {
        let mut harness = Harness::new(setup);
        for op in &ops {
            harness.step(op);
        }
        harness.finish();
        Ok::<(), TestCaseError>(())
    });
    report(result, seed);
}

/// At random moments the process dies at a random byte of its journal; another one goes on, and the operation in
/// hand is asked for again. Only root can make a tmpfs: for others all data are in memfds.
#[test]
fn operations_survive_crashes() {
    let (mut runner, seed) = runner(CRASH_CASES);
    let ops = generators::ops().prop_flat_map(|ops| {
        let crashes = prop::collection::vec(recovery::crash(), ops.len());
        (Just(ops), crashes)
    });
    let ops = ops.prop_map(|(ops, crashes)| ops.into_iter().zip(crashes).collect::<Vec<_>>());
    let is_root = rustix::process::geteuid().is_root();
    let on_tmpfs = any::<bool>().prop_map(move |wanted| wanted && is_root);
    let result = runner.run(&(setup(), on_tmpfs, ops), |(setup, on_tmpfs, ops)| {
        let mut harness = Harness::recorded(setup, on_tmpfs);
        for (op, crash) in &ops {
            match crash {
                Some(crash) => harness.step_and_crash(op, crash),
                None => harness.step(op),
            }
        }
        harness.finish();
        Ok::<(), TestCaseError>(())
    });
    let result = result.map_err(|error| match error {
        TestError::Abort(reason) => TestError::Abort(reason),
        TestError::Fail(reason, (setup, on_tmpfs, ops)) => {
            let reason = format!("{reason} (on_tmpfs: {on_tmpfs})");
            TestError::Fail(reason.into(), (setup, ops))
        }
    });
    report(result, seed);
}

fn report<T: std::fmt::Debug>(result: Result<(), TestError<(Setup, Vec<T>)>>, seed: u64) {
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("SHMFS_SEED={seed}: {reason}"),
        Err(TestError::Fail(reason, (setup, ops))) => {
            let ops: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
            panic!("SHMFS_SEED={seed}: {reason}\n{setup:?}\n{}", ops.join("\n"));
        }
    }
}
