//! What each platform's functions refuse, force and check, one test a platform.

mod common;

use std::os::unix::fs::symlink;

use common::{NOBODY, World, chmod, names};

const SEMAPHORE: &str = "semaphore";

/// NAME FLAGS MODE of `writer`, and its answer or the beginning of it.
fn opens(world: &World, cases: &[(&str, &str, &str, &str)]) {
    for (name, flags, mode, expected) in cases {
        world.expect_start("writer", &[name, flags, mode], expected);
    }
}

fn refuses_flags(world: &World, refused: &[&str], errno: &str) {
    for flags in refused {
        world.expect(
            "writer",
            &["/flags", flags, "600"],
            &format!("shm_open {errno}"),
        );
    }
}

/// One program writes, another reads, a third takes the name away.
fn is_shared(world: &World) {
    let written = world.says("writer", &["/shared", "+cx", "600", "hello"]);
    assert!(written.starts_with("ok"), "{written}");
    world.expect("reader", &["/shared", "r"], "ok hello");
    world.expect("writer", &["/shared", "+cx", "600"], "shm_open EEXIST");
    world.expect("unlinker", &["shm", "/shared"], "ok");
    world.expect("unlinker", &["shm", "/shared"], "shm_unlink ENOENT");
    world.expect("reader", &["/shared", "r"], "shm_open ENOENT");
}

/// A semaphore passes from process to process, by name and with one address in each.
fn semaphore_works(world: &World) {
    world.expect(SEMAPHORE, &["/sem", "r", "0", "0"], "sem_open ENOENT");
    world.expect(SEMAPHORE, &["/sem", "cx", "600", "2"], "ok value 2");
    world.expect(SEMAPHORE, &["/sem", "cx", "600", "2"], "sem_open EEXIST");
    world.expect(SEMAPHORE, &["/sem", "c", "600", "9", "post"], "ok value 3");
    world.expect(SEMAPHORE, &["/sem", "r", "0", "0", "wait"], "ok value 2");
    let twice = "same 1 close 0 usable 1 close 0 again -1 EINVAL";
    world.expect(SEMAPHORE, &["/sem", "r", "0", "0", "twice"], twice);
    world.expect("unlinker", &["sem", "/sem"], "ok");
    world.expect("unlinker", &["sem", "/sem"], "sem_unlink ENOENT");
    let pair = "child 0\nok value 0";
    world.expect(SEMAPHORE, &["/pair", "cx", "600", "0", "pair"], pair);
    world.expect("unlinker", &["sem", "/pair"], "ok");
    let too_much = ["/much", "cx", "600", "0x80000000"];
    world.expect(SEMAPHORE, &too_much, "sem_open EINVAL");
    let left: Vec<String> = [names(&world.view()), names(&world.sem_view())].concat();
    assert!(left.is_empty(), "left behind: {left:?}");
}

const ALL: &[&str] = &[
    "glibc",
    "glibc-2.38",
    "glibc-2.34",
    "glibc-2.21",
    "glibc-2.19",
    "glibc-2.18",
    "hurd",
    "musl",
    "musl-old",
    "uclibc",
    "openbsd",
    "netbsd",
    "dragonfly",
    "freebsd",
    "illumos",
    "illumos-be",
    "haiku",
    "cygwin",
    "cygwin-1.7",
    "cygwin-1.5",
    "newlib-linux",
    "xnu",
    "xnu-old",
    "rtems",
    "zephyr",
    "nuttx",
    "redox",
];

#[test]
fn an_object_is_shared_on_every_platform() {
    for key in ALL {
        is_shared(&World::on_tmpfs(key));
    }
}

#[test]
fn semaphores_work_on_every_platform_that_has_them() {
    let without = [
        "musl-old",
        "newlib-linux",
        "rtems",
        "zephyr",
        "nuttx",
        "redox",
        "cygwin-1.5",
    ];
    for key in ALL {
        let world = World::on_tmpfs(key);
        if without.contains(key) {
            world.expect(SEMAPHORE, &["/sem", "c", "600", "1"], "sem_open ENOSYS");
        } else {
            semaphore_works(&world);
        }
    }
}

#[test]
fn names_that_point_nowhere_do_not_crash() {
    for key in ALL {
        let world = World::on_tmpfs(key);
        let errno = match *key {
            "haiku" | "rtems" | "zephyr" | "nuttx" => "EINVAL",
            _ => "EFAULT",
        };
        world.expect(
            "writer",
            &["@null", "+c", "600"],
            &format!("shm_open {errno}"),
        );
    }
}

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
