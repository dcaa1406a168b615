//! stress-ng's stressors of files and shared memory, each with `--verify` and a
//! bounded number of operations.

use crate::support::{Case, Outcome, Site, check, need};

/// Stressor and operations of each of its two instances. Those that tmpfs cannot
/// do (quota, swap, block devices…) or that do not touch the mount are not here.
const STRESSORS: [(&str, u32); 0] = [];

pub(crate) fn cases() -> Vec<Case> {
    vec![]
}
