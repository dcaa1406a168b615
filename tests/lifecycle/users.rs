//! Limits for each user on a live mount.

use crate::sandbox::User::{Nobody, Root};
use crate::sandbox::script;

const MOUNTED: &str = r#"
    ask() { python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode() + b"\n"); print(s.makefile().readline().strip())' /run/shmfs/$(device_at $PWD/m) "$1"; }
    as() { local uid=$1; shift; setpriv --reuid $uid --regid $uid --clear-groups "$@"; }
    mkdir m
"#;

#[test]
fn limits_come_and_go() {
    for way in ["on", "off"] {
        let body = r#"
            $SHMFS mount -o size=16m,passthrough=WAY m; is $? 0
            has "$(ask status)" '"users":null'
            as 1000 sh -c 'head -c 65536 /dev/zero > m/a'; as 1000 touch m/b
            exec 7>>m/a
            $SHMFS mount -o remount,uid_size=32k,uid_nr_inodes=3 m; is $? 0
            has "$(ask status)" '"users":{"blocks":8,"files":3,"count":2,"largest":[{"uid":1000,"blocks":16,"files":2},{"uid":0,"blocks":0,"files":1}]}'
            said=$(as 1000 truncate -s 68k m/a 2>&1) && fail "grew"; has "$said" "Disk quota exceeded"
            said=$(as 1000 bash -c 'head -c 1 /dev/zero >> m/a' 2>&1) && fail "was written"; has "$said" "Disk quota exceeded"
            as 1000 touch m/c; said=$(as 1000 touch m/d 2>&1) && fail "a fourth"; has "$said" "Disk quota exceeded"
            as 1001 sh -c 'head -c 32768 /dev/zero > m/e' || fail "another user"
            # Who was open for writing before is counted at the last close.
            head -c 4096 /dev/zero >&7; exec 7>&-
            eventually has_blocks 17
            as 1000 truncate -s 4096 m/a; has "$(ask status)" '{"uid":1000,"blocks":1,"files":3}'
            $SHMFS mount -o remount,uid_nr_inodes=0 m; is $? 0
            as 1000 touch m/d m/f; has "$(ask status)" '"users":{"blocks":8,"files":0,'
            $SHMFS mount -o remount,uid_size=0 m; is $? 0
            has "$(ask status)" '"users":null'
            as 1000 sh -c 'head -c 65536 /dev/zero > m/a' || fail "still limited"
            has "$(ask "remount mode=0")" "error size=BYTES"
            $SHMFS umount m; is $? 0
        "#;
        let words = r#"has_blocks() { [ WAY = off ] || ask status | grep -q "\"uid\":1000,\"blocks\":$1,"; }"#;
        script(Root, &format!("{MOUNTED}{words}{body}").replace("WAY", way));
    }
}

#[test]
fn they_are_options_of_a_mount() {
    script(
        Root,
        &format!(
            "{MOUNTED}{}",
            r#"
            $SHMFS mount -o size=16m,uid_size=1%,uid_nr_inodes=2 m; is $? 0
            as 1000 touch m/a m/b; as 1000 mkdir m/c 2>/dev/null && fail "a third"
            $SHMFS mount -o remount,size=8m m; is $? 0
            as 1000 mkdir m/c 2>/dev/null && fail "a third after a remount of something else"
            $SHMFS umount m; is $? 0
            said=$($SHMFS mount -o uid_size=much m 2>&1); is $? 1; has "$said" "option 'uid_size=much': expected bytes"
            said=$($SHMFS mount -o usrquota m 2>&1); is $? 1; has "$said" "uid_size="
            "#
        ),
    );
}

#[test]
fn a_new_worker_counts_the_same() {
    for way in ["on", "off"] {
        let body = r#"
            worker() { grep -l '^shmfs-worker' /proc/[0-9]*/comm | cut -d/ -f3; }
            users() { ask status | sed 's/.*"users":/"users":/'; }
            $SHMFS mount -o size=16m,passthrough=WAY m; is $? 0
            as 1000 sh -c 'head -c 32768 /dev/zero > m/a; ln m/a m/b; ln -s 1 m/c; mkdir m/d'; as 1001 touch m/e; chown -h 1001 m/c
            $SHMFS mount -o remount,uid_size=32k,uid_nr_inodes=2 m; is $? 0
            before=$(users); has "$before" '{"uid":1000,"blocks":8,"files":2}'; has "$before" '{"uid":1001,"blocks":0,"files":2}'
            old=$(worker); kill -KILL $old; served() { local now=$(worker); [ -n "$now" ] && [ "$now" != $old ]; }
            eventually served; is "$(users)" "$before"
            said=$(as 1000 truncate -s 36k m/a 2>&1) && fail "grew"; has "$said" "Disk quota exceeded"
            as 1001 touch m/f 2>/dev/null && fail "a third"
            as 1000 truncate -s 0 m/b; as 1000 rmdir m/d; as 1000 sh -c 'head -c 32768 /dev/zero > m/g' || fail "not given back"
            $SHMFS umount m; is $? 0
        "#;
        script(Root, &format!("{MOUNTED}{body}").replace("WAY", way));
    }
}

#[test]
fn an_ordinary_users_mount_keeps_its_size_and_says_so() {
    script(
        Nobody,
        r#"
        mkdir m; $SHMFS mount -o size=1m m; is $? 0
        said=$($SHMFS mount -o remount,size=2m m 2>&1); is $? 32
        has "$said" "the size of a mount that an ordinary user has made stays as it is"
        before=$(stat -f -c %c m); $SHMFS mount -o remount,size=2m,nr_inodes=9 m 2>/dev/null; is $? 32
        is "$(stat -f -c %c m)" $before "a refused remount changed a part"
        $SHMFS mount -o remount,nr_inodes=9 m; is $? 0; is "$(stat -f -c %c m)" 9
        $SHMFS umount m; is $? 0
        "#,
    );
}
