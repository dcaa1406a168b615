//! Private trees and layers: what belongs to one session of one consumer.

use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::consumer::consume;
use crate::model::{Way, Who};
use crate::proc;
use crate::sys::{self, EACCES, EEXIST, ENOENT, ENOSPC, EXDEV, fails};
use crate::world::{WAYS, World, unmount};

/// A session of its own, bound by `shmfs export mount`.
struct Session {
    target: PathBuf,
}

impl Session {
    fn new(world: &World, export: &str, name: &str) -> Session {
        let target = world.outside(name);
        let tree = world.tree();
        let arguments = [
            "export",
            "mount",
            export,
            tree.to_str().unwrap(),
            target.to_str().unwrap(),
        ];
        world
            .shmfs(&arguments)
            .unwrap_or_else(|why| panic!("{why}"));
        Session { target }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.target.join(name)
    }

    /// Its end: nothing of it is bound any more.
    fn end(self) {
        unmount(&self.target).unwrap();
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = rustix::mount::unmount(&self.target, UnmountFlags::DETACH);
        }
    }
}

fn used(path: &Path) -> (u64, u64) {
    let stat = sys::statfs(path).unwrap();
    (stat.f_blocks - stat.f_bfree, stat.f_files - stat.f_ffree)
}

/// An empty tree, 1777, in which everything is allowed and nothing is seen of others.
pub(crate) fn a_private_tree_is_a_tmpfs_of_ones_own() {
    for way in WAYS {
        let world = World::new(way, "[export.own]\nprivate = true\n");
        sys::touch(world.path("providers"));
        let session = Session::new(&world, "own", "one");
        let root = sys::stat(&session.target).unwrap();
        assert_eq!((root.perm(), root.nlink), (0o1777, 2));
        assert_eq!(sys::ls(&session.target), [""; 0]);
        consume(Who::User, || {
            fails(sys::stat(session.path("providers")), ENOENT);
            drop(sys::put(session.path("providers"), b"mine"));
            sys::mkdir(session.path("d"), 0o755).unwrap();
            sys::symlink("providers", session.path("d/link")).unwrap();
            sys::mknod(session.path("fifo"), libc::S_IFIFO | 0o600, 0).unwrap();
            sys::link(session.path("providers"), session.path("d/other")).unwrap();
            sys::chmod(session.path("providers"), 0o600).unwrap();
            let file = sys::open(session.path("providers"), libc::O_RDWR).unwrap();
            sys::ftruncate(&file, 8192).unwrap();
            let map = proc::shared(&file, 8192);
            map.set(8191, 3);
            assert_eq!(sys::pread(&file, 1, 0), Ok(b"m".to_vec()));
            fails(sys::stat(session.path(".shmfs")), ENOENT);
        });
        assert_eq!(sys::slurp(world.path("providers")), b"");
        assert_eq!(sys::ls(world.tree()), ["providers"]);
        session.end();
        world.stop();
    }
}

/// Two sessions of one export do not meet.
pub(crate) fn sessions_do_not_meet() {
    for way in WAYS {
        let config = "[export.own]\nprivate = true\n[export.part]\nwrite = [\"pub*\"]\n\
                      unmatched = \"private\"\n";
        let world = World::new(way, config);
        for export in ["own", "part"] {
            let [one, other] = ["one", "other"]
                .map(|name| Session::new(&world, export, &format!("{export}-{name}")));
            for (session, text) in [(&one, b"one"), (&other, b"two")] {
                consume(Who::User, || {
                    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
                    let file = sys::open(session.path("mine"), flags).expect("no clash");
                    assert_eq!(sys::write(&file, text), Ok(3));
                });
            }
            assert_eq!(sys::slurp(one.path("mine")), b"one");
            assert_eq!(sys::slurp(other.path("mine")), b"two");
            consume(Who::User, || sys::unlink(one.path("mine")).unwrap());
            assert_eq!(sys::slurp(other.path("mine")), b"two");
            assert_eq!(sys::ls(&one.target), [""; 0]);
            fails(sys::stat(world.path("mine")), ENOENT);
            one.end();
            other.end();
        }
        world.stop();
    }
}

/// At the end of a session its memory comes back, also where the owner has looked at it.
pub(crate) fn a_sessions_tree_ends_with_it() {
    for way in WAYS {
        let world = World::new(way, "[export.own]\nprivate = true\n");
        let before = used(&world.tree());
        let layers = world.path(".shmfs/private/own");
        let session = Session::new(&world, "own", "one");
        consume(Who::User, || {
            sys::mkdir(session.path("d"), 0o755).unwrap();
            drop(sys::put(session.path("d/f"), &[1; 1 << 20]));
        });
        let shown = sys::ls(&layers);
        let found = shown
            .iter()
            .filter(|one| layers.join(one).join("d/f").exists());
        assert_eq!(found.count(), 1, "the owner sees it: {shown:?}");
        session.end();
        proc::eventually("its memory comes back", || used(&world.tree()) == before);
        let left = std::fs::read_dir(&layers).into_iter().flatten().flatten();
        let left = left.filter(|one| one.path().join("d").exists());
        assert_eq!(left.count(), 0, "its layer is gone");
        // The next one begins with nothing.
        let session = Session::new(&world, "own", "one");
        assert_eq!(sys::ls(&session.target), [""; 0]);
        session.end();
        world.stop();
    }
}

/// With `keep` what one session left is what the next finds.
pub(crate) fn what_is_kept_is_found_again() {
    let world = World::new(
        Way::Passthrough,
        "[export.own]\nprivate = true\nkeep = true\n",
    );
    let session = Session::new(&world, "own", "one");
    consume(Who::User, || drop(sys::put(session.path("f"), b"kept")));
    session.end();
    let session = Session::new(&world, "own", "two");
    assert_eq!(sys::slurp(session.path("f")), b"kept");
    fails(sys::stat(world.path("f")), ENOENT);
    session.end();
    world.stop();
}

/// What matches no rule is the consumer's own; publishing needs create on the target.
pub(crate) fn unmatched_names_are_ones_own() {
    let config = "[export.part]\nwrite = [\"pub*\"]\nread = [\"ro*\"]\nhide = [\"pub-not\"]\n\
                  unmatched = \"private\"\n";
    for way in WAYS {
        let world = World::new(way, config);
        for name in ["pub1", "ro1", "secret", "pub-not"] {
            drop(sys::put(world.path(name), b"providers"));
            sys::chmod(world.path(name), 0o666).unwrap();
        }
        let session = Session::new(&world, "part", "one");
        consume(Who::Root, || {
            assert_eq!(sys::ls(&session.target), ["pub1", "ro1"]);
            for name in ["secret", "pub-not", "mine", "mine2"] {
                fails(sys::stat(session.path(name)), ENOENT);
                let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
                let file = sys::open(session.path(name), flags).expect(name);
                assert_eq!(sys::write(&file, b"mine"), Ok(4));
            }
            let all = ["mine", "mine2", "pub-not", "pub1", "ro1", "secret"];
            assert_eq!(sys::ls(&session.target), all);
            // Published: under a name that may be created, and no other.
            sys::rename(session.path("mine"), session.path("pub2")).unwrap();
            sys::link(session.path("mine2"), session.path("pub3")).unwrap();
            sys::rename(session.path("secret"), session.path("pub1")).expect("replaced");
            fails(
                sys::rename(session.path("mine2"), session.path("ro1")),
                EACCES,
            );
            fails(
                sys::rename(session.path("mine2"), session.path("ro2")),
                EACCES,
            );
            fails(
                sys::link(session.path("mine2"), session.path("ro1")),
                EEXIST,
            );
            fails(
                sys::link(session.path("mine2"), session.path("ro2")),
                EACCES,
            );
            // The other direction is another device.
            for name in ["pub2", "pub1"] {
                fails(sys::rename(session.path(name), session.path("back")), EXDEV);
                fails(sys::link(session.path(name), session.path("back")), EXDEV);
            }
            fails(
                sys::rename(session.path("ro1"), session.path("back")),
                EACCES,
            );
            fails(sys::link(session.path("ro1"), session.path("back")), EXDEV);
        });
        for (name, contents) in [("pub1", &b"mine"[..]), ("pub2", b"mine"), ("pub3", b"mine")] {
            assert_eq!(sys::slurp(world.path(name)), contents, "{name}");
        }
        for name in ["secret", "pub-not", "ro1"] {
            assert_eq!(sys::slurp(world.path(name)), b"providers", "{name}");
        }
        fails(sys::stat(world.path("mine2")), ENOENT);
        session.end();
        // What was published stays.
        assert_eq!(sys::slurp(world.path("pub2")), b"mine");
        world.stop();
    }
}

/// The temporaries of sem_open are a session's own, and only those.
pub(crate) fn scratch_names_are_ones_own() {
    for way in WAYS {
        let world = World::new(way, "[export.sem]\nsemaphores = [\"foo\"]\n");
        let [one, other] = ["one", "other"].map(|name| Session::new(&world, "sem", name));
        for name in ["sem.aX91Qk", "KElSis", "tmp-482913377"] {
            for session in [&one, &other] {
                consume(Who::User, || {
                    let flags = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
                    drop(sys::open(session.path(name), flags).expect("two consumers collide"));
                });
            }
            fails(sys::stat(world.path(name)), ENOENT);
            consume(Who::User, || sys::unlink(one.path(name)).unwrap());
            sys::stat(other.path(name)).expect("the other's stays");
        }
        consume(Who::User, || {
            for name in ["sem.bar", "KElSis7", "tmp-", "tmp", "sem.aX91Qk7", "foo"] {
                let flags = libc::O_CREAT | libc::O_RDWR;
                let made = sys::open(one.path(name), flags).map(drop);
                assert_eq!(made, Err(EACCES), "{name}");
            }
        });
        one.end();
        other.end();
        world.stop();
    }
}

/// A limit of an export's own: it is exact, and the mount's own room is not touched.
pub(crate) fn limits() {
    for way in WAYS {
        let config = "[export.own]\nprivate = true\nsize = \"1m\"\nnr_inodes = 10\n\
                      [export.part]\nwrite = [\"p*\"]\nsize = \"1m\"\n";
        let world = World::new(way, config);
        let session = Session::new(&world, "own", "one");
        let stat = sys::statfs(&session.target).unwrap();
        assert_eq!(stat.f_blocks * stat.f_bsize as u64, 1 << 20, "df shows it");
        consume(Who::User, || {
            let file = sys::put(session.path("f"), b"");
            let full = vec![1u8; 1 << 20];
            assert_eq!(
                sys::pwrite(&file, &full[..(1 << 20) - 8192], 0).map(|_| ()),
                Ok(())
            );
            fails(sys::pwrite(&file, &full, 1 << 20), ENOSPC);
            sys::ftruncate(&file, 0).unwrap();
            let more = (0..20).map(|n| sys::open(session.path(&n.to_string()), CREATE));
            let refused = more.filter(|made| matches!(made, Err(ENOSPC))).count();
            assert!((9..=12).contains(&refused), "{refused} of 20 refused");
        });
        session.end();
        let session = Session::new(&world, "part", "two");
        consume(Who::User, || {
            let file = sys::put(session.path("p1"), b"");
            fails(sys::fallocate(&file, 0, 0, 2 << 20), ENOSPC);
            sys::fallocate(&file, 0, 0, 1 << 19).unwrap();
            fails(sys::fallocate(&file, 0, 0, 2 << 20), ENOSPC);
        });
        // The provider's own objects are not the export's.
        let file = sys::put(world.path("p2"), b"");
        sys::fallocate(&file, 0, 0, 4 << 20).unwrap();
        drop(file);
        session.end();
        world.stop();
    }
}

const CREATE: i32 = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
