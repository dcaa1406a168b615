//! Random sequences of operations on a tmpfs and on shmfs: after each one the same
//! result, and the same tree in every attribute, xattr and byte.
//!
//! A failure prints its seed; `SHMFS_SEED=… cargo test --test mounted -- differential` replays it.

use std::time::{Duration, Instant};

mod op;
mod side;
mod tree;

use crate::proc::tick;
use crate::rng::{Rng, seed};
use crate::table::{Ctx, PAGE_CACHE, Target};
use op::Op;
use side::Side;
use tree::Tree;

crate::cases!["differential";
    root: random_operations, random_operations_at_the_limits;
];

const OPTIONS: &str = "size=256m,nr_inodes=10000,mode=777";
/// Few enough inodes that they run out; blocks do not, as what they cost differs by mode.
const TIGHT: &str = "size=256m,nr_inodes=24,mode=777";
const SEQUENCES: u64 = 4;
const STEPS: usize = 350;

fn random_operations(c: &Ctx<'_>) {
    run(c, OPTIONS);
}

fn random_operations_at_the_limits(c: &Ctx<'_>) {
    run(c, TIGHT);
}

fn run(c: &Ctx<'_>, options: &str) {
    let first = seed();
    for seed in first..first + SEQUENCES {
        let arbiter = c.host.extra(Target::Tmpfs, options);
        let tested = c.host.extra(c.target, options);
        compare(
            seed,
            &mut Side::new(&arbiter.dir),
            &mut Side::new(&tested.dir),
            c.target,
        );
    }
}

/// One sequence, step by step on both.
fn compare(seed: u64, arbiter: &mut Side, tested: &mut Side, target: Target) {
    let cached = PAGE_CACHE.contains(&target);
    let mut rng = Rng::new(seed);
    let mut done: Vec<Op> = Vec::new();
    let (mut old_want, mut old_got) = (Tree::read(arbiter.root()), Tree::read(tested.root()));
    for step in 0..STEPS {
        let op = Op::random(&mut rng, cached);
        done.push(op.clone());
        tick();
        let (want, got) = (arbiter.run(&op), tested.run(&op));
        let new_want = Tree::read(arbiter.root());
        // What the last close or unlink gives back comes back a moment later.
        let deadline = Instant::now() + Duration::from_secs(5);
        while new_want.free_inodes != tree::free_inodes(tested.root()) && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
        let new_got = Tree::read(tested.root());
        let story = || {
            let last: Vec<String> = done
                .iter()
                .rev()
                .take(25)
                .rev()
                .map(|op| format!("  {op:?}"))
                .collect();
            format!(
                "SHMFS_SEED={seed}, step {step}, after\n{}\n",
                last.join("\n")
            )
        };
        assert!(
            want == got,
            "{}tmpfs answered {want:?}, this one {got:?}",
            story()
        );
        let wrong = new_want.difference(&new_got, &old_want, &old_got, target.is_tmpfs());
        assert!(wrong.is_none(), "{}{}", story(), wrong.unwrap_or_default());
        (old_want, old_got) = (new_want, new_got);
    }
}
