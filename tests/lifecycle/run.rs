//! `shmfs run`.

use crate::sandbox::User::{Nobody, NobodyWithoutDevice, Root};
use crate::sandbox::{User, script};

const BOTH: [User; 2] = [Root, Nobody];

#[test]
fn the_command_sees_shmfs_and_nobody_else_does() {
    for user in BOTH {
        script(
            user,
            r#"
            before=$(cat /proc/self/mountinfo)
            $SHMFS run -- grep ' /dev/shm .* - fuse.shmfs shmfs ' /proc/self/mountinfo || fail "not mounted"
            is "$($SHMFS run -- sh -c 'echo object > /dev/shm/name; (cat /dev/shm/name)')" object
            test -e /dev/shm/name && fail "seen outside"
            is "$($SHMFS run -- df --output=source,target /dev/shm | tail -1 | tr -s ' ')" "shmfs /dev/shm"
            is "$(cat /proc/self/mountinfo)" "$before"
            "#,
        );
    }
}

#[test]
fn the_exit_status_is_the_commands() {
    for user in BOTH {
        script(
            user,
            r#"
            $SHMFS run -- true; is $? 0
            $SHMFS run -- sh -c 'exit 7'; is $? 7
            $SHMFS run -- sh -c 'kill -TERM $$'; is $? 143
            $SHMFS run -- sh -c 'kill -KILL $$'; is $? 137
            said=$($SHMFS run -- ./nothing 2>&1); is $? 127; has "$said" "cannot run ./nothing: No such file"
            said=$($SHMFS run -- /etc/passwd 2>&1); is $? 126; has "$said" "Permission denied"
            "#,
        );
    }
}

#[test]
fn nothing_else_changes_for_the_command() {
    for user in BOTH {
        script(
            user,
            r#"
            state='id; pwd; umask; ulimit -a; nice; ps -o pgid= -p $$ | tr -d " "
                grep -E "^(Sig(Blk|Ign|Cgt)|Groups|Uid|Gid|NoNewPrivs)" /proc/self/status
                for fd in /proc/self/fd/*; do echo ${fd##*/}; done; env | grep -v -E "^(_|SHLVL)="'
            echo state > file
            exec 7<file 9>>file
            umask 027; ulimit -S -n 200; ulimit -S -f 100000
            is "$($SHMFS run -- bash -c "$state")" "$(bash -c "$state")"
            trap '' HUP USR1 PIPE CHLD
            is "$($SHMFS run -- grep -E '^Sig(Blk|Ign)' /proc/self/status)" "$(grep -E '^Sig(Blk|Ign)' /proc/self/status)"
            is "$($SHMFS run -- cat <&7)" state
            "#,
        );
    }
}

#[test]
fn the_other_ends_of_its_pipes_see_the_command_close_them() {
    // A reader waits for all writers: the processes that serve must not be among them.
    script(
        Root,
        r#"
        mkfifo pipe
        $SHMFS run -- sh -c 'exec 1>&-; echo $$ > pid; exec sleep 1000' > pipe &
        timeout 10 cat pipe; is $? 0 "no end of file"
        eventually filled pid
        kill $(cat pid); wait $!; is $? 143
        "#,
    );
}

#[test]
fn what_it_leaves_running_is_ended() {
    for user in BOTH {
        script(
            user,
            r#"
            $SHMFS run -- bash -c '
                sleep 1000 & echo $! > a
                setsid bash -c "setsid sleep 1000 & echo \$! > b" &
                (trap "" TERM; echo $BASHPID > c; while :; do sleep 0.1; done) &
                sleep 1000 & echo $! > d; kill -STOP $!
                (trap "echo asked > asked; exit" TERM; echo $BASHPID > e; while :; do sleep 0.1; done) &
                while [ ! -s a ] || [ ! -s b ] || [ ! -s c ] || [ ! -s d ] || [ ! -s e ]; do sleep 0.05; done
                grep " /dev/shm " /proc/self/mountinfo | tail -1 | cut -d" " -f3 > device
                exit 4'
            is $? 4
            ended $(cat a b c d e) || fail "a process is left"
            is "$(cat asked)" asked
            eventually no_device $(cat device)
            unmounted || fail "a mount is left"
            "#,
        );
    }
}

#[test]
fn with_wait_it_is_waited_for() {
    for user in BOTH {
        script(
            user,
            r#"
            $SHMFS run --wait -- sh -c '(sleep 1; echo done > file) & exit 6'
            is $? 6; is "$(cat file)" done
            "#,
        );
    }
}

#[test]
fn a_signal_ends_the_wait() {
    script(
        Root,
        r#"
        $SHMFS run --wait -- sh -c 'sleep 1000 & echo $! > pid; exit 6' & front=$!
        eventually filled pid
        server=$(child $(child $front)); command_ended() { is "$(child $server)" "$(cat pid)"; }
        eventually command_ended
        sleep 0.2
        kill -TERM $front; wait $front; is $? 6
        ended $(cat pid) || fail "it is left"
        "#,
    );
}

#[test]
fn signals_are_passed_on() {
    for user in BOTH {
        script(
            user,
            r#"
            for signal in TERM HUP INT QUIT USR1 USR2 WINCH; do
                rm -f ready
                # Background jobs of a script ignore INT and QUIT: env gives them back.
                env --default-signal=INT,QUIT $SHMFS run -- bash -c "
                    trap 'exit 42' $signal; echo > ready; while :; do sleep 0.05; done" & front=$!
                eventually test -e ready
                kill -$signal $front; wait $front; is $? 42 $signal
            done
            "#,
        );
    }
}

#[test]
fn ignored_signals_stay_ignored() {
    script(
        Root,
        r#"
        (trap '' HUP; exec $SHMFS run -- sh -c 'echo $$ > pid; exec sleep 1000') & front=$!
        eventually filled pid
        kill -HUP $front $(cat pid); sleep 0.3
        ended $front && fail "nohup was not respected"
        kill -TERM $front; wait $front; is $? 143
        "#,
    );
}

/// Kills `victims` of the four processes and expects nothing to be left of any.
fn kill(user: User, victims: &str) {
    let body = r#"
        $SHMFS run -- bash -c '
            sleep 1000 & echo $! > a
            setsid bash -c "setsid sleep 1000 & echo \$! > b"
            grep " /dev/shm " /proc/self/mountinfo | tail -1 | cut -d" " -f3 > device
            echo $$ > c; wait' 2> said & front=$!
        eventually filled a b c device
        keeper=$(child $front); server=$(child $keeper); command=$(cat c)
        is "$(child $server | wc -w)" 1
        kill -KILL VICTIMS
        wait $front 2>/dev/null; status=$?
        eventually ended $front $keeper $server $command $(cat a b)
        eventually no_device $(cat device)
        unmounted || fail "a mount is left"
        no_sockets || fail "a socket is left"
        case 'VICTIMS' in
            *front*) is $status 137 ;;
            '$command') is $status 137 ;;
            # Who is heard first is a matter of chance.
            *command*) [ $status = 137 ] || is $status 125 ;;
            *) is $status 125; has "$(cat said)" "was killed" ;;
        esac
    "#;
    script(user, &body.replace("VICTIMS", victims));
}

#[test]
fn killing_one_leaves_nothing() {
    for user in BOTH {
        for victims in ["$front", "$keeper", "$server", "$command"] {
            kill(user, victims);
        }
    }
}

#[test]
fn killing_two_leaves_nothing() {
    let pairs = [
        "$front $keeper",
        "$front $server",
        "$front $command",
        "$keeper $server",
        "$keeper $command",
        "$server $command",
    ];
    for victims in pairs {
        kill(Root, victims);
    }
}

#[test]
fn killing_all_named_shmfs_leaves_nothing() {
    // The keeper bears another name for this. The order is killall's: by number.
    kill(Nobody, "$front $server");
    kill(Root, "$server $front");
}

#[test]
fn killing_all_that_serve_ends_the_command() {
    script(
        Root,
        r#"
        $SHMFS run -- bash -c 'grep " /dev/shm " /proc/self/mountinfo | tail -1 | cut -d" " -f3 > device; echo $$ > c; exec sleep 1000' & front=$!
        eventually filled c device
        keeper=$(child $front); server=$(child $keeper)
        kill -KILL $front $keeper $server; wait $front 2>/dev/null
        eventually ended $(cat c); eventually no_device $(cat device)
        "#,
    );
}

#[test]
fn children_from_before_are_left_alone() {
    script(
        Root,
        r#"
        bash -c 'sleep 1000 & echo $! > before; exec $SHMFS run -- true'; is $? 0
        ended $(cat before) && fail "a child that was there before has been ended"
        kill $(cat before)
        "#,
    );
}

#[test]
fn ended_from_outside_it_says_so() {
    script(
        Root,
        r#"
        $SHMFS run -- sh -c 'echo $$ > c; exec sleep 1000' & front=$!
        eventually filled c
        kill -TERM $(child $(child $front)); wait $front; is $? 143
        ended $(cat c) || fail "the command is left"
        "#,
    );
}

#[test]
fn without_dev_shm_it_brings_its_own() {
    script(
        Root,
        r#"
        mkdir dev; mount -t tmpfs tmpfs dev; cp -a /dev/null /dev/fuse /dev/tty dev; ln -s /proc/self/fd dev/fd
        mkdir dev/pts dev/empty; mount --bind /dev/pts dev/pts; mount --move dev /dev
        before=$(ls -lR /dev)
        $SHMFS run -- sh -c 'set -e; grep -q " /dev/shm .*fuse.shmfs" /proc/self/mountinfo; echo x > /dev/null
            test -c /dev/fuse; test -d /dev/empty; test -c /dev/pts/ptmx; test -L /dev/fd; touch /dev/empty/through' || fail "not as before"
        test -e /dev/empty/through || fail "not the same directory"
        rm /dev/empty/through; is "$(ls -lR /dev)" "$before"
        "#,
    );
}

#[test]
fn a_link_at_dev_shm_is_followed() {
    script(
        Root,
        r#"
        mkdir dev /run/shm; mount -t tmpfs tmpfs dev; cp -a /dev/null /dev/fuse dev; ln -s /run/shm dev/shm; mount --move dev /dev
        $SHMFS run -- grep -q " /run/shm .*fuse.shmfs" /proc/self/mountinfo || fail "not mounted there"
        is "$(readlink /dev/shm)" /run/shm
        "#,
    );
}

#[test]
fn by_fusermount_nothing_stays_outside() {
    script(
        Nobody,
        r#"
        export SHMFS_BY_FUSERMOUNT=1 XDG_RUNTIME_DIR=$PWD/runtime; mkdir -m 700 runtime
        $SHMFS run -- sh -c 'grep " /dev/shm .*fuse.shmfs" /proc/self/mountinfo > inside; id -u >> inside; exec sleep 1000' & front=$!
        eventually filled inside
        has "$(cat inside)" 65534
        is "$(ls runtime)" ""; unmounted || fail "the host sees it"
        device=$(cut -d' ' -f3 inside | head -1)
        kill -TERM $front; wait $front; is $? 143
        eventually no_device $device
        "#,
    );
}

#[test]
fn without_a_device_it_says_what_to_do() {
    script(
        NobodyWithoutDevice,
        r#"
        said=$($SHMFS run -- true 2>&1); is $? 125
        has "$said" "/dev/fuse"; has "$said" "chmod 666 /dev/fuse"
        is "$(ls -d /tmp/shmfs-???????????????? 2>/dev/null)" ""
        "#,
    );
}

#[test]
fn without_user_namespaces_it_says_what_to_do() {
    script(
        Nobody,
        r#"
        said=$(unshare --user --map-current-user bash -c 'ulimit -u unlimited 2>/dev/null; exec $SHMFS run -- true' 2>&1)
        is $? 0 "nested: $said"
        "#,
    );
    script(
        Root,
        r#"
        # In a user namespace of its own the limit can be set without the host.
        said=$(unshare --user --map-root-user --mount bash -c '
            echo 0 > /proc/sys/user/max_user_namespaces
            mount -t tmpfs tmpfs /mnt; exec setpriv --bounding-set=-all --inh-caps=-all bash -c "exec $SHMFS run -- true"' 2>&1)
        is $? 125 "$said"; has "$said" "user namespaces"
        "#,
    );
}

#[test]
fn it_runs_inside_itself() {
    for user in BOTH {
        script(
            user,
            r#"
            $SHMFS run -- $SHMFS run -- grep -c ' /dev/shm .*fuse.shmfs' /proc/self/mountinfo > count; is $? 0
            is "$(cat count)" 2
            "#,
        );
    }
}
