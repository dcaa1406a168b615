//! Random entities for tests.

use std::borrow::Cow;

use proptest::prelude::*;

use super::codec::Origin;
use crate::store::Cookie;
use crate::store::record::{AclKind, Answer, Entity, InodeImage, KindImage, Limits, SuperImage};
use crate::types::{Ino, Timestamp};

fn ino() -> impl Strategy<Value = Ino> {
    prop_oneof![(1..20u64).prop_map(Ino), any::<u64>().prop_map(Ino)]
}

fn cookie() -> impl Strategy<Value = Cookie> {
    prop_oneof![(3..50u64).prop_map(Cookie), any::<u64>().prop_map(Cookie)]
}

fn time() -> impl Strategy<Value = Timestamp> {
    let few = prop::sample::select(&[0, 1, -1, i64::MIN, i64::MAX][..]);
    (prop_oneof![few, any::<i64>()], 0..3u32).prop_map(|(sec, nsec)| Timestamp { sec, nsec })
}

fn bytes() -> impl Strategy<Value = Cow<'static, [u8]>> {
    prop::collection::vec(any::<u8>(), 0..40).prop_map(Cow::Owned)
}

fn kind() -> impl Strategy<Value = KindImage> {
    prop_oneof![
        Just(KindImage::Regular),
        Just(KindImage::Directory),
        Just(KindImage::Symlink),
        Just(KindImage::Fifo),
        Just(KindImage::Socket),
        any::<u32>().prop_map(KindImage::CharDevice),
        any::<u32>().prop_map(KindImage::BlockDevice),
    ]
}

fn inode() -> impl Strategy<Value = InodeImage> {
    let numbers = (
        ino(),
        any::<u32>(),
        kind(),
        any::<u32>(),
        any::<u32>(),
        any::<u32>(),
    );
    let times = (time(), time(), time(), time(), prop::option::of(time()));
    (
        numbers,
        times,
        any::<bool>(),
        any::<bool>(),
        prop_oneof![Just(0), any::<u64>()],
        prop_oneof![Just(0), any::<u16>()],
    )
        .prop_map(
            |(
                (ino, generation, kind, mode, uid, gid),
                times,
                has_data,
                mtime_set,
                reserved,
                pool,
            )| {
                let (atime, mtime, ctime, btime, unseen_ctime) = times;
                InodeImage {
                    ino,
                    generation,
                    kind,
                    mode,
                    uid,
                    gid,
                    atime,
                    mtime,
                    ctime,
                    btime,
                    has_data,
                    mtime_set,
                    reserved,
                    pool,
                    unseen_ctime,
                }
            },
        )
}

/// An owner, its group, others.
fn list() -> impl Strategy<Value = Cow<'static, [u8]>> {
    let entry = |tag: u16, perm: u16| {
        let mut bytes = [0xff; 8];
        bytes[..2].copy_from_slice(&tag.to_le_bytes());
        bytes[2..4].copy_from_slice(&perm.to_le_bytes());
        bytes
    };
    let list = (0..8u16, 0..8u16, 0..8u16).prop_map(move |(owner, group, other)| {
        let entries = [entry(1, owner), entry(4, group), entry(0x20, other)];
        [&2u32.to_le_bytes()[..], entries.as_flattened()].concat()
    });
    prop_oneof![1 => Just(Vec::new()), 3 => list].prop_map(Cow::Owned)
}

fn label() -> impl Strategy<Value = Option<Cow<'static, str>>> {
    prop::option::of("[a-z]{1,8}".prop_map(Cow::Owned))
}

pub(super) fn entity() -> impl Strategy<Value = Entity<'static>> {
    let which = prop::sample::select(&[AclKind::Access, AclKind::Default][..]);
    let limits = (any::<u64>(), any::<u64>(), any::<u64>(), any::<u64>());
    prop_oneof![
        (ino(), any::<(u64, u64)>(), any::<u64>())
            .prop_map(|(root, key, numbers)| Entity::Super(SuperImage { root, key, numbers })),
        limits.prop_map(|(size, nr_inodes, uid_size, uid_nr_inodes)| {
            Entity::Limits(Limits {
                size,
                nr_inodes,
                uid_size,
                uid_nr_inodes,
            })
        }),
        inode().prop_map(Entity::Inode),
        ino().prop_map(Entity::InodeGone),
        (ino(), bytes()).prop_map(|(ino, target)| Entity::Target { ino, target }),
        (ino(), ino(), cookie(), label()).prop_map(|(ino, parent, next, label)| {
            Entity::Directory {
                ino,
                parent,
                next,
                label,
            }
        }),
        (ino(), cookie(), bytes(), ino()).prop_map(|(dir, cookie, name, ino)| Entity::Dentry {
            dir,
            cookie,
            name,
            ino
        }),
        (ino(), cookie()).prop_map(|(dir, cookie)| Entity::DentryGone { dir, cookie }),
        (ino(), bytes(), bytes()).prop_map(|(ino, name, value)| Entity::Xattr { ino, name, value }),
        (ino(), bytes()).prop_map(|(ino, name)| Entity::XattrGone { ino, name }),
        (ino(), which, list()).prop_map(|(ino, which, list)| Entity::Acl { ino, which, list }),
        (any::<u8>(), bytes(), prop::option::of(bytes()))
            .prop_map(|(space, key, value)| Entity::Note { space, key, value }),
    ]
}

pub(super) fn batch() -> impl Strategy<Value = Vec<Entity<'static>>> {
    prop::collection::vec(entity(), 1..8)
}

pub(super) fn origin() -> impl Strategy<Value = Origin> {
    let answer = prop_oneof![
        Just(Answer::Unfinished),
        Just(Answer::Done),
        ino().prop_map(Answer::Made),
        any::<u64>().prop_map(Answer::Planned),
    ];
    (0..crate::slots::RESENT, answer).prop_map(|(unique, answer)| Origin { unique, answer })
}
