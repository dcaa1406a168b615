//! What C libraries really do in their directories, in their views.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::world::{World, open, run, spawn};

const SEMAPHORE: &str = r#"
#include <fcntl.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#define CHECK(what) if (!(what)) { perror(#what); return 1; }
int main(void) {
    for (int round = 0; round < 20; round++) {
        sem_t *sem = sem_open("/foo", O_CREAT | O_EXCL, 0600, 0);
        CHECK(sem != SEM_FAILED);
        CHECK(sem_open("/foo", O_CREAT | O_EXCL, 0600, 0) == SEM_FAILED);
        pid_t child = fork();
        if (child == 0) {
            sem_t *theirs = sem_open("/foo", 0);
            CHECK(theirs != SEM_FAILED);
            CHECK(sem_post(theirs) == 0);
            return 0;
        }
        CHECK(sem_wait(sem) == 0);
        int status;
        CHECK(waitpid(child, &status, 0) == child && status == 0);
        CHECK(sem_close(sem) == 0);
        if (round < 19) CHECK(sem_unlink("/foo") == 0);
    }
    int shm = shm_open("/memory", O_CREAT | O_RDWR, 0600);
    CHECK(shm >= 0 && ftruncate(shm, 4096) == 0);
    return 0;
}
"#;

fn compiled(compiler: &str, package: &str, source: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let (file, program) = (directory.path().join("x.c"), directory.path().join("x"));
    fs::write(&file, source).unwrap();
    let mut command = Command::new(compiler);
    command
        .args(["-static", "-pthread", "-o"])
        .args([&program, &file])
        .stderr(Stdio::piped());
    let output = spawn(&mut command)
        .and_then(Child::wait_with_output)
        .unwrap_or_else(|_| panic!("{compiler} is missing: apt-get install {package}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}");
    (directory, program)
}

/// Runs `program` in `shmfs run`, its /dev/shm being the view, and then `check` on the tree.
fn run_in_view(key: &str, mode: &str, program: &Path, check: &str) {
    let directory = tempfile::tempdir().unwrap();
    let view = directory.path().join("view");
    fs::create_dir(&view).unwrap();
    let options = format!("{mode},view={key}:{}", view.display());
    let script = format!(
        "set -e; ls /dev/shm/.shmfs/views; \
         unshare -m sh -c 'mount --bind {view} /dev/shm && exec {program}'; cd /dev/shm; {check}",
        view = view.display(),
        program = program.display()
    );
    let words = ["run", "-o", &options, "--", "bash", "-c", &script];
    run(env!("CARGO_BIN_EXE_shmfs"), &words.map(OsStr::new));
}

pub(crate) fn glibcs_sem_open(mode: &str) {
    let (_directory, program) = compiled("gcc", "gcc libc6-dev", SEMAPHORE);
    let check = r#"test "$(echo $(ls))" = "memory sem.foo"; test "$(stat -c %h sem.foo)" = 1"#;
    run_in_view("glibc", mode, &program, check);
}

pub(crate) fn musls_sem_open(mode: &str) {
    let (_directory, program) = compiled("musl-gcc", "musl-tools", SEMAPHORE);
    let check = r#"test "$(echo $(ls))" = "foo memory"; test "$(stat -c %h foo)" = 1"#;
    run_in_view("musl", mode, &program, check);
}

pub(crate) fn a_view_bound_at_dev_shm_is_what_the_command_sees(mode: &str) {
    let (_directory, program) = compiled("musl-gcc", "musl-tools", SEMAPHORE);
    let options = format!("{mode},view=musl:/dev/shm");
    let words = ["run", "-o", &options, "--"].map(OsStr::new);
    run(
        env!("CARGO_BIN_EXE_shmfs"),
        &[&words[..], &[program.as_os_str()]].concat(),
    );
}

pub(crate) fn a_bound_view_is_the_tree_and_ends_with_it(mode: &str) {
    let directory = tempfile::tempdir().unwrap();
    let (tree, view) = (directory.path().join("tree"), directory.path().join("view"));
    fs::create_dir(&tree).unwrap();
    fs::create_dir(&view).unwrap();
    let shmfs = env!("CARGO_BIN_EXE_shmfs");
    let options = format!("{mode},view=netbsd:{}", view.display());
    let words = [OsStr::new("mount"), OsStr::new("-o"), OsStr::new(&options)];
    run(shmfs, &[&words[..], &[tree.as_os_str()]].concat());
    fs::write(tree.join("foo"), "x").unwrap();
    assert_eq!(fs::read(view.join(".shmobj_foo")).unwrap(), b"x");
    assert_eq!(crate::world::list(&view), [".shmobj_foo"]);
    run(shmfs, &[OsStr::new("umount"), tree.as_os_str()]);
    assert_eq!(crate::world::list(&view), [""; 0]);
    assert_eq!(crate::world::list(&tree), [""; 0]);
}

/// A remount takes the views that are there, as mount(8) repeats them from fstab, and binds one at one more place.
pub(crate) fn a_remount_binds_views_that_are_there(mode: &str) {
    let script = r#"
        set -e
        cd "$2"
        mkdir tree first second
        "$1" mount -o "$3,view=netbsd:first" tree
        trap 'umount -R tree first second 2>/dev/null || :' EXIT
        touch tree/foo
        remount() { "$1" mount -o "remount,$2" tree; }
        if remount "$1" size=8m,view=openbsd 2>said; then exit 2; fi
        grep -q 'cannot add the view openbsd to a live mount: it has netbsd' said
        test "$(stat -fc %b tree)" != 2048
        remount "$1" size=8m,view=netbsd,view=netbsd:first
        test "$(stat -fc %b tree)" = 2048
        test "$(grep -c "$PWD" /proc/self/mountinfo)" = 2
        remount "$1" view=netbsd:second
        remount "$1" view=netbsd:second
        test "$(ls -A second)" = .shmobj_foo
        test "$(grep -c "$PWD" /proc/self/mountinfo)" = 3
        mkdir tree/inside
        remount "$1" view=netbsd:tree/inside
        ls -A tree/inside | grep -qx .shmobj_inside
        # A view that is in use: nothing else is lost.
        exec 9<second/.shmobj_foo
        if "$1" umount tree 2>said; then exit 4; fi
        grep -q 'cannot unmount .*/second: .* process [0-9]* (bash)' <(tr -d '\n' <said)
        test -e tree/foo
        exec 9<&-
        "$1" umount tree
        if grep "$PWD" /proc/self/mountinfo; then exit 3; fi
    "#;
    let directory = tempfile::tempdir().unwrap();
    let shmfs = env!("CARGO_BIN_EXE_shmfs");
    let words = ["-c", script, "bash", shmfs].map(OsStr::new);
    let rest = [directory.path().as_os_str(), OsStr::new(mode)];
    run("bash", &[&words[..], &rest].concat());
}

/// illumos: a lock file, then the object, then the lock goes; long names in directories that come and go.
pub(crate) fn illumoss_locks_and_hash_directories(mode: &str) {
    use shmfs::types::Names;
    let world = World::new(&["illumos", "netbsd"], mode);
    let lock = world.path("illumos", ".SHMLfoo");
    let exclusive = libc::O_RDWR | libc::O_CREAT | libc::O_EXCL;
    drop(open(&lock, exclusive, 0o666).unwrap());
    assert_eq!(open(&lock, exclusive, 0o666).err(), Some(libc::EEXIST));
    drop(open(&world.path("illumos", ".SHMDfoo"), exclusive, 0o666).unwrap());
    fs::remove_file(&lock).unwrap();
    assert_eq!(world.list("netbsd"), [".shmobj_foo"]);
    let long = "y".repeat(252);
    let path = shmfs::view::Naming::of("illumos").unwrap();
    let path = String::from_utf8(path.path(long.as_bytes()).unwrap()).unwrap();
    let path = world.path("illumos", &path);
    let kind = path.parent().unwrap();
    let hash = kind.parent().unwrap();
    for _ in 0..2 {
        fs::create_dir(hash).unwrap();
        fs::create_dir(kind).unwrap();
        fs::write(&path, "long").unwrap();
        assert_eq!(fs::read(world.path("", &long)).unwrap(), b"long");
        assert_eq!(crate::world::list(kind), [&*long]);
        assert!(fs::remove_dir(kind).is_err());
        fs::remove_file(&path).unwrap();
        assert!(!world.path("", &long).exists());
        fs::remove_dir(kind).unwrap();
        fs::remove_dir(hash).unwrap();
    }
    fs::remove_file(world.path("", "foo")).unwrap();
    assert_eq!(world.list("illumos"), [""; 0]);
}

/// OpenBSD's semaphores of one page, FreeBSD's `SEMD`, Cygwin's execute bit while it is made.
pub(crate) fn other_semaphores_are_files_that_grow_and_change_modes(mode: &str) {
    use std::os::unix::fs::PermissionsExt;
    let world = World::new(&["openbsd", "freebsd-sem", "cygwin"], mode);
    let digest = crate::world::FOO.replace(".shm", ".sem");
    let file = open(
        &world.path("openbsd", &digest),
        libc::O_RDWR | libc::O_CREAT,
        0o600,
    );
    file.unwrap().set_len(4096).unwrap();
    assert_eq!(world.list(""), [""; 0]);
    let freebsd = world.path("freebsd-sem", "SEMDfoo");
    assert_eq!(fs::metadata(&freebsd).unwrap().len(), 4096);
    assert_eq!(world.list(""), ["sem.foo"]);
    let cygwin = world.path("cygwin", "sem.foo");
    let locked = fs::File::open(&cygwin).unwrap();
    let exclusive = rustix::fs::FlockOperation::NonBlockingLockExclusive;
    rustix::fs::flock(&locked, exclusive).unwrap();
    let theirs = fs::File::open(&freebsd).unwrap();
    assert!(rustix::fs::flock(&theirs, exclusive).is_err());
    drop((locked, theirs));
    fs::set_permissions(&cygwin, fs::Permissions::from_mode(0o700)).unwrap();
    let seen = fs::metadata(world.path("openbsd", &digest)).unwrap();
    assert_eq!(seen.permissions().mode() & 0o777, 0o700);
}

/// In page-cache mode, as users have it: in a user namespace, and by fusermount3, where the command's own process binds the view.
pub(crate) fn an_ordinary_user_binds_views_in_run() {
    let script = r#"
        set -e
        mount -t tmpfs tmpfs /mnt
        mknod -m 666 /mnt/fuse c 10 229
        mount --bind /mnt/fuse /dev/fuse
        cp "$1" "$2/shmfs"
        chmod 755 "$2" "$2/shmfs"
        mkdir -m 777 "$2/home" "$2/home/view" "$2/home/tree"
        cd "$2/home"
        exec setpriv --reuid nobody --regid nogroup --clear-groups bash -c '
            export XDG_RUNTIME_DIR=$PWD
            command="echo hi >/dev/shm/foo && test \"\$(ls -A view)\" = .shmobj_foo && cat view/.shmobj_foo"
            for by in - 1; do
                [ $by = - ] || export SHMFS_BY_FUSERMOUNT=1
                test "$(../shmfs run -o view=netbsd:view -- sh -c "$command")" = hi || exit 1
            done
            ../shmfs mount -o view=netbsd:view tree 2>refused && exit 2
            grep -q "cannot bind the view netbsd" refused || exit 3
            ../shmfs mount -o view=netbsd tree && touch tree/foo || exit 4
            test "$(ls -A tree/.shmfs/views/netbsd)" = .shmobj_foo || exit 5
            ../shmfs umount tree
        '
    "#;
    let directory = tempfile::tempdir().unwrap();
    let words = [
        "--mount",
        "--propagation=private",
        "bash",
        "-c",
        script,
        "bash",
    ];
    let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    words.push(OsStr::new(env!("CARGO_BIN_EXE_shmfs")));
    words.push(directory.path().as_os_str());
    run("unshare", &words);
}
