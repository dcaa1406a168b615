//! Programs of two platforms in one session share an object by its name.

use shmfs::types::Names;
use shmfs::view::platform;

use crate::world::{PLATFORMS, expect};

/// A shell's function: `as KEY COMMAND…` runs a command under another platform than the session's.
fn second_platform(keys: &[&str]) -> String {
    let views = keys.iter().map(|key| {
        let memory = platform::shared_memory(key).expect("a platform");
        let semaphores = platform::semaphores(memory).and_then(platform::view_of);
        let view = semaphores.map_or(*key, |view| view.key());
        format!("{key}) sem={view};;")
    });
    format!(
        "views=/dev/shm/.shmfs/views
        as() {{
            key=$1; shift
            case $key in {} esac
            SHMFS_AS=$key SHMFS_VIEW=$views/$key SHMFS_VIEW_SEM=$views/$sem \"$@\"
        }}\n",
        views.collect::<Vec<_>>().join(" ")
    )
}

/// `-o` with all views of these platforms.
fn options(keys: &[&str]) -> String {
    let mut views: Vec<&str> = keys.to_vec();
    for key in keys {
        let memory = platform::shared_memory(key).expect("a platform");
        let semaphores = platform::semaphores(memory).and_then(platform::view_of);
        views.extend(semaphores.map(|view| view.key()));
    }
    views.sort_unstable();
    views.dedup();
    let options: Vec<String> = views.iter().map(|view| format!("view={view}")).collect();
    options.join(",")
}

fn every_pair(keys: &[&str], body: &str) -> String {
    let keys_in_shell = keys.join(" ");
    format!(
        "{}for one in {keys_in_shell}; do for other in {keys_in_shell}; do
        {body}
        done; done; ls -A /dev/shm",
        second_platform(keys)
    )
}

/// Made by each, found by each, unlinked by each.
///
/// OpenBSD and Zephyr both keep nothing of a name but a digest: they need somebody who says it.
#[test]
fn every_two_platforms_share_memory() {
    let keys = &**PLATFORMS;
    let body = "
        said=$(as $one writer /both +cx 600 $one) || echo $one: $said
        case $one,$other in
            openbsd,zephyr|zephyr,openbsd)
                said=$(as $other reader /both r)
                [ \"$said\" = \"shm_open ENOENT\" ] || echo $one, $other: $said
                test -e /dev/shm/both || echo $one: no object
        esac
        said=$(as $other reader /both r)
        [ \"$said\" = \"ok $one\" ] || echo $one, $other: $said
        said=$(as $other unlinker shm /both) || echo $one, $other: $said
        said=$(as $one reader /both r)
        [ \"$said\" = \"shm_open ENOENT\" ] || echo $one, $other: $said";
    let arguments = ["--as", "xnu", "-o", &options(keys)];
    expect(&arguments, &every_pair(keys, body), "");
}

/// Where both agree on the file's size, or `--lenient` does; musl's are shared memory.
#[test]
fn every_two_platforms_share_semaphores() {
    let mut keys = PLATFORMS.clone();
    keys.retain(|key| {
        let memory = platform::shared_memory(key).expect("a platform");
        *key != "musl" && platform::semaphores(memory).is_some()
    });
    let body = "
        said=$(as $one semaphore /both cx 600 3)
        [ \"$said\" = \"ok value 3\" ] || echo $one: $said
        said=$(as $other semaphore /both r 0 0 post)
        [ \"$said\" = \"ok value 4\" ] || echo $one, $other: $said
        said=$(as $one semaphore /both r 0 0 wait)
        [ \"$said\" = \"ok value 3\" ] || echo $one, $other: $said
        said=$(as $other unlinker sem /both) || echo $one, $other: $said";
    let arguments = ["--as", "xnu", "--lenient", "-o", &options(&keys)];
    expect(&arguments, &every_pair(&keys, body), "");
}

/// As docs/personalities.md has it: the session's platform, another, and the host's functions.
#[test]
fn a_session_with_another_platform_and_the_host() {
    let script = "writer /foo +cx 600 hi >/dev/null
        SHMFS_AS=openbsd SHMFS_VIEW=/dev/shm/.shmfs/views/openbsd reader /foo r
        SHMFS_AS= reader /foo r
        ls /dev/shm";
    let arguments = ["--as", "xnu", "-o", "view=openbsd"];
    expect(&arguments, script, "ok hi\nok hi\nfoo\n");
}
