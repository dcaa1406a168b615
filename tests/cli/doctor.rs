//! `shmfs doctor` on this host, and on what this host can be made to look like.

use crate::common::{Answer, SHMFS, is_root, run, shmfs};

/// The report's last line tells the same as its status.
fn check(answer: &Answer) {
    let lines: Vec<&str> = answer.out.lines().collect();
    let verdict = lines
        .last()
        .unwrap_or_else(|| panic!("no report: {answer:?}"));
    let failures = lines
        .iter()
        .filter(|line| line.starts_with("FAIL  "))
        .count();
    if answer.status == 0 {
        assert!(verdict.starts_with("ok    shmfs run: works "), "{verdict}");
        assert_eq!(failures, 0, "{}", answer.out);
    } else {
        assert_eq!(answer.status, 2, "{answer:?}");
        assert!(verdict.starts_with("FAIL  shmfs run: "), "{verdict}");
        assert!(failures >= 2, "no line says why: {}", answer.out);
    }
    for line in lines {
        let state = line.split("  ").next().unwrap();
        assert!(["ok", "warn", "FAIL"].contains(&state), "{line}");
        assert!(state == "ok" || line.contains(" — "), "no remedy: {line}");
    }
}

#[test]
fn reports_on_this_host() {
    let answer = shmfs(&["doctor"]);
    check(&answer);
    for what in [
        "kernel",
        "/dev/fuse",
        "user namespaces",
        "fusermount3",
        "passthrough",
        "memory",
    ] {
        assert!(
            answer.out.contains(&format!("  {what}: ")),
            "{what}: {}",
            answer.out
        );
    }
}

#[test]
fn json_says_the_same() {
    let (text, json) = (shmfs(&["doctor"]), shmfs(&["doctor", "--json"]));
    assert_eq!(text.status, json.status);
    let start = format!("{{\"run\":{},", text.status == 0);
    assert!(json.out.starts_with(&start), "{}", json.out);
    assert_eq!(
        json.out.matches("\"state\":").count(),
        text.out.lines().count()
    );
    assert_eq!(json.out.lines().count(), 1);
}

#[test]
fn agrees_with_run() {
    let doctor = shmfs(&["doctor"]);
    let run = shmfs(&["run", "--", "true"]);
    assert_eq!(
        doctor.status == 0,
        run.status == 0,
        "{}{}",
        doctor.out,
        run.err
    );
}

/// Runs `script` as root with `$1` the program, in a mount namespace of its own.
fn as_root(script: &str) -> Answer {
    run(
        "unshare",
        &[
            "-m",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            script,
            "sh",
            SHMFS,
        ],
    )
}

#[test]
fn a_device_that_is_none_fails_it() {
    if !is_root() {
        return as_user_without_device();
    }
    let hide = "mount -t tmpfs none /mnt && : >/mnt/fuse && mount --bind /mnt/fuse /dev/fuse && ";
    let doctor = as_root(&format!("{hide} exec \"$1\" doctor"));
    check(&doctor);
    assert_eq!(doctor.status, 2, "{}", doctor.out);
    assert!(doctor.out.contains("FAIL  FUSE mount: "), "{}", doctor.out);
    let device = "FAIL  /dev/fuse: is no device — as root: rm /dev/fuse && mknod";
    assert!(doctor.out.contains(device), "{}", doctor.out);
    let run = as_root(&format!("{hide} exec \"$1\" run -- true"));
    assert_eq!(run.status, 125, "{}", run.err);
}

fn as_user_without_device() {
    let script = "mount -t tmpfs none /mnt && : >/mnt/fuse && mount --bind /mnt/fuse /dev/fuse && exec \"$1\" doctor";
    let answer = run("unshare", &["-rm", "--", "sh", "-c", script, "sh", SHMFS]);
    check(&answer);
    assert_eq!(answer.status, 2, "{}", answer.out);
}

/// A user other than root, who may execute a copy of the program.
fn as_user(prepare: &str, words: &str) -> Answer {
    assert!(
        is_root(),
        "this test becomes another user and needs root; tests/run leaves it out for others"
    );
    let dir = tempfile::tempdir().unwrap();
    let program = dir.path().join("shmfs");
    std::fs::copy(SHMFS, &program).unwrap();
    let path = dir.path().to_str().unwrap();
    let script = format!(
        "chmod 755 {path} && {prepare} cd / && exec setpriv --reuid 65534 --regid 65534 --clear-groups {path}/shmfs {words}"
    );
    run(
        "unshare",
        &["-m", "--propagation", "private", "--", "sh", "-c", &script],
    )
}

/// A copy of the device with other permissions, in place of the real one.
fn device(mode: &str) -> String {
    format!(
        "mount -t tmpfs none /mnt && cp -a /dev/fuse /mnt/fuse && chmod {mode} /mnt/fuse && mount --bind /mnt/fuse /dev/fuse && "
    )
}

#[test]
fn the_device_of_others_fails_it_for_a_user() {
    let answer = as_user(&device("600"), "doctor");
    check(&answer);
    assert_eq!(answer.status, 2, "{}", answer.out);
    assert!(answer.out.contains("chmod 666 /dev/fuse"), "{}", answer.out);
    assert_eq!(as_user(&device("600"), "run -- true").status, 125);
}

#[test]
fn a_user_who_may_open_it_can_run() {
    let answer = as_user(&device("666"), "doctor");
    check(&answer);
    assert!(answer.out.contains("warn  passthrough: "), "{}", answer.out);
    let run = as_user(&device("666"), "run -- true");
    assert_eq!(
        answer.status == 0,
        run.status == 0,
        "{}{}",
        answer.out,
        run.err
    );
}

#[test]
fn the_sysctl_that_forbids_user_namespaces_is_named() {
    // The setting belongs to the user namespace, so only this one is limited.
    let script = "echo 0 >/proc/sys/user/max_user_namespaces && exec \"$1\" doctor";
    let answer = run("unshare", &["-r", "--", "sh", "-c", script, "sh", SHMFS]);
    check(&answer);
    assert_eq!(answer.status, 2, "{}", answer.out);
    let remedy = "sysctl user.max_user_namespaces=15000";
    assert!(answer.out.contains(remedy), "{}", answer.out);
}
