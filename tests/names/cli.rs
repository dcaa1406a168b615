//! `shmfs name` as a child process.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use shmfs::view::SCHEMES;

fn shmfs(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
    command.arg("name").args(arguments);
    command
}

fn run(arguments: &[&str]) -> Output {
    shmfs(arguments).output().expect("shmfs runs")
}

fn text(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn errors(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("UTF-8")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", errors(output)))
}

/// Runs with this on standard input.
fn feed(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = shmfs(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("shmfs runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().expect("shmfs ends");
    writer.join().expect("the writer ends");
    output
}

/// Each vector, through the streaming mode.
fn stream_matches_the_vectors(op: &str) {
    let vectors: Value =
        serde_json::from_str(include_str!("../data/platform-vectors.json")).expect("JSON");
    let names: Vec<&str> = vectors["names"]
        .as_array()
        .expect("names")
        .iter()
        .map(|name| name.as_str().expect("text"))
        .collect();
    let output = feed(
        &["translate", "--scheme", "all", "--op", op, "--base64"],
        (names.join("\n") + "\n").as_bytes(),
    );
    assert!(output.status.success(), "{}", errors(&output));
    let mut lines = HashMap::new();
    for line in text(&output).lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(line["op"], op);
        let key = (
            line["scheme"].as_str().expect("text").to_owned(),
            line["name"].as_str().expect("text").to_owned(),
        );
        assert!(lines.insert(key, line).is_none());
    }
    assert_eq!(lines.len(), 127 * 53);
    for (scheme, rows) in vectors["platforms"].as_object().expect("platforms") {
        let rows = rows.as_array().expect("rows");
        for (index, name) in names.iter().enumerate() {
            let of = |op: &str| rows.iter().find(|row| row[0] == index && row[1] == op);
            let row = of(op).or_else(|| of("open")).expect("a row");
            let line = &lines[&(scheme.clone(), (*name).to_owned())];
            assert_eq!(
                (&line["kind"], &line["value"]),
                (&row[2], &row[3]),
                "{scheme} {index}"
            );
            assert_eq!(line.get("effective"), row.get(4), "{scheme} {index}");
        }
    }
}

#[test]
fn stream_of_open() {
    stream_matches_the_vectors("open");
}

#[test]
fn stream_of_unlink() {
    stream_matches_the_vectors("unlink");
}

#[test]
fn stream_has_the_fields_in_the_order_that_was_promised() {
    let output = feed(
        &["translate", "--scheme", "netbsd", "--base64"],
        b"L2Zvbw==\n",
    );
    let expected = "{\"scheme\":\"netbsd\",\"op\":\"open\",\"name\":\"L2Zvbw==\",\"kind\":\"path\",\"value\":\"L3Zhci9zaG0vLnNobW9ial9mb28=\"}\n";
    assert_eq!(text(&output), expected);
    let output = feed(
        &["translate", "--scheme", "zephyr", "--base64"],
        b"L2Zvbw==\n",
    );
    assert!(text(&output).ends_with("\"kind\":\"kernel\",\"value\":2085471436}\n"));
}

#[test]
fn stream_takes_an_empty_line_for_the_empty_name() {
    let output = feed(&["translate", "--scheme", "glibc", "--base64"], b"\nL2E=");
    let names: Vec<Value> = text(&output)
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["name"].clone())
        .collect();
    assert_eq!(names, ["", "L2E="]);
}

#[test]
fn stream_names_the_line_that_is_wrong_and_answers_those_before() {
    let output = feed(
        &["translate", "--scheme", "glibc", "--base64"],
        b"L2E=\n!\n",
    );
    assert_eq!(output.status.code(), Some(1));
    assert!(errors(&output).contains("line 2"), "{}", errors(&output));
    assert_eq!(text(&output).lines().count(), 1);
    let nul = feed(&["translate", "--base64"], b"L2EAYg==\n");
    assert_eq!(nul.status.code(), Some(1));
    assert!(errors(&nul).contains("NUL"));
}

#[test]
fn stream_of_ten_thousand_names() {
    let names: String = (0..10_000)
        .map(|number| BASE64_STANDARD.encode(format!("/name/{number}")) + "\n")
        .collect();
    let output = feed(&["translate", "--base64"], names.as_bytes());
    assert!(output.status.success());
    assert_eq!(
        output.stdout.iter().filter(|&&byte| byte == b'\n').count(),
        10_000 * SCHEMES.len()
    );
}

#[test]
fn a_closed_pipe_is_no_error() {
    let mut child = shmfs(&["translate", "--base64"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("shmfs runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || drop(stdin.write_all(&b"L2Zvbw==\n".repeat(20_000))));
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 100]).expect("some output");
    drop(stdout);
    let output = child.wait_with_output().expect("shmfs ends");
    writer.join().expect("the writer ends");
    assert_eq!(
        (output.status.code(), errors(&output).as_str()),
        (Some(0), "")
    );
}

#[test]
fn translate_is_aligned() {
    let output = run(&[
        "translate",
        "--scheme",
        "glibc,netbsd-sem",
        "--scheme",
        "freebsd",
        "/foo",
        "/a/b",
    ]);
    let expected = "\
/foo
  glibc       path  /dev/shm/foo
  netbsd-sem  key   /foo
  freebsd     key   /foo

/a/b
  glibc       error  EINVAL
  netbsd-sem  error  EINVAL
  freebsd     key    /a/b
";
    assert_eq!(text(&output), expected);
}

#[test]
fn translate_says_what_the_file_system_adds() {
    let output = text(&run(&["translate", "--scheme", "uclibc", "/..", "/../x"]));
    assert!(
        output.contains("/dev/shm/..  (to open it fails: EINVAL)"),
        "{output}"
    );
    assert!(
        output.contains("/dev/shm/../x  (outside the directory)"),
        "{output}"
    );
}

#[test]
fn translate_takes_any_bytes() {
    let output = shmfs(&["translate", "--scheme", "glibc"])
        .arg(OsStr::from_bytes(b"/\xff\n"))
        .output()
        .expect("shmfs runs");
    assert!(
        text(&output).contains("/dev/shm/\\xff\\x0a"),
        "{}",
        text(&output)
    );
    let output = shmfs(&["translate", "--json", "--scheme", "glibc"])
        .arg(OsStr::from_bytes(b"/\xff"))
        .output()
        .expect("shmfs runs");
    let answers = json(&output);
    assert_eq!(answers[0]["name"]["text"], Value::Null);
    assert_eq!(
        answers[0]["value"]["base64"],
        BASE64_STANDARD.encode(b"/dev/shm/\xff")
    );
}

#[test]
fn translate_wants_a_name_and_a_scheme_that_exists() {
    assert!(!run(&["translate"]).status.success());
    let output = run(&["translate", "--scheme", "glib", "/foo"]);
    assert!(
        errors(&output).contains("glibc-2.38"),
        "{}",
        errors(&output)
    );
    assert!(errors(&run(&["translate", "--scheme", "vms", "/foo"])).contains("shmfs name list"));
}

#[test]
fn check_passes_a_portable_name() {
    let output = run(&["check", "/foo"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text(&output).starts_with("/foo: shared memory, works on all 17 platforms\n"),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("It is a portable name."));
}

#[test]
fn check_fails_if_a_current_platform_refuses() {
    let output = run(&["check", "/foo/bar"]);
    assert_eq!(output.status.code(), Some(1));
    let report = text(&output);
    for line in [
        "glibc       refused  EINVAL",
        "cygwin      refused  EACCES",
        "Nearest portable name: /foo_bar",
    ] {
        assert!(report.contains(line), "{report}");
    }
    let past = run(&["check", "/sem.x", "--require", "glibc-2.18"]);
    assert_eq!(past.status.code(), Some(0), "only past platforms are asked");
}

#[test]
fn check_asks_only_what_is_required() {
    assert_eq!(
        run(&["check", "--require", "xnu,openbsd", "/foo/bar"])
            .status
            .code(),
        Some(0)
    );
    assert_eq!(
        run(&["check", "--require", "xnu,netbsd", "/foo/bar"])
            .status
            .code(),
        Some(1)
    );
    let output = run(&[
        "check",
        "--json",
        "--require",
        "glibc",
        "--kind",
        "sem",
        "/x",
    ]);
    let report = json(&output);
    let schemes: Vec<&Value> = report["names"][0]["platforms"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| &row["scheme"])
        .collect();
    assert_eq!(schemes, ["glibc-sem"]);
    assert!(errors(&run(&["check", "--require", "vms", "/x"])).contains("no such scheme"));
}

#[test]
fn check_tells_every_verdict_in_json() {
    let verdict = |name: &str, scheme: &str| {
        let report = json(&run(&["check", "--json", name]));
        let rows = report["names"][0]["platforms"]
            .as_array()
            .expect("rows")
            .clone();
        rows.into_iter()
            .find(|row| row["scheme"] == scheme)
            .unwrap_or_else(|| panic!("no {scheme}"))
    };
    assert_eq!(verdict("/foo", "glibc")["verdict"], "works");
    assert_eq!(verdict("foo", "openbsd")["verdict"], "another object");
    assert_eq!(verdict("foo", "freebsd")["errno"], "EINVAL");
    assert_eq!(verdict("/sem.foo", "glibc")["verdict"], "collides");
    assert_eq!(verdict("/sem.foo", "glibc")["semaphore"]["text"], "/foo");
    assert_eq!(verdict("/../../etc/x", "uclibc")["verdict"], "escapes");
    let report = json(&run(&["check", "--json", "/sem.foo"]));
    assert_eq!(report["ok"], true);
    assert_eq!(report["names"][0]["misses"][0]["rule"], "not-semaphore");
    assert_eq!(report["names"][0]["nearest"]["text"], "/sem_foo");
}

#[test]
fn check_reads_sources() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, source: &str| {
        let path = directory.path().join(name);
        fs::write(&path, source).expect("a file");
        path.to_str().expect("UTF-8").to_owned()
    };
    let c = file(
        "a.c",
        "int fd = shm_open(\"/good\", O_RDWR, 0);\nshm_unlink(\"/good\");\nshm_open(argv[1], 0, 0);\n",
    );
    let python = file("b.py", "SharedMemory(name=\"a/b\")\n");
    let other = file("notes.txt", "shm_open(\"a//b\")\n");
    let output = run(&["check", "--from", &c, &other]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(
        text(&output).contains(&format!("{c}:1: shm_open\n{c}:2: shm_unlink\n/good: ")),
        "{}",
        text(&output)
    );
    assert!(
        text(&output).contains(&format!("{c}:3: shm_open: not checked")),
        "{}",
        text(&output)
    );
    let output = run(&["check", "--json", "--from", &c, &python]);
    assert_eq!(output.status.code(), Some(1));
    let report = json(&output);
    assert_eq!(report["names"][1]["name"]["text"], "/a/b");
    assert_eq!(report["unresolved"].as_array().map(Vec::len), Some(1));
    assert_eq!(
        run(&["check", "--from", &c, "/not-a-file"]).status.code(),
        Some(2)
    );
    let missing = run(&["check", "--from", "/nonexistent/x.c"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(errors(&missing).contains("cannot read /nonexistent/x.c"));
}

#[test]
fn reverse_tells_the_name() {
    let output = run(&[
        "reverse",
        "--scheme",
        "netbsd",
        "/var/shm/.shmobj_foo",
        ".shmobj_bar",
    ]);
    assert_eq!(
        text(&output),
        "/var/shm/.shmobj_foo  /foo\n.shmobj_bar           /bar\n"
    );
    let output = run(&["reverse", "--scheme", "haiku", "/var/shared_memory/a%sb"]);
    assert_eq!(text(&output), "/var/shared_memory/a%sb  /a/b\n");
    let output = run(&["reverse", "--scheme", "freebsd", "foo", "%2Fa%2Fb", "/a/b"]);
    assert_eq!(
        text(&output),
        "foo       /foo\n%2Fa%2Fb  //a/b\n/a/b      /a/b\n"
    );
    let none = run(&["reverse", "--scheme", "netbsd", "/var/shm/foo"]);
    assert_eq!(none.status.code(), Some(1));
}

#[test]
fn reverse_tries_candidates() {
    let directory = tempfile::tempdir().expect("a directory");
    let names = directory.path().join("names");
    fs::write(&names, "/bar\n/foo\nfoo\n").expect("a file");
    fs::write(directory.path().join("seg"), "").expect("a file");
    let foo = "6f64c6e6261f492ac220b0a4cd9a14c6373181b92a4a8040c1fcde5db31ffc94.shm";
    let output = run(&[
        "reverse",
        "--scheme",
        "openbsd",
        "--names",
        names.to_str().expect("UTF-8"),
        foo,
    ]);
    assert_eq!(text(&output), format!("{foo}  /foo\n"));
    let hash = text(&run(&["translate", "--scheme", "zephyr", "/seg"]));
    let hash = hash.trim().rsplit_once("0x").expect("a number").1;
    let output = run(&[
        "reverse",
        "--json",
        "--scheme",
        "zephyr",
        "--mount",
        directory.path().to_str().expect("UTF-8"),
        hash,
    ]);
    assert_eq!(json(&output)[0]["names"][0]["text"], "/seg");
    let unknown = run(&["reverse", "--scheme", "openbsd", foo]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(text(&unknown).contains("--names"));
}

#[test]
fn list_shows_every_scheme() {
    let output = text(&run(&["list"]));
    assert_eq!(output.lines().count(), SCHEMES.len() + 1);
    let rows = json(&run(&["list", "--json"]));
    let rows = rows.as_array().expect("rows");
    assert_eq!(rows.len(), SCHEMES.len());
    for (row, scheme) in rows.iter().zip(SCHEMES) {
        assert_eq!(row["key"], scheme.key);
        assert!(output.contains(scheme.source));
    }
}

#[test]
fn directories_are_needed_for_slashes_in_names_alone() {
    let long = "/".to_owned() + &"x".repeat(252);
    let answer = json(&run(&["check", "--json", "/a/b", &long]));
    let needing = |name: usize| -> Vec<&str> {
        let rows = answer["names"][name]["platforms"].as_array().expect("rows");
        let rows = rows.iter().filter(|row| row["needs_directory"] == true);
        rows.filter_map(|row| row["scheme"].as_str()).collect()
    };
    assert_eq!(needing(0), ["uclibc", "dragonfly", "nuttx", "redox"]);
    // illumos makes the directories of a long name itself, on SPARC too.
    assert_eq!(needing(1), [""; 0]);
}

/// 1 is an answer: what cannot be asked is 2.
#[test]
fn a_wrong_command_line_is_no_answer() {
    for wrong in [
        &["check"][..],
        &["check", "--require", "nope", "/x"],
        &["translate", "--scheme", "nope", "/x"],
        &["reverse", "/x"],
        &["check", "--from", "/nowhere.c"],
    ] {
        assert_eq!(run(wrong).status.code(), Some(2), "{wrong:?}");
    }
}
