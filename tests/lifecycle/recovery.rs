//! The process that serves dies, hangs or is replaced; the one that owns the mount dies too.

use crate::sandbox::User::{Nobody, NobodyWithMemfds, Root};
use crate::sandbox::{User, script, script_within};

/// Who mounts, and with which options: every way that data can go.
pub(crate) const WAYS: [(User, &str); 4] = [
    (Root, "passthrough=auto"),
    (Root, "passthrough=off"),
    (Nobody, "passthrough=auto"),
    (NobodyWithMemfds, "passthrough=auto"),
];

/// Mounts on `m`; `$daemon` owns it. The daemon's messages are in `log`.
const MOUNTED: &str = r#"
    mkdir -p m; $SHMFS mount -f -o OPTIONS m 2>>log & daemon=$!
    eventually grep -q fuse.shmfs /proc/self/mountinfo; eventually stat m/. >/dev/null 2>&1
    device=$(device_at $PWD/m)
    worker() { workers $daemon; }
    another() { local w; w=$(worker); [ -n "$w" ] && [ "$w" != "$1" ]; }
    # Kills the worker, and waits for the next one.
    replace() { local w; w=$(worker); kill -${1:-KILL} $w; eventually another "$w"; eventually ended $w; stat -f m > /dev/null; }
    finish() { $SHMFS umount m; is $? 0 "umount"; eventually ended $daemon; unmounted || fail "still mounted"
        eventually no_device $device; no_sockets || fail "a socket is left"
        ! pgrep shmfs > /dev/null || fail "a process is left"; }
    trap 'cat log >&2' EXIT
"#;

#[track_caller]
pub(crate) fn mounted(user: User, options: &str, body: &str) {
    prepared(user, "", options, body);
}

/// The same, with what is done before the mount.
#[track_caller]
pub(crate) fn prepared(user: User, before: &str, options: &str, body: &str) {
    script(user, &whole(before, options, body));
}

/// The same, where it may take other than a hundred seconds.
#[track_caller]
pub(crate) fn mounted_within(seconds: u32, user: User, options: &str, body: &str) {
    script_within(seconds, user, &whole("", options, body));
}

fn whole(before: &str, options: &str, body: &str) -> String {
    let mounted = MOUNTED.replace("OPTIONS", options);
    format!("{before}\n{mounted}\n{body}\nfinish; trap - EXIT")
}

/// A program that has of everything what it could lose: it stops when it has got it, and then looks.
pub(crate) const USER: &str = r#"
cat > user.py <<'END'
import fcntl, mmap, os, signal, struct, sys
def lock(fd, kind): return fcntl.fcntl(fd, 37, struct.pack("hhqqi4x", kind, 0, 0, 0, 0))  # F_OFD_SETLK
os.mkdir("m/many")
for i in range(1500): os.close(os.open(f"m/many/{i}", os.O_CREAT | os.O_WRONLY))
object = os.open("m/object", os.O_RDWR | os.O_CREAT); os.ftruncate(object, 1 << 20)
shared = mmap.mmap(object, 1 << 20); shared[0:4] = b"mine"; shared[-1:] = b"z"
gone = os.open("m/gone", os.O_RDWR | os.O_CREAT); os.write(gone, b"no name"); os.unlink("m/gone")
place = os.open("m/many", os.O_RDONLY)
fcntl.flock(object, fcntl.LOCK_EX); lock(gone, 1)
os.setxattr("m/object", "user.word", b"value"); os.chmod("m/object", 0o640); os.link("m/object", "m/link")
before = os.stat("m/object"); stream = os.scandir("m/many"); names = [next(stream).name for _ in range(700)]
open("ready", "w").write("x"); signal.sigwait([signal.SIGUSR1]) if signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]) is None else signal.sigwait([signal.SIGUSR1])
names += [entry.name for entry in stream]
assert len(names) == 1500 and len(set(names)) == 1500, len(names)
assert shared[0:4] == b"mine" and shared[-1:] == b"z"; shared[4:8] = b"more"
assert os.pread(object, 8, 0) == b"minemore" and os.pwrite(object, b"!", 100) == 1
assert os.fstat(object).st_ino == before.st_ino == os.stat("m/object").st_ino == os.stat("m/link").st_ino
after = os.stat("m/object")
assert (after.st_mode, after.st_nlink, after.st_size) == (before.st_mode, 2, 1 << 20), after
assert os.getxattr("m/object", "user.word") == b"value"
assert os.pread(gone, 10, 0) == b"no name" and os.fstat(gone).st_nlink == 0; os.ftruncate(gone, 3); assert os.fstat(gone).st_size == 3
other = os.open("m/object", os.O_RDWR)
try: fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB); assert False, "the lock is lost"
except BlockingIOError: pass
os.close(os.open("new", os.O_CREAT | os.O_WRONLY, dir_fd=place)); assert os.path.exists("m/many/new")
for name in names + ["new"]: os.unlink(f"m/many/{name}")
os.rmdir("m/many"); os.close(place)
END
"#;

#[test]
fn nobody_notices_that_the_worker_was_killed() {
    for (user, options) in WAYS {
        let body = r#"
            python3 user.py & program=$!
            eventually filled ready
            used=$(stat -f -c '%c %d' m); replace; replace ABRT; replace ILL
            kill -USR1 $program; wait $program; is $? 0 "the program"
            rm m/object m/link; rm -f ready
            has "$(cat log)" "signal 9 (SIGKILL)"; has "$(cat log)" "signal 6 (SIGABRT"
            "#;
        mounted(user, options, &format!("{USER}\n{body}"));
    }
}

#[test]
fn who_ignores_the_ends_of_children_loses_nothing() {
    for (mount, told) in [
        ("mount -f m 2>>log &", "signal 9 (SIGKILL)"),
        // Its messages go elsewhere.
        ("mount m 2>>log", ""),
    ] {
        let body = format!(
            r#"
            mkdir m
            # A shell cannot ignore SIGCHLD; other programs can.
            ignoring() {{ python3 -c 'import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])' "$@"; }}
            ignoring $SHMFS {mount}
            eventually grep -q fuse.shmfs /proc/self/mountinfo; eventually stat m/. >/dev/null 2>&1
            echo kept > m/object
            owner() {{ pgrep -x shmfs | while read p; do [ -z "$(workers $p)" ] || echo $p; done; }}
            owner=$(owner); old=$(workers $owner); [ -n "$old" ] || fail "no worker"
            kill -KILL $old; is "$(timeout 20 cat m/object)" kept
            has "$(cat log)" "{told}"
            ignoring $SHMFS umount m; is $? 0; unmounted || fail "still mounted"; eventually ended $owner
            "#
        );
        script(Root, &body);
    }
}

/// By fusermount3 programs see the mount before anybody serves it.
#[test]
fn a_worker_that_dies_before_it_says_that_it_serves_is_followed() {
    for (user, options) in WAYS {
        for place in ["resent", "file-made"] {
            let before =
                format!("export SHMFS_FAILPOINTS=$PWD/failpoint; echo '{place} 0' > failpoint");
            let body = r#"
                echo made > m/made; is "$(cat m/made)" made; rm m/made; ! [ -e failpoint ] || fail "none died"
                has "$(cat log)" "the worker died"
                "#;
            prepared(user, &before, options, body);
        }
    }
}

/// It is not tried for ever.
#[test]
fn workers_that_never_come_to_serve_are_an_error() {
    for user in [Root, Nobody] {
        let body = r#"
            mkdir m; echo 'resent 0 always' > failpoint
            SHMFS_FAILPOINTS=$PWD/failpoint timeout 60 $SHMFS mount -f m 2>log; is $? 4 "mount"
            is "$(grep -c 'the worker died' log)" 5; has "$(cat log)" "the process that serves the mount ended by signal"
            unmounted || fail "still mounted"; ! pgrep shmfs > /dev/null || fail "a process is left"
            "#;
        script(user, body);
    }
}

#[test]
fn counts_go_back_to_zero() {
    for (user, options) in WAYS {
        mounted(
            user,
            options,
            r#"
            counts() { stat -f -c '%f %c %d' m; }
            before=$(counts); same() { is_same=$(counts); [ "$is_same" = "$before" ]; }
            for i in 1 2 3; do
                for name in a b c; do head -c 100000 /dev/zero > m/$name; exec 7<m/$name; ln m/$name m/$name.link; mkdir m/$name.d; done
                exec 8<m/a; rm m/a m/a.link; replace
                exec 7<&- 8<&-; rm -r m/*
            done
            eventually same
            "#,
        );
    }
}

#[test]
fn a_worker_that_keeps_dying_is_started_again() {
    mounted(
        Root,
        "size=64m",
        r#"
        echo kept > m/object
        # One that has answered something, or is killed from outside, is followed at once; these have not, and are not.
        for i in 1 2 3 4 5 6; do w=$(worker); kill -ABRT $w; eventually another "$w"; done
        is "$(cat m/object)" kept
        # The wait grows, but the mount goes on.
        has "$(cat log)" "wait=20ms"; has "$(cat log)" "wait=40ms"
        "#,
    );
}

#[test]
fn requests_wait_while_nobody_serves() {
    mounted(
        Root,
        "size=64m",
        r#"
        echo kept > m/object
        kill -STOP $daemon; kill -KILL $(worker)
        cat m/object > read & reader=$!; echo new > m/new & writer=$!
        sleep 0.3; ended $reader && fail "it did not wait"
        kill -CONT $daemon; wait $reader; is $? 0; wait $writer; is $? 0
        is "$(cat read)" kept; is "$(cat m/new)" new
        "#,
    );
}

#[test]
fn sigterm_unmounts_while_nobody_serves() {
    for user in [Root, Nobody] {
        let mounted = MOUNTED.replace("OPTIONS", "size=64m");
        let body = r#"
            kill -STOP $daemon; kill -KILL $(worker); kill -TERM $daemon; kill -CONT $daemon
            wait $daemon; is $? 0; unmounted || fail "still mounted"; eventually no_device $device
            ! pgrep shmfs > /dev/null || fail "a process is left"
            "#;
        script(user, &format!("{mounted}\n{body}\ntrap - EXIT"));
    }
}

/// Traces the worker and does not look at it: when it is killed, its parent cannot wait for it.
const TRACER: &str = r#"
cat > tracer.py <<'END'
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True); PTRACE_SEIZE = 0x4206
assert libc.ptrace(PTRACE_SEIZE, int(sys.argv[1]), None, None) == 0, os.strerror(ctypes.get_errno())
open("traced", "w").write("x"); signal.pause()
END
    trace() { python3 tracer.py $1 & tracer=$!; eventually filled traced; rm traced; }
    gone() { eventually ended $daemon; kill $tracer; wait $tracer; unmounted || fail "still mounted"; eventually no_device $device
        # Nobody waits here for orphans.
        ! pgrep -r R,S,D,T,t shmfs > /dev/null || fail "a process is left"; }
"#;

#[track_caller]
fn traced(body: &str) {
    let mounted = MOUNTED.replace("OPTIONS", "size=64m");
    script(
        Root,
        &format!("{mounted}\n{TRACER}\n{body}\ngone; trap - EXIT"),
    );
}

#[test]
fn a_mount_ends_while_a_worker_cannot_be_waited_for() {
    traced("trace $(worker); kill -KILL $(worker); umount m; is $? 0");
}

#[test]
fn a_worker_that_cannot_be_waited_for_does_not_keep_the_daemon() {
    // The kernel gives no way to abort: the end of the processes does it.
    traced("mount -t tmpfs none /sys/fs/fuse/connections; trace $(worker); kill -QUIT $daemon");
}

#[test]
fn a_worker_that_cannot_be_waited_for_is_followed() {
    traced(
        r#"
        echo kept > m/object; trace $(worker); kill -KILL $(worker); is "$(timeout 20 cat m/object)" kept
        first=$tracer; trace $(workers $daemon | tail -1)
        has "$($SHMFS upgrade m)" "m: shmfs"; is $? 0 "upgrade"; is "$(cat m/object)" kept
        kill $first; umount m; is $? 0
        "#,
    );
}

#[test]
fn the_command_of_run_does_not_notice() {
    for user in [Root, Nobody] {
        script(
            user,
            &format!(
                r#"{USER}
            sed -i 's,"m/,"/dev/shm/,g; s,f"m/,f"/dev/shm/,g' user.py
            $SHMFS run -- sh -c 'python3 user.py; echo $? > status; df /dev/shm | grep -q shmfs && echo good > answer' & front=$!
            eventually filled ready
            server=$(pgrep -x shmfs | while read p; do [ -n "$(workers $p)" ] && echo $p; done)
            old=$(workers $server); kill -KILL $old
            another() {{ local w; w=$(workers $server); [ -n "$w" ] && [ "$w" != $old ]; }}; eventually another
            kill -USR1 $(pgrep -f user.py | tail -1); wait $front; is $? 0
            is "$(cat status) $(cat answer)" "0 good"; ! pgrep shmfs > /dev/null || fail "a process is left""#
            ),
        );
    }
}

#[test]
fn the_control_socket_waits_for_a_worker() {
    mounted(
        Root,
        "size=64m",
        r#"
        echo x > m/object; replace
        $SHMFS mount -o remount,size=128m m; is $? 0
        is "$(df --output=size m | tail -1 | tr -d ' ')" 131072; replace
        is "$(df --output=size m | tail -1 | tr -d ' ')" 131072 "the limit is lost"
        "#,
    );
}

#[test]
fn a_worker_that_hangs_is_replaced() {
    mounted(
        Root,
        "passthrough=off",
        r#"
        echo kept > m/object; old=$(worker)
        stopped() { local t; for t in /proc/$old/task/*; do [ "$(cut -d' ' -f3 $t/stat)" = T ] || return 1; done; }
        kill -STOP $old; eventually stopped; is "$(timeout 60 cat m/object)" kept
        eventually ended $old; has "$(cat log)" "since it hung"; has "$(cat log)" "requests wait"
        "#,
    );
}

/// A service manager as systemd is one: it holds descriptors, and starts the service again.
const MANAGER: &str = r#"
cat > manager.py <<'END'
import array, os, signal, socket, sys, time
inbox = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); inbox.bind("notify"); inbox.settimeout(30)
stored = {}
def start():
    pid = os.fork()
    if pid == 0:
        high = [os.dup2(fd, 200 + i) for i, fd in enumerate(stored.values())]
        for i, fd in enumerate(high): os.dup2(fd, 3 + i); os.set_inheritable(3 + i, True)
        os.environ.update(NOTIFY_SOCKET=os.path.abspath("notify"), FDSTORE="64")
        if stored: os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(stored)), LISTEN_FDNAMES=":".join(stored))
        os.execv(os.environ["SHMFS"], ["shmfs", "mount", "-f", "m"])
    open("pid.new", "w").write(str(pid)); os.rename("pid.new", "pid")
    return pid
def until_ready():
    while True:
        said, fds, _, _ = socket.recv_fds(inbox, 4096, 10)
        lines = said.decode().split("\n")
        if "FDSTORE=1" in lines: stored[next(l for l in lines if l.startswith("FDNAME="))[7:]] = fds[0]
        if "READY=1" in lines: return
def finish(status):
    # What the process said last, which is that it needs nothing held any more.
    inbox.settimeout(0)
    try:
        while True:
            lines = inbox.recv(4096).decode().split("\n"); assert "FDSTOREREMOVE=1" in lines, lines
            del stored[next(l for l in lines if l.startswith("FDNAME="))[7:]]
    except BlockingIOError: pass
    assert not stored, stored
    sys.exit(os.waitstatus_to_exitcode(status))
pid = start(); until_ready()
assert {"shmfs-device", "shmfs-data", "shmfs-journal", "shmfs-state"} <= set(stored), stored
for round in range(3):
    open(f"ready.{round}", "w").write("x")
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status): finish(status)
    pid = start(); until_ready()
_, status = os.waitpid(pid, 0); finish(status)
END
"#;

#[test]
fn with_a_service_manager_the_mount_outlives_its_owner() {
    for user in [Root, Nobody] {
        let body = r#"
            mkdir m; python3 manager.py 2>log & manager=$!; trap 'cat log >&2' EXIT
            eventually filled ready.0; echo kept > m/object
            python3 -c '
import mmap, os, time
f = os.open("m/mapped", os.O_RDWR | os.O_CREAT); os.ftruncate(f, 4096); m = mmap.mmap(f, 4096); m[0:1] = b"1"
open("mapped", "w").write("x")
while not os.path.exists("done"): time.sleep(0.05)
m[1:2] = b"2"; assert os.pread(f, 2, 0) == b"12"' & program=$!
            eventually filled mapped
            for round in 1 2; do
                daemon=$(cat pid); worker=$(workers $daemon)
                kill -KILL $daemon; eventually ended $worker; eventually filled ready.$round
                is "$(timeout 20 cat m/object)" kept; echo $round > m/new.$round
            done
            touch done; wait $program; is $? 0 "the program that has it mapped"
            is "$(ls m)" "$(printf 'mapped\nnew.1\nnew.2\nobject')"
            kill -TERM $(cat pid); wait $manager; is $? 0; unmounted || fail "still mounted"; trap - EXIT
            "#;
        script(user, &format!("{MANAGER}\n{body}"));
    }
}
