//! Operations in the tree.

use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{
    self as rfs, AtFlags, CWD, FallocateFlags, FileType, Mode, OFlags, RenameFlags, XattrFlags,
};
use rustix::io::Errno;

use super::{AROUND, CONTENTS, COUNTED, Ground, RECORDED, Step, open, same};
use crate::load::names_in;
use crate::support::{Mode as FileSystem, Outcome, Site};

/// Where one operation works: a directory of its own with a file `old`, a directory `dir` and a free name `new`.
pub(super) struct Work {
    dir: PathBuf,
    file: OwnedFd,
}

impl Ground for Work {
    fn prepare(site: &Site, tag: &str) -> Result<Work, String> {
        let dir = site.dir.join(tag);
        let made = fs::create_dir(&dir)
            .and_then(|()| fs::create_dir(dir.join("dir")))
            .and_then(|()| fs::write(dir.join("old"), CONTENTS));
        made.map_err(|e| format!("prepare: {e}"))?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        let file = rfs::open(dir.join("old"), flags, Mode::empty());
        let file = file.map_err(|e| format!("open: {e}"))?;
        Ok(Work { dir, file })
    }

    fn clear(self) -> Outcome {
        fs::remove_dir_all(&self.dir).map_err(|e| format!("remove: {e}"))
    }
}

impl Work {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The names are these.
    fn has(&self, wanted: &[&str]) -> Outcome {
        let mut names = names_in(&self.dir).map_err(|e| format!("list: {e}"))?;
        names.sort_unstable();
        if names == wanted {
            return Ok(());
        }
        Err(format!("{names:?} instead of {wanted:?}"))
    }

    fn links(&self, name: &str, wanted: u64) -> Outcome {
        let stat = rfs::lstat(self.at(name)).map_err(|e| format!("stat {name}: {e}"))?;
        let links = stat.st_nlink as u64;
        same(&format!("links of {name}"), &links, &wanted)
    }

    fn contents(&self, wanted: &[u8]) -> Outcome {
        let bytes = crate::load::contents(self.file.as_fd())?;
        same("contents", &bytes.as_slice(), &wanted)
    }
}

pub(super) const STEPS: &[Step<Work>] = &[
    Step {
        name: "create",
        opcode: 35,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
            let file = open(&work.at("new"), flags)?;
            rustix::io::write(&file, CONTENTS).map(drop)
        },
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("new", 1)?;
            let bytes = fs::read(work.at("new")).map_err(|e| format!("read: {e}"))?;
            same("contents", &bytes.as_slice(), &CONTENTS)
        },
    },
    Step {
        name: "mkdir",
        opcode: 9,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::mkdir(work.at("new"), Mode::from_raw_mode(0o700)),
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("new", 2)?;
            rfs::rmdir(work.at("new")).map_err(|e| format!("rmdir: {e}"))
        },
    },
    Step {
        name: "mknod",
        opcode: 8,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let mode = Mode::from_raw_mode(0o600);
            rfs::mknodat(CWD, work.at("new"), FileType::Fifo, mode, 0)
        },
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("new", 1)
        },
    },
    Step {
        name: "symlink",
        opcode: 6,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::symlink("nowhere", work.at("new")),
        check: |work| {
            let target = fs::read_link(work.at("new")).map_err(|e| format!("readlink: {e}"))?;
            same("target", &target, &PathBuf::from("nowhere"))
        },
    },
    Step {
        name: "link",
        opcode: 13,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::linkat(CWD, work.at("old"), CWD, work.at("new"), AtFlags::empty()),
        check: |work| {
            work.has(&["dir", "new", "old"])?;
            work.links("old", 2)
        },
    },
    Step {
        name: "unlink",
        opcode: 10,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::unlink(work.at("old")),
        check: |work| {
            work.has(&["dir"])?;
            work.contents(CONTENTS)
        },
    },
    Step {
        name: "rmdir",
        opcode: 11,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::rmdir(work.at("dir")),
        check: |work| {
            work.has(&["old"])?;
            let stat = rfs::stat(&work.dir).map_err(|e| format!("stat: {e}"))?;
            same("links", &(stat.st_nlink as u64), &2)
        },
    },
    Step {
        name: "rename",
        opcode: 12,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::rename(work.at("old"), work.at("dir/new")),
        check: |work| {
            work.has(&["dir"])?;
            let moved = rfs::stat(work.at("dir/new")).map_err(|e| format!("stat: {e}"))?;
            same("size", &(moved.st_size as usize), &CONTENTS.len())
        },
    },
    Step {
        name: "rename_exchange",
        opcode: 12,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let flags = RenameFlags::EXCHANGE;
            rfs::renameat_with(CWD, work.at("old"), CWD, work.at("dir"), flags)
        },
        check: |work| {
            let is_dir = work.at("old").is_dir() && work.at("dir").is_file();
            same("exchanged", &is_dir, &true)
        },
    },
    Step {
        name: "rename_noreplace",
        opcode: 12,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            let flags = RenameFlags::NOREPLACE;
            rfs::renameat_with(CWD, work.at("old"), CWD, work.at("new"), flags)
        },
        check: |work| work.has(&["dir", "new"]),
    },
    Step {
        name: "rename_over",
        opcode: 12,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            drop(open(&work.at("new"), OFlags::CREATE | OFlags::WRONLY)?);
            rfs::rename(work.at("new"), work.at("old"))
        },
        check: |work| {
            work.has(&["dir", "old"])?;
            let stat = rfs::fstat(&work.file).map_err(|e| format!("stat: {e}"))?;
            same("links", &(stat.st_nlink as u64), &0)?;
            let bytes = fs::read(work.at("old")).map_err(|e| format!("read: {e}"))?;
            same("contents", &bytes.as_slice(), &b"".as_slice())?;
            work.contents(CONTENTS)
        },
    },
    Step {
        name: "setxattr",
        opcode: 21,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::setxattr(work.at("old"), "user.new", b"value", XattrFlags::CREATE),
        check: |work| {
            let mut value = [0; 16];
            let len = rfs::fgetxattr(&work.file, "user.new", &mut value);
            let len = len.map_err(|e| format!("getxattr: {e}"))?;
            same("value", &&value[..len], &b"value".as_slice())
        },
    },
    Step {
        name: "removexattr",
        opcode: 24,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| {
            rfs::setxattr(work.at("old"), "user.old", b"value", XattrFlags::CREATE)?;
            rfs::removexattr(work.at("old"), "user.old")
        },
        check: |work| {
            let gone = rfs::fgetxattr(&work.file, "user.old", &mut [0; 16][..]);
            same("value", &gone, &Err(Errno::NODATA))
        },
    },
    Step {
        name: "chmod",
        opcode: 4,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &RECORDED],
        run: |work| rfs::chmod(work.at("old"), Mode::from_raw_mode(0o604)),
        check: |work| {
            let stat = rfs::fstat(&work.file).map_err(|e| format!("stat: {e}"))?;
            same("mode", &(stat.st_mode & 0o7777), &0o604)
        },
    },
    Step {
        name: "truncate",
        opcode: 4,
        modes: &FileSystem::ALL,
        places: &[&AROUND],
        run: |work| rfs::ftruncate(&work.file, 4),
        check: |work| work.contents(&CONTENTS[..4]),
    },
    Step {
        name: "fallocate",
        opcode: 43,
        modes: &FileSystem::ALL,
        places: &[&AROUND],
        run: |work| rfs::fallocate(&work.file, FallocateFlags::empty(), 0, 100),
        check: |work| {
            let stat = rfs::fstat(&work.file).map_err(|e| format!("stat: {e}"))?;
            same("size", &(stat.st_size as u64), &100)
        },
    },
    Step {
        name: "copy_file_range",
        opcode: 47,
        modes: &FileSystem::ALL,
        places: &[&AROUND],
        run: |work| {
            let (mut from, mut to) = (5, CONTENTS.len() as u64);
            let (file, count) = (&work.file, 4);
            rfs::copy_file_range(file, Some(&mut from), file, Some(&mut to), count).map(drop)
        },
        check: |work| work.contents(&[CONTENTS, &CONTENTS[5..9]].concat()),
    },
    Step {
        name: "write",
        opcode: 16,
        // With passthrough the kernel asks nobody.
        modes: &[FileSystem::Tmpfs, FileSystem::PageCache],
        places: &[&AROUND],
        run: |work| {
            rustix::io::pwrite(&work.file, b"more", CONTENTS.len() as u64)?;
            rfs::fsync(&work.file)
        },
        check: |work| work.contents(&[CONTENTS, b"more"].concat()),
    },
    Step {
        name: "open",
        opcode: 14,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &COUNTED],
        run: |work| {
            let file = open(&work.at("old"), OFlags::RDWR)?;
            rustix::io::pwrite(&file, b"W", 0).map(drop)
        },
        check: |work| work.contents(b"What was there"),
    },
    Step {
        name: "release",
        opcode: 18,
        modes: &FileSystem::ALL,
        places: &[&AROUND, &COUNTED],
        run: |work| open(&work.at("old"), OFlags::RDONLY).map(drop),
        check: |work| work.contents(CONTENTS),
    },
    Step {
        name: "lookup",
        opcode: 1,
        modes: &FileSystem::ALL,
        places: &[&["begun", "after-reply"]],
        run: |work| match rfs::lstat(work.at("none")) {
            Err(Errno::NOENT) => Ok(()),
            Err(other) => Err(other),
            Ok(_) => Err(Errno::EXIST),
        },
        check: |work| work.has(&["dir", "old"]),
    },
];
