//! C libraries of Linux and the Hurd.

use std::os::unix::fs::symlink;

use crate::common::World;
use crate::{SEMAPHORE, is_shared, opens};

#[test]
fn glibc() {
    let world = World::new("glibc").umask("022");
    opens(
        &world,
        &[
            (
                "/mode",
                "+c",
                "7777",
                "ok mode 107755 size 0 cloexec 1 nonblock 0 append 0 nofollow 1",
            ),
            ("/write", "wc", "600", "ok"),
            (
                "/append",
                "+cab",
                "600",
                "ok mode 100600 size 0 cloexec 1 nonblock 1 append 1",
            ),
            ("/.", "r", "600", "ok mode 41777"),
            ("/.", "+", "600", "shm_open EINVAL"),
            ("/a/b", "+c", "600", "shm_open EINVAL"),
        ],
    );
    symlink("mode", world.view().join("link")).expect("a link");
    world.expect("writer", &["/link", "+", "600"], "shm_open ELOOP");
    world.expect("unlinker", &["shm", "/a/b"], "shm_unlink ENOENT");
    world.expect("unlinker", &["shm", "/."], "shm_unlink EISDIR");
    world.expect(SEMAPHORE, &["/mode", "c", "666", "1"], "ok value 1");
    assert_eq!(world.mode("sem.mode"), 0o644);
    world.expect("unlinker", &["sem", "/a/b"], "sem_unlink ENOENT");
}

#[test]
fn glibc_up_to_2_33_wants_a_tmpfs() {
    for (key, unlink) in [("glibc-2.21", "ENOSYS"), ("glibc-2.18", "ENOENT")] {
        let world = World::new(key);
        if is_tmpfs(&world) {
            panic!("the temporary directory is a tmpfs: set TMPDIR to a directory of a disk");
        }
        world.expect("writer", &["/x", "+c", "600"], "shm_open ENOSYS");
        world.expect("unlinker", &["shm", "/x"], &format!("shm_unlink {unlink}"));
        world.expect(SEMAPHORE, &["/x", "c", "600", "1"], "sem_open ENOSYS");
        is_shared(&world.lenient());
    }
}

fn is_tmpfs(world: &World) -> bool {
    let found = rustix::fs::statfs(world.view()).expect("statfs");
    found.f_type as u32 == 0x0102_1994
}

#[test]
fn glibc_2_18_walks_directories_but_not_out_of_the_view() {
    let world = World::on_tmpfs("glibc-2.18");
    world.expect("writer", &["/a/b", "+c", "600"], "shm_open ENOENT");
    std::fs::create_dir(world.view().join("a")).expect("a directory");
    world.expect_start("writer", &["/a/b", "+c", "600"], "ok");
    world.expect("writer", &["/../x", "+c", "600"], "shm_open EACCES");
    world.expect_start("writer", &["/a/../x", "+c", "600"], "ok");
    assert_eq!(world.names(), ["a", "x"]);
    symlink("/", world.view().join("out")).expect("a link");
    world.expect("writer", &["/out/tmp/x", "+c", "600"], "shm_open EACCES");
}

#[test]
fn hurd_has_objects_without_a_name() {
    let world = World::on_tmpfs("hurd");
    world.expect(
        "extras",
        &["anon"],
        "anon ok\nlinks 0\nanon-readonly EINVAL",
    );
    assert!(world.names().is_empty());
}

#[test]
fn musl() {
    let world = World::new("musl");
    opens(
        &world,
        &[
            (
                "/mode",
                "+c",
                "7777",
                "ok mode 107755 size 0 cloexec 1 nonblock 1 append 0 nofollow 1",
            ),
            ("/.", "r", "600", "shm_open EINVAL"),
            ("/...", "+c", "600", "ok"),
        ],
    );
    // A semaphore is the file of that name, without a prefix, and never executable.
    world.expect(SEMAPHORE, &["/sem", "c", "777", "1"], "ok value 1");
    assert_eq!(world.mode("sem"), 0o644);
    world.expect("writer", &["/sem", "+cx", "600"], "shm_open EEXIST");
    world.expect("unlinker", &["shm", "/sem"], "ok");
    world.expect("unlinker", &["shm", "/a/b"], "shm_unlink EINVAL");
    symlink("nowhere", world.view().join("link")).expect("a link");
    world.expect(SEMAPHORE, &["/link", "cx", "600", "1"], "sem_open EEXIST");
    world.expect(SEMAPHORE, &["/link", "c", "600", "1"], "sem_open ELOOP");
}

#[test]
fn uclibc_follows_links() {
    let world = World::on_tmpfs("uclibc");
    opens(
        &world,
        &[(
            "/mode",
            "+c",
            "666",
            "ok mode 100644 size 0 cloexec 1 nonblock 0 append 0 nofollow 0",
        )],
    );
    symlink("mode", world.view().join("link")).expect("a link");
    world.expect_start("writer", &["/link", "+", "0"], "ok");
    world.expect(
        "writer",
        &["", "r", "0"],
        "ok mode 41777 size 60 cloexec 1 nonblock 0 append 0 nofollow 0"
            .replace("60", &size(&world))
            .as_str(),
    );
    world.expect("writer", &["", "+", "0"], "shm_open EINVAL");
    world.expect("unlinker", &["shm", ""], "shm_unlink EISDIR");
}

fn size(world: &World) -> String {
    let metadata = std::fs::metadata(world.view()).expect("the view");
    metadata.len().to_string()
}
