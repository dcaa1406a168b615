//! Compares the file system with the model, whole.

use shmfs::errno::Errno;
use shmfs::ops::{DirPosition, Statfs};
use shmfs::types::{Attr, Timestamp};

use crate::attributes::acl_name;
use crate::contents::PAGE;
use crate::generators::{Made, Which, Who};
use crate::harness::{Harness, caller};
use crate::reference::{Id, What};
use crate::streams::{DOT, Stream};
use crate::times::{Mark, Marks};

impl Harness {
    /// Everything that can be seen, and then once more the times, which looking moves.
    pub fn check(&mut self) {
        self.check_attributes();
        self.check_limits();
        self.began = self.now();
        for id in self.model.nodes.keys().copied().collect::<Vec<_>>() {
            self.check_xattrs(id);
            self.check_contents(id);
        }
        self.check_attributes();
    }

    fn check_limits(&self) {
        let model = &self.model;
        assert_eq!(self.fs.inode_count(), model.nodes.len(), "inodes");
        let expected = Statfs {
            blocks: model.pages,
            blocks_free: model.pages - model.used_pages(),
            files: model.inodes,
            files_free: (model.inodes * 1024 - model.used_inode_space()) / 1024,
        };
        assert_eq!(self.fs.statfs(), expected);
    }

    fn check_attributes(&mut self) {
        let ended = self.now();
        let marks = std::mem::take(&mut self.model.marks);
        for id in self.model.nodes.keys().copied().collect::<Vec<_>>() {
            let entry = self.fs.getattr(self.ino(id)).unwrap();
            self.check_attr(id, &entry.attr);
            assert_eq!(entry.lasting, !self.model.node(id).exposed, "{id}: lasting");
            let marks = marks.get(&id).copied().unwrap_or_default();
            self.check_times(id, &entry.attr, marks, ended);
        }
    }

    fn check_attr(&self, id: Id, attr: &Attr) {
        let node = self.model.node(id);
        let (type_bits, blocks, rdev) = match &node.what {
            What::File(contents) => (libc::S_IFREG, contents.pages.len() as u64 * (PAGE / 512), 0),
            What::Dir => (libc::S_IFDIR, 0, 0),
            What::Symlink(target) => (
                libc::S_IFLNK,
                u64::from(target.len() >= 128) * (PAGE / 512),
                0,
            ),
            What::Other(made, rdev) => (type_of(*made), 0, *rdev),
        };
        let seen = (
            attr.ino,
            attr.size,
            attr.blocks,
            attr.mode,
            attr.nlink,
            attr.uid,
            attr.gid,
            attr.rdev,
        );
        let mode = type_bits | node.mode;
        let (size, nlink) = (self.model.size(id), self.model.nlink(id));
        let expected = (
            self.ino(id),
            size,
            blocks,
            mode,
            nlink,
            node.uid,
            node.gid,
            rdev,
        );
        assert_eq!(
            seen, expected,
            "{id}: ino, size, blocks, mode, nlink, uid, gid, rdev"
        );
    }

    fn check_times(&mut self, id: Id, attr: &Attr, marks: Marks, ended: Timestamp) {
        let began = self.began;
        let seen = [attr.atime, attr.mtime, attr.ctime];
        let node = self.model.node_mut(id);
        let mut touched = Vec::new();
        for (which, mark) in [marks.atime, marks.mtime, marks.ctime]
            .into_iter()
            .enumerate()
        {
            let (before, now) = (node.times[which], seen[which]);
            let name = ["atime", "mtime", "ctime"][which];
            let stamped = began <= now && now <= ended;
            match mark {
                Mark::Kept => assert_eq!(now, before, "{id}: {name} moved"),
                Mark::Exact(time) => assert_eq!(now, time, "{id}: {name}"),
                Mark::Maybe => assert!(stamped || now == before, "{id}: {name} {now:?}"),
                Mark::Touched => {
                    assert!(
                        stamped,
                        "{id}: {name} is {now:?}, not within {began:?} and {ended:?}"
                    );
                    touched.push(now);
                }
            }
        }
        assert!(
            !marks.together || touched.windows(2).all(|pair| pair[0] == pair[1]),
            "{id}: {touched:?}"
        );
        node.times = seen;
    }

    fn check_xattrs(&self, id: Id) {
        let (node, ino) = (self.model.node(id), self.ino(id));
        let lists = [
            (Which::Access, &node.access),
            (Which::Default, &node.default),
        ];
        for (which, list) in lists {
            let expected = list.as_ref().map(|list| list.bytes()).ok_or(Errno::ENODATA);
            assert_eq!(
                self.fs.getxattr(ino, acl_name(which)),
                expected,
                "{id}: {which:?}"
            );
        }
        for (name, value) in &node.xattrs {
            assert_eq!(
                self.fs.getxattr(ino, name).as_ref(),
                Ok(value),
                "{id}: {name:?}"
            );
        }
        let acls = lists
            .into_iter()
            .filter(|(_, list)| list.is_some())
            .map(|(which, _)| acl_name(which).to_vec());
        for who in [Who::Root, Who::Stranger] {
            let visible = |name: &&Vec<u8>| who == Who::Root || !name.starts_with(b"trusted.");
            let names = acls
                .clone()
                .chain(node.xattrs.keys().rev().filter(visible).cloned());
            let expected: Vec<u8> = names.flat_map(|name| [name, vec![0]].concat()).collect();
            assert_eq!(
                self.fs.listxattr(&caller(who), ino),
                Ok(expected),
                "{id}: names of xattrs"
            );
        }
    }

    fn check_contents(&mut self, id: Id) {
        match &self.model.node(id).what {
            What::File(contents) => {
                let mut buffer = vec![0xaa; contents.bytes.len() + 1];
                let count = self.fs.read(self.ino(id), 0, &mut buffer, false).unwrap();
                assert!(buffer[..count] == contents.bytes, "{id}: contents differ");
                self.model.marks_of(id).atime = Mark::Maybe;
            }
            What::Dir => {
                let mut whole = Stream {
                    dir: id,
                    position: DirPosition(0),
                    next: DOT,
                };
                self.read_dir(&mut whole, usize::MAX, false);
            }
            What::Symlink(_) | What::Other(..) => {}
        }
    }
}

fn type_of(made: Made) -> u32 {
    match made {
        Made::Fifo => libc::S_IFIFO,
        Made::Socket => libc::S_IFSOCK,
        Made::Char => libc::S_IFCHR,
        Made::Block => libc::S_IFBLK,
        Made::Regular | Made::Directory => unreachable!("these have contents"),
    }
}
