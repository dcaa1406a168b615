//! What a FUSE request does not carry: the caller's supplementary groups and capabilities.

use std::fs;
use std::sync::OnceLock;

/// `CAP_DAC_OVERRIDE` (include/uapi/linux/capability.h).
pub const CAP_DAC_OVERRIDE: u32 = 1;
/// `CAP_FOWNER` (include/uapi/linux/capability.h).
pub const CAP_FOWNER: u32 = 3;
/// `CAP_FSETID`.
pub const CAP_FSETID: u32 = 4;
/// `CAP_SYS_ADMIN`.
pub const CAP_SYS_ADMIN: u32 = 21;
/// `CAP_SYS_RESOURCE`.
pub const CAP_SYS_RESOURCE: u32 = 24;

/// Groups and effective capabilities of one thread.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// One bit for each capability, in the thread's own user namespace.
    pub capabilities: u64,
    /// The users that this namespace has.
    pub uids: IdMap,
    /// And its groups.
    pub gids: IdMap,
    /// It is another namespace than the initial one.
    pub contained: bool,
}

/// The ids of a user namespace, as we call them: first and last of each range.
///
/// The default has all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdMap(Vec<(u32, u32)>);

impl Default for IdMap {
    fn default() -> IdMap {
        IdMap(vec![(0, u32::MAX)])
    }
}

impl IdMap {
    /// Whether `id` is one of them.
    pub fn has(&self, id: u32) -> bool {
        self.0
            .iter()
            .any(|&(first, last)| (first..=last).contains(&id))
    }

    /// Reads `/proc/PID/uid_map`; `None` where it is none.
    pub fn parse(map: &str) -> Option<IdMap> {
        let range = |line: &str| {
            let mut numbers = line
                .split_ascii_whitespace()
                .map(|number| number.parse::<u32>().ok());
            let _inside = numbers.next()??;
            let (outside, count) = (numbers.next()??, numbers.next()??);
            Some((outside, outside.checked_add(count)?.checked_sub(1)?))
        };
        map.lines().map(range).collect::<Option<_>>().map(IdMap)
    }
}

/// Reads them from `/proc`; `None` when the thread has gone or cannot be seen from here.
pub fn of_thread(tid: u32) -> Option<Credentials> {
    let read = |file: &str| fs::read_to_string(format!("/proc/{tid}/{file}")).ok();
    let credentials = parse_status(&read("status")?)?;
    if credentials.capabilities == 0 {
        return Some(credentials);
    }
    let (uids, gids) = (read("uid_map")?, read("gid_map")?);
    let own = OWN_MAPS.get_or_init(|| ["uid_map", "gid_map"].map(own_map));
    // In our own namespace a map tells what ids are called outside of it, of which no request speaks.
    let ids = |map: &str, own: &str| match map == own {
        true => Some(IdMap::default()),
        false => IdMap::parse(map),
    };
    Some(Credentials {
        uids: ids(&uids, &own[0])?,
        gids: ids(&gids, &own[1])?,
        contained: !is_initial(&uids),
        ..credentials
    })
}

static OWN_MAPS: OnceLock<[String; 2]> = OnceLock::new();

fn own_map(file: &str) -> String {
    fs::read_to_string(format!("/proc/self/{file}")).unwrap_or_default()
}

/// Only the initial namespace has all ids, but for the one that is none.
fn is_initial(map: &str) -> bool {
    map.split_ascii_whitespace().eq(["0", "0", "4294967295"])
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
        ..Credentials::default()
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
            ..Credentials::default()
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

    #[test]
    fn ids_of_a_namespace() {
        let all = "         0          0 4294967295\n";
        assert!(is_initial(all) && IdMap::parse(all).unwrap().has(1000));
        let some = IdMap::parse("0 1000 1\n1 100000 65536\n").unwrap();
        assert!(!is_initial("0 1000 1\n") && !some.has(0) && some.has(1000) && !some.has(1001));
        assert!(some.has(165_535) && !some.has(165_536));
        // Nothing is mapped yet.
        assert!(!IdMap::parse("").unwrap().has(1000));
        assert_eq!(IdMap::parse("0 1"), None);
    }
}
