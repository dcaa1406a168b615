//! The configuration: what is taken, and what each mistake is told as.

use std::path::Path;

use shmfs::export::{Code, Exports, Rights, Unmatched};

use crate::{errors, export, parse, warnings};

#[test]
fn the_whole_vocabulary() {
    let text = "
[export.camera]
read  = [\"frames_*\", \"calib\"]
write = [\"ctl\", \"fastrtps_*\"]
semaphores = [\"fastrtps_*\"]
hide  = [\"frames_raw*\"]
unmatched = \"private\"
keep = true
sticky = false
size = \"64m\"
nr_inodes = 100
view = \"musl\"
to = \"/run/camera\"

[[export.camera.rule]]
path = [\"cmd_*\", \"q\"]
permissions = [\"read\", \"create\"]

[[export.camera.rule]]
path = \"state\"

[export.browser]
private = true
";
    let (exports, warnings) = Exports::parse(text, "x").unwrap();
    assert_eq!(warnings, []);
    let names: Vec<&str> = exports.iter().map(|export| export.name.as_str()).collect();
    assert_eq!(names, ["camera", "browser"], "in the file's order");
    let camera = exports.get("camera").unwrap();
    let rights = |name: &str| camera.rules.of_file(name.as_bytes());
    assert_eq!(rights("frames_1"), Rights::READ);
    assert_eq!(rights("frames_raw1"), Rights::NONE);
    assert_eq!(rights("ctl"), Rights::ALL);
    assert_eq!(rights("sem.fastrtps_port"), Rights::ALL);
    assert_eq!(rights("cmd_1"), Rights::READ | Rights::CREATE);
    assert_eq!(rights("q"), Rights::READ | Rights::CREATE);
    assert_eq!(rights("state"), Rights::READ | Rights::WRITE);
    assert_eq!(camera.unmatched, Unmatched::Private);
    assert!(camera.keep && !camera.sticky && camera.semaphores && !camera.private);
    assert_eq!((camera.size, camera.nr_inodes), (Some(64 << 20), Some(100)));
    assert_eq!(camera.view.as_deref(), Some("musl"));
    assert_eq!(camera.to.as_deref(), Some(Path::new("/run/camera")));
    let browser = exports.get("browser").unwrap();
    assert!(browser.private && browser.sticky && !browser.keep && browser.has_layer());
    assert!(browser.is_in_layer(b"anything"));
}

/// One configuration for each code; the code must be the only one.
const ERRORS: [(Code, &str); 68] = [
    (Code::Empty, ""),
    (Code::Empty, "read = []"),
    (Code::Empty, "hide = ['x']"),
    (Code::Empty, "private = false"),
    (Code::Empty, "unmatched = 'private'"),
    (Code::Empty, "size = 1"),
    (Code::Type, "read = 'foo'"),
    (Code::Type, "write = {}"),
    (Code::Type, "read = [1]"),
    (Code::Type, "read = [['a']]"),
    (Code::Type, "hide = true\nread = ['a']"),
    (Code::Type, "rule = 'a'"),
    (Code::Type, "rule = {path = 'a'}"),
    (Code::Type, "rule = ['a']"),
    (Code::Type, "rule = [{path = 1}]"),
    (Code::Type, "rule = [{path = 'a', permissions = 'read'}]"),
    (Code::Type, "rule = [{path = 'a', permissions = [1]}]"),
    (Code::Type, "private = 'true'"),
    (Code::Type, "private = true\nkeep = 1"),
    (Code::Type, "private = true\nsticky = 0"),
    (Code::Type, "read = ['a']\nunmatched = 'visible'"),
    (Code::Type, "read = ['a']\nunmatched = true"),
    (Code::Type, "private = true\nsize = '64q'"),
    (Code::Type, "private = true\nsize = '50%'"),
    (Code::Type, "private = true\nsize = -1"),
    (Code::Type, "private = true\nsize = '16e'"),
    (Code::Type, "private = true\nsize = 1.5"),
    (Code::Type, "private = true\nnr_inodes = ''"),
    (Code::Type, "private = true\nview = ''"),
    (Code::Type, "private = true\nview = 1"),
    (Code::Type, "private = true\nto = 'relative'"),
    (Code::UnknownKey, "private = true\nreads = ['a']"),
    (Code::UnknownKey, "rule = [{path = 'a', types = ['file']}]"),
    (Code::NoPath, "rule = [{permissions = ['read']}]"),
    (Code::NoPath, "rule = [{path = []}]"),
    (Code::EmptyPattern, "read = ['']"),
    (Code::Whitespace, "read = ['tail ']"),
    (Code::Whitespace, "read = [' lead']"),
    (Code::Whitespace, "read = [' ']"),
    (Code::Whitespace, "read = [\"tail\\n\"]"),
    (Code::Whitespace, "read = [\"\\u00a0a\"]"),
    (Code::Control, "read = [\"a\\u0000b\"]"),
    (Code::Control, "read = [\"a\\nb\"]"),
    (Code::Control, "read = [\"a\\u007fb\"]"),
    (Code::Absolute, "read = ['/foo']"),
    (Code::Absolute, "read = ['/']"),
    (Code::Unclean, "read = ['.']"),
    (Code::Unclean, "read = ['..']"),
    (Code::Unclean, "read = ['./a']"),
    (Code::Unclean, "read = ['a/../b']"),
    (Code::Unclean, "read = ['a//b']"),
    (Code::Unclean, "read = ['a//']"),
    (Code::Unclean, "read = ['\\.\\.']"),
    (Code::DoubleStar, "read = ['a**']"),
    (Code::DoubleStar, "read = ['**a']"),
    (Code::DoubleStar, "read = ['***']"),
    (Code::DoubleStar, "semaphores = ['**']"),
    (Code::Permission, "rule = [{path = 'a', permissions = []}]"),
    (
        Code::Permission,
        "rule = [{path = 'a', permissions = ['open']}]",
    ),
    (
        Code::Permission,
        "rule = [{path = 'a', permissions = ['read', 'read']}]",
    ),
    (
        Code::CreateAlone,
        "rule = [{path = 'a', permissions = ['create', 'delete']}]",
    ),
    (Code::Duplicate, "read = ['a', 'a']"),
    (Code::Duplicate, "read = ['a*']\nwrite = ['a*']"),
    (Code::Duplicate, "read = ['a']\nwrite = ['\\a']"),
    (Code::Duplicate, "semaphores = ['a']\nwrite = ['sem.a']"),
    (
        Code::Shadowed,
        "write = ['foo*']\nrule = [{path = 'foo1', permissions = ['read', 'write']}]",
    ),
    (Code::DeadRule, "read = ['a']\nhide = ['?']"),
    (Code::DeadRule, "read = ['a/b']\nhide = ['a/']"),
];

#[test]
fn each_mistake_has_its_code() {
    for (code, lines) in ERRORS {
        assert_eq!(errors(lines), [code], "{lines}");
    }
}

#[test]
fn bad_brackets_braces_and_backslashes() {
    for pattern in [
        "[",
        "[a",
        "a]",
        "[]",
        "[]a]",
        "[!]",
        "[^]",
        "[z-a]",
        "[é]",
        "[a-é]",
        "[[:alpha:]]",
        "[a/b]",
        "{",
        "{a",
        "a}",
        "{a}",
        "{}",
        "{a,b",
        "{a,{b}}",
        "{a/b,c}",
        "\\",
        "a\\",
        "a\\/b",
        "[\\",
        "[a\\]",
        "[a-",
    ] {
        assert_eq!(
            errors(&format!("read = ['{pattern}']")),
            [Code::Syntax],
            "{pattern}"
        );
    }
    let deep = format!("{}a{}", "{b,".repeat(17), "}".repeat(17));
    assert_eq!(errors(&format!("read = ['{deep}']")), [Code::Syntax]);
}

#[test]
fn a_component_is_as_long_as_a_name_can_be() {
    let read = |pattern: String| errors(&format!("read = ['{pattern}']"));
    assert_eq!(read("a".repeat(255)), []);
    assert_eq!(read("a".repeat(256)), [Code::TooLong]);
    assert_eq!(read(format!("d/{}/x", "é".repeat(128))), [Code::TooLong]);
    assert_eq!(read(format!("{}*", "?".repeat(255))), []);
    assert_eq!(read(format!("{}*", "?".repeat(256))), [Code::TooLong]);
    assert_eq!(read("a/".repeat(64)), []);
    assert_eq!(read("a/".repeat(65)), [Code::TooLong]);
}

#[test]
fn names_of_exports_are_plain() {
    for name in ["camera", "snap_1", "a.b", "a+b", "a@b", "_x", "0"] {
        let text = format!("[export.\"{name}\"]\nprivate = true\n");
        assert!(Exports::parse(&text, "x").is_ok(), "{name}");
    }
    for name in [
        "",
        ".",
        "..",
        ".hidden",
        "-x",
        "a/b",
        "a b",
        "é",
        "a\\nb",
        &"x".repeat(201),
    ] {
        let text = format!("[export.\"{name}\"]\nprivate = true\n");
        assert!(
            Exports::parse(&text, "x").unwrap_err().has(Code::Name),
            "{name}"
        );
    }
}

#[test]
fn a_private_export_has_nothing_else() {
    for line in [
        "read = []",
        "write = ['a']",
        "semaphores = []",
        "hide = []",
        "rule = []",
        "unmatched = 'hidden'",
    ] {
        assert_eq!(
            errors(&format!("private = true\n{line}")),
            [Code::PrivateExclusive],
            "{line}"
        );
    }
    let lines =
        "private = true\nsize = 4096\nnr_inodes = '1k'\nkeep = true\nsticky = false\nto = '/x'";
    assert_eq!(errors(lines), []);
}

#[test]
fn a_name_that_hide_has_too_is_there_twice_and_dead() {
    assert_eq!(
        errors("read = ['a']\nhide = ['a']"),
        [Code::DeadRule, Code::Duplicate]
    );
}

#[test]
fn zero_is_no_limit_as_for_tmpfs() {
    let export = export("private = true\nsize = 0\nnr_inodes = 0");
    assert_eq!((export.size, export.nr_inodes), (None, None));
}

#[test]
fn a_right_that_only_the_pattern_gives_is_a_contradiction() {
    // The other way round a name has more than the pattern: that is what names are for.
    assert_eq!(errors("read = ['foo*']\nwrite = ['foo-rw']"), []);
    assert_eq!(
        errors("read = ['foo-ro']\nwrite = ['foo*']"),
        [Code::Shadowed]
    );
    let drop_box = "read = ['*']\nrule = [{path = 'box', permissions = ['write', 'create']}]";
    assert_eq!(errors(drop_box), [Code::Shadowed]);
    assert_eq!(errors("read = ['d/x']\nwrite = ['d/**']"), [Code::Shadowed]);
    assert_eq!(
        errors("read = ['d/x/']\nwrite = ['**']"),
        [Code::Shadowed],
        "a directory"
    );
    assert_eq!(errors("read = ['d/']\nwrite = ['*']"), [], "* is for files");
    assert_eq!(
        errors("read = ['sem.a1']\nsemaphores = ['a*']"),
        [Code::Shadowed]
    );
}

#[test]
fn warnings_are_told() {
    for (code, lines) in [
        (Code::Everything, "read = ['*']"),
        (Code::Everything, "read = ['**']"),
        (Code::Covered, "read = ['foo*', 'foo1']"),
        (Code::Semaphore, "read = ['sem.*']"),
        (Code::Semaphore, "read = ['sem.a']"),
        (Code::Semaphore, "semaphores = ['sem.a']"),
        (Code::Overlap, "read = ['foo*']\nwrite = ['foo*_rw']"),
        (Code::Overlap, "read = ['f*x']\nwrite = ['foo*']"),
        (Code::Overlap, "read = ['d/**']\nwrite = ['d/x*/y']"),
        (
            Code::FilesOnly,
            "read = ['**/x', 'tree/**']\nhide = ['tree/secret*']",
        ),
        (Code::FilesOnly, "read = ['**/x']\nhide = ['secret']"),
        (Code::NoEffect, "read = ['a']\nkeep = true"),
    ] {
        assert!(
            warnings(lines).contains(&code),
            "{lines}: {:?}",
            warnings(lines)
        );
    }
    for lines in [
        "read = ['foo*', 'bar*']",
        "read = ['foo*']\nwrite = ['foo']",
        "read = ['foo*', 'foo*_x']",
        "read = ['foo*']\nwrite = ['foo*/x']",
        "read = ['foo*']\nwrite = ['foo*/']",
        "write = ['sem.a']",
        "semaphores = ['a']\nkeep = true",
        "read = ['tree/**']\nhide = ['tree/s*', 'tree/s*/']",
        "read = ['a*']\nhide = ['ab*']",
    ] {
        assert_eq!(warnings(lines), [], "{lines}");
    }
}

#[test]
fn every_problem_is_told_with_its_place() {
    let text = "\
[export.camera]
read = [
    \"ok\",
    \"/dev/shm/bar\",
    \"a**\",   \"tail \",
]
write = \"ctl\"
zork = 1

[other]
[export.two]
";
    let problems = Exports::parse(text, "exports.toml").unwrap_err();
    let places: Vec<_> = problems
        .errors
        .iter()
        .map(|error| (error.code, error.line, error.column))
        .collect();
    assert_eq!(
        places,
        [
            (Code::Absolute, 4, 6),
            (Code::DoubleStar, 5, 7),
            (Code::Whitespace, 5, 19),
            (Code::Type, 7, 9),
            (Code::UnknownKey, 8, 1),
            (Code::UnknownKey, 10, 2),
            (Code::Empty, 11, 9),
        ]
    );
    let told = problems.to_string();
    let first = "exports.toml:4:6: E_ABSOLUTE: export \"camera\": read: \"/dev/shm/bar\" begins with a slash\n  \
        Write \"bar\": names are relative to the export's root, without a slash.\n";
    assert!(told.starts_with(first), "{told}");
    assert!(told.contains("exports.toml:7:9: E_TYPE: export \"camera\": write: it is a string and must be a list of strings\n  Write [\"ctl\"]."), "{told}");
    for error in &problems.errors {
        assert!(
            !error.instead.is_empty(),
            "{error}: nothing to write instead"
        );
    }
}

#[test]
fn contradictions_name_both_rules() {
    let problems = parse("write = ['zzz', 'foo*']\nread = ['foo-ro']\nhide = ['z*']").unwrap_err();
    let told = problems.to_string();
    assert!(
        told.contains("x")
            && told.contains(
                "E_DEAD_RULE: export \"a\": write: \"zzz\" is hidden by \"z*\" in hide on line 4"
            ),
        "{told}"
    );
    let shadowed = "E_SHADOWED: export \"a\": read: \"foo-ro\" has read here and read,write,create,delete by \"foo*\" in write on line 2";
    assert!(told.contains(shadowed), "{told}");
}

#[test]
fn what_is_no_toml_is_told_with_all_else() {
    let text = "[export.a]\nread = ['/x'\nwrite = = 3\n[export.b]\nprivate = maybe\n";
    let problems = Exports::parse(text, "x").unwrap_err();
    assert!(problems.has(Code::Toml));
    assert!(problems.errors.len() > 1, "{problems}");
    let twice = "[export.a]\nread = ['a']\nread = ['b']\n";
    assert!(Exports::parse(twice, "x").unwrap_err().has(Code::Toml));
}

#[test]
fn files_that_cannot_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("exports.toml");
    let told = Exports::load(&path).unwrap_err();
    assert!(
        told.has(Code::Read) && told.to_string().contains("exports.toml: E_READ"),
        "{told}"
    );
    std::fs::write(&path, b"# \xff\n").unwrap();
    assert!(
        Exports::load(&path)
            .unwrap_err()
            .to_string()
            .contains("not UTF-8: byte 2")
    );
    std::fs::write(&path, vec![b'#'; (8 << 20) + 1]).unwrap();
    assert!(
        Exports::load(&path)
            .unwrap_err()
            .to_string()
            .contains("larger than 8 MiB")
    );
    std::fs::write(&path, "[export.a]\nprivate = true\n").unwrap();
    assert_eq!(Exports::load(&path).unwrap().0.len(), 1);
    assert!(Exports::parse("", "x").unwrap().0.is_empty());
}

#[test]
fn ten_thousand_mistakes_are_told_too() {
    let names: Vec<String> = (0..10_000).map(|number| format!("'a{number}'")).collect();
    let found = errors(&format!("write = ['a*']\nread = [{}]", names.join(",")));
    assert_eq!(found.len(), 10_000);
}
