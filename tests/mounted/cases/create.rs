//! What comes into being: every type, its mode, its owner, the errno of what may not.



use crate::consts::*;
use crate::proc::{as_member, as_user, child, ids};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["create";
    nobody: regular, directory, fifo, socket_node, regular_by_mknod, mknod_of_a_directory, mknod_bad_type,
        open_umask, mkdir_umask, mknod_umask, umask_of_setid_bits, mode_of_mkdir_keeps_sticky, mkdir_ignores_setuid,
        symlink_mode_is_777, exists, through_dangling_symlink, excl_on_dangling_symlink, in_a_missing_directory,
        under_a_file, trailing_slash_on_a_file, trailing_slash_mkdir, empty_path, dot_and_dotdot, creat_truncates,
        mode_zero_is_open_to_its_creator, nlink_of_parent, inode_numbers_differ, many_in_one_directory,
        mkdir_over_anything, symlink_over_anything, symlink_to_nothing;
    root: block_and_character, device_numbers, device_needs_privilege, whiteout_needs_none, setgid_directory_gives_group,
        setgid_directory_passes_itself_on, setgid_dropped_for_outsiders, setgid_kept_for_members, owner_is_the_caller,
        unwritable_directory, unsearchable_directory;
];

fn mode_of(c: &Ctx<'_>, name: &str) -> u32 {
    lstat(c.p(name)).unwrap().mode
}

fn regular(c: &Ctx<'_>) {
    let fd = open_mode(c.p("f"), O_CREAT | O_EXCL | O_RDWR, 0o640).unwrap();
    let st = fstat(&fd).unwrap();
    let (uid, gid) = ids();
    assert_eq!((st.mode, st.nlink, st.uid, st.gid, st.size, st.blocks, st.blksize), (S_IFREG | 0o640, 1, uid, gid, 0, 0, 4096));
    assert_eq!(stat(c.p("f")), Ok(st));
}

fn directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o750).unwrap();
    let st = stat(c.p("d")).unwrap();
    assert_eq!((st.mode, st.nlink, st.size, st.blocks, st.blksize), (S_IFDIR | 0o750, 2, 40, 0, 4096));
}

fn fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o640, 0).unwrap();
    let st = stat(c.p("n")).unwrap();
    assert_eq!((st.mode, st.nlink, st.size, st.blocks, st.rdev), (S_IFIFO | 0o640, 1, 0, 0, 0));
}

fn socket_node(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFSOCK | 0o640, 0).unwrap();
    let st = stat(c.p("n")).unwrap();
    assert_eq!((st.mode, st.nlink, st.size, st.rdev), (S_IFSOCK | 0o640, 1, 0, 0));
    fails(open(c.p("n"), O_RDONLY), ENXIO);
}

fn regular_by_mknod(c: &Ctx<'_>) {
    mknod(c.p("a"), S_IFREG | 0o600, 0).unwrap();
    mknod(c.p("b"), 0o600, 0).unwrap();
    assert_eq!((mode_of(c, "a"), mode_of(c, "b")), (S_IFREG | 0o600, S_IFREG | 0o600));
    put(c.p("a"), b"data");
    assert_eq!(slurp(c.p("a")), b"data");
}

fn mknod_of_a_directory(c: &Ctx<'_>) {
    fails(mknod(c.p("d"), S_IFDIR | 0o700, 0), EPERM);
}

fn mknod_bad_type(c: &Ctx<'_>) {
    fails(mknod(c.p("x"), S_IFLNK | 0o700, 0), EINVAL);
    fails(mknod(c.p("x"), 0o150000 | 0o700, 0), EINVAL);
}

fn open_umask(c: &Ctx<'_>) {
    for (mask, want) in [(0o000, 0o666), (0o022, 0o644), (0o077, 0o600), (0o777, 0)] {
        sys::umask(mask);
        let name = format!("f{mask:o}");
        open_mode(c.p(&name), O_CREAT | O_WRONLY, 0o666).unwrap();
        assert_eq!(mode_of(c, &name), S_IFREG | want);
    }
}

fn mkdir_umask(c: &Ctx<'_>) {
    for (mask, want) in [(0o000, 0o777), (0o027, 0o750), (0o777, 0)] {
        sys::umask(mask);
        let name = format!("d{mask:o}");
        mkdir(c.p(&name), 0o777).unwrap();
        assert_eq!(mode_of(c, &name), S_IFDIR | want);
    }
}

fn mknod_umask(c: &Ctx<'_>) {
    sys::umask(0o037);
    mknod(c.p("n"), S_IFIFO | 0o666, 0).unwrap();
    assert_eq!(mode_of(c, "n"), S_IFIFO | 0o640);
}

fn umask_of_setid_bits(c: &Ctx<'_>) {
    // The umask covers only the permission bits.
    sys::umask(0o7077);
    open_mode(c.p("f"), O_CREAT | O_WRONLY, 0o7777).unwrap();
    assert_eq!(mode_of(c, "f"), S_IFREG | 0o7700);
}

fn mode_of_mkdir_keeps_sticky(c: &Ctx<'_>) {
    sys::umask(0);
    mkdir(c.p("d"), 0o1777).unwrap();
    assert_eq!(mode_of(c, "d"), S_IFDIR | 0o1777);
}

fn mkdir_ignores_setuid(c: &Ctx<'_>) {
    sys::umask(0);
    mkdir(c.p("d"), 0o7777).unwrap();
    // vfs_mkdir keeps S_IRWXUGO | S_ISVTX only.
    assert_eq!(mode_of(c, "d"), S_IFDIR | 0o1777);
}

fn symlink_mode_is_777(c: &Ctx<'_>) {
    sys::umask(0o077);
    symlink("nowhere", c.p("l")).unwrap();
    let st = lstat(c.p("l")).unwrap();
    assert_eq!((st.mode, st.size, st.nlink, st.blocks), (S_IFLNK | 0o777, 7, 1, 0));
}

fn exists(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(open(c.p("f"), O_CREAT | O_EXCL | O_RDWR), EEXIST);
    fails(mkdir(c.p("f"), 0o700), EEXIST);
    fails(mknod(c.p("f"), S_IFIFO | 0o600, 0), EEXIST);
    fails(symlink("x", c.p("f")), EEXIST);
    fails(link(c.p("f"), c.p("f")), EEXIST);
    open(c.p("f"), O_CREAT | O_RDWR).unwrap();
}

fn through_dangling_symlink(c: &Ctx<'_>) {
    symlink("target", c.p("l")).unwrap();
    let fd = open(c.p("l"), O_CREAT | O_RDWR).unwrap();
    assert_eq!(fstat(&fd), lstat(c.p("target")));
    assert_eq!(mode_of(c, "l") & S_IFMT, S_IFLNK);
}

fn excl_on_dangling_symlink(c: &Ctx<'_>) {
    symlink("target", c.p("l")).unwrap();
    fails(open(c.p("l"), O_CREAT | O_EXCL | O_RDWR), EEXIST);
    fails(mkdir(c.p("l"), 0o700), EEXIST);
    fails(lstat(c.p("target")), ENOENT);
}

fn in_a_missing_directory(c: &Ctx<'_>) {
    fails(open(c.p("no/f"), O_CREAT | O_RDWR), ENOENT);
    fails(mkdir(c.p("no/d"), 0o700), ENOENT);
    fails(mknod(c.p("no/n"), S_IFIFO | 0o600, 0), ENOENT);
    fails(symlink("x", c.p("no/l")), ENOENT);
    fails(link(c.p("no/f"), c.p("g")), ENOENT);
    fails(rmdir(c.p("no/d")), ENOENT);
    fails(unlink(c.p("no/f")), ENOENT);
}

fn under_a_file(c: &Ctx<'_>) {
    touch(c.p("f"));
    fails(open(c.p("f/g"), O_CREAT | O_RDWR), ENOTDIR);
    fails(mkdir(c.p("f/d"), 0o700), ENOTDIR);
    fails(symlink("x", c.p("f/l")), ENOTDIR);
    fails(lstat(c.p("f/g")), ENOTDIR);
    fails(unlink(c.p("f/g")), ENOTDIR);
    fails(rename(c.p("f"), c.p("f/g")), ENOTDIR);
}

fn trailing_slash_on_a_file(c: &Ctx<'_>) {
    fails(open(c.p("f/"), O_CREAT | O_RDWR), EISDIR);
    fails(mknod(c.p("f/"), S_IFIFO | 0o600, 0), ENOENT);
    touch(c.p("f"));
    fails(open(c.p("f/"), O_RDONLY), ENOTDIR);
    fails(stat(c.p("f/")), ENOTDIR);
    fails(unlink(c.p("f/")), ENOTDIR);
}

fn trailing_slash_mkdir(c: &Ctx<'_>) {
    mkdir(c.p("d/"), 0o700).unwrap();
    rmdir(c.p("d/")).unwrap();
    fails(stat(c.p("d")), ENOENT);
}

fn empty_path(c: &Ctx<'_>) {
    chdir(&c.dir).unwrap();
    fails(open("", O_RDONLY), ENOENT);
    fails(mkdir("", 0o700), ENOENT);
    fails(symlink("", c.p("l")), ENOENT);
    fails(stat(""), ENOENT);
}

fn dot_and_dotdot(c: &Ctx<'_>) {
    fails(mkdir(c.p("."), 0o700), EEXIST);
    fails(mkdir(c.p(".."), 0o700), EEXIST);
    fails(rmdir(c.p(".")), EINVAL);
    mkdir(c.p("d"), 0o700).unwrap();
    fails(rmdir(c.p("d/..")), ENOTEMPTY);
    fails(unlink(c.p("d/.")), EISDIR);
    fails(open(c.p("."), O_CREAT | O_RDWR), EISDIR);
}

fn creat_truncates(c: &Ctx<'_>) {
    put(c.p("f"), b"old data");
    open_mode(c.p("f"), O_CREAT | O_WRONLY | O_TRUNC, 0o600).unwrap();
    let st = stat(c.p("f")).unwrap();
    assert_eq!((st.size, st.blocks, st.perm()), (0, 0, 0o644));
}

fn mode_zero_is_open_to_its_creator(c: &Ctx<'_>) {
    let fd = open_mode(c.p("f"), O_CREAT | O_RDWR, 0).unwrap();
    assert_eq!(sys::write(&fd, b"abc"), Ok(3));
    assert_eq!(pread(&fd, 9, 0), Ok(b"abc".to_vec()));
    assert_eq!(fstat(&fd).unwrap().perm(), 0);
    if ids().0 != 0 {
        fails(open(c.p("f"), O_RDONLY), EACCES);
    }
}

fn nlink_of_parent(c: &Ctx<'_>) {
    let nlink = || stat(&c.dir).unwrap().nlink;
    assert_eq!(nlink(), 2);
    touch(c.p("f"));
    symlink("f", c.p("l")).unwrap();
    assert_eq!(nlink(), 2);
    mkdir(c.p("d"), 0o700).unwrap();
    mkdir(c.p("e"), 0o700).unwrap();
    assert_eq!(nlink(), 4);
    rmdir(c.p("d")).unwrap();
    assert_eq!(nlink(), 3);
}

fn inode_numbers_differ(c: &Ctx<'_>) {
    let mut seen = std::collections::HashSet::new();
    seen.insert(stat(&c.dir).unwrap().ino);
    for i in 0..200 {
        touch(c.p(&i.to_string()));
        assert!(seen.insert(stat(c.p(&i.to_string())).unwrap().ino), "an inode number was given twice");
    }
}

fn many_in_one_directory(c: &Ctx<'_>) {
    for i in 0..2_000 {
        touch(c.p(&format!("f{i}")));
    }
    assert_eq!(ls(&c.dir).len(), 2_000);
    assert_eq!(stat(&c.dir).unwrap().size, 40 + 20 * 2_000);
}

fn mkdir_over_anything(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("d", c.p("l")).unwrap();
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    for name in ["d", "l", "n"] {
        fails(mkdir(c.p(name), 0o700), EEXIST);
    }
}

fn symlink_over_anything(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    symlink("d", c.p("l")).unwrap();
    fails(symlink("x", c.p("d")), EEXIST);
    fails(symlink("x", c.p("l")), EEXIST);
    assert_eq!(readlink(c.p("l")), Ok(b"d".to_vec()));
}

fn symlink_to_nothing(c: &Ctx<'_>) {
    symlink("no/such", c.p("l")).unwrap();
    fails(stat(c.p("l")), ENOENT);
    fails(open(c.p("l"), O_RDONLY), ENOENT);
    fails(open(c.p("l"), O_CREAT | O_RDWR), ENOENT);
    lstat(c.p("l")).unwrap();
}

fn block_and_character(c: &Ctx<'_>) {
    for (name, kind) in [("b", S_IFBLK), ("c", S_IFCHR)] {
        mknod(c.p(name), kind | 0o600, makedev(7, 200)).unwrap();
        let st = stat(c.p(name)).unwrap();
        assert_eq!((st.mode, st.rdev, st.size, st.nlink), (kind | 0o600, makedev(7, 200), 0, 1));
    }
}

fn device_numbers(c: &Ctx<'_>) {
    for (i, dev) in [makedev(1, 3), makedev(4095, 1_048_575), makedev(0, 0), makedev(255, 256)].into_iter().enumerate() {
        let name = format!("c{i}");
        mknod(c.p(&name), S_IFCHR | 0o600, dev).unwrap();
        assert_eq!(stat(c.p(&name)).unwrap().rdev, dev);
    }
}

fn device_needs_privilege(c: &Ctx<'_>) {
    chmod(&c.dir, 0o777).unwrap();
    as_user(1000, || {
        fails(mknod(c.p("c"), S_IFCHR | 0o600, makedev(1, 3)), EPERM);
        fails(mknod(c.p("b"), S_IFBLK | 0o600, makedev(7, 0)), EPERM);
        mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
        mknod(c.p("s"), S_IFSOCK | 0o600, 0).unwrap();
    });
}

fn whiteout_needs_none(c: &Ctx<'_>) {
    chmod(&c.dir, 0o777).unwrap();
    as_user(1000, || mknod(c.p("w"), S_IFCHR | 0o600, 0).unwrap());
    let st = stat(c.p("w")).unwrap();
    assert_eq!((st.kind(), st.rdev), (S_IFCHR, 0));
}

fn setgid_directory_gives_group(c: &Ctx<'_>) {
    chown(&c.dir, 0, 2000).unwrap();
    chmod(&c.dir, 0o2777).unwrap();
    as_user(1000, || {
        touch(c.p("f"));
        mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
        symlink("x", c.p("l")).unwrap();
        mkdir(c.p("d"), 0o755).unwrap();
    });
    for name in ["f", "n", "l", "d"] {
        let st = lstat(c.p(name)).unwrap();
        assert_eq!((st.uid, st.gid), (1000, 2000), "{name}");
    }
}

fn setgid_directory_passes_itself_on(c: &Ctx<'_>) {
    chown(&c.dir, 0, 2000).unwrap();
    chmod(&c.dir, 0o2777).unwrap();
    mkdir(c.p("d"), 0o755).unwrap();
    mkdir(c.p("d/e"), 0o700).unwrap();
    touch(c.p("d/f"));
    assert_eq!(mode_of(c, "d"), S_IFDIR | 0o2755);
    assert_eq!(mode_of(c, "d/e"), S_IFDIR | 0o2700);
    assert_eq!(lstat(c.p("d/e")).unwrap().gid, 2000);
    assert_eq!(mode_of(c, "d/f"), S_IFREG | 0o644);
}

fn setgid_dropped_for_outsiders(c: &Ctx<'_>) {
    chown(&c.dir, 0, 2000).unwrap();
    chmod(&c.dir, 0o2777).unwrap();
    // mode_strip_sgid: a group-executable setgid file of a group that is not the caller's.
    as_user(1000, || {
        open_mode(c.p("x"), O_CREAT | O_WRONLY, 0o2775).unwrap();
        open_mode(c.p("r"), O_CREAT | O_WRONLY, 0o2764).unwrap();
        mknod(c.p("n"), S_IFIFO | 0o2770, 0).unwrap();
    });
    assert_eq!(mode_of(c, "x"), S_IFREG | 0o755);
    assert_eq!(mode_of(c, "r"), S_IFREG | 0o2744);
    assert_eq!(mode_of(c, "n"), S_IFIFO | 0o750);
}

fn setgid_kept_for_members(c: &Ctx<'_>) {
    chown(&c.dir, 0, 2000).unwrap();
    chmod(&c.dir, 0o2777).unwrap();
    as_member(1000, 1000, &[2000], || drop(open_mode(c.p("x"), O_CREAT | O_WRONLY, 0o2775).unwrap()));
    open_mode(c.p("root"), O_CREAT | O_WRONLY, 0o2775).unwrap();
    assert_eq!(mode_of(c, "x"), S_IFREG | 0o2755);
    assert_eq!(mode_of(c, "root"), S_IFREG | 0o2755);
}

fn owner_is_the_caller(c: &Ctx<'_>) {
    chmod(&c.dir, 0o777).unwrap();
    as_member(1001, 1002, &[1003], || touch(c.p("f")));
    child(|| {
        // The file system's uid decides, not the effective one.
        // SAFETY: no pointers.
        unsafe { libc::setfsuid(1234) };
        touch(c.p("g"));
    });
    let (f, g) = (stat(c.p("f")).unwrap(), stat(c.p("g")).unwrap());
    assert_eq!(((f.uid, f.gid), (g.uid, g.gid)), ((1001, 1002), (1234, 0)));
}

fn unwritable_directory(c: &Ctx<'_>) {
    touch(c.p("f"));
    as_user(1000, || {
        fails(open(c.p("g"), O_CREAT | O_RDWR), EACCES);
        fails(open(c.p("f"), O_CREAT | O_RDWR), EACCES);
        open(c.p("f"), O_CREAT | O_RDONLY).unwrap();
        fails(open(c.p("f"), O_CREAT | O_EXCL | O_RDWR), EEXIST);
        fails(mkdir(c.p("d"), 0o700), EACCES);
        fails(mkdir(c.p("f"), 0o700), EEXIST);
        fails(symlink("x", c.p("l")), EACCES);
        fails(mknod(c.p("n"), S_IFIFO | 0o600, 0), EACCES);
        fails(unlink(c.p("f")), EACCES);
        fails(unlink(c.p("none")), ENOENT);
        fails(rename(c.p("f"), c.p("g")), EACCES);
    });
}

fn unsearchable_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o766).unwrap();
    chmod(c.p("d"), 0o766).unwrap();
    touch(c.p("d/f"));
    as_user(1000, || {
        fails(stat(c.p("d/f")), EACCES);
        fails(stat(c.p("d/none")), EACCES);
        fails(open(c.p("d/g"), O_CREAT | O_RDWR), EACCES);
        assert_eq!(ls(c.p("d")), ["f"]);
    });
}
