//! Who is not root, and where the library cannot be had.

use std::process::Command;

use crate::world::{library, programs};

const SCRIPT: &str = r#"
    set -e
    mount -t tmpfs tmpfs /mnt
    mknod -m 666 /mnt/fuse c 10 229
    mount --bind /mnt/fuse /dev/fuse
    cp "$1" "$2" "$3/writer" "$3/reader" "$4"
    chmod 755 "$4" "$4"/*
    mkdir -m 777 "$4/home"
    cd "$4/home"
    exec setpriv --reuid nobody --regid nogroup --clear-groups bash -c '
        export XDG_RUNTIME_DIR=$PWD
        command="../writer /foo +cx 600 hi >/dev/null && ../reader /foo r && ls /dev/shm"
        for by in - 1; do
            [ $by = - ] || export SHMFS_BY_FUSERMOUNT=1
            said=$(../shmfs run --as xnu -- sh -c "$command") || exit 1
            [ "$said" = "ok hi
foo" ] || { echo "$said"; exit 2; }
        done
    '
"#;

fn in_namespace(script: &str) {
    assert!(
        rustix::process::geteuid().is_root(),
        "this test makes namespaces and a device and needs root"
    );
    let directory = tempfile::tempdir().expect("a temporary directory");
    let programs = programs();
    let output = Command::new("unshare")
        .args(["--mount", "--propagation=private", "bash", "-c", script])
        .args(["bash", env!("CARGO_BIN_EXE_shmfs")])
        .arg(library())
        .arg(programs)
        .arg(directory.path())
        .output()
        .expect("unshare: apt-get install util-linux");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{output:?}\n{errors}");
    assert!(!errors.contains("ld.so"), "{errors}");
}

/// In a user namespace, and by fusermount3.
#[test]
fn an_ordinary_user_is_another_platform() {
    in_namespace(SCRIPT);
}

/// ld.so would only warn, and the command would run on the host's rules.
#[test]
fn a_library_that_cannot_be_loaded_is_an_error() {
    in_namespace(
        r#"
        cd "$4"
        cp "$1" .
        says() {
            said=$(./shmfs run --as xnu -- echo it runs 2>&1)
            status=$?
            case "$status $said" in "125 "*"$1"*) ;; *) echo "$status: $said" >&2; exit 1 ;; esac
        }
        says "It was looked for at $4/libshmfs_preload.so"
        says "cargo build -p shmfs-preload"
        mkdir lib
        mount -t tmpfs -o noexec tmpfs lib
        cp "$2" lib
        ln -s lib/libshmfs_preload.so .
        says "mounted noexec"
        mount -t tmpfs tmpfs /dev/shm
        cp "$2" /dev/shm
        ln -sf /dev/shm/libshmfs_preload.so .
        says "cannot preload $4/libshmfs_preload.so: No such file"
        rm libshmfs_preload.so
        mkdir "a b"
        cp "$1" "$2" "a b"
        cd "a b"
        says "divided at spaces"
        "#,
    );
}
