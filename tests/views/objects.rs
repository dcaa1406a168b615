//! One object under every name.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};

use crate::world::{FOO, Page, World, errno, eventually, open};

const VIEWS: [&str; 6] = ["netbsd", "illumos", "openbsd", "freebsd", "haiku", "musl"];
const NAMES: [(&str, &str); 7] = [
    ("", "foo"),
    ("netbsd", ".shmobj_foo"),
    ("illumos", ".SHMDfoo"),
    ("openbsd", FOO),
    ("freebsd", "foo"),
    ("haiku", "foo"),
    ("musl", "foo"),
];
const NEW: i32 = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;

pub(crate) fn made_anywhere_it_is_one_object_everywhere(mode: &str) {
    let world = World::new(&VIEWS, mode);
    for (key, name) in NAMES {
        let file = open(&world.path(key, name), NEW, 0o640).unwrap();
        file.set_len(4096).unwrap();
        let status = file.metadata().unwrap();
        let page = Page::of(&file);
        for (number, (other, name)) in NAMES.into_iter().enumerate() {
            let path = world.path(other, name);
            let seen = fs::metadata(&path).unwrap();
            assert_eq!(seen.ino(), status.ino(), "{key} in {other}");
            assert_eq!((seen.mode(), seen.nlink()), (0o100640, 1));
            let again = open(&path, NEW, 0o600).err();
            assert_eq!(again, Some(libc::EEXIST), "{key} in {other}");
            let theirs = Page::of(&open(&path, libc::O_RDWR, 0).unwrap());
            page.write(number as u8 + 1);
            assert_eq!(theirs.read(), number as u8 + 1, "{key} in {other}, {mode}");
            theirs.write(100);
            assert_eq!(page.read(), 100, "{other} in {key}, {mode}");
        }
        drop((page, file));
        fs::remove_file(world.path(key, name)).unwrap();
    }
}

pub(crate) fn unlinked_anywhere_it_is_gone_everywhere(mode: &str) {
    let world = World::new(&VIEWS, mode);
    for (key, name) in NAMES {
        fs::write(world.path("", "foo"), "x").unwrap();
        for (other, name) in NAMES {
            assert!(world.path(other, name).exists());
        }
        fs::remove_file(world.path(key, name)).unwrap();
        for (other, name) in NAMES {
            let gone = open(&world.path(other, name), libc::O_RDWR, 0).err();
            assert_eq!(gone, Some(libc::ENOENT), "{key}, then {other}");
        }
    }
}

pub(crate) fn attributes_and_links_are_the_objects(mode: &str) {
    let world = World::new(&VIEWS, mode);
    let file = open(&world.path("netbsd", ".shmobj_foo"), NEW, 0o600).unwrap();
    for (number, (key, name)) in NAMES.into_iter().enumerate() {
        let path = world.path(key, name);
        let mode = 0o600 + number as u32;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        std::os::unix::fs::chown(&path, Some(number as u32), Some(7)).unwrap();
        fs::hard_link(&path, world.path(key, "link")).unwrap();
        for (other, name) in NAMES {
            let seen = fs::metadata(world.path(other, name)).unwrap();
            let attributes = (seen.mode() & 0o777, seen.uid(), seen.gid(), seen.nlink());
            assert_eq!(attributes, (mode, number as u32, 7, 2), "{key} in {other}");
        }
        assert_eq!(file.metadata().unwrap().nlink(), 2);
        fs::remove_file(world.path(key, "link")).unwrap();
        assert_eq!(file.metadata().unwrap().nlink(), 1);
    }
    drop(file);
}

pub(crate) fn the_directory_is_one_too(mode: &str) {
    let world = World::new(&VIEWS, mode);
    for (number, (key, _)) in NAMES.into_iter().enumerate() {
        let mode = 0o700 + number as u32;
        let path = world.path(key, ".");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        for (other, _) in NAMES {
            let seen = fs::metadata(world.path(other, ".")).unwrap();
            assert_eq!(seen.mode() & 0o7777, mode, "{key} in {other}");
        }
    }
}

pub(crate) fn names_move_through_views(mode: &str) {
    let world = World::new(&VIEWS, mode);
    fs::write(world.path("", "bar"), "x").unwrap();
    let ino = fs::metadata(world.path("haiku", "bar")).unwrap().ino();
    fs::rename(
        world.path("illumos", ".SHMDbar"),
        world.path("illumos", ".SHMDfoo"),
    )
    .unwrap();
    for (key, name) in NAMES {
        assert_eq!(fs::metadata(world.path(key, name)).unwrap().ino(), ino);
    }
    let gone = fs::metadata(world.path("netbsd", ".shmobj_bar"));
    assert_eq!(errno(gone), Some(libc::ENOENT));
    // A semaphore's protocol: a temporary file of the view's own, linked to an object's name.
    fs::write(world.path("openbsd", "temporary"), "y").unwrap();
    assert_eq!(world.list(""), ["foo"]);
    let existing = fs::hard_link(
        world.path("openbsd", "temporary"),
        world.path("openbsd", FOO),
    );
    assert_eq!(errno(existing), Some(libc::EEXIST));
    fs::remove_file(world.path("musl", "foo")).unwrap();
    fs::hard_link(
        world.path("openbsd", "temporary"),
        world.path("openbsd", FOO),
    )
    .unwrap();
    fs::remove_file(world.path("openbsd", "temporary")).unwrap();
    let made = fs::metadata(world.path("", "foo")).unwrap();
    assert_eq!((made.nlink(), made.len()), (1, 1));
    assert_eq!(fs::read(world.path("netbsd", ".shmobj_foo")).unwrap(), b"y");
}

pub(crate) fn digests_wait_for_their_names(mode: &str) {
    for claims in ["look", "make", "rename", "other view"] {
        let world = World::new(&["openbsd", "netbsd"], mode);
        fs::write(world.path("openbsd", FOO), "waits").unwrap();
        let ino = fs::metadata(world.path("openbsd", FOO)).unwrap().ino();
        assert_eq!(world.list(""), [""; 0]);
        assert_eq!(world.list("openbsd"), [FOO]);
        match claims {
            "look" => assert_eq!(fs::read(world.path("", "foo")).unwrap(), b"waits"),
            "make" => {
                let made = open(&world.path("", "foo"), NEW, 0o600).err();
                assert_eq!(made, Some(libc::EEXIST));
            }
            "rename" => {
                fs::write(world.path("", "new"), "new").unwrap();
                let (from, to) = (world.path("", "new"), world.path("", "foo"));
                rustix::fs::renameat_with(
                    rustix::fs::CWD,
                    &from,
                    rustix::fs::CWD,
                    &to,
                    rustix::fs::RenameFlags::NOREPLACE,
                )
                .expect_err("the name is taken");
                fs::remove_file(from).unwrap();
            }
            _ => assert!(world.path("netbsd", ".shmobj_foo").exists()),
        }
        assert_eq!(world.list(""), ["foo"], "{claims}");
        assert_eq!(world.list("openbsd"), [FOO], "{claims}");
        let claimed = fs::metadata(world.path("netbsd", ".shmobj_foo")).unwrap();
        assert_eq!(claimed.ino(), ino, "{claims}");
    }
}

/// Mapped by its digest, claimed by a look at its name, mapped by that: one memory, one size, whoever writes how.
pub(crate) fn a_claim_keeps_memory_coherent(mode: &str) {
    let world = World::new(&["openbsd", "netbsd"], mode);
    let digest = world.path("openbsd", FOO);
    let waiting = open(&digest, NEW, 0o600).unwrap();
    waiting.set_len(4096).unwrap();
    let before = Page::of(&waiting);
    before.write(1);
    let named = open(&world.path("", "foo"), libc::O_RDWR, 0).unwrap();
    let after = Page::of(&named);
    assert_eq!(after.read(), 1);
    after.write(2);
    assert_eq!(before.read(), 2);
    let third = world.path("netbsd", ".shmobj_foo");
    let third = open(&third, libc::O_RDWR, 0).unwrap();
    third.write_all_at(&[3], 0).unwrap();
    assert_eq!((before.read(), after.read()), (3, 3));
    before.write(4);
    let mut byte = [0];
    third.read_exact_at(&mut byte, 0).unwrap();
    assert_eq!(byte, [4]);
    // Longer in one is longer in all; shorter takes what was behind.
    third.set_len(8192).unwrap();
    assert_eq!(fs::metadata(&digest).unwrap().len(), 8192);
    named.set_len(0).unwrap();
    waiting.set_len(4096).unwrap();
    assert_eq!((before.read(), after.read()), (0, 0));
    assert_eq!(third.metadata().unwrap().len(), 4096);
}

pub(crate) fn a_name_has_its_digest_already(mode: &str) {
    let world = World::new(&["openbsd"], mode);
    // Before the view is used at all, and after.
    fs::write(world.path("", "foo"), "x").unwrap();
    let ino = fs::metadata(world.path("", "foo")).unwrap().ino();
    let found = fs::metadata(world.path("openbsd", FOO)).unwrap().ino();
    assert_eq!(found, ino);
    fs::rename(world.path("", "foo"), world.path("", "bar")).unwrap();
    assert!(!world.path("openbsd", FOO).exists());
    fs::rename(world.path("", "bar"), world.path("", "foo")).unwrap();
    assert!(world.path("openbsd", FOO).exists());
}

pub(crate) fn what_the_kernel_knew_before_the_first_view_is_asked_again(mode: &str) {
    let world = World::new(&["netbsd"], mode);
    let absent = world.path("", "absent");
    let present = world.path("", "present");
    fs::write(&present, "x").unwrap();
    assert!(!absent.exists() && present.exists());
    let tree = fs::File::open(world.path("", ".")).unwrap();
    let before = tree.metadata().unwrap().mtime_nsec();
    fs::rename(
        world.path("netbsd", ".shmobj_present"),
        world.path("netbsd", ".shmobj_absent"),
    )
    .unwrap();
    assert!(absent.exists());
    assert!(!present.exists());
    assert_ne!(tree.metadata().unwrap().mtime_nsec(), before);
    drop(tree);
}

pub(crate) fn directories_are_seen_in_every_view_at_once(mode: &str) {
    let world = World::new(&["netbsd", "illumos"], mode);
    fs::create_dir(world.path("netbsd", ".shmobj_dir")).unwrap();
    fs::create_dir(world.path("", "dir/.shmfs")).unwrap();
    fs::write(world.path("illumos", ".SHMDdir/file"), "x").unwrap();
    let inside = [
        world.path("", "dir/file"),
        world.path("netbsd", ".shmobj_dir/file"),
        world.path("illumos", ".SHMDdir/file"),
    ];
    for path in &inside {
        assert_eq!(fs::read(path).unwrap(), b"x");
    }
    // Each stays where it is, though they are one: the kernel takes them for three directories.
    let held: Vec<fs::File> = inside
        .iter()
        .map(|path| fs::File::open(path.parent().unwrap()).unwrap())
        .collect();
    fs::remove_file(&inside[1]).unwrap();
    fs::remove_dir(world.path("netbsd", ".shmobj_dir/.shmfs")).unwrap();
    for path in &inside {
        assert!(!path.exists(), "{path:?}");
        assert!(path.parent().unwrap().exists());
    }
    drop(held);
    fs::remove_dir(world.path("illumos", ".SHMDdir")).unwrap();
    assert!(!inside[0].parent().unwrap().exists());
    let refused = fs::remove_dir(world.path("", ".shmfs"));
    assert!(refused.is_err());
}

pub(crate) fn memory_is_free_when_the_last_name_goes(mode: &str) {
    let world = World::new(&VIEWS, mode);
    let before = world.used();
    for (key, name) in NAMES {
        let path = world.path("haiku", "foo");
        fs::File::create(path)
            .unwrap()
            .write_all(&[1; 1 << 20])
            .unwrap();
        for (other, name) in NAMES {
            assert!(world.path(other, name).exists());
        }
        fs::remove_file(world.path(key, name)).unwrap();
        let what = format!("unlinked in '{key}', {mode}");
        eventually(&what, || world.used() == before);
    }
}

pub(crate) fn the_way_to_the_views(mode: &str) {
    let world = World::new(&["netbsd"], mode);
    assert_eq!(world.list(""), [""; 0]);
    assert_eq!(crate::world::list(&world.path("", ".shmfs")), ["views"]);
    assert_eq!(
        crate::world::list(&world.path("", ".shmfs/views")),
        ["netbsd"]
    );
    let mode = |name| fs::metadata(world.path("", name)).unwrap().mode() & 0o7777;
    assert_eq!((mode(".shmfs"), mode(".shmfs/views")), (0o711, 0o755));
    assert!(!world.path("netbsd", ".shmfs").exists());
    assert!(fs::write(world.path("", ".shmfs/x"), "").is_err());
    assert!(fs::write(world.path("", ".shmfs/views/x"), "").is_err());
    let unknown = fs::metadata(world.path("", ".shmfs/views/openbsd"));
    assert_eq!(errno(unknown), Some(libc::ENOENT));
}
