//! A cgroup whose memory is at its end: programs get an error number, and go on once there is room again.

use crate::sandbox::User::Root;
use crate::sandbox::script;

/// Mounts on `m` with OPTIONS, `$daemon` and its worker in a cgroup of their own that may have LIMIT MiB.
const LIMITED: &str = r#"
    if [ -e /sys/fs/cgroup/memory ]; then top=/sys/fs/cgroup/memory; limit=memory.limit_in_bytes
    else top=/sys/fs/cgroup; limit=memory.max; echo +memory > $top/cgroup.subtree_control; fi
    group=$top/shmfs-test-$(basename $(dirname $PWD)); mkdir $group; mkdir m
    trap 'cat log >&2; kill -KILL $daemon; eventually rmdir $group' EXIT
    echo $((LIMIT << 20)) > $group/$limit
    sh -c "echo \$\$ > $group/cgroup.procs; exec $SHMFS mount -f -o OPTIONS m" 2>>log & daemon=$!
    eventually grep -q fuse.shmfs /proc/self/mountinfo; eventually stat m/. >/dev/null 2>&1
    has "$(cat log)" "may hold more than the memory limit"
    echo kept > m/object
    finish() { $SHMFS umount m; wait $daemon; is $? 0; trap - EXIT; eventually rmdir $group; }
"#;

#[track_caller]
fn limited(limit: u32, options: &str, body: &str) {
    let mounted = LIMITED.replace("LIMIT", &limit.to_string());
    let mounted = mounted.replace("OPTIONS", options);
    script(Root, &format!("{mounted}\n{body}\nfinish"));
}

#[test]
fn contents_beyond_the_limit_are_an_error() {
    limited(
        96,
        "passthrough=off,size=1g",
        r#"
        said=$(head -c 300M /dev/zero 2>&1 > m/big); [ $? != 0 ] || fail "more than the limit was written"
        has "$said" "Cannot allocate memory"
        ended $daemon && fail "the supervisor was killed"
        is "$(timeout 30 cat m/object)" kept; size=$(stat -c %s m/big); [ $size -gt $((40 << 20)) ] || fail "lost: $size"
        is "$(tr -d '\0' < m/big | wc -c)" 0; rm m/big; is "$(cat m/object)" kept
        has "$(cat log)" "oom_kill"
        "#,
    );
}

/// Makes one kind of thing until nothing goes any more, and says how many there are then.
const FILL: &str = r#"
cat > fill.py <<'END'
import errno, os, sys, time
kind, at = sys.argv[1], 0
os.mkdir(f"m/{kind}")
def one():
    if kind == "names": os.close(os.open(f"m/names/{at}", os.O_CREAT | os.O_EXCL | os.O_WRONLY))
    if kind == "directories": os.mkdir(f"m/directories/{at}")
    if kind == "attributes":
        if at % 4 == 0: os.close(os.open(f"m/attributes/{at // 4}", os.O_CREAT | os.O_WRONLY))
        os.setxattr(f"m/attributes/{at // 4}", f"user.{at % 4}", bytes(20000))
def refused(change):
    try: change()
    except OSError as error: assert error.errno == errno.ENOMEM, error
    else: sys.exit("there is room for more")
# What the process that serves can give back to the system is used first: it is at its end when it says so for a while.
since = None
while since is None or time.monotonic() < since + 0.5:
    try: one(); at += 1; since = None
    except FileNotFoundError: at += 1
    except OSError as error: assert error.errno == errno.ENOMEM, error; since = since or time.monotonic(); time.sleep(0.01)
for again in range(20):
    refused(lambda: os.mkdir("m/more"))
    refused(lambda: os.symlink("to", "m/more"))
    refused(lambda: os.link("m/object", "m/more"))
    refused(lambda: os.rename("m/object", "m/more"))
    refused(lambda: os.setxattr("m/object", "user.a", b"more"))
    refused(lambda: os.open("m/more", os.O_CREAT | os.O_WRONLY))
# Of nothing that was refused there is a trace.
assert sorted(os.listdir("m")) == sorted([kind, "object"]), os.listdir("m")
assert os.listxattr("m/object") == [] and os.stat("m/object").st_nlink == 1
print(at)
END
"#;

#[test]
fn names_and_attributes_beyond_the_limit_are_an_error() {
    for way in ["passthrough=auto", "passthrough=off"] {
        let body = r#"
            for kind in names directories attributes; do
                made=$(timeout 60 python3 fill.py $kind); is $? 0 "$kind"
                [ $made -gt 200 ] || fail "refused too early: $kind $made"
                # What needs nothing goes on, and the next worker has room where this one had none left.
                is "$(cat m/object)" kept; count=$(ls m/$kind | wc -l)
                kill -KILL $(workers $daemon); is "$(timeout 20 cat m/object)" kept; is "$(ls m/$kind | wc -l)" $count
                timeout 60 rm -r m/$kind; is $? 0 "rm $kind"
                again() { mkdir m/again 2>/dev/null; }; eventually again; rmdir m/again
            done
            ! grep -q oom_kill log || fail "the kernel killed somebody"
            "#;
        let options = format!("size=1g,nr_inodes=0,{way}");
        limited(36, &options, &format!("{FILL}\n{body}"));
    }
}
