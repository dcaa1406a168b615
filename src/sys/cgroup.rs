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
    /// What the kernel can do without, in `memory.stat`. Its own memory for names and inodes is not among that, though it
    /// says so of some: of the inodes of a tmpfs it needs each, and the data files are such.
    cache: [&'static str; 2],
    /// What may be swapped out, and what of that has been.
    swap: [&'static str; 2],
    events: &'static str,
}

const V1: Files = Files {
    limit: "memory.limit_in_bytes",
    usage: "memory.usage_in_bytes",
    cache: ["total_active_file ", "total_inactive_file "],
    swap: ["memory.memsw.limit_in_bytes", "memory.memsw.usage_in_bytes"],
    events: "memory.oom_control",
};
const V2: Files = Files {
    limit: "memory.max",
    usage: "memory.current",
    cache: ["active_file ", "inactive_file "],
    swap: ["memory.swap.max", "memory.swap.current"],
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
        self.levels().filter_map(|it| self.limit_at(it)).min()
    }

    /// Bytes that are left below the limits, when what the kernel can do without is dropped and what it can swap out is;
    /// `None` where there is no limit.
    pub fn room(&self) -> Option<u64> {
        self.levels().filter_map(|it| self.room_at(it)).min()
    }

    /// It and those that it is in.
    fn levels(&self) -> impl Iterator<Item = &Path> {
        let above = self.directory.ancestors();
        above.take_while(|it| it.starts_with(&self.top))
    }

    fn limit_at(&self, directory: &Path) -> Option<u64> {
        // Version 1 says a number that no machine has where there is no limit.
        number(directory, self.files.limit).filter(|&it| it < 1 << 60)
    }

    fn room_at(&self, directory: &Path) -> Option<u64> {
        let limit = self.limit_at(directory)?;
        let usage = number(directory, self.files.usage)?;
        let stat = fs::read_to_string(directory.join("memory.stat")).unwrap_or_default();
        let cache = self.files.cache.iter().filter_map(|name| {
            let mut lines = stat.lines();
            lines.find_map(|line| line.strip_prefix(name)?.parse::<u64>().ok())
        });
        let needed = usage.saturating_sub(cache.sum());
        Some(limit.saturating_sub(needed) + self.swap_at(directory))
    }

    /// Bytes that could be swapped out yet.
    fn swap_at(&self, directory: &Path) -> u64 {
        let free = super::memory::free_swap();
        let [limit, used] = self.files.swap.map(|name| number(directory, name));
        match (limit, used) {
            (Some(limit), Some(used)) => free.min(limit.saturating_sub(used)),
            _ => free,
        }
    }

    /// How often the kernel has killed somebody in it, as it had no memory left.
    pub fn kills(&self) -> u64 {
        let events = fs::read_to_string(self.directory.join(self.files.events));
        kills_in(&events.unwrap_or_default())
    }
}

/// What a file of one number says.
fn number(directory: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(name)).ok()?;
    text.trim().parse().ok()
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
