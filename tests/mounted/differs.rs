//! Where shmfs differs from tmpfs, each with what forces it: the source of the
//! exceptions in docs/SEMANTICS.md. A listed case asserts the different result.

use libtest_mimic::Failed;

#[allow(unused_imports)]
use crate::table::{Case, Differs, PAGE_CACHE, SHMFS, Target};

/// The whole list.
pub const DIFFERS: &[Differs] = &[];

/// The entry for a case on a target.
pub fn find(case: &Case, target: Target) -> Option<&'static Differs> {
    let name = format!("{}::{}", case.group, case.name);
    DIFFERS.iter().find(|d| d.case == name && d.targets.contains(&target))
}

/// Every entry names a case that exists, once, and says why and what.
pub fn check() -> Result<(), Failed> {
    for differs in DIFFERS {
        let named = crate::cases::all().filter(|c| format!("{}::{}", c.group, c.name) == differs.case);
        if named.count() != 1 {
            return Err(format!("{} is no case, or more than one", differs.case).into());
        }
        if differs.why.is_empty() || differs.expect.is_empty() || differs.targets.iter().any(|t| t.is_tmpfs()) {
            return Err(format!("{}: say why and what, and never of tmpfs", differs.case).into());
        }
    }
    Ok(())
}
