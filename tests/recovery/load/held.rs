//! What a program holds over time: descriptors, mappings, directory streams, locks.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{self as fs, FlockOperation, Mode, OFlags, RawDir};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::model::{Id, Object};
use super::{Load, Outcome, errno, expect, timed};

/// Names in the directory that is streamed.
const NAMES: usize = 300;
const STREAMED: &str = "s";
const LOCKED: &str = "locked";

/// All that is held.
#[derive(Default)]
pub(super) struct Held {
    files: Vec<(OwnedFd, Id)>,
    maps: Vec<(Map, Id)>,
    stream: Option<Stream>,
    lock: Option<Lock>,
}

/// A shared mapping.
struct Map {
    at: *mut u8,
    len: usize,
}

impl Map {
    fn new(file: &OwnedFd, len: usize) -> rustix::io::Result<Map> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        let anywhere = std::ptr::null_mut();
        // SAFETY: the kernel chooses the place.
        let at = unsafe { mmap(anywhere, len, protection, MapFlags::SHARED, file, 0) }?;
        let at = at.cast();
        Ok(Map { at, len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: mapped with this length, and the file is never made shorter meanwhile; it is this process's own.
        unsafe { std::slice::from_raw_parts_mut(self.at, self.len) }
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nothing of it is borrowed.
        let _ = unsafe { munmap(self.at.cast(), self.len) };
    }
}

/// A directory stream that is read a few names at a time.
struct Stream {
    dir: OwnedFd,
    seen: BTreeMap<String, u32>,
}

/// Two descriptions of one file: one has the lock.
struct Lock {
    with: OwnedFd,
    without: OwnedFd,
}

impl Load {
    pub(super) fn step_of_held(&mut self) -> Outcome {
        match self.rng.below(8) {
            0 => self.use_file(),
            1 => self.drop_one(),
            2 => self.map(),
            3..=4 => self.use_map(),
            5..=6 => self.stream_on(),
            _ => self.use_lock(),
        }
    }

    pub(super) fn keep_open(&mut self, file: OwnedFd, id: Id) {
        if self.held.files.len() < 6 {
            self.held.files.push((file, id));
        }
    }

    pub(super) fn is_mapped(&self, id: Id) -> bool {
        self.held.maps.iter().any(|(_, other)| *other == id)
    }

    /// An object without a name lives as long as it is held.
    pub(super) fn forget_unless_held(&mut self, id: Id) {
        let open = self.held.files.iter().any(|(_, other)| *other == id);
        if self.model.links(id) == 0 && !open && !self.is_mapped(id) {
            self.model.objects.remove(&id);
        }
    }

    fn use_file(&mut self) -> Outcome {
        if self.held.files.is_empty() {
            return Ok(());
        }
        let which = self.rng.below(self.held.files.len());
        let id = self.held.files[which].1;
        let (at, bytes) = self.some_bytes();
        let file = &self.held.files[which].0;
        let written = timed(&mut self.watch, || {
            rustix::io::pwrite(file, &bytes, at as u64)
        });
        if written != Ok(bytes.len()) {
            return Err(format!("write to a descriptor: {written:?}"));
        }
        self.wrote(id, at, &bytes);
        self.check_held(which)
    }

    fn check_held(&mut self, which: usize) -> Outcome {
        let (file, id) = &self.held.files[which];
        let Some(wanted) = self.model.file(*id) else {
            return Err(format!("the model has lost {id:?}"));
        };
        let links = self.model.links(*id);
        self.check_file(file, wanted, links)
            .map_err(|e| format!("a descriptor of a file with {links} names: {e}"))
    }

    fn drop_one(&mut self) -> Outcome {
        let (files, maps) = (self.held.files.len(), self.held.maps.len());
        if files + maps == 0 {
            return Ok(());
        }
        let which = self.rng.below(files + maps);
        let id = if which < files {
            self.check_held(which)?;
            self.held.files.swap_remove(which).1
        } else {
            self.check_map(which - files)?;
            self.held.maps.swap_remove(which - files).1
        };
        self.forget_unless_held(id);
        Ok(())
    }

    fn map(&mut self) -> Outcome {
        let name = self.any_name();
        let id = self.model.names.get(&name).copied();
        let len = id
            .and_then(|id| self.model.file(id))
            .map(|file| file.bytes.len());
        let (Some(id), Some(len)) = (id, len.filter(|len| *len > 0)) else {
            return Ok(());
        };
        if self.held.maps.len() >= 3 {
            return Ok(());
        }
        let path = self.path(&name);
        let map = timed(&mut self.watch, || {
            let file = fs::open(&path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
            Map::new(&file, len)
        });
        let map = map.map_err(|e| format!("map {name}: {e}"))?;
        if let Some(file) = self.model.file_mut(id) {
            file.mtime = None;
        }
        self.held.maps.push((map, id));
        Ok(())
    }

    /// A store through a mapping is seen by read(2), and what is written by it.
    fn use_map(&mut self) -> Outcome {
        if self.held.maps.is_empty() {
            return Ok(());
        }
        let which = self.rng.below(self.held.maps.len());
        let (at, mut bytes) = self.some_bytes();
        let (map, id) = &mut self.held.maps[which];
        let id = *id;
        let at = at % map.len;
        bytes.truncate(map.len - at);
        let memory = map.bytes();
        timed(&mut self.watch, || {
            memory[at..at + bytes.len()].copy_from_slice(&bytes);
        });
        self.wrote(id, at, &bytes);
        self.check_map(which)
    }

    fn check_map(&mut self, which: usize) -> Outcome {
        let (map, id) = &mut self.held.maps[which];
        let Some(file) = self.model.file(*id) else {
            return Err(format!("the model has lost {id:?}"));
        };
        let bytes = map.bytes();
        match bytes.iter().zip(&file.bytes).position(|(a, b)| a != b) {
            Some(at) => Err(format!("mapped byte {at} is {}", bytes[at])),
            None => Ok(()),
        }
    }

    pub(super) fn begin_streams(&mut self) -> Outcome {
        let dir = self.path(STREAMED);
        std::fs::create_dir(&dir).map_err(|e| format!("mkdir: {e}"))?;
        for number in 0..NAMES {
            let name = dir.join(format!("a-name-{number}"));
            std::fs::File::create_new(name).map_err(|e| format!("create: {e}"))?;
        }
        Ok(())
    }

    /// A few more names; at the end each was there once.
    fn stream_on(&mut self) -> Outcome {
        let path = self.path(STREAMED);
        let mut stream = match self.held.stream.take() {
            Some(stream) => stream,
            None => Stream {
                dir: open_dir(&path).map_err(|e| format!("opendir: {e}"))?,
                seen: BTreeMap::new(),
            },
        };
        let mut ended = true;
        let mut memory = [MaybeUninit::uninit(); 1024];
        let mut names = RawDir::new(&stream.dir, &mut memory);
        let seen = &mut stream.seen;
        for _ in 0..12 {
            match timed(&mut self.watch, || {
                names.next().map(|entry| {
                    entry.map(|entry| entry.file_name().to_string_lossy().into_owned())
                })
            }) {
                Some(Ok(name)) => *seen.entry(name).or_default() += 1,
                Some(Err(e)) => return Err(format!("readdir: {e}")),
                None => break,
            }
            ended = false;
        }
        // What is left in the buffer is part of the stream too.
        while !names.is_buffer_empty() {
            match names.next() {
                Some(Ok(entry)) => {
                    let name = entry.file_name().to_string_lossy().into_owned();
                    *seen.entry(name).or_default() += 1;
                }
                Some(Err(e)) => return Err(format!("readdir: {e}")),
                None => break,
            }
        }
        if !ended {
            self.held.stream = Some(stream);
            return Ok(());
        }
        let twice = stream.seen.iter().find(|(_, times)| **times != 1);
        match twice {
            Some((name, times)) => Err(format!("a stream had {name} {times} times")),
            None if stream.seen.len() != NAMES + 2 => {
                Err(format!("a stream had {} names", stream.seen.len()))
            }
            None => Ok(()),
        }
    }

    pub(super) fn begin_locks(&mut self) -> Outcome {
        let path = self.path(LOCKED);
        let open = || {
            let flags = OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC;
            fs::open(&path, flags, Mode::from_raw_mode(0o600))
        };
        let both = open().and_then(|with| Ok((with, open()?)));
        let (with, without) = both.map_err(|e| format!("open {LOCKED}: {e}"))?;
        let locked = fs::flock(&with, FlockOperation::NonBlockingLockExclusive);
        expect(|| "lock".into(), errno(locked), None)?;
        self.held.lock = Some(Lock { with, without });
        Ok(())
    }

    /// The lock is held; now and then it changes hands.
    fn use_lock(&mut self) -> Outcome {
        let lock = self.held.lock.as_mut().ok_or("the lock was not taken")?;
        let exclusive = FlockOperation::NonBlockingLockExclusive;
        let taken = errno(fs::flock(&lock.without, exclusive));
        expect(
            || "lock what is locked".into(),
            taken,
            Some(Errno::WOULDBLOCK),
        )?;
        if self.rng.below(4) == 0 {
            let freed = errno(fs::flock(&lock.with, FlockOperation::Unlock));
            expect(|| "unlock".into(), freed, None)?;
            let taken = errno(fs::flock(&lock.without, exclusive));
            expect(|| "lock what is free".into(), taken, None)?;
            std::mem::swap(&mut lock.with, &mut lock.without);
        }
        Ok(())
    }

    pub(super) fn end_of_held(&mut self) -> Outcome {
        while self.held.stream.is_some() {
            self.stream_on()?;
        }
        for which in 0..self.held.files.len() {
            self.check_held(which)?;
        }
        for which in 0..self.held.maps.len() {
            self.check_map(which)?;
        }
        self.held = Held::default();
        let named: Vec<Id> = self.model.names.values().copied().collect();
        self.model.objects.retain(|id, object| {
            let file = matches!(object, Object::File(_));
            !file || named.contains(id)
        });
        let dir = self.path(STREAMED);
        std::fs::remove_dir_all(dir).map_err(|e| format!("remove the streamed directory: {e}"))?;
        std::fs::remove_file(self.path(LOCKED)).map_err(|e| format!("remove {LOCKED}: {e}"))
    }
}

fn open_dir(path: &Path) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    fs::open(path, flags, Mode::empty())
}

/// The names in a directory.
pub(crate) fn names_in(path: &Path) -> rustix::io::Result<Vec<String>> {
    let dir = open_dir(path)?;
    let mut memory = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(&dir, &mut memory);
    let mut names = Vec::new();
    while let Some(entry) = entries.next() {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name != "." && name != ".." {
            names.push(name);
        }
    }
    Ok(names)
}
