//! The BSDs.

use std::os::unix::fs::symlink;

use crate::common::{NOBODY, World, chmod, names};
use crate::{SEMAPHORE, is_shared, opens, refuses_flags};

#[test]
fn openbsd() {
    let mut world = World::new("openbsd");
    refuses_flags(&world, &["wc", "3c", "+ca", "+cb"], "EINVAL");
    opens(
        &world,
        &[
            (
                "/foo",
                "+cen",
                "7777",
                "ok mode 100600 size 0 cloexec 1 nonblock 0 append 0 nofollow 1",
            ),
            ("", "+c", "600", "ok"),
        ],
    );
    let digest = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94";
    assert!(world.names().contains(&format!("{digest}.shm")));
    // The mode of a semaphore is read and ignored; it is one page.
    world.expect(SEMAPHORE, &["/foo", "cx", "666", "3"], "ok value 3");
    let semaphore = world.view().join(format!("{digest}.sem"));
    assert_eq!(world.mode(&semaphore), 0o600);
    assert_eq!(std::fs::metadata(&semaphore).expect("it").len(), 4096);
    std::fs::write(&semaphore, [0; 32]).expect("a semaphore of another system");
    world.expect(SEMAPHORE, &["/foo", "c", "0", "0"], "sem_open EINVAL");
    world.expect(SEMAPHORE, &["/foo", "ce", "0", "0"], "sem_open EINVAL");
    std::fs::write(&semaphore, []).expect("an empty file");
    world.expect(SEMAPHORE, &["/foo", "r", "0", "0"], "sem_open EINVAL");
    world.expect(SEMAPHORE, &["/foo", "c", "0", "5"], "ok value 5");
    // Not a regular file, not one's own.
    chmod(&world.view().join(format!("{digest}.shm")), 0o666);
    chmod(&semaphore, 0o666);
    world.runs_as(NOBODY);
    world.expect("writer", &["/foo", "+", "0"], "shm_open EPERM");
    world.expect(SEMAPHORE, &["/foo", "r", "0", "0"], "sem_open EPERM");
    world.expect("unlinker", &["shm", "/foo"], "shm_unlink EPERM");
}

#[test]
fn openbsd_wants_a_regular_file() {
    let world = World::new("openbsd");
    let path = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94.shm";
    std::fs::create_dir(world.view().join(path)).expect("a directory");
    world.expect("writer", &["/foo", "r", "0"], "shm_open EINVAL");
    std::fs::remove_dir(world.view().join(path)).expect("gone");
    symlink("nowhere", world.view().join(path)).expect("a link");
    world.expect("writer", &["/foo", "+c", "600"], "shm_open ELOOP");
}

#[test]
fn openbsd_has_templates() {
    let world = World::new("openbsd");
    let expected = "shm_mkstemp ok\nfilled 1\nfound ok\nshm_mkstemp-few EEXIST";
    world.expect("extras", &["mkstemp"], expected);
    World::new("glibc").expect(
        "extras",
        &["mkstemp"],
        "shm_mkstemp ENOSYS\nshm_mkstemp-few ENOSYS",
    );
}

#[test]
fn netbsd() {
    let world = World::on_tmpfs("netbsd");
    opens(
        &world,
        &[
            (
                "/mode",
                "wca",
                "7777",
                "ok mode 107755 size 0 cloexec 1 nonblock 0 append 1 nofollow 1",
            ),
            ("/", "+c", "600", "ok"),
            ("foo", "+c", "600", "shm_open EINVAL"),
        ],
    );
    assert_eq!(world.names(), [".shmobj_", ".shmobj_mode"]);
    // The directory comes before the name.
    chmod(&world.view(), 0o777);
    world.expect("writer", &["foo", "+c", "600"], "shm_open EOPNOTSUPP");
    world.expect("unlinker", &["shm", "foo"], "shm_unlink EOPNOTSUPP");
    world.expect_start("reader", &["/mode", "r"], "shm_open EOPNOTSUPP");
    world.lenient().expect("unlinker", &["shm", "/mode"], "ok");
}

#[test]
fn netbsd_wants_a_tmpfs() {
    let world = World::new("netbsd");
    world.expect("writer", &["/foo", "+c", "600"], "shm_open EOPNOTSUPP");
    is_shared(&world.lenient());
}

#[test]
fn netbsd_semaphores_are_in_the_kernel() {
    let world = World::new("netbsd").umask("077");
    world.expect(SEMAPHORE, &["/a", "c", "666", "1"], "ok value 1");
    assert_eq!(names(&world.sem_view()), ["a"]);
    assert_eq!(world.mode(world.sem_view().join("a")), 0o666);
    world.expect(SEMAPHORE, &["/a", "x", "0", "0"], "sem_open EEXIST");
    world.expect(SEMAPHORE, &["odd", "r", "0", "0"], "sem_open ENOENT");
    world.expect(SEMAPHORE, &["odd", "c", "0", "0"], "sem_open EINVAL");
    world.expect(
        SEMAPHORE,
        &["/aaaaaaaaaaaaaa", "r", "0", "0"],
        "sem_open ENAMETOOLONG",
    );
    world.expect("unlinker", &["sem", "odd"], "sem_unlink ENOENT");
}

#[test]
fn dragonfly() {
    let world = World::new("dragonfly");
    opens(
        &world,
        &[
            (
                "/mode",
                "+cab",
                "666",
                "ok mode 100644 size 0 cloexec 1 nonblock 0 append 0 nofollow 0",
            ),
            ("/w", "wc", "600", "shm_open EINVAL"),
            ("/.", "r", "0", "shm_open EINVAL"),
            ("/.", "+", "0", "shm_open EISDIR"),
            ("", "r", "0", "shm_open ENOENT"),
            ("/../x", "+c", "600", "shm_open EACCES"),
        ],
    );
    symlink("mode", world.view().join("link")).expect("a link");
    world.expect_start("writer", &["/link", "+", "0"], "ok");
    world.expect(SEMAPHORE, &["@null", "c", "600", "1"], "sem_open EINVAL");
    world.expect(SEMAPHORE, &["/s", "ce", "600", "1"], "sem_open EINVAL");
    world.expect(SEMAPHORE, &["/no/s", "c", "600", "1"], "sem_open ENOENT");
    std::fs::create_dir(world.sem_view().join("d")).expect("a directory");
    world.expect(SEMAPHORE, &["/d", "c", "600", "1"], "sem_open EINVAL");
    world.expect("unlinker", &["sem", "/d"], "sem_unlink EACCES");
}

#[test]
fn dragonfly_before_5_6_takes_paths() {
    let world = World::new("dragonfly-old");
    std::fs::create_dir(world.view().join("tmp")).expect("a directory");
    world.expect_start(
        "writer",
        &["/tmp/x", "+c", "600"],
        "ok mode 100600 size 0 cloexec 0",
    );
    world.expect("writer", &["/no/x", "+c", "600"], "shm_open ENOENT");
    world.expect("writer", &["x", "+c", "600"], "shm_open EACCES");
    assert_eq!(names(&world.view().join("tmp")), ["x"]);
}

#[test]
fn freebsd() {
    let mut world = World::new("freebsd").umask("027");
    refuses_flags(&world, &["wc", "3c", "+ca", "+cn"], "EINVAL");
    opens(
        &world,
        &[
            // Flags come before the name, the length before the slash.
            ("x", "w", "0", "shm_open EINVAL"),
            (&"a".repeat(1024), "+c", "600", "shm_open ENAMETOOLONG"),
            ("/", "+c", "600", "ok"),
            ("/a/b", "+ce", "7777", "ok mode 100750 size 0 cloexec 1"),
            ("//a/b", "+", "0", "shm_open ENOENT"),
            (&format!("/{}", "a".repeat(1022)), "+cx", "600", "ok"),
        ],
    );
    // O_TRUNC needs O_RDWR.
    world.expect_start(
        "writer",
        &["/sized", "+c", "644", "text"],
        "ok mode 100640 size 100",
    );
    world.expect_start("writer", &["/sized", "rt", "0"], "ok mode 100640 size 100");
    world.expect_start("writer", &["/sized", "+t", "0"], "ok mode 100640 size 0");
    world.expect_start("writer", &["/ours", "+c", "640"], "ok");
    world.runs_as(NOBODY);
    world.expect("unlinker", &["shm", "/ours"], "shm_unlink EACCES");
    world.expect("unlinker", &["shm", "/absent"], "shm_unlink ENOENT");
    world.expect("reader", &["/ours", "r"], "shm_open EACCES");
}

#[test]
fn freebsd_has_more_functions() {
    let world = World::on_tmpfs("freebsd");
    world.expect(
        "extras",
        &["anon"],
        "anon ok\nlinks 0\nanon-readonly EINVAL",
    );
    let flags = "unknown EINVAL\nlarge ENOTTY\nlargepage ENOTTY\ngrow ok\ncloexec 0 written 5\n\
                 size 5\nnone ok\nsame ok\ndifferent EINVAL";
    world.expect("extras", &["open2"], flags);
    let renames = "absent ENOENT\nequal ok\nboth EINVAL\nanon EINVAL\nslash EINVAL\n\
                   exchange-alone ok\ngone ENOENT\nnoreplace EEXIST\nexchange ok\nreplace ok\n\
                   gone ENOENT\nleft ok";
    world.expect("extras", &["rename"], renames);
    let memfds = "longest ok\ntoo-long EINVAL\nnull EBADF\nexec EINVAL\nsize-alone EINVAL";
    world.expect("extras", &["memfd"], memfds);
}

#[test]
fn freebsd_semaphores_are_made_in_place() {
    let world = World::new("freebsd");
    world.expect(SEMAPHORE, &["s", "ce", "600", "1"], "sem_open EINVAL");
    world.expect(SEMAPHORE, &["/s", "ce", "600", "1"], "sem_open EINVAL");
    world.expect(SEMAPHORE, &["/s", "c", "666", "1"], "ok value 1");
    assert_eq!(names(&world.sem_view()), ["SEMDs"]);
    assert_eq!(world.mode(world.sem_view().join("SEMDs")), 0o644);
    let file = world.sem_view().join("SEMDother");
    std::fs::write(&file, [0; 64]).expect("a file without the magic");
    world.expect(SEMAPHORE, &["/other", "c", "600", "1"], "sem_open EINVAL");
    std::fs::write(&file, []).expect("a short file");
    world.expect(SEMAPHORE, &["/other", "r", "0", "0"], "ok value 0");
    world.expect("unlinker", &["sem", "other"], "sem_unlink ENOENT");
}

#[test]
fn freebsd_write_never_makes_an_object_longer() {
    let world = World::new("freebsd");
    let said = world.says("descriptor", &["/x"]);
    for line in [
        "write-empty 0",
        "ftruncate 0",
        "size 15 type 1 mode 640",
        "ftruncate-again 0",
        "ftruncate-copy 0",
        "write 10",
        "write-past 5",
        "pwrite-past 3",
        "writev-past 10",
        "lseek 0",
        "read 5",
        "pread 5",
        "mmap 0",
        "mmap-private 0",
        "open-trunc 0",
        "other-write 10",
        "other size 4 type 1",
    ] {
        assert!(
            said.lines().any(|found| found == line),
            "no {line} in:\n{said}"
        );
    }
}
