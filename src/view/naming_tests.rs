use super::*;

fn naming(key: &str) -> Naming {
    Naming::of(key).unwrap()
}

fn entry(key: &str, path: &str) -> Meaning {
    naming(key).meaning(path.as_bytes())
}

fn is(entry: &str) -> Meaning {
    Meaning::Entry(entry.as_bytes().to_vec())
}

fn shown(key: &str, entry: &str) -> Option<String> {
    let path = naming(key).path(entry.as_bytes())?;
    Some(String::from_utf8(path).unwrap())
}

/// SHA-256 of `/foo`.
const FOO: &str = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94";

#[test]
fn files_are_the_entries_of_their_names() {
    for (key, path, meaning) in [
        ("glibc", "foo", is("foo")),
        ("glibc", "sem.foo", is("sem.foo")),
        ("glibc", ".shmfs", Meaning::Own),
        ("glibc-2.21", &*"x".repeat(254), Meaning::Own),
        ("musl", "foo", is("foo")),
        ("musl", "sem.foo", is("sem.foo")),
        ("netbsd", ".shmobj_foo", is("foo")),
        ("netbsd", ".shmobj_", Meaning::Own),
        ("netbsd", ".shmobj_.", Meaning::Own),
        ("netbsd", "foo", Meaning::Own),
        ("illumos", ".SHMDfoo", is("foo")),
        ("illumos", ".SEMDfoo", is("sem.foo")),
        ("illumos", ".SHMLfoo", Meaning::Own),
        ("illumos", ".MQDfoo", Meaning::Own),
        ("illumos", "foo", Meaning::Own),
        ("openbsd", &*format!("{FOO}.shm"), Meaning::Digest),
        ("openbsd", &*format!("{FOO}.sem"), Meaning::Digest),
        ("openbsd", FOO, Meaning::Own),
        ("haiku", "a%%b", is("a%b")),
        ("haiku", "a%sb", Meaning::Own),
        ("haiku", "a%b", Meaning::Own),
        ("freebsd", "foo", is("foo")),
        ("freebsd", "%2Ffoo", Meaning::Own),
        ("freebsd-sem", "SEMDfoo", is("sem.foo")),
        ("freebsd-sem", "foo", Meaning::Own),
        ("xnu", "foo", is("foo")),
        ("xnu", "%:foo", Meaning::Own),
        ("xnu-sem", "foo", is("sem.foo")),
        ("dragonfly-sem", "foo", is("sem.foo")),
        ("cygwin", "sem.foo", is("sem.foo")),
        ("cygwin-mq", "foo", Meaning::Own),
        ("linux-mq", "foo", Meaning::Own),
        ("zephyr", "0a1b2c3d", Meaning::Digest),
    ] {
        assert_eq!(entry(key, path), meaning, "{path} in {key}");
    }
}

#[test]
fn entries_are_shown_where_the_platform_can_name_them() {
    for (key, entry, path) in [
        ("glibc", "foo", Some("foo")),
        ("musl", "sem.foo", Some("sem.foo")),
        ("netbsd", "foo", Some(".shmobj_foo")),
        ("netbsd", "sem.foo", Some(".shmobj_sem.foo")),
        ("netbsd", &*"x".repeat(248), None),
        ("illumos", "sem.foo", Some(".SEMDfoo")),
        ("openbsd", "foo", Some(&*format!("{FOO}.shm"))),
        ("openbsd", "sem.foo", Some(&*format!("{FOO}.sem"))),
        ("freebsd-sem", "foo", None),
        ("freebsd-sem", "sem.foo", Some("SEMDfoo")),
        ("xnu", &*"x".repeat(31), None),
        ("haiku", "a%b", Some("a%%b")),
        ("cygwin", "a\\b", None),
        ("linux-mq", "foo", None),
    ] {
        assert_eq!(shown(key, entry).as_deref(), path, "{entry} in {key}");
    }
}

#[test]
fn long_names_of_illumos_are_two_directories_down() {
    let long = "y".repeat(252);
    let path = shown("illumos", &long).unwrap();
    assert_eq!(path.len(), 33 + 1 + 5 + 1 + 252);
    assert_eq!(entry("illumos", &path), is(&long));
    assert!(naming("illumos").nests());
    assert!(!naming("netbsd").nests());
}

#[test]
fn a_semaphore_has_two_names_where_shared_memory_can_bear_its_entry() {
    let paths = naming("illumos").paths(b"sem.foo");
    assert_eq!(paths, [b".SHMDsem.foo".to_vec(), b".SEMDfoo".to_vec()]);
    assert_eq!(naming("glibc").paths(b"sem.foo"), [b"sem.foo".to_vec()]);
}

#[test]
fn every_scheme_is_a_view_or_part_of_one() {
    for scheme in SCHEMES {
        match Naming::of(scheme.key) {
            Ok(naming) => assert_eq!(naming.key(), scheme.key),
            Err(NoView::PartOf(first)) => {
                assert!(Naming::of(first).is_ok(), "{}", scheme.key);
            }
            Err(NoView::Unknown) => panic!("{}", scheme.key),
        }
    }
    assert_eq!(
        Naming::of("illumos-sem").unwrap_err(),
        NoView::PartOf("illumos")
    );
    assert_eq!(Naming::of("solaris").unwrap_err(), NoView::Unknown);
}

/// Whatever is shown means the entry that it shows, and no two entries are shown as one but by digests
/// that collide.
#[test]
fn what_is_shown_leads_back() {
    let long = "z".repeat(251);
    for scheme in SCHEMES {
        let Ok(naming) = Naming::of(scheme.key) else {
            continue;
        };
        for name in [
            "foo", "sem.foo", "sem.", "a%b", "a b", "tmp-1", "%-", ".x", &long,
        ] {
            for path in naming.paths(name.as_bytes()) {
                match naming.meaning(&path) {
                    Meaning::Entry(entry) => assert_eq!(entry, name.as_bytes(), "{}", scheme.key),
                    Meaning::Digest => assert!(naming.has_digests(), "{}", scheme.key),
                    Meaning::Own => panic!("{name} in {}", scheme.key),
                }
            }
        }
    }
}
