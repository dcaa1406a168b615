#!/usr/bin/env bash
# Installs what the tests need from Debian, once; says nothing if it is all there.
#
#   tests/setup.sh          as root
#   tests/setup.sh --list   prints the packages
#
# PostgreSQL is optional: with `pg_ctl` and `pgbench` in PATH a test of it runs.
set -euo pipefail

packages=(acl attr fuse3 gcc git groff-base libc6-dev musl-tools procps python3 rsync stress-ng systemd)

if [[ ${1-} == --list ]]; then
    echo "${packages[@]}"
    exit
fi

# Programs, not packages: another build of git or python3 will do.
missing=()
need() { command -v "$1" > /dev/null || missing+=("$2"); }
need setfacl acl
need setfattr attr
need fusermount3 fuse3
need cc gcc
need git git
need groff groff-base
need musl-gcc musl-tools
need pkill procps
need python3 python3
need rsync rsync
need stress-ng stress-ng
# It need not run: tests start one of their own.
[[ -x /lib/systemd/systemd ]] || missing+=(systemd)
[[ -e /usr/include/stdlib.h ]] || missing+=(libc6-dev)
if ((${#missing[@]} == 0)); then
    exit
fi

if ((EUID != 0)); then
    echo "tests/setup.sh: missing; run: sudo apt-get install ${missing[*]}" >&2
    exit 1
fi
if ! command -v apt-get > /dev/null; then
    echo "tests/setup.sh: no apt-get here; install by hand: ${missing[*]}" >&2
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
log=$(mktemp)
trap 'rm -f "$log"' EXIT
install() {
    apt-get -q -y -o DPkg::Lock::Timeout=600 --no-install-recommends install "${missing[@]}"
}
# The lists may be as old as the machine: fetch them only if need be.
if ! install > "$log" 2>&1; then
    { apt-get -q update && install; } > "$log" 2>&1 || { cat "$log" >&2; exit 1; }
fi
