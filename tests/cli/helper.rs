//! The helper, called as mount(8) calls it, and by mount(8).

use crate::common::{helper, with_mount8};

#[test]
fn takes_what_mount_passes() {
    for words in [
        &["src", "/nowhere", "-f", "-o", "rw"][..],
        &["src", "/nowhere", "-f", "-n", "-v", "-o", "rw,size=1m"],
        &["src", "/nowhere", "-fnv", "-o", "rw"],
        &[
            "src",
            "/nowhere",
            "-f",
            "-o",
            "rw,noexec,nosuid,nodev,size=5m,nofail,_netdev,user",
        ],
        &[
            "src",
            "/nowhere",
            "-f",
            "-o",
            "rw,size=5m,uid=0,user,exec,suid,dev",
        ],
        &["src", "/nowhere", "-f", "-o", "rw", "-t", "fuse.shmfs"],
        &["src", "/nowhere", "-f", "-o", "rw", "-t", "shmfs"],
        &["a b", "/nowhere", "-s", "-f", "-o", "rw,zork,zork=1"],
        &[
            "src",
            "/nowhere",
            "-f",
            "-o",
            "rw,relatime,user_id=0,group_id=0,allow_other,remount,size=9m",
        ],
        &[
            "src",
            "/nowhere",
            "-f",
            "-o",
            "rw",
            "-N",
            "/proc/self/ns/mnt",
        ],
        &["-f", "-o", "rw", "src", "/nowhere"],
    ] {
        let answer = helper(words);
        assert_eq!(answer.status, 0, "{words:?}: {}", answer.err);
    }
}

#[test]
fn refuses_by_name_with_status_1() {
    for (words, said) in [
        (
            &["src", "/nowhere", "-f", "-o", "zork"][..],
            "option 'zork': unknown",
        ),
        (
            &["src", "/nowhere", "-s", "-f", "-o", "size=1q"],
            "option 'size=1q'",
        ),
        (&["src", "/nowhere", "-f", "-t", "ext4"], "type 'ext4'"),
        (
            &["src", "/nowhere", "-f", "-o", "context=a"],
            "option 'context=a'",
        ),
        (
            &["src", "/nowhere", "-f", "-o", "user_id=0"],
            "option 'user_id=0': unknown",
        ),
        (&["src"], "<DIR>"),
        (&["src", "/nowhere", "-z"], "-z"),
    ] {
        let answer = helper(words);
        assert_eq!(answer.status, 1, "{words:?}: {}", answer.err);
        assert!(answer.err.starts_with("mount.shmfs: "), "{}", answer.err);
        assert!(answer.err.contains(said), "{words:?}: {}", answer.err);
    }
}

#[test]
fn verbose_tells_what_has_no_effect() {
    let words = ["src", "/nowhere", "-f", "-v", "-o", "nofail,x-a=b,size=1m"];
    assert_eq!(
        helper(&words).err,
        "mount.shmfs: without effect here: nofail,x-a=b\n"
    );
    assert_eq!(helper(&["src", "/nowhere", "-f", "-o", "nofail"]).err, "");
}

#[test]
fn a_namespace_that_is_none_is_named() {
    let answer = helper(&["src", "/nowhere", "-N", "/nowhere/ns"]);
    assert_eq!(answer.status, 2, "{}", answer.err);
    assert!(
        answer
            .err
            .contains("cannot enter the namespace /nowhere/ns"),
        "{}",
        answer.err
    );
}

#[test]
fn mount_finds_it_for_both_types() {
    let answer = with_mount8(
        "for type in shmfs fuse.shmfs; do\n\
         mount -f -t $type -o size=1m,uid=root,nofail,x-a.b src mnt; echo $type $?\n\
         mount -f -t $type -o size=1q src mnt; echo $type $?\n\
         mount -f -s -t $type -o zork src mnt; echo $type $?\n\
         mount -f -v -n -t $type src mnt; echo $type $?\n\
         done",
    );
    let expected =
        ["shmfs", "fuse.shmfs"].map(|kind| format!("{kind} 0\n{kind} 1\n{kind} 0\n{kind} 0\n"));
    assert_eq!(answer.out, expected.concat(), "{}", answer.err);
    let told = answer.err.matches("mount.shmfs: option 'size=1q'").count();
    assert_eq!(told, 2, "{}", answer.err);
}

#[test]
fn fstab_lines_reach_it() {
    let answer = with_mount8(
        "cat >fstab <<END\n\
         shmfs $1/mnt shmfs defaults,noauto,size=1m,mode=0700,x-systemd.automount,X-a,comment=b,nofail,_netdev 0 0\n\
         END\n\
         mount -f -T fstab mnt; echo $?\n\
         echo \"shmfs $1/mnt fuse.shmfs size=1m,zork 0 0\" >fstab\n\
         mount -f -T fstab mnt; echo $?",
    );
    assert_eq!(answer.out, "0\n1\n", "{}", answer.err);
    assert!(
        answer.err.contains("option 'zork': unknown"),
        "{}",
        answer.err
    );
}

/// What mount(8) does with a live mount, in words that are the same for root and for a user.
const LIFE: &str = r#"
    show() { grep " $PWD/mnt " /proc/self/mountinfo | sed 's/.*mnt \([^ ]*\).* - \([^ ]*\) \([^ ]*\) .*/\1 \2 \3/'; }
    numbers() { stat -f -c '%b %c' mnt; stat -c '%a %u:%g' mnt; }
    mount -t $type -o size=1m,nr_inodes=10,mode=0750,noexec,nosuid,nodev "my source" mnt; echo mounted $?
    show; numbers
    echo content >mnt/object
    mount -o remount,size=2m,ro mnt; echo smaller $?
    show; numbers; cat mnt/object
    touch mnt/new 2>refused || echo read-only
    mount -o remount,rw mnt; echo writable $?
    mount -o remount,size=zz mnt 2>refused; echo malformed $?
    head -c 1M /dev/zero >mnt/large
    mount -o remount,size=4k mnt 2>refused; echo too small $?
    numbers
    umount mnt; echo unmounted $?
    show
    mount -t $type -o size=1m none nodir 2>refused; echo no directory $?
"#;

const LIVED: &str = "mounted 0
rw,nosuid,nodev,noexec,relatime fuse.shmfs my\\040source
256 10
750 0:0
smaller 0
ro,nosuid,nodev,noexec,relatime fuse.shmfs my\\040source
512 10
750 0:0
content
read-only
writable 0
malformed 1
too small 32
512 10
750 0:0
unmounted 0
no directory 32
";

#[test]
fn mount_remount_and_umount_work() {
    for kind in ["shmfs", "fuse.shmfs"] {
        let answer = with_mount8(&format!("type={kind}\n{LIFE}"));
        assert_eq!(answer.out, LIVED, "{kind}: {}", answer.err);
    }
}

#[test]
fn root_gets_set_user_id_and_devices_unless_he_says_otherwise() {
    let answer = with_mount8(
        "for list in rw suid,dev,exec nosuid nodev noexec user,exec; do\n\
         mount -t shmfs -o $list src mnt\n\
         grep \" $PWD/mnt \" /proc/self/mountinfo | cut -d' ' -f6\n\
         umount mnt\n\
         done",
    );
    let expected = "rw,relatime\nrw,relatime\nrw,nosuid,relatime\nrw,nodev,relatime\n\
        rw,noexec,relatime\nrw,nosuid,nodev,relatime\n";
    assert_eq!(answer.out, expected, "{}", answer.err);
}

#[test]
fn fstab_mounts_all_of_it() {
    let answer = with_mount8(
        "echo \"src $PWD/mnt shmfs size=3m,nosuid,nodev,nosymfollow,noatime,nofail,x-a.b 0 0\" >fstab\n\
         mount -T fstab -a; echo $?; touch mnt/object\n\
         mount -T fstab -a; echo $?; ls mnt\n\
         grep \" $PWD/mnt \" /proc/self/mountinfo | cut -d' ' -f6; stat -f -c %b mnt\n\
         mount -T fstab -o remount,size=5m mnt; echo $?; stat -f -c %b mnt\n\
         umount mnt; echo $?",
    );
    let expected = "0\n0\nobject\nrw,nosuid,nodev,noatime,nosymfollow\n768\n0\n1280\n0\n";
    assert_eq!(answer.out, expected, "{}", answer.err);
    assert!(
        answer.err.contains("src is already mounted on /"),
        "{}",
        answer.err
    );
}

#[test]
fn fstab_mounts_exports_and_a_remount_reads_them_again() {
    let answer = with_mount8(
        "mkdir bound; printf '[export.a]\\nread = [\"x*\"]\\nto = \"%s\"\\n' $PWD/bound >exports.toml\n\
         echo \"src $PWD/mnt shmfs size=3m,exports=$PWD/exports.toml 0 0\" >fstab\n\
         mount -T fstab -a; echo $?\n\
         echo 1 >mnt/x; echo 2 >mnt/y; ls bound\n\
         sed -i 's/x\\*/y/' exports.toml; mount -T fstab -o remount mnt; echo $?; ls bound\n\
         echo zork >>exports.toml; mount -T fstab -o remount mnt 2>refused; echo $?; grep -c exports.toml:4: refused; ls bound\n\
         umount mnt; echo $?\n\
         for i in $(seq 200); do grep -q \" $PWD/bound \" /proc/self/mountinfo || break; sleep 0.05; done\n\
         ls bound; mount -t shmfs -o exports=exports.toml none mnt 2>refused; echo $?",
    );
    let expected = "0\nx\n0\ny\n1\n1\ny\n0\n1\n";
    assert_eq!(answer.out, expected, "{}", answer.err);
}
