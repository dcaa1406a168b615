//! What a name in a view stands for, without a mount.

use shmfs::data::{DataFiles, KernelClock};
use shmfs::errno::{Errno, Result};
use shmfs::ops::{
    Caller, Config, CreateFlags, DataMode, Dir, DirPosition, Face, Fs, Listener, Listing, NewNode,
    RenameMode, SetAttr, ViewId,
};
use shmfs::sys::credentials::Credentials;
use shmfs::types::{Ino, Kind, Names};
use shmfs::view::Naming;

#[derive(Debug)]
struct Deaf;

impl Listener for Deaf {
    fn names_gone(&self, _: Vec<(Dir, Vec<u8>)>) {}
}

struct World {
    fs: Fs,
    keys: Vec<&'static str>,
}

impl World {
    fn new(keys: &[&'static str]) -> World {
        let files = DataFiles::memfds();
        let clock = KernelClock::of(&files).unwrap();
        let config = Config {
            size: 1 << 20,
            nr_inodes: 1000,
            reserve: true,
            ..Config::default()
        };
        let fs = Fs::new(config, files, Box::new(clock));
        let views = keys.iter().map(|key| {
            let names: Box<dyn Names> = Box::new(Naming::of(key).unwrap());
            names
        });
        fs.set_views(views.collect(), Box::new(Deaf));
        for at in 0..keys.len() {
            fs.open_view(ViewId(at)).unwrap();
        }
        World {
            fs,
            keys: keys.to_vec(),
        }
    }

    /// The directory of the view, or the tree for `""`.
    fn dir(&self, key: &str) -> Dir {
        let view = self.keys.iter().position(|other| *other == key);
        assert!(view.is_some() || key.is_empty());
        Dir {
            ino: self.fs.root(),
            face: view.map_or(Face::Tree, |at| Face::View(ViewId(at))),
        }
    }

    fn make(&self, key: &str, name: &str) -> Result<Ino> {
        self.make_in(&root(), self.dir(key), name, Kind::Regular)
    }

    fn make_in(&self, caller: &Caller, dir: Dir, name: &str, kind: Kind) -> Result<Ino> {
        let node = NewNode {
            kind,
            mode: 0o777,
            umask: 0,
        };
        let made = self.fs.mknod(caller, dir, name.as_bytes(), node);
        made.map(|entry| entry.attr.ino)
    }

    fn find(&self, key: &str, name: &str) -> Result<Ino> {
        let found = self.fs.lookup(self.dir(key), name.as_bytes());
        found.map(|entry| entry.attr.ino)
    }

    fn unlink(&self, key: &str, name: &str) -> Result<()> {
        self.fs.unlink(&root(), self.dir(key), name.as_bytes())
    }

    fn rename(&self, from: (&str, &str), to: (&str, &str)) -> Result<()> {
        let from = (self.dir(from.0), from.1.as_bytes());
        let to = (self.dir(to.0), to.1.as_bytes());
        self.fs.rename(&root(), from, to, RenameMode::Replace)
    }

    fn list(&self, dir: Dir) -> Vec<String> {
        let mut names = Vec::new();
        let mut from = DirPosition(0);
        // One at a time, so that each position is used.
        loop {
            let mut next = None;
            let listed = self.fs.readdir(dir, from, Listing::default(), |entry| {
                if next.is_some() {
                    return false;
                }
                next = Some((entry.next, String::from_utf8(entry.name.to_vec()).unwrap()));
                true
            });
            listed.unwrap();
            let Some((position, name)) = next else {
                break;
            };
            assert!(i64::try_from(position.0).is_ok());
            from = position;
            names.push(name);
        }
        names.retain(|name| name != "." && name != "..");
        names.sort();
        names
    }
}

fn root() -> Caller {
    Caller::with(0, 0, whole())
}

fn whole() -> Credentials {
    Credentials {
        groups: Vec::new(),
        capabilities: u64::MAX,
        ..Default::default()
    }
}

fn user(uid: u32) -> Caller {
    Caller::with(uid, uid, Credentials::default())
}

const FOO_SHM: &str = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94.shm";
const FOO_SEM: &str = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94.sem";

pub(crate) fn one_object_under_every_name() {
    let keys = ["netbsd", "illumos", "openbsd", "freebsd", "haiku", "musl"];
    let world = World::new(&keys);
    let ino = world.make("netbsd", ".shmobj_foo").unwrap();
    for (key, name) in [
        ("", "foo"),
        ("illumos", ".SHMDfoo"),
        ("openbsd", FOO_SHM),
        ("freebsd", "foo"),
        ("haiku", "foo"),
        ("musl", "foo"),
    ] {
        assert_eq!(world.find(key, name), Ok(ino), "{name} in {key}");
        assert_eq!(world.make(key, name), Err(Errno::EEXIST), "{name} in {key}");
    }
    world.unlink("openbsd", FOO_SHM).unwrap();
    for (key, name) in [("", "foo"), ("netbsd", ".shmobj_foo"), ("openbsd", FOO_SHM)] {
        assert_eq!(world.find(key, name), Err(Errno::ENOENT), "{name} in {key}");
    }
}

pub(crate) fn semaphores_are_entries_of_their_own() {
    let world = World::new(&["illumos", "openbsd", "xnu-sem"]);
    let ino = world.make("illumos", ".SEMDfoo").unwrap();
    assert_eq!(world.find("", "sem.foo"), Ok(ino));
    assert_eq!(world.find("illumos", ".SHMDsem.foo"), Ok(ino));
    assert_eq!(world.find("openbsd", FOO_SEM), Ok(ino));
    assert_eq!(world.find("xnu-sem", "foo"), Ok(ino));
    assert_eq!(world.list(world.dir("illumos")), [".SEMDfoo"]);
    assert_eq!(world.list(world.dir("openbsd")), [FOO_SEM]);
}

pub(crate) fn what_is_no_object_is_the_views_own() {
    let world = World::new(&["illumos", "netbsd", "haiku"]);
    world.make("illumos", ".SHMLfoo").unwrap();
    world.make("illumos", "other").unwrap();
    world.make("netbsd", "other").unwrap();
    world.make("haiku", "a%sb").unwrap();
    world.make("netbsd", ".shmfs").unwrap();
    assert_eq!(world.find("", "other"), Err(Errno::ENOENT));
    assert_ne!(
        world.find("illumos", "other"),
        world.find("netbsd", "other")
    );
    assert_eq!(world.list(world.dir("")), [""; 0]);
    assert_eq!(world.list(world.dir("illumos")), [".SHMLfoo", "other"]);
    assert_eq!(world.list(world.dir("netbsd")), [".shmfs", "other"]);
    assert_eq!(world.list(world.dir("haiku")), ["a%sb"]);
}

pub(crate) fn a_digest_is_claimed_by_looking_and_by_making() {
    let world = World::new(&["openbsd", "netbsd"]);
    let ino = world.make("openbsd", FOO_SHM).unwrap();
    assert_eq!(world.list(world.dir("")), [""; 0]);
    assert_eq!(world.list(world.dir("openbsd")), [FOO_SHM]);
    assert_eq!(world.find("netbsd", ".shmobj_bar"), Err(Errno::ENOENT));
    assert_eq!(world.find("netbsd", ".shmobj_foo"), Ok(ino));
    assert_eq!(world.list(world.dir("")), ["foo"]);
    assert_eq!(world.list(world.dir("openbsd")), [FOO_SHM]);
    world.unlink("", "foo").unwrap();
    let ino = world.make("openbsd", FOO_SHM).unwrap();
    assert_eq!(world.make("", "foo"), Err(Errno::EEXIST));
    assert_eq!(world.find("", "foo"), Ok(ino));
    world.unlink("", "foo").unwrap();
    let ino = world.make("", "foo").unwrap();
    assert_eq!(world.find("openbsd", FOO_SHM), Ok(ino));
}

pub(crate) fn digests_follow_renames_and_links() {
    let world = World::new(&["openbsd", "zephyr"]);
    let ino = world.make("", "bar").unwrap();
    world.rename(("", "bar"), ("", "foo")).unwrap();
    assert_eq!(world.find("openbsd", FOO_SHM), Ok(ino));
    world.fs.link(ino, world.dir(""), b"baz").unwrap();
    assert_eq!(world.list(world.dir("openbsd")).len(), 2);
    assert_eq!(world.list(world.dir("zephyr")).len(), 2);
    world.rename(("", "foo"), ("openbsd", "file")).unwrap();
    assert_eq!(world.find("openbsd", FOO_SHM), Err(Errno::ENOENT));
    assert_eq!(world.find("openbsd", "file"), Ok(ino));
    world
        .rename(("openbsd", "file"), ("openbsd", FOO_SHM))
        .unwrap();
    assert_eq!(world.find("", "foo"), Ok(ino));
}

pub(crate) fn entries_from_before_a_view_are_in_it() {
    let world = World::new(&[]);
    let ino = world.make("", "foo").unwrap();
    let names: Box<dyn Names> = Box::new(Naming::of("openbsd").unwrap());
    world.fs.set_views(vec![names], Box::new(Deaf));
    let (dir, first) = world.fs.open_view(ViewId(0)).unwrap();
    assert!(first);
    let found = world.fs.lookup(dir, FOO_SHM.as_bytes());
    assert_eq!(found.unwrap().attr.ino, ino);
}

pub(crate) fn long_names_of_illumos_are_lent_to_their_directories() {
    let world = World::new(&["illumos"]);
    let long = "y".repeat(252);
    let path = Naming::of("illumos").unwrap().path(long.as_bytes());
    let path = String::from_utf8(path.unwrap()).unwrap();
    let mut steps = path.split('/');
    let (hash, kind) = (steps.next().unwrap(), steps.next().unwrap());
    let view = world.dir("illumos");
    let inside = |ino| Dir { ino, ..view };
    let above = world.make_in(&root(), view, hash, Kind::Directory).unwrap();
    let dir = world.make_in(&root(), inside(above), kind, Kind::Directory);
    let dir = inside(dir.unwrap());
    let ino = world.make_in(&user(5), dir, &long, Kind::Regular).unwrap();
    assert_eq!(world.find("", &long), Ok(ino));
    assert_eq!(world.list(dir), [&*long]);
    let removed = world.fs.rmdir(&root(), inside(above), kind.as_bytes());
    assert_eq!(removed, Err(Errno::ENOTEMPTY));
    // The root's sticky bit counts, not the mode of the directory that shows the entry.
    let theirs = world.fs.unlink(&user(6), dir, long.as_bytes());
    assert_eq!(theirs, Err(Errno::EPERM));
    world.fs.unlink(&user(5), dir, long.as_bytes()).unwrap();
    let closed = SetAttr {
        mode: Some(0o755),
        ..Default::default()
    };
    world.fs.setattr(&root(), world.fs.root(), closed).unwrap();
    let made = world.make_in(&user(5), dir, &long, Kind::Regular);
    assert_eq!(made, Err(Errno::EACCES));
    world.make_in(&user(5), dir, "lock", Kind::Regular).unwrap();
}

pub(crate) fn the_way_to_the_views_is_nobodys_name() {
    let world = World::new(&["netbsd"]);
    assert_eq!(world.make("", ".shmfs"), Err(Errno::EBUSY));
    world.make("netbsd", ".shmobj_.shmfs").unwrap();
    assert_eq!(world.list(world.dir("")), [""; 0]);
    let sub = world
        .make_in(&root(), world.dir(""), "sub", Kind::Directory)
        .unwrap();
    let made = world.make_in(&root(), sub.into(), ".shmfs", Kind::Regular);
    assert!(made.is_ok());
}

pub(crate) fn directories_move_between_the_tree_and_a_view() {
    let world = World::new(&["netbsd"]);
    let dir = world.make_in(&root(), world.dir("netbsd"), "own", Kind::Directory);
    let dir = dir.unwrap();
    let file = world
        .make_in(&root(), dir.into(), "file", Kind::Regular)
        .unwrap();
    let seen = world.fs.getattr(world.dir("netbsd")).unwrap().attr;
    assert_eq!((seen.nlink, seen.size), (3, 60));
    world
        .rename(("netbsd", "own"), ("netbsd", ".shmobj_dir"))
        .unwrap();
    assert_eq!(world.find("", "dir"), Ok(dir));
    let up = world.fs.lookup(dir, b"..").unwrap().attr.ino;
    assert_eq!(up, world.fs.root());
    let below = Dir {
        ino: dir,
        ..world.dir("netbsd")
    };
    assert_eq!(world.fs.lookup(below, b"file").unwrap().attr.ino, file);
    let into_itself = world.fs.rename(
        &root(),
        (world.dir(""), b"dir"),
        (below, b"x"),
        RenameMode::Replace,
    );
    assert_eq!(into_itself, Err(Errno::EINVAL));
}

pub(crate) fn two_names_of_one_zephyr_hash_are_both_found() {
    let world = World::new(&["zephyr"]);
    // h = h * 33 ^ byte: "b" and "C" differ by what "B" * 33 makes up for.
    let path = |name: &str| Naming::of("zephyr").unwrap().path(name.as_bytes());
    let mut seen = std::collections::HashMap::new();
    let (mut pair, mut number) = (None, 0u32);
    while pair.is_none() {
        let name = format!("n{number:x}");
        pair = seen
            .insert(path(&name), name.clone())
            .map(|old| (old, name));
        number += 1;
        assert!(number < 2_000_000, "no collision of 32 bits");
    }
    let (old, new) = pair.unwrap();
    let hash = String::from_utf8(path(&old).unwrap()).unwrap();
    let first = world.make("", &old).unwrap();
    let second = world.make("", &new).unwrap();
    assert_eq!(world.find("zephyr", &hash), Ok(first));
    assert_eq!(world.list(world.dir("zephyr")), [&*hash]);
    world.unlink("zephyr", &hash).unwrap();
    assert_eq!(world.find("", &old), Err(Errno::ENOENT));
    assert_eq!(world.find("zephyr", &hash), Ok(second));
}

/// LOOKUP in one view finds nothing, another view makes the object, and CREATE arrives.
pub(crate) fn what_was_made_meanwhile_is_opened_by_its_owner_alone() {
    let world = World::new(&["netbsd", "openbsd"]);
    world.fs.set_data_mode(DataMode::PageCache);
    let node = NewNode {
        kind: Kind::Regular,
        mode: 0o600,
        umask: 0,
    };
    let openbsd = (world.dir("openbsd"), FOO_SHM.as_bytes());
    let found = world.fs.lookup(openbsd.0, openbsd.1);
    assert_eq!(found, Err(Errno::ENOENT));
    let made = world
        .fs
        .mknod(&user(5), world.dir("netbsd"), b".shmobj_foo", node.clone());
    let ino = made.unwrap().attr.ino;
    let plain = |caller: &Caller| {
        let created = world.fs.create(
            caller,
            openbsd.0,
            openbsd.1,
            node.clone(),
            CreateFlags::default(),
        );
        created.map(drop)
    };
    assert_eq!(plain(&user(6)), Err(Errno::ESTALE));
    let flags = libc::O_CREAT | libc::O_RDWR;
    let create = |caller: &Caller, flags| {
        let created = world.fs.create_or_open(caller, openbsd, &node, flags);
        created.map(|(entry, _)| entry.attr.ino)
    };
    assert_eq!(create(&user(6), flags), Err(Errno::EACCES));
    assert_eq!(create(&user(5), flags), Ok(ino));
    let exclusive = create(&user(5), flags | libc::O_EXCL);
    assert_eq!(exclusive, Err(Errno::EEXIST));
    let open = SetAttr {
        mode: Some(0o446),
        ..Default::default()
    };
    world.fs.setattr(&root(), ino, open).unwrap();
    // Another's file: the kernel has rules of its own, and looks again.
    assert_eq!(create(&user(6), flags), Err(Errno::ESTALE));
    assert_eq!(create(&user(5), flags), Err(Errno::EACCES));
    let truncating = libc::O_CREAT | libc::O_RDONLY | libc::O_TRUNC;
    assert_eq!(create(&user(5), truncating), Err(Errno::EACCES));
    assert_eq!(create(&user(5), libc::O_CREAT), Ok(ino));
}
