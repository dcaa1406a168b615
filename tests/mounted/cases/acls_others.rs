//! POSIX ACLs and other users: what the kernel enforces. Root sets the stage.

use crate::acl::{self, ACCESS, DEFAULT};
use crate::consts::*;
use crate::proc::{as_member, as_user};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["acl_others";
    root: named_user, named_group, mask_limits, supplementary_group, best_of_groups, owner_entry_wins, other_when_nothing_matches, directory_search, only_owner_sets, setfacl_by_outsider_drops_sgid, setfacl_by_member_keeps_sgid, setfacl_by_root_keeps_sgid,
        default_of_others, non_owner_reads, cached_acl_is_refreshed, write_through_default, root_passes, execute_needs_a_bit, access_call, named_user_beats_group, unlink_by_acl, setgid_with_default;
];

const FULL: &str = "u::rw-,u:1002:r--,g::r--,g:2001:rw-,m::rw-,o::---";

fn perm(p: impl AsP) -> u32 {
    lstat(p).unwrap().perm()
}

fn locked(c: &Ctx<'_>, text: &str) -> std::path::PathBuf {
    let f = c.p("f");
    put(&f, b"data");
    chmod(&f, 0o600).unwrap();
    acl::set(&f, ACCESS, text).unwrap();
    f
}

/// What opening for reading and for writing gives.
fn may(f: &std::path::Path) -> (R, R) {
    (open(f, O_RDONLY).map(drop), open(f, O_WRONLY).map(drop))
}

const NO: R = Err(EACCES);

fn named_user(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:r--,u:1002:rw-,u:1003:---,g::---,m::rw-,o::---");
    as_user(1001, || assert_eq!(may(f), (Ok(()), NO)));
    as_user(1002, || assert_eq!(may(f), (Ok(()), Ok(()))));
    as_user(1003, || assert_eq!(may(f), (NO, NO)));
    as_user(1004, || assert_eq!(may(f), (NO, NO)));
}

fn named_group(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,g::---,g:2001:r--,m::rwx,o::---");
    as_member(1001, 2001, &[], || assert_eq!(may(f), (Ok(()), NO)));
    as_member(1001, 1001, &[], || assert_eq!(may(f), (NO, NO)));
}

fn mask_limits(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:rw-,g::rw-,g:2001:rw-,m::r--,o::rw-");
    as_user(1001, || assert_eq!(may(f), (Ok(()), NO)));
    as_member(1002, 2001, &[], || assert_eq!(may(f), (Ok(()), NO)));
    // The mask does not touch others.
    as_user(1003, || assert_eq!(may(f), (Ok(()), Ok(()))));
    // acl_permission_check looks at the ACL only where the group bits are not all clear.
    chmod(f, 0o606).unwrap();
    as_user(1001, || assert_eq!(may(f), (Ok(()), Ok(()))));
    chmod(f, 0o616).unwrap();
    as_user(1001, || assert_eq!(may(f), (NO, NO)));
}

fn supplementary_group(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,g::---,g:2001:rw-,m::rw-,o::---");
    as_member(1001, 1001, &[5, 2001, 7], || assert_eq!(may(f), (Ok(()), Ok(()))));
    as_member(1001, 1001, &[5, 2002, 7], || assert_eq!(may(f), (NO, NO)));
}

fn best_of_groups(c: &Ctx<'_>) {
    // Any matching group entry that grants is enough; a matching one that does not hides `other`.
    let f = &locked(c, "u::rw-,g::r--,g:2001:r--,g:2002:-w-,m::rwx,o::rw-");
    as_member(1001, 2001, &[2002], || assert_eq!(may(f), (Ok(()), Ok(()))));
    // But not two half ones together.
    as_member(1001, 2001, &[2002], || fails(open(f, O_RDWR), EACCES));
    as_member(1001, 2001, &[], || assert_eq!(may(f), (Ok(()), NO)));
}

fn owner_entry_wins(c: &Ctx<'_>) {
    let f = &locked(c, "u::---,u:1001:rw-,g::rw-,m::rw-,o::rw-");
    chown(f, 1001, 1001).unwrap();
    as_user(1001, || assert_eq!(may(f), (NO, NO)));
}

fn other_when_nothing_matches(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:---,g::---,m::rw-,o::r--");
    as_user(1001, || assert_eq!(may(f), (NO, NO)));
    as_user(1002, || assert_eq!(may(f), (Ok(()), NO)));
}

fn named_user_beats_group(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:---,g::---,g:2001:rw-,m::rw-,o::rw-");
    as_member(1001, 2001, &[2001], || assert_eq!(may(f), (NO, NO)));
}

fn directory_search(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    touch(c.p("d/f"));
    acl::set(c.p("d"), ACCESS, "u::rwx,u:1001:--x,u:1002:r--,g::---,m::rwx,o::---").unwrap();
    as_user(1001, || {
        stat(c.p("d/f")).unwrap();
        fails(open(c.p("d"), O_RDONLY), EACCES);
    });
    as_user(1002, || {
        fails(stat(c.p("d/f")), EACCES);
        assert_eq!(ls(c.p("d")), ["f"]);
    });
    as_user(1003, || fails(stat(c.p("d/f")), EACCES));
}

fn unlink_by_acl(c: &Ctx<'_>) {
    mkdir(c.p("d"), 0o700).unwrap();
    acl::set(c.p("d"), ACCESS, "u::rwx,u:1001:-wx,u:1002:r-x,g::---,m::rwx,o::---").unwrap();
    touch(c.p("d/f"));
    as_user(1002, || fails(unlink(c.p("d/f")), EACCES));
    as_user(1001, || {
        touch(c.p("d/g"));
        rename(c.p("d/g"), c.p("d/h")).unwrap();
        unlink(c.p("d/f")).unwrap();
    });
}

fn only_owner_sets(c: &Ctx<'_>) {
    let f = c.p("f");
    touch(&f);
    chmod(&f, 0o666).unwrap();
    as_user(1001, || {
        fails(acl::set(&f, ACCESS, FULL), EPERM);
        fails(removexattr(&f, ACCESS), EPERM);
        fails(acl::set(&c.dir, DEFAULT, FULL), EPERM);
    });
    chown(&f, 1001, 1001).unwrap();
    as_user(1001, || acl::set(&f, ACCESS, FULL).unwrap());
    assert_eq!(acl::get(&f, ACCESS), Ok(FULL.into()));
}

fn setgid_file(c: &Ctx<'_>) -> std::path::PathBuf {
    let f = c.p("f");
    touch(&f);
    chown(&f, 1001, 2001).unwrap();
    chmod(&f, 0o2755).unwrap();
    f
}

fn setfacl_by_outsider_drops_sgid(c: &Ctx<'_>) {
    let f = &setgid_file(c);
    as_user(1001, || acl::set(f, ACCESS, "u::rwx,u:1002:r--,g::r-x,m::r-x,o::r-x").unwrap());
    assert_eq!(perm(f), 0o755);
    // The same for an ACL that is only a mode.
    chmod(f, 0o2755).unwrap();
    as_user(1001, || acl::set(f, ACCESS, "u::rwx,g::r-x,o::r-x").unwrap());
    assert_eq!(perm(f), 0o755);
}

fn setfacl_by_member_keeps_sgid(c: &Ctx<'_>) {
    let f = &setgid_file(c);
    as_member(1001, 1001, &[2001], || acl::set(f, ACCESS, "u::rwx,u:1002:r--,g::r-x,m::r-x,o::r-x").unwrap());
    assert_eq!(perm(f), 0o2755);
    as_member(1001, 2001, &[], || acl::set(f, ACCESS, "u::rwx,u:1002:r--,g::r-x,m::r-x,o::r--").unwrap());
    assert_eq!(perm(f), 0o2754);
}

fn setfacl_by_root_keeps_sgid(c: &Ctx<'_>) {
    let f = &setgid_file(c);
    acl::set(f, ACCESS, "u::rwx,u:1002:r--,g::r-x,m::r-x,o::r-x").unwrap();
    assert_eq!(perm(f), 0o2755);
}

fn default_of_others(c: &Ctx<'_>) {
    chmod(&c.dir, 0o777).unwrap();
    acl::set(&c.dir, DEFAULT, "u::rwx,u:1002:rwx,g::---,m::rwx,o::---").unwrap();
    as_user(1001, || drop(put(c.p("f"), b"data")));
    as_user(1002, || assert_eq!(may(&c.p("f")), (Ok(()), NO)));
    as_user(1003, || assert_eq!(may(&c.p("f")), (NO, NO)));
    assert_eq!(acl::get(c.p("f"), ACCESS), Ok("u::rw-,u:1002:rwx,g::---,m::r--,o::---".into()));
}

fn non_owner_reads(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:rw-,g::---,m::rw-,o::---");
    // Reading an ACL needs no permission on the file.
    as_user(1005, || assert_eq!(acl::get(f, ACCESS).unwrap(), "u::rw-,u:1001:rw-,g::---,m::rw-,o::---"));
}

fn cached_acl_is_refreshed(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:rw-,g::---,m::rw-,o::---");
    for _ in 0..3 {
        as_user(1001, || assert_eq!(may(f), (Ok(()), Ok(()))));
        acl::set(f, ACCESS, "u::rw-,u:1001:---,g::---,m::rw-,o::---").unwrap();
        as_user(1001, || assert_eq!(may(f), (NO, NO)));
        removexattr(f, ACCESS).unwrap();
        as_user(1001, || assert_eq!(may(f), (NO, NO)));
        acl::set(f, ACCESS, "u::rw-,u:1001:rw-,g::---,m::rw-,o::---").unwrap();
    }
}

fn write_through_default(c: &Ctx<'_>) {
    chmod(&c.dir, 0o755).unwrap();
    acl::set(&c.dir, DEFAULT, "u::rwx,u:1001:rwx,g::r-x,m::rwx,o::r-x").unwrap();
    // A default ACL gives nothing on the directory itself.
    as_user(1001, || fails(open(c.p("f"), O_CREAT | O_RDWR), EACCES));
}

fn root_passes(c: &Ctx<'_>) {
    let f = &locked(c, "u::---,u:1001:---,g::---,m::---,o::---");
    assert_eq!(may(f), (Ok(()), Ok(())));
}

fn execute_needs_a_bit(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:--x,g::---,m::rw-,o::---");
    // The mask hides the only x: not even root may.
    fails(sys::access(f, X_OK), EACCES);
    acl::set(f, ACCESS, "u::rw-,u:1001:--x,g::---,m::--x,o::---").unwrap();
    sys::access(f, X_OK).unwrap();
    as_user(1001, || sys::access(f, X_OK).unwrap());
}

fn access_call(c: &Ctx<'_>) {
    let f = &locked(c, "u::rw-,u:1001:r--,g::---,m::rw-,o::---");
    as_user(1001, || assert_eq!((sys::access(f, R_OK), sys::access(f, W_OK)), (Ok(()), NO)));
}

fn setgid_with_default(c: &Ctx<'_>) {
    chown(&c.dir, 0, 2001).unwrap();
    chmod(&c.dir, 0o2777).unwrap();
    acl::set(&c.dir, DEFAULT, "u::rwx,u:1002:r--,g::rwx,m::rwx,o::r-x").unwrap();
    as_user(1001, || {
        open_mode(c.p("f"), O_CREAT | O_WRONLY, 0o2775).unwrap();
        mkdir(c.p("d"), 0o777).unwrap();
    });
    let (f, d) = (stat(c.p("f")).unwrap(), stat(c.p("d")).unwrap());
    assert_eq!((f.perm(), f.gid, d.perm(), d.gid), (0o775, 2001, 0o2775, 2001));
}
