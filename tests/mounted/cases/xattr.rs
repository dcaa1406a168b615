//! Extended attributes.

use crate::consts::*;
use crate::proc::as_user;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["xattr";
    nobody: set_get_list_remove, create_and_replace, bad_flags, get_sizes, list_sizes, empty_value, binary_value, overwrite_shrinks, value_limits, name_limits, unknown_namespaces, bad_names,
        missing_file, user_on_directory, user_on_symlink, user_on_fifo, by_descriptor, of_unlinked, many, survives_rename_and_link, gone_after_recreate, follows_symlinks, order_of_list, trusted_without_privilege,
        security_without_privilege, readonly_descriptor, path_descriptor, system_namespace, list_is_empty, on_the_case_itself, xattrat;
    root: trusted, trusted_hidden, security, non_owner, user_needs_permission, sticky_directory, on_device, trusted_on_symlink, security_on_symlink, readable_by_others, total_of_list, selinux_name;
];

fn file(c: &Ctx<'_>) -> std::path::PathBuf {
    touch(c.p("f"));
    c.p("f")
}

fn set_get_list_remove(c: &Ctx<'_>) {
    let f = &file(c);
    assert_eq!(getxattr(f, "user.a"), Err(ENODATA));
    setxattr(f, "user.a", b"one", 0).unwrap();
    setxattr(f, "user.b", b"two", 0).unwrap();
    assert_eq!((getxattr(f, "user.a"), listxattr(f)), (Ok(b"one".to_vec()), vec!["user.a".into(), "user.b".into()]));
    removexattr(f, "user.a").unwrap();
    assert_eq!((getxattr(f, "user.a"), removexattr(f, "user.a"), listxattr(f)), (Err(ENODATA), Err(ENODATA), vec!["user.b".into()]));
}

fn create_and_replace(c: &Ctx<'_>) {
    let f = &file(c);
    fails(setxattr(f, "user.a", b"1", XATTR_REPLACE), ENODATA);
    setxattr(f, "user.a", b"2", XATTR_CREATE).unwrap();
    fails(setxattr(f, "user.a", b"3", XATTR_CREATE), EEXIST);
    setxattr(f, "user.a", b"4", XATTR_REPLACE).unwrap();
    assert_eq!(getxattr(f, "user.a"), Ok(b"4".to_vec()));
    fails(setxattr(f, "user.a", b"5", XATTR_CREATE | XATTR_REPLACE), EEXIST);
    fails(setxattr(f, "user.b", b"5", XATTR_CREATE | XATTR_REPLACE), ENODATA);
}

fn bad_flags(c: &Ctx<'_>) {
    fails(setxattr(file(c), "user.a", b"1", 4), EINVAL);
}

fn get_sizes(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", b"0123456789", 0).unwrap();
    assert_eq!(getxattr_len(f, "user.a", 0).unwrap().0, 10);
    fails(getxattr_len(f, "user.a", 9), ERANGE);
    assert_eq!(getxattr_len(f, "user.a", 10).unwrap().1, b"0123456789");
    assert_eq!(getxattr_len(f, "user.a", 100_000).unwrap().1, b"0123456789");
}

fn list_sizes(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", b"", 0).unwrap();
    setxattr(f, "user.bb", b"", 0).unwrap();
    assert_eq!(listxattr_len(f, 0).unwrap().0, 15);
    fails(listxattr_len(f, 14), ERANGE);
    assert_eq!(listxattr_len(f, 15).unwrap().0, 15);
}

fn empty_value(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", b"", 0).unwrap();
    assert_eq!((getxattr(f, "user.a"), getxattr_len(f, "user.a", 0)), (Ok(vec![]), Ok((0, vec![]))));
    fails(setxattr(f, "user.a", b"", XATTR_CREATE), EEXIST);
}

fn binary_value(c: &Ctx<'_>) {
    let f = &file(c);
    let value: Vec<u8> = (0..=255).collect();
    setxattr(f, "user.\u{fc}\n", &value, 0).unwrap();
    assert_eq!((getxattr(f, "user.\u{fc}\n"), listxattr(f)), (Ok(value), vec!["user.\u{fc}\n".to_string()]));
}

fn overwrite_shrinks(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", &[1; 10_000], 0).unwrap();
    setxattr(f, "user.a", b"x", 0).unwrap();
    assert_eq!(getxattr(f, "user.a"), Ok(b"x".to_vec()));
}

fn value_limits(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", &[7; 65_536], 0).unwrap();
    assert_eq!(getxattr(f, "user.a"), Ok(vec![7; 65_536]));
    fails(setxattr(f, "user.a", &[7; 65_537], 0), E2BIG);
    assert_eq!(getxattr_len(f, "user.a", 65_536).unwrap().0, 65_536);
    fails(getxattr_len(f, "user.a", 65_535), ERANGE);
}

fn name_limits(c: &Ctx<'_>) {
    let f = &file(c);
    let name = format!("user.{}", "x".repeat(250));
    setxattr(f, &name, b"1", 0).unwrap();
    assert_eq!((getxattr(f, &name), listxattr(f)), (Ok(b"1".to_vec()), vec![name.clone()]));
    let long = format!("{name}x");
    fails(setxattr(f, &long, b"1", 0), ERANGE);
    fails(getxattr(f, &long), ERANGE);
    fails(removexattr(f, &long), ERANGE);
}

fn unknown_namespaces(c: &Ctx<'_>) {
    let f = &file(c);
    for name in ["foo.bar", "nodot", "users.x", "USER.x", "os2.x", "btrfs.x"] {
        fails(setxattr(f, name, b"1", 0), EOPNOTSUPP);
        fails(getxattr(f, name), EOPNOTSUPP);
        fails(removexattr(f, name), EOPNOTSUPP);
    }
}

fn bad_names(c: &Ctx<'_>) {
    let f = &file(c);
    fails(setxattr(f, "", b"1", 0), ERANGE);
    fails(getxattr(f, ""), ERANGE);
    fails(setxattr(f, "user.", b"1", 0), EINVAL);
    fails(getxattr(f, "user."), EINVAL);
    fails(setxattr(f, "user", b"1", 0), EOPNOTSUPP);
}

fn missing_file(c: &Ctx<'_>) {
    fails(setxattr(c.p("no"), "user.a", b"1", 0), ENOENT);
    fails(getxattr(c.p("no"), "user.a"), ENOENT);
    fails(listxattr_len(c.p("no"), 0), ENOENT);
}

fn user_on_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    setxattr(c.p("d"), "user.a", b"1", 0).unwrap();
    assert_eq!(getxattr(c.p("d"), "user.a"), Ok(b"1".to_vec()));
    let st = stat(c.p("d")).unwrap();
    assert_eq!((st.size, st.blocks), (40, 0));
}

fn user_on_symlink(c: &Ctx<'_>) {
    symlink("f", c.p("l")).unwrap();
    fails(lsetxattr(c.p("l"), "user.a", b"1", 0), EPERM);
    fails(getxattr(c.p("l"), "user.a"), ENODATA);
    assert_eq!(listxattr(c.p("l")), [""; 0]);
}

fn user_on_fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    fails(setxattr(c.p("n"), "user.a", b"1", 0), EPERM);
    fails(getxattr(c.p("n"), "user.a"), ENODATA);
    mknod(c.p("s"), S_IFSOCK | 0o600, 0).unwrap();
    fails(setxattr(c.p("s"), "user.a", b"1", 0), EPERM);
}

fn by_descriptor(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let set = crate::syscall!(libc::SYS_fsetxattr, sys::raw(&fd), c"user.a".as_ptr(), b"xyz".as_ptr(), 3, 0);
    let mut buf = [0u8; 8];
    let got = crate::syscall!(libc::SYS_fgetxattr, sys::raw(&fd), c"user.a".as_ptr(), buf.as_mut_ptr(), 8);
    assert_eq!((set, got, &buf[..3]), (Ok(0), Ok(3), &b"xyz"[..]));
    let list = crate::syscall!(libc::SYS_flistxattr, sys::raw(&fd), buf.as_mut_ptr(), 8);
    assert_eq!((list, &buf[..7]), (Ok(7), &b"user.a\0"[..]));
    assert_eq!(crate::syscall!(libc::SYS_fremovexattr, sys::raw(&fd), c"user.a".as_ptr()), Ok(0));
}

fn of_unlinked(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    setxattr(c.p("f"), "user.a", b"1", 0).unwrap();
    unlink(c.p("f")).unwrap();
    let mut buf = [0u8; 8];
    let got = crate::syscall!(libc::SYS_fgetxattr, sys::raw(&fd), c"user.a".as_ptr(), buf.as_mut_ptr(), 8);
    assert_eq!((got, buf[0]), (Ok(1), b'1'));
}

fn many(c: &Ctx<'_>) {
    let f = &file(c);
    for i in 0..500 {
        setxattr(f, &format!("user.n{i:03}"), format!("{i}").as_bytes(), 0).unwrap();
    }
    assert_eq!(listxattr(f), (0..500).map(|i| format!("user.n{i:03}")).collect::<Vec<_>>());
    assert!((0..500).all(|i| getxattr(f, &format!("user.n{i:03}")) == Ok(i.to_string().into_bytes())));
    (0..500).step_by(2).for_each(|i| removexattr(f, &format!("user.n{i:03}")).unwrap());
    assert_eq!(listxattr(f).len(), 250);
}

fn survives_rename_and_link(c: &Ctx<'_>) {
    setxattr(file(c), "user.a", b"1", 0).unwrap();
    rename(c.p("f"), c.p("g")).unwrap();
    link(c.p("g"), c.p("h")).unwrap();
    unlink(c.p("g")).unwrap();
    assert_eq!(getxattr(c.p("h"), "user.a"), Ok(b"1".to_vec()));
}

fn gone_after_recreate(c: &Ctx<'_>) {
    setxattr(file(c), "user.a", b"1", 0).unwrap();
    unlink(c.p("f")).unwrap();
    assert_eq!(listxattr(file(c)), [""; 0]);
}

fn follows_symlinks(c: &Ctx<'_>) {
    file(c);
    symlink("f", c.p("l")).unwrap();
    setxattr(c.p("l"), "user.a", b"1", 0).unwrap();
    assert_eq!(getxattr(c.p("f"), "user.a"), Ok(b"1".to_vec()));
    assert_eq!(getxattr(c.p("l"), "user.a"), Err(ENODATA));
}

fn order_of_list(c: &Ctx<'_>) {
    // simple_xattr keeps them in a tree by name, and walks it backwards.
    let f = &file(c);
    for name in ["user.c", "user.a", "user.b", "user.ab", "user.B"] {
        setxattr(f, name, b"", 0).unwrap();
    }
    let (_, list) = listxattr_len(f, 1_000).unwrap();
    assert_eq!(list, b"user.c\0user.b\0user.ab\0user.a\0user.B\0");
}

fn trusted_without_privilege(c: &Ctx<'_>) {
    if crate::proc::ids().0 != 0 {
        let f = &file(c);
        fails(setxattr(f, "trusted.a", b"1", 0), EPERM);
        fails(getxattr(f, "trusted.a"), ENODATA);
        fails(removexattr(f, "trusted.a"), EPERM);
    }
}

fn security_without_privilege(c: &Ctx<'_>) {
    if crate::proc::ids().0 != 0 {
        let f = &file(c);
        fails(setxattr(f, "security.a", b"1", 0), EPERM);
        fails(getxattr(f, "security.a"), ENODATA);
    }
}

fn readonly_descriptor(c: &Ctx<'_>) {
    file(c);
    let fd = open(c.p("f"), O_RDONLY).unwrap();
    let set = crate::syscall!(libc::SYS_fsetxattr, sys::raw(&fd), c"user.a".as_ptr(), b"x".as_ptr(), 1, 0);
    assert_eq!((set, getxattr(c.p("f"), "user.a")), (Ok(0), Ok(b"x".to_vec())));
}

fn path_descriptor(c: &Ctx<'_>) {
    file(c);
    let fd = open(c.p("f"), O_PATH).unwrap();
    let set = crate::syscall!(libc::SYS_fsetxattr, sys::raw(&fd), c"user.a".as_ptr(), b"x".as_ptr(), 1, 0);
    assert_eq!(set, Err(EBADF));
    setxattr(format!("/proc/self/fd/{}", sys::raw(&fd)), "user.a", b"x", 0).unwrap();
    assert_eq!(listxattr(c.p("f")), ["user.a"]);
}

fn system_namespace(c: &Ctx<'_>) {
    let f = &file(c);
    for name in ["system.foo", "system.", "system.posix_acl", "system.nfs4_acl"] {
        fails(setxattr(f, name, b"1", 0), EOPNOTSUPP);
        fails(getxattr(f, name), EOPNOTSUPP);
    }
}

fn list_is_empty(c: &Ctx<'_>) {
    assert_eq!(listxattr_len(file(c), 0), Ok((0, vec![])));
    assert_eq!(listxattr_len(&c.dir, 10), Ok((0, vec![])));
}

fn on_the_case_itself(c: &Ctx<'_>) {
    setxattr(&c.dir, "user.a", &[1; 1000], 0).unwrap();
    touch(c.p("child"));
    assert_eq!(listxattr(c.p("child")), [""; 0]);
}

fn xattrat(c: &Ctx<'_>) {
    // getxattrat(2) and the others of 6.13 by directory descriptor.
    file(c);
    let dir = open(&c.dir, O_RDONLY).unwrap();
    #[repr(C)]
    struct Args(u64, u32, u32);
    let args = Args(b"val".as_ptr() as u64, 3, 0);
    let set = crate::syscall!(463, sys::raw(&dir), c"f".as_ptr(), 0, c"user.at".as_ptr(), &args, 16usize);
    assert_eq!((set, getxattr(c.p("f"), "user.at")), (Ok(0), Ok(b"val".to_vec())));
}

fn trusted(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "trusted.a", b"1", 0).unwrap();
    assert_eq!((getxattr(f, "trusted.a"), listxattr(f)), (Ok(b"1".to_vec()), vec!["trusted.a".into()]));
    fails(setxattr(f, "trusted.", b"1", 0), EINVAL);
    removexattr(f, "trusted.a").unwrap();
}

fn trusted_hidden(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "trusted.a", b"1", 0).unwrap();
    setxattr(f, "user.b", b"2", 0).unwrap();
    chown(f, 1000, 1000).unwrap();
    as_user(1000, || {
        assert_eq!(listxattr(f), ["user.b"]);
        assert_eq!(listxattr_len(f, 0).unwrap().0, 7);
        fails(getxattr(f, "trusted.a"), ENODATA);
        fails(setxattr(f, "trusted.a", b"2", 0), EPERM);
        fails(removexattr(f, "trusted.a"), EPERM);
    });
    assert_eq!(listxattr(f), ["trusted.a", "user.b"]);
}

fn security(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "security.foo", b"1", 0).unwrap();
    assert_eq!(getxattr(f, "security.foo"), Ok(b"1".to_vec()));
    chown(f, 1000, 1000).unwrap();
    as_user(1000, || {
        assert_eq!((getxattr(f, "security.foo"), listxattr(f)), (Ok(b"1".to_vec()), vec!["security.foo".into()]));
        fails(setxattr(f, "security.foo", b"2", 0), EPERM);
        fails(removexattr(f, "security.foo"), EPERM);
    });
    removexattr(f, "security.foo").unwrap();
}

fn non_owner(c: &Ctx<'_>) {
    let f = &file(c);
    chmod(f, 0o644).unwrap();
    setxattr(f, "user.a", b"1", 0).unwrap();
    as_user(1000, || {
        assert_eq!(getxattr(f, "user.a"), Ok(b"1".to_vec()));
        fails(setxattr(f, "user.a", b"2", 0), EACCES);
        fails(removexattr(f, "user.a"), EACCES);
    });
    // Write permission is enough: it need not be the owner.
    chmod(f, 0o666).unwrap();
    as_user(1000, || setxattr(f, "user.a", b"2", 0).unwrap());
    assert_eq!(getxattr(f, "user.a"), Ok(b"2".to_vec()));
}

fn user_needs_permission(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", b"1", 0).unwrap();
    chmod(f, 0o200).unwrap();
    chown(f, 1000, 1000).unwrap();
    as_user(1000, || {
        fails(getxattr(f, "user.a"), EACCES);
        // Names need no permission on the file.
        assert_eq!(listxattr(f), ["user.a"]);
        setxattr(f, "user.a", b"2", 0).unwrap();
        chmod(f, 0o400).unwrap();
        fails(setxattr(f, "user.a", b"3", 0), EACCES);
        assert_eq!(getxattr(f, "user.a"), Ok(b"2".to_vec()));
    });
}

fn sticky_directory(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    chmod(c.p("d"), 0o1777).unwrap();
    // user.* on a sticky directory is for its owner only, however writable.
    as_user(1000, || fails(setxattr(c.p("d"), "user.a", b"1", 0), EPERM));
    setxattr(c.p("d"), "user.a", b"1", 0).unwrap();
    as_user(1000, || assert_eq!(getxattr(c.p("d"), "user.a"), Ok(b"1".to_vec())));
    chmod(c.p("d"), 0o777).unwrap();
    as_user(1000, || setxattr(c.p("d"), "user.a", b"2", 0).unwrap());
}

fn on_device(c: &Ctx<'_>) {
    mknod(c.p("c"), S_IFCHR | 0o600, makedev(1, 3)).unwrap();
    fails(setxattr(c.p("c"), "user.a", b"1", 0), EPERM);
    fails(getxattr(c.p("c"), "user.a"), ENODATA);
    setxattr(c.p("c"), "trusted.a", b"1", 0).unwrap();
    assert_eq!(getxattr(c.p("c"), "trusted.a"), Ok(b"1".to_vec()));
}

fn trusted_on_symlink(c: &Ctx<'_>) {
    symlink("nowhere", c.p("l")).unwrap();
    lsetxattr(c.p("l"), "trusted.a", b"1", 0).unwrap();
    assert_eq!((getxattr(c.p("l"), "trusted.a"), listxattr(c.p("l"))), (Ok(b"1".to_vec()), vec!["trusted.a".into()]));
    removexattr(c.p("l"), "trusted.a").unwrap();
}

fn security_on_symlink(c: &Ctx<'_>) {
    symlink("nowhere", c.p("l")).unwrap();
    lsetxattr(c.p("l"), "security.a", b"1", 0).unwrap();
    assert_eq!(getxattr(c.p("l"), "security.a"), Ok(b"1".to_vec()));
}

fn readable_by_others(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "user.a", b"1", 0).unwrap();
    chmod(f, 0o600).unwrap();
    as_user(1000, || {
        fails(getxattr(f, "user.a"), EACCES);
        assert_eq!(listxattr(f), ["user.a"]);
    });
}

fn total_of_list(c: &Ctx<'_>) {
    // listxattr(2) gives at most 64 KiB of names: more than that is E2BIG.
    let f = &file(c);
    let tail = "x".repeat(240);
    for i in 0..262 {
        setxattr(f, &format!("user.{i:04}{tail}"), b"", 0).unwrap();
    }
    assert_eq!(listxattr_len(f, 65_536).map(|(n, _)| n), Ok(262 * 250));
    setxattr(f, &format!("user.last{tail}"), b"", 0).unwrap();
    let all = if c.differs() { 65_536 } else { 263 * 250 };
    assert_eq!(listxattr_len(f, 0).map(|(n, _)| n), Ok(all));
    fails(listxattr_len(f, 65_536), E2BIG);
}

fn selinux_name(c: &Ctx<'_>) {
    let f = &file(c);
    setxattr(f, "security.selinux", b"label", 0).unwrap();
    assert_eq!(getxattr(f, "security.selinux"), Ok(b"label".to_vec()));
}
