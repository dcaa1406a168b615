//! What each platform is known for, one case each.

use shmfs::errno::Errno;
use shmfs::view::{self, Age, NameOp, Place, Refusal, SCHEMES, Scheme};

fn scheme(key: &str) -> &'static Scheme {
    view::find(key).unwrap_or_else(|| panic!("no scheme {key}"))
}

fn open(key: &str, name: impl AsRef<[u8]>) -> String {
    answer(key, NameOp::Open, name.as_ref())
}

fn unlink(key: &str, name: impl AsRef<[u8]>) -> String {
    answer(key, NameOp::Unlink, name.as_ref())
}

/// The path, the key after `key:`, or the errno; an errno of the file system after the path.
fn answer(key: &str, op: NameOp, name: &[u8]) -> String {
    let scheme = scheme(key);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    match scheme.translate(op, name) {
        Err(refusal) => refusal.name().to_owned(),
        Ok(place) => {
            let effective = scheme
                .effective(&place)
                .map_or(String::new(), |errno| format!(" {errno:?}"));
            match place {
                Place::Path(path) => text(path) + &effective,
                Place::Key(key) => format!("key:{}", text(key)),
                Place::Hash(hash) => format!("hash:{hash:x}"),
            }
        }
    }
}

/// A slash and so many letters.
fn body(length: usize) -> String {
    format!("/{}", "a".repeat(length))
}

fn same(key: &str, one: &str, other: &str) -> bool {
    scheme(key).same_object(one.as_bytes(), other.as_bytes())
}

#[test]
fn glibc_strips_all_leading_slashes() {
    for name in ["foo", "/foo", "///foo"] {
        assert_eq!(open("glibc", name), "/dev/shm/foo");
        assert_eq!(open("glibc-sem", name), "/dev/shm/sem.foo");
    }
}

#[test]
fn glibc_has_one_errno_for_each_way_to_be_wrong_and_unlink_one_for_all() {
    for (name, errno) in [
        ("".into(), "EINVAL"),
        ("/a/b".into(), "EINVAL"),
        (body(256), "ENAMETOOLONG"),
    ] {
        assert_eq!(open("glibc", &name), errno);
        assert_eq!(unlink("glibc", &name), "ENOENT");
    }
}

#[test]
fn glibc_lets_the_dots_pass_and_they_are_directories() {
    assert_eq!(open("glibc", "/.."), "/dev/shm/.. EINVAL");
    assert_eq!(open("glibc", "/."), "/dev/shm/. EINVAL");
}

#[test]
fn glibc_lengths_of_each_age() {
    let longest = |key: &str| {
        (0..300)
            .filter(|&length| open(key, body(length)).starts_with('/'))
            .max()
            .expect("one")
    };
    assert_eq!(longest("glibc"), 255);
    assert_eq!(longest("glibc-sem"), 251);
    assert_eq!(longest("glibc-2.38"), 259);
    assert_eq!(longest("glibc-2.38-sem"), 255);
    assert_eq!(longest("glibc-2.34"), 259);
    assert_eq!(longest("glibc-2.21"), 253);
    assert_eq!(longest("glibc-2.21-sem"), 253);
    assert_eq!(longest("glibc-2.19"), 255);
    assert_eq!(open("glibc-2.34", body(260)), "EINVAL");
    assert_eq!(open("glibc-2.38", body(260)), "ENAMETOOLONG");
    assert_eq!(open("glibc-2.21", body(254)), "EINVAL");
}

#[test]
fn glibc_2_18_lets_a_name_escape() {
    assert_eq!(open("glibc-2.18", "/../../etc/x"), "/dev/shm/../../etc/x");
    let place = scheme("glibc-2.18")
        .object(b"/../../etc/x")
        .expect("a place");
    assert!(scheme("glibc-2.18").view_path(&place).is_err());
    let place = scheme("glibc-2.18").object(b"/a/../b").expect("a place");
    assert_eq!(scheme("glibc-2.18").view_path(&place), Ok(b"b".to_vec()));
}

#[test]
fn musl_refuses_exactly_the_two_dots() {
    assert_eq!(open("musl", "/."), "EINVAL");
    assert_eq!(open("musl", "/.."), "EINVAL");
    assert_eq!(open("musl", "/..."), "/dev/shm/...");
    assert_eq!(open("musl", "/.x"), "/dev/shm/.x");
    assert_eq!(unlink("musl", body(256)), "ENAMETOOLONG");
}

#[test]
fn musl_semaphores_are_files_of_the_same_names() {
    assert_eq!(open("musl-sem", "/x"), open("musl", "/x"));
    let (semaphores, name) = scheme("musl").semaphore_of(b"/x").expect("a semaphore");
    assert_eq!(
        (semaphores.key, name.as_slice()),
        ("musl-sem", b"/x".as_slice())
    );
}

#[test]
fn shm_sem_x_is_semaphore_x_on_glibc_hurd_uclibc_and_cygwin() {
    for key in [
        "glibc",
        "glibc-2.38",
        "glibc-2.34",
        "glibc-2.21",
        "glibc-2.19",
        "glibc-2.18",
        "hurd",
        "uclibc",
        "cygwin",
        "cygwin-1.7",
    ] {
        let (_, name) = scheme(key)
            .semaphore_of(b"/sem.x")
            .unwrap_or_else(|| panic!("{key}"));
        assert_eq!(name, b"/x");
        assert!(scheme(key).semaphore_of(b"/x").is_none(), "{key}");
    }
    for key in [
        "openbsd",
        "netbsd",
        "illumos",
        "freebsd",
        "xnu",
        "haiku",
        "dragonfly",
    ] {
        assert!(scheme(key).semaphore_of(b"/sem.x").is_none(), "{key}");
    }
}

#[test]
fn uclibc_checks_nothing() {
    assert_eq!(open("uclibc", ""), "/dev/shm/ EINVAL");
    assert_eq!(open("uclibc", "/a/b"), "/dev/shm/a/b");
    assert_eq!(open("uclibc-sem", ""), "EINVAL");
    assert_eq!(unlink("uclibc-sem", ""), "ENOENT");
}

#[test]
fn openbsd_hashes_every_byte() {
    assert_eq!(
        open("openbsd", "/foo"),
        "/tmp/6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94.shm"
    );
    assert!(open("openbsd", "").starts_with("/tmp/e3b0c442"));
    assert!(open("openbsd", "").ends_with("b855.shm"));
    assert!(!same("openbsd", "foo", "/foo") && !same("openbsd", "/foo", "//foo"));
}

#[test]
fn netbsd_wants_one_slash_and_takes_it_alone() {
    assert_eq!(open("netbsd", "/"), "/var/shm/.shmobj_");
    assert_eq!(open("netbsd", "/.."), "/var/shm/.shmobj_..");
    for name in ["", "foo", "//", "/foo/"] {
        assert_eq!(open("netbsd", name), "EINVAL");
    }
    assert!(!open("netbsd", body(247)).contains("ENAMETOOLONG"));
    assert!(open("netbsd", body(248)).ends_with(" ENAMETOOLONG"));
    assert_eq!(open("netbsd", body(1007)), "ENAMETOOLONG");
    assert!(open("netbsd", body(1006)).starts_with('/'));
}

#[test]
fn netbsd_semaphores_have_fourteen_bytes() {
    assert_eq!(open("netbsd-sem", body(13)), format!("key:{}", body(13)));
    assert_eq!(open("netbsd-sem", body(14)), "ENAMETOOLONG");
    assert_eq!(open("netbsd-sem", "foo"), "EINVAL");
    assert_eq!(unlink("netbsd-sem", "foo"), "ENOENT");
}

#[test]
fn dragonfly_opens_below_its_directory_and_can_leave_it() {
    assert_eq!(open("dragonfly", "//foo"), "/var/run/shm/foo");
    assert_eq!(open("dragonfly", "/"), "ENOENT");
    assert_eq!(
        open("dragonfly", "/../../etc/x"),
        "/var/run/shm/../../etc/x"
    );
    assert_eq!(open("dragonfly", "/."), "/var/run/shm/. EISDIR");
}

#[test]
fn dragonfly_old_takes_the_name_as_a_path() {
    assert_eq!(open("dragonfly-old", "/tmp/foo"), "/tmp/foo");
    assert_eq!(open("dragonfly-old", "foo"), "foo");
    assert_eq!(open("dragonfly-old", ""), "ENOENT");
}

#[test]
fn dragonfly_semaphores_without_a_slash_are_undefined() {
    assert_eq!(
        scheme("dragonfly-sem").translate(NameOp::Open, b"foo"),
        Err(Refusal::Undefined)
    );
    assert_eq!(open("dragonfly-sem", "/foo"), "/var/run/sem/foo");
    let slashes = format!("{}b", "/a".repeat(505));
    assert_eq!(open("dragonfly-sem", &slashes).len(), 1023);
    let name = format!("{}b", &slashes);
    assert_eq!(
        open("dragonfly-sem", &name),
        open("dragonfly-sem", &slashes),
        "1024 bytes are cut by one"
    );
    assert_eq!(open("dragonfly-sem", name + "b"), "ENAMETOOLONG");
}

#[test]
fn freebsd_looks_at_the_length_before_the_slash() {
    assert_eq!(open("freebsd", "a".repeat(1024)), "ENAMETOOLONG");
    assert_eq!(open("freebsd", "a".repeat(1023)), "EINVAL");
    assert_eq!(open("freebsd", "/"), "key:/");
    assert!(!same("freebsd", "/a", "//a") && !same("freebsd", "/a", "/a/"));
}

#[test]
fn freebsd_semaphores_are_files() {
    assert_eq!(open("freebsd-sem", "/foo"), "/tmp/SEMDfoo");
    assert_eq!(open("freebsd-sem", "/"), "/tmp/SEMD");
    assert_eq!(open("freebsd-sem", "foo"), "EINVAL");
    assert_eq!(unlink("freebsd-sem", "foo"), "ENOENT");
}

#[test]
fn illumos_hides_long_names_in_hash_directories() {
    assert_eq!(open("illumos", "/foo"), "/tmp/.SHMDfoo");
    assert_eq!(
        open("illumos", body(250)),
        format!("/tmp/.SHMD{}", "a".repeat(250))
    );
    let long = open("illumos", body(251));
    assert!(
        long.starts_with("/tmp/.") && long.ends_with(&format!("/.SHMD/{}", "a".repeat(251))),
        "{long}"
    );
    assert_ne!(long, open("illumos-be", body(251)));
    assert_eq!(
        open("illumos-mq", body(251)),
        format!("/tmp/.MQD{}", "a".repeat(251))
    );
    assert_eq!(open("illumos", body(256)), "ENAMETOOLONG");
}

#[test]
fn illumos_has_a_type_for_each_file() {
    let types = [
        ("illumos-lock", ".SHML"),
        ("illumos-sem", ".SEMD"),
        ("illumos-sem-lock", ".SEML"),
        ("illumos-mq", ".MQD"),
        ("illumos-mq-perm", ".MQP"),
        ("illumos-mq-dscn", ".MQN"),
        ("illumos-mq-lock", ".MQL"),
    ];
    for (key, file_type) in types {
        assert_eq!(open(key, "/foo"), format!("/tmp/{file_type}foo"));
    }
}

#[test]
fn haiku_escapes_slashes() {
    assert_eq!(open("haiku", "/a/"), "/var/shared_memory/a%s");
    assert_eq!(open("haiku", "/a//b"), "/var/shared_memory/a%s%sb");
    assert_eq!(open("haiku", "/a%sb"), "/var/shared_memory/a%%sb");
    assert!(!same("haiku", "/foo", "/foo/") && same("haiku", "foo", "//foo"));
}

#[test]
fn cygwin_in_three_ages() {
    assert_eq!(open("cygwin", "\\foo"), "/dev/shm/foo");
    assert_eq!(open("cygwin", "foo"), "EINVAL");
    assert_eq!(open("cygwin", "/"), "ENOENT");
    assert_eq!(open("cygwin", "/a\\b"), "EACCES");
    assert!(open("cygwin", body(254)).starts_with('/'));
    assert_eq!(open("cygwin", body(255)), "ENAMETOOLONG");
    assert_eq!(open("cygwin-sem", body(251)), "ENAMETOOLONG");
    assert_eq!(open("cygwin-mq", "/q"), "/dev/mqueue/q");
    assert_eq!(open("cygwin-1.7", "a/b"), "/dev/shm/a/b");
    assert_eq!(open("cygwin-1.7", "//a"), "EINVAL");
    assert_eq!(open("cygwin-1.5", "\\foo"), "EINVAL");
    assert_eq!(open("cygwin-1.5", body(250)), "ENAMETOOLONG");
}

#[test]
fn newlib_strips_one_slash() {
    assert_eq!(open("newlib-linux", "//foo"), "/dev/shm//foo");
    assert!(same("newlib-linux", "//foo", "foo"));
}

#[test]
fn xnu_takes_31_bytes_and_every_spelling() {
    assert_eq!(open("xnu", body(30)), format!("key:{}", body(30)));
    assert_eq!(open("xnu", body(31)), "ENAMETOOLONG");
    assert_eq!(unlink("xnu", body(31)), "EINVAL");
    assert_eq!(open("xnu", ""), "EINVAL");
    assert_eq!(open("xnu-old", ""), "key:");
    assert_eq!(open("xnu-old", body(30)), "ENAMETOOLONG");
    assert_eq!(unlink("xnu-sem", body(30)), "ENAMETOOLONG");
    assert!(!same("xnu", "foo", "/foo"));
}

#[test]
fn small_systems() {
    assert_eq!(open("rtems", "foo"), "EINVAL");
    assert_eq!(unlink("rtems", "foo"), "ENOENT");
    assert_eq!(open("rtems", body(256)), "ENAMETOOLONG");
    assert_eq!(open("zephyr", "/foo"), "hash:7c4dc4cc");
    assert_eq!(open("zephyr", "/"), "EINVAL");
    assert!(
        same("zephyr", &body(300), &body(400)),
        "only the first 256 bytes are hashed"
    );
    assert_eq!(open("nuttx", body(33)), "ENAMETOOLONG");
    assert_eq!(unlink("nuttx", "//"), "ENOENT");
    assert_eq!(open("redox", "//foo"), "shm:foo");
}

#[test]
fn linux_message_queues() {
    for (name, errno) in [
        ("q", "EINVAL"),
        ("/", "ENOENT"),
        ("/a/b", "EACCES"),
        ("/..", "EACCES"),
    ] {
        assert_eq!(open("linux-mq", name), errno);
    }
    assert_eq!(open("linux-mq", body(256)), "ENAMETOOLONG");
    assert_eq!(open("linux-mq", "/q"), "/dev/mqueue/q");
}

#[test]
fn keys_are_unique_and_semaphores_exist() {
    for (index, scheme) in SCHEMES.iter().enumerate() {
        assert!(
            SCHEMES[..index].iter().all(|other| other.key != scheme.key),
            "{} twice",
            scheme.key
        );
        assert!(
            SCHEMES
                .iter()
                .any(|other| other.platform == scheme.platform && other.companion.is_none())
        );
        if let Some(semaphores) = scheme.semaphores {
            assert!(view::find(semaphores).is_some(), "{semaphores}");
        }
        for text in [
            scheme.title,
            scheme.limit,
            scheme.source,
            scheme.directory.name(),
        ] {
            assert!(!text.is_empty(), "{}", scheme.key);
        }
    }
    let current = SCHEMES
        .iter()
        .filter(|scheme| scheme.age == Age::Current)
        .count();
    assert_eq!(current, 36);
}

#[test]
fn an_errno_has_a_name() {
    assert_eq!(Refusal::Errno(Errno::ENAMETOOLONG).name(), "ENAMETOOLONG");
}
