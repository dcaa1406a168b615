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
const REGRESSIONS: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/proptest-regressions/model.txt"
);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn runner() -> (TestRunner, u64) {
    let seed = number("SHMFS_SEED").unwrap_or(1);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = Config {
        cases: number("SHMFS_CASES").map_or(CASES, |cases| cases as u32),
        max_shrink_iters: 4000,
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
    let (mut runner, seed) = runner();
    let result = runner.run(&(setup(), generators::ops()), |(setup, ops)| {
        let mut harness = Harness::new(setup);
        for op in &ops {
            harness.step(op);
        }
        harness.finish();
        Ok::<(), TestCaseError>(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Abort(reason)) => panic!("SHMFS_SEED={seed}: {reason}"),
        Err(TestError::Fail(reason, (setup, ops))) => {
            let ops: Vec<String> = ops.iter().map(|op| format!("{op:?}")).collect();
            panic!("SHMFS_SEED={seed}: {reason}\n{setup:?}\n{}", ops.join("\n"));
        }
    }
}
