//! `shmfs mount`, `shmfs umount`, and the daemon between them.

use crate::sandbox::User::{Nobody, NobodyWithoutDevice, Root};
use crate::sandbox::{User, script};

const BOTH: [User; 2] = [Root, Nobody];

/// Mounts on `m` in the background, with `$daemon` and `$device` set.
const MOUNTED: &str = r#"
    daemon_of() { local p; for p in /proc/[0-9]*; do
        [ "$(readlink $p/exe 2>/dev/null)" = "$SHMFS" ] && tr '\0' ' ' < $p/cmdline | grep -q " mount " && echo ${p##*/}; done; }
    mkdir -p m; $SHMFS mount 'a source,with\all' m; is $? 0
    daemon=$(daemon_of); device=$(device_at $PWD/m)
    is "$(echo $daemon | wc -w)" 1 "one daemon"
"#;

#[track_caller]
fn mounted(user: User, body: &str) {
    script(user, &format!("{MOUNTED}\n{body}"));
}

#[test]
fn it_answers_when_mount_returns() {
    for user in BOTH {
        mounted(
            user,
            r#"
            is "$(df --output=source m | tail -1)" 'a source,with\all'
            is "$(stat -f -c %T m)" fuseblk
            grep -q ' - fuse.shmfs ' /proc/self/mountinfo || fail "not of the type fuse.shmfs"
            is "$(ls m)" ""
            is "$(readlink /proc/$daemon/fd/[012] | sort -u)" /dev/null
            is "$(readlink /proc/$daemon/cwd)" /
            $SHMFS umount m; is $? 0
            ended $daemon || fail "umount returned before the daemon ended"
            unmounted || fail "still mounted"; eventually no_device $device
            no_sockets || fail "a socket is left"
            "#,
        );
    }
}

#[test]
fn mount_points_that_cannot_be_used() {
    for user in BOTH {
        script(
            user,
            r#"
            said=$($SHMFS mount ./missing 2>&1); is $? 32; has "$said" "cannot mount on ./missing: No such file"; has "$said" "mkdir ./missing"
            touch file; said=$($SHMFS mount file 2>&1); is $? 32; has "$said" "cannot mount on file: Not a directory"
            mkdir full; touch full/file; $SHMFS mount full; is $? 0; is "$(ls full)" ""; $SHMFS umount full; is $? 0
            is "$(ls full)" file
            "#,
        );
    }
    script(
        Nobody,
        r#"said=$($SHMFS mount /etc 2>&1); is $? 32; has "$said" "a directory of his own""#,
    );
    script(
        NobodyWithoutDevice,
        r#"mkdir m; said=$($SHMFS mount m 2>&1); is $? 32; has "$said" "chmod 666 /dev/fuse""#,
    );
    script(
        Root,
        r#"mkdir m; touch nodev; mount --bind nodev /dev/fuse; said=$($SHMFS mount m 2>&1); [ $? != 0 ] || fail "mounted"; has "$said" /dev/fuse; unmounted"#,
    );
    script(
        Nobody,
        r#"mkdir m bin; export PATH=$PWD/bin; said=$($SHMFS mount m 2>&1); status=$?; PATH=/usr/bin:/bin; is $status 2; has "$said" "install the package fuse3""#,
    );
}

#[test]
fn foreground_stays() {
    for user in BOTH {
        script(
            user,
            r#"
            mkdir m; $SHMFS mount -f m & daemon=$!
            eventually grep -q fuse.shmfs /proc/self/mountinfo
            eventually stat m >/dev/null
            kill -TERM $daemon; wait $daemon; is $? 0
            unmounted || fail "still mounted"
            "#,
        );
    }
}

#[test]
fn sigint_and_sigterm_unmount() {
    for user in BOTH {
        for signal in ["TERM", "INT"] {
            let body = r#"kill -SIGNAL $daemon; eventually ended $daemon; unmounted || fail "still mounted"; eventually no_device $device"#;
            mounted(user, &body.replace("SIGNAL", signal));
        }
    }
}

#[test]
fn sighup_does_not_end_a_daemon() {
    mounted(
        Root,
        r#"kill -HUP $daemon; sleep 0.3; ended $daemon && fail "it ended"; $SHMFS umount m; is $? 0"#,
    );
}

#[test]
fn a_busy_mount_is_served_until_its_last_user_leaves() {
    for user in BOTH {
        mounted(
            user,
            r#"
            echo kept > m/object; exec 5<m
            kill -TERM $daemon; eventually unmounted
            sleep 0.3; ended $daemon && fail "it ended although it is in use"
            is "$(cat /proc/self/fd/5/object)" kept "its last user"
            exec 5<&-
            eventually ended $daemon; eventually no_device $device
            "#,
        );
    }
}

#[test]
fn a_second_signal_aborts() {
    for user in BOTH {
        mounted(
            user,
            r#"
            exec 5<m
            kill -TERM $daemon; eventually unmounted
            kill -TERM $daemon; eventually ended $daemon
            stat /proc/self/fd/5/ > /dev/null 2>&1 && fail "it still answers"
            unmounted || fail "a mount is left"
            "#,
        );
    }
}

#[test]
fn a_mount_that_went_away_ends_the_daemon() {
    mounted(
        Root,
        r#"umount m; eventually ended $daemon; eventually no_device $device"#,
    );
    mounted(
        Nobody,
        r#"fusermount3 -u m; eventually ended $daemon; eventually no_device $device"#,
    );
}

#[test]
fn somebody_elses_mount_is_never_unmounted() {
    mounted(
        Root,
        r#"
        mount -t tmpfs theirs m
        kill -TERM $daemon; sleep 0.5
        is "$(df --output=source m | tail -1)" theirs
        ended $daemon && fail "it ended with its mount in place"
        umount m; $SHMFS umount m; is $? 0; eventually ended $daemon
        "#,
    );
    mounted(
        Root,
        r#"
        umount -l m; mount -t tmpfs theirs m; kill -TERM $daemon 2>/dev/null
        eventually ended $daemon; is "$(df --output=source m | tail -1)" theirs
        "#,
    );
}

#[test]
fn a_mount_point_may_be_renamed() {
    mounted(
        Root,
        r#"mkdir p; mkdir p/m; $SHMFS umount m; $SHMFS mount p/m; mv p q; $SHMFS umount q/m; is $? 0; unmounted || fail left"#,
    );
    script(
        Root,
        r#"mkdir -p p/m; $SHMFS mount -f p/m & daemon=$!; eventually grep -q fuse.shmfs /proc/self/mountinfo; mv p q
        kill -TERM $daemon; wait $daemon; is $? 0; unmounted || fail left"#,
    );
}

#[test]
fn a_user_says_the_same_flags_again_at_a_remount() {
    mounted(
        Nobody,
        r#"said=$($SHMFS mount -o remount,nr_inodes=77,nosuid,nodev m 2>&1); is $? 0 "$said"; is "$(stat -f -c %c m)" 77
        said=$($SHMFS mount -o remount,nr_inodes=78,noexec m 2>&1); is $? 32; has "$said" "Operation not permitted"
        $SHMFS umount m; is $? 0"#,
    );
}

#[test]
fn mounts_can_be_stacked() {
    script(
        Root,
        r#"
        mkdir m; $SHMFS mount one m; is $? 0
        $SHMFS mount two m; is $? 0 "on top of one"
        is "$(df --output=source m | tail -1)" two
        $SHMFS umount m; is $? 0; is "$(df --output=source m | tail -1)" one
        $SHMFS umount m; is $? 0; unmounted || fail "still mounted"
        "#,
    );
    // fusermount3 may not look at the lower mount, which is the user's alone.
    mounted(
        Nobody,
        r#"said=$($SHMFS mount two m 2>&1); is $? 32; has "$said" "only root can mount"; $SHMFS umount m; is $? 0"#,
    );
}

#[test]
fn a_dead_mount_is_explained_and_cleaned() {
    for user in BOTH {
        mounted(
            user,
            r#"
            worker=$(workers $daemon); kill -STOP $daemon
            kill -KILL $worker $daemon; eventually ended $worker $daemon
            said=$($SHMFS mount m 2>&1); is $? 32; has "$said" "shmfs umount --lazy"
            $SHMFS umount --lazy m; is $? 0; unmounted || fail "still there"
            $SHMFS mount m; is $? 0; $SHMFS umount m; is $? 0
            no_sockets || fail "stale sockets"
            "#,
        );
    }
}

#[test]
fn a_mount_ends_with_its_supervisor() {
    for user in BOTH {
        mounted(
            user,
            r#"
            worker=$(workers $daemon); echo kept > m/object; exec 5<m
            kill -KILL $daemon; eventually ended $daemon $worker
            unmounted || fail "still mounted"
            said=$(stat /proc/self/fd/5/ 2>&1); has "$said" "not connected"
            $SHMFS mount m; is $? 0; $SHMFS umount m; is $? 0
            "#,
        );
    }
}

#[test]
fn a_worker_has_what_it_needs_and_nothing_else() {
    script(
        Root,
        r#"
        mkdir m; touch lock; exec 7<lock 8>>lock
        SECRET=word $SHMFS mount -f m & daemon=$!
        eventually grep -q fuse.shmfs /proc/self/mountinfo
        worker=$(workers $daemon)
        tr '\0' '\n' < /proc/$worker/environ | grep -q SECRET && fail "the environment"
        readlink /proc/$worker/fd/* | grep -q lock && fail "a descriptor of whoever mounts"
        is "$(awk '/^SigBlk/ { print $2 }' /proc/$worker/status)" 0000000000000000
        # The signals that end a mount are the supervisor's, also where they are sent to all.
        kill -TERM $worker; kill -INT $worker; kill -HUP $worker; kill -QUIT $worker
        echo served > m/object; is "$(cat m/object)" served
        kill -TERM $worker $daemon; wait $daemon; is $? 0; ended $worker || fail "the worker is left"
        "#,
    );
}

#[test]
fn umount_says_what_is_wrong() {
    mounted(
        Root,
        r#"
        said=$($SHMFS umount ./missing 2>&1); is $? 32; has "$said" "No such file"
        said=$($SHMFS umount . 2>&1); is $? 32; has "$said" "is not a mount point"
        said=$($SHMFS umount /proc 2>&1); is $? 32; has "$said" "of the type proc, not an shmfs"
        exec 5<m; said=$($SHMFS umount m 2>&1); is $? 32; has "$said" busy; has "$said" "process $$"; has "$said" "--lazy"
        exec 5<&-; $SHMFS umount m; is $? 0
        "#,
    );
}

#[test]
fn umount_lazy_and_force() {
    for user in BOTH {
        mounted(
            user,
            r#"
            exec 5<m; $SHMFS umount m 2>/dev/null; is $? 32
            $SHMFS umount --lazy m; is $? 0; unmounted || fail "still mounted"
            ended $daemon && fail "ended with a user"; stat /proc/self/fd/5/ >/dev/null || fail "not served"
            exec 5<&-; eventually ended $daemon
            "#,
        );
        mounted(
            user,
            r#"
            exec 5<m; $SHMFS umount --force m; is $? 0; unmounted || fail "still mounted"
            ended $daemon || fail "the daemon is left"
            stat /proc/self/fd/5/ >/dev/null 2>&1 && fail "still served"; true
            "#,
        );
    }
}

#[test]
fn the_control_socket_answers() {
    for user in BOTH {
        mounted(
            user,
            r#"
            ask() { python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b"\n")
f = s.makefile(); line = f.readline(); open("heard", "w").write(line); f.read(); print(line.strip())' $socket "$1"; }
            socket=$(find /run/shmfs $XDG_RUNTIME_DIR/shmfs -name $device 2>/dev/null)
            has "$(ask status)" 'ok {"'
            has "$(ask nonsense)" "error unknown request"; has "$(ask 'remount mode=0')" "error size=BYTES"
            has "$(ask "$(printf %03000d)")" "error"
            rm heard; ask wait > waited & waiting=$!
            eventually filled heard
            has "$(ask umount)" ok
            wait $waiting; is "$(cat waited)" ok; eventually ended $daemon
            unmounted || fail "still mounted"
            "#,
        );
    }
}

#[test]
fn the_control_socket_is_private() {
    mounted(
        Root,
        r#"
        is "$(stat -c '%a %U' /run/shmfs)" "700 root"; test -S /run/shmfs/$device || fail "no socket"
        $SHMFS umount m; is "$(ls -A /run/shmfs)" ""
        "#,
    );
}

#[test]
fn readiness_is_told() {
    script(
        Root,
        r#"
        mkdir m
        python3 -c '
import os, socket, subprocess, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM); s.bind("ready"); s.settimeout(20)
p = subprocess.Popen([os.environ["SHMFS"], "mount", "-f", "m"], env=dict(os.environ, NOTIFY_SOCKET=os.path.abspath("ready")))
assert s.recv(100) == b"READY=1"
os.stat("m"); assert "fuse.shmfs" in open("/proc/self/mountinfo").read()
p.terminate(); assert p.wait() == 0' || fail "python3"
        "#,
    );
}

#[test]
fn limits_of_the_starter_do_not_bind_the_daemon() {
    script(
        Root,
        r#"
        mkdir m; ulimit -S -n 64; ulimit -S -f 100; $SHMFS mount -f m & daemon=$!
        eventually grep -q fuse.shmfs /proc/self/mountinfo
        is "$(awk '/Max open files/ { print ($4 == $5) }' /proc/$daemon/limits)" 1
        is "$(awk '/Max file size/ { print ($4 == $5) }' /proc/$daemon/limits)" 1
        kill $daemon; wait $daemon; is $? 0
        "#,
    );
}

#[test]
fn as_root_the_dirty_limit_is_lifted() {
    script(
        Root,
        r#"
        mkdir m; $SHMFS mount -o passthrough=off m; is $? 0
        is "$(cat /sys/class/bdi/$(device_at $PWD/m)/strict_limit)" 0; $SHMFS umount m; is $? 0
        "#,
    );
}

/// Nobody has to wait for it who has looked at the mount: its daemon listens before.
#[test]
fn whoever_sees_a_mount_can_ask_its_daemon() {
    for user in BOTH {
        let body = r#"
            mkdir m
            cat > round.py <<'END'
import os, subprocess, sys
shmfs = sys.argv[1]; here = os.stat(".").st_dev
for round in range(25):
    daemon = subprocess.Popen([shmfs, "mount", "-f", "m"])
    while os.stat("m").st_dev == here: pass
    device = os.stat("m").st_dev
    places = "/run/shmfs", os.environ["XDG_RUNTIME_DIR"] + "/shmfs"
    name = f"{os.major(device)}:{os.minor(device)}"
    assert any(os.path.exists(f"{place}/{name}") for place in places), f"no socket in round {round}"
    # Who mounts by fusermount3 may be told that the mount went before it was ready.
    subprocess.run([shmfs, "umount", "m"], check=True); assert daemon.wait() in (0, 32)
END
            python3 round.py $SHMFS; is $? 0; unmounted || fail "still mounted"
            "#;
        script(user, body);
    }
}
