//! The value of `system.posix_acl_access`, which programs hand in as they like: what is accepted is a valid list,
//! comes back byte for byte, and obeys the rules that tie a list to a mode.
#![no_main]

use libfuzzer_sys::fuzz_target;
use shmfs::errno::Errno;
use shmfs::store::acl::{Acl, of_new_inode};

const NO_ID: u32 = u32::MAX;

/// The entries as the value tells them: tag, permissions, id.
fn entries(value: &[u8]) -> Vec<(u16, u16, u32)> {
    let entry = |bytes: &[u8]| {
        let half = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let id = u32::from_le_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]);
        (half(0), half(2), id)
    };
    value[4..].chunks_exact(8).map(entry).collect()
}

/// `posix_acl_from_xattr` and `posix_acl_valid`, written anew: a state for what may come next.
fn kernel_accepts(value: &[u8]) -> Result<bool, Errno> {
    if value.len() < 4 {
        return Err(Errno::EINVAL);
    }
    if value[..4] != [2, 0, 0, 0] {
        return Err(Errno::EOPNOTSUPP);
    }
    if value.len() % 8 != 4 {
        return Err(Errno::EINVAL);
    }
    let (mut next, mut needs_mask) = (1, false);
    for (tag, perm, id) in entries(value) {
        let fits = match tag {
            0x01 | 0x02 | 0x04 | 0x08 => next == [1, 2, 2, 8][tag.trailing_zeros() as usize],
            0x10 => next == 8,
            0x20 => next == 0x20 || next == 8 && !needs_mask,
            _ => false,
        };
        if !fits || perm > 7 || tag & 0x0a != 0 && id == NO_ID {
            return Err(Errno::EINVAL);
        }
        needs_mask |= tag & 0x0a != 0;
        next = [2, 2, 8, 8, 0x20, 0][tag.trailing_zeros() as usize];
    }
    match value.len() {
        4 => Ok(false),
        _ if next == 0 => Ok(true),
        _ => Err(Errno::EINVAL),
    }
}

fuzz_target!(|value: &[u8]| {
    let read = Acl::from_xattr(value);
    assert_eq!(
        read.as_ref().map(Option::is_some).map_err(|errno| *errno),
        kernel_accepts(value)
    );
    let Ok(Some(list)) = read else { return };

    // Ids of entries that have none are not kept.
    let with_id =
        |&(tag, perm, id): &(u16, u16, u32)| (tag, perm, if tag & 0x0a == 0 { NO_ID } else { id });
    let written = list.to_xattr();
    let expected: Vec<_> = entries(value).iter().map(with_id).collect();
    assert_eq!(entries(&written), expected);
    assert_eq!(Acl::from_xattr(&written), Ok(Some(list.clone())));

    let (mode, equivalent) = list.mode();
    assert_eq!(mode & !0o777, 0);
    assert_eq!(equivalent, expected.len() == 3);
    for mode in [0, 0o777, 0o750, 0o123, 0o1_4777] {
        let changed = list.chmod(mode);
        assert_eq!(changed.mode(), (mode & 0o777, equivalent));
        assert_eq!(Acl::from_xattr(&changed.to_xattr()), Ok(Some(changed)));

        let (made, acls) = of_new_inode(Some(&list), mode, 0o777, true);
        assert_eq!(
            (made & !mode, made & !0o777),
            (0, mode & !0o777),
            "no bit that was not asked for"
        );
        assert_eq!(acls.default, Some(list.clone()));
        assert_eq!(acls.access.is_none(), equivalent);
        acls.access
            .inspect(|access| assert_eq!(access.mode(), (made & 0o777, false)));
    }
});
