# setfacl and getfacl: access and default ACLs, inheritance, mask and chmod.
set -euo pipefail
umask 022

# expect WHAT: standard input is what getfacl must say of it.
expect() {
    diff -u - <(getfacl --no-effective --omit-header --numeric --absolute-names "$1" | sed '/^$/d') ||
        { echo "the ACL of $1 differs" >&2; exit 1; }
}

mkdir dir
setfacl -m u:1000:rwx,g:2000:r-x,d:u:1000:rw-,d:g:2000:r-x,d:m::rwx dir
expect dir <<'ACL'
user::rwx
user:1000:rwx
group::r-x
group:2000:r-x
mask::rwx
other::r-x
default:user::rwx
default:user:1000:rw-
default:group::r-x
default:group:2000:r-x
default:mask::rwx
default:other::r-x
ACL

# The default ACL replaces the umask; the mode of open cuts the mask.
(umask 077; touch dir/file)
expect dir/file <<'ACL'
user::rw-
user:1000:rw-
group::r-x
group:2000:r-x
mask::rw-
other::r--
ACL
test "$(stat -c %a dir/file)" = 664

mkdir dir/sub
test "$(getfacl -dcn dir/sub)" = "$(getfacl -dcn dir)"

# chmod's group bits are the mask, and the other way round.
chmod 640 dir/file
getfacl -cn dir/file | grep -qx 'mask::r--'
setfacl -m m::rwx dir/file
test "$(stat -c %a dir/file)" = 670

# An ACL that says no more than a mode is a mode.
setfacl -b dir/file
test "$(getfacl -cn dir/file | sed '/^$/d' | wc -l)" = 3
if getfattr -n system.posix_acl_access dir/file 2>/dev/null; then
    echo "an equivalent ACL is still stored" >&2
    exit 1
fi

# The kernel enforces it.
install -m 600 /dev/null secret
echo content > secret
as() { setpriv --reuid="$1" --regid="$1" --clear-groups -- "${@:2}"; }
! as 1234 cat secret 2>/dev/null
setfacl -m u:1234:r secret
test "$(as 1234 cat secret)" = content
! as 1234 sh -c 'echo x >> secret' 2>/dev/null
setfacl -m m::--- secret
! as 1234 cat secret 2>/dev/null
! as 1234 setfacl -m u:1234:rw secret 2>/dev/null

# A mounted backup of ACLs restores them.
getfacl -R dir > "$OUTSIDE/acls"
setfacl -R -b dir
setfacl --restore="$OUTSIDE/acls"
test "$(getfacl -R dir)" = "$(cat "$OUTSIDE/acls")"
rm -r dir secret
