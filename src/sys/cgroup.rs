//! The control group that this process's memory is counted in, of either version (cgroups(7)).

use std::fs;
use std::path::{Path, PathBuf};

/// The directory of a memory cgroup.
#[derive(Debug)]
pub struct Memory {
    directory: PathBuf,
    /// Where the hierarchy begins.
    top: PathBuf,
    files: &'static Files,
}

/// What the files are called.
#[derive(Debug)]
struct Files {
    limit: &'static str,
    usage: &'static str,
    cache: [&'static str; 2],
    events: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_active_file ", "total_inactive_file "],
    events: "memory.oom_control",
};
const V2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cache: ["active_file ", "inactive_file "],
    events: "memory.events",
};

impl Memory {
    /// That of this process; `None` where it cannot be seen.
    pub fn of_this_process() -> Option<Memory> {
        let cgroups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        find(&cgroups, &mounts)
    }

    /// Bytes that it may have at most; `None` where there is no limit.
    pub fn limit(&self) -> Option<u64> {
        let above = self.directory.ancestors();
        let below_top = above.take_while(|it| it.starts_with(&self.top));
        let limit = |directory: &Path| -> Option<u64> {
            let text = fs::read_to_string(directory.join(self.files.limit)).ok()?;
            text.trim().parse().ok()
        };
        // Version 1 says a number that no machine has where there is no limit.
        below_top.filter_map(limit).min().filter(|&it| it < 1 << 60)
    }

    /// Bytes that are left below the limit, when what the kernel can do without is dropped.
    pub fn room(&self) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(self.directory.join(name)).ok();
        let usage: u64 = read(self.files.usage)?.trim().parse().ok()?;
        let stat = read("memory.stat").unwrap_or_default();
        let cache = self.files.cache.iter().filter_map(|name| {
            let mut lines = stat.lines();
            lines.find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok())
        });
        let needed = usage.saturating_sub(cache.sum());
        Some(self.limit()?.saturating_sub(needed))
    }

    /// How often the kernel has killed somebody in it, as it had no memory left.
    pub fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.directory.join(self.files.events));
        kills_in(&events.unwrap_or_default())
    }
}

fn kills_in(events: &str) -> u64 {
    let mut lines = events.lines();
    let count = lines.find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok());
    count.unwrap_or(0)
}

/// Version 1 has it where it has the controller at all.
fn find(cgroups: &str, mounts: &str) -> Option<Memory> {
    let path_of = |wanted: &dyn Fn(&str) -> bool| {
        let fields = cgroups.lines().map(|line| line.splitn(3, ':'));
        let mut fields = fields.map(|mut it| (it.nth(1), it.next()));
        fields.find_map(|(names, path)| path.filter(|_| names.is_some_and(wanted)))
    };
    let first = path_of(&|names| names.split(',').any(|name| name == "memory"));
    let first = first.and_then(|path| {
        let is_it = |kind: &str, options: &str| {
            kind == "cgroup" && options.split(',').any(|option| option == "memory")
        };
        at(mounts, is_it, path, &V1)
    });
    first.or_else(|| {
        at(
            mounts,
            |kind, _| kind == "cgroup2",
            path_of(&str::is_empty)?,
            &V2,
        )
    })
}

/// The directory of the cgroup `path`, in the hierarchy that `is_it` knows.
fn at(
    mounts: &str,
    is_it: impl Fn(&str, &str) -> bool,
    path: &str,
    files: &'static Files,
) -> Option<Memory> {
    let mount = mounts.lines().find_map(|line| {
        let (mount, rest) = line.split_once(" - ")?;
        let mut rest = rest.split(' ');
        let (kind, options) = (rest.next()?, rest.nth(1)?);
        let mut fields = mount.split(' ').skip(3);
        is_it(kind, options).then_some((fields.next()?, fields.next()?))
    });
    let (root, top) = mount?;
    // The mount shows the hierarchy from `root` on.
    let inside = Path::new(path).strip_prefix(root).unwrap_or(Path::new(""));
    let top = PathBuf::from(top);
    Some(Memory {
        directory: top.join(inside),
        top,
        files,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str =
        "30 25 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

    #[test]
    fn version_2() {
        let found = find("1:name=systemd:/x\n0::/user.slice/a b\n", MOUNTS).unwrap();
        assert_eq!(found.directory, Path::new("/sys/fs/cgroup/user.slice/a b"));
        assert_eq!(found.files.limit, "memory.max");
    }

    #[test]
    fn version_1_where_it_has_the_controller() {
        let mounts = format!(
            "{MOUNTS}31 25 0:27 /outer /cg/memory rw - cgroup cgroup rw,memory\n\
             32 25 0:28 / /cg/cpu rw - cgroup cgroup rw,cpu\n"
        );
        let found = find("4:hugetlb,memory:/outer/inner\n0::/\n", &mounts).unwrap();
        assert_eq!(found.directory, Path::new("/cg/memory/inner"));
        assert_eq!(found.files.events, "memory.oom_control");
        let found = find("4:memory:/\n0::/\n", MOUNTS).unwrap();
        assert_eq!(found.directory, Path::new("/sys/fs/cgroup"));
    }

    #[test]
    fn where_nothing_is_mounted_there_is_none() {
        assert!(find("0::/\n", "").is_none());
        assert!(find("", MOUNTS).is_none());
    }

    #[test]
    fn kills_are_counted() {
        assert_eq!(kills_in("low 0\noom 3\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(kills_in("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), 5);
        assert_eq!(kills_in(""), 0);
    }
}
