//! Directory streams: at the same place in both, while names come and go.

use shmfs::errno::Errno;
use shmfs::ops::{DirPosition, Listing};
use shmfs::options::Atime;
use shmfs::types::Ino;

use crate::generators::Pick;
use crate::harness::Harness;
use crate::reference::{Id, ROOT};
use crate::times::Mark;

/// A directory stream, at the same place in both.
#[derive(Clone, Debug)]
pub struct Stream {
    pub dir: Id,
    pub position: DirPosition,
    /// `.`, `..`, and then the names from the newest to the oldest: what comes next.
    pub next: u64,
}

/// Where a stream begins in the model.
pub const DOT: u64 = u64::MAX;
/// Then.
pub const DOTDOT: u64 = u64::MAX - 1;
/// Then the newest name.
pub const NAMES: u64 = u64::MAX - 2;

impl Harness {
    /// Goes on with one of the streams.
    pub fn read_stream(&mut self, pick: Pick, count: usize, plus: bool) {
        if self.streams.is_empty() {
            return;
        }
        let which = pick.0 as usize % self.streams.len();
        let mut stream = self.streams[which].clone();
        self.read_dir(&mut stream, count, plus);
        self.streams[which] = stream;
    }

    /// Reads up to `count` entries of a stream on both sides.
    pub fn read_dir(&mut self, stream: &mut Stream, count: usize, plus: bool) {
        let Stream {
            dir,
            position,
            next,
        } = stream.clone();
        let mut ours = Vec::new();
        let read = self.fs.readdir(
            self.ino(dir),
            position,
            Listing {
                plus,
                noatime: false,
            },
            |entry| {
                if ours.len() == count {
                    return false;
                }
                stream.position = entry.next;
                ours.push((
                    entry.name.to_vec(),
                    entry.ino,
                    entry.type_bits,
                    entry.entry.is_some(),
                ));
                true
            },
        );
        if !self.model.is_dir(dir) {
            return assert_eq!(read, Err(Errno::ENOTDIR));
        }
        assert_eq!(read, Ok(()));
        self.touch_atime(dir);
        let mut names = self.model.children(dir);
        names.sort_by_key(|(_, name)| std::cmp::Reverse(name.seq));
        let dots = [(b".".to_vec(), DOT), (b"..".to_vec(), DOTDOT)];
        let theirs = dots
            .into_iter()
            .chain(names.into_iter().map(|(name, at)| (name, at.seq)));
        let theirs: Vec<_> = theirs.filter(|&(_, seq)| seq <= next).take(count).collect();
        assert_eq!(
            ours.iter().map(|(name, ..)| name).collect::<Vec<_>>(),
            theirs.iter().map(|(name, _)| name).collect::<Vec<_>>(),
        );
        if let Some(&(_, seq)) = theirs.last() {
            stream.next = seq - 1;
        }
        for (name, ino, type_bits, plus_entry) in ours {
            self.same_dirent(dir, &name, ino, type_bits);
            assert_eq!(
                plus_entry,
                plus && ![&b"."[..], b".."].contains(&name.as_slice())
            );
        }
        if plus {
            self.count_lookups(dir, &theirs);
        }
    }

    fn same_dirent(&self, dir: Id, name: &[u8], ino: Ino, type_bits: u32) {
        let id = match name {
            b"." => dir,
            // The way up from a removed directory is nobody's business.
            b".." if self.model.is_orphan(dir) => return,
            b".." => self
                .model
                .dir_path(dir)
                .map_or(ROOT, |path| self.parent(&path)),
            name => self.model.find(dir, name).unwrap().unwrap(),
        };
        assert_eq!(ino, self.ino(id), "{name:?}");
        assert_eq!(
            type_bits,
            self.fs.getattr(ino).unwrap().attr.mode & libc::S_IFMT
        );
    }

    fn count_lookups(&mut self, dir: Id, entries: &[(Vec<u8>, u64)]) {
        for (name, seq) in entries {
            if *seq < NAMES {
                let id = self.model.find(dir, name).unwrap().unwrap();
                self.model.node_mut(id).lookups += 1;
            }
        }
    }

    /// A directory or symlink was read.
    pub fn touch_atime(&mut self, id: Id) {
        const DAY: i64 = 24 * 60 * 60;
        let [atime, mtime, ctime] = self.model.node(id).times;
        let policy = if self.setup.nodiratime && self.model.is_dir(id) {
            Atime::Never
        } else {
            self.setup.atime
        };
        let stale =
            atime <= mtime || atime <= ctime || self.began.sec.saturating_sub(atime.sec) >= DAY;
        if policy == Atime::Strict || policy == Atime::Relative && stale {
            self.model.marks_of(id).atime = Mark::Touched;
        }
    }
}
