//! What remains: what a consumer can learn of others all the same, as docs/SEMANTICS.md lists it.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use crate::calls::flock;
use crate::consumer::consume;
use crate::model::{Way, Who};
use crate::sys::{self, EACCES, EAGAIN, ENOENT, fails};
use crate::world::{WAYS, World, provide};

/// `v*` is the consumer's, with a limit or without.
const CONFIG: &str = "[export.free]\nwrite = [\"v*\"]\n[export.limited]\nwrite = [\"v*\"]\nsize = \"1m\"\nnr_inodes = 100\n";

fn each(test: impl Fn(&World)) {
    for way in WAYS {
        let world = World::new(way, CONFIG);
        test(&world);
        world.stop();
    }
}

/// An object counts its hidden names too, and its ctime moves with them.
pub(crate) fn hard_links() {
    each(|world| {
        provide(world, "v1");
        let seen = world.export("free").join("v1");
        let before = sys::stat(&seen).unwrap();
        sys::link(world.path("v1"), world.path("secret")).unwrap();
        let after = sys::stat(&seen).unwrap();
        assert_eq!((before.nlink, after.nlink), (1, 2));
        assert!(after.ctime > before.ctime, "ctime");
        assert_eq!(after.mtime, before.mtime);
    });
}

/// statfs(2) has the use of the whole file system, but where the export has limits of its own.
pub(crate) fn statfs() {
    each(|world| {
        let left = |export: &str| {
            let stat = sys::statfs(world.export(export)).unwrap();
            (stat.f_bavail, stat.f_ffree)
        };
        let before = (left("free"), left("limited"));
        let file = sys::put(world.path("secret"), &[1; 100_000]);
        let after = (left("free"), left("limited"));
        assert!(after.0.0 < before.0.0 && after.0.1 < before.0.1, "without");
        assert_eq!(after.1, before.1, "with limits");
        drop(file);
    });
}

/// What is never exported keeps its name: it cannot be seen, and it cannot be made.
pub(crate) fn taken_names() {
    each(|world| {
        sys::mknod(world.path("v-fifo"), libc::S_IFIFO | 0o666, 0).unwrap();
        let export = world.export("free");
        consume(Who::User, || {
            fails(sys::stat(export.join("v-fifo")), ENOENT);
            let flags = libc::O_CREAT | libc::O_RDWR;
            fails(sys::open(export.join("v-fifo"), flags), EACCES);
            drop(sys::open(export.join("v-other"), flags).expect("a free name"));
        });
    });
}

fn open(path: &Path) -> OwnedFd {
    sys::open(path, libc::O_RDWR).unwrap()
}

fn exclusive(file: &OwnedFd) -> sys::R {
    flock(file, libc::LOCK_EX | libc::LOCK_NB)
}

/// Locks are the node's: those who have an object by one export and with the same access exclude each other; the
/// provider is another one, but where both share the page cache.
pub(crate) fn locks() {
    each(|world| {
        provide(world, "v1");
        let path = world.export("free").join("v1");
        let (one, other) = (open(&path), open(&path));
        exclusive(&one).unwrap();
        fails(exclusive(&other), EAGAIN);
        let provider = exclusive(&open(&world.path("v1")));
        let elsewhere = exclusive(&open(&world.export("limited").join("v1")));
        let shared = match world.way {
            Way::PageCache => Err(EAGAIN),
            Way::Passthrough | Way::Plain => Ok(()),
        };
        assert_eq!((provider, elsewhere), (shared, shared), "{:?}", world.way);
    });
}

/// inotify(7) of a directory tells nothing of others; of an object that shares the tree's page cache it tells of the
/// provider's work, which the consumer may read in any case.
pub(crate) fn notifications() {
    each(|world| {
        provide(world, "v1");
        let export = world.export("free");
        // SAFETY: no pointers.
        let watcher = sys::owned(unsafe { libc::inotify_init1(libc::IN_NONBLOCK) }).unwrap();
        for path in [export.join("v1"), export.clone()] {
            let path = sys::c(&path);
            let what = libc::IN_MODIFY | libc::IN_CREATE | libc::IN_DELETE;
            let descriptor = watcher.as_raw_fd();
            // SAFETY: the path ends in a NUL.
            let watched = unsafe { libc::inotify_add_watch(descriptor, path.as_ptr(), what) };
            sys::check(watched).expect("watch");
        }
        provide(world, "v2");
        sys::pwrite(&open(&world.path("v1")), b"more", 0).unwrap();
        let heard = sys::read(&watcher, 4096).map(|events| events.len());
        let expected = match world.way {
            // One event without a name, of the object.
            Way::PageCache => Ok(16),
            Way::Passthrough | Way::Plain => Err(EAGAIN),
        };
        assert_eq!(heard, expected, "{:?}", world.way);
    });
}
