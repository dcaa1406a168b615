//! The journal's length is in proportion to what lives, whatever was done before.

use shmfs::ops::{CreateFlags, Dir, Fs, NewNode, RenameMode};
use shmfs::recovery::{self, Journal, Space};
use shmfs::types::Kind;

use crate::{acl_of, almighty, recorded, reopened};

/// The bytes that a journal has in memory.
fn memory(journal: &Journal) -> u64 {
    let stat = rustix::fs::fstat(journal.file()).unwrap();
    stat.st_blocks as u64 * 512
}

fn shorten(fs: &Fs, journal: &Journal) {
    journal.begin_pass();
    while fs.tend_journal() == recovery::Step::More {}
}

/// As often as it takes to fill many segments.
const OFTEN: u64 = 20_000;
/// The header, what is left of a pass, and a segment that has its memory in good time.
const SHORT: u64 = 4 * (256 << 10);

#[test]
fn the_same_again_does_not_make_it_longer() {
    let (journal, fs) = recorded();
    let caller = almighty();
    let root: Dir = fs.root().into();
    let regular = NewNode {
        kind: Kind::Regular,
        mode: 0o600,
        umask: 0,
    };
    let flags = CreateFlags {
        exclusive: true,
        writable: true,
    };
    let (file, _) = fs.create(&caller, root, b"file", regular, flags).unwrap();
    let file = file.attr.ino;
    let directory = NewNode {
        kind: Kind::Directory,
        mode: 0o700,
        umask: 0,
    };
    fs.mknod(&caller, root, b"dir", directory).unwrap();
    let rename = |from: &[u8], to: &[u8]| {
        let (from, to) = ((root, from), (root, to));
        fs.rename(&caller, from, to, RenameMode::NoReplace).unwrap();
    };
    let size = |size: u64| shmfs::ops::SetAttr {
        size: Some(size),
        ..Default::default()
    };
    let ways: [(&str, &dyn Fn(u64)); 6] = [
        ("truncate", &|time| {
            fs.setattr(&caller, file, size(time % 2)).unwrap();
        }),
        ("setxattr", &|_| {
            fs.setxattr(&caller, file, b"user.a", b"value", 0).unwrap();
        }),
        ("an ACL", &|_| {
            let list = acl_of(&[(1, 7), (4, 5), (0x20, 0)]);
            let name = b"system.posix_acl_access";
            fs.setxattr(&caller, file, name, &list, 0).unwrap();
        }),
        ("renaming a directory", &|_| {
            rename(b"dir", b"other");
            rename(b"other", b"dir");
        }),
        ("a note", &|_| {
            journal.set_note(Space::EXPORTS, b"key", Some(b"the same"));
        }),
        ("limits", &|_| {
            fs.set_limits(Some(2 << 20), Some(100)).unwrap()
        }),
    ];
    for (name, way) in ways {
        let before = journal.end();
        (0..OFTEN).for_each(way);
        assert!(
            journal.end() - before > SHORT / 2,
            "{name}: nothing to shorten"
        );
        shorten(&fs, &journal);
        assert!(memory(&journal) <= SHORT, "{name}: {}", memory(&journal));
    }
    let image = recovery::check(journal.file()).unwrap();
    assert_eq!(image.contents.counts(), (3, 2));
}

/// Objects that fill a segment and a half.
const MANY: u32 = 2000;

#[test]
fn deaths_in_passes_do_not_make_it_longer() {
    let (mut journal, mut fs) = recorded();
    let caller = almighty();
    let pipe = |number: u32| {
        let new = NewNode {
            kind: Kind::Fifo,
            mode: 0o600,
            umask: 0,
        };
        fs.mknod(&caller, fs.root(), format!("{number}").as_bytes(), new)
    };
    fs.set_limits(None, Some(0)).unwrap();
    for number in 0..MANY {
        let made = pipe(number).unwrap();
        fs.forget(made.attr.ino, 1);
    }
    shorten(&fs, &journal);
    let before = journal.len();
    for _ in 0..12 {
        fs.resends_are_over();
        journal.begin_pass();
        // Less than what would free a segment.
        for _ in 0..20 {
            assert_eq!(fs.tend_journal(), recovery::Step::More);
        }
        let file = journal.file().try_clone_to_owned().unwrap();
        (journal, fs) = reopened(file);
    }
    fs.resends_are_over();
    assert!(journal.len() > 3 * before, "nothing to shorten");
    shorten(&fs, &journal);
    assert!(
        journal.len() <= before + (256 << 10),
        "{} {before}",
        journal.len()
    );
    assert_eq!(
        recovery::check(journal.file()).unwrap().contents.counts().1,
        MANY as usize
    );
}
