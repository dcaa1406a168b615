//! The log itself: what was appended comes back, cut or not, and nothing that is damaged does.

use std::os::fd::OwnedFd;

use proptest::prelude::*;
use rustix::fs::{FallocateFlags, MemfdFlags, Mode, OFlags, ftruncate, memfd_create};
use rustix::mount::MountAttrFlags;

use super::codec::Origin;
use super::journal::Journal;
use super::layout::{self, COMMITTED, Damage, HEADER};
use super::reserve::Effect;
use super::samples;
use super::scan::{self, End};
use crate::slots::{Request, Slots};
use crate::store::record::{Answer, Entity, Recorder};

type Batches = Vec<(Origin, Vec<Entity<'static>>)>;

/// The bytes of a journal and, after each record, where its end is.
struct Written {
    bytes: Vec<u8>,
    ends: Vec<u64>,
}

fn batches() -> impl Strategy<Value = Batches> {
    prop::collection::vec((samples::origin(), samples::batch()), 1..40)
}

fn bytes_of(journal: &Journal) -> Vec<u8> {
    let mut bytes = vec![0; HEADER + journal.len() as usize];
    scan::read_at(journal.file(), &mut bytes, 0).unwrap();
    bytes
}

fn write(batches: &Batches) -> Written {
    let journal = Journal::create().unwrap();
    let slots = Slots::default();
    let mut ends = vec![journal.end()];
    for (origin, batch) in batches {
        let request = Request {
            unique: origin.unique,
            opcode: 0,
            node: 0,
        };
        let slot = slots.requests().begin(request);
        let hand = super::InHand::enter(Some(&journal), slot);
        journal.record(batch, origin.answer);
        drop(hand);
        ends.push(journal.end());
    }
    Written {
        bytes: bytes_of(&journal),
        ends,
    }
}

pub(super) fn file_of(bytes: &[u8]) -> OwnedFd {
    let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, bytes.len() as u64).unwrap();
    let mut done = 0;
    while done < bytes.len() {
        done += rustix::io::pwrite(&file, &bytes[done..], done as u64).unwrap();
    }
    file
}

fn read(file: &OwnedFd) -> Result<(Batches, End), Damage> {
    let mut all = Vec::new();
    let end = scan::scan(file, |record| {
        let (origin, entities) = record.parts()?;
        let entities: Result<Vec<_>, Damage> = entities.collect();
        all.push((origin, entities?.into_iter().map(owned).collect()));
        Ok(())
    })?;
    Ok((all, end))
}

/// The same with memory of its own.
fn owned(entity: Entity<'_>) -> Entity<'static> {
    let mut bytes = Vec::new();
    super::codec::put_entity(&mut bytes, &entity);
    let bytes: &'static [u8] = Vec::leak(bytes);
    super::codec::entity(&mut super::bytes::Reader(bytes)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn records_come_back(batches in batches()) {
        let written = write(&batches);
        let (all, end) = read(&file_of(&written.bytes)).unwrap();
        prop_assert_eq!(&all, &batches);
        prop_assert_eq!(end.sequence, batches.len() as u64);
    }

    /// A process that dies leaves what it had stored, byte by byte, and the end of the record before.
    #[test]
    fn a_torn_record_never_happened(batches in batches(), cut in any::<prop::sample::Index>()) {
        let Written { mut bytes, ends } = write(&batches);
        let cut = HEADER + layout::SEGMENT_HEADER + cut.index(bytes.len() - HEADER - layout::SEGMENT_HEADER + 1);
        let whole = ends.iter().filter(|&&end| end <= cut as u64).count() - 1;
        bytes[cut..].fill(0);
        bytes[COMMITTED..COMMITTED + 8].copy_from_slice(&ends[whole].to_le_bytes());
        let file = file_of(&bytes);
        let (all, _) = read(&file).unwrap();
        // A record may be whole without its padding.
        let least = &batches[..whole];
        prop_assert!(all == least || all == batches[..whole + 1]);
        // And it goes on from there.
        let (journal, _) = match Journal::open(file) {
            Ok(opened) => opened,
            Err(Damage::Contradiction(_)) => return Ok(()),
            Err(damage) => return Err(TestCaseError::fail(damage.to_string())),
        };
        journal.record(&batches[0].1, Answer::Unfinished);
        let (more, _) = read(&file_of(&bytes_of(&journal))).unwrap();
        prop_assert_eq!(more.len(), all.len() + 1);
    }

    #[test]
    fn damage_is_refused_or_without_effect(
        batches in batches(),
        at in any::<prop::sample::Index>(),
        flip in 1..=255u8,
    ) {
        let Written { mut bytes, .. } = write(&batches);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Ok((all, _)) = read(&file_of(&bytes)) {
            prop_assert_eq!(all, batches);
        }
    }

    #[test]
    fn what_is_missing_is_refused(batches in batches(), cut in any::<prop::sample::Index>()) {
        let Written { mut bytes, ends } = write(&batches);
        bytes.truncate(cut.index(ends[batches.len()] as usize - 8));
        prop_assert!(read(&file_of(&bytes)).is_err());
    }
}

#[test]
fn many_segments() {
    let journal = Journal::create().unwrap();
    let value = vec![7; 60_000];
    for number in 0..40u64 {
        let entity = Entity::Xattr {
            ino: crate::types::Ino(number),
            name: b"user.a".into(),
            value: (&value[..]).into(),
        };
        journal.record(&[entity], Answer::Done);
    }
    let (all, end) = read(&file_of(&bytes_of(&journal))).unwrap();
    assert_eq!(all.len(), 40);
    assert!(end.segment >= 8, "{end:?}");
}

#[test]
fn notes_are_kept() {
    let journal = Journal::create().unwrap();
    let space = super::Space::MOUNT;
    journal.set_note(space, b"a", Some(b"1"));
    journal.set_note(space, b"b", Some(b"2"));
    journal.set_note(space, b"a", Some(b"3"));
    journal.set_note(space, b"b", None);
    let (journal, image) = Journal::open(file_of(&bytes_of(&journal))).unwrap();
    assert_eq!(image.note(space, b"a"), Some(&b"3"[..]));
    assert_eq!(journal.notes(space), [(b"a".to_vec(), b"3".to_vec())]);
    assert_eq!(journal.note(space, b"b"), None);
    assert!(super::check(journal.file()).is_ok());
}

#[test]
fn an_empty_file_begins_a_journal() {
    let file = memfd_create("test", MemfdFlags::CLOEXEC).unwrap();
    let (journal, image) = Journal::resume(file).unwrap();
    assert!(image.is_none() && journal.is_empty());
    let again = journal.file().try_clone_to_owned().unwrap();
    drop(journal);
    assert!(Journal::resume(again).unwrap().1.is_none());
    let other = file_of(b"something else altogether");
    assert!(matches!(Journal::resume(other), Err(Damage::NotAJournal)));
}

/// A record of 60 KB.
fn record_much(journal: &Journal) {
    journal.set_note(super::Space::MOUNT, b"much", Some(&[7; 60_000]));
}

#[test]
fn who_adds_is_refused_before_there_is_no_room_and_who_frees_is_not() {
    let made = crate::sys::mount::make(c"tmpfs", &[(c"size", c"2m")], MountAttrFlags::empty());
    let root = made.expect("a tmpfs needs root");
    let open = |name: &str| {
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        rustix::fs::openat(&root, name, flags, Mode::from(0o600)).unwrap()
    };
    let other = open("other");
    let all = FallocateFlags::empty();
    rustix::fs::fallocate(&other, all, 0, 512 << 10).unwrap();
    let journal = Journal::create_in(open("journal")).unwrap();
    let mut records = 0;
    while journal.has_room(Effect::Adds) {
        record_much(&journal);
        records += 1;
        assert!(records < 100, "there is no end of memory");
    }
    // The reserve is what remains: who adds does not get it, who frees does, up to the last segment.
    let before = journal.len();
    assert!(journal.has_room(Effect::Frees));
    while journal.has_room(Effect::Frees) {
        assert!(!journal.has_room(Effect::Adds));
        record_much(&journal);
        records += 1;
    }
    assert!(
        journal.len() >= before + (100 << 10),
        "{before} {}",
        journal.len()
    );
    // A new process finds as much reserve as there was.
    let file = journal.file().try_clone_to_owned().unwrap();
    drop(journal);
    let (journal, image) = Journal::open(file).unwrap();
    assert_eq!(image.records, records);
    assert!(!journal.has_room(Effect::Adds));
    record_much(&journal);
    rustix::fs::ftruncate(&other, 0).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(30));
    assert!(journal.has_room(Effect::Adds) && journal.has_room(Effect::Frees));
    assert!(super::check(journal.file()).is_ok());
}
