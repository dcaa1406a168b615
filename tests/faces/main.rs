//! Exports through the library, on a real mount: names of a view, what the owner finds, limits, directories.
//!
//! Cases run twice, as `passthrough::…` and `cached::…`: both ways for data to travel. They share a mount namespace
//! that nobody else sees, and need root and /dev/fuse. What consumers may do is tested in `exports`.

#[allow(dead_code)]
#[path = "../support/alone.rs"]
mod alone;

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use libtest_mimic::Arguments;
use shmfs::Mount;
use shmfs::options::Options;
use tempfile::TempDir;

/// Both ways for data to travel, as tests and options call them.
const MODES: [(&str, &str); 2] = [
    ("passthrough", "passthrough=on"),
    ("cached", "passthrough=off"),
];

type Case = (&'static str, fn(&str));

const CASES: &[Case] = &[
    (
        "an_export_is_seen_under_a_views_names",
        an_export_is_seen_under_a_views_names,
    ),
    (
        "the_owner_sees_what_is_private",
        the_owner_sees_what_is_private,
    ),
    (
        "a_directory_moves_where_nothing_gains",
        a_directory_moves_where_nothing_gains,
    ),
    ("hidden_entries_move_nothing", hidden_entries_move_nothing),
    (
        "an_object_has_one_number_under_one_right",
        an_object_has_one_number_under_one_right,
    ),
    ("limits_are_the_exports_own", limits_are_the_exports_own),
];

/// A mount with exports, unmounted at the end.
struct World {
    mount: Option<Mount>,
    base: TempDir,
}

impl World {
    fn new(option: &str, config: &str) -> World {
        let base = tempfile::tempdir().expect("a temporary directory");
        fs::set_permissions(base.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let (tree, file) = (base.path().join("tree"), base.path().join("exports.toml"));
        fs::create_dir(&tree).unwrap();
        fs::write(&file, config).unwrap();
        let options = format!("size=64m,{option},exports={}", file.display());
        let options: Options = options.parse().unwrap();
        let mount = Mount::builder().options(options).mount(&tree);
        World {
            mount: Some(mount.expect("a mount")),
            base,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.base.path().join("tree").join(name)
    }

    fn export(&self, export: &str, name: &str) -> PathBuf {
        self.path(".shmfs/exports").join(export).join(name)
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let unmounted = self.mount.take().map(Mount::unmount);
        if !std::thread::panicking() {
            unmounted.unwrap().expect("nothing is left open");
        }
    }
}

fn list(directory: impl AsRef<Path>) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[track_caller]
fn fails<T: std::fmt::Debug>(result: io::Result<T>, errno: i32) {
    let error = result.expect_err("it must fail");
    assert_eq!(error.raw_os_error(), Some(errno), "{error}");
}

/// `musl` spells semaphores without a prefix, `glibc` with one: the rules speak of entries.
fn an_export_is_seen_under_a_views_names(option: &str) {
    let config = "[export.part]\nwrite = [\"a*\"]\nread = [\"fixed\"]\nview = \"openbsd\"\n";
    let world = World::new(option, config);
    fs::write(world.path("a1"), b"one").unwrap();
    fs::write(world.path("b1"), b"two").unwrap();
    let shown = list(world.export("part", ""));
    assert_eq!(shown.len(), 1, "{shown:?}");
    assert_ne!(shown[0], "a1", "a name of OpenBSD's");
    assert_eq!(fs::read(world.export("part", &shown[0])).unwrap(), b"one");
    fails(fs::read(world.export("part", "a1")), libc::ENOENT);
    fails(fs::write(world.export("part", "b1"), b"x"), libc::EACCES);
    fs::remove_file(world.export("part", &shown[0])).unwrap();
    assert_eq!(list(world.path("")), ["b1"]);
    assert_eq!(list(world.export("part", "")), [""; 0]);
}

fn the_owner_sees_what_is_private(option: &str) {
    let config =
        "[export.own]\nprivate = true\n[export.part]\nwrite = [\"p*\"]\nunmatched = \"private\"\n";
    let world = World::new(option, config);
    assert_eq!(list(world.path(".shmfs")), ["exports", "private"]);
    assert_eq!(list(world.path(".shmfs/exports")), ["own", "part"]);
    fs::write(world.export("own", "mine"), b"1").unwrap();
    fs::create_dir(world.export("part", "d")).unwrap();
    fs::write(world.export("part", "d/mine"), b"2").unwrap();
    fs::write(world.export("part", "p1"), b"3").unwrap();
    assert_eq!(list(world.path(".shmfs/private")), ["own", "part"]);
    assert_eq!(list(world.path(".shmfs/private/own")), ["default"]);
    assert_eq!(
        fs::read(world.path(".shmfs/private/own/default/mine")).unwrap(),
        b"1"
    );
    assert_eq!(
        fs::read(world.path(".shmfs/private/part/default/d/mine")).unwrap(),
        b"2"
    );
    assert_eq!(list(world.path("")), ["p1"]);
    assert_eq!(list(world.export("part", "")), ["d", "p1"]);
    let mode = |name: &str| fs::metadata(world.path(name)).unwrap().mode() & 0o7777;
    assert_eq!(mode(".shmfs/exports"), 0o700);
    assert_eq!(mode(".shmfs/private"), 0o700);
    assert_eq!(mode(".shmfs/private/own"), 0o700);
    // The owner may clear it.
    fs::remove_file(world.path(".shmfs/private/own/default/mine")).unwrap();
    assert_eq!(list(world.export("own", "")), [""; 0]);
}

fn a_directory_moves_where_nothing_gains(option: &str) {
    let config = "[export.x]\nwrite = [\"w*/\", \"w*/**\"]\nread = [\"r/**\"]\n\
                  [[export.x.rule]]\npath = [\"r/\"]\npermissions = [\"read\", \"create\", \"delete\"]\n";
    let world = World::new(option, config);
    fs::create_dir(world.path("r")).unwrap();
    fs::write(world.path("r/f"), b"read").unwrap();
    fs::create_dir(world.export("x", "w1")).unwrap();
    fs::write(world.export("x", "w1/f"), b"mine").unwrap();
    fails(
        fs::rename(world.export("x", "r"), world.export("x", "w2")),
        libc::EACCES,
    );
    fs::rename(world.export("x", "w1"), world.export("x", "w2")).unwrap();
    assert_eq!(fs::read(world.export("x", "w2/f")).unwrap(), b"mine");
    assert_eq!(list(world.export("x", "")), ["r", "w2"]);
    assert_eq!(list(world.export("x", "w2")), ["f"]);
}

fn hidden_entries_move_nothing(option: &str) {
    let world = World::new(option, "[export.x]\nread = [\"x*\"]\n");
    fs::write(world.path("x1"), b"").unwrap();
    let root = world.export("x", "");
    let seen = || {
        let stat = fs::metadata(&root).unwrap();
        (
            stat.size(),
            stat.nlink(),
            stat.mtime_nsec(),
            stat.ctime_nsec(),
            stat.mtime(),
        )
    };
    assert_eq!(list(&root), ["x1"]);
    let before = seen();
    fs::write(world.path("secret"), b"").unwrap();
    fs::create_dir(world.path("hidden")).unwrap();
    fs::rename(world.path("secret"), world.path("other")).unwrap();
    fs::remove_file(world.path("other")).unwrap();
    assert_eq!(seen(), before);
    fs::write(world.path("x2"), b"").unwrap();
    assert_eq!(seen().0, before.0 + 20);
    fs::remove_file(world.path("x2")).unwrap();
    assert_eq!(seen().0, before.0);
    assert_eq!(list(&root), ["x1"]);
}

/// Names with other rights are other nodes: locks and the page cache of a reader are its own.
fn an_object_has_one_number_under_one_right(option: &str) {
    let world = World::new(option, "[export.x]\nread = [\"r*\"]\nwrite = [\"w*\"]\n");
    fs::write(world.path("w1"), b"").unwrap();
    for name in ["w2", "r1", "r2"] {
        fs::hard_link(world.path("w1"), world.path(name)).unwrap();
    }
    let number = |name: &str| fs::metadata(world.export("x", name)).unwrap().ino();
    assert_eq!(number("w1"), number("w2"));
    assert_eq!(number("r1"), number("r2"));
    assert_ne!(number("r1"), number("w1"));
    let tree = fs::metadata(world.path("w1")).unwrap().ino();
    assert_ne!(number("r1"), tree);
    assert_eq!(number("w1") == tree, option == "passthrough=off");
}

fn limits_are_the_exports_own(option: &str) {
    let config = "[export.x]\nwrite = [\"x*\"]\nsize = \"1m\"\nnr_inodes = 4\n";
    let world = World::new(option, config);
    let stat = rustix::fs::statvfs(world.export("x", "")).unwrap();
    assert_eq!((stat.f_blocks * stat.f_frsize, stat.f_files), (1 << 20, 4));
    fs::write(world.export("x", "x1"), vec![1; 1 << 20]).unwrap();
    fails(fs::write(world.export("x", "x2"), b"more"), libc::ENOSPC);
    // The provider has the rest.
    fs::write(world.path("x3"), vec![1; 2 << 20]).unwrap();
    fs::write(world.export("x", "x1"), b"less").unwrap();
    fs::write(world.export("x", "x2"), b"more").unwrap();
    fs::write(world.export("x", "x4"), b"more").unwrap();
    fails(fs::write(world.export("x", "x5"), b""), libc::ENOSPC);
    // What the provider has made is not counted, whoever writes it.
    fs::write(world.export("x", "x3"), vec![2; 3 << 20]).unwrap();
    let stat = rustix::fs::statvfs(world.export("x", "")).unwrap();
    assert_eq!((stat.f_blocks - stat.f_bfree, stat.f_ffree), (3, 0));
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    if !arguments.list {
        // Before there are threads: /proc/self shows the namespace of the first one.
        alone::private_namespace();
    }
    let trials = MODES.iter().flat_map(|&(mode, option)| {
        CASES.iter().map(move |&(name, test)| {
            alone::trial(format!("{mode}::{name}"), move || {
                test(option);
                Ok(())
            })
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
