//! Operations through views and exports: what they leave is looked at from all sides.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{self as rfs, AtFlags, CWD, Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

use super::{AROUND, CONTENTS, COUNTED, Ground, RECORDED, Step, each, open, same};
use crate::support::{Mode as FileSystem, Outcome, Setup, Site};

/// What a mount with faces has.
pub(super) const SETUP: Setup = Setup {
    options: "view=netbsd,view=openbsd",
    exports: Some(
        "[export.part]\nwrite = [\"w*\"]\nunmatched = \"private\"\n[export.own]\nprivate = true\n",
    ),
    ..Setup::PLAIN
};

/// Where there are views and exports.
const OURS: &[FileSystem] = &[FileSystem::Passthrough, FileSystem::PageCache];

/// The directories of `site` that show something else than the tree.
pub(super) fn directories(site: &Site) -> Vec<PathBuf> {
    let parts = [
        "views/netbsd",
        "views/openbsd",
        "exports/part",
        "exports/own",
    ];
    let paths = parts.map(|part| site.dir.join(".shmfs").join(part));
    paths.into_iter().filter(|path| path.is_dir()).collect()
}

pub(super) fn all(site: &Site) -> Outcome {
    site.expect_deaths();
    // What the first look makes is there from here on.
    same("directories", &directories(site).len(), &4)?;
    let before = site.usage()?;
    each(site, STEPS)?;
    site.wait_until_used(before)
}

/// Objects `old` in the tree, `waiting` without a name, `x` in a layer of an export's own.
struct Work {
    site: PathBuf,
    tag: String,
    file: OwnedFd,
    own: OwnedFd,
}

impl Ground for Work {
    fn prepare(site: &Site, tag: &str) -> Result<Work, String> {
        let (site, tag) = (site.dir.clone(), tag.to_owned());
        let (first, second) = (tree_of(&site, &tag, "old"), own_of(&site, &tag, "x"));
        let make = |path: &Path| {
            let file = open(path, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR)?;
            rustix::io::write(&file, CONTENTS)?;
            Ok(file)
        };
        let said = |e: Errno| format!("prepare: {e}");
        let (file, own) = (make(&first).map_err(said)?, make(&second).map_err(said)?);
        let work = Work {
            site,
            tag,
            file,
            own,
        };
        make(&work.digest("waiting")).map(drop).map_err(said)?;
        Ok(work)
    }

    fn clear(self) -> Outcome {
        for name in ["new", "waiting"] {
            // Found by its name, it is in the tree.
            let _ = fs::metadata(self.tree(name));
        }
        let faces = [
            "",
            ".shmfs/views/netbsd",
            ".shmfs/exports/part",
            ".shmfs/exports/own",
        ];
        let cleared = faces.iter().try_for_each(|face| {
            let entries = fs::read_dir(self.site.join(face))?;
            let paths = entries.map(|entry| entry.map(|entry| entry.path()));
            let paths: io::Result<Vec<PathBuf>> = paths.collect();
            let is_mine = |path: &&PathBuf| path.to_string_lossy().contains(&self.tag);
            paths?
                .iter()
                .filter(is_mine)
                .try_for_each(|path| match path.is_dir() {
                    true => fs::remove_dir_all(path),
                    false => fs::remove_file(path),
                })
        });
        cleared.map_err(|e| format!("remove: {e}"))
    }
}

fn tree_of(site: &Path, tag: &str, name: &str) -> PathBuf {
    site.join(format!("w-{name}-{tag}"))
}

fn own_of(site: &Path, tag: &str, name: &str) -> PathBuf {
    site.join(format!(".shmfs/exports/own/{name}-{tag}"))
}

impl Work {
    fn tree(&self, name: &str) -> PathBuf {
        tree_of(&self.site, &self.tag, name)
    }

    /// An object of the tree as NetBSD names it.
    fn view(&self, name: &str) -> PathBuf {
        let tag = &self.tag;
        let netbsd = self.site.join(".shmfs/views/netbsd");
        netbsd.join(format!(".shmobj_w-{name}-{tag}"))
    }

    /// A file of the view's own.
    fn plain(&self, name: &str) -> PathBuf {
        let tag = &self.tag;
        self.site.join(format!(".shmfs/views/netbsd/{name}-{tag}"))
    }

    /// An object of the tree as OpenBSD names it.
    fn digest(&self, name: &str) -> PathBuf {
        let digest = Sha256::digest(format!("/w-{name}-{}", self.tag));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let openbsd = self.site.join(".shmfs/views/openbsd");
        openbsd.join(format!("{hex}.shm"))
    }

    /// An object of the tree as an export shows it.
    fn part(&self, name: &str) -> PathBuf {
        let tag = &self.tag;
        self.site
            .join(format!(".shmfs/exports/part/w-{name}-{tag}"))
    }

    /// A name that is none of the tree's.
    fn beside(&self, name: &str) -> PathBuf {
        let tag = &self.tag;
        self.site.join(format!(".shmfs/exports/part/{name}-{tag}"))
    }

    fn own(&self, name: &str) -> PathBuf {
        own_of(&self.site, &self.tag, name)
    }

    /// Where the mount's owner finds what is an export's own.
    fn private(&self, export: &str, name: &str) -> PathBuf {
        let tag = &self.tag;
        self.site
            .join(format!(".shmfs/private/{export}/default/{name}-{tag}"))
    }

    /// An object of the tree has this in it and this many links, by each of its names; without contents there is none.
    fn is_everywhere(&self, name: &str, wanted: Option<&[u8]>, links: u64) -> Outcome {
        let paths = [
            self.tree(name),
            self.view(name),
            self.digest(name),
            self.part(name),
        ];
        for path in paths {
            has(&path, wanted, links)?;
        }
        Ok(())
    }

    /// The same of what is an export's own.
    fn is_own(&self, name: &str, wanted: Option<&[u8]>, links: u64) -> Outcome {
        has(&self.own(name), wanted, links)?;
        has(&self.private("own", name), wanted, links)?;
        has(&self.tree(name), None, 0)
    }
}

fn has(path: &Path, wanted: Option<&[u8]>, links: u64) -> Outcome {
    let what = path.display();
    let got = match open(path, OFlags::RDONLY) {
        Ok(file) => {
            let stat = rfs::fstat(&file).map_err(|e| format!("stat {what}: {e}"))?;
            Some((crate::load::contents(&file)?, stat.st_nlink as u64))
        }
        Err(Errno::NOENT) => None,
        Err(error) => return Err(format!("open {what}: {error}")),
    };
    let wanted = wanted.map(|bytes| (bytes.to_vec(), links));
    same(&what.to_string(), &got, &wanted)
}

fn contents(file: impl AsFd, wanted: &[u8]) -> Outcome {
    let bytes = crate::load::contents(file)?;
    same("contents", &bytes.as_slice(), &wanted)
}

fn create(path: &Path) -> Result<(), Errno> {
    let file = open(path, OFlags::CREATE | OFlags::EXCL | OFlags::RDWR)?;
    rustix::io::write(&file, CONTENTS).map(drop)
}

/// One that changes what is recorded.
const fn change(
    name: &'static str,
    opcode: u32,
    run: fn(&Work) -> Result<(), Errno>,
    check: fn(&Work) -> Outcome,
) -> Step<Work> {
    Step {
        name,
        opcode,
        modes: OURS,
        places: &[&AROUND, &RECORDED],
        run,
        check,
    }
}

const STEPS: &[Step<Work>] = &[
    change(
        "view_create",
        35,
        |work| create(&work.view("new")),
        |work| work.is_everywhere("new", Some(CONTENTS), 1),
    ),
    change(
        "view_unlink",
        10,
        |work| rfs::unlink(work.view("old")),
        |work| {
            work.is_everywhere("old", None, 0)?;
            contents(&work.file, CONTENTS)
        },
    ),
    change(
        "view_rename",
        12,
        |work| rfs::rename(work.view("old"), work.view("new")),
        |work| {
            work.is_everywhere("old", None, 0)?;
            work.is_everywhere("new", Some(CONTENTS), 1)
        },
    ),
    change(
        "view_link",
        13,
        |work| {
            rfs::linkat(
                CWD,
                work.view("old"),
                CWD,
                work.view("new"),
                AtFlags::empty(),
            )
        },
        |work| {
            work.is_everywhere("old", Some(CONTENTS), 2)?;
            work.is_everywhere("new", Some(CONTENTS), 2)
        },
    ),
    change(
        "view_mkdir",
        9,
        |work| rfs::mkdir(work.view("new"), Mode::from_raw_mode(0o700)),
        |work| {
            let stat = rfs::stat(work.tree("new")).map_err(|e| format!("stat: {e}"))?;
            same("links", &(stat.st_nlink as u64), &2)
        },
    ),
    change(
        "view_chmod",
        4,
        |work| rfs::chmod(work.view("old"), Mode::from_raw_mode(0o604)),
        |work| {
            let stat = rfs::fstat(&work.file).map_err(|e| format!("stat: {e}"))?;
            same("mode", &(stat.st_mode & 0o7777), &0o604)
        },
    ),
    // A file of the view's own becomes an object of the tree.
    change(
        "view_rename_into_the_tree",
        12,
        |work| {
            create(&work.plain("own"))?;
            rfs::rename(work.plain("own"), work.view("new"))
        },
        |work| {
            has(&work.plain("own"), None, 0)?;
            work.is_everywhere("new", Some(CONTENTS), 1)
        },
    ),
    // And the other way.
    change(
        "view_rename_out_of_the_tree",
        12,
        |work| rfs::rename(work.view("old"), work.plain("own")),
        |work| {
            has(&work.plain("own"), Some(CONTENTS), 1)?;
            work.is_everywhere("old", None, 0)
        },
    ),
    change(
        "view_create_of_its_own",
        35,
        |work| create(&work.plain("own")),
        |work| {
            has(&work.plain("own"), Some(CONTENTS), 1)?;
            work.is_everywhere("own", None, 0)
        },
    ),
    change(
        "unclaimed_create",
        35,
        |work| create(&work.digest("new")),
        |work| {
            has(&work.digest("new"), Some(CONTENTS), 1)?;
            work.is_everywhere("new", Some(CONTENTS), 1)
        },
    ),
    change(
        "unclaimed_unlink",
        10,
        |work| rfs::unlink(work.digest("waiting")),
        |work| work.is_everywhere("waiting", None, 0),
    ),
    change(
        "unclaimed_rename",
        12,
        |work| rfs::rename(work.digest("waiting"), work.digest("new")),
        |work| {
            work.is_everywhere("waiting", None, 0)?;
            work.is_everywhere("new", Some(CONTENTS), 1)
        },
    ),
    change(
        "rename_to_be_unclaimed",
        12,
        |work| rfs::rename(work.view("old"), work.digest("new")),
        |work| {
            has(&work.digest("new"), Some(CONTENTS), 1)?;
            work.is_everywhere("old", None, 0)?;
            work.is_everywhere("new", Some(CONTENTS), 1)
        },
    ),
    change(
        "claim",
        1,
        |work| rfs::lstat(work.tree("waiting")).map(drop),
        |work| work.is_everywhere("waiting", Some(CONTENTS), 1),
    ),
    change(
        "claim_through_a_view",
        1,
        |work| rfs::lstat(work.view("waiting")).map(drop),
        |work| work.is_everywhere("waiting", Some(CONTENTS), 1),
    ),
    change(
        "claim_through_an_export",
        1,
        |work| rfs::lstat(work.part("waiting")).map(drop),
        |work| work.is_everywhere("waiting", Some(CONTENTS), 1),
    ),
    change(
        "export_create",
        35,
        |work| create(&work.part("new")),
        |work| work.is_everywhere("new", Some(CONTENTS), 1),
    ),
    change(
        "export_unlink",
        10,
        |work| rfs::unlink(work.part("old")),
        |work| {
            work.is_everywhere("old", None, 0)?;
            contents(&work.file, CONTENTS)
        },
    ),
    change(
        "export_rename",
        12,
        |work| rfs::rename(work.part("old"), work.part("new")),
        |work| {
            work.is_everywhere("old", None, 0)?;
            work.is_everywhere("new", Some(CONTENTS), 1)
        },
    ),
    change(
        "export_setxattr",
        21,
        |work| rfs::setxattr(work.part("old"), "user.new", b"value", XattrFlags::CREATE),
        |work| {
            let mut value = [0; 16];
            let len = rfs::fgetxattr(&work.file, "user.new", &mut value);
            let len = len.map_err(|e| format!("getxattr: {e}"))?;
            same("value", &&value[..len], &b"value".as_slice())
        },
    ),
    change(
        "private_create_beside",
        35,
        |work| create(&work.beside("new")),
        |work| {
            has(&work.beside("new"), Some(CONTENTS), 1)?;
            has(&work.private("part", "new"), Some(CONTENTS), 1)?;
            work.is_everywhere("new", None, 0)
        },
    ),
    change(
        "private_create",
        35,
        |work| create(&work.own("new")),
        |work| work.is_own("new", Some(CONTENTS), 1),
    ),
    change(
        "private_mkdir",
        9,
        |work| rfs::mkdir(work.own("new"), Mode::from_raw_mode(0o700)),
        |work| {
            let path = work.private("own", "new");
            let stat = rfs::stat(path).map_err(|e| format!("stat: {e}"))?;
            same("links", &(stat.st_nlink as u64), &2)
        },
    ),
    change(
        "private_unlink",
        10,
        |work| rfs::unlink(work.own("x")),
        |work| {
            work.is_own("x", None, 0)?;
            contents(&work.own, CONTENTS)
        },
    ),
    change(
        "private_rename",
        12,
        |work| rfs::rename(work.own("x"), work.own("new")),
        |work| {
            work.is_own("x", None, 0)?;
            work.is_own("new", Some(CONTENTS), 1)
        },
    ),
    change(
        "private_link",
        13,
        |work| rfs::linkat(CWD, work.own("x"), CWD, work.own("new"), AtFlags::empty()),
        |work| {
            work.is_own("x", Some(CONTENTS), 2)?;
            work.is_own("new", Some(CONTENTS), 2)
        },
    ),
    Step {
        name: "export_open",
        opcode: 14,
        modes: OURS,
        places: &[&AROUND, &COUNTED],
        run: |work| {
            let file = open(&work.part("old"), OFlags::RDWR)?;
            rustix::io::pwrite(&file, b"W", 0)?;
            let mut byte = [0];
            rustix::io::pread(&file, &mut byte, 0).map(drop)
        },
        check: |work| work.is_everywhere("old", Some(b"What was there"), 1),
    },
    Step {
        name: "export_release",
        opcode: 18,
        modes: OURS,
        places: &[&AROUND, &COUNTED],
        run: |work| open(&work.part("old"), OFlags::RDONLY).map(drop),
        check: |work| work.is_everywhere("old", Some(CONTENTS), 1),
    },
    Step {
        name: "private_truncate",
        opcode: 4,
        modes: OURS,
        places: &[&AROUND],
        run: |work| rfs::ftruncate(&work.own, 4),
        check: |work| work.is_own("x", Some(&CONTENTS[..4]), 1),
    },
    Step {
        name: "private_write",
        opcode: 16,
        modes: &[FileSystem::PageCache],
        places: &[&AROUND],
        run: |work| {
            rustix::io::pwrite(&work.own, b"W", 0)?;
            rfs::fsync(&work.own)
        },
        check: |work| work.is_own("x", Some(b"What was there"), 1),
    },
];
