//! The process that serves dies while views and exports are in use.

use crate::recovery::{WAYS, mounted};
use crate::sandbox::User::{Nobody, Root};

/// `same BEFORE` is whether the mount holds what it held at `BEFORE`.
const COUNTS: &str = r#"
    counts() { stat -f -c '%f %c %d' m; }
    same() { [ "$(counts)" = "$1" ]; }
"#;

/// Has of two views what could be lost; the tree's own directory is `m`.
const VIEWER: &str = r#"
cat > viewer.py <<'END'
import hashlib, mmap, os, signal
top = os.getcwd(); T = top + "/m"; N, O = T + "/.shmfs/views/netbsd", T + "/.shmfs/views/openbsd"
def digest(name): return f"{O}/{hashlib.sha256(('/' + name).encode()).hexdigest()}.shm"
def make(path, word):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL); os.write(fd, word); return fd
def word(path):
    fd = os.open(path, os.O_RDONLY); said = os.read(fd, 20); os.close(fd); return said
def is_there(path): return os.path.lexists(path)
for name in ("in-tree", "in-view"): assert not is_there(f"{T}/{name}")
tree = make(T + "/in-tree", b"tree"); view = make(N + "/.shmobj_in-view", b"view")
os.ftruncate(view, 8192); shared = mmap.mmap(view, 8192); shared[0:4] = b"VIEW"
digested = make(digest("claimed"), b"claimed"); os.close(make(digest("waiting"), b"waiting"))
os.mkdir(N + "/own"); os.close(make(N + "/own/file", b"own"))
os.mkdir(N + "/.shmobj_dir"); os.close(make(T + "/dir/file", b"below")); os.mkdir(T + "/dir/gone")
os.mkdir(T + "/many"); os.mkdir(T + "/many/sub")
for i in range(1500): os.close(os.open(f"{N}/.shmobj_{i}", os.O_CREAT | os.O_WRONLY))
gone = os.open(N + "/.shmobj_dir/gone", os.O_PATH); os.rmdir(N + "/.shmobj_dir/gone")
inos = {path: os.stat(path).st_ino for path in (T + "/in-view", N + "/own", N + "/.shmobj_dir", N, O, digest("in-tree"))}
os.chdir(N + "/.shmobj_dir"); stream = os.scandir(N); names = [next(stream).name for _ in range(700)]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); open(top + "/ready", "w").write("x"); signal.sigwait([signal.SIGUSR1])
names += [entry.name for entry in stream]
assert len(names) == len(set(names)) and {f".shmobj_{i}" for i in range(1500)} | {"own", ".shmobj_in-view"} <= set(names), len(names)
for path, ino in inos.items(): assert os.stat(path).st_ino == ino, path
assert os.getcwd() == N + "/.shmobj_dir" and word("file") == b"below" and word(T + "/dir/file") == b"below"
os.close(make("new", b"new")); assert word(T + "/dir/new") == b"new"
assert os.fstat(gone).st_nlink == 0 and os.path.isdir(f"/proc/self/fd/{gone}")
assert shared[0:4] == b"VIEW"; shared[4096:4100] = b"page"; assert os.pread(view, 4, 4096) == b"page"
assert os.pread(tree, 4, 0) == b"tree" and word(N + "/.shmobj_in-tree") == b"tree" == word(digest("in-tree"))
assert word(digest("in-view"))[:4] == b"VIEW" == word(T + "/in-view")[:4]
for name in (b"claimed", b"waiting"):
    assert name.decode() not in os.listdir(T) and word(digest(name.decode())) == name
assert word(N + "/.shmobj_claimed") == b"claimed" and os.path.samestat(os.fstat(digested), os.stat(T + "/claimed"))
for path in (T + "/in-view", digest("claimed")):
    try: make(path, b""); assert False, path
    except FileExistsError: pass
assert word(N + "/own/file") == b"own" and not is_there(T + "/own")
# What is taken away by one name is gone by all.
os.unlink(digest("in-tree")); assert not is_there(T + "/in-tree") and not is_there(N + "/.shmobj_in-tree")
os.unlink(N + "/.shmobj_in-view"); assert not is_there(digest("in-view")) and shared[0:4] == b"VIEW"
os.unlink(T + "/claimed"); assert not is_there(digest("claimed")); assert word(T + "/waiting") == b"waiting"; os.unlink(digest("waiting"))
for i in range(1500): os.unlink(f"{T}/{i}")
os.unlink("file"); os.unlink(T + "/dir/new"); os.rmdir(T + "/dir"); os.unlink(N + "/own/file"); os.rmdir(N + "/own")
os.rmdir(N + "/.shmobj_many/sub"); os.rmdir(N + "/.shmobj_many")
END
"#;

#[test]
fn views_are_what_they_were() {
    for (user, options) in WAYS {
        let options = format!("view=netbsd,view=openbsd,{options}");
        let body = r#"
            ls m/.shmfs/views/netbsd m/.shmfs/views/openbsd > /dev/null; before=$(counts)
            python3 viewer.py & program=$!
            eventually filled ready
            replace; replace ABRT; is "$(cat m/in-tree)" tree; replace
            # By now the kernel has been asked about all that it may have forgotten.
            sleep 1
            kill -USR1 $program; wait $program; is $? 0 "the program"
            eventually same "$before"
            "#;
        mounted(user, &options, &format!("{VIEWER}\n{COUNTS}\n{body}"));
    }
}

/// What is exported, and a program that has of it what could be lost.
const CONSUMER: &str = r#"
    umask 022
    cat > consumer.py <<'END'
import errno, mmap, os, signal, sys
top = os.getcwd(); T = top + "/m"; C, P = T + "/.shmfs/exports/camera", T + "/.shmfs/exports/own"
def make(path, word):
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666); os.write(fd, word); return fd
def refused(error, path, flags):
    try: os.close(os.open(path, flags)); assert False, path
    except OSError as said: assert said.errno == error, (path, said)
def rules():
    refused(errno.EACCES, C + "/frames_1", os.O_RDWR); refused(errno.ENOENT, C + "/frames_raw", os.O_RDONLY)
    refused(errno.ENOENT, C + "/secret", os.O_RDONLY); refused(errno.EACCES, C + "/new", os.O_RDWR | os.O_CREAT)
    assert os.path.exists(C + "/dir/frames_2") and not os.path.exists(C + "/dir/secret")
rules(); assert sorted(os.listdir(C)) == ["ctl", "dir", "frames_1"], os.listdir(C)
os.chdir(C + "/dir")
reader = os.open(C + "/frames_1", os.O_RDONLY); writer = os.open(C + "/ctl", os.O_RDWR)
try: seen = mmap.mmap(reader, 4096, prot=mmap.PROT_READ)
except OSError as error: assert error.errno == errno.ENODEV; seen = None
os.ftruncate(writer, 8192); shared = mmap.mmap(writer, 8192); shared[0:3] = b"ctl"
own = make(P + "/x", b"mine"); os.mkdir(P + "/d"); os.close(make(P + "/d/y", b"below"))
gone = make(P + "/gone", b"no name"); os.ftruncate(gone, 1 << 20); kept = mmap.mmap(gone, 1 << 20); kept[4096:4100] = b"page"; os.unlink(P + "/gone"); os.close(gone)
os.mkdir(P + "/d/gone"); nameless = os.open(P + "/d/gone", os.O_PATH); os.rmdir(P + "/d/gone")
for i in range(1500): os.close(os.open(f"{C}/made_{i}", os.O_CREAT | os.O_WRONLY))
for i in range(0, 1500, 3): os.unlink(f"{C}/made_{i}")
paths = [C, C + "/dir", C + "/frames_1", C + "/ctl", P, P + "/x", P + "/d", P + "/d/y"]
inos = [os.stat(path).st_ino for path in paths]; before = os.stat(C)
stream = os.scandir(C); names = [next(stream).name for _ in range(700)]
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1]); open(top + "/ready", "w").write("x"); signal.sigwait([signal.SIGUSR1])
names += [entry.name for entry in stream]
assert sorted(names) == sorted(["ctl", "dir", "frames_1"] + [f"made_{i}" for i in range(1500) if i % 3]), len(names)
after = os.stat(C); assert (after.st_size, after.st_nlink, after.st_mtime_ns) == (before.st_size, before.st_nlink, before.st_mtime_ns), (before, after)
assert [os.stat(path).st_ino for path in paths] == inos
rules(); assert os.getcwd() == C + "/dir" and os.listdir(".") == ["frames_2"], os.listdir(".")
assert os.pread(reader, 3, 0) == b"one"
if seen: assert seen[0:3] == b"one"
try: os.write(reader, b"x"); assert False
except OSError: pass
assert shared[0:3] == b"ctl"; shared[4096:4100] = b"more"; assert os.pread(writer, 4, 4096) == b"more"
os.close(os.open(C + "/ctl", os.O_RDWR)); assert open(T + "/ctl", "rb").read(3) == b"ctl"
assert os.pread(own, 4, 0) == b"mine" and os.pwrite(own, b"M", 0) == 1 and open(P + "/x").read() == "Mine" and open(P + "/d/y").read() == "below"
assert sorted(os.listdir(P)) == ["d", "x"] and "x" not in os.listdir(T) and open(T + "/.shmfs/private/own/default/x").read() == "Mine"
assert kept[0:7] == b"no name" and kept[4096:4100] == b"page" and kept[1 << 19] == 0; kept[(1 << 20) - 1] = 7
assert os.fstat(nameless).st_nlink == 0 and os.path.isdir(f"/proc/self/fd/{nameless}")
for i in range(1500):
    if i % 3: os.unlink(f"{C}/made_{i}")
os.ftruncate(writer, 4); os.unlink(P + "/x"); os.unlink(P + "/d/y"); os.rmdir(P + "/d")
END
"#;

/// Before the mount: the exports' file, which the options name.
const EXPORTS: &str = r#"
    cat > exports.toml <<'END'
[export.first]
write = ["first"]
[export.camera]
read = ["frames_*", "dir/frames_*"]
write = ["ctl", "made_*"]
hide = ["frames_raw*"]
[export.own]
private = true
END
"#;

const OBJECTS: &str = r#"
    mkdir m/dir; for name in dir/frames_2 dir/secret frames_raw secret ctl; do printf 1234 > m/$name; done
    head -c 4096 /dev/zero > m/frames_1; printf one | dd of=m/frames_1 conv=notrunc status=none; chmod 666 m/ctl m/frames_1 m/frames_raw m/secret
    ls m/.shmfs/exports/camera m/.shmfs/exports/own > /dev/null
    sessions() { [ "$(ls m/.shmfs/private/own | wc -l)" = $1 ]; }
"#;

#[track_caller]
fn exported(user: crate::sandbox::User, options: &str, body: &str) {
    crate::recovery::prepared(
        user,
        EXPORTS,
        &format!("exports=exports.toml,{options}"),
        &format!("{CONSUMER}\n{OBJECTS}\n{COUNTS}\n{body}"),
    );
}

#[test]
fn exports_are_what_they_were() {
    for (user, options) in WAYS {
        let body = r#"
            before=$(counts); python3 consumer.py & program=$!
            eventually filled ready
            replace; replace ABRT; is "$(cat m/.shmfs/exports/own/x)" mine; replace
            # By now the kernel has been asked about all that it may have forgotten.
            sleep 1
            kill -USR1 $program; wait $program; is $? 0 "the program"
            eventually same "$before"
            "#;
        exported(user, options, body);
    }
}

#[test]
fn exports_keep_their_nodes_after_a_reload() {
    for (user, options) in WAYS {
        let body = r#"
            own=m/.shmfs/exports/own; echo x > $own/x; mkdir $own/d
            exec 7<$own/x 8<m/.shmfs/exports/camera/frames_1
            nodes() { stat -c '%i %n' $own $own/x $own/d m/.shmfs/private/own; }
            before=$(nodes); sed -i '/first/d; /camera/,/hide/d' exports.toml; $SHMFS export reload m; is $? 0
            for i in 1 2 3; do
                replace; is "$(nodes)" "$before"; is "$(cat $own/x)" x; is "$(ls m/.shmfs/exports)" own
            done
            is "$(cat <&7)" x; is "$(head -c 3 <&8)" one; exec 7<&- 8<&-
            "#;
        exported(user, options, body);
    }
}

/// Objects made, written, linked and renamed, each in a directory of its own below `m`: stops at the first surprise.
const LOAD: &str = r#"
    load() { local n=0 at=m/$1 log=$(basename $1); while [ ! -e stop ]; do n=$((n + 1))
        (set -C; echo $n > $at) && [ "$(cat $at)" = $n ] && ln $at $at.l && mv $at $at.r && [ "$(cat $at.l)" = $n ] && ! [ -e $at ] &&
            rm $at.l && [ "$(stat -c %h $at.r)" = 1 ] && echo more >> $at.r && [ "$(wc -l < $at.r)" = 2 ] && rm $at.r ||
            { echo "$1 failed in round $n" > failed; return; }; echo $n >> count.$log; done; }
"#;

#[test]
fn what_is_under_way_in_views_and_exports_is_done_once() {
    for (user, options) in WAYS {
        let body = r#"
            ls m/.shmfs/views/netbsd > /dev/null; before=$(counts)
            loads=; for name in views/netbsd/.shmobj_a views/netbsd/b exports/own/c exports/camera/made_d; do load .shmfs/$name & loads="$loads $!"; done
            eventually filled count.{.shmobj_a,b,c,made_d}
            for i in 1 2 3 4; do sleep 0.1$((RANDOM % 10)); replace; [ -e failed ] && fail "$(cat failed)"; done
            touch stop; wait $loads; [ -e failed ] && fail "$(cat failed)"
            is "$(ls m/.shmfs/exports/own)" ""; eventually same "$before"
            "#;
        let body = format!("{LOAD}\n{body}");
        exported(user, &format!("view=netbsd,{options}"), &body);
    }
}

#[test]
fn a_session_goes_on_and_ends_when_it_is_unmounted() {
    for options in ["passthrough=auto", "passthrough=off"] {
        let body = r#"
            before=$(counts); mkdir t; $SHMFS export mount own m t; is $? 0
            echo x > t/x; mkdir t/d; head -c 100000 /dev/zero > t/d/y; sessions 2 || fail "no session"
            replace; is "$(cat t/x)" x; echo new > t/d/new; replace; sleep 1; replace
            is "$(echo $(ls t t/d))" "t: d x t/d: new y"; is "$(cat m/.shmfs/private/own/*/x)" x; sessions 2 || fail "it has ended"
            umount t; is $? 0; eventually sessions 1; eventually same "$before"
            # Nobody serves while it ends.
            $SHMFS export mount own m t; is $? 0; echo x > t/x
            kill -STOP $daemon; old=$(worker); kill -KILL $old; umount t; kill -CONT $daemon; eventually another "$old"
            eventually sessions 1; eventually same "$before"
            "#;
        exported(Root, options, body);
    }
}

#[test]
fn a_command_in_an_export_does_not_notice() {
    for user in [Root, Nobody] {
        let body = r#"
            before=$(counts)
            $SHMFS run --export own --from m -- sh -c 'exec 7>/dev/shm/x; echo 1 >&7; echo x > ready
                while [ ! -e go ]; do sleep 0.05; done; echo 2 >&7; cat /dev/shm/x > said' & runner=$!
            eventually filled ready; replace; replace; sleep 0.5; touch go; wait $runner; is $? 0
            is "$(echo $(cat said))" "1 2"; eventually sessions 1; eventually same "$before"
            "#;
        exported(user, "size=64m", body);
    }
}

/// Workers die at chosen places, which a debug build has (`slots::failpoint`).
#[cfg(debug_assertions)]
#[test]
fn an_append_and_a_rename_that_come_again_are_done_once() {
    let before = r#"
        export SHMFS_FAILPOINTS=$PWD/failpoint
        printf '[export.log]\nsize = "1m"\nrule = [{path = "log", permissions = ["write", "create"]}]\n' > exports.toml
        printf '[export.all]\nwrite = ["made_*"]\n' >> exports.toml
        passed() { [ ! -e failpoint ]; }
        dies_at() { echo "$@" > failpoint.new; mv failpoint.new failpoint; }
        "#;
    for (user, options) in WAYS {
        let body = r#"
            log=m/.shmfs/exports/log/log; all=m/.shmfs/exports/all; umask 0; : > $log; exec 7>>$log; echo one >&7
            for place in begun before-journal after-journal before-reply after-reply; do
                dies_at $place 16; echo two >&7; eventually passed
            done
            is "$(echo $(cat m/log))" "one two two two two two"; exec 7>&-
            echo x > $all/made_1; exec 8<$all/made_1
            dies_at after-journal 12; mv -T $all/made_1 $all/made_2; eventually passed
            chmod 600 /proc/$$/fd/8; is $? 0 "by the descriptor"; is "$(stat -c %a m/made_2)" 600; exec 8<&-
            rm m/log m/made_2
            "#;
        let options = format!("exports=exports.toml,{options}");
        crate::recovery::prepared(user, before, &options, body);
    }
}
