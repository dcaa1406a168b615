//! Another program takes over a live mount.

use crate::recovery::{WAYS, mounted, mounted_within};
use crate::sandbox::User::{Nobody, Root};

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
