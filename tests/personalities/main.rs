//! `shmfs run --as KEY`: C programs and Python under every platform's functions, alone and in pairs.
//!
//! They need what `shmfs run` needs, cargo, a C compiler and python3; one of them root.

mod pairs;
mod users;
mod world;

use shmfs::view::platform;
use world::{PLATFORMS, expect, fails, session};

/// The object is in the tree under the name that the program gave, and gone when the program says so.
#[test]
fn shared_memory_of_every_platform_is_in_the_tree() {
    let script = "
        writer /memory +cx 600 \"$SHMFS_AS\" >said || cat said
        reader /memory r
        cat /dev/shm/memory | tr -d '\\0'; echo
        unlinker shm /memory
        reader /memory r
        ls -A /dev/shm";
    for key in PLATFORMS.iter() {
        let said = format!("ok {key}\n{key}\nok\nshm_open ENOENT\n");
        expect(&["--as", key], script, &said);
    }
}

/// A semaphore is the tree's `sem.` and its name, but on musl, where it is shared memory of the same name.
#[test]
fn semaphores_of_every_platform_are_in_the_tree() {
    for key in PLATFORMS.iter() {
        let memory = platform::shared_memory(key).expect("a platform");
        let known = platform::semaphores(memory).is_some();
        let entry = if *key == "musl" { "s" } else { "sem.s" };
        let script = format!(
            "semaphore /s c 600 3 pair; test -e /dev/shm/{entry} && echo there; unlinker sem /s; ls -A /dev/shm"
        );
        let said = match known {
            true => "child 0\nok value 3\nthere\nok\n",
            false => "sem_open ENOSYS\nsem_unlink ENOSYS\n",
        };
        expect(&["--as", key], &script, said);
    }
}

#[test]
fn a_key_of_semaphores_will_do() {
    expect(&["--as", "xnu-sem"], "echo $SHMFS_AS", "xnu\n");
}

#[test]
fn without_as_nothing_is_preloaded() {
    expect(&[], "echo \"$SHMFS_AS$LD_PRELOAD\"", "\n");
}

#[test]
fn lenient_leaves_the_descriptors_alone() {
    let script = "descriptor /d | grep '^write '";
    expect(&["--as", "xnu"], script, "write ENXIO\n");
    expect(&["--as", "xnu", "--lenient"], script, "write 10\n");
}

#[test]
fn the_trace_is_on_standard_error() {
    let script = "writer /foo +cx 600";
    let output = session(&["--as", "netbsd", "--trace"], script);
    let errors = String::from_utf8_lossy(&output.stderr);
    let call =
        "netbsd: shm_open(\"/foo\", O_RDWR|O_CREAT|O_EXCL, 0600) = 3  at \"/var/shm/.shmobj_foo\"";
    assert!(errors.contains(call), "{errors}");
    let output = session(&["--as", "netbsd"], script);
    assert!(output.stderr.is_empty(), "{output:?}");
}

#[test]
fn what_cannot_be_says_why() {
    fails(&["--as", "plan9"], "no such platform");
    fails(&["--as", "linux-mq"], "no such platform");
    fails(&["--trace"], "--as <KEY>");
    fails(&["--lenient"], "--as <KEY>");
    fails(
        &["--as", "xnu", "-o", "view=xnu:/dev/shm"],
        "cannot see the view /dev/shm/.shmfs/views/xnu",
    );
}

const SHARED_MEMORY: &str = r#"
import errno
from multiprocessing.shared_memory import SharedMemory
for name in [None, "n" * 30, "n" * 31, "with/slash"]:
    try:
        one = SharedMemory(name=name, create=True, size=100)
    except OSError as error:
        print(errno.errorcode[error.errno])
        continue
    two = SharedMemory(name=one.name)
    one.buf[99] = 42
    print(two.buf[99], one.size)
    two.close(); one.close(); one.unlink()
"#;

/// Python puts a slash before the name, so 30 bytes are the most on macOS; sizes are whole pages.
#[test]
fn pythons_shared_memory() {
    let script = format!("python3 -c '{SHARED_MEMORY}'; ls -A /dev/shm");
    let said = "42 4096\n42 4096\nENAMETOOLONG\n42 4096\n";
    expect(&["--as", "xnu"], &script, said);
    let said = "42 100\n42 100\n42 100\nEINVAL\n";
    expect(&["--as", "netbsd"], &script, said);
}

#[test]
fn pythons_pools() {
    let script = "python3 -c 'import multiprocessing as m
if __name__ == \"__main__\":
    with m.Pool(3) as pool: print(sum(pool.map(abs, range(-50, 50))))'; ls -A /dev/shm";
    for key in ["glibc", "openbsd", "freebsd", "illumos", "haiku", "xnu"] {
        expect(&["--as", key], script, "2500\n");
    }
}
