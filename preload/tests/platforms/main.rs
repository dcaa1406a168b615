//! What each platform's functions refuse, force and check, one test a platform.

mod bsd;
#[path = "../common/mod.rs"]
mod common;
mod linux;
mod others;

use common::{World, names};

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
