//! Programs that carry a whole tree: modes, times, ACLs, xattrs, links, holes.

use crate::support::{Case, Outcome, Site, check, need};

/// Owners, `trusted.*` and device nodes are root's.
const OWNERS: &str = "the tree has several owners, trusted.* and device nodes";

pub(crate) fn cases() -> Vec<Case> {
    vec![
        Case::root("acl::setfacl_and_getfacl", OWNERS, acls),
        Case::root("archives::tar", OWNERS, |site| round_trip(site, "tar")),
        Case::root("archives::rsync", OWNERS, |site| round_trip(site, "rsync")),
        Case::root("archives::cp", OWNERS, |site| round_trip(site, "cp")),
    ]
}

fn acls(site: &Site) -> Outcome {
    need("setfacl", "acl")?;
    check(&mut site.bash("acls.sh")).map(|_| ())
}

fn round_trip(site: &Site, tool: &str) -> Outcome {
    need("setfacl", "acl")?;
    need("setfattr", "attr")?;
    need(tool, tool)?;
    check(site.bash("round_trip.sh").arg(tool)).map(|_| ())
}
