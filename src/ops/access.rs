//! Who calls, and the rules of permission that the kernel leaves to us or cannot be trusted to have checked in time.

use std::cell::OnceCell;

use crate::errno::{Errno, Result};
use crate::store::State;
use crate::sys::credentials::{
    self, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_FSETID, CAP_SYS_ADMIN, CAP_SYS_RESOURCE, Credentials,
};

/// Who makes a request.
#[derive(Clone, Debug)]
pub struct Caller {
    /// File-system user id.
    pub uid: u32,
    /// File-system group id.
    pub gid: u32,
    /// Thread id; 0 where it cannot be seen.
    pub pid: u32,
    credentials: OnceCell<Credentials>,
}

impl Caller {
    /// As a request says; groups and capabilities are read when a rule asks for them.
    pub fn new(uid: u32, gid: u32, pid: u32) -> Caller {
        Caller {
            uid,
            gid,
            pid,
            credentials: OnceCell::new(),
        }
    }

    /// With these groups and capabilities.
    pub fn with(uid: u32, gid: u32, credentials: Credentials) -> Caller {
        Caller {
            uid,
            gid,
            pid: 0,
            credentials: OnceCell::from(credentials),
        }
    }

    fn credentials(&self) -> &Credentials {
        self.credentials
            .get_or_init(|| match credentials::of_thread(self.pid) {
                Some(credentials) => credentials,
                // Gone, or in a process namespace that we do not see: root is taken to be whole.
                None => Credentials {
                    groups: Vec::new(),
                    capabilities: if self.uid == 0 { u64::MAX } else { 0 },
                    ..Credentials::default()
                },
            })
    }

    fn has(&self, capability: u32) -> bool {
        self.credentials().capabilities >> capability & 1 == 1
    }

    /// `capable`: in the initial user namespace. Whoever makes a namespace has all capabilities in there.
    fn is_capable(&self, capability: u32) -> bool {
        self.has(capability) && !self.credentials().contained
    }

    /// `capable_wrt_inode_uidgid`: in a namespace that has the file's owner and group.
    fn is_capable_of(&self, state: &State, capability: u32) -> bool {
        let credentials = self.credentials();
        self.has(capability) && credentials.uids.has(state.uid) && credentials.gids.has(state.gid)
    }

    fn is_in_group(&self, gid: u32) -> bool {
        self.gid == gid || self.credentials().groups.contains(&gid)
    }

    /// `CAP_SYS_ADMIN`: may see `trusted.*`.
    pub(super) fn is_admin(&self) -> bool {
        self.is_capable(CAP_SYS_ADMIN)
    }

    /// `ignore_hardlimit` (fs/quota/dquot.c): no user's limit holds.
    pub(super) fn has_no_quota(&self) -> bool {
        self.is_capable(CAP_SYS_RESOURCE)
    }

    /// `inode_owner_or_capable`.
    pub(super) fn owns(&self, state: &State) -> bool {
        self.uid == state.uid || self.uid == 0 || self.is_capable_of(state, CAP_FOWNER)
    }
}

/// `check_sticky`: a name in a sticky directory goes at the hand of its owner or the directory's.
pub(super) fn may_delete(
    caller: &Caller,
    dir_mode: u32,
    dir_uid: u32,
    victim: &State,
) -> Result<()> {
    let free = dir_mode & libc::S_ISVTX == 0 || caller.uid == dir_uid;
    if free || caller.owns(victim) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// What mode and ACL grant of `want`, as bits of `rwx` (`acl_permission_check`); a caller who is not known is
/// anybody.
fn granted(caller: Option<&Caller>, state: &State, want: u32) -> u32 {
    let acl = state.acls.as_ref().and_then(|acls| acls.access.as_ref());
    match (caller, acl) {
        (None, Some(_)) => 0,
        (None, None) => state.mode & state.mode >> 3 & state.mode >> 6,
        (Some(caller), _) if caller.uid == state.uid => state.mode >> 6,
        (Some(caller), Some(acl)) => {
            acl.granted(caller.uid, state.gid, want, |gid| caller.is_in_group(gid))
        }
        (Some(caller), None) if caller.is_in_group(state.gid) => state.mode >> 3,
        (Some(_), None) => state.mode,
    }
}

fn check_access(caller: Option<&Caller>, state: &State, want: u32) -> Result<()> {
    let privileged = |caller: &Caller| caller.is_capable_of(state, CAP_DAC_OVERRIDE);
    if granted(caller, state, want) & want == want || caller.is_some_and(privileged) {
        Ok(())
    } else {
        Err(Errno::EACCES)
    }
}

/// Whether names in a directory are the caller's to change.
pub(super) fn may_write(caller: Option<&Caller>, dir: &State) -> Result<()> {
    check_access(caller, dir, 0o3)
}

/// Whether a request without a field comes from who may write: then it stands for a write. From others it is a
/// chown(2) of nothing, which only the owner may do to a file with privileges (`notify_change`, `setattr_prepare`).
pub(super) fn may_drop_privileges(caller: &Caller, file: &State) -> Result<()> {
    let privileged = file.mode & (libc::S_ISUID | libc::S_ISGID) != 0;
    // A descriptor may have come from who could open the file.
    if !privileged || file.has_writer() || caller.owns(file) {
        return Ok(());
    }
    check_access(Some(caller), file, 0o2).map_err(|_| Errno::EPERM)
}

/// Whether a file that the kernel did not see may be opened for `want`. For another user's file the kernel has
/// more rules (`may_create_in_sticky`): it must look again.
pub(super) fn may_open(caller: &Caller, file: &State, want: u32) -> Result<()> {
    check_access(Some(caller), file, want)?;
    if caller.uid == file.uid {
        Ok(())
    } else {
        Err(Errno::ESTALE)
    }
}

/// The mode of a file whose contents or owner changed (`setattr_should_drop_suidgid`), the capability aside.
pub(super) fn without_privileges(caller: &Caller, state: &State) -> u32 {
    let mut mode = state.mode & !libc::S_ISUID;
    if mode & libc::S_ISGID != 0 && (mode & libc::S_IXGRP != 0 || !keeps_setgid(caller, state)) {
        mode &= !libc::S_ISGID;
    }
    mode
}

/// The same for a change of contents: who has `CAP_FSETID` changes nothing.
pub(super) fn after_write(caller: &Caller, state: &State) -> u32 {
    let privileged = state.mode & (libc::S_ISUID | libc::S_ISGID) != 0;
    if !privileged || caller.is_capable(CAP_FSETID) {
        return state.mode;
    }
    without_privileges(caller, state)
}

/// `in_group_or_capable`.
pub(super) fn keeps_setgid(caller: &Caller, state: &State) -> bool {
    caller.is_in_group(state.gid) || caller.is_capable_of(state, CAP_FSETID)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::slots::Slots;
    use crate::store::{DataState, Mark};
    use crate::sys::credentials::IdMap;
    use crate::types::Timestamp;

    fn state(mode: u32, uid: u32, gid: u32) -> State {
        let now = Timestamp::default();
        State {
            mode,
            uid,
            gid,
            nlink: 1,
            atime: now,
            mtime: now,
            ctime: now,
            btime: now,
            xattrs: None,
            acls: None,
            data: DataState::default(),
            cell: Slots::default().take(1).cell().clone(),
            gone: false,
            kept: Mark::default(),
        }
    }

    fn user(uid: u32, groups: &[u32]) -> Caller {
        Caller::with(
            uid,
            uid,
            Credentials {
                groups: groups.to_vec(),
                capabilities: 0,
                ..Credentials::default()
            },
        )
    }

    #[test]
    fn sticky() {
        let file = state(0o644, 1000, 1000);
        let fowner = Credentials {
            groups: vec![],
            capabilities: 1 << CAP_FOWNER,
            ..Credentials::default()
        };
        for (caller, dir_mode, dir_uid, verdict) in [
            (user(2, &[]), 0o777, 0, Ok(())),
            (user(2, &[]), 0o1777, 0, Err(Errno::EPERM)),
            (user(1000, &[]), 0o1777, 0, Ok(())),
            (user(0, &[]), 0o1777, 3, Ok(())),
            (user(5, &[]), 0o1777, 5, Ok(())),
            (Caller::with(2, 2, fowner), 0o1777, 0, Ok(())),
        ] {
            assert_eq!(
                may_delete(&caller, dir_mode, dir_uid, &file),
                verdict,
                "{caller:?}"
            );
        }
    }

    #[test]
    fn privileges_go_with_the_contents() {
        for (mode, uid, groups, left) in [
            (0o4755, 1000, &[][..], 0o755),
            (0o6755, 1000, &[50], 0o755),
            (0o2745, 1000, &[50], 0o2745),
            (0o2745, 1000, &[], 0o745),
            (0o644, 1000, &[], 0o644),
        ] {
            assert_eq!(
                after_write(&user(uid, groups), &state(mode, 1000, 50)),
                left,
                "{mode:o}"
            );
        }
        let root = Caller::with(
            0,
            0,
            Credentials {
                groups: vec![],
                capabilities: u64::MAX,
                ..Credentials::default()
            },
        );
        assert_eq!(after_write(&root, &state(0o6755, 0, 0)), 0o6755);
        assert_eq!(without_privileges(&root, &state(0o6745, 0, 50)), 0o2745);
    }

    #[test]
    fn capabilities_count_where_the_namespace_has_the_file() {
        let own = IdMap::parse("0 1000 1\n1 100000 65536").unwrap();
        let credentials = Credentials {
            groups: vec![],
            capabilities: u64::MAX,
            uids: own.clone(),
            gids: own,
            contained: true,
        };
        let caller = Caller::with(1000, 1000, credentials);
        // Its own file of a foreign group, a contained one, one of the host's.
        assert!(!keeps_setgid(&caller, &state(0o2745, 1000, 50)));
        assert!(keeps_setgid(&caller, &state(0o2745, 100_001, 100_050)));
        assert!(caller.owns(&state(0o644, 100_001, 100_001)));
        assert!(!caller.owns(&state(0o644, 1001, 1001)));
        assert_eq!(after_write(&caller, &state(0o4755, 0, 1000)), 0o755);
        assert!(!caller.is_admin());
    }
}
