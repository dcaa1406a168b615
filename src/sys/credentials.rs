//! What a FUSE request does not carry: the caller's supplementary groups and capabilities.

use std::fs;

/// `CAP_DAC_OVERRIDE` (include/uapi/linux/capability.h).
pub const CAP_DAC_OVERRIDE: u32 = 1;
/// `CAP_FOWNER` (include/uapi/linux/capability.h).
pub const CAP_FOWNER: u32 = 3;
/// `CAP_FSETID`.
pub const CAP_FSETID: u32 = 4;
/// `CAP_SYS_ADMIN`.
pub const CAP_SYS_ADMIN: u32 = 21;

/// Groups and effective capabilities of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// One bit for each capability.
    pub capabilities: u64,
}

/// Reads them from `/proc`; `None` when the thread has gone or cannot be seen from here.
pub fn of_thread(tid: u32) -> Option<Credentials> {
    parse_status(&fs::read_to_string(format!("/proc/{tid}/status")).ok()?)
}

fn parse_status(status: &str) -> Option<Credentials> {
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name));
    let groups = field("Groups:")?
        .split_ascii_whitespace()
        .map_while(|gid| gid.parse().ok());
    let capabilities = u64::from_str_radix(field("CapEff:")?.trim(), 16).ok()?;
    Some(Credentials {
        groups: groups.collect(),
        capabilities,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups_and_capabilities() {
        let status = "Name:\tx y\nGroups:\t4 24 1000 \nCapEff:\t000001ffffffffff\n";
        let expected = Credentials {
            groups: vec![4, 24, 1000],
            capabilities: 0x1ff_ffff_ffff,
        };
        assert_eq!(parse_status(status), Some(expected));
        assert_eq!(
            parse_status("Groups:\t\nCapEff:\t0\n"),
            Some(Credentials::default())
        );
        assert_eq!(parse_status("Name:\tx\n"), None);
    }

    #[test]
    fn this_thread_has_some() {
        assert!(of_thread(std::process::id()).is_some());
        assert_eq!(of_thread(u32::MAX), None);
    }
}
