//! The records of a journal for people and programs to read.

use std::fmt;

use super::codec::Origin;
use crate::store::record::{AclKind, Answer, Entity, InodeImage, KindImage, Limits, SuperImage};
use crate::types::{Ino, Timestamp};

/// A record's part by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub value: Value,
}

/// What a field has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A count or a size.
    Number(u64),
    /// Bytes as Rust writes them between quotes, numbers of inodes in hexadecimal, times in seconds.
    Text(String),
    /// Yes or no.
    Flag(bool),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => number.fmt(f),
            Value::Text(text) => text.fmt(f),
            Value::Flag(flag) => flag.fmt(f),
        }
    }
}

fn field(name: &'static str, value: Value) -> Field {
    Field { name, value }
}

fn number(name: &'static str, number: impl Into<u64>) -> Field {
    field(name, Value::Number(number.into()))
}

fn flag(name: &'static str, flag: bool) -> Field {
    field(name, Value::Flag(flag))
}

fn ino(name: &'static str, Ino(ino): Ino) -> Field {
    field(name, Value::Text(format!("{ino:016x}")))
}

fn bytes(name: &'static str, bytes: &[u8]) -> Field {
    field(name, Value::Text(bytes.escape_ascii().to_string()))
}

fn time(name: &'static str, Timestamp { sec, nsec }: Timestamp) -> Field {
    field(name, Value::Text(format!("{sec}.{nsec:09}")))
}

/// The request that a record comes from, and what that has come to.
pub fn origin(origin: &Origin) -> Vec<Field> {
    let Origin { unique, answer } = *origin;
    let mut fields = Vec::new();
    if unique != 0 {
        fields.push(number("unique", unique));
    }
    match answer {
        Answer::Unfinished => {}
        Answer::Done => fields.push(field("answer", Value::Text("done".to_owned()))),
        Answer::Made(made) => fields.push(ino("made", made)),
        Answer::Planned(what) => fields.push(number("planned", what)),
    }
    fields
}

/// What an entity is, and its parts.
pub fn entity(entity: &Entity<'_>) -> (&'static str, Vec<Field>) {
    match entity {
        Entity::Super(image) => ("super", of_super(image)),
        Entity::Limits(limits) => ("limits", of_limits(limits)),
        Entity::Inode(image) => ("inode", of_inode(image)),
        Entity::InodeGone(of) => ("inode-gone", vec![ino("ino", *of)]),
        Entity::Target { ino: of, target } => {
            ("target", vec![ino("ino", *of), bytes("target", target)])
        }
        Entity::Directory {
            ino: of,
            parent,
            next,
            label,
        } => {
            let mut fields = vec![
                ino("ino", *of),
                ino("parent", *parent),
                number("next", next.0),
            ];
            fields.extend(label.iter().map(|label| bytes("label", label.as_bytes())));
            ("directory", fields)
        }
        Entity::Dentry {
            dir,
            cookie,
            name,
            ino: of,
        } => {
            let place = [ino("dir", *dir), number("cookie", cookie.0)];
            let entry = [bytes("name", name), ino("ino", *of)];
            ("dentry", place.into_iter().chain(entry).collect())
        }
        Entity::DentryGone { dir, cookie } => (
            "dentry-gone",
            vec![ino("dir", *dir), number("cookie", cookie.0)],
        ),
        Entity::Xattr {
            ino: of,
            name,
            value,
        } => (
            "xattr",
            vec![ino("ino", *of), bytes("name", name), bytes("value", value)],
        ),
        Entity::XattrGone { ino: of, name } => {
            ("xattr-gone", vec![ino("ino", *of), bytes("name", name)])
        }
        Entity::Acl {
            ino: of,
            which,
            list,
        } => {
            let which = match which {
                AclKind::Access => "access",
                AclKind::Default => "default",
            };
            let which = field("which", Value::Text(which.to_owned()));
            ("acl", vec![ino("ino", *of), which, bytes("list", list)])
        }
        Entity::Note { space, key, value } => {
            let mut fields = vec![number("space", *space), bytes("key", key)];
            fields.extend(value.iter().map(|value| bytes("value", value)));
            (if value.is_some() { "note" } else { "note-gone" }, fields)
        }
    }
}

fn of_super(image: &SuperImage) -> Vec<Field> {
    // The key stays secret: who knows it can guess numbers.
    let SuperImage {
        root,
        key: _,
        numbers,
    } = *image;
    vec![ino("root", root), number("numbers", numbers)]
}

fn of_limits(limits: &Limits) -> Vec<Field> {
    let Limits {
        size,
        nr_inodes,
        uid_size,
        uid_nr_inodes,
    } = *limits;
    vec![
        number("size", size),
        number("nr_inodes", nr_inodes),
        number("uid_size", uid_size),
        number("uid_nr_inodes", uid_nr_inodes),
    ]
}

fn of_inode(image: &InodeImage) -> Vec<Field> {
    let InodeImage {
        ino: of,
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
    let (kind, rdev) = match kind {
        KindImage::Regular => ("file", None),
        KindImage::Directory => ("directory", None),
        KindImage::Symlink => ("symlink", None),
        KindImage::Fifo => ("fifo", None),
        KindImage::Socket => ("socket", None),
        KindImage::CharDevice(rdev) => ("character-device", Some(rdev)),
        KindImage::BlockDevice(rdev) => ("block-device", Some(rdev)),
    };
    let mut fields = vec![
        ino("ino", of),
        number("generation", generation),
        field("kind", Value::Text(kind.to_owned())),
    ];
    fields.extend(rdev.map(|rdev| number("rdev", rdev)));
    fields.extend([
        field("mode", Value::Text(format!("{mode:04o}"))),
        number("uid", uid),
        number("gid", gid),
        time("atime", atime),
        time("mtime", mtime),
        time("ctime", ctime),
        time("btime", btime),
        flag("data", has_data),
    ]);
    if mtime_set {
        fields.push(flag("mtime_set", true));
    }
    if reserved != 0 {
        fields.push(number("reserved", reserved));
    }
    if pool != 0 {
        fields.push(number("pool", pool));
    }
    fields.extend(unseen_ctime.map(|unseen| time("unseen_ctime", unseen)));
    fields
}
