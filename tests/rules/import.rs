//! `shmfs export import`: snapd's validation, in its order and with its words, and what comes of a snap.

use std::fs;
use std::process::{Command, Output};

use shmfs::export::{Exports, Rights};

/// Imports a snap's YAML.
fn import(yaml: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("snap.yaml");
    fs::write(&path, yaml).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
    let command = command.args(["export", "import", "snap.yaml"]);
    command.current_dir(dir.path()).output().unwrap()
}

/// The exports that it becomes.
fn exports(yaml: &str) -> Exports {
    let output = import(yaml);
    let (out, err) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert_eq!(output.status.code(), Some(0), "{err}");
    Exports::parse(&out, "imported")
        .unwrap_or_else(|problems| panic!("{out}\n{problems}"))
        .0
}

/// What is said of one that is refused.
fn refusal(yaml: &str) -> String {
    let output = import(yaml);
    assert_eq!(
        output.status.code(),
        Some(1),
        "{yaml}: {}",
        String::from_utf8_lossy(&output.stdout)
    );
    assert!(output.stdout.is_empty(), "nothing is printed of it");
    String::from_utf8(output.stderr).unwrap()
}

fn slot(lines: &str) -> String {
    format!(
        "name: provider\nversion: 0\nslots:\n shmem:\n  interface: shared-memory\n  {lines}\napps:\n app:\n  slots: [shmem]\n"
    )
}

fn plug(lines: &str) -> String {
    format!(
        "name: consumer\nversion: 0\nplugs:\n shmem:\n  interface: shared-memory\n  {lines}\napps:\n app:\n  plugs: [shmem]\n"
    )
}

fn queue(lines: &str) -> String {
    format!("name: producer\nversion: 1.0\nslots:\n test:\n    interface: posix-mq\n    {lines}\n")
}

#[test]
fn slots_of_shared_memory_are_refused_as_by_snapd() {
    for (lines, words) in [
        (
            "shared-memory: 12",
            "shared-memory \"shared-memory\" attribute must be a string, not 12",
        ),
        (
            "shared-memory: [one two]",
            "shared-memory \"shared-memory\" attribute must be a string, not [one two]",
        ),
        (
            "",
            "shared memory interface requires at least a valid \"read\" or \"write\" attribute",
        ),
        (
            "read: []",
            "shared memory interface requires at least a valid \"read\" or \"write\" attribute",
        ),
        (
            "write: a string",
            "shared-memory \"write\" attribute must be a list of strings, not \"a string\"",
        ),
        (
            "read: [Mixed, 12, False, list]",
            "shared-memory \"read\" attribute must be a list of strings, not \"[Mixed 12 false list]\"",
        ),
        (
            "read: [\"ok\", \"trailing-space \"]",
            "shared-memory interface path has leading or trailing spaces: \"trailing-space \"",
        ),
        (
            "write: [\" leading-space\"]",
            "shared-memory interface path has leading or trailing spaces: \" leading-space\"",
        ),
        ("write: [\"\"]", "shared-memory interface path is empty"),
        (
            "write: [mem**]",
            "shared-memory interface path is invalid: \"mem**\" contains ** which is unsupported",
        ),
        (
            "read: [..]",
            "shared-memory interface path is not clean: \"..\"",
        ),
        (
            "write: [/dev/shm/bar]",
            "shared-memory interface path should not contain '/': \"/dev/shm/bar\"",
        ),
        (
            "write: [mem/../etc]",
            "shared-memory interface path should not contain '/': \"mem/../etc\"",
        ),
        (
            "write: [valid]\n  read: [../invalid]",
            "shared-memory interface path should not contain '/': \"../invalid\"",
        ),
        (
            "read: [\"a?\"]",
            "shared-memory interface path is invalid: \"a?\" contains a reserved apparmor char from ?[]{}^\"\\x00",
        ),
        (
            "read: [\"{a,b}\"]",
            "shared-memory interface path is invalid: \"{a,b}\" contains a reserved apparmor char from",
        ),
        (
            "read: ['a\"b']",
            "shared-memory interface path is invalid: \"a\\\"b\" contains a reserved apparmor char from",
        ),
        // In the order of snapd's checks: the reserved character before the two stars, those before the slash, reads first.
        ("read: [\"?**/\"]", "contains a reserved apparmor char"),
        ("read: [\"**/\"]", "contains ** which is unsupported"),
        (
            "write: [\" x\"]\n  read: [\"a/b\"]",
            "should not contain '/': \"a/b\"",
        ),
        (
            "read: x\n  shared-memory: 1",
            "attribute must be a string, not 1",
        ),
    ] {
        let told = refusal(&slot(lines));
        let line = "snap.yaml:5: slot \"shmem\": ";
        assert!(
            told.contains(words) && told.contains(line),
            "{lines}: {told}"
        );
    }
}

#[test]
fn plugs_of_shared_memory_are_refused_as_by_snapd() {
    for (lines, words) in [
        (
            "shared-memory: [one two]",
            "shared-memory \"shared-memory\" attribute must be a string, not [one two]",
        ),
        (
            "private: hello",
            "shared-memory \"private\" attribute must be a bool, not hello",
        ),
        (
            "private: 'true'",
            "shared-memory \"private\" attribute must be a bool, not true",
        ),
        (
            "private: true\n  shared-memory: foo",
            "shared-memory \"shared-memory\" attribute must not be set together with \"private: true\"",
        ),
        (
            "private: true\n other:\n  interface: shared-memory",
            "shared-memory plug with \"private: true\" set cannot be used with other shared-memory plugs",
        ),
        (
            "private: true\nslots:\n s:\n  interface: shared-memory\n  read: [a]",
            "shared-memory plug with \"private: true\" set cannot be used with shared-memory slots",
        ),
    ] {
        assert!(
            refusal(&plug(lines)).contains(words),
            "{lines}: {}",
            refusal(&plug(lines))
        );
    }
}

#[test]
fn slots_of_posix_mq_are_refused_as_by_snapd() {
    for (lines, words) in [
        ("", "posix-mq slot requires the \"path\" attribute"),
        (
            "path: []",
            "posix-mq slot requires at least one value in the \"path\" attribute",
        ),
        (
            "path: \"\"",
            "posix-mq slot \"path\" attribute values cannot be empty",
        ),
        (
            "path: [/a, \"\"]",
            "posix-mq slot \"path\" attribute values cannot be empty",
        ),
        (
            "path: ../../test-invalid",
            "posix-mq \"path\" attribute must conform to the POSIX message queue name specifications (see \"man mq_overview\"): /../../test-invalid",
        ),
        ("path: /", "specifications (see \"man mq_overview\"): /"),
        (
            "path: '/test-invalid-2\"['",
            "posix-mq \"path\" attribute is invalid: /test-invalid-2\"[\"",
        ),
        ("path: /a*", "posix-mq \"path\" attribute is invalid: /a*\""),
        (
            "path: /.",
            "posix-mq \"path\" attribute is not a clean path: \"/.\"",
        ),
        (
            "path: {this-is-not-a-valid-path: true}",
            "snap \"producer\" has interface \"posix-mq\" with invalid value type map[string]interface {} for \"path\" attribute: *[]string",
        ),
        (
            "path: 12",
            "invalid value type int64 for \"path\" attribute: *[]string",
        ),
        (
            "path: /a\n    permissions: [create, delete, break-everything]",
            "posix-mq slot permission \"break-everything\" not valid, must be one of [open read write create delete]",
        ),
        (
            "path: /a\n    permissions: not-a-list",
            "snap \"producer\" has interface \"posix-mq\" with invalid value type string for \"permissions\" attribute: *[]string",
        ),
        (
            "path: /a\n    permissions: [create, [not-a-string]]",
            "snap \"producer\" has interface \"posix-mq\" with invalid value type []interface {} for \"permissions\" attribute: *[]string",
        ),
        (
            "posix-mq: [broken]\n    path: /a",
            "posix-mq \"posix-mq\" attribute must be a string, not [broken]",
        ),
    ] {
        assert!(
            refusal(&queue(lines)).contains(words),
            "{lines}: {}",
            refusal(&queue(lines))
        );
    }
    let long = format!("path: /{}", "a".repeat(256));
    assert!(refusal(&queue(&long)).contains("must conform"));
}

#[test]
fn a_slot_is_an_export() {
    let found = exports(&slot(
        "shared-memory: foo\n  write: [bar, 'bar*x']\n  read: [ring, '*']\n  private: false",
    ));
    let rules = &found.get("foo").unwrap().rules;
    assert_eq!(rules.of_file(b"bar"), Rights::ALL);
    assert_eq!(rules.of_file(b"bar1x"), Rights::ALL);
    assert_eq!(rules.of_file(b".other"), Rights::READ);
    assert!(
        exports(&slot("write: [a]")).get("shmem").is_some(),
        "the slot's name is the default"
    );
    assert!(
        exports(&slot("shared-memory: ''\n  write: [a]"))
            .get("shmem")
            .is_some()
    );
}

/// snapd takes both and lets the wider right win; so do we, and say so.
#[test]
fn what_snapd_lets_win_silently_wins() {
    let output = import(&slot("write: [foo*, x]\n  read: [foo-ro, x, z, z]"));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("# read: \"foo-ro\" is left out, as write has it\n"),
        "{text}"
    );
    assert!(text.contains("read = [\"z\"]\n"), "{text}");
    let (found, _) = Exports::parse(&text, "x").unwrap();
    assert_eq!(
        found.get("shmem").unwrap().rules.of_file(b"foo-ro"),
        Rights::ALL
    );
}

#[test]
fn a_queue_has_its_permissions() {
    let found = exports(&queue(
        "posix-mq: label\n    path: [/one, two]\n    permissions: [open, read, create, read]",
    ));
    let rules = &found.get("label").unwrap().rules;
    assert_eq!(rules.of_file(b"one"), Rights::READ | Rights::CREATE);
    assert_eq!(rules.of_file(b"two"), Rights::READ | Rights::CREATE);
    let rules = &exports(&queue("path: q"))
        .get("test")
        .unwrap()
        .rules
        .of_file(b"q")
        .to_string();
    assert_eq!(rules, "read,write", "the default");
}

#[test]
fn a_private_plug_is_a_private_export_and_others_wait_for_a_slot() {
    let found = exports(&plug("private: true"));
    assert!(found.get("snap.consumer").unwrap().private);
    assert!(
        exports(&plug("private: yes"))
            .get("snap.consumer")
            .is_some(),
        "as YAML 1.1 has it"
    );
    assert!(exports(&plug("shared-memory: foo")).is_empty());
    let text = String::from_utf8(import(&plug("shared-memory: foo")).stdout).unwrap();
    assert!(
        text.contains("has the export of the slot that it is connected to, \"foo\""),
        "{text}"
    );
}

#[test]
fn all_forms_of_a_declaration() {
    let found = exports(
        "name: a\nslots:\n one: {interface: posix-mq, path: x}\n posix-mq: {path: z}\nplugs:\n p: shared-memory\n shared-memory:\n home:\napps:\n app:\n  plugs: [posix-mq, network]\n",
    );
    let names: Vec<&str> = found.iter().map(|export| export.name.as_str()).collect();
    assert_eq!(names, ["one", "posix-mq"]);
    let system = "name: core\ntype: os\nslots:\n shared-memory:\n  interface: shared-memory\n";
    assert!(
        exports(system).is_empty(),
        "the system's slot is not validated"
    );
}

#[test]
fn names_of_exports_are_made_plain_and_told_apart() {
    let yaml = "name: a\nslots:\n s1: {interface: posix-mq, posix-mq: 'a b', path: x}\n s2: {interface: posix-mq, posix-mq: 'a-b', path: z}\n";
    let text = String::from_utf8(import(yaml).stdout).unwrap();
    assert!(
        text.contains("# for plugs with posix-mq: \"a b\"\n"),
        "{text}"
    );
    assert!(
        text.contains("[[export.\"a-b\".rule]]") && text.contains("[[export.\"a-b-2\".rule]]"),
        "{text}"
    );
}

#[test]
fn what_snapd_takes_and_cannot_be_exported_is_told_with_our_codes() {
    for (yaml, code) in [
        (slot("read: ['.']"), "E_UNCLEAN"),
        (slot("read: ['a\\']"), "E_SYNTAX"),
        (slot("read: [\"a\\x01b\"]"), "E_CONTROL"),
        (
            queue("path: /a\n    permissions: [create]"),
            "E_CREATE_ALONE",
        ),
        (queue("path: /a\n    permissions: [open]"), "E_PERMISSION"),
        (queue("path: /a\n    permissions: []"), "E_PERMISSION"),
    ] {
        let told = refusal(&yaml);
        assert!(
            told.contains("snapd accepts snap.yaml") && told.contains(code),
            "{yaml}: {told}"
        );
    }
}

#[test]
fn files_that_are_no_snap() {
    assert!(refusal("name: a\n").contains("has no slot and no plug"));
    assert!(refusal("a: [").contains("cannot be read as YAML: line"));
    assert!(refusal("- a\n").contains("has no slot and no plug"));
}
