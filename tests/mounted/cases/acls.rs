//! POSIX ACLs: what they are, how modes and ACLs move together, what is malformed.

use crate::acl::{self, ACCESS, DEFAULT, Entry};
use crate::consts::*;
use crate::proc::ids;
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["acl";
    nobody: none_at_first, set_and_get, sets_mode, mask_is_group_bits, equivalent_to_mode_is_dropped, chmod_changes_mask, chmod_changes_owner_and_other, fchmod_changes_mask, chmod_of_minimal, remove_access, remove_default, removing_none,
        default_only_on_directories, on_symlink, on_fifo, listed, sizes, malformed_sizes, malformed_versions, malformed_entries, malformed_order, missing_mask, empty_acl_removes, empty_default_removes, minimal_default_is_kept, create_and_replace_flags,
        inherit_file, inherit_directory, inherit_ignores_umask, inherit_mask_from_mode, inherit_minimal, inherit_mknod, inherit_not_symlink, inherit_setgid_and_sticky, inherit_open_excl_mode, inherit_chain, no_inheritance_of_access,
        umask_without_default, copy_by_rename, unlinked_file, exec_bits_without_mask, set_by_descriptor;
    root: largest;
];

const FULL: &str = "u::rw-,u:1001:r--,g::r--,g:2001:rw-,m::rw-,o::---";

fn file(c: &Ctx<'_>) -> std::path::PathBuf {
    touch(c.p("f"));
    c.p("f")
}

/// An ACL that an ordinary user in a namespace of one uid may set: its own ids only.
fn full() -> String {
    let (uid, gid) = ids();
    if uid == 0 { FULL.into() } else { FULL.replace("1001", &uid.to_string()).replace("2001", &gid.to_string()) }
}

fn named(text: &str) -> String {
    let (uid, gid) = ids();
    if uid == 0 { text.into() } else { text.replace("1001", &uid.to_string()).replace("2001", &gid.to_string()) }
}

fn perm(p: impl AsP) -> u32 {
    lstat(p).unwrap().perm()
}

fn none_at_first(c: &Ctx<'_>) {
    let f = &file(c);
    for kind in [ACCESS, DEFAULT] {
        fails(getxattr(f, kind), ENODATA);
        fails(getxattr(&c.dir, kind), ENODATA);
    }
    assert_eq!(listxattr(f), [""; 0]);
}

fn set_and_get(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    assert_eq!(acl::get(f, ACCESS), Ok(full()));
    acl::set(&c.dir, DEFAULT, &full()).unwrap();
    assert_eq!((acl::get(&c.dir, DEFAULT), getxattr(&c.dir, ACCESS)), (Ok(full()), Err(ENODATA)));
}

fn sets_mode(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &named("u::rwx,u:1001:r--,g::r-x,m::-w-,o::--x")).unwrap();
    assert_eq!(perm(f), 0o721);
    mkdir(c.p("d"), 0o755).unwrap();
    acl::set(c.p("d"), DEFAULT, &full()).unwrap();
    assert_eq!(perm(c.p("d")), 0o755);
}

fn mask_is_group_bits(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    assert_eq!(perm(f), 0o660);
}

fn equivalent_to_mode_is_dropped(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, "u::rwx,g::r-x,o::r--").unwrap();
    assert_eq!((perm(f), getxattr(f, ACCESS), listxattr(f)), (0o754, Err(ENODATA), vec![]));
    acl::set(f, ACCESS, &full()).unwrap();
    acl::set(f, ACCESS, "u::r--,g::---,o::---").unwrap();
    assert_eq!((perm(f), getxattr(f, ACCESS)), (0o400, Err(ENODATA)));
    // A mask makes it more than a mode.
    chmod(f, 0o600).unwrap();
    acl::set(f, ACCESS, "u::rw-,g::r--,m::r--,o::---").unwrap();
    assert_eq!(acl::get(f, ACCESS), Ok("u::rw-,g::r--,m::r--,o::---".into()));
}

fn chmod_changes_mask(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    chmod(f, 0o717).unwrap();
    assert_eq!(acl::get(f, ACCESS), Ok(named("u::rwx,u:1001:r--,g::r--,g:2001:rw-,m::--x,o::rwx")));
    assert_eq!(perm(f), 0o717);
}

fn chmod_changes_owner_and_other(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    chmod(f, 0o461).unwrap();
    assert_eq!(acl::get(f, ACCESS), Ok(named("u::r--,u:1001:r--,g::r--,g:2001:rw-,m::rw-,o::--x")));
}

fn fchmod_changes_mask(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    acl::set(c.p("f"), ACCESS, &full()).unwrap();
    fchmod(&fd, 0o600).unwrap();
    assert_eq!(acl::get(c.p("f"), ACCESS), Ok(full().replace("m::rw-", "m::---")));
}

fn chmod_of_minimal(c: &Ctx<'_>) {
    let f = &file(c);
    chmod(f, 0o640).unwrap();
    assert_eq!(getxattr(f, ACCESS), Err(ENODATA));
}

fn remove_access(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    removexattr(f, ACCESS).unwrap();
    // The mode stays as the mask made it.
    assert_eq!((perm(f), getxattr(f, ACCESS)), (0o660, Err(ENODATA)));
}

fn remove_default(c: &Ctx<'_>) {
    acl::set(&c.dir, DEFAULT, &full()).unwrap();
    removexattr(&c.dir, DEFAULT).unwrap();
    assert_eq!(getxattr(&c.dir, DEFAULT), Err(ENODATA));
    touch(c.p("f"));
    assert_eq!(perm(c.p("f")), 0o644);
}

fn removing_none(c: &Ctx<'_>) {
    let f = &file(c);
    assert_eq!((removexattr(f, ACCESS), removexattr(&c.dir, DEFAULT)), (Ok(()), Ok(())));
    assert_eq!(removexattr(f, DEFAULT), Ok(()));
}

fn default_only_on_directories(c: &Ctx<'_>) {
    fails(acl::set(file(c), DEFAULT, &full()), EACCES);
    assert_eq!(getxattr(c.p("f"), DEFAULT), Err(ENODATA));
}

fn on_symlink(c: &Ctx<'_>) {
    symlink("f", c.p("l")).unwrap();
    fails(lsetxattr(c.p("l"), ACCESS, &acl::encode(&acl::text(&full())), 0), EOPNOTSUPP);
    fails(getxattr(c.p("l"), ACCESS), EOPNOTSUPP);
    file(c);
    acl::set(c.p("l"), ACCESS, &full()).unwrap();
    assert_eq!(acl::get(c.p("f"), ACCESS), Ok(full()));
}

fn on_fifo(c: &Ctx<'_>) {
    mknod(c.p("n"), S_IFIFO | 0o600, 0).unwrap();
    acl::set(c.p("n"), ACCESS, &full()).unwrap();
    assert_eq!((acl::get(c.p("n"), ACCESS), perm(c.p("n"))), (Ok(full()), 0o660));
    fails(acl::set(c.p("n"), DEFAULT, &full()), EACCES);
}

fn listed(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    acl::set(c.p("d"), ACCESS, &full()).unwrap();
    acl::set(c.p("d"), DEFAULT, &full()).unwrap();
    setxattr(c.p("d"), "user.a", b"", 0).unwrap();
    assert_eq!(listxattr(c.p("d")), [ACCESS, DEFAULT, "user.a"]);
    let (len, raw) = listxattr_len(c.p("d"), 1000).unwrap();
    assert_eq!((len, raw.starts_with(ACCESS.as_bytes())), (24 + 25 + 7, true));
}

fn sizes(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    assert_eq!(getxattr_len(f, ACCESS, 0).unwrap().0, 4 + 6 * 8);
    fails(getxattr_len(f, ACCESS, 51), ERANGE);
    assert_eq!(getxattr_len(f, ACCESS, 52).unwrap().0, 52);
}

fn bad(c: &Ctx<'_>, bytes: &[u8]) -> R {
    setxattr(c.p("f"), ACCESS, bytes, 0)
}

fn malformed_sizes(c: &Ctx<'_>) {
    file(c);
    let good = acl::encode(&acl::text(&full()));
    for len in [1, 2, 3, 5, 11, 13, 51] {
        fails(bad(c, &good[..len]), EINVAL);
    }
    let mut long = good.clone();
    long.push(0);
    fails(bad(c, &long), EINVAL);
    assert_eq!((perm(c.p("f")), getxattr(c.p("f"), ACCESS)), (0o644, Err(ENODATA)));
}

fn malformed_versions(c: &Ctx<'_>) {
    file(c);
    for version in [0u32, 1, 3, 0xffff_ffff] {
        let mut bytes = acl::encode(&acl::text(&full()));
        bytes[..4].copy_from_slice(&version.to_le_bytes());
        fails(bad(c, &bytes), EOPNOTSUPP);
    }
}

fn malformed_entries(c: &Ctx<'_>) {
    file(c);
    let good = acl::text(&full());
    let with = |index: usize, entry: Entry| {
        let mut entries = good.clone();
        entries[index] = entry;
        acl::encode(&entries)
    };
    // An unknown tag, a permission that is none, an id that is none, a tag twice.
    fails(bad(c, &with(1, (0x40, 4, 1001))), EINVAL);
    fails(bad(c, &with(0, (acl::OWNER, 8, acl::NONE))), EINVAL);
    fails(bad(c, &with(0, (acl::OWNER, 0xffff, acl::NONE))), EINVAL);
    fails(bad(c, &with(1, (acl::USER, 4, acl::NONE))), EINVAL);
    fails(bad(c, &with(3, (acl::GROUP, 4, acl::NONE))), EINVAL);
    fails(bad(c, &with(1, (acl::OWNER, 4, acl::NONE))), EINVAL);
    fails(bad(c, &with(4, (acl::OTHER, 4, acl::NONE))), EINVAL);
    fails(bad(c, &with(0, (acl::MASK, 4, acl::NONE))), EINVAL);
}

fn malformed_order(c: &Ctx<'_>) {
    file(c);
    let mut entries = acl::text(&full());
    entries.swap(0, 1);
    fails(bad(c, &acl::encode(&entries)), EINVAL);
    let mut entries = acl::text(&full());
    entries.reverse();
    fails(bad(c, &acl::encode(&entries)), EINVAL);
    for missing in ["u::rw-,g::r--", "u::rw-,o::r--", "g::rw-,o::r--"] {
        fails(acl::set(c.p("f"), ACCESS, missing), EINVAL);
    }
}

fn missing_mask(c: &Ctx<'_>) {
    file(c);
    fails(acl::set(c.p("f"), ACCESS, &named("u::rw-,u:1001:r--,g::r--,o::---")), EINVAL);
    fails(acl::set(c.p("f"), ACCESS, &named("u::rw-,g::r--,g:2001:r--,o::---")), EINVAL);
}

fn empty_acl_removes(c: &Ctx<'_>) {
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    // Only a header: no entries, which is no ACL.
    bad(c, &2u32.to_le_bytes()).unwrap();
    assert_eq!((getxattr(f, ACCESS), perm(f)), (Err(ENODATA), 0o660));
    acl::set(f, ACCESS, &full()).unwrap();
    bad(c, b"").unwrap();
    assert_eq!(getxattr(f, ACCESS), Err(ENODATA));
}

fn empty_default_removes(c: &Ctx<'_>) {
    acl::set(&c.dir, DEFAULT, &full()).unwrap();
    setxattr(&c.dir, DEFAULT, &2u32.to_le_bytes(), 0).unwrap();
    assert_eq!(getxattr(&c.dir, DEFAULT), Err(ENODATA));
}

fn minimal_default_is_kept(c: &Ctx<'_>) {
    acl::set(&c.dir, DEFAULT, "u::rwx,g::r-x,o::---").unwrap();
    assert_eq!(acl::get(&c.dir, DEFAULT), Ok("u::rwx,g::r-x,o::---".into()));
}

fn create_and_replace_flags(c: &Ctx<'_>) {
    // The kernel ignores XATTR_CREATE and XATTR_REPLACE for ACLs.
    let f = &file(c);
    let bytes = acl::encode(&acl::text(&full()));
    assert_eq!(setxattr(f, ACCESS, &bytes, XATTR_REPLACE), Ok(()));
    assert_eq!(setxattr(f, ACCESS, &bytes, XATTR_CREATE), Ok(()));
    assert_eq!(acl::get(f, ACCESS), Ok(full()));
}

fn largest(c: &Ctx<'_>) {
    // As many entries as 64 KiB hold.
    let f = &file(c);
    let make = |users: u32| {
        let mut entries = vec![(acl::OWNER, 6, acl::NONE)];
        entries.extend((1..=users).map(|id| (acl::USER, 4, id)));
        entries.extend([(acl::OWNING, 4, acl::NONE), (acl::MASK, 6, acl::NONE), (acl::OTHER, 0, acl::NONE)]);
        acl::encode(&entries)
    };
    let small = make(500);
    setxattr(f, ACCESS, &small, 0).unwrap();
    assert_eq!(getxattr(f, ACCESS), Ok(small));
    let big = make(8_000);
    if c.differs() {
        fails(setxattr(f, ACCESS, &big, 0), E2BIG);
        return;
    }
    setxattr(f, ACCESS, &big, 0).unwrap();
    assert_eq!(getxattr(f, ACCESS), Ok(big));
    fails(setxattr(f, ACCESS, &make(8_200), 0), E2BIG);
}

const INHERITED: &str = "u::rwx,u:1001:r-x,g::r-x,m::rwx,o::r-x";

fn with_default(c: &Ctx<'_>, text: &str) {
    acl::set(&c.dir, DEFAULT, &named(text)).unwrap();
}

fn inherit_file(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    open_mode(c.p("f"), O_CREAT | O_WRONLY, 0o666).unwrap();
    assert_eq!(acl::get(c.p("f"), ACCESS), Ok(named("u::rw-,u:1001:r-x,g::r-x,m::rw-,o::r--")));
    assert_eq!((perm(c.p("f")), getxattr(c.p("f"), DEFAULT)), (0o664, Err(ENODATA)));
}

fn inherit_directory(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    mkdir(c.p("d"), 0o777).unwrap();
    assert_eq!(acl::get(c.p("d"), ACCESS), Ok(named(INHERITED)));
    assert_eq!((acl::get(c.p("d"), DEFAULT), perm(c.p("d"))), (Ok(named(INHERITED)), 0o775));
    mkdir(c.p("e"), 0o700).unwrap();
    assert_eq!(acl::get(c.p("e"), ACCESS), Ok(named("u::rwx,u:1001:r-x,g::r-x,m::---,o::---")));
    assert_eq!(acl::get(c.p("e"), DEFAULT), Ok(named(INHERITED)));
}

fn inherit_ignores_umask(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    sys::umask(0o077);
    open_mode(c.p("f"), O_CREAT | O_WRONLY, 0o666).unwrap();
    mkdir(c.p("d"), 0o777).unwrap();
    mknod(c.p("n"), S_IFIFO | 0o666, 0).unwrap();
    assert_eq!((perm(c.p("f")), perm(c.p("d")), perm(c.p("n"))), (0o664, 0o775, 0o664));
}

fn inherit_mask_from_mode(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    for (mode, want) in [(0o600, "u::rw-,u:1001:r-x,g::r-x,m::---,o::---"), (0o777, INHERITED), (0o070, "u::---,u:1001:r-x,g::r-x,m::rwx,o::---")] {
        let f = c.p(&format!("f{mode:o}"));
        open_mode(&f, O_CREAT | O_WRONLY, mode).unwrap();
        assert_eq!(acl::get(&f, ACCESS), Ok(named(want)), "{mode:o}");
    }
}

fn inherit_minimal(c: &Ctx<'_>) {
    // A default ACL without a mask narrows the mode and leaves no ACL behind.
    with_default(c, "u::rwx,g::r-x,o::---");
    sys::umask(0);
    open_mode(c.p("f"), O_CREAT | O_WRONLY, 0o666).unwrap();
    mkdir(c.p("d"), 0o777).unwrap();
    assert_eq!((perm(c.p("f")), getxattr(c.p("f"), ACCESS)), (0o640, Err(ENODATA)));
    assert_eq!((perm(c.p("d")), getxattr(c.p("d"), ACCESS)), (0o750, Err(ENODATA)));
    assert_eq!(acl::get(c.p("d"), DEFAULT), Ok("u::rwx,g::r-x,o::---".into()));
}

fn inherit_mknod(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    mknod(c.p("n"), S_IFIFO | 0o660, 0).unwrap();
    mknod(c.p("r"), S_IFREG | 0o660, 0).unwrap();
    for name in ["n", "r"] {
        assert_eq!(acl::get(c.p(name), ACCESS), Ok(named("u::rw-,u:1001:r-x,g::r-x,m::rw-,o::---")));
    }
}

fn inherit_not_symlink(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    symlink("x", c.p("l")).unwrap();
    assert_eq!((perm(c.p("l")), listxattr(c.p("l"))), (0o777, vec![]));
}

fn inherit_setgid_and_sticky(c: &Ctx<'_>) {
    chmod(&c.dir, 0o2755).unwrap();
    with_default(c, INHERITED);
    mkdir(c.p("d"), 0o1777).unwrap();
    assert_eq!(perm(c.p("d")), 0o3775);
}

fn inherit_open_excl_mode(c: &Ctx<'_>) {
    with_default(c, "u::---,u:1001:---,g::---,m::---,o::---");
    let fd = open_mode(c.p("f"), O_CREAT | O_EXCL | O_RDWR, 0o666).unwrap();
    assert_eq!((sys::write(&fd, b"x"), perm(c.p("f"))), (Ok(1), 0));
}

fn inherit_chain(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    std::fs::create_dir_all(c.p("a/b/c")).unwrap();
    touch(c.p("a/b/c/f"));
    assert_eq!(acl::get(c.p("a/b/c"), DEFAULT), Ok(named(INHERITED)));
    assert_eq!(acl::get(c.p("a/b/c/f"), ACCESS), Ok(named("u::rw-,u:1001:r-x,g::r-x,m::r--,o::r--")));
}

fn no_inheritance_of_access(c: &Ctx<'_>) {
    acl::set(&c.dir, ACCESS, &named(INHERITED)).unwrap();
    touch(c.p("f"));
    mkdir(c.p("d"), 0o755).unwrap();
    assert_eq!((getxattr(c.p("f"), ACCESS), getxattr(c.p("d"), ACCESS)), (Err(ENODATA), Err(ENODATA)));
}

fn umask_without_default(c: &Ctx<'_>) {
    with_default(c, INHERITED);
    removexattr(&c.dir, DEFAULT).unwrap();
    sys::umask(0o077);
    open_mode(c.p("f"), O_CREAT | O_WRONLY, 0o666).unwrap();
    assert_eq!(perm(c.p("f")), 0o600);
}

fn copy_by_rename(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o755).unwrap();
    acl::set(c.p("d"), DEFAULT, &named(INHERITED)).unwrap();
    let f = &file(c);
    acl::set(f, ACCESS, &full()).unwrap();
    // A rename into a directory with a default ACL changes nothing.
    rename(f, c.p("d/f")).unwrap();
    assert_eq!(acl::get(c.p("d/f"), ACCESS), Ok(full()));
    link(c.p("d/f"), c.p("g")).unwrap();
    chmod(c.p("g"), 0o600).unwrap();
    assert_eq!(acl::get(c.p("d/f"), ACCESS), Ok(full().replace("m::rw-", "m::---")));
}

fn unlinked_file(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    unlink(c.p("f")).unwrap();
    let path = format!("/proc/self/fd/{}", sys::raw(&fd));
    acl::set(&path, ACCESS, &full()).unwrap();
    assert_eq!(fstat(&fd).unwrap().perm(), 0o660);
}

fn exec_bits_without_mask(c: &Ctx<'_>) {
    // The mode that a program sees is the mask's, the owning group's entry is not changed by it.
    let f = &file(c);
    acl::set(f, ACCESS, &named("u::rwx,u:1001:--x,g::rwx,m::r--,o::---")).unwrap();
    chmod(f, 0o750).unwrap();
    assert_eq!(acl::get(f, ACCESS), Ok(named("u::rwx,u:1001:--x,g::rwx,m::r-x,o::---")));
}

fn set_by_descriptor(c: &Ctx<'_>) {
    let fd = put(c.p("f"), b"");
    let (name, bytes) = (std::ffi::CString::new(ACCESS).unwrap(), acl::encode(&acl::text(&full())));
    let set = crate::syscall!(libc::SYS_fsetxattr, sys::raw(&fd), name.as_ptr(), bytes.as_ptr(), bytes.len(), 0);
    assert_eq!((set, acl::get(c.p("f"), ACCESS)), (Ok(0), Ok(full())));
}
