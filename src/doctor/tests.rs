//! Reports on hosts that are described, not probed.

use super::*;

const REFUSED: i32 = libc::EPERM;

fn refused(step: Step, errno: i32) -> Attempt {
    Err(Refusal { step, errno })
}

/// Root on a current Debian.
fn root() -> Host {
    Host {
        uid: 0,
        release: "6.18.44-amd64".into(),
        device: Device {
            open: Ok(()),
            mode: Some((0o666, 0, 0)),
        },
        knows_fuse: true,
        may_mount: Ok(()),
        mount_privileged: Ok(()),
        mount_as_user: Ok(()),
        limits_of_namespaces: NamespaceLimits::default(),
        fusermount: Some(Fusermount {
            path: "/usr/bin/fusermount3".into(),
            setuid_root: true,
        }),
        user_allow_other: false,
        no_new_privileges: false,
        initial_user_namespace: true,
        system_administrator: true,
        passthrough_built: None,
        detached_tmpfs: Ok(()),
        preload_library: Some("/usr/lib/shmfs/libshmfs_preload.so".into()),
        glibc: Some((2, 36)),
        shm: Shm::Directory {
            kind: "tmpfs".into(),
            size: 8 << 30,
            free: 8 << 30,
            mode: 0o1777,
        },
        nofile: Some(1 << 20),
        file_max: Some(1 << 40),
        total_ram: 16 << 30,
        memory_limit: None,
    }
}

/// An ordinary user on the same host.
fn user() -> Host {
    Host {
        uid: 1000,
        may_mount: Err(REFUSED),
        mount_privileged: refused(Step::Namespace, REFUSED),
        system_administrator: false,
        ..root()
    }
}

fn line(host: &Host, what: &str) -> Line {
    let report = Report::of(host);
    let found = report.lines.iter().find(|line| line.what == what);
    found
        .unwrap_or_else(|| panic!("{what} in {report:?}"))
        .clone()
}

fn remedy(host: &Host, what: &str) -> String {
    line(host, what).remedy.unwrap_or_default()
}

/// The verdict's state is FAIL exactly where `run` does not work, and then another line says why.
fn check(host: &Host, way: Option<Way>) {
    let report = Report::of(host);
    assert_eq!(report.way, way, "{report:#?}");
    let failures = report
        .lines
        .iter()
        .filter(|line| line.state == State::Fail)
        .count();
    if way.is_some() {
        assert_eq!(failures, 0, "{report:#?}");
    } else {
        assert!(failures >= 2, "no line says why: {report:#?}");
    }
    for line in &report.lines {
        assert!(
            line.state == State::Ok || line.remedy.is_some(),
            "no remedy: {line}"
        );
    }
}

#[test]
fn root_has_all() {
    check(&root(), Some(Way::Privileged));
    let report = Report::of(&root());
    assert_eq!(report.data, DataMode::Passthrough);
    assert!(
        report.lines.iter().all(|line| line.state == State::Ok),
        "{report:#?}"
    );
    assert_eq!(
        report.lines.last().unwrap().to_string(),
        "ok    shmfs run: works in a mount namespace, with data by passthrough"
    );
}

#[test]
fn a_user_has_the_page_cache() {
    check(&user(), Some(Way::UserNamespace));
    assert_eq!(Report::of(&user()).data, DataMode::PageCache);
    assert_eq!(line(&user(), "passthrough").state, State::Warn);
    assert!(
        line(&user(), "passthrough")
            .reason
            .contains("CAP_SYS_ADMIN")
    );
}

#[test]
fn root_without_the_device() {
    let host = Host {
        device: Device {
            open: Err(libc::ENOENT),
            mode: None,
        },
        knows_fuse: false,
        mount_privileged: refused(Step::Device, libc::ENOENT),
        mount_as_user: refused(Step::Device, libc::ENOENT),
        ..root()
    };
    check(&host, None);
    assert!(remedy(&host, "/dev/fuse").contains("modprobe fuse"));
    assert!(remedy(&host, "kernel").contains("modprobe fuse"));
}

#[test]
fn a_user_without_permission_on_the_device() {
    let host = Host {
        device: Device {
            open: Err(libc::EACCES),
            mode: Some((0o600, 0, 0)),
        },
        mount_as_user: refused(Step::Device, libc::EACCES),
        ..user()
    };
    check(&host, None);
    let found = line(&host, "/dev/fuse");
    assert_eq!(found.state, State::Fail);
    assert_eq!(
        found.reason,
        "cannot be opened by user 1000: its mode is 0600, its owner 0:0"
    );
    assert!(found.remedy.unwrap().contains("chmod 666 /dev/fuse"));
}

#[test]
fn fusermount_is_needed_where_users_may_not_mount_fuse() {
    let host = Host {
        mount_as_user: refused(Step::Type, libc::EPERM),
        ..user()
    };
    check(&host, Some(Way::Fusermount));
    assert_eq!(line(&host, "FUSE mount").state, State::Warn);

    let without = Host {
        fusermount: None,
        ..host.clone()
    };
    check(&without, None);
    assert!(remedy(&without, "fusermount3").contains("fuse3"));

    let plain = Some(Fusermount {
        path: "/opt/fusermount3".into(),
        setuid_root: false,
    });
    let plain = Host {
        fusermount: plain,
        ..host.clone()
    };
    check(&plain, None);
    assert!(remedy(&plain, "fusermount3").contains("chmod 4755 /opt/fusermount3"));

    let confined = Host {
        no_new_privileges: true,
        ..host
    };
    check(&confined, None);
    assert!(
        line(&confined, "fusermount3")
            .reason
            .contains("no_new_privs")
    );
}

#[test]
fn a_user_without_user_namespaces() {
    let host = Host {
        mount_as_user: refused(Step::Namespace, libc::ENOSPC),
        detached_tmpfs: refused(Step::Namespace, libc::ENOSPC),
        ..user()
    };
    check(&host, None);
    let with = |limits| {
        remedy(
            &Host {
                limits_of_namespaces: limits,
                ..host.clone()
            },
            "user namespaces",
        )
    };
    let zero = || Some("0".to_owned());
    let none = NamespaceLimits::default;
    assert!(
        with(NamespaceLimits {
            max_user_namespaces: zero(),
            ..none()
        })
        .contains("sysctl user.max_user_namespaces=15000")
    );
    assert!(
        with(NamespaceLimits {
            unprivileged_userns_clone: zero(),
            ..none()
        })
        .contains("sysctl kernel.unprivileged_userns_clone=1")
    );
    assert!(
        with(NamespaceLimits {
            apparmor_restrict: Some("1".into()),
            ..none()
        })
        .contains("sysctl kernel.apparmor_restrict_unprivileged_userns=0")
    );
    assert!(with(none()).contains("seccomp"));
    assert!(remedy(&host, "shmfs run").contains("shmfs mount works"));
    assert_eq!(line(&host, "detached tmpfs").state, State::Warn);
    assert_eq!(line(&host, "file descriptors").state, State::Warn);
}

#[test]
fn root_needs_no_user_namespace() {
    let host = Host {
        mount_as_user: refused(Step::Namespace, libc::ENOSPC),
        ..root()
    };
    check(&host, Some(Way::Privileged));
    assert_eq!(line(&host, "user namespaces").state, State::Warn);
}

#[test]
fn a_mount_that_cannot_be_attached_fails_run() {
    let host = Host {
        mount_privileged: refused(Step::Attach, libc::EACCES),
        ..root()
    };
    check(&host, None);
    assert!(remedy(&host, "FUSE mount").contains("apparmor=unconfined"));
    let host = Host {
        mount_as_user: refused(Step::Make, libc::EPERM),
        ..user()
    };
    check(&host, None);
    let host = Host {
        mount_as_user: refused(Step::Type, libc::EPERM),
        ..user()
    };
    check(&host, Some(Way::Fusermount));
    let host = Host {
        may_mount: Err(libc::ENOSYS),
        release: "4.19.0".into(),
        ..user()
    };
    check(&host, None);
}

#[test]
fn passthrough_names_what_it_lacks() {
    let old = Host {
        release: "6.8.12".into(),
        ..root()
    };
    let unbuilt = Host {
        passthrough_built: Some(false),
        ..root()
    };
    let contained = Host {
        initial_user_namespace: false,
        ..root()
    };
    for (host, why) in [
        (old, "6.9"),
        (unbuilt, "CONFIG_FUSE_PASSTHROUGH"),
        (contained, "initial"),
    ] {
        check(&host, Some(Way::Privileged));
        assert_eq!(Report::of(&host).data, DataMode::PageCache);
        assert!(line(&host, "passthrough").reason.contains(why), "{why}");
    }
}

#[test]
fn an_old_c_library_is_named() {
    let host = Host {
        glibc: Some((2, 31)),
        ..root()
    };
    check(&host, Some(Way::Privileged));
    assert_eq!(line(&host, "C library").state, State::Warn);
    assert_eq!(line(&root(), "C library").state, State::Ok);
}

#[test]
fn limits_are_compared() {
    let host = Host {
        memory_limit: Some(512 << 20),
        nofile: Some(1024),
        ..root()
    };
    check(&host, Some(Way::Privileged));
    assert!(remedy(&host, "memory").ends_with("-o size=256m"));
    assert_eq!(line(&host, "file descriptors").state, State::Warn);
    let host = Host {
        shm: Shm::Absent,
        ..root()
    };
    check(&host, Some(Way::Privileged));
    assert_eq!(line(&host, "/dev/shm").state, State::Warn);
}

#[test]
fn json_holds_all_lines() {
    let report = Report::of(&user());
    let text = json::object(&report);
    assert!(text.starts_with("{\"run\":true,\"way\":\"user-namespace\",\"data\":\"page-cache\","));
    assert_eq!(text.matches("\"state\":").count(), report.lines.len());
}

#[test]
fn what_personalities_reach_is_said() {
    let what = "shmfs run --as";
    let found = line(&root(), what);
    assert_eq!(found.state, State::Ok);
    assert!(found.reason.contains("/usr/lib/shmfs/libshmfs_preload.so"));
    assert!(found.reason.contains("static"));
    let without = Host {
        preload_library: None,
        ..root()
    };
    assert_eq!(line(&without, what).state, State::Warn);
    assert!(remedy(&without, what).contains("shmfs-preload"));
    // The rest of shmfs works.
    check(&without, Some(Way::Privileged));
}
