use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::chunk::SLOTS;
use super::*;

/// The memory as the next process gets it.
fn handed_on(slots: &Slots) -> OwnedFd {
    slots.file().unwrap().try_clone_to_owned().unwrap()
}

fn request(unique: u64) -> Request {
    Request {
        unique,
        opcode: 14,
        node: 7,
    }
}

/// What a process that is killed does with its slots.
fn die(slots: Slots, held: Vec<Slot>) {
    slots.keep();
    drop(held);
}

/// A slot in which everything is set.
fn full(slots: &Slots, key: u64) -> Slot {
    let slot = slots.take(key);
    slot.raise_lookups();
    slot.raise_lookups();
    slot.open_one();
    slot.set_backing(5);
    slot.set(Flag::Writer, true);
    slot
}

fn is_full(slot: &Slot) -> bool {
    (slot.lookups(), slot.nopen(), slot.backing()) == (2, 1, 5)
        && slot.is(Flag::Writer)
        && !slot.is(Flag::Exposed)
}

fn allocated(slots: &Slots) -> u64 {
    rustix::fs::fstat(slots.file().unwrap()).unwrap().st_blocks as u64 * 512
}

#[test]
fn counts_survive() {
    let slots = Slots::create().unwrap();
    let file = handed_on(&slots);
    let (one, other) = (full(&slots, 10), slots.take(11));
    other.raise_lookups();
    drop(other);
    die(slots, vec![one]);
    let (slots, survivors) = Slots::open(file).unwrap();
    assert_eq!(survivors.slots.len(), 1);
    let one = &survivors.slots[&10];
    assert!(is_full(one), "{one:?}");
    assert_eq!(one.lower_lookups(2), 0);
    let new = slots.take(12);
    assert_eq!((new.lookups(), new.nopen(), new.backing()), (0, 0, 0));
}

#[test]
fn memory_follows_what_lives() {
    let slots = Slots::create().unwrap();
    let empty = allocated(&slots);
    let mut held: Vec<Slot> = (1..=8 * SLOTS as u64).map(|key| slots.take(key)).collect();
    let full = allocated(&slots);
    assert!(full >= empty + 8 * 32 * SLOTS as u64);
    let last = held.pop().unwrap();
    held.clear();
    assert!(allocated(&slots) < full / 2);
    let places: Vec<Slot> = (1..SLOTS as u64).map(|key| slots.take(key)).collect();
    assert!(
        allocated(&slots) < full / 2,
        "the lowest free slots are taken first"
    );
    assert_eq!(last.key(), 8 * SLOTS as u64);
    let file = handed_on(&slots);
    die(slots, vec![last]);
    drop(places);
    let before = rustix::fs::fstat(&file).unwrap().st_blocks;
    let file2 = file.try_clone().unwrap();
    let (_, survivors) = Slots::open(file).unwrap();
    assert_eq!(survivors.slots.len(), SLOTS);
    let after = rustix::fs::fstat(file2).unwrap().st_blocks;
    // Where requests are, and not one of the holes.
    assert!(after <= before + 128, "looking makes memory of holes");
}

#[test]
fn slots_do_not_move_and_are_not_shared() {
    let slots = Slots::default();
    let held: Vec<Slot> = (1..10_000).map(|key| slots.take(key)).collect();
    assert!(held.iter().zip(1..).all(|(slot, key)| slot.key() == key));
    held[77].raise_lookups();
    assert!(
        held.iter()
            .all(|slot| slot.lookups() == u64::from(slot.key() == 78))
    );
}

#[test]
fn a_request_that_comes_again_opens_once() {
    let slots = Slots::create().unwrap();
    let file = handed_on(&slots);
    let one = slots.take(10);
    let in_hand = slots.requests().begin(request(100));
    assert_eq!(unique_in_hand(), 100);
    one.open_one();
    std::mem::forget(in_hand);
    die(slots, vec![one]);

    let (slots, survivors) = Slots::open(file).unwrap();
    let seen: Vec<Request> = survivors.in_hand.iter().map(|seen| seen.request).collect();
    assert_eq!(seen, [request(100)]);
    let one = &survivors.slots[&10];
    assert_eq!(one.nopen(), 1);
    // Another request opens it for itself.
    drop({
        let other = slots.requests().begin(request(102));
        one.open_one();
        other
    });
    assert_eq!(one.nopen(), 2);
    let again = slots.requests().begin(request(100 | 1 << 63));
    assert_eq!(again.left_over(), Some((10, 1)));
    one.open_one();
    assert_eq!((one.nopen(), again.left_over()), (2, None));
    one.open_one();
    assert_eq!(one.nopen(), 3, "it was done once, not twice");
    drop(again);
    assert_eq!(unique_in_hand(), 0);
}

#[test]
fn a_close_that_comes_again_closes_once_however_often_it_is_killed() {
    let slots = Slots::create().unwrap();
    let mut file = handed_on(&slots);
    let one = slots.take(10);
    one.open_one();
    one.open_one();
    let in_hand = slots.requests().begin(request(100));
    one.close_one();
    std::mem::forget(in_hand);
    die(slots, vec![one]);
    for _ in 0..3 {
        let (slots, survivors) = Slots::open(file).unwrap();
        file = handed_on(&slots);
        let one = &survivors.slots[&10];
        let again = slots.requests().begin(request(100 | 1 << 63));
        one.close_one();
        assert_eq!(one.nopen(), 1);
        std::mem::forget(again);
        die(slots, survivors.slots.into_values().collect());
    }
    // Killed before it came again.
    for _ in 0..2 {
        let (slots, survivors) = Slots::open(file).unwrap();
        file = handed_on(&slots);
        die(slots, survivors.slots.into_values().collect());
    }
    let (slots, survivors) = Slots::open(file).unwrap();
    let again = slots.requests().begin(request(100 | 1 << 63));
    assert_eq!(again.left_over(), Some((10, -1)));
    assert_eq!(survivors.slots[&10].nopen(), 1);
}

#[test]
fn a_request_moves_to_another_thread() {
    let slots = Slots::create().unwrap();
    let in_hand = slots.requests().begin(request(100));
    in_hand.leave();
    assert_eq!(unique_in_hand(), 0);
    let watch = Requests::watch(&handed_on(&slots)).unwrap();
    // The reading thread goes on meanwhile, with a slot of its own.
    let next = slots.requests().begin(request(102));
    assert_eq!(watch.in_hand().len(), 2);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            in_hand.enter();
            assert_eq!(unique_in_hand(), 100);
            drop(in_hand);
        });
    });
    assert_eq!(watch.in_hand().len(), 1);
    assert_eq!(watch.finished(), 1);
    drop(next);
    assert_eq!((watch.in_hand().len(), watch.finished()), (0, 2));
}

#[test]
fn what_is_no_table_is_refused() {
    let file = rustix::fs::memfd_create("test", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    assert!(Slots::open(file.try_clone().unwrap()).is_err());
    rustix::fs::ftruncate(&file, 1 << 20).unwrap();
    assert!(Slots::open(file).is_err());
}

/// The form of version 1: its size, then each word that is not zero, with its offset.
fn fixture() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/slots-1.txt")
}

fn number(word: Option<&str>) -> u64 {
    u64::from_str_radix(word.unwrap(), 16).unwrap()
}

#[test]
fn version_1_stays_readable() {
    let text = std::fs::read_to_string(fixture()).unwrap();
    let mut lines = text.lines();
    let file = rustix::fs::memfd_create("slots", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
    rustix::fs::ftruncate(&file, number(lines.next())).unwrap();
    for line in lines {
        let mut words = line.split(' ');
        let (offset, word) = (number(words.next()), number(words.next()));
        rustix::io::pwrite(&file, &word.to_le_bytes(), offset).unwrap();
    }
    let (_slots, survivors) = Slots::open(file).unwrap();
    assert_eq!(survivors.slots.len(), 2);
    let (one, other) = (&survivors.slots[&10], &survivors.slots[&11]);
    assert!(is_full(one), "{one:?}");
    assert_eq!((other.lookups(), other.nopen()), (1, 0));
    assert_eq!(survivors.in_hand[0].request, request(100));
}

/// Writes the fixture: once for each version.
#[test]
#[ignore = "writes tests/data; for a new version of the slots' form only"]
fn write_the_fixture() {
    let slots = Slots::create().unwrap();
    let file = handed_on(&slots);
    let (one, other) = (full(&slots, 10), slots.take(11));
    other.raise_lookups();
    std::mem::forget(slots.requests().begin(request(100)));
    die(slots, vec![one, other]);
    let mut bytes = vec![0; rustix::fs::fstat(&file).unwrap().st_size as usize];
    rustix::io::pread(&file, &mut bytes[..], 0).unwrap();
    let mut text = format!("{:x}\n", bytes.len());
    for (index, word) in bytes.chunks_exact(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().unwrap());
        if word != 0 {
            writeln!(text, "{:x} {word:x}", index * 8).unwrap();
        }
    }
    std::fs::write(fixture(), text).unwrap();
}
