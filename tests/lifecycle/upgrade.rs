//! Another program takes over a live mount.

use crate::recovery::{WAYS, mounted, mounted_within};
use crate::sandbox::User::{Nobody, Root};
use crate::sandbox::script;

/// A load that stops at the first thing that is not as it should be.
const LOAD: &str = r#"
    load() { local n=0; while [ ! -e stop ]; do n=$((n + 1))
        echo $n > m/$1 && [ "$(cat m/$1)" = $n ] && mkdir m/$1.d && mv m/$1 m/$1.d/x && ln m/$1.d/x m/$1.l && rm m/$1.d/x &&
            rmdir m/$1.d && [ "$(cat m/$1.l)" = $n ] && rm m/$1.l || { echo "$1 failed in round $n" > failed; return; }; echo $n >> count.$1; done; }
"#;

/// How often it is upgraded in each way, forwards and back in turn: 6, or as `SHMFS_UPGRADES` says.
fn rounds() -> u32 {
    let asked = std::env::var("SHMFS_UPGRADES");
    asked.map_or(6, |asked| asked.parse().expect("a number"))
}

#[test]
fn an_upgrade_is_not_noticed() {
    let rounds = rounds();
    for (user, options) in WAYS {
        let body = r#"
            cp $SHMFS ./other; echo kept > m/object; load a & one=$!; load b & two=$!
            eventually filled count.a count.b; exec 7<m/object
            for round in $(seq ROUNDS); do
                binary=$SHMFS; [ $((round % 2)) = 0 ] || binary=./other
                has "$($SHMFS upgrade m $binary)" "m: shmfs"; is $? 0 "upgrade"
                is "$(readlink /proc/$daemon/exe)" "$(realpath $binary)" "the supervisor"
                is "$(readlink /proc/$(worker)/exe)" "$(realpath $binary)" "the worker"
                test -e failed && fail "$(cat failed)"; before=$(wc -l < count.a)
                more() { [ "$(wc -l < count.a)" -gt $before ]; }; eventually more
            done
            touch stop; wait $one $two; test -e failed && fail "$(cat failed)"
            is "$(cat <&7)" kept; exec 7<&-
            "#;
        let body = format!("{LOAD}\n{}", body.replace("ROUNDS", &rounds.to_string()));
        mounted_within(60 + 5 * rounds, user, options, &body);
    }
}

#[test]
fn an_upgrade_to_what_cannot_serve_changes_nothing() {
    for user in [Root, Nobody] {
        mounted(
            user,
            "size=64m",
            r#"
            echo kept > m/object; old=$(worker); exe=$(readlink /proc/$daemon/exe)
            refused() { local said; said=$($SHMFS upgrade m $1 2>&1); is $? 32 "$1"; has "$said" "$2"
                is "$(worker)" $old "$1: the worker"; is "$(readlink /proc/$daemon/exe)" $exe; is "$(cat m/object)" kept; }
            printf '#!/bin/sh\nexit 0\n' > nothing; printf '#!/nowhere\n' > broken; printf 'text' > text; chmod +x nothing broken text
            refused ./nothing "does not answer as an shmfs does"
            refused /bin/true "does not answer as an shmfs does"
            refused ./broken "cannot run the new program"; refused ./text "does not answer as an shmfs does"
            # One that would serve, and knows the state, but does not come to it.
            cat > late <<END
#!/bin/sh
[ -e asked ] && exit 1
touch asked; exec $SHMFS "\$@"
END
            chmod +x late; said=$($SHMFS upgrade m ./late 2>&1); is $? 32; has "$said" "did not come to serve"
            is "$(cat m/object)" kept; is "$(readlink /proc/$(worker)/exe)" $exe
            said=$($SHMFS upgrade . 2>&1); is $? 32; has "$said" "is not a mount point"
            "#,
        );
    }
}

#[test]
fn an_upgrade_finishes_what_was_begun() {
    for options in ["passthrough=auto", "passthrough=off"] {
        mounted(
            Root,
            options,
            r#"
            : > m/long
            for round in 1 2 3; do
                fallocate -l 300M m/long & long=$!
                until grep -q shmfs-long /proc/$(worker)/task/*/comm; do ended $long && fail "it is no long operation"; done
                has "$($SHMFS upgrade m)" "m: shmfs"; is $? 0 "upgrade"; wait $long; is $? 0; fallocate -p -l 300M m/long
                is "$(stat -c '%s %b' m/long)" "$((300 << 20)) 0"
            done
            has "$(cat log)" "another worker serves"; grep "opcode=43" log && fail "it was done again"; true
            "#,
        );
    }
}

#[test]
fn an_upgrade_does_not_wait_for_what_hangs() {
    for user in [Root, Nobody] {
        mounted(
            user,
            "size=64m",
            r#"
            echo kept > m/object; old=$(worker); kill -STOP $old
            cat m/object > read & reader=$!
            has "$(timeout 10 $SHMFS upgrade m)" "m: shmfs"; is $? 0 "upgrade"
            wait $reader; is $? 0; is "$(cat read)" kept; another $old || fail "the same worker"
            has "$(cat log)" "does not finish what it has in hand"
            "#,
        );
    }
}

/// Upgrades to `$1`, which fails with `$2`; the mount is served by the old program.
const REFUSED: &str = r#"
    echo kept > m/object; exe=$(readlink /proc/$daemon/exe)
    refused() { local said status; said=$(timeout 90 $SHMFS upgrade m $1 2>&1); status=$?; is $status 32 "$1: $said"; has "$said" "$2"
        is "$(timeout 20 cat m/object)" kept; is "$(readlink /proc/$daemon/exe)" $exe; is "$(readlink /proc/$(worker)/exe)" $exe; }
    program() { cat > $1; chmod +x $1; }
"#;

#[track_caller]
fn refused(options: &str, body: &str) {
    mounted(Root, options, &format!("{REFUSED}\n{body}"));
}

#[test]
fn an_upgrade_to_what_hangs_changes_nothing() {
    refused(
        "size=64m",
        r#"
        program hangs <<END
#!/bin/sh
exec sleep 1000
END
        old=$(worker); refused ./hangs "does not answer whether it knows the saved state" & said=$!
        # Meanwhile the worker is looked after.
        sleep 1; kill -KILL $old; is "$(timeout 10 cat m/object)" kept; wait $said; is $? 0
        mkfifo pipe; refused ./pipe "no regular file"; refused /dev/null "no regular file"
        cp $SHMFS data; chmod 644 data; refused ./data "cannot run the new program"
        cp $SHMFS m/inside; refused m/inside "is on the mount that it shall serve"
        "#,
    );
}

#[test]
fn an_upgrade_to_what_does_not_come_to_serve_goes_back() {
    refused(
        "passthrough=off",
        r#"
        program hangs <<END
#!/bin/sh
[ -e asked ] && exec sleep 1000
touch asked; exec $SHMFS "\$@"
END
        refused ./hangs "did not come to serve"
        # One that is killed by itself soon after it serves, or before.
        program dies <<END
#!/bin/sh
[ -e again ] && { sleep 0.1; kill -ABRT \$\$; } &
touch again; exec $SHMFS "\$@"
END
        refused ./dies "signal 6"
        "#,
    );
}

#[test]
fn an_upgrade_to_what_cannot_own_the_mount_leaves_the_owner() {
    for (kind, why) in [
        ("exit 2", "ended with status 2"),
        ("exec sleep 1000", "does not say whether"),
    ] {
        let body = r#"
            printf '#!/bin/sh\n[ $1 = supervisor ] && KIND\nexec %s "$@"\n' $SHMFS > other; chmod +x other; echo kept > m/object
            said=$($SHMFS upgrade m ./other 2>&1); is $? 32; has "$said" "could not become it"; has "$said" "WHY"
            is "$(cat m/object)" kept; w=$(worker); kill -KILL $w; eventually another "$w"; is "$(cat m/object)" kept
            "#;
        mounted(
            Root,
            "size=64m",
            &body.replace("KIND", kind).replace("WHY", why),
        );
    }
}

#[test]
fn a_saved_state_that_the_new_program_does_not_know_is_refused() {
    for user in [Root, Nobody] {
        mounted(
            user,
            "size=64m",
            r#"
            echo kept > m/object; old=$(worker); for fd in /proc/$daemon/fd/*; do case $(readlink $fd) in *shmfs-journal*) journal=$fd;; esac; done
            version() { python3 -c '
import struct, sys, zlib
with open(sys.argv[1], "r+b", 0) as journal:
    journal.seek(0); header = journal.read(12)[:8] + struct.pack("<I", int(sys.argv[2]))
    journal.seek(12); header += journal.read(4); journal.seek(0); journal.write(header + struct.pack("<I", zlib.crc32(header)))' $journal $1; }
            version 99; said=$($SHMFS upgrade m 2>&1); is $? 32; has "$said" "version 99"; is "$(worker)" $old "the worker"
            version 1; echo more >> m/object; has "$($SHMFS upgrade m)" "m: shmfs"; is "$(echo $(cat m/object))" "kept more"
            "#,
        );
    }
}

#[test]
fn upgrades_at_once_are_made_one_by_one() {
    for (user, options) in WAYS {
        let body = r#"
            cp $SHMFS ./other; load a & one=$!; eventually filled count.a
            for round in 1 2; do
                all=; for i in 1 2 3 4; do timeout 60 $SHMFS upgrade m ./other > said.$i 2>&1 & all="$all $!"; done
                [ $(id -u) != 0 ] || timeout 60 $SHMFS mount -o remount,size=128m m; is $? 0 "remount"
                for one_of in $all; do wait $one_of; is $? 0 "$(cat said.*)"; done
                test -e failed && fail "$(cat failed)"
            done
            touch stop; wait $one; test -e failed && fail "$(cat failed)"
            [ $(id -u) != 0 ] || is "$(df --output=size m | tail -1 | tr -d ' ')" 131072
            "#;
        mounted(user, options, &format!("{LOAD}\n{body}"));
    }
}

#[test]
fn an_upgrade_comes_through_while_workers_are_killed() {
    for (user, options) in WAYS {
        let body = r#"
            cp $SHMFS ./other; load a & one=$!; eventually filled count.a
            kills() { while [ ! -e enough ]; do sleep 0.05; kill -KILL $(worker); done 2>/dev/null; }; kills & two=$!
            for round in 1 2 3 4 5; do for binary in ./other $SHMFS; do
                timeout 90 $SHMFS upgrade m $binary > said 2>&1; is $? 0 "$(cat said)"
                is "$(readlink /proc/$daemon/exe)" "$(realpath $binary)" "the supervisor"
            done; done
            touch enough; wait $two; touch stop; wait $one; test -e failed && fail "$(cat failed)"; true
            "#;
        mounted(user, options, &format!("{LOAD}\n{body}"));
    }
}

#[test]
fn a_mount_that_ends_during_an_upgrade_ends() {
    for user in [Root, Nobody] {
        script(
            user,
            r#"
            trap 'cat log >&2' EXIT; mkdir m; cp $SHMFS ./other
            # Nobody waits here for orphans.
            nobody() { ! pgrep -r R,S,D,T shmfs > /dev/null; }
            program() { printf '#!/bin/sh\n[ $1 = worker ] && [ -e asked ] && %s\ntouch asked; exec %s "$@"\n' "$1" $SHMFS > dies; chmod +x dies; }
            round=0
            for end in "umount m" "kill -TERM \$daemon" "kill -QUIT \$daemon"; do for binary in ./other ./dies; do for wait in 0.01 0.03 0.08 0.2; do
                rm -f asked; program "exit 1"; round=$((round + 1))
                $SHMFS mount -f m 2>>log & daemon=$!
                eventually grep -q fuse.shmfs /proc/self/mountinfo; eventually stat m/. >/dev/null 2>&1; device=$(device_at $PWD/m)
                timeout 60 $SHMFS upgrade m $binary > said 2>&1 & client=$!
                sleep $wait; eval "$end" 2>>log || fusermount3 -u m; wait $client
                [ $? != 124 ] || fail "the upgrade hangs: $round"
                eventually ended $daemon; unmounted || fail "still mounted: $round"; eventually no_device $device
                eventually nobody; no_sockets || fail "a socket is left: $round"
            done; done; done
            trap - EXIT
            "#,
        );
    }
}
