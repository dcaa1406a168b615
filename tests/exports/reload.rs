//! New rules for a live mount.

use std::path::Path;

use crate::calls::reopen;
use crate::consumer::become_consumer;
use crate::model::{Rights, Rules, Way, Who};
use crate::proc::{self, Step, mmap};
use crate::sys::{self, EACCES, ENOENT, fails};
use crate::world::{USER, WAYS, World};

fn only(pattern: &str, rights: Rights) -> String {
    Rules::default().grant(pattern, rights).toml("live")
}

fn provide(world: &World, name: &str) {
    let file = sys::put(world.path(name), &[5; 8192]);
    sys::fchmod(&file, 0o666).unwrap();
    sys::fchown(&file, USER, USER).unwrap();
}

/// Puts another configuration in force.
fn reload(world: &World, config: &str) -> Result<String, String> {
    std::fs::write(world.config(), config).unwrap();
    let tree = world.tree();
    world.shmfs(&["export", "reload", tree.to_str().unwrap()])
}

/// What is open keeps its rights; what is opened next does not have them.
pub(crate) fn open_descriptors_and_mappings_keep_their_rights() {
    for way in WAYS {
        let world = World::new(way, &only("x*", Rights::ALL));
        provide(&world, "x");
        let export = world.export("live");
        let (open, narrowed) = (Step::new(), Step::new());
        let consumer = proc::spawn(|| {
            become_consumer(Who::User);
            let path = export.join("x");
            let file = sys::open(&path, libc::O_RDWR).unwrap();
            let by_path = sys::open(&path, libc::O_PATH).unwrap();
            let map = proc::shared(&file, 8192);
            open.make();
            narrowed.wait();
            assert_eq!(sys::pwrite(&file, b"kept", 0), Ok(4));
            map.set(100, 77);
            map.protect(libc::PROT_READ).unwrap();
            map.protect(libc::PROT_READ | libc::PROT_WRITE).unwrap();
            sys::ftruncate(&file, 4096).expect("the descriptor may write");
            for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY | libc::O_TRUNC] {
                fails(sys::open(&path, flags), EACCES);
                // Without passthrough a name that gave all was the tree's own node, and what is
                // held of that does not say where it was found.
                if way == Way::Passthrough {
                    fails(reopen(&file, flags), EACCES);
                    fails(reopen(&by_path, flags), EACCES);
                }
            }
            fails(sys::unlink(&path), EACCES);
            fails(sys::truncate(&path, 0), EACCES);
            drop(sys::open(&path, libc::O_RDONLY).expect("read is left"));
        });
        open.wait();
        reload(&world, &only("x*", Rights::READ)).unwrap();
        narrowed.make();
        consumer.join();
        assert_eq!(&sys::slurp(world.path("x"))[..4], b"kept");
        world.stop();
    }
}

/// What was hidden is there at once, and what is hidden now is gone at once.
pub(crate) fn no_entry_is_stale() {
    for way in WAYS {
        let world = World::new(way, &only("x*", Rights::ALL));
        provide(&world, "x1");
        provide(&world, "y1");
        let export = world.export("live");
        let look = |seen: &str, gone: &str| {
            assert_eq!(sys::ls(&export), [seen]);
            for who in [Who::User, Who::Root] {
                crate::consumer::consume(who, || {
                    sys::stat(export.join(seen)).expect("it is visible");
                    drop(sys::open(export.join(seen), libc::O_RDWR).expect("it is granted"));
                    fails(sys::stat(export.join(gone)), ENOENT);
                    fails(sys::open(export.join(gone), libc::O_RDONLY), ENOENT);
                    fails(
                        sys::open(export.join(gone), libc::O_CREAT | libc::O_RDWR),
                        EACCES,
                    );
                });
            }
        };
        for _ in 0..3 {
            look("x1", "y1");
            reload(&world, &only("y*", Rights::ALL)).unwrap();
            look("y1", "x1");
            reload(&world, &only("x*", Rights::ALL)).unwrap();
        }
        world.stop();
    }
}

/// Rights come as well as go: an object that was known as read-only can be written.
pub(crate) fn rights_that_are_won_hold_at_once() {
    for way in WAYS {
        let world = World::new(way, &only("x*", Rights::READ));
        provide(&world, "x");
        let export = world.export("live");
        crate::consumer::consume(Who::User, || {
            drop(sys::open(export.join("x"), libc::O_RDONLY).unwrap());
            fails(sys::open(export.join("x"), libc::O_RDWR), EACCES);
            fails(sys::access(export.join("x"), libc::W_OK), EACCES);
        });
        reload(&world, &only("x*", Rights::ALL)).unwrap();
        crate::consumer::consume(Who::User, || {
            sys::access(export.join("x"), libc::W_OK).expect("the mode shows it");
            let file = sys::open(export.join("x"), libc::O_RDWR).expect("write is granted");
            let both = libc::PROT_READ | libc::PROT_WRITE;
            drop(mmap(&file, 4096, both, libc::MAP_SHARED, 0).expect("and a mapping"));
            drop(sys::put(export.join("x-new"), b"new"));
        });
        world.stop();
    }
}

/// A file with an error changes nothing, and says why.
pub(crate) fn a_bad_file_leaves_the_old_rules() {
    for way in WAYS {
        let world = World::new(way, &only("x*", Rights::ALL));
        provide(&world, "x");
        provide(&world, "y");
        let export = world.export("live");
        let bad = [
            "[export.live]\nread = [\"/y\"]\n",
            "[export.live]\nread = [\"y**\"]\n",
            "[export.live]\nread = [\"y\"\n",
            "[export.live]\n",
            "this is no TOML",
        ];
        for text in bad {
            let said = reload(&world, text).expect_err("a file with an error is in force");
            assert!(said.contains("exports.toml"), "{said}");
            assert_eq!(sys::ls(&export), ["x"], "{text}");
            fails(sys::stat(export.join("y")), ENOENT);
            drop(sys::open(export.join("x"), libc::O_RDWR).expect("the old rules hold"));
        }
        std::fs::remove_file(world.config()).unwrap();
        let tree = world.tree();
        let gone = world.shmfs(&["export", "reload", tree.to_str().unwrap()]);
        gone.expect_err("there is no file");
        assert_eq!(sys::ls(&export), ["x"]);
        world.stop();
    }
}

/// What a live export cannot become is refused, and the old rules hold.
pub(crate) fn what_cannot_change_is_refused() {
    let world = World::new(Way::Passthrough, &only("x*", Rights::ALL));
    provide(&world, "x");
    let export = world.export("live");
    for text in ["private = true\n", "read = [\"y\"]\nview = \"netbsd\"\n"] {
        let said = reload(&world, &format!("[export.live]\n{text}"));
        said.expect_err(text);
        assert_eq!(sys::ls(&export), ["x"], "{text}");
    }
    // Nor by way of an absence: who has it goes on with it.
    reload(&world, "[export.other]\nread = [\"z\"]\n").unwrap();
    assert_eq!(sys::ls(&export), [""; 0]);
    let said = reload(&world, "[export.live]\nprivate = true\n").expect_err("it is another one");
    assert!(said.contains("private cannot change"), "{said}");
    reload(&world, &only("x*", Rights::ALL)).unwrap();
    assert_eq!(sys::ls(&export), ["x"]);
    world.stop();
}

/// An export that is left out shows nothing any more.
pub(crate) fn an_export_that_is_gone_shows_nothing() {
    let other = Rules::default().grant("z", Rights::READ).toml("other");
    let world = World::new(Way::Passthrough, &(only("x*", Rights::ALL) + &other));
    provide(&world, "x");
    let export = world.export("live");
    assert_eq!(sys::ls(&export), ["x"]);
    // Either it is refused as long as somebody uses it, or nothing is left of it.
    match reload(&world, &other) {
        Err(said) => {
            assert!(said.contains("live"), "{said}");
            assert_eq!(sys::ls(&export), ["x"]);
        }
        Ok(_) => {
            let seen = std::fs::read_dir(&export).map_or(0, Iterator::count);
            assert_eq!(seen, 0);
            assert!(sys::open(export.join("x"), libc::O_RDONLY).is_err());
            assert!(sys::open(export.join("x9"), libc::O_RDWR | libc::O_CREAT).is_err());
        }
    }
    world.stop();
}

/// While rules change to and fro each answer is that of the one or of the other.
pub(crate) fn while_a_consumer_works() {
    let world = World::new(Way::Passthrough, &only("x*", Rights::ALL));
    provide(&world, "x");
    let export = world.export("live");
    let stop = Step::new();
    let consumer = proc::spawn(|| {
        become_consumer(Who::User);
        let mut answers = [0; 3];
        while !stop.is_made() {
            let at = match sys::open(export.join("x"), libc::O_RDWR) {
                Ok(_) => 0,
                Err(EACCES) => 1,
                Err(ENOENT) => 2,
                Err(other) => panic!("{other:?}"),
            };
            answers[at] += 1;
            let names = sys::ls(&export);
            assert!(names.is_empty() || names == ["x"], "{names:?}");
        }
        assert!(answers[0] > 0, "{answers:?}");
    });
    for _ in 0..5 {
        for config in [
            only("x*", Rights::READ),
            only("y*", Rights::ALL),
            only("x*", Rights::ALL),
        ] {
            reload(&world, &config).unwrap();
        }
    }
    stop.make();
    consumer.join();
    world.stop();
}

/// A reload by another file than the one it began with.
pub(crate) fn another_file() {
    let world = World::new(Way::Passthrough, &only("x*", Rights::ALL));
    provide(&world, "y");
    let export = world.export("live");
    assert_eq!(sys::ls(&export), [""; 0]);
    let other = world.outside("other").join("rules.toml");
    std::fs::write(&other, only("y*", Rights::READ)).unwrap();
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let (tree, other) = (text(&world.tree()), text(&other));
    world.shmfs(&["export", "reload", &tree, &other]).unwrap();
    assert_eq!(sys::ls(&export), ["y"]);
    world.stop();
}
