//! The mounts of this namespace, from /proc/self/mountinfo: asking it reaches no file system, so
//! a dead or stuck mount cannot hold us.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// The type of our mounts in mountinfo.
pub const TYPE: &[u8] = b"fuse.shmfs";

/// One mount, as proc_pid_mountinfo(5) describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The mount's number, which may be used again once it is gone.
    pub id: u64,
    /// The file system's device number, `major:minor`.
    pub device: String,
    /// The directory of the file system that it shows.
    pub root: PathBuf,
    /// Where it is.
    pub mount_point: PathBuf,
    /// Its type, with a subtype behind a dot.
    pub kind: Vec<u8>,
    /// What it was mounted from.
    pub source: OsString,
}

impl Entry {
    /// Whether it is one of ours.
    pub fn is_shmfs(&self) -> bool {
        self.kind == TYPE
    }

    /// Whether it is a view or an export that is bound somewhere.
    pub fn is_part(&self) -> bool {
        let parts = [".shmfs/views", ".shmfs/exports"];
        let above = self.root.parent();
        self.is_shmfs() && above.is_some_and(|above| parts.iter().any(|part| above.ends_with(part)))
    }
}

/// All mounts that can be seen from here.
pub fn entries() -> io::Result<Vec<Entry>> {
    Ok(parse(&fs::read("/proc/self/mountinfo")?))
}

/// The mount with the number `id`.
pub fn by_id(id: u64) -> io::Result<Option<Entry>> {
    Ok(entries()?.into_iter().find(|entry| entry.id == id))
}

/// The number of the mount that `file` is on.
pub fn mount_id(file: impl AsFd) -> io::Result<u64> {
    let path = format!("/proc/self/fdinfo/{}", file.as_fd().as_raw_fd());
    let info = fs::read_to_string(path)?;
    let id = info
        .lines()
        .find_map(|line| line.strip_prefix("mnt_id:")?.trim().parse().ok());
    id.ok_or_else(|| io::Error::other("the kernel names no mount"))
}

/// The mount whose root directory `path` is; `None` where it is no mount point.
pub fn at(path: &Path) -> io::Result<Option<Entry>> {
    let place = rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    let name = path_of(&place)?;
    Ok(by_id(mount_id(&place)?)?.filter(|entry| entry.mount_point == name))
}

/// The views and exports of a file system that are bound somewhere, the last one at the end.
pub fn parts_of(device: &str) -> io::Result<Vec<Entry>> {
    let mut entries = entries()?;
    entries.retain(|entry| entry.device == device && entry.is_part());
    Ok(entries)
}

/// The path that leads to `file`.
pub fn path_of(file: impl AsFd) -> io::Result<PathBuf> {
    fs::read_link(format!("/proc/self/fd/{}", file.as_fd().as_raw_fd()))
}

fn parse(text: &[u8]) -> Vec<Entry> {
    text.split(|&byte| byte == b'\n')
        .filter_map(parse_line)
        .collect()
}

fn parse_line(line: &[u8]) -> Option<Entry> {
    let fields: Vec<&[u8]> = line.split(|&byte| byte == b' ').collect();
    let separator = fields.iter().position(|&field| field == b"-")?;
    let text = |at: usize| fields.get(at).map(|field| unescape(field));
    Some(Entry {
        id: std::str::from_utf8(fields.first()?).ok()?.parse().ok()?,
        device: String::from_utf8(text(2)?).ok()?,
        root: PathBuf::from(OsString::from_vec(text(3)?)),
        mount_point: PathBuf::from(OsString::from_vec(text(4)?)),
        kind: text(separator + 1)?,
        source: OsString::from_vec(text(separator + 2)?),
    })
}

/// Undoes the kernel's `mangle`: a backslash and three octal digits for what would break a line.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let digits = after
            .get(..3)
            .filter(|digits| digits.iter().all(|digit| (b'0'..=b'7').contains(digit)));
        match digits {
            Some(digits) if first == b'\\' => {
                bytes.push(digits.iter().fold(0u8, |sum, digit| {
                    sum.wrapping_mul(8).wrapping_add(digit - b'0')
                }));
                rest = &after[3..];
            }
            Some(_) | None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_with_optional_fields_and_escapes() {
        let line = b"36 35 0:98 /mnt1 /mnt\\0402 rw,noatime master:1 shared:2 - fuse.shmfs my\\134src rw,errors=continue";
        let entry = parse_line(line).unwrap();
        assert_eq!(entry.id, 36);
        assert_eq!(entry.device, "0:98");
        assert_eq!(entry.mount_point, Path::new("/mnt 2"));
        assert_eq!(entry.source, "my\\src");
        assert!(entry.is_shmfs());
    }

    #[test]
    fn a_part_is_known_by_what_it_shows() {
        let views = b"36 35 0:98 /tree-1/.shmfs/views/netbsd /v rw - fuse.shmfs s rw";
        assert!(parse_line(views).unwrap().is_part());
        let export = b"36 35 0:98 /tree-1/.shmfs/exports/a:1 /v rw - fuse.shmfs s rw";
        assert!(parse_line(export).unwrap().is_part());
        let tree = b"36 35 0:98 /tree-1 /v rw - fuse.shmfs s rw";
        assert!(!parse_line(tree).unwrap().is_part());
    }

    #[test]
    fn a_line_without_optional_fields() {
        let entry = parse_line(b"1 1 0:2 / / rw - rootfs rootfs rw").unwrap();
        assert_eq!((entry.id, entry.kind.as_slice()), (1, b"rootfs".as_slice()));
    }

    #[test]
    fn what_is_no_line_is_left_out() {
        assert_eq!(parse(b"\nnonsense\n1 2 3\n"), []);
    }

    #[test]
    fn backslashes_that_escape_nothing_stay() {
        assert_eq!(unescape(b"a\\b\\04"), b"a\\b\\04");
    }
}
