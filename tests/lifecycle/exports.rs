//! Exports of a live mount: the words that show, change and bind them, `shmfs run --export`, and what is left.

use crate::sandbox::User::{Nobody, Root};
use crate::sandbox::{User, script};

const BOTH: [User; 2] = [Root, Nobody];

/// A file of exports, and a mount with them on `m`; `$own` is the mount's directory of exports.
const MOUNTED: &str = r#"
    umask 022
    cat > exports.toml <<'END'
[export.camera]
read = ["frames_*"]
write = ["ctl"]
hide = ["frames_raw*"]
[export.own]
private = true
size = "1m"
END
    mkdir -p m; $SHMFS mount --exports exports.toml m; is $? 0; own=m/.shmfs/exports
    device=$(device_at $PWD/m)
    echo one > m/frames_1; echo raw > m/frames_raw; echo other > m/secret; chmod 666 m/*
    refused() { local status=$1; shift; said=$("$@" 2>&1); is $? $status "$*: $said"; }
    sessions() { [ "$(ls m/.shmfs/private/own 2>/dev/null | wc -l)" = $1 ]; }
    no_sessions() { sessions 0; }
    gone() { [ "$(grep -c " - fuse.shmfs " /proc/self/mountinfo)" = 0 ]; }
"#;

#[track_caller]
fn mounted(user: User, body: &str) {
    script(user, &format!("{MOUNTED}\n{body}"));
}

#[test]
fn a_wrong_file_mounts_nothing() {
    for user in BOTH {
        script(
            user,
            r#"
            mkdir m; printf '[export.a]\nread = ["/x"]\nrite = []\n' > bad.toml
            for words in "--exports bad.toml" "-o exports=bad.toml"; do
                said=$($SHMFS mount $words m 2>&1); is $? 1
                has "$said" "Nothing is served from a file with an error"; has "$said" "bad.toml:2:"; has "$said" "E_ABSOLUTE"; has "$said" "bad.toml:3:"
            done
            said=$($SHMFS mount --exports missing.toml m 2>&1); is $? 1; has "$said" "missing.toml: E_READ"
            printf '[export.a]\nread = ["x"]\nview = "plan9"\n' > view.toml
            said=$($SHMFS mount --exports view.toml m 2>&1); is $? 1; has "$said" "there is no such view"
            unmounted || fail "mounted"; no_sockets || fail "a socket"
            "#,
        );
    }
}

#[test]
fn they_are_listed_and_shown() {
    for user in BOTH {
        mounted(
            user,
            r#"
            has "$($SHMFS export list m)" "camera  3      -           -"
            said=$($SHMFS export show camera m); is $? 0
            has "$said" "$PWD/exports.toml"; has "$said" "ctl          read,write,create,delete  line 3: write"
            refused 1 $SHMFS export show nothing m; has "$said" "There are: camera, own."
            refused 32 $SHMFS export list .; has "$said" "not a mount point"
            $SHMFS umount m; is $? 0; gone || fail "still mounted"
            "#,
        );
    }
}

#[test]
fn a_mount_without_exports_says_so() {
    script(
        Root,
        r#"
        mkdir m; $SHMFS mount m; is $? 0
        said=$($SHMFS export list m 2>&1); is $? 32; has "$said" "it was mounted without exports"
        said=$($SHMFS export reload m /dev/null 2>&1); is $? 32; has "$said" "it was mounted without exports"
        $SHMFS umount m; is $? 0
        "#,
    );
}

#[test]
fn only_the_owner_may_ask() {
    mounted(
        Root,
        r#"
        chmod 755 m
        for words in "list" "show camera" "mount camera"; do
            said=$(setpriv --reuid 1234 --regid 1234 --clear-groups $SHMFS export $words m 2>&1); is $? 32
            has "$said" "answers only root and the user who mounted it"
        done
        $SHMFS umount m; is $? 0
        "#,
    );
}

#[test]
fn a_file_with_an_error_leaves_the_old_rules() {
    for user in BOTH {
        mounted(
            user,
            r#"
            cp exports.toml good.toml; echo 'read = 5' >> exports.toml
            refused 1 $SHMFS export reload m; has "$said" "exports.toml:8:"; has "$said" "The rules that were in force stay so."
            has "$($SHMFS export list m)" "camera  3"; is "$(cat $own/camera/frames_1)" one
            # The other file is the one that is read from now on.
            sed -i 's/"ctl"/"ctl", "frames_raw2", "secret"/; /hide/d' good.toml
            $SHMFS export reload m good.toml; is $? 0
            has "$($SHMFS export show camera m)" "$PWD/good.toml"
            is "$(cat $own/camera/secret)" other
            sed -i 's/, "secret"//' good.toml; $SHMFS export reload m; is $? 0
            [ -e $own/camera/secret ] && fail "still there"
            # What cannot change on a live mount is refused.
            sed -i 's/private = true/read = ["x"]/' good.toml
            refused 32 $SHMFS export reload m; has "$said" "private"; has "$said" "The rules that were in force stay so."
            $SHMFS mount -o remount,exports=exports.toml m 2>/dev/null; is $? 1
            $SHMFS umount m; is $? 0
            "#,
        );
    }
}

#[test]
fn it_is_bound_without_suid_devices_and_programs() {
    mounted(
        Root,
        r#"
        mkdir -p root/dev/shm; $SHMFS export mount camera m root/dev/shm; is $? 0
        at=$PWD/root/dev/shm; line=$(awk -v at=$at '$5 == at { print $6 }' /proc/self/mountinfo)
        for flag in nosuid nodev noexec; do has ",$line," ",$flag,"; done
        is "$(ls $at)" frames_1; is "$(cat $at/frames_1)" one
        (echo x > $at/frames_1) 2>/dev/null && fail "written"; (echo x > $at/secret) 2>/dev/null && fail "made"
        echo x > $at/ctl; is "$(cat m/ctl)" x
        # A chroot has no way out.
        is "$(cd $at/.. && pwd)" $PWD/root/dev
        mkdir -p root/bin root/lib root/lib64 root/usr root/proc; for d in bin lib lib64 usr; do mount --rbind /$d root/$d; done
        is "$(echo $(chroot root sh -c 'cd /dev/shm && ls -a'))" ". .. ctl frames_1"
        is "$(chroot root sh -c 'cd /dev/shm; ls ../../ | grep -c dev; ls .shmfs 2>/dev/null')" 1
        for d in bin lib lib64 usr; do umount -l root/$d; done
        $SHMFS umount m; is $? 0; gone || fail "a bind is left"; eventually no_device $device; no_sockets
        "#,
    );
}

#[test]
fn there_is_no_way_out_by_a_handle() {
    mounted(
        Root,
        r#"
        mkdir t; $SHMFS export mount camera m t; is $? 0
        python3 - t <<'END' || fail "python3"
import ctypes, os, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
AT_HANDLE_CONNECTABLE = 2
def handle(path, flags=0):
    buffer = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128)); mount = ctypes.c_int()
    done = libc.name_to_handle_at(-100, path.encode(), buffer, ctypes.byref(mount), flags)
    return None if done else buffer
def forged(node, generation):
    return ctypes.create_string_buffer(struct.pack("IiIII", 12, 0x81, node >> 32, node & 0xffffffff, generation))
def reach(buffer, flags):
    return libc.open_by_handle_at(root, buffer, flags)
def listed(fd):
    return sorted(os.listdir(f"/proc/self/fd/{fd}"))
export = os.path.realpath(sys.argv[1])
root = os.open(export, os.O_RDONLY)
up = os.open("..", os.O_PATH, dir_fd=root)
assert os.readlink(f"/proc/self/fd/{up}") == os.path.dirname(export), "up leads elsewhere"
# A file's handle leads to the file, also one that names its directory; no other directory is named in it.
for flags in 0, AT_HANDLE_CONNECTABLE:
    own = handle(export + "/frames_1", flags)
    if own is None: continue
    fd = reach(own, os.O_RDONLY)
    assert fd >= 0 and os.read(fd, 9) == b"one\n", flags
    try: os.open(f"/proc/self/fd/{fd}", os.O_WRONLY); assert False, "opened for writing"
    except PermissionError: pass
# The root's own leads to itself or nowhere, and not up from there.
fd = reach(handle(export), os.O_RDONLY)
if fd >= 0:
    assert listed(fd) == ["frames_1"], listed(fd)
    try: assert "secret" not in os.listdir(os.open("..", os.O_RDONLY, dir_fd=fd))
    except OSError: pass
# Node 1 is the only one that can be guessed: nothing is to be found in it.
for generation in 0, 1:
    fd = reach(forged(1, generation), os.O_RDONLY)
    if fd >= 0: assert listed(fd) == [], listed(fd)
for node in list(range(2, 100)) + [2**64 - 1, 2**63, 2**62]:
    for generation in 0, 1: assert reach(forged(node, generation), os.O_RDONLY) < 0, node
END
        $SHMFS umount m; is $? 0; gone || fail "left"
        "#,
    );
}

#[test]
fn a_target_is_looked_up_once_without_links() {
    mounted(
        Root,
        r#"
        mkdir -p real/shm; ln -s real link; ln -s real/shm shm
        for target in link/shm shm; do
            refused 32 $SHMFS export mount camera m $target; has "$said" "No symbolic link may be on the way"
        done
        refused 32 $SHMFS export mount camera m missing; has "$said" "mkdir"
        refused 32 $SHMFS export mount camera m exports.toml; has "$said" "A mount point is a directory"
        refused 1 $SHMFS export mount camera m; has "$said" 'to = "PATH"'
        refused 1 $SHMFS export mount nothing m; has "$said" "There are: camera, own."
        refused 32 $SHMFS export mount nothing m real/shm; has "$said" "nothing"
        is "$(grep -c ' - fuse.shmfs ' /proc/self/mountinfo)" 1
        $SHMFS umount m; is $? 0
        "#,
    );
}

#[test]
fn each_bind_is_a_session_of_its_own() {
    mounted(
        Root,
        r#"
        mkdir a b; $SHMFS export mount own m a; is $? 0; $SHMFS export mount own m b; is $? 0
        is "$(stat -c %a a)" 1777
        echo x > a/x; is "$(ls b)" ""; is "$(cat m/.shmfs/private/own/*/x)" x
        umount a; eventually sessions 1
        $SHMFS export mount own m a; is "$(ls a)" ""
        $SHMFS umount b; is $? 0; is "$(grep -c ' - fuse.shmfs ' /proc/self/mountinfo)" 2
        $SHMFS umount m; is $? 0; gone || fail "left"; eventually no_device $device
        "#,
    );
}

#[test]
fn to_binds_with_the_mount() {
    script(
        Root,
        r#"
        mkdir -p m c/dev/shm
        printf '[export.a]\nwrite = ["x*"]\nto = "%s"\n' $PWD/c/dev/shm > exports.toml
        $SHMFS mount -o exports=exports.toml m; is $? 0; device=$(device_at $PWD/m)
        echo 1 > c/dev/shm/x1; is "$(cat m/x1)" 1
        has "$(awk -v at=$PWD/c/dev/shm '$5 == at { print $6 }' /proc/self/mountinfo)" nosuid,nodev,noexec
        $SHMFS umount m; is $? 0; unmounted || fail "a bind is left"; eventually no_device $device
        # umount(8) knows nothing of the bind: the daemon takes it along.
        $SHMFS mount -o exports=exports.toml m; is $? 0; device=$(device_at $PWD/m); umount m; is $? 0
        eventually unmounted; eventually no_device $device
        rmdir c/dev/shm; said=$($SHMFS mount -o exports=exports.toml m 2>&1); is $? 32; has "$said" "c/dev/shm"; unmounted || fail "mounted"
        "#,
    );
    script(
        Nobody,
        r#"
        mkdir -p m c; printf '[export.a]\nwrite = ["x*"]\nto = "%s"\n' $PWD/c > exports.toml
        said=$($SHMFS mount -o exports=exports.toml m 2>&1); is $? 32; has "$said" "fusermount3 cannot be bound"; unmounted || fail "mounted"
        "#,
    );
}

#[test]
fn a_mount_that_is_killed_takes_its_binds_along() {
    script(
        Root,
        r#"
        mkdir -p m c; printf '[export.a]\nwrite = ["x*"]\nto = "%s"\n' $PWD/c > exports.toml
        $SHMFS mount -f -o exports=exports.toml m & daemon=$!
        eventually stat c/.. m >/dev/null; eventually grep -q " $PWD/c " /proc/self/mountinfo
        kill -TERM $daemon; wait $daemon; is $? 0; unmounted || fail "left"
        "#,
    );
}

#[test]
fn a_command_gets_an_export() {
    for user in BOTH {
        mounted(
            user,
            r#"
            before=$(ls /dev/shm | wc -l)
            said=$($SHMFS run --export camera --from m -- sh -c 'ls /dev/shm; cat /dev/shm/frames_1; echo new > /dev/shm/ctl; (echo x > /dev/shm/frames_1) 2>/dev/null && echo bad; exit 7'); is $? 7
            is "$said" "$(printf 'frames_1\none')"
            is "$(cat m/ctl)" new; is "$(ls /dev/shm | wc -l)" $before
            $SHMFS run --export own --from m -- sh -c 'echo 1 > /dev/shm/x; is=$(ls /dev/shm); [ "$is" = x ]'; is $? 0
            eventually no_sessions
            # What the command leaves running is ended, and its session with it.
            $SHMFS run --export own --from m -- sh -c 'sleep 1000 & echo 1 > /dev/shm/x'; is $? 0
            eventually no_sessions
            refused 125 $SHMFS run --export nothing --from m -- true; has "$said" "nothing"
            refused 125 $SHMFS run --export camera --from . -- true; has "$said" "not a mount point"
            refused 125 $SHMFS run --export camera -- true; has "$said" "--from"
            refused 125 $SHMFS run --export camera --from m -o size=1m -- true
            refused 127 $SHMFS run --export camera --from m -- ./no-such-command
            $SHMFS umount m; is $? 0; gone || fail "left"
            "#,
        );
    }
}

#[test]
fn a_signal_reaches_the_command() {
    mounted(
        Root,
        r#"
        $SHMFS run --export own --from m -- sh -c 'echo $$ > pid; exec sleep 1000' & runner=$!
        eventually filled pid; kill -TERM $runner; wait $runner; is $? 143
        eventually no_sessions; $SHMFS umount m; is $? 0
        "#,
    );
}

#[test]
fn rules_in_force_are_explained() {
    mounted(
        Root,
        r#"
        said=$($SHMFS export explain --from m camera ctl); is $? 0; has "$said" "rights: read,write,create,delete"
        sed -i 's/write = .*//' exports.toml
        has "$($SHMFS export explain --from m camera ctl)" "rights: read,write,create,delete"
        $SHMFS export reload m; is $? 0; has "$($SHMFS export explain --from m camera ctl)" "rights: none; hidden"
        refused 1 $SHMFS export explain camera ctl; refused 1 $SHMFS export explain --from m --file exports.toml camera ctl
        refused 32 $SHMFS export explain --from . camera ctl
        $SHMFS umount m; is $? 0
        "#,
    );
}

#[test]
fn run_has_exports_of_its_own() {
    for user in BOTH {
        script(
            user,
            r#"
            mkdir c; printf '[export.a]\nread = ["x*"]\nto = "%s"\n' $PWD/c > exports.toml
            $SHMFS run -o exports=exports.toml -- sh -c 'echo 1 > /dev/shm/x; echo 2 > /dev/shm/y; ls c; cat c/x; (echo 3 > c/x) 2>/dev/null || echo refused' > said; is $? 0
            is "$(echo $(cat said))" "x 1 refused"; is "$(ls c)" ""
            printf '[export.a]\nread = ["/x"]\n' > exports.toml
            said=$($SHMFS run -o exports=exports.toml -- true 2>&1); is $? 125; has "$said" E_ABSOLUTE
            "#,
        );
    }
}

#[test]
fn a_new_worker_has_the_rules_in_force() {
    for user in BOTH {
        mounted(
            user,
            r#"
            worker() { grep -l '^shmfs-worker' /proc/[0-9]*/comm | cut -d/ -f3; }
            sed -i 's/"ctl"/"ctl", "secret"/' exports.toml; $SHMFS export reload m; is $? 0
            echo 'no rules at all' > exports.toml
            old=$(worker); kill -KILL $old; served() { local now=$(worker); [ -n "$now" ] && [ "$now" != $old ]; }
            eventually served
            eventually test -e $own/camera/secret; is "$(cat $own/camera/secret)" other
            [ -e $own/camera/frames_raw ] && fail "hidden is seen"
            has "$($SHMFS export show camera m)" "secret       read,write,create,delete"
            is "$($SHMFS run --export camera --from m -- cat /dev/shm/frames_1)" one
            $SHMFS umount m; is $? 0
            "#,
        );
    }
}
