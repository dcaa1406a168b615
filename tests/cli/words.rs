//! The command line of `shmfs`: help, refusals, exit codes.

use crate::common::{HELPER, SHMFS, helper, run, shmfs};

#[test]
fn help_goes_to_standard_output() {
    for words in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["run", "--help"],
        &["help", "mount"],
    ] {
        let answer = shmfs(words);
        assert_eq!((answer.status, answer.err.as_str()), (0, ""), "{words:?}");
        assert!(
            answer.out.contains("Usage: shmfs"),
            "{words:?}: {}",
            answer.out
        );
    }
    let answer = helper(&["--help"]);
    assert_eq!(answer.status, 0);
    assert!(answer.out.contains("Usage: mount.shmfs"), "{}", answer.out);
}

#[test]
fn both_programs_tell_their_version() {
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(shmfs(&["--version"]).out, format!("shmfs {version}\n"));
    assert_eq!(helper(&["-V"]).out, format!("mount.shmfs {version}\n"));
}

#[test]
fn no_command_shows_the_commands() {
    let answer = shmfs(&[]);
    assert_eq!((answer.status, answer.out.as_str()), (1, ""));
    for command in ["run", "mount", "umount", "doctor"] {
        assert!(
            answer.err.contains(&format!("\n  {command} ")),
            "{}",
            answer.err
        );
    }
}

#[test]
fn long_help_lists_the_mount_options() {
    for command in ["run", "mount"] {
        let help = shmfs(&[command, "--help"]).out;
        for word in [
            "size=",
            "nr_blocks=",
            "nr_inodes=",
            "mode=",
            "passthrough=",
            "nosuid",
        ] {
            assert!(help.contains(word), "{command}: {word}");
        }
        assert!(
            !shmfs(&[command, "-h"]).out.contains("nr_inodes"),
            "{command} -h is long"
        );
    }
}

#[test]
fn a_wrong_command_line_is_status_1() {
    for words in [
        &["zork"][..],
        &["mount"],
        &["mount", "a", "b", "c"],
        &["mount", "-o"],
        &["mount", "--zork", "/tmp"],
        &["umount"],
        &["umount", "-l", "-f", "/tmp"],
        &["doctor", "x"],
        &["-q", "-v", "doctor"],
    ] {
        let answer = shmfs(words);
        assert_eq!(answer.status, 1, "{words:?}: {}", answer.err);
        assert!(
            answer.err.starts_with("shmfs: "),
            "{words:?}: {}",
            answer.err
        );
        assert!(!answer.err.contains("error: "), "{words:?}: {}", answer.err);
    }
}

#[test]
fn run_says_125_when_it_fails_itself() {
    for words in [
        &["run"][..],
        &["run", "--zork", "true"],
        &["run", "-o", "size=12q", "--", "true"],
        &["run", "-o", "remount", "true"],
    ] {
        let answer = shmfs(words);
        assert_eq!(answer.status, 125, "{words:?}: {}", answer.err);
        assert!(
            answer.err.starts_with("shmfs: "),
            "{words:?}: {}",
            answer.err
        );
    }
}

#[test]
fn wrong_options_are_named() {
    let list = "nosuid,size=12q";
    for answer in [
        shmfs(&["mount", "-o", "ro", "-o", list, "/nowhere"]),
        helper(&["src", "/nowhere", "-o", list]),
    ] {
        assert_eq!(answer.status, 1, "{answer:?}");
        assert!(
            answer.err.contains("option 'size=12q': expected bytes"),
            "{}",
            answer.err
        );
    }
    let answer = shmfs(&["mount", "-o", "siez=1m", "/nowhere"]);
    assert!(
        answer.err.contains("option 'siez=1m': unknown"),
        "{}",
        answer.err
    );
}

#[test]
fn what_is_missing_is_told_with_the_way_to_it() {
    let dir = tempfile::tempdir().unwrap();
    let empty = dir.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    let at = dir.path().to_str().unwrap();
    for (words, said) in [
        (
            &["umount", at][..],
            "is not a mount point\n  Those of shmfs are listed by: findmnt",
        ),
        (
            &["export", "list", at],
            "is not a mount point\n  Those of shmfs are listed by: findmnt",
        ),
        (
            &["export", "explain", "a", "x"],
            "<--file <FILE>|--from <DIR>>",
        ),
        (
            &["mount", "/nowhere"],
            "Make the mount point first: mkdir /nowhere",
        ),
        (
            &["mount", empty.to_str().unwrap()],
            "A mount point is a directory.",
        ),
    ] {
        let answer = shmfs(words);
        assert_ne!(answer.status, 0, "{words:?}");
        assert!(answer.err.contains(said), "{words:?}: {}", answer.err);
    }
}

#[test]
fn names_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let list = OsStr::from_bytes(b"x-\xff=\xfe,size=\xff");
    let output = std::process::Command::new(SHMFS)
        .args([
            OsStr::new("mount"),
            OsStr::new("-o"),
            list,
            OsStr::from_bytes(b"/\xff"),
        ])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("option 'size=\u{fffd}'"), "{err}");
}

#[test]
fn a_bad_log_setting_is_named() {
    for (program, words, status) in [
        (SHMFS, &["doctor"][..], 1),
        (SHMFS, &["run", "true"], 125),
        (HELPER, &["a", "/nowhere", "-f"], 1),
    ] {
        let mut command = std::process::Command::new(program);
        let output = command
            .args(words)
            .env("SHMFS_LOG", "shmfs=zork")
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(status), "{words:?}");
        let err = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(err.contains("SHMFS_LOG=shmfs=zork"), "{err}");
    }
}

#[test]
fn a_closed_pipe_is_no_panic() {
    for words in ["--help", "doctor", "mount --help"] {
        let script = format!("{{ {SHMFS} {words}; echo $? >&2; }} | true");
        let answer = run("bash", &["-c", &script]);
        assert!(!answer.err.contains("panicked"), "{}", answer.err);
    }
}
