//! illumos, Haiku, Cygwin, XNU and the small systems.

use std::os::unix::fs::symlink;

use crate::common::{NOBODY, World, chmod, names};
use crate::{SEMAPHORE, opens, refuses_flags};

#[test]
fn illumos() {
    let world = World::new("illumos");
    opens(
        &world,
        &[
            (
                "/mode",
                "wca",
                "7777",
                "ok mode 107755 size 0 cloexec 1 nonblock 0 append 1 nofollow 0",
            ),
            ("/", "+c", "600", "ok"),
            ("foo", "+c", "600", "shm_open EINVAL"),
            ("/sized", "+c", "600", "ok"),
        ],
    );
    assert_eq!(world.names(), [".SHMD", ".SHMDmode", ".SHMDsized"]);
    symlink(".SHMDmode", world.view().join(".SHMDlink")).expect("a link");
    world.expect("writer", &["/link", "+", "0"], "shm_open EINVAL");
    world.expect("writer", &["/link", "+c", "600"], "shm_open EINVAL");
    // O_TRUNC stays in force when O_CREAT finds an object.
    world.expect_start(
        "writer",
        &["/sized", "+", "0", "text"],
        "ok mode 100600 size 100",
    );
    world.expect_start("writer", &["/sized", "+ct", "0"], "ok mode 100600 size 0");
    world.expect(SEMAPHORE, &["/s", "c", "666", "4"], "ok value 4");
    assert_eq!(world.mode(".SEMDs"), 0o644);
}

#[test]
fn illumos_puts_long_names_in_directories() {
    let world = World::new("illumos").umask("077");
    let name = format!("/{}", "a".repeat(251));
    world.expect_start("writer", &[&name, "+c", "600"], "ok");
    let [hash] = &world.names()[..] else {
        panic!("{:?}", world.names());
    };
    assert_eq!((hash.len(), world.mode(hash)), (33, 0o777));
    assert_eq!(names(&world.view().join(hash)), [".SHMD"]);
    assert_eq!(names(&world.view().join(hash).join(".SHMD")), [&name[1..]]);
    world.expect("unlinker", &["shm", &name], "ok");
    assert!(world.names().is_empty(), "{:?}", world.names());
    // Directories are made, and removed again, by an open that fails.
    world.expect("reader", &[&name, "r"], "shm_open ENOENT");
    assert!(world.names().is_empty(), "{:?}", world.names());
}

#[test]
fn illumos_waits_for_the_lock() {
    let world = World::new("illumos");
    let lock = world.view().join(".SHMLfoo");
    std::fs::write(&lock, []).expect("a lock");
    let remover = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        std::fs::remove_file(lock)
    });
    world.expect_start("writer", &["/foo", "+c", "600"], "ok");
    remover
        .join()
        .expect("no panic")
        .expect("the lock was there");
    assert_eq!(world.names(), [".SHMDfoo"]);
}

#[test]
fn haiku() {
    let world = World::new("haiku");
    opens(
        &world,
        &[
            (
                "/a/b%c/",
                "wc",
                "7777",
                "ok mode 107755 size 0 cloexec 1 nonblock 0 append 0 nofollow 0",
            ),
            ("///", "+c", "600", "shm_open EINVAL"),
            ("/.", "+c", "600", "shm_open EISDIR"),
        ],
    );
    assert_eq!(world.names(), ["a%sb%%c%s"]);
    symlink("a%sb%%c%s", world.view().join("link")).expect("a link");
    world.expect_start("writer", &["link", "+", "0"], "ok");
    // O_EXCL without O_CREAT is dropped.
    world.expect(SEMAPHORE, &["odd/name", "c", "600", "1"], "ok value 1");
    world.expect(SEMAPHORE, &["odd/name", "x", "0", "0"], "ok value 1");
    world.expect("unlinker", &["sem", "odd/name"], "ok");
}

#[test]
fn cygwin() {
    let world = World::new("cygwin");
    // The name comes before the flags.
    world.expect("writer", &["/a/b", "w", "0"], "shm_open EACCES");
    refuses_flags(&world, &["wc", "3c", "+ca", "+ce", "+cn"], "EINVAL");
    opens(
        &world,
        &[
            (
                "/mode",
                "+c",
                "7777",
                "ok mode 100755 size 0 cloexec 1 nonblock 0 append 0 nofollow 0",
            ),
            ("\\mode", "+", "0", "ok"),
            ("mode", "+", "0", "shm_open EINVAL"),
            ("/", "+c", "600", "shm_open ENOENT"),
        ],
    );
    world.expect("unlinker", &["shm", "/a\\b"], "shm_unlink EACCES");
    world.expect("unlinker", &["shm", "\\mode"], "ok");
}

#[test]
fn cygwin_marks_a_semaphore_that_is_being_made() {
    let world = World::new("cygwin").umask("077");
    // Neither the umask nor the owner's execute bit is left in its mode.
    world.expect(SEMAPHORE, &["/s", "c", "766", "1"], "ok value 1");
    assert_eq!(world.mode("sem.s"), 0o666);
    let file = world.view().join("sem.s");
    chmod(&file, 0o766);
    let maker = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        chmod(&file, 0o666);
    });
    world.expect(SEMAPHORE, &["/s", "r", "0", "0"], "ok value 1");
    maker.join().expect("no panic");
    world.expect(
        SEMAPHORE,
        &["/bad", "cx", "600", "0x7fffffff"],
        "sem_open EINVAL",
    );
    assert_eq!(world.names(), ["sem.s"]);
}

#[test]
fn cygwin_wants_a_real_directory() {
    let world = World::new("cygwin");
    std::fs::remove_dir(world.view()).expect("gone");
    let warns = |program: &str, arguments: &[&str], expected: &str| {
        let output = world.output(program, arguments);
        assert!(String::from_utf8_lossy(&output.stderr).starts_with("Warning: "));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), expected);
    };
    warns("writer", &["/x", "+c", "600"], "shm_open EINVAL");
    symlink(world.work(), world.view()).expect("a link");
    warns("writer", &["/x", "+c", "600"], "shm_open EINVAL");
    warns(SEMAPHORE, &["/x", "c", "600", "1"], "sem_open EINVAL");
}

#[test]
fn xnu() {
    let mut world = World::new("xnu").umask("077");
    opens(
        &world,
        &[
            // The umask is not applied, and fstat tells no type.
            (
                "mode",
                "+ca",
                "7766",
                "ok mode 7766 size 0 cloexec 1 nonblock 0 append 0 nofollow 1",
            ),
            ("/mode", "+", "0", "shm_open ENOENT"),
            ("/w", "wc", "600", "ok"),
            ("/w", "3", "0", "shm_open EINVAL"),
            ("", "+c", "600", "shm_open EINVAL"),
            (&"a".repeat(31), "+c", "600", "ok"),
            (&"a".repeat(32), "+c", "600", "shm_open ENAMETOOLONG"),
            ("/t", "+ct", "600", "ok"),
            ("/t", "+ct", "600", "ok"),
        ],
    );
    world.expect_start(
        "writer",
        &["/t", "+ct", "600", "text"],
        "ok mode 600 size 4096",
    );
    world.expect("writer", &["/t", "+ct", "600"], "shm_open EINVAL");
    world.expect("writer", &["/t", "+cxt", "600"], "shm_open EEXIST");
    world.expect("reader", &["/t", "r"], "ok text");
    world.expect("unlinker", &["shm", &"a".repeat(32)], "shm_unlink EINVAL");
    world.expect("unlinker", &["shm", ""], "shm_unlink EINVAL");
    world.runs_as(NOBODY);
    world.expect("reader", &["/t", "r"], "shm_open EACCES");
    world.expect("unlinker", &["shm", "/t"], "shm_unlink EACCES");
}

#[test]
fn xnu_descriptors() {
    let world = World::new("xnu");
    let expected = "mmap-empty EINVAL\nwrite-empty ENXIO\nftruncate-negative EINVAL\nftruncate 0\n\
        size 4096 type 0 mode 640\nftruncate-again EINVAL\nftruncate-copy EINVAL\nwrite ENXIO\n\
        write-past ENXIO\npwrite-past ESPIPE\nwritev-past ESPIPE\nlseek ESPIPE\nread ENXIO\n\
        readv ENXIO\npread ESPIPE\nmmap 0\nmmap-private EINVAL\nmmap-beyond EINVAL\n\
        mmap-write-readonly EPERM\nopen-trunc EINVAL\nother-write 10\nother-ftruncate 0\n\
        other size 4 type 1";
    world.expect("descriptor", &["/x"], expected);
    let said = world.lenient().says("descriptor", &["/y"]);
    for line in [
        "ftruncate-again 0",
        "write 10",
        "read 5",
        "size 15 type 1 mode 640",
    ] {
        assert!(
            said.lines().any(|found| found == line),
            "no {line} in:\n{said}"
        );
    }
}

#[test]
fn xnu_old() {
    let world = World::new("xnu-old");
    opens(
        &world,
        &[
            ("", "+c", "600", "ok"),
            (&"a".repeat(31), "+c", "600", "shm_open ENAMETOOLONG"),
            ("/t", "+ct", "600", "shm_open EINVAL"),
        ],
    );
    world.expect(
        "unlinker",
        &["shm", &"a".repeat(31)],
        "shm_unlink ENAMETOOLONG",
    );
    let said = world.says("descriptor", &["/x"]);
    assert!(said.contains("write EOPNOTSUPP\n"), "{said}");
}

#[test]
fn xnu_semaphores_know_no_umask() {
    let world = World::new("xnu").umask("077");
    world.expect(SEMAPHORE, &["s", "c", "666", "32767"], "ok value 32767");
    assert_eq!(names(&world.sem_view()), ["%:s"]);
    assert_eq!(world.mode(world.sem_view().join("%:s")), 0o666);
    world.expect(SEMAPHORE, &["s", "c", "666", "32768"], "sem_open EINVAL");
    world.expect(
        SEMAPHORE,
        &[&"a".repeat(31), "c", "600", "1"],
        "sem_open ENAMETOOLONG",
    );
    world.expect("unlinker", &["sem", "/s"], "sem_unlink ENOENT");
}

#[test]
fn rtems_says_eacces_of_flags() {
    let world = World::new("rtems");
    refuses_flags(&world, &["wc", "3c", "+ca", "+ce", "rct"], "EACCES");
    opens(
        &world,
        &[
            ("/mode", "+c", "666", "ok mode 100644"),
            ("foo", "+", "600", "shm_open EINVAL"),
            (&format!("/{}", "a".repeat(255)), "+c", "600", "ok"),
            (
                &format!("/{}", "a".repeat(256)),
                "+c",
                "600",
                "shm_open ENAMETOOLONG",
            ),
        ],
    );
    world.expect_start(
        "writer",
        &["/mode", "+", "0", "text"],
        "ok mode 100644 size 100",
    );
    world.expect_start("writer", &["/mode", "+t", "0"], "ok mode 100644 size 0");
    world.expect("unlinker", &["shm", "foo"], "shm_unlink ENOENT");
}

#[test]
fn zephyr_knows_only_a_hash() {
    let world = World::new("zephyr");
    opens(
        &world,
        &[
            ("/foo", "+c", "0", "shm_open EINVAL"),
            ("/foo", "wc", "600", "shm_open EINVAL"),
            ("/foo", "rt", "600", "shm_open EINVAL"),
            ("/", "+c", "600", "shm_open EINVAL"),
            ("/foo", "+c", "600", "ok"),
        ],
    );
    let [hash] = &world.names()[..] else {
        panic!("{:?}", world.names());
    };
    assert_eq!(hash.len(), 8);
}

#[test]
fn nuttx_makes_nodes_for_slashes() {
    let world = World::new("nuttx");
    world.expect("writer", &["/a/b", "+", "0"], "shm_open ENOENT");
    world.expect_start("writer", &["/a/b", "+c", "600"], "ok");
    world.expect("writer", &["/a", "r", "0"], "shm_open EINVAL");
    world.expect("unlinker", &["shm", "/a"], "shm_unlink ENOENT");
    world.expect("unlinker", &["shm", "/a/b"], "ok");
}
