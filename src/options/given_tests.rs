//! Tests of what a list says.

use super::*;

const GIB: u64 = 1 << 30;

/// A host of 1 GiB with one user and one group.
const HOST: Environment = Environment {
    user: |name| (name == b"alice").then_some(1000),
    group: |name| (name == b"audio").then_some(29),
    ..Environment::with_ram(GIB)
};

fn given(list: &str) -> Given {
    Given::parse([list], &HOST, Unknown::Refuse).unwrap_or_else(|error| panic!("{list}: {error}"))
}

fn options(list: &str) -> Options {
    given(list).new_mount(Options::new(&HOST)).unwrap()
}

fn refusal(list: &str) -> String {
    let answer = Given::parse([list], &HOST, Unknown::Refuse);
    let error = answer.expect_err(list);
    assert_eq!(error.exit_code(), crate::error::ExitCode::Usage);
    error.to_string()
}

#[test]
fn defaults_are_those_of_dev_shm() {
    let default = Options::new(&HOST);
    assert_eq!(options(""), default);
    assert_eq!(options("defaults"), default);
    assert_eq!(default.size, GIB / 2);
    assert_eq!(default.nr_inodes, GIB / 4096 / 2);
    assert_eq!(default.mode, 0o1777);
    assert_eq!((default.uid, default.gid), (None, None));
    assert!(!default.suid && !default.dev && default.exec && default.symfollow);
}

#[test]
fn the_helper_has_the_defaults_of_tmpfs() {
    let tmpfs = Options::of_tmpfs(&HOST);
    assert!(tmpfs.suid && tmpfs.dev && tmpfs.exec);
    let given = given("rw,nosuid,noexec");
    let made = given.apply(tmpfs);
    assert!(!made.suid && made.dev && !made.exec);
}

#[test]
fn limits_are_counted_in_pages() {
    assert_eq!(options("size=1").size, 4096);
    assert_eq!(options("size=25%").size, GIB / 4);
    assert_eq!(options("size=0").size, 0);
    assert_eq!(options("nr_blocks=3").size, 3 * 4096);
    assert_eq!(options("nr_blocks=1e").size, u64::MAX - 4095);
    assert_eq!(options("nr_inodes=10k").nr_inodes, 10 << 10);
    assert_eq!(options("nr_inodes=0").nr_inodes, 0);
}

#[test]
fn the_last_word_wins_and_size_and_nr_blocks_are_one() {
    assert_eq!(options("size=1m,size=2m").size, 2 << 20);
    assert_eq!(options("size=1m,nr_blocks=3").size, 3 * 4096);
    assert_eq!(options("nr_blocks=3,size=1m").size, 1 << 20);
    assert!(options("ro,rw,ro").read_only);
    assert!(!options("reserve,noreserve").reserve);
    let lists = ["size=1m,ro", "size=4m", "rw"];
    let given = Given::parse(lists, &HOST, Unknown::Refuse).unwrap();
    assert_eq!(given.limits.size, Some(4 << 20));
    assert_eq!(given.flags.read_only, Some(false));
}

#[test]
fn owners_are_numbers_or_names() {
    for (list, uid, gid) in [
        ("uid=5,gid=6", Some(5), Some(6)),
        ("uid=alice,gid=audio", Some(1000), Some(29)),
        ("uid=0x10,gid=010", Some(16), Some(8)),
        ("uid=4294967294", Some(u32::MAX - 1), None),
    ] {
        let made = options(list);
        assert_eq!((made.uid, made.gid), (uid, gid), "{list}");
    }
}

#[test]
fn modes_are_octal() {
    assert_eq!(options("mode=700").mode, 0o700);
    assert_eq!(options("mode=01777").mode, 0o1777);
    assert_eq!(options("mode=777777").mode, 0o7777);
}

#[test]
fn flags_are_those_of_mount() {
    let made = options("ro,suid,dev,noexec,nosymfollow,nodiratime,allow_other,reserve");
    assert!(made.read_only && made.suid && made.dev && !made.exec && !made.symfollow);
    assert!(made.nodiratime && made.allow_other && made.reserve);
}

#[test]
fn access_times_follow_the_kernels_precedence() {
    for (list, atime) in [
        ("", Atime::Relative),
        ("noatime", Atime::Never),
        ("noatime,atime", Atime::Relative),
        ("noatime,strictatime", Atime::Strict),
        ("strictatime,noatime", Atime::Strict),
        ("strictatime,nostrictatime,noatime", Atime::Never),
        ("noatime,relatime", Atime::Never),
        ("norelatime", Atime::Relative),
    ] {
        assert_eq!(options(list).atime, atime, "{list}");
    }
    assert_eq!(given("size=1m").flags.atime(), None);
    assert_eq!(given("relatime").flags.atime(), Some(Atime::Relative));
}

#[test]
fn mounts_for_users_are_secure_until_told_otherwise() {
    let made = options("suid,dev,exec,user");
    assert!(!made.suid && !made.dev && !made.exec);
    let made = options("users,exec,suid,dev");
    assert!(made.suid && made.dev && made.exec);
    let made = options("suid,dev,owner");
    assert!(!made.suid && !made.dev && made.exec);
    assert!(options("exec,suid,user=alice").suid);
}

#[test]
fn fstab_words_are_ignored_and_told() {
    let list =
        "nofail,_netdev,noauto,x-systemd.automount,X-a=b,comment=\"a,b\",uhelper=x,sync,inode64";
    let given = given(list);
    assert_eq!(given.ignored.len(), 9);
    assert_eq!(given.ignored[5], "comment=a,b");
    assert_eq!(given.apply(Options::new(&HOST)), Options::new(&HOST));
}

#[test]
fn a_remount_tells_what_was_given() {
    let given = given("rw,relatime,user_id=0,group_id=0,allow_other,remount,size=9m");
    assert!(given.remount);
    assert_eq!(given.limits.size, Some(9 << 20));
    assert_eq!(given.limits.nr_inodes, None);
    assert_eq!(given.flags.read_only, Some(false));
    assert_eq!(given.flags.suid, None);
    let error = given.new_mount(Options::new(&HOST)).unwrap_err();
    assert!(error.to_string().starts_with("option 'remount'"), "{error}");
}

#[test]
fn what_the_kernel_shows_is_no_option_of_a_new_mount() {
    for list in ["user_id=0", "max_read=4096,ro", "seclabel"] {
        assert!(refusal(list).contains("unknown"), "{list}");
    }
}

#[test]
fn refusals_name_the_option_and_what_was_expected() {
    for (list, said) in [
        ("size=12q", "option 'size=12q': expected bytes"),
        ("size=", "option 'size=': expected bytes"),
        ("size", "option 'size': expected bytes"),
        ("size=-1", "option 'size=-1': expected bytes"),
        ("size=k", "option 'size=k': expected bytes"),
        ("size=16e", "option 'size=16e': expected bytes"),
        ("nr_blocks=10%", "option 'nr_blocks=10%': expected a number"),
        ("nr_blocks=8e", "option 'nr_blocks=8e': expected a number"),
        ("nr_inodes=16p", "option 'nr_inodes=16p': expected a number"),
        (
            "mode=8",
            "option 'mode=8': expected permissions as an octal",
        ),
        ("mode=rwx", "option 'mode=rwx': expected permissions"),
        ("uid=bob", "option 'uid=bob': expected a user's"),
        (
            "uid=4294967295",
            "option 'uid=4294967295': expected a user's",
        ),
        ("gid=-1", "option 'gid=-1': expected a group's"),
        ("huge=force", "option 'huge=force': expected never, always"),
        (
            "passthrough=yes",
            "option 'passthrough=yes': expected auto, on or off",
        ),
        ("reserve=1", "option 'reserve=1': expected no value"),
        ("ro=", "option 'ro=': expected no value"),
        ("siez=1m", "option 'siez=1m': unknown"),
        ("RO", "option 'RO': unknown"),
        ("bind", "option 'bind': shmfs makes mounts"),
        ("rootcontext=a", "option 'rootcontext=a': shmfs cannot give"),
        (
            "mpol=bind:0-3,5",
            "option 'mpol=bind:0-3': shmfs has no NUMA",
        ),
        ("size=1m,5", "option '5': unknown"),
        ("x-a=\"b", "option 'x-a=\"b': the double quote"),
    ] {
        assert!(refusal(list).starts_with(said), "{}", refusal(list));
    }
}

#[test]
fn sloppy_forgives_unknown_words_only() {
    let parse = |list| Given::parse([list], &HOST, Unknown::Ignore);
    let given = parse("zork,size=1m,zork=5").unwrap();
    assert_eq!(given.ignored, ["zork", "zork=5"]);
    assert_eq!(given.limits.size, Some(1 << 20));
    assert!(parse("zork,size=1q").is_err());
    assert!(parse("bind").is_err());
}
