//! `shmfs export check` and `explain`.

use std::fs;
use std::process::Command;

use serde_json::Value;

/// Exit status, standard output and error of `shmfs export` in a directory with this configuration.
fn shmfs(configuration: &str, words: &[&str]) -> (i32, String, String) {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("exports.toml"), configuration).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
    let command = command.arg("export").args(words).current_dir(dir.path());
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (
        output.status.code().unwrap(),
        text(output.stdout),
        text(output.stderr),
    )
}

const CAMERA: &str = "[export.camera]\nread = ['frames_*', 'tree/x']\nhide = ['frames_raw*']\nunmatched = 'private'\n";

#[test]
fn check_says_what_is_there() {
    let (status, out, err) = shmfs(CAMERA, &["check", "exports.toml"]);
    assert_eq!(
        (status, out.as_str(), err.as_str()),
        (0, "exports.toml: 1 export, 0 errors, 0 warnings\n", "")
    );
    let (status, _, err) = shmfs("[export.a]\nread = ['*']\n", &["check", "exports.toml"]);
    assert_eq!(status, 0, "a warning is no error");
    assert!(
        err.starts_with("exports.toml:2:9: warning: W_EVERYTHING: export \"a\": read: "),
        "{err}"
    );
}

#[test]
fn check_tells_all_problems_and_its_status_says_so() {
    let (status, out, err) = shmfs(
        "[export.a]\nread = ['/x', 'a**']\n[export.b]\n",
        &["check", "exports.toml"],
    );
    assert_eq!((status, out.as_str()), (1, ""));
    for word in [
        "exports.toml:2:10: E_ABSOLUTE",
        "exports.toml:2:17: E_DOUBLESTAR",
        "exports.toml:3:9: E_EMPTY",
        "3 errors",
    ] {
        assert!(err.contains(word), "{word}: {err}");
    }
    let (status, _, err) = shmfs("", &["check", "missing.toml"]);
    assert_eq!(status, 2, "{err}");
    let (status, _, err) = shmfs(
        "[export.a]\nprivate = true\nview = 'zork'\n",
        &["check", "exports.toml"],
    );
    assert_eq!(status, 1);
    assert!(
        err.contains("E_TYPE: export \"a\": view: there is no scheme \"zork\""),
        "{err}"
    );
}

#[test]
fn check_prints_json() {
    let (status, out, _) = shmfs(
        "[export.a]\nread = ['/x']\n",
        &["check", "--json", "exports.toml"],
    );
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(status, 1);
    assert_eq!(value["errors"][0]["code"], "E_ABSOLUTE");
    assert_eq!(value["errors"][0]["line"], 2);
    let (_, out, _) = shmfs(CAMERA, &["check", "--json", "exports.toml"]);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["exports"][0], "camera");
    assert_eq!(value["errors"], Value::Array(Vec::new()));
}

fn explain(path: &str) -> String {
    let (status, out, err) = shmfs(
        CAMERA,
        &["explain", "--file", "exports.toml", "camera", path],
    );
    assert_eq!(status, 0, "{err}");
    out
}

/// A line's words, whatever is between them.
fn has_line(text: &str, words: &[&str]) -> bool {
    let mut lines = text.lines().map(|line| {
        line.split("  ")
            .map(str::trim)
            .filter(|cell| !cell.is_empty())
            .collect::<Vec<_>>()
    });
    lines.any(|cells| cells == words)
}

#[test]
fn explain_says_which_rules_match_and_what_comes_of_them() {
    let text = explain("frames_1");
    assert!(
        has_line(&text, &["line 2: read", "\"frames_*\"", "read"]),
        "{text}"
    );
    assert!(text.contains("rights: read\n"), "{text}");
    assert!(
        has_line(&text, &["open O_RDWR", "EACCES", "ENOENT"]),
        "{text}"
    );
    assert!(
        has_line(&text, &["open O_RDWR|O_CREAT|O_EXCL", "EEXIST", "EACCES"]),
        "{text}"
    );
    assert!(
        has_line(&text, &["rename it into the own layer", "EACCES", "ENOENT"]),
        "{text}"
    );
    let text = explain("frames_raw1");
    assert!(
        has_line(&text, &["line 3: hide", "\"frames_raw*\"", "hides it"]),
        "{text}"
    );
    assert!(
        text.contains("rights: in the consumer's own layer"),
        "{text}"
    );
    let text = explain("tree/");
    assert!(
        has_line(
            &text,
            &[
                "line 2: read",
                "\"tree/x\"",
                "something below it is granted"
            ]
        ),
        "{text}"
    );
    assert!(
        has_line(&text, &["opendir, readdir", "ok", "ENOENT"]),
        "{text}"
    );
    assert!(has_line(&text, &["rmdir", "EACCES", "ENOENT"]), "{text}");
}

#[test]
fn explain_prints_json() {
    let words = [
        "explain",
        "--json",
        "--file",
        "exports.toml",
        "camera",
        "frames_1",
    ];
    let (_, out, _) = shmfs(CAMERA, &words);
    let value: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["rights"][0], "read");
    assert_eq!(value["rules"][0]["pattern"], "frames_*");
    assert_eq!(value["operations"][2]["present"], "EACCES");
}

#[test]
fn explain_refuses_what_is_no_name() {
    for path in ["/frames_1", "a//b", "../x", "."] {
        let (status, _, err) = shmfs(
            CAMERA,
            &["explain", "--file", "exports.toml", "camera", path],
        );
        assert!(
            status == 1 && err.contains("is no name in an export"),
            "{path}: {err}"
        );
    }
    let (status, _, err) = shmfs(CAMERA, &["explain", "--file", "exports.toml", "zork", "x"]);
    assert!(status == 1 && err.contains("There are: camera."), "{err}");
}
