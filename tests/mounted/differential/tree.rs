//! A whole tree as it can be seen, and what two of them differ in.

use std::collections::BTreeMap;
use std::os::fd::AsRawFd;
use std::path::Path;

use crate::consts::*;
use crate::sys::*;

/// What can be seen of one name, without what may differ: inode numbers.
#[derive(PartialEq, Debug)]
struct Entry {
    mode: u32,
    nlink: u64,
    owner: (u32, u32),
    size: i64,
    blocks: i64,
    rdev: u64,
    /// Names, lengths and hashes of values; the list's order has a case of its own.
    xattrs: Vec<(String, usize, u64)>,
    /// A file's bytes (hashed), a link's target, a directory's names (their order has cases of its own).
    contents: Vec<u8>,
}

/// atime, mtime, ctime.
type Times = [(i64, i64); 3];

/// A tree: entries, their times, and the file system's counts.
pub(crate) struct Tree {
    entries: BTreeMap<String, Entry>,
    times: BTreeMap<u64, (String, u32, Times)>,
    /// Free inodes, which links and xattrs take too.
    pub(crate) free_inodes: u64,
}

/// FNV-1a.
pub(crate) fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| {
        (h ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    })
}

/// What statfs(2) says of free inodes.
pub(crate) fn free_inodes(root: &Path) -> u64 {
    statfs(root).expect("statfs").f_ffree
}

impl Tree {
    /// Reads a tree, moving no atime.
    pub(crate) fn read(root: &Path) -> Tree {
        let free_inodes = free_inodes(root);
        let mut tree = Tree {
            entries: BTreeMap::new(),
            times: BTreeMap::new(),
            free_inodes,
        };
        tree.add(root, "");
        tree
    }

    fn add(&mut self, path: &Path, name: &str) {
        let st = lstat(path).expect("lstat");
        let contents = match st.kind() {
            S_IFREG => file_contents(path),
            S_IFLNK => readlink(path).expect("readlink"),
            S_IFDIR => {
                let mut names = names_in(path);
                names.sort();
                names
                    .iter()
                    .for_each(|child| self.add(&path.join(child), &format!("{name}/{child}")));
                names.join("/").into_bytes()
            }
            _ => Vec::new(),
        };
        let st = lstat(path).expect("lstat");
        let entry = Entry {
            mode: st.mode,
            nlink: st.nlink,
            owner: (st.uid, st.gid),
            size: st.size,
            blocks: st.blocks,
            rdev: st.rdev,
            xattrs: xattrs(path),
            contents,
        };
        self.times.insert(
            st.ino,
            (name.to_string(), st.kind(), [st.atime, st.mtime, st.ctime]),
        );
        self.entries.insert(name.to_string(), entry);
    }

    /// What `other` shows otherwise than `self`, if anything; the old ones tell which times have moved;
    /// `reads`: also by reads of a file.
    pub(crate) fn difference(
        &self,
        other: &Tree,
        old: &Tree,
        old_other: &Tree,
        reads: bool,
    ) -> Option<String> {
        for (name, entry) in &self.entries {
            match other.entries.get(name) {
                None => return Some(format!("{name} is missing")),
                Some(found) if found != entry => {
                    return Some(format!(
                        "{name}: tmpfs has {entry:x?}\n this one {found:x?}"
                    ));
                }
                Some(_) => {}
            }
        }
        if let Some(name) = other
            .entries
            .keys()
            .find(|name| !self.entries.contains_key(*name))
        {
            return Some(format!("{name} is there and should not be"));
        }
        if self.free_inodes != other.free_inodes {
            return Some(format!(
                "free inodes: tmpfs has {}, this one {}",
                self.free_inodes, other.free_inodes
            ));
        }
        let (want, got) = (self.moved(old, reads), other.moved(old_other, reads));
        let wrong = want
            .iter()
            .find(|(name, moved)| got.get(*name) != Some(moved));
        wrong.map(|(name, moved)| {
            let (before, after) = (old_other.times_of(name), other.times_of(name));
            format!(
                "{name}: times on tmpfs {moved:?}, this one {:?}, from {before:?} to {after:?}",
                got.get(name)
            )
        })
    }

    fn times_of(&self, name: &str) -> Option<Times> {
        self.times
            .values()
            .find(|(known, _, _)| known == name)
            .map(|(_, _, times)| *times)
    }

    /// For each inode, by its last name: which times have moved to now, and what the others are.
    fn moved(&self, old: &Tree, reads: bool) -> BTreeMap<String, [String; 3]> {
        let mut all = BTreeMap::new();
        for (ino, (name, kind, times)) in &self.times {
            let before = old.times.get(ino).map(|(_, _, times)| times);
            let word = |n: usize| match before {
                // Which reads of a file move its atime is in the list of differences, and what a FIFO's do.
                Some(before)
                    if !reads
                        && excused(*kind, n)
                        && (before[n] == times[n] || is_now(times[n])) =>
                {
                    String::new()
                }
                Some(before) if before[n] == times[n] => "same".to_string(),
                _ if is_now(times[n]) => "now".to_string(),
                _ => format!("{:?}", times[n]),
            };
            all.insert(name.clone(), [word(0), word(1), word(2)]);
        }
        all
    }
}

fn excused(kind: u32, time: usize) -> bool {
    kind == S_IFIFO || (kind == S_IFREG && time == 0)
}

fn is_now(time: (i64, i64)) -> bool {
    // SAFETY: no pointer kept.
    let now = unsafe { libc::time(std::ptr::null_mut()) };
    (now - 600..=now + 1).contains(&time.0)
}

fn file_contents(path: &Path) -> Vec<u8> {
    let fd = open(path, O_RDONLY | O_NOATIME).expect("open a file to compare it");
    let len = fstat(&fd).expect("fstat").size;
    let bytes = pread(&fd, len as usize + 1, 0).expect("read a file to compare it");
    hash(&bytes).to_le_bytes().to_vec()
}

fn names_in(path: &Path) -> Vec<String> {
    let dir =
        open(path, O_RDONLY | O_DIRECTORY | O_NOATIME).expect("open a directory to compare it");
    let mut names = Vec::new();
    let mut buf = [0u64; 4096];
    loop {
        let n = crate::syscall!(
            libc::SYS_getdents64,
            dir.as_raw_fd(),
            buf.as_mut_ptr(),
            32_768
        )
        .expect("getdents64");
        if n == 0 {
            return names;
        }
        // SAFETY: the kernel wrote that many bytes.
        let bytes = unsafe { std::slice::from_raw_parts(buf.as_ptr().cast::<u8>(), n as usize) };
        let mut at = 0;
        while at < bytes.len() {
            let len = u16::from_ne_bytes([bytes[at + 16], bytes[at + 17]]) as usize;
            let name = bytes[at + 19..at + len]
                .split(|&b| b == 0)
                .next()
                .unwrap_or_default();
            if name != b"." && name != b".." {
                names.push(String::from_utf8_lossy(name).into_owned());
            }
            at += len;
        }
    }
}

fn xattrs(path: &Path) -> Vec<(String, usize, u64)> {
    let (_, list) = listxattr_len(path, 65_536).expect("listxattr");
    let names = list.split(|&b| b == 0).filter(|name| !name.is_empty());
    let pair = |name: &[u8]| {
        let name = String::from_utf8_lossy(name).into_owned();
        let value = getxattr(path, &name).expect("getxattr");
        (name, value.len(), hash(&value))
    };
    let mut all: Vec<_> = names.map(pair).collect();
    all.sort();
    all
}
