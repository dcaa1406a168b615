//! The library among programs: pairs of platforms on one directory, Python, threads, its absence.

mod common;

use std::process::{Command, Output};

use common::{World, library, names, programs};

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}

/// Platforms whose semaphores are `sem.…` files of the same directory.
#[test]
fn platforms_share_a_directory() {
    let mut world = World::on_tmpfs("glibc");
    for (one, other) in [
        ("glibc", "cygwin"),
        ("cygwin", "uclibc"),
        ("musl", "hurd"),
        ("uclibc", "newlib-linux"),
        ("haiku", "redox"),
    ] {
        world.becomes(one);
        world.expect_start("writer", &["/both", "+cx", "600", one], "ok");
        world.becomes(other);
        world.expect("reader", &["/both", "r"], &format!("ok {one}"));
        world.expect("unlinker", &["shm", "/both"], "ok");
    }
    world.becomes("glibc");
    world.expect("semaphore", &["/s", "cx", "600", "1"], "ok value 1");
    world.becomes("cygwin");
    world.expect("semaphore", &["/s", "c", "600", "7", "post"], "ok value 2");
    world.becomes("glibc");
    world.expect("semaphore", &["/s", "r", "0", "0", "wait"], "ok value 1");
}

/// Kernel keys that are one file name are one object.
#[test]
fn kernels_share_keys() {
    let mut world = World::new("freebsd");
    world.expect_start("writer", &["/key", "+cx", "600", "freebsd"], "ok");
    world.becomes("rtems");
    world.expect("reader", &["/key", "r"], "ok freebsd");
}

#[test]
fn lenient_semaphores_pass_from_platform_to_platform() {
    let mut world = World::new("openbsd").lenient();
    world.expect("semaphore", &["/s", "cx", "600", "2"], "ok value 2");
    let file = names(&world.view()).pop().expect("the semaphore");
    let copied = world.sem_view().join("SEMDs");
    std::fs::hard_link(world.view().join(file), copied).expect("a second name");
    world.becomes("freebsd");
    world.expect("semaphore", &["/s", "r", "0", "0", "post"], "ok value 3");
}

const SHARED_MEMORY: &str = r#"
import sys
from multiprocessing import shared_memory
name = sys.argv[1] or None
try:
    one = shared_memory.SharedMemory(name=name, create=True, size=100)
    two = shared_memory.SharedMemory(name=one.name)
    one.buf[99] = 42
    print("ok", two.buf[99], one.size)
    two.close(); one.close(); one.unlink()
except OSError as error:
    import errno
    print(errno.errorcode[error.errno])
"#;

fn python(world: &World, name: &str) -> String {
    let mut command = world.command("python3");
    command.args(["-c", SHARED_MEMORY, name]);
    let output = command
        .output()
        .expect("python3: install Python 3.8 or later");
    assert!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    text(&output)
}

/// Python puts a slash before the name, so that 30 bytes are the most on macOS; its own names fit,
/// and the size is rounded up to a page.
#[test]
fn python_on_macos() {
    let world = World::new("xnu");
    assert_eq!(python(&world, ""), "ok 42 4096");
    assert_eq!(python(&world, &"n".repeat(30)), "ok 42 4096");
    assert_eq!(python(&world, &"n".repeat(31)), "ENAMETOOLONG");
    assert_eq!(python(&world, "with/slash"), "ok 42 4096");
    assert!(world.names().is_empty(), "{:?}", world.names());
}

#[test]
fn python_elsewhere() {
    for (key, slash) in [
        ("glibc", "EINVAL"),
        ("netbsd", "EINVAL"),
        ("illumos", "EINVAL"),
        ("freebsd", "ok 42 100"),
        ("openbsd", "ok 42 100"),
        ("haiku", "ok 42 100"),
        ("cygwin", "EACCES"),
    ] {
        let world = World::on_tmpfs(key);
        assert_eq!(python(&world, ""), "ok 42 100", "{key}");
        assert_eq!(python(&world, &"n".repeat(31)), "ok 42 100", "{key}");
        assert_eq!(python(&world, "with/slash"), slash, "{key}");
    }
}

#[test]
fn python_pools_run_on_every_platform_with_semaphores() {
    let program = "import multiprocessing as m\n\
        if __name__ == '__main__':\n    with m.Pool(3) as pool: print(sum(pool.map(abs, range(-50, 50))))";
    for key in [
        "glibc",
        "musl",
        "openbsd",
        "netbsd",
        "dragonfly",
        "freebsd",
        "illumos",
        "haiku",
        "cygwin",
        "xnu",
    ] {
        let world = World::on_tmpfs(key);
        let output = world.command("python3").args(["-c", program]).output();
        let output = output.expect("python3: install Python 3.8 or later");
        assert_eq!(text(&output), "2500", "{key}: {output:?}");
        let left = [world.names(), names(&world.sem_view())].concat();
        assert!(left.is_empty(), "{key}: {left:?}");
    }
}

#[test]
fn threads_signals_forks_and_cancellation() {
    for key in ["glibc", "openbsd", "freebsd", "xnu"] {
        let world = World::new(key);
        world.expect("threads", &["/t"], "cancelled 1 cleaned 1\nhandled 1");
    }
}

#[test]
fn without_a_platform_all_is_the_hosts() {
    let run = |arguments: &[&str]| {
        Command::new(programs().join("threads"))
            .args(arguments)
            .env("LD_PRELOAD", library())
            .env_remove("SHMFS_AS")
            .output()
            .expect("it runs")
    };
    let name = format!("/shmfs-preload-test-{}", std::process::id());
    // glibc's own sem_open does not survive a fork among threads.
    let output = run(&[&name, "0"]);
    assert_eq!(
        text(&output),
        "cancelled 1 cleaned 1\nhandled 1",
        "{output:?}"
    );
    for program in [["shm", &name], ["sem", &name]] {
        let output = Command::new(programs().join("unlinker"))
            .args(program)
            .env("LD_PRELOAD", library())
            .output()
            .expect("it runs");
        assert_eq!(text(&output), "ok");
    }
    let output = Command::new(programs().join("extras"))
        .args(["mkstemp", "memfd"])
        .env("LD_PRELOAD", library())
        .output()
        .expect("it runs");
    assert!(
        text(&output).starts_with("shm_mkstemp ENOSYS"),
        "{output:?}"
    );
    assert!(text(&output).contains("longest ok"), "{output:?}");
}

/// What does not name shared memory does the same as before, and says the same.
#[test]
fn other_programs_are_left_alone() {
    let script = "cat /etc/passwd | sort | md5sum; dd if=/dev/zero bs=4096 count=5 2>/dev/null | wc -c; \
        truncate -s 1234 t; stat -c %s%F t; (sleep 1 & wait); find . | sort; tar cf - . | tar tf - | sort";
    let plain = World::new("xnu");
    let before = Command::new("sh")
        .args(["-c", script])
        .current_dir(plain.work())
        .output()
        .expect("sh");
    let preloaded = World::new("xnu");
    let after = preloaded
        .command("sh")
        .args(["-c", script])
        .output()
        .expect("sh");
    assert_eq!(text(&before), text(&after));
    assert!(after.stderr.is_empty() && after.status.success());
}

#[test]
fn a_platform_that_is_none_is_no_host() {
    for (variable, value, says) in [
        (
            "SHMFS_AS",
            "multics",
            "SHMFS_AS=multics is no platform with shared memory",
        ),
        (
            "SHMFS_AS",
            "linux-mq",
            "SHMFS_AS=linux-mq is no platform with shared memory",
        ),
        (
            "SHMFS_VIEW",
            "",
            "SHMFS_VIEW does not name the directory of the view",
        ),
    ] {
        let world = World::new("glibc");
        let output = world
            .command(programs().join("writer"))
            .args(["/x", "+c", "600"])
            .env(variable, value)
            .output()
            .expect("it runs");
        assert_eq!(text(&output), "shm_open ENOSYS");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(errors, format!("shmfs: {says}\n"));
    }
    let mut world = World::new("netbsd");
    world.becomes("glibc");
    let output = world
        .command(programs().join("semaphore"))
        .args(["/x", "c", "600", "1"])
        .env("SHMFS_AS", "xnu")
        .env("SHMFS_TRACE", "1")
        .output()
        .expect("it runs");
    assert_eq!(text(&output), "sem_open ENOSYS");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("SHMFS_VIEW_SEM is not set"), "{errors}");
}

/// Either of a platform's keys will do.
#[test]
fn a_semaphores_key_is_its_platforms() {
    let world = World::new("glibc-sem");
    world.expect_start("writer", &["/x", "+c", "600"], "ok");
}

#[test]
fn the_trace_tells_name_path_result_and_other_platforms() {
    let world = World::on_tmpfs("netbsd").traced();
    let output = world.output("writer", &["/foo bar", "+c", "600", "text"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    let expected = "netbsd: shm_open(\"/foo bar\", O_RDWR|O_CREAT, 0600) = 3  at \"/var/shm/.shmobj_foo bar\"\n";
    assert!(errors.contains(expected), "{errors}");
    assert!(
        errors.contains("    elsewhere works: glibc hurd "),
        "{errors}"
    );
    let output = world.output("writer", &["/a/b", "+c", "600"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(" = EINVAL"), "{errors}");
    assert!(errors.contains("EACCES: cygwin"), "{errors}");
    let output = world.output("unlinker", &["shm", "/a/b"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("ENOENT: glibc hurd"), "{errors}");
    let world = World::new("xnu").traced();
    let output = world.output("descriptor", &["/x"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("shmfs xnu: read on shared memory, descriptor"),
        "{errors}"
    );
}
