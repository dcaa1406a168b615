# Copies a tree with everything in it inside the file system and back, and
# compares all that can be seen of it.
set -euo pipefail
tool=$1

make_tree() {
    mkdir -p tree/dir/sub tree/empty
    printf 'text\n' > tree/file
    chmod 4751 tree/file
    chown 1000:2000 tree/dir
    chmod 2755 tree/dir
    chmod 1777 tree/empty
    ln tree/file tree/dir/hard-link
    ln -s ../file tree/dir/symlink
    ln -s "$(printf 'x%.0s' {1..3000})" tree/dir/long-symlink
    mkfifo -m 0604 tree/fifo
    mknod -m 0640 tree/device c 1 3
    python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind("tree/dir/socket")'
    truncate -s 1M tree/sparse
    printf end | dd of=tree/sparse bs=1 seek=700000 conv=notrunc status=none
    head -c 300000 /dev/urandom > tree/dir/sub/random
    touch "tree/$(printf 'name \xff\xfe with\nbytes')"
    setfattr -n user.note -v 'a value' tree/file
    setfattr -n user.empty tree/dir
    setfattr -n user.binary -v 0x00ff0a tree/dir/sub/random
    setfattr -n trusted.note -v secret tree/dir/sub
    setfacl -m u:1000:rw,g:2000:r tree/sparse
    setfacl -m d:u:1000:rwx,d:o::- tree/dir/sub
    # rsync takes times of one second for equal: none may be of this second.
    find tree -depth -print0 | xargs -0 touch -h -d '2001-02-03 04:05:06.123456789'
    touch -d '1969-12-31 23:59:58.5' tree/dir/sub/random
    touch -d '2038-01-20 00:00:00.000000001' tree/empty
}

# Everything but inode numbers, ctime and atime.
describe() {
    (
        cd "$1"
        find . -printf '%P|%y|%m|%U:%G|%n|%s|%T@|%l\n' | sed '/|s|/d' | awk -F'|' 'BEGIN { OFS = FS }
            $2 == "d" { $6 = "-" } { print }' | LC_ALL=C sort
        find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum
        find . ! -type s -print0 | LC_ALL=C sort -z | xargs -0 getfattr -hd -m '^(user|trusted)\.' -e hex
        find . ! -type l ! -type s -print0 | LC_ALL=C sort -z | xargs -0 getfacl -n
        stat -c '%t:%T' device
        test file -ef dir/hard-link && echo linked
        # Sparse files stay sparse.
        test "$(stat -c %b sparse)" -lt 100 && echo sparse
    )
}

copy() {
    case $tool in
    tar)
        mkdir "$2"
        tar --xattrs --xattrs-include='*' --acls --sparse --numeric-owner -C "$1" -cf "$OUTSIDE/a.tar" . 2>"$OUTSIDE/said" ||
            { cat "$OUTSIDE/said" >&2; exit 1; }
        tar --xattrs --xattrs-include='*' --acls --numeric-owner -pC "$2" -xf "$OUTSIDE/a.tar"
        ;;
    rsync) rsync -aAXHS --numeric-ids --specials --devices "$1/" "$2" ;;
    cp) cp -a "$1" "$2" ;;
    esac
}

make_tree
before=$(describe tree)
copy tree copy
diff -u <(printf '%s\n' "$before") <(describe copy)
# The other direction: out of a copy in another tmpfs or disk file system.
copy copy again
diff -u <(printf '%s\n' "$before") <(describe again)
rm -rf tree copy again
