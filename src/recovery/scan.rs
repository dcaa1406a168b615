//! Reading a journal from its first segment to its end.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};

use super::bytes::{Malformed, Reader};
use super::codec::{self, Origin};
use super::layout::{self, Damage, Found, HEADER, RECORD_HEADER, SEGMENT, SEGMENT_HEADER};
use crate::store::record::Entity;

/// How often a copy is tried while a part of the journal is freed.
const COPIES: usize = 50;

/// A whole record.
#[derive(Clone, Copy, Debug)]
pub struct Record<'a> {
    /// Its offset in the file.
    pub offset: u64,
    /// Its number; each is one more than the one before.
    pub sequence: u64,
    pub(super) body: &'a [u8],
}

/// Where appending goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    pub(super) first: u64,
    /// The segment with the end, and the place in it.
    pub(super) segment: u64,
    pub(super) at: usize,
    /// The number of the next record.
    pub(super) sequence: u64,
}

impl End {
    /// How much was written in all, about: in bytes.
    pub(super) fn position(&self) -> u64 {
        self.segment * SEGMENT as u64 + self.at as u64
    }
}

/// A copy of a journal that is being written: what is read from it was all there at one moment.
pub fn copy(file: impl AsFd) -> Result<OwnedFd, Damage> {
    let mut whole = false;
    let mut copy = memfd_create("shmfs-journal-copy", MemfdFlags::CLOEXEC)?;
    for _ in 0..COPIES {
        let mut header = [0; HEADER];
        read_at(&file, &mut header, 0)?;
        let (first, committed) = layout::read_header(&header)?;
        write_at(&copy, &header, 0)?;
        copy_part(&file, &copy, layout::offset_of(first), committed)?;
        // What is freed is so after the header says that it begins later.
        read_at(&file, &mut header, 0)?;
        whole = layout::read_header(&header)?.0 == first;
        if whole {
            break;
        }
        copy = memfd_create("shmfs-journal-copy", MemfdFlags::CLOEXEC)?;
    }
    match whole {
        true => Ok(copy),
        false => Err(rustix::io::Errno::AGAIN.into()),
    }
}

fn copy_part(from: impl AsFd, to: impl AsFd, mut at: u64, end: u64) -> rustix::io::Result<()> {
    let mut bytes = vec![0; SEGMENT];
    while at < end {
        let len = bytes.len().min((end - at) as usize);
        read_at(&from, &mut bytes[..len], at)?;
        write_at(&to, &bytes[..len], at)?;
        at += len as u64;
    }
    Ok(())
}

fn write_at(file: impl AsFd, mut bytes: &[u8], mut offset: u64) -> rustix::io::Result<()> {
    while !bytes.is_empty() {
        let count = rustix::io::pwrite(&file, bytes, offset)?;
        bytes = &bytes[count..];
        offset += count as u64;
    }
    Ok(())
}

/// Hands each whole record of a journal to `each`, in order; returns the offset behind the last one.
pub fn read(
    file: impl AsFd,
    each: impl FnMut(Record<'_>) -> Result<(), Damage>,
) -> Result<u64, Damage> {
    let end = scan(file, each)?;
    Ok(layout::offset_of(end.segment) + end.at as u64)
}

impl<'a> Record<'a> {
    /// The offset behind it.
    pub fn end(&self) -> u64 {
        self.offset + (RECORD_HEADER + self.body.len()) as u64
    }

    /// The request that it comes from, and its entities.
    pub fn parts(
        &self,
    ) -> Result<
        (
            Origin,
            impl Iterator<Item = Result<Entity<'a>, Damage>> + use<'a>,
        ),
        Damage,
    > {
        let at = self.offset;
        let damage = move |Malformed(what): Malformed| Damage::Corrupt { at, what };
        let mut reader = Reader(self.body);
        let origin = codec::origin(&mut reader).map_err(damage)?;
        let entities = std::iter::from_fn(move || {
            if reader.is_at_end() {
                return None;
            }
            let entity = codec::entity(&mut reader).map_err(damage);
            if entity.is_err() {
                reader = Reader(&[]);
            }
            Some(entity)
        });
        Ok((origin, entities))
    }
}

/// Hands each whole record to `each`, in order.
///
/// What the header says is there must be whole. After it there may be records that were stored just before the
/// end, the last of them in part: that one never happened.
pub(super) fn scan(
    file: impl AsFd,
    mut each: impl FnMut(Record<'_>) -> Result<(), Damage>,
) -> Result<End, Damage> {
    let mut header = [0; HEADER];
    read_at(&file, &mut header, 0)?;
    let (first, committed) = layout::read_header(&header)?;
    let mut bytes = vec![0; SEGMENT];
    let (mut segment, mut at, mut sequence) = (first, SEGMENT_HEADER, None);
    let mut number = first;
    loop {
        let start = layout::offset_of(number);
        read_at(&file, &mut bytes, start)?;
        let corrupt = |at: usize, what| Damage::Corrupt {
            at: start + at as u64,
            what,
        };
        let Some(first_sequence) = layout::read_segment_header(&bytes, number) else {
            break;
        };
        let mut next = *sequence.get_or_insert(first_sequence);
        if first_sequence != next {
            return Err(corrupt(0, "records are missing before this segment"));
        }
        (segment, at) = (number, SEGMENT_HEADER);
        loop {
            match layout::record(&bytes, at, next) {
                Found::Record { body, next: then } => {
                    let offset = start + at as u64;
                    each(Record {
                        offset,
                        sequence: next,
                        body,
                    })?;
                    (at, next) = (then, next + 1);
                }
                Found::Nothing => break,
                Found::Broken(what) if start + (at as u64) < committed => {
                    return Err(corrupt(at, what));
                }
                Found::Broken(_) => break,
            }
        }
        sequence = Some(next);
        number += 1;
    }
    let end = layout::offset_of(segment) + at as u64;
    let Some(sequence) = sequence.filter(|_| end >= committed) else {
        let what = "what was written here is missing";
        return Err(Damage::Corrupt { at: end, what });
    };
    Ok(End {
        first,
        segment,
        at,
        sequence,
    })
}

/// Reads as much as there is; the rest is zeros.
pub(super) fn read_at(
    file: impl AsFd,
    mut into: &mut [u8],
    mut offset: u64,
) -> rustix::io::Result<()> {
    while !into.is_empty() {
        match rustix::io::pread(&file, &mut *into, offset) {
            Ok(0) => break,
            Ok(count) => {
                into = &mut into[count..];
                offset += count as u64;
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    into.fill(0);
    Ok(())
}
