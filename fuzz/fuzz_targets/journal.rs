//! What a journal that anybody could have written does to who reads it: an image that can be served, or a refusal.

#![no_main]

use std::io::Write;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use shmfs::data::{DataFiles, KernelClock};
use shmfs::ops::{Config, DataMode, Fs};
use shmfs::recovery::{self, Journal};
use shmfs::slots::{Slots, Survivors};

/// The fixture of the tests, whose header is right.
const WHOLE: &[u8] = include_bytes!("../../tests/data/journal-1.bin");
/// Bytes of the header, and of a segment's and a record's.
const HEADER: usize = 4096;
const SEGMENT_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

fn file_of(bytes: &[u8]) -> OwnedFd {
    let memfd = rustix_memfd();
    let mut file = std::fs::File::from(memfd);
    file.write_all(bytes).expect("a memfd can be written to");
    file.into()
}

fn rustix_memfd() -> OwnedFd {
    let journal = Journal::create().expect("a memfd");
    let file = journal.file().try_clone_to_owned().expect("a descriptor");
    std::fs::File::from(file.try_clone().expect("a descriptor"))
        .set_len(0)
        .expect("a memfd can be cut");
    file
}

/// The fixture with `data` as bodies of further records, whose checksums are right: what is wrong with them is what
/// they say.
fn with_records(data: &[u8]) -> Vec<u8> {
    let mut bytes = WHOLE.to_vec();
    let mut sequence = 0;
    let read = recovery::read(file_of(WHOLE), |record| {
        sequence = record.sequence + 1;
        Ok(())
    });
    let mut at = read.expect("the fixture is whole") as usize;
    for body in data
        .split(|&byte| byte == 0xfe)
        .filter(|body| !body.is_empty())
    {
        let len = (body.len() as u32).to_le_bytes();
        let mut hasher = crc32fast::Hasher::new();
        [&len[..], &u64::to_le_bytes(sequence), body]
            .iter()
            .for_each(|part| hasher.update(part));
        bytes.resize(at, 0);
        bytes.extend_from_slice(&len);
        bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
        bytes.extend_from_slice(&u64::to_le_bytes(sequence));
        bytes.extend_from_slice(body);
        let start = HEADER;
        at = start + (bytes.len() - start).next_multiple_of(8);
        sequence += 1;
    }
    debug_assert!(bytes.len() >= HEADER + SEGMENT_HEADER + RECORD_HEADER);
    bytes
}

fn restore(bytes: &[u8]) {
    let Ok((journal, image)) = Journal::open(file_of(bytes)) else {
        return;
    };
    let files = DataFiles::memfds();
    let clock = Box::new(KernelClock::of(&files).expect("a memfd"));
    let config = Config {
        size: 1 << 20,
        ..Config::default()
    };
    let slots = (Slots::default(), &mut Survivors::default());
    if image.contents.is_empty() {
        return;
    }
    let Ok(fs) = Fs::restore(config, files, clock, slots, (Arc::new(journal), image)) else {
        return;
    };
    fs.set_data_mode(DataMode::PageCache);
    if fs.resume(Survivors::default()).is_ok() {
        let _ = fs.getattr(fs.root());
        let _ = fs.readdir(
            fs.root(),
            shmfs::ops::DirPosition(0),
            Default::default(),
            |_| true,
        );
        fs.resends_are_over();
        if let Some(journal) = fs.journal() {
            journal.begin_pass();
        }
        while fs.tend_journal() == recovery::Step::More {}
        assert!(recovery::check(fs.journal().expect("it has one").file()).is_ok());
    }
}

fuzz_target!(|data: &[u8]| {
    match data.split_first() {
        // Anything at all.
        Some((0, rest)) => restore(rest),
        // The fixture with one part written over.
        Some((1, rest)) if rest.len() > 2 => {
            let mut bytes = WHOLE.to_vec();
            let at = usize::from(u16::from_le_bytes([rest[0], rest[1]])) % bytes.len();
            let end = bytes.len().min(at + rest.len() - 2);
            bytes[at..end].copy_from_slice(&rest[2..2 + end - at]);
            restore(&bytes);
        }
        Some((_, rest)) => restore(&with_records(rest)),
        None => {}
    }
});
