//! Crashes: the process dies somewhere in an operation, and all that is left are the data files and a journal that ends
//! at some byte.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::mount::MountAttrFlags;
use shmfs::data::{DataFiles, Keeper, KernelClock};
use shmfs::ops::Fs;
use shmfs::recovery::{InHand, Journal, Step};
use shmfs::slots::{self, RESENT, Request, Slots, Survivors};
use shmfs::store::record::Answer;
use shmfs::types::Ino;

use crate::generators::Op;
use crate::harness::Harness;
use crate::reference::{Id, Model, What};

/// What outlives a crash.
pub struct Saved {
    pub journal: Arc<Journal>,
    data: Data,
    /// The last request.
    unique: u64,
}

enum Data {
    Memfds(Kept),
    Tmpfs(OwnedFd),
}

/// The supervisor's memfds, imitated.
#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<BTreeMap<Ino, OwnedFd>>>);

impl Keeper for Kept {
    fn keep(&self, ino: Ino, file: BorrowedFd<'_>) -> rustix::io::Result<()> {
        let file = rustix::io::fcntl_dupfd_cloexec(file, 0)?;
        self.0.lock().unwrap().insert(ino, file);
        Ok(())
    }

    fn give_up(&self, ino: Ino) {
        self.0.lock().unwrap().remove(&ino);
    }
}

impl Saved {
    pub fn new(on_tmpfs: bool) -> Saved {
        let made = || shmfs::sys::mount::make(c"tmpfs", &[], MountAttrFlags::empty());
        Saved {
            journal: Arc::new(Journal::create().unwrap()),
            data: match on_tmpfs {
                true => Data::Tmpfs(made().expect("a tmpfs needs root")),
                false => Data::Memfds(Kept::default()),
            },
            unique: 0,
        }
    }

    pub fn files(&self) -> DataFiles {
        match &self.data {
            Data::Tmpfs(root) => DataFiles::on_tmpfs(root.try_clone().unwrap()),
            Data::Memfds(kept) => {
                let files = kept.0.lock().unwrap();
                let copies = files.iter();
                let copies: Vec<_> = copies
                    .map(|(&ino, file)| (ino, file.try_clone().unwrap()))
                    .collect();
                drop(files);
                DataFiles::kept_memfds(Box::new(kept.clone()), copies)
            }
        }
    }
}

/// When the process dies.
#[derive(Clone, Debug)]
pub struct Crash {
    /// At this byte of what the operation records.
    cut: prop::sample::Index,
    /// The journal has been shortened before.
    compacted: bool,
    /// It was being shortened.
    compacting: bool,
}

pub fn crash() -> impl Strategy<Value = Option<Crash>> {
    let crash = (
        any::<prop::sample::Index>(),
        prop::bool::weighted(0.2),
        prop::bool::weighted(0.2),
    );
    let crash = crash.prop_map(|(cut, compacted, compacting)| Crash {
        cut,
        compacted,
        compacting,
    });
    prop::option::weighted(0.4, crash)
}

/// Where the journal's header has the end of what is surely there (docs/RECOVERY.md).
const COMMITTED: usize = 128;

/// What is left of a journal that was about to be stored up to `cut`, with the end of the record before.
fn torn(journal: &Journal, cut: u64, before: u64) -> OwnedFd {
    let whole = std::fs::File::from(journal.file().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; cut as usize];
    whole.read_exact_at(&mut bytes, 0).unwrap();
    bytes[COMMITTED..COMMITTED + 8].copy_from_slice(&before.to_le_bytes());
    let file = memfd_create("torn", MemfdFlags::CLOEXEC).unwrap();
    let mut file = std::fs::File::from(file);
    file.write_all(&bytes).unwrap();
    file.into()
}

/// The end of the first record after `before` that announces something.
fn planned(journal: &Journal, before: u64) -> Option<u64> {
    let mut found = None;
    let read = shmfs::recovery::read(journal.file(), |record| {
        let (origin, _) = record.parts()?;
        if record.offset >= before && matches!(origin.answer, Answer::Planned(_)) {
            found = found.or(Some(record.end()));
        }
        Ok(())
    });
    read.map(|_| found).unwrap()
}

fn has_data(model: &Model, id: Id) -> bool {
    match &model.node(id).what {
        What::File(_) => true,
        What::Symlink(target) => target.len() >= 128,
        What::Dir | What::Other(..) => false,
    }
}

impl Harness {
    /// Does `op`, dies in it, and has it done by the next process if it was not done.
    pub fn step_and_crash(&mut self, op: &Op, crash: &Crash) {
        self.shorten(crash.compacted);
        if crash.compacting {
            let journal = &self.saved().journal;
            journal.begin_pass();
            self.fs.tend_journal();
        }
        let unique = self.next_unique();
        let journal = Arc::clone(&self.saved().journal);
        let (model, inos) = (self.model.clone(), self.inos.clone());
        let (streams, before) = (self.streams.clone(), journal.end());
        self.began = self.now();
        let hand = InHand::enter(Some(&journal), self.request(unique));
        self.apply(op);
        drop(hand);
        let after = journal.end();
        // What a plan announces has been done: it was stored.
        let least = planned(&journal, before).unwrap_or(before);
        let mut cut = least + crash.cut.index((after - least + 1) as usize) as u64;
        if self.frees_data(&model) {
            // Data files are freed after the record that says so, and cannot be brought back here.
            cut = after;
        }
        drop(journal);
        self.recover(cut, before);
        // Nobody waits for an answer to these: the counts are what they have become.
        let counts = matches!(op, Op::Forget(..) | Op::Release(..));
        match self.fs.answered(unique) {
            Some(answer) => self.take_answer(answer, &inos),
            None if counts => self.take_up(),
            None => {
                (self.model, self.inos, self.streams) = (model, inos, streams);
                self.take_up();
                let journal = Arc::clone(&self.saved().journal);
                let again = self.request(unique | RESENT);
                let _hand = InHand::enter(Some(&journal), again);
                self.apply(op);
            }
        }
        self.fs.resends_are_over();
        self.settle();
    }

    /// The kernel sends a request.
    fn request(&self, unique: u64) -> slots::InHand {
        let request = Request {
            unique,
            opcode: 0,
            node: 0,
        };
        self.fs.slots().requests().begin(request)
    }

    fn saved(&self) -> &Saved {
        self.saved.as_ref().expect("this one has a journal")
    }

    fn next_unique(&mut self) -> u64 {
        let saved = self.saved.as_mut().expect("this one has a journal");
        saved.unique += 2;
        saved.unique
    }

    fn shorten(&self, is_due: bool) {
        if is_due {
            self.saved().journal.begin_pass();
            while self.fs.tend_journal() == Step::More {}
        }
    }

    /// Whether an object with data has gone since `before`.
    fn frees_data(&self, before: &Model) -> bool {
        let mut after = self.model.clone();
        after.evict();
        let mut gone = before
            .nodes
            .keys()
            .filter(|id| !after.nodes.contains_key(id));
        gone.any(|&id| has_data(before, id))
    }

    /// Another process takes over.
    fn recover(&mut self, cut: u64, before: u64) {
        let left = torn(&self.saved().journal, cut, before);
        let (journal, image) = Journal::open(left).unwrap();
        let journal = Arc::new(journal);
        let files = self.saved().files();
        let clock = Box::new(KernelClock::of(&files).unwrap());
        let config = Harness::config(self.setup);
        self.fs = Fs::restore(
            config,
            files,
            clock,
            (Slots::default(), &mut Survivors::default()),
            (Arc::clone(&journal), image),
        )
        .unwrap();
        if let Some(saved) = &mut self.saved {
            saved.journal = journal;
        }
        self.connect();
    }

    /// The request was carried out: what it made is known to the kernel with the answer.
    fn take_answer(&mut self, answer: Answer, before: &BTreeMap<Id, Ino>) {
        if let Answer::Made(made) = answer {
            let new = self.inos.iter().find(|(id, _)| !before.contains_key(id));
            assert!(new.is_none_or(|(_, &ino)| ino == made), "{answer:?}");
        }
        self.take_up();
    }

    /// The kernel's references and handles, as the model has them.
    fn take_up(&mut self) {
        let nodes: Vec<_> = self
            .model
            .nodes
            .iter()
            .map(|(&id, node)| (id, node.clone()))
            .collect();
        for (id, node) in nodes {
            let ino = self.ino(id);
            let lookups = if id == crate::reference::ROOT {
                0
            } else {
                node.lookups
            };
            for _ in 0..lookups {
                self.fs.lookup(ino, b".").unwrap();
            }
            let mut backing = None;
            for _ in 0..node.opens {
                backing = self.fs.open(ino, node.exposed).unwrap().backing;
            }
            if node.exposed && node.opens == 0 {
                self.fs.open(ino, true).unwrap();
                self.fs.release(ino);
            }
            backing.map(|backing| self.backings.insert(id, backing));
        }
        self.fs.resume(Survivors::default()).unwrap();
    }
}
