//! Random operations: few names and few objects, so that they meet.

use std::collections::BTreeMap;

use proptest::prelude::*;
use shmfs::ops::{RenameMode, WriteFlags};
use shmfs::types::Timestamp;

use crate::acl::{AclValue, List};

/// Chooses one of the objects at hand, counted round.
#[derive(Clone, Copy, Debug)]
pub struct Pick(pub u8);

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    /// All capabilities.
    Root,
    /// 1000, of the groups 1000 and 50, no capability.
    Member,
    /// 1001, of the group 1001, no capability.
    Stranger,
}

/// What mknod is to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    Regular,
    Directory,
    Fifo,
    Socket,
    Char,
    Block,
}

/// A time for utimensat(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Time {
    Omit,
    Now,
    At(i64, u32),
}

/// Which list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    Access,
    Default,
}

/// A directory and a name in it.
#[derive(Clone, Debug)]
pub struct At {
    pub dir: Pick,
    pub name: Vec<u8>,
}

/// One operation.
#[derive(Clone, Debug)]
pub enum Op {
    Lookup(At),
    Forget(Pick, u8),
    Mknod(Who, At, Made, u32, u32),
    Symlink(Who, At, usize),
    Create(Who, At, u32, u32, bool),
    Open(Pick, bool),
    Release(Pick),
    Link(Pick, At),
    Unlink(Who, At),
    Rmdir(Who, At),
    Rename(Who, At, At, RenameMode),
    Chmod(Who, Pick, u32),
    Chown(Who, Pick, Option<u32>, Option<u32>),
    Utimes(Who, Pick, Time, Time),
    KillPrivileges(Who, Pick),
    Truncate(Who, Pick, u64, bool),
    Write(Who, Pick, u64, usize, u8, WriteFlags),
    Read(Pick, u64, usize),
    Fallocate(Pick, u32, u64, u64),
    Lseek(Pick, i64, i32),
    Copy(Pick, u64, Pick, u64, u64),
    SetXattr(Who, Pick, Vec<u8>, usize, i32),
    RemoveXattr(Who, Pick, Vec<u8>),
    SetAcl(Who, Pick, Which, AclValue),
    RemoveAcl(Who, Pick, Which),
    Readlink(Pick),
    OpenStream(Pick),
    ReadStream(Pick, u8, bool),
    SetLimits(Option<u64>, Option<u64>),
}

fn pick() -> impl Strategy<Value = Pick> {
    any::<u8>().prop_map(Pick)
}

fn who() -> impl Strategy<Value = Who> {
    prop_oneof![3 => Just(Who::Root), 2 => Just(Who::Member), 2 => Just(Who::Stranger)]
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        30 => prop::sample::select(&[b"a", b"b", b"c", b"d"][..]).prop_map(|name| name.to_vec()),
        1 => Just(vec![b'x'; 255]),
        1 => Just(vec![b'x'; 256]),
        1 => Just(vec![0xff, b'\n']),
    ]
}

fn at() -> impl Strategy<Value = At> {
    (pick(), name()).prop_map(|(dir, name)| At { dir, name })
}

fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => prop::sample::select(&[0o644, 0o666, 0o755, 0o777, 0o600][..]),
        2 => prop::sample::select(&[0o4755, 0o2755, 0o2745, 0o6777, 0o1777, 0o2777][..]),
        1 => 0..0o10000u32,
    ]
}

fn umask() -> impl Strategy<Value = u32> {
    prop::sample::select(&[0, 0o022, 0o077][..])
}

fn rename_mode() -> impl Strategy<Value = RenameMode> {
    prop_oneof![
        5 => Just(RenameMode::Replace),
        2 => Just(RenameMode::NoReplace),
        2 => Just(RenameMode::Exchange),
        1 => any::<bool>().prop_map(RenameMode::Whiteout),
    ]
}

fn time() -> impl Strategy<Value = Time> {
    prop_oneof![
        2 => Just(Time::Omit),
        2 => Just(Time::Now),
        2 => prop::sample::select(&[
            (0, 0), (-1, 999_999_999), (1_000_000_000, 1), (4_000_000_000, 0),
            (i64::MIN, 0), (i64::MAX, 0),
        ][..]).prop_map(|(sec, nsec)| Time::At(sec, nsec)),
    ]
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![
        6 => 0..20_000u64,
        4 => (0..10u64).prop_map(|page| page * 4096),
        2 => 0..120_000u64,
        1 => prop::sample::select(&[1 << 40, i64::MAX as u64, u64::MAX][..]),
    ]
}

fn len() -> impl Strategy<Value = u64> {
    prop_oneof![1 => Just(0), 4 => 1..5000u64, 4 => (1..8u64).prop_map(|page| page * 4096), 1 => 0..80_000u64]
}

fn write_flags() -> impl Strategy<Value = WriteFlags> {
    (prop::bool::weighted(0.3), prop::bool::weighted(0.3)).prop_map(
        |(from_cache, kill_privileges)| WriteFlags {
            from_cache,
            kill_privileges,
            append: false,
        },
    )
}

const KNOWN: &[&[u8]] = &[b"user.a", b"user.b", b"trusted.t", b"security.capability"];
const UNKNOWN: &[&[u8]] = &[b"user.", b"system.x", b"x", b""];

fn xattr_name() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        8 => prop::sample::select(KNOWN).prop_map(<[u8]>::to_vec),
        1 => prop::sample::select(UNKNOWN).prop_map(<[u8]>::to_vec),
        1 => Just([b"user.".as_slice(), &[b'n'; 251]].concat()),
    ]
}

fn list() -> impl Strategy<Value = List> {
    let named = |ids: &'static [u32]| {
        prop::collection::btree_map(prop::sample::select(ids), 0..8u32, 0..=ids.len())
    };
    (
        0..8u32,
        named(&[1000, 1001]),
        0..8u32,
        named(&[50]),
        prop::option::of(0..8u32),
        0..8u32,
    )
        .prop_map(|(owner, users, group, groups, mask, other)| {
            let named = !(BTreeMap::is_empty(&users) && groups.is_empty());
            let mask = mask.or(named.then_some(5));
            List {
                owner,
                users,
                group,
                groups,
                mask,
                other,
            }
        })
}

fn acl() -> impl Strategy<Value = AclValue> {
    prop_oneof![
        10 => list().prop_map(AclValue::List),
        1 => Just(AclValue::Empty),
        1 => Just(AclValue::OtherVersion),
        1 => Just(AclValue::Unmasked),
        1 => Just(AclValue::Short),
    ]
}

fn which() -> impl Strategy<Value = Which> {
    prop_oneof![Just(Which::Access), Just(Which::Default)]
}

fn made() -> impl Strategy<Value = Made> {
    prop_oneof![
        2 => Just(Made::Regular),
        6 => Just(Made::Directory),
        1 => Just(Made::Fifo),
        1 => Just(Made::Socket),
        1 => Just(Made::Char),
        1 => Just(Made::Block),
    ]
}

/// Changes of names.
fn tree_op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => at().prop_map(Op::Lookup),
        3 => (pick(), 1..3u8).prop_map(|(who, count)| Op::Forget(who, count)),
        5 => (who(), at(), made(), mode(), umask()).prop_map(|(w, at, made, m, u)| Op::Mknod(w, at, made, m, u)),
        1 => (who(), at(), prop::sample::select(&[1usize, 126, 127, 4095][..]))
            .prop_map(|(w, at, len)| Op::Symlink(w, at, len)),
        5 => (who(), at(), mode(), umask(), any::<bool>()).prop_map(|(w, at, m, u, x)| Op::Create(w, at, m, u, x)),
        2 => (pick(), any::<bool>()).prop_map(|(which, writable)| Op::Open(which, writable)),
        3 => pick().prop_map(Op::Release),
        3 => (pick(), at()).prop_map(|(which, at)| Op::Link(which, at)),
        3 => (who(), at()).prop_map(|(w, at)| Op::Unlink(w, at)),
        2 => (who(), at()).prop_map(|(w, at)| Op::Rmdir(w, at)),
        6 => (who(), at(), at(), rename_mode()).prop_map(|(w, from, to, m)| Op::Rename(w, from, to, m)),
        1 => pick().prop_map(Op::OpenStream),
        4 => (pick(), 1..5u8, any::<bool>()).prop_map(|(which, count, plus)| Op::ReadStream(which, count, plus)),
        1 => (prop::option::of(8..40u64), prop::option::of(8..40u64))
            .prop_map(|(pages, inodes)| Op::SetLimits(pages, inodes)),
    ]
}

/// Changes of attributes.
fn attribute_op() -> impl Strategy<Value = Op> {
    let id = || prop::option::of(prop::sample::select(&[0, 50, 1000, 1001][..]));
    prop_oneof![
        3 => (who(), pick(), mode()).prop_map(|(w, which, m)| Op::Chmod(w, which, m)),
        2 => (who(), pick(), id(), id()).prop_map(|(w, which, uid, gid)| Op::Chown(w, which, uid, gid)),
        3 => (who(), pick(), time(), time()).prop_map(|(w, which, a, m)| Op::Utimes(w, which, a, m)),
        1 => (who(), pick()).prop_map(|(w, which)| Op::KillPrivileges(w, which)),
        4 => (who(), pick(), xattr_name(), prop::sample::select(&[0usize, 10, 1500, 4000, 65536, 65537][..]), 0..3i32)
            .prop_map(|(w, which, name, size, flags)| Op::SetXattr(w, which, name, size, flags)),
        1 => (who(), pick(), xattr_name()).prop_map(|(w, which, name)| Op::RemoveXattr(w, which, name)),
        4 => (who(), pick(), which(), acl()).prop_map(|(w, p, which, acl)| Op::SetAcl(w, p, which, acl)),
        1 => (who(), pick(), which()).prop_map(|(w, p, which)| Op::RemoveAcl(w, p, which)),
        1 => pick().prop_map(Op::Readlink),
    ]
}

/// Changes of contents.
fn data_op() -> impl Strategy<Value = Op> {
    let seek = prop::sample::select(&[libc::SEEK_DATA, libc::SEEK_HOLE, libc::SEEK_CUR][..]);
    let allocate = prop::sample::select(&[0, 1, 1, 3, 2, 16, 64][..]);
    prop_oneof![
        4 => (who(), pick(), offset(), any::<bool>()).prop_map(|(w, which, size, fh)| Op::Truncate(w, which, size, fh)),
        8 => (who(), pick(), offset(), len(), 1..255u8, write_flags())
            .prop_map(|(w, which, at, len, fill, flags)| Op::Write(w, which, at, len as usize, fill, flags)),
        2 => (pick(), offset(), len()).prop_map(|(which, at, len)| Op::Read(which, at, len as usize)),
        4 => (pick(), allocate, offset(), len()).prop_map(|(which, m, at, len)| Op::Fallocate(which, m, at, len)),
        2 => (pick(), offset(), seek).prop_map(|(which, at, whence)| Op::Lseek(which, at as i64, whence)),
        2 => (pick(), offset(), pick(), offset(), len())
            .prop_map(|(from, at, to, into, len)| Op::Copy(from, at, to, into, len)),
    ]
}

/// A run.
pub fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![5 => tree_op(), 3 => attribute_op(), 4 => data_op()];
    prop::collection::vec(op, 1..100)
}

impl Time {
    /// The time to set, where it is one.
    pub fn exact(self) -> Option<Timestamp> {
        match self {
            Time::At(sec, nsec) => Some(Timestamp { sec, nsec }),
            Time::Omit | Time::Now => None,
        }
    }
}

impl Who {
    pub fn uid(self) -> u32 {
        match self {
            Who::Root => 0,
            Who::Member => 1000,
            Who::Stranger => 1001,
        }
    }

    pub fn gid(self) -> u32 {
        self.uid()
    }

    /// `in_group_or_capable`.
    pub fn keeps_setgid(self, gid: u32) -> bool {
        self == Who::Root || self.gid() == gid || (self == Who::Member && gid == 50)
    }

    pub fn owns(self, uid: u32) -> bool {
        self == Who::Root || self.uid() == uid
    }
}
