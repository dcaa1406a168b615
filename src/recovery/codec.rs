//! Entities and answers as bytes: the saved form, version 1.
//!
//! A record's body is the request's `unique` (0 for none), its answer, and entities until the end. A tag, once
//! given away, keeps its meaning: another layout of an entity is another tag, or another version of the whole.

use std::borrow::Cow;

use super::bytes::{Malformed, Reader, Result, put_bytes, put_number, put_time, put_word};
use crate::store::Cookie;
use crate::store::acl::Acl;
use crate::store::record::{AclKind, Answer, Entity, InodeImage, KindImage, Limits, SuperImage};
use crate::types::{Ino, Timestamp};

const SUPER: u8 = 1;
const LIMITS: u8 = 2;
const INODE: u8 = 3;
const INODE_GONE: u8 = 4;
const TARGET: u8 = 5;
const DIRECTORY: u8 = 6;
const DENTRY: u8 = 7;
const DENTRY_GONE: u8 = 8;
const XATTR: u8 = 9;
const XATTR_GONE: u8 = 10;
const ACL: u8 = 11;
const NOTE: u8 = 12;
const NOTE_GONE: u8 = 13;

const UNFINISHED: u8 = 0;
const DONE: u8 = 1;
const MADE: u8 = 2;
const PLANNED: u8 = 3;

/// What a record says besides its entities.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The request that it comes from; 0 is none.
    pub unique: u64,
    /// What that has come to.
    pub answer: Answer,
}

pub(super) fn put_origin(to: &mut Vec<u8>, origin: Origin) {
    let Origin { unique, answer } = origin;
    put_number(to, unique);
    match answer {
        Answer::Unfinished => to.push(UNFINISHED),
        Answer::Done => to.push(DONE),
        Answer::Made(Ino(ino)) => {
            to.push(MADE);
            put_word(to, ino);
        }
        Answer::Planned(bytes) => {
            to.push(PLANNED);
            put_number(to, bytes);
        }
    }
}

pub(super) fn origin(from: &mut Reader<'_>) -> Result<Origin> {
    let unique = from.number()?;
    let answer = match from.byte()? {
        UNFINISHED => Answer::Unfinished,
        DONE => Answer::Done,
        MADE => Answer::Made(ino(from)?),
        PLANNED => Answer::Planned(from.number()?),
        _ => return Err(Malformed("an answer of an unknown kind")),
    };
    Ok(Origin { unique, answer })
}

pub(super) fn put_entity(to: &mut Vec<u8>, entity: &Entity<'_>) {
    match entity {
        Entity::Super(image) => put_super(to, image),
        Entity::Limits(limits) => put_limits(to, limits),
        Entity::Inode(image) => put_inode(to, image),
        Entity::InodeGone(ino) => put_tagged(to, INODE_GONE, *ino),
        Entity::Target { ino, target } => {
            put_tagged(to, TARGET, *ino);
            put_bytes(to, target);
        }
        Entity::Directory {
            ino,
            parent,
            next,
            label,
        } => {
            put_tagged(to, DIRECTORY, *ino);
            put_word(to, parent.0);
            put_number(to, next.0);
            // A label is never empty.
            put_bytes(to, label.as_deref().unwrap_or_default().as_bytes());
        }
        Entity::Dentry {
            dir,
            cookie,
            name,
            ino,
        } => {
            put_tagged(to, DENTRY, *dir);
            put_number(to, cookie.0);
            put_bytes(to, name);
            put_word(to, ino.0);
        }
        Entity::DentryGone { dir, cookie } => {
            put_tagged(to, DENTRY_GONE, *dir);
            put_number(to, cookie.0);
        }
        Entity::Xattr { ino, name, value } => {
            put_tagged(to, XATTR, *ino);
            put_bytes(to, name);
            put_bytes(to, value);
        }
        Entity::XattrGone { ino, name } => {
            put_tagged(to, XATTR_GONE, *ino);
            put_bytes(to, name);
        }
        Entity::Acl { ino, which, list } => {
            put_tagged(to, ACL, *ino);
            to.push(match which {
                AclKind::Access => 0,
                AclKind::Default => 1,
            });
            put_bytes(to, list);
        }
        Entity::Note { space, key, value } => {
            to.push(if value.is_some() { NOTE } else { NOTE_GONE });
            to.push(*space);
            put_bytes(to, key);
            if let Some(value) = value {
                put_bytes(to, value);
            }
        }
    }
}

fn put_tagged(to: &mut Vec<u8>, tag: u8, ino: Ino) {
    to.push(tag);
    put_word(to, ino.0);
}

fn put_super(to: &mut Vec<u8>, image: &SuperImage) {
    let SuperImage { root, key, numbers } = *image;
    put_tagged(to, SUPER, root);
    put_word(to, key.0);
    put_word(to, key.1);
    put_number(to, numbers);
}

fn put_limits(to: &mut Vec<u8>, limits: &Limits) {
    let Limits {
        size,
        nr_inodes,
        uid_size,
        uid_nr_inodes,
    } = *limits;
    to.push(LIMITS);
    for limit in [size, nr_inodes, uid_size, uid_nr_inodes] {
        put_number(to, limit);
    }
}

/// How a time is written: most are the one that stands before.
const SAME: u8 = 0;
const OTHER: u8 = 1;
const HAS_DATA: u8 = 1 << 3;
const MTIME_SET: u8 = 1 << 4;
const UNSEEN: u8 = 1 << 5;
const RESERVED: u8 = 1 << 6;
const POOL: u8 = 1 << 7;

fn put_inode(to: &mut Vec<u8>, image: &InodeImage) {
    let InodeImage {
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
    } = *image;
    put_tagged(to, INODE, ino);
    to.extend_from_slice(&generation.to_le_bytes());
    put_kind(to, kind);
    put_number(to, mode.into());
    put_number(to, uid.into());
    put_number(to, gid.into());
    let times = [btime, atime, mtime, ctime];
    let mut flags = 0;
    for (at, pair) in times.windows(2).enumerate() {
        flags |= if pair[0] == pair[1] { SAME } else { OTHER } << at;
    }
    let more = [
        (has_data, HAS_DATA),
        (mtime_set, MTIME_SET),
        (unseen_ctime.is_some(), UNSEEN),
        (reserved != 0, RESERVED),
        (pool != 0, POOL),
    ];
    flags |= more
        .iter()
        .fold(0, |sum, &(is, flag)| sum | if is { flag } else { 0 });
    to.push(flags);
    put_time(to, btime);
    let others = times.windows(2).filter(|pair| pair[0] != pair[1]);
    others.for_each(|pair| put_time(to, pair[1]));
    unseen_ctime.iter().for_each(|&time| put_time(to, time));
    if reserved != 0 {
        put_number(to, reserved);
    }
    if pool != 0 {
        put_number(to, pool.into());
    }
}

fn put_kind(to: &mut Vec<u8>, kind: KindImage) {
    let (tag, rdev) = match kind {
        KindImage::Regular => (0, None),
        KindImage::Directory => (1, None),
        KindImage::Symlink => (2, None),
        KindImage::Fifo => (3, None),
        KindImage::Socket => (4, None),
        KindImage::CharDevice(rdev) => (5, Some(rdev)),
        KindImage::BlockDevice(rdev) => (6, Some(rdev)),
    };
    to.push(tag);
    rdev.iter().for_each(|&rdev| put_number(to, rdev.into()));
}

fn kind(from: &mut Reader<'_>) -> Result<KindImage> {
    Ok(match from.byte()? {
        0 => KindImage::Regular,
        1 => KindImage::Directory,
        2 => KindImage::Symlink,
        3 => KindImage::Fifo,
        4 => KindImage::Socket,
        5 => KindImage::CharDevice(from.small()?),
        6 => KindImage::BlockDevice(from.small()?),
        _ => return Err(Malformed("a file of an unknown type")),
    })
}

fn ino(from: &mut Reader<'_>) -> Result<Ino> {
    from.word().map(Ino)
}

fn cookie(from: &mut Reader<'_>) -> Result<Cookie> {
    from.number().map(Cookie)
}

/// The next entity of a record.
pub(super) fn entity<'a>(from: &mut Reader<'a>) -> Result<Entity<'a>> {
    Ok(match from.byte()? {
        SUPER => Entity::Super(SuperImage {
            root: ino(from)?,
            key: (from.word()?, from.word()?),
            numbers: from.number()?,
        }),
        LIMITS => Entity::Limits(Limits {
            size: from.number()?,
            nr_inodes: from.number()?,
            uid_size: from.number()?,
            uid_nr_inodes: from.number()?,
        }),
        INODE => Entity::Inode(inode(from)?),
        INODE_GONE => Entity::InodeGone(ino(from)?),
        TARGET => Entity::Target {
            ino: ino(from)?,
            target: from.bytes()?,
        },
        DIRECTORY => Entity::Directory {
            ino: ino(from)?,
            parent: ino(from)?,
            next: cookie(from)?,
            label: label(from)?,
        },
        DENTRY => Entity::Dentry {
            dir: ino(from)?,
            cookie: cookie(from)?,
            name: from.bytes()?,
            ino: ino(from)?,
        },
        DENTRY_GONE => Entity::DentryGone {
            dir: ino(from)?,
            cookie: cookie(from)?,
        },
        XATTR => Entity::Xattr {
            ino: ino(from)?,
            name: from.bytes()?,
            value: from.bytes()?,
        },
        XATTR_GONE => Entity::XattrGone {
            ino: ino(from)?,
            name: from.bytes()?,
        },
        ACL => acl(from)?,
        NOTE => Entity::Note {
            space: from.byte()?,
            key: from.bytes()?,
            value: Some(from.bytes()?),
        },
        NOTE_GONE => Entity::Note {
            space: from.byte()?,
            key: from.bytes()?,
            value: None,
        },
        _ => return Err(Malformed("an entity of an unknown kind")),
    })
}

fn label<'a>(from: &mut Reader<'a>) -> Result<Option<Cow<'a, str>>> {
    let label = std::str::from_utf8(from.slice()?).map_err(|_| Malformed("a label is no text"))?;
    Ok((!label.is_empty()).then_some(Cow::Borrowed(label)))
}

fn acl<'a>(from: &mut Reader<'a>) -> Result<Entity<'a>> {
    let ino = ino(from)?;
    let which = match from.byte()? {
        0 => AclKind::Access,
        1 => AclKind::Default,
        _ => return Err(Malformed("an access control list of an unknown kind")),
    };
    let list = from.bytes()?;
    if !list.is_empty() && !matches!(Acl::from_xattr(&list), Ok(Some(_))) {
        return Err(Malformed("an access control list is not valid"));
    }
    Ok(Entity::Acl { ino, which, list })
}

fn inode(from: &mut Reader<'_>) -> Result<InodeImage> {
    let ino = ino(from)?;
    let generation = [from.byte()?, from.byte()?, from.byte()?, from.byte()?];
    let kind = kind(from)?;
    let (mode, uid, gid) = (from.small()?, from.small()?, from.small()?);
    let flags = from.byte()?;
    let mut times = [Timestamp::default(); 4];
    times[0] = from.time()?;
    for at in 1..times.len() {
        let other = flags >> (at - 1) & OTHER == OTHER;
        times[at] = if other { from.time()? } else { times[at - 1] };
    }
    let [btime, atime, mtime, ctime] = times;
    let has = |flag: u8| flags & flag != 0;
    let unseen_ctime = if has(UNSEEN) {
        Some(from.time()?)
    } else {
        None
    };
    let reserved = if has(RESERVED) { from.number()? } else { 0 };
    let pool = if has(POOL) { from.small()? } else { 0 };
    let pool = u16::try_from(pool).map_err(|_| Malformed("a pool of no such number"))?;
    Ok(InodeImage {
        ino,
        generation: u32::from_le_bytes(generation),
        kind,
        mode,
        uid,
        gid,
        atime,
        mtime,
        ctime,
        btime,
        has_data: has(HAS_DATA),
        mtime_set: has(MTIME_SET),
        reserved,
        pool,
        unseen_ctime,
    })
}

#[cfg(test)]
#[path = "codec_tests.rs"]
mod tests;
