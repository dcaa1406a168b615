//! The saved form stays readable, and `shmfs journal dump` shows what is in it.

mod length;

use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;

use shmfs::data::{DataFiles, KernelClock};
use shmfs::ops::{Caller, Config, CreateFlags, DataMode, Dir, Fs, NewNode, RenameMode};
use shmfs::recovery::{self, Damage, Image, Journal, Space};
use shmfs::slots::{Request, Slots, Survivors};
use shmfs::store::Cookie;
use shmfs::store::record::{Answer, Entity, InodeImage, KindImage, Recorder};
use shmfs::sys::credentials::Credentials;
use shmfs::types::{Ino, Kind, Timestamp};

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

/// The saved form of version 1, and what it says.
const FIXTURE: &str = "journal-1.bin";
const DUMPED: &str = "journal-1.txt";

fn config() -> Config {
    Config {
        size: 1 << 20,
        nr_inodes: 100,
        ..Config::default()
    }
}

fn dump(words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shmfs"));
    command.args(["journal", "dump"]).args(words);
    command.output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A copy that can be written to, with a byte changed where one is given.
fn copy(flip: Option<usize>) -> OwnedFd {
    let mut bytes = std::fs::read(data(FIXTURE)).unwrap();
    if let Some(at) = flip {
        bytes[at] ^= 1;
    }
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&bytes).unwrap();
    file.into()
}

fn restored() -> Fs {
    let (journal, image) = Journal::open(copy(None)).unwrap();
    assert_eq!(
        image.note(Space::MOUNT, b"entrance"),
        Some(&b"tree-0123"[..])
    );
    drop(journal);
    reopened(copy(None)).1
}

#[test]
fn version_1_stays_readable() {
    let fs = restored();
    let root = fs.root();
    let file = fs.lookup(root, b"file").unwrap().attr;
    assert_eq!((file.mode & 0o7777, file.nlink, file.uid), (0o640, 2, 1000));
    assert_eq!(fs.getxattr(file.ino, b"user.a").unwrap(), b"value");
    assert_eq!(fs.lookup(root, b"other").unwrap().attr.ino, file.ino);
    let link = fs.lookup(root, b"link").unwrap().attr.ino;
    assert_eq!(fs.readlink(link).unwrap(), b"where it leads");
    let dir = fs.lookup(root, b"dir").unwrap().attr;
    assert_eq!(dir.nlink, 3);
    assert!(fs.getxattr(dir.ino, b"system.posix_acl_default").is_ok());
    assert_eq!(
        fs.lookup(dir.ino, b"pipe").unwrap().attr.mode,
        libc::S_IFIFO | 0o600
    );
    assert!(fs.lookup(root, b"gone").is_err());
    // Root, file and one more link, link, dir, its directory, pipe, device; and 51 bytes of an xattr.
    assert_eq!(fs.statfs().files_free, 100 - 8 - 1);
    // What is hidden draws nothing.
    assert_eq!(fs.inode_count(), 8);
    assert_eq!(fs.answered(18), Some(Answer::Done));
    assert_eq!(fs.answered(12), Some(Answer::Made(file.ino)));
    assert_eq!(fs.answered(999), None);
    fs.resume(Survivors::default()).unwrap();
}

#[test]
fn a_dump_shows_every_record() {
    let path = data(FIXTURE);
    let out = dump(&[path.to_str().unwrap()]);
    assert!(out.status.success(), "{}", text(&out.stderr));
    let expected = std::fs::read_to_string(data(DUMPED)).unwrap();
    assert_eq!(text(&out.stdout), expected);
}

#[test]
fn a_dump_in_json_has_as_many() {
    let path = data(FIXTURE);
    let out = dump(&["--json", path.to_str().unwrap()]);
    let lines: Vec<serde_json::Value> = text(&out.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let mut records = 0;
    recovery::read(File::open(path).unwrap(), |_| {
        records += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(lines.len(), records);
    assert!(
        lines
            .iter()
            .any(|line| line["unique"] == 18 && line["answer"] == "done")
    );
    let mut entities = lines
        .iter()
        .flat_map(|line| line["entities"].as_array().unwrap());
    assert!(entities.any(|entity| entity["entity"] == "dentry" && entity["name"] == "file"));
}

#[test]
fn damage_is_said_where_it_is() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let mut bytes = std::fs::read(data(FIXTURE)).unwrap();
    let at = bytes.len() - 20;
    bytes[at] ^= 0x40;
    file.as_file().write_all_at(&bytes, 0).unwrap();
    let out = dump(&[file.path().to_str().unwrap()]);
    assert_eq!(out.status.code(), Some(2));
    assert!(
        text(&out.stderr).contains("damaged at offset"),
        "{}",
        text(&out.stderr)
    );
    assert!(
        text(&out.stdout).contains("name=file"),
        "what was whole is shown"
    );
    let nothing = dump(&["/etc/passwd"]);
    assert!(text(&nothing.stderr).contains("no journal of shmfs"));
}

#[test]
fn every_flipped_bit_of_the_fixture_is_noticed() {
    let whole = recovery::check(copy(None)).unwrap();
    let len = std::fs::metadata(data(FIXTURE)).unwrap().len() as usize;
    for at in (0..len).filter(|at| *at < 4096 / 8 || *at >= 4096) {
        match recovery::check(copy(Some(at))) {
            // Padding, room for later versions, or an end that is too early for what is there.
            Ok(image) => assert_eq!(image.contents.counts(), whole.contents.counts(), "{at}"),
            Err(damage) => assert!(!matches!(damage, Damage::Unreadable(_)), "{at}"),
        }
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let inode = |ino: u64, kind: KindImage| image(Ino(ino), kind);
    let directory = |ino: u64, parent: u64| Entity::Directory {
        ino: Ino(ino),
        parent: Ino(parent),
        next: Cookie::FIRST,
        label: None,
    };
    let name = |dir: u64, cookie: u64, name: &'static [u8], ino: u64| Entity::Dentry {
        dir: Ino(dir),
        cookie: Cookie(cookie),
        name: name.into(),
        ino: Ino(ino),
    };
    let other = |change: &dyn Fn(&mut InodeImage)| {
        let mut entity = inode(A, KindImage::Fifo);
        if let Entity::Inode(image) = &mut entity {
            change(image);
        }
        vec![entity]
    };
    let root = ROOT.0;
    for (wrong, what) in [
        (vec![name(root, 3, b"a", A)], "leads to nothing"),
        (vec![inode(A, KindImage::Directory)], "its parts are not"),
        (vec![inode(A, KindImage::Symlink)], "its parts are not"),
        (vec![directory(A, root)], "is not there"),
        (vec![name(A, 3, b"a", root)], "no directory"),
        (
            vec![
                inode(A, KindImage::Fifo),
                name(root, 3, b"a", A),
                name(root, 4, b"a", A),
            ],
            "twice",
        ),
        (
            vec![
                inode(A, KindImage::Directory),
                inode(B, KindImage::Directory),
                directory(A, B),
                directory(B, A),
                name(A, 3, b"a", B),
                name(B, 3, b"a", A),
            ],
            "does not end",
        ),
        (vec![inode(0, KindImage::Fifo)], "is no number of an inode"),
        (
            vec![inode(1 << 63, KindImage::Fifo)],
            "is no number of an inode",
        ),
        (other(&|it| it.mode = 0o40_755), "has the permissions 40755"),
        (other(&|it| it.mtime.nsec = 1_000_000_000), "a time of"),
        (other(&|it| it.reserved = 1 << 52), "more pages than a file"),
        (
            vec![name(root, u64::MAX, b"a", A), inode(A, KindImage::Fifo)],
            "no place left",
        ),
    ] {
        let image = with_more(&wrong);
        let Err(Damage::Contradiction(text)) = image else {
            panic!("{what}: {image:?}");
        };
        assert!(text.contains(what), "{text}");
    }
}

const A: u64 = 7 << 40;
const B: u64 = 8 << 40;
const ROOT: Ino = Ino(1 << 40);

fn image(ino: Ino, kind: KindImage) -> Entity<'static> {
    let time = Timestamp { sec: 1, nsec: 0 };
    Entity::Inode(InodeImage {
        ino,
        generation: 1,
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        atime: time,
        mtime: time,
        ctime: time,
        btime: time,
        has_data: false,
        mtime_set: false,
        reserved: 0,
        pool: 0,
        unseen_ctime: None,
    })
}

/// An empty file system and besides what nobody would record.
fn with_more(entities: &[Entity<'_>]) -> Result<Image, Damage> {
    let journal = Journal::create().unwrap();
    let top = shmfs::store::record::SuperImage {
        root: ROOT,
        key: (1, 2),
        numbers: 3,
    };
    let root = image(ROOT, KindImage::Directory);
    let directory = Entity::Directory {
        ino: ROOT,
        parent: ROOT,
        next: Cookie::FIRST,
        label: None,
    };
    let first = [Entity::Super(top), root, directory];
    journal.record(&first, Answer::Unfinished);
    assert!(recovery::check(journal.file()).is_ok());
    journal.record(entities, Answer::Unfinished);
    recovery::check(journal.file())
}

/// Writes the fixture: once for each version.
#[test]
#[ignore = "writes tests/data; for a new version of the saved form only"]
fn write_the_fixture() {
    let (journal, fs) = recorded();
    change(&fs);
    let hidden = Ino(1 << 41);
    let directory = Entity::Directory {
        ino: hidden,
        parent: fs.root(),
        next: Cookie(7),
        label: Some("view:test".into()),
    };
    let hidden = image(hidden, KindImage::Directory);
    journal.record(&[hidden, directory], Answer::Unfinished);
    journal.set_note(Space::MOUNT, b"entrance", Some(b"tree-0123"));
    journal.set_note(Space::NODES, b"12345678", Some(b"gone soon"));
    journal.set_note(Space::NODES, b"12345678", None);
    let mut bytes = vec![0; journal.end() as usize];
    let whole = File::from(journal.file().try_clone_to_owned().unwrap());
    whole.read_exact_at(&mut bytes, 0).unwrap();
    std::fs::write(data(FIXTURE), bytes).unwrap();
    let out = dump(&[data(FIXTURE).to_str().unwrap()]);
    std::fs::write(data(DUMPED), out.stdout).unwrap();
}

/// An access control list as an extended attribute: tags and permissions.
fn acl_of(entries: &[(u16, u16)]) -> Vec<u8> {
    let mut list = 2u32.to_le_bytes().to_vec();
    for (tag, perm) in entries {
        list.extend_from_slice(&tag.to_le_bytes());
        list.extend_from_slice(&perm.to_le_bytes());
        list.extend_from_slice(&u32::MAX.to_le_bytes());
    }
    list
}

/// Something of everything.
fn change(fs: &Fs) {
    let root: Dir = fs.root().into();
    let caller = |unique: u64| {
        let request = Request {
            unique,
            opcode: 0,
            node: 0,
        };
        let slot = fs.slots().requests().begin(request);
        (fs.in_hand(slot), almighty())
    };
    let node = |kind: Kind| NewNode {
        kind,
        mode: 0o700,
        umask: 0,
    };
    let (hand, root_user) = caller(10);
    fs.mknod(&root_user, root, b"dir", node(Kind::Directory))
        .unwrap();
    drop(hand);
    let (hand, _) = caller(12);
    let flags = CreateFlags {
        exclusive: true,
        writable: true,
    };
    let (file, _) = fs
        .create(&root_user, root, b"old", node(Kind::Regular), flags)
        .unwrap();
    drop(hand);
    let file = file.attr.ino;
    let dir = fs.lookup(root, b"dir").unwrap().attr.ino;
    let set = shmfs::ops::SetAttr {
        mode: Some(0o640),
        uid: Some(1000),
        ..Default::default()
    };
    fs.setattr(&root_user, file, set).unwrap();
    fs.rename(
        &root_user,
        (root, b"old"),
        (root, b"file"),
        RenameMode::NoReplace,
    )
    .unwrap();
    fs.link(file, root, b"other").unwrap();
    fs.symlink(&root_user, root, b"link", b"where it leads")
        .unwrap();
    let (hand, _) = caller(18);
    fs.setxattr(&root_user, file, b"user.a", b"value", 0)
        .unwrap();
    drop(hand);
    fs.setxattr(&root_user, file, b"user.b", b"value", 0)
        .unwrap();
    fs.removexattr(&root_user, file, b"user.b").unwrap();
    let list = acl_of(&[(1, 7), (4, 5), (0x20, 0)]);
    fs.setxattr(&root_user, dir, b"system.posix_acl_default", &list, 0)
        .unwrap();
    let pipe = NewNode {
        mode: 0o600,
        ..node(Kind::Fifo)
    };
    fs.mknod(&root_user, dir, b"below", node(Kind::Directory))
        .unwrap();
    fs.mknod(&root_user, dir, b"pipe", pipe).unwrap();
    fs.mknod(&root_user, root, b"device", node(Kind::CharDevice(0x0501)))
        .unwrap();
    let gone = fs.mknod(&root_user, root, b"gone", node(Kind::Socket));
    fs.unlink(&root_user, root, b"gone").unwrap();
    fs.forget(gone.unwrap().attr.ino, 1);
    fs.set_limits(Some(2 << 20), Some(100)).unwrap();
}

/// A file system that is recorded, with its journal.
fn recorded() -> (Arc<Journal>, Fs) {
    let journal = Arc::new(Journal::create().unwrap());
    let files = DataFiles::memfds();
    let clock = Box::new(KernelClock::of(&files).unwrap());
    let recorder = Some(Arc::clone(&journal));
    let fs = Fs::recorded(config(), files, clock, Slots::default(), recorder);
    fs.set_data_mode(DataMode::PageCache);
    (journal, fs)
}

/// What the next process makes of a journal, without data files.
fn reopened(file: OwnedFd) -> (Arc<Journal>, Fs) {
    let (journal, image) = Journal::open(file).unwrap();
    let journal = Arc::new(journal);
    let files = DataFiles::memfds();
    let clock = Box::new(KernelClock::of(&files).unwrap());
    let slots = (Slots::default(), &mut Survivors::default());
    let saved = (Arc::clone(&journal), image);
    let fs = Fs::restore(config(), files, clock, slots, saved).unwrap();
    fs.set_data_mode(DataMode::PageCache);
    (journal, fs)
}

/// One that may do everything.
fn almighty() -> Caller {
    let all = Credentials {
        capabilities: u64::MAX,
        ..Credentials::default()
    };
    Caller::with(0, 0, all)
}
