#!/bin/sh
# Installs shmfs, its mount(8) helper, the manual pages and examples; or takes them away again.
set -eu

usage() {
    cat <<'USAGE'
Usage: mount-helper/install.sh [--prefix DIR] [--destdir DIR] [--sbindir DIR] [--from DIR] [--uninstall]

  --prefix DIR    where shmfs and its manual go        (default /usr/local)
  --destdir DIR   a directory to put before every path (default none; for packages)
  --sbindir DIR   where mount(8) looks for its helpers (default /sbin; it looks nowhere else)
  --from DIR      where the built programs are         (default target/release)
  --uninstall     remove what an installation with the same options put there

Build first: cargo build --release
USAGE
}

fail() {
    printf 'install.sh: %s\n' "$1" >&2
    exit 1
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(dirname -- "$here")
prefix=/usr/local
destdir=
sbindir=/sbin
from=${CARGO_TARGET_DIR:-$root/target}/release
uninstall=no

while [ $# -gt 0 ]; do
    option=$1
    case $option in
        --prefix | --destdir | --sbindir | --from)
            [ $# -ge 2 ] || fail "$option needs a directory"
            value=$2
            shift
            ;;
        --*=*)
            value=${option#*=}
            option=${option%%=*}
            ;;
    esac
    case $option in
        --prefix) prefix=$value ;;
        --destdir) destdir=$value ;;
        --sbindir) sbindir=$value ;;
        --from) from=$value ;;
        --uninstall) uninstall=yes ;;
        -h | --help)
            usage
            exit 0
            ;;
        *)
            usage >&2
            fail "unknown option: $option"
            ;;
    esac
    shift
done

bin=$destdir$prefix/bin
sbin=$destdir$sbindir
library=$destdir$prefix/lib/shmfs/libshmfs_preload.so
man=$destdir$prefix/share/man
examples=$destdir$prefix/share/doc/shmfs/examples

remove() {
    rm -f -- "$bin/shmfs" "$library" "$sbin/mount.shmfs" "$sbin/mount.fuse.shmfs" \
        "$man/man1/shmfs.1" "$man/man1/shmfs-name.1" "$man/man1/shmfs-export.1" "$man/man8/mount.shmfs.8" "$man/man8/mount.fuse.shmfs.8"
    for example in "$here"/systemd/*; do
        rm -f -- "$examples/$(basename -- "$example")"
    done
    rmdir -- "${library%/*}" 2>/dev/null || true
    rmdir -- "$examples" "${examples%/examples}" 2>/dev/null || true
}

# A running program's file cannot be written to, but it can be replaced.
put() {
    mode=$1
    source=$2
    target=$3
    mkdir -p -- "$(dirname -- "$target")"
    cp -- "$source" "$target.new$$"
    chmod "$mode" "$target.new$$"
    mv -f -- "$target.new$$" "$target"
    printf '%s\n' "$target"
}

if [ "$uninstall" = yes ]; then
    remove
    exit 0
fi

for program in shmfs mount-shmfs; do
    [ -f "$from/$program" ] || fail "$from/$program is not there; build first: cargo build --release"
done
# `cargo test` leaves the library in a directory of its own.
preload=$from/libshmfs_preload.so
[ -f "$preload" ] || preload=$from/deps/libshmfs_preload.so
[ -f "$preload" ] || fail "$from/libshmfs_preload.so is not there; build first: cargo build --release"

put 755 "$from/shmfs" "$bin/shmfs"
# For `shmfs run --as`.
put 644 "$preload" "$library"
put 755 "$from/mount-shmfs" "$sbin/mount.shmfs"
# For `mount -t fuse.shmfs`, and for a remount: mountinfo shows that type.
ln -sf mount.shmfs "$sbin/mount.fuse.shmfs"
printf '%s\n' "$sbin/mount.fuse.shmfs"
put 644 "$root/docs/shmfs.1" "$man/man1/shmfs.1"
put 644 "$root/docs/shmfs-name.1" "$man/man1/shmfs-name.1"
put 644 "$root/docs/shmfs-export.1" "$man/man1/shmfs-export.1"
put 644 "$root/docs/mount.shmfs.8" "$man/man8/mount.shmfs.8"
ln -sf mount.shmfs.8 "$man/man8/mount.fuse.shmfs.8"
printf '%s\n' "$man/man8/mount.fuse.shmfs.8"
# They name the program.
example=$(mktemp)
trap 'rm -f -- "$example"' EXIT
for source in "$here"/systemd/*; do
    sed "s|/usr/local/bin/shmfs|$prefix/bin/shmfs|g" "$source" > "$example"
    put 644 "$example" "$examples/$(basename -- "$source")"
done
