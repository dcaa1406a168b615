//! The shipped units under a systemd of their own: it is the first process of its namespaces, on a root of tmpfs with
//! the host's programs.

use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::recovery::USER;
use crate::sandbox::User::Root;
use crate::sandbox::script;

/// Makes the root directory `$R`. `$G` is the name of the cgroup for it.
const ROOT: &str = r#"
    T=$HOME/systemd; R=$T/root; mkdir $T
    mount -t tmpfs -o mode=755 tmpfs $T && mkdir $R $T/units $T/generators $T/upper $T/work
    mkdir -p $R/{etc/systemd/system,dev,proc,sys,run,tmp,var/log,root,mnt,usr,srv/shm,srv/line,srv/other}
    chmod 1777 $R/tmp; exec 3> $R/var/log/shmfs
    mount --rbind /usr $R/usr && mount -o remount,bind,ro $R/usr || fail "no /usr"
    for d in /bin /sbin /lib*; do
        if [ -L $d ]; then cp -P $d $R$d; else mkdir $R$d && mount --rbind $d $R$d; fi
    done
    over() { local d; d=$(readlink -f $1); mkdir -p $T/upper$d $T/work$d
        mount -t overlay overlay -o lowerdir=$d,upperdir=$T/upper$d,workdir=$T/work$d $R$d || fail "no overlay on $d"; }
    over /usr/local/bin; cp $SHMFS $R/usr/local/bin/shmfs
    over /sbin; cp $HELPER $R/sbin/mount.shmfs
    # What of the host's system starts at boot is not wanted, only where it would stand.
    for unit in basic local-fs local-fs-pre multi-user paths shutdown slices sockets swap sysinit timers umount; do
        cp /lib/systemd/system/$unit.target $T/units; done
    cp /lib/systemd/system/modprobe@.service $T/units; ln -s multi-user.target $T/units/default.target
    mount --bind $T/units $R$(readlink -f /lib/systemd/system)
    cp /lib/systemd/system-generators/systemd-fstab-generator $T/generators
    mount --bind $T/generators $R$(readlink -f /lib/systemd/system-generators)
    mount -t tmpfs -o mode=755 tmpfs $R/dev && (umask 0; mknod -m 666 $R/dev/fuse c 10 229) || fail "no /dev/fuse"
    for n in null zero full random urandom; do touch $R/dev/$n; mount --bind /dev/$n $R/dev/$n; done
    printf 'root:x:0:0::/root:/bin/sh\nann:x:1000:1000::/home/ann:/bin/sh\n' > $R/etc/passwd
    printf 'root:x:0:\nann:x:1000:\n' > $R/etc/group
    cp /etc/ld.so.cache $R/etc; ln -s ../proc/self/mounts $R/etc/mtab; : > $R/etc/fstab
    echo 0123456789abcdef0123456789abcdef > $R/etc/machine-id; printf 'ID=test\nNAME=test\n' > $R/etc/os-release
    printf '[Manager]\nShowStatus=no\nLogTarget=console\n' > $R/etc/systemd/system.conf
    units=$R/etc/systemd/system
    cp "$UNITS/shmfs@.service" "$UNITS/srv-shm.mount" $units
    drop_in() { mkdir -p "$units/shmfs@.service.d"; printf '[Service]\n%s\n' "$2" > "$units/shmfs@.service.d/$1.conf"; }
    drop_in log StandardError=append:/var/log/shmfs
"#;

/// Has systemd boot from `$R`; `in_` runs something there.
const BOOT: &str = r#"
    cat > $T/boot <<'END'
mount --rbind $1 $1 && cd $1 && mount -t proc proc proc || exit 98
# The host's settings, and what the kernel shows of it, are not to be changed.
mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys && mount -t sysfs -o ro sysfs sys || exit 98
mount -t cgroup2 cgroup2 sys/fs/cgroup && mount -t tmpfs -o mode=755 tmpfs run || exit 98
pivot_root . mnt && umount -l /mnt && cd / || exit 98
exec env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin container=shmfs-test /lib/systemd/systemd
END
    cat > $T/enter <<'END'
mount -t cgroup2 cgroup2 /mnt && echo $$ > /mnt/$G/cgroup.procs || exit 98
exec unshare --cgroup --mount --uts --ipc --net --pid --fork --kill-child --propagation=private bash $T/boot $R
END
    export T R
    unshare --cgroup --mount --propagation=private bash $T/enter > $T/console 2>&1 < /dev/null & outer=$!
    trap 'echo "log:"; cat $R/var/log/shmfs; echo "console:"; cat $T/console; in_ systemctl list-units --failed' EXIT
    in_() { nsenter -t $init -m -u -i -n -p -C -r -w \
        env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root SYSTEMD_PAGER= SYSTEMD_COLORS=0 "$@"; }
    booted() { init=$(tr -d ' ' < /proc/$outer/task/$outer/children); [ -n "$init" ] && [ -S /proc/$init/root/run/systemd/private ]; }
    eventually booted; is "$(in_ systemctl is-system-running --wait)" running "the boot"
    of() { in_ systemctl show -P $2 $1; }
    state() { [ "$(of $1 ActiveState)" = $2 ]; }
    mounted() { in_ findmnt -n -t fuse.shmfs $1 > /dev/null; }
    no_mount() { ! mounted $1; }
    processes() { in_ pgrep -f 'shmfs (worker|mount|supervisor)|mount.shmfs'; }
    no_processes() { ! processes > /dev/null; }
"#;

/// A unit at /srv/shm, with words for it.
const SERVICE: &str = r#"
    unit=shmfs@srv-shm.service
    main() { of $unit MainPID; }
    worker() { in_ cat /proc/$(main)/task/$(main)/children | tr ' ' '\n' | head -1; }
    anew() { local now; now=$(main); [ "$now" != 0 ] && [ "$now" != "$1" ] && state $unit active; }
    kill_owner() { local old; old=$(main); in_ kill -KILL $old; eventually anew $old; }
    held() { is "$(of $unit NFileDescriptorStore)" $1 "descriptors that systemd holds"; }
    other_worker() { local now; now=$(worker); [ -n "$now" ] && [ "$now" != "$1" ]; }
"#;

/// A cgroup that goes when this process does, however it ends.
struct Cgroup {
    name: String,
    keeper: Child,
}

impl Cgroup {
    fn new() -> Cgroup {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let unique = directory.path().file_name().expect("a name");
        let name = format!("shmfs-test-{}", unique.to_string_lossy().replace('.', ""));
        // Mounted in a namespace of cgroups, since the options of the host's mount would change otherwise.
        let mut command = Command::new("unshare");
        command.args(["--cgroup", "--mount", "--propagation=private", "sh", "-c"]);
        command.arg(
            r#"mount -t cgroup2 cgroup2 /mnt && mkdir /mnt/$0 || exit 1; echo made; cat > /dev/null
            for i in $(seq 100); do find /mnt/$0 -depth -type d -exec rmdir {} + 2> /dev/null && exit; sleep 0.1; done; exit 1"#,
        );
        command.arg(&name);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut keeper = command
            .process_group(0)
            .spawn()
            .expect("unshare of util-linux");
        let mut said = String::new();
        let output = keeper.stdout.take().expect("its output");
        drop(BufReader::new(output).read_line(&mut said));
        assert_eq!(
            said, "made\n",
            "no cgroup can be made: these tests need root and cgroups of version 2 that may be changed; a container needs \
             --privileged"
        );
        Cgroup { name, keeper }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let status = self.keeper.wait();
        if !std::thread::panicking() {
            assert!(status.is_ok_and(|it| it.success()), "the cgroup is left");
        }
    }
}

/// Boots with what `before` prepares in `$R`, and runs `body`.
#[track_caller]
fn booted(before: &str, body: &str) {
    let installed = Path::new("/lib/systemd/systemd").exists();
    assert!(
        installed,
        "systemd is not installed: run tests/setup.sh, or apt-get install systemd"
    );
    let cgroup = Cgroup::new();
    let (helper, sources) = (
        env!("CARGO_BIN_EXE_mount-shmfs"),
        env!("CARGO_MANIFEST_DIR"),
    );
    let name = &cgroup.name;
    let variables = format!(
        "export G={name}; HELPER='{helper}' UNITS='{sources}/mount-helper/systemd'; ulimit -c 0"
    );
    script(
        Root,
        &format!(
            "{variables}\n{ROOT}\n{before}\n{BOOT}\n{SERVICE}\n{body}\ntrap - EXIT; kill -KILL $outer; eventually ended $init"
        ),
    );
}

#[test]
fn the_service_keeps_its_mount_whoever_dies() {
    for way in ["on", "off"] {
        let options = format!(
            r#"drop_in way $'ExecStart=\nExecStart=/usr/local/bin/shmfs mount -f -o size=64m,passthrough={way} %f'"#
        );
        let body = r#"
            in_ systemctl start $unit; is $? 0 "start"; mounted /srv/shm || fail "not mounted"; held 5
            cp user.py $R/tmp; ln -s /srv/shm $R/tmp/m; echo kept > $T/kept; in_ sh -c 'echo kept > /srv/shm/kept'
            in_ sh -c 'cd /tmp; exec python3 user.py' & program=$!
            eventually filled $R/tmp/ready
            kept() { is "$(in_ timeout 20 cat /srv/shm/kept)" kept "$1"; held 5; }
            old=$(worker); in_ kill -KILL $old; eventually other_worker $old; kept "the worker was killed"
            kill_owner; kept "the owner was killed"
            old=$(main); in_ systemctl kill --kill-who=all --signal=KILL $unit; eventually anew $old; kept "both were killed"
            in_ systemctl daemon-reexec; in_ systemctl daemon-reload; kill_owner; kept "systemd was executed anew"
            old=$(main); in_ systemctl restart $unit; is $? 0 "restart"; [ $(main) != $old ] || fail "the same"; kept "restart"
            old=$(worker); in_ systemctl reload $unit; is $? 0 "reload"; [ $(worker) != $old ] || fail "the same"; kept "reload"
            cp $SHMFS $R/tmp/other; in_ shmfs upgrade /srv/shm /tmp/other > /dev/null; is $? 0 "upgrade"
            is "$(in_ readlink /proc/$(main)/exe)" /tmp/other; kept "upgrade"
            kill_owner; is "$(in_ readlink /proc/$(main)/exe)" /usr/local/bin/shmfs; kept "the other one was killed"
            # More often than systemd starts a service again by default.
            for i in 1 2 3 4 5 6 7 8 9 10; do kill_owner; done; kept "killed often"
            in_ pkill -USR1 -f user.py; wait $program; is $? 0 "the program"
            in_ systemctl stop $unit; is $? 0 "stop"; no_mount /srv/shm || fail "still mounted"; held 0
            is "$(of $unit Result)" success; no_processes || fail "a process is left"
            in_ systemctl start $unit; is $? 0 "start"; is "$(in_ ls -A /srv/shm)" "" "a new one"
        "#;
        booted(&format!("{USER}\n{options}"), body);
    }
}

#[test]
fn the_service_comes_to_an_end() {
    let body = r#"
        gone() { eventually state $unit inactive; held 0; no_mount /srv/shm || fail "still mounted: $1"; no_processes || fail "a process is left: $1"; }
        in_ systemctl start $unit; in_ umount /srv/shm; gone "umount"
        in_ systemctl start $unit; in_ shmfs umount /srv/shm; gone "shmfs umount"
        # A busy one is there until its user ends.
        in_ systemctl start $unit; in_ sh -c 'cd /srv/shm; echo in > /tmp/in; until [ -e /tmp/out ]; do sleep 0.05; done; echo x > file' & program=$!
        eventually filled $R/tmp/in; in_ systemctl stop $unit & stop=$!
        eventually no_mount /srv/shm; state $unit deactivating || fail "not busy"; touch $R/tmp/out
        wait $program; is $? 0 "the user of a busy mount"; wait $stop; is $? 0; gone "busy"; is "$(of $unit Result)" success
        # Stopped when there is nobody to unmount: the next one cleans up.
        in_ systemctl start $unit; in_ sh -c 'echo lost > /srv/shm/lost'; in_ systemctl stop --no-block $unit
        eventually state $unit inactive; drop_in late RestartSec=1h; in_ systemctl daemon-reload
        in_ systemctl start $unit; in_ kill -KILL $(main); eventually state $unit activating; in_ systemctl stop $unit
        in_ stat -f /srv/shm 2> $T/said; has "$(cat $T/said)" "not connected"
        in_ systemctl start $unit; is $? 0 "after a dead one"; is "$(in_ ls -A /srv/shm)" ""; in_ systemctl stop $unit; gone "the next one"
        # Unmounted by somebody else when there was nobody to notice: a new one too.
        drop_in late RestartSec=1; in_ systemctl daemon-reload; in_ systemctl start $unit; in_ touch /srv/shm/lost; in_ kill -KILL $(main)
        eventually state $unit activating; in_ timeout 10 shmfs umount --lazy /srv/shm; is $? 0; eventually state $unit active
        is "$(in_ findmnt -n -o FSTYPE /srv/shm)" fuse.shmfs; is "$(in_ ls -A /srv/shm)" ""; held 5; is "$(worker | wc -l)" 1
        # Without a signal for that, systemctl restart ends the one mount and begins another.
        drop_in late RestartSec=0; drop_in signal RestartKillSignal=SIGTERM; in_ systemctl daemon-reload; in_ touch /srv/shm/lost
        in_ systemctl restart $unit; is $? 0; is "$(in_ findmnt -n -o FSTYPE /srv/shm)" fuse.shmfs; is "$(in_ ls -A /srv/shm)" ""
        held 5; in_ touch /srv/shm/object; is $? 0 "use it"; in_ systemctl stop $unit; gone "restart"
        # Other options are those of the next mount.
        in_ systemctl start $unit; drop_in signal RestartKillSignal=SIGUSR1
        drop_in way $'ExecStart=\nExecStart=/usr/local/bin/shmfs mount -f -o size=7m %f'; in_ systemctl daemon-reload
        in_ systemctl restart $unit; has "$(cat $R/var/log/shmfs)" "goes on with the options that it began with"
        in_ systemctl stop $unit; in_ systemctl start $unit; has "$(in_ df --output=size /srv/shm)" 7168; in_ systemctl stop $unit
        # Nothing is left to go on with where systemd holds nothing.
        drop_in signal RestartKillSignal=SIGUSR1; drop_in none $'FileDescriptorStoreMax=0\nEnvironment=FDSTORE=0'
        in_ systemctl daemon-reload; in_ systemctl start $unit; held 0; in_ touch /srv/shm/lost; in_ systemctl restart $unit; is $? 0
        is "$(in_ findmnt -n -o FSTYPE /srv/shm)" fuse.shmfs; is "$(in_ ls -A /srv/shm)" ""; in_ systemctl stop $unit; gone "nothing held"
        # What would fail again is not tried again.
        in_ systemctl start shmfs@srv-none.service 2> /dev/null && fail "started without a directory"
        is "$(of shmfs@srv-none.service ActiveState) $(of shmfs@srv-none.service NRestarts)" "failed 0"
        has "$(cat $R/var/log/shmfs)" "mkdir /srv/none"
    "#;
    booted("", body);
}

#[test]
fn units_and_lines_of_fstab_are_there_at_boot() {
    let before = r#"
        mkdir $units/{local-fs,multi-user}.target.wants
        ln -s /etc/systemd/system/srv-shm.mount $units/local-fs.target.wants
        ln -s "/etc/systemd/system/shmfs@.service" $units/multi-user.target.wants/shmfs@srv-other.service
        echo 'shared /srv/line shmfs size=8m,mode=1777,nosuid,nodev,x-systemd.mount-timeout=20s,nofail 0 0' > $R/etc/fstab
        # Who needs them needs no more than to say so.
        cat > $units/needs.service <<'END'
[Unit]
RequiresMountsFor=/srv/shm /srv/line
Requires=shmfs@srv-other.service
After=shmfs@srv-other.service
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'for d in shm line other; do findmnt -n -t fuse.shmfs /srv/$d && echo boot > /srv/$d/object || exit 1; done'
ExecStop=/bin/sh -c 'cat /srv/shm/object /srv/line/object /srv/other/object > /var/log/stopped'
END
        ln -s /etc/systemd/system/needs.service $units/multi-user.target.wants
        printf '[Unit]\nDefaultDependencies=no\nRequires=shutdown.target umount.target\n' > $units/end.target
    "#;
    let body = r#"
        state needs.service active || fail "it was not mounted in time"
        is "$(in_ findmnt -n -o SOURCE /srv/line | cut -d[ -f1)" shared
        is "$(of srv-line.mount SourcePath)" /etc/fstab; has "$(of srv-shm.mount Before)" local-fs.target
        size() { in_ df --output=size $1 | tail -1 | tr -d ' '; }
        is $(size /srv/line) 8192; sed -i s/size=8m/size=16m/ $R/etc/fstab; in_ systemctl daemon-reload
        in_ systemctl reload srv-line.mount; is $? 0 "reload"; is $(size /srv/line) 16384
        in_ pkill -KILL -x shmfs-worker
        for d in shm line other; do is "$(in_ timeout 20 cat /srv/$d/object)" boot "the workers were killed"; done
        # The end of the system: first who uses them, then they.
        in_ systemctl start --no-block end.target
        eventually no_mount /srv/shm; eventually no_mount /srv/line; eventually no_mount /srv/other; eventually no_processes
        is "$(cat $R/var/log/stopped)" "$(printf 'boot\nboot\nboot')"; is "$(in_ systemctl --failed --quiet list-units)" ""
    "#;
    booted(before, body);
}

#[test]
fn a_mount_unit_begins_and_ends() {
    let body = r#"
        in_ systemctl start srv-shm.mount; is $? 0; in_ touch /srv/shm/object
        in_ systemctl restart srv-shm.mount; is $? 0; is "$(in_ ls -A /srv/shm)" ""; in_ umount /srv/shm
        eventually state srv-shm.mount inactive; eventually no_processes
        in_ systemctl start srv-shm.mount; in_ sh -c 'exec sleep 60 < /srv/shm' & program=$!
        busy() { in_ pgrep -x sleep > /dev/null; }; eventually busy
        in_ systemctl stop srv-shm.mount 2> /dev/null && fail "it was busy"; mounted /srv/shm || fail "a busy mount is gone"
        in_ pkill -x sleep; wait $program; in_ systemctl stop srv-shm.mount; no_mount /srv/shm || fail "still mounted"
        # Nobody holds what belongs to a killed owner: it ends, and systemd sees it.
        in_ systemctl start srv-shm.mount; in_ pkill -KILL -x mount.shmfs; eventually no_mount /srv/shm; eventually no_processes
        eventually state srv-shm.mount inactive; in_ systemctl start srv-shm.mount; is $? 0; is "$(in_ ls -A /srv/shm)" ""
        # Both killed: a dead mount, which systemd can take away.
        in_ systemctl kill --kill-who=all --signal=KILL srv-shm.mount; eventually no_processes
        in_ systemctl restart srv-shm.mount; is $? 0; in_ touch /srv/shm/object; is $? 0
    "#;
    booted("", body);
}

#[test]
fn a_users_own_service_keeps_its_mount() {
    let before = r#"
        own=$R/home/ann/.config/systemd/user; mkdir -p $own $R/home/ann/shm
        sed '/^# For root:/,/^$/d; s/multi-user.target/default.target/' "$UNITS/shmfs@.service" > "$own/shmfs@.service"
        ! grep -q NoNewPrivileges "$own/shmfs@.service" || fail "what is root's is left"
        mkdir -p "$own/shmfs@.service.d"; printf '[Service]\nStandardError=append:/home/ann/log\n' > "$own/shmfs@.service.d/log.conf"
        chown -R 1000:1000 $R/home/ann
        printf '[Service]\nUser=ann\nType=notify\nDelegate=yes\nRuntimeDirectory=ann\n%s\n%s\n' \
            'Environment=XDG_RUNTIME_DIR=/run/ann HOME=/home/ann' 'ExecStart=/lib/systemd/systemd --user' > $units/ann.service
    "#;
    let body = r#"
        in_ systemctl start ann.service; is $? 0 "the user's systemd"; unit=shmfs@home-ann-shm.service
        ann() { in_ setpriv --reuid ann --regid ann --clear-groups env XDG_RUNTIME_DIR=/run/ann HOME=/home/ann "$@"; }
        of() { ann systemctl --user show -P $2 $1; }
        ann systemctl --user start $unit; is $? 0 "start: $(cat $R/home/ann/log)"; held 5
        ann sh -c 'echo kept > ~/shm/object'; kept() { is "$(ann timeout 20 cat /home/ann/shm/object)" kept "$1"; held 5; }
        kill_owner; kept "the owner was killed"
        ann systemctl --user restart $unit; is $? 0; kept restart; ann systemctl --user reload $unit; is $? 0; kept reload
        ann systemctl --user stop $unit; is "$(of $unit Result)" success "stop: $(cat $R/home/ann/log)"
        no_mount /home/ann/shm || fail "still mounted"; no_processes || fail "a process is left"
    "#;
    booted(before, body);
}

#[test]
fn systemd_finds_nothing_wrong_with_the_units() {
    let body = r#"
        is "$(in_ systemd-analyze verify --man=no /etc/systemd/system/srv-shm.mount shmfs@srv-other.service 2>&1)" ""
    "#;
    booted("", body);
}
