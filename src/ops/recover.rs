//! A file system from what its journal says, and requests that the kernel sends again.

use std::collections::HashSet;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Config, CreateFlags, Dir, Entry, Fs, Opened};
use crate::data::{DataFiles, pages};
use crate::recovery::{Damage, Image, InHand, Journal, Step};
use crate::slots::{self, Cell, Flag, Slots, Survivors, failpoint, unique_in_hand};
use crate::store::change::InodeChange;
use crate::store::record::{Answer, Limits, Recorder};
use crate::store::{Inode, State, Superblock};
use crate::types::{Clock, Ino, InoSet};

/// A data file for a moment.
const PROBE: Ino = Ino(1);
/// Old records that are looked at in one step.
const STEP: usize = 64;

impl Fs {
    /// The file system that `journal` is the history of, with the data files that it left.
    ///
    /// The kernel's references, open handles and registrations are not in the journal: whoever keeps them sets them
    /// before the first request, and so is the data mode set; then comes [`Fs::resume`].
    pub fn restore(
        mut config: Config,
        files: DataFiles,
        clock: Box<dyn Clock>,
        (slots, survivors): (Slots, &mut Survivors),
        (journal, image): (Arc<Journal>, Image),
    ) -> Result<Fs, Damage> {
        let Image {
            contents, answers, ..
        } = image;
        let limits = contents.limits().unwrap_or(Limits {
            size: config.size,
            nr_inodes: config.nr_inodes,
            uid_size: config.users.size,
            uid_nr_inodes: config.users.nr_inodes,
        });
        (config.size, config.nr_inodes) = (limits.size, limits.nr_inodes);
        config.users.size = limits.uid_size;
        config.users.nr_inodes = limits.uid_nr_inodes;
        let recorder: Arc<dyn Recorder> = Arc::clone(&journal) as _;
        let superblock = Superblock::restore(contents, limits, (slots, survivors), Some(recorder));
        let superblock = superblock.map_err(Damage::Contradiction)?;
        Ok(Fs::with(
            superblock,
            config,
            files,
            clock,
            Some(journal),
            answers,
        ))
    }

    /// Takes up what was left: lets inodes and data files agree, counts what is in use, and evicts what nothing leads
    /// to, since the request that would have done so was lost.
    ///
    /// A data file that no inode speaks of was made by a request that has come to nothing yet.
    pub fn resume(&self, survivors: Survivors) -> Result<(), Damage> {
        failpoint("restored");
        self.resume_slots(survivors);
        failpoint("slots-resumed");
        let mut known = InoSet::default();
        for inode in self.superblock.tree().all() {
            if self.resume_data(inode)? {
                known.insert(inode.ino);
            }
        }
        let refused = |errno| Damage::Contradiction(format!("the data files: {errno}"));
        if let Some(ino) = self.files.reconcile(&known).map_err(refused)?.first() {
            let what = format!("the data of {ino:?} are lost");
            return Err(Damage::Contradiction(what));
        }
        self.limit_users_again().map_err(refused)?;
        self.sweep();
        Ok(())
    }

    /// What was being registered or taken back belongs to nobody; what was open keeps its registration.
    fn resume_slots(&self, survivors: Survivors) {
        let (mut known, mut first) = (HashSet::new(), None);
        for inode in self.superblock.tree().all() {
            let state = inode.state();
            let cell = &state.cell;
            // Whoever is killed may have counted what the kernel never got.
            cell.set(Flag::Uncertain, cell.lookups() > 0);
            self.resume_backing(cell, &mut first);
            known.insert(cell.backing());
        }
        for slot in survivors.slots.values() {
            self.resume_backing(slot, &mut first);
            self.unregister(slot);
        }
        self.close_lost(&known, first);
    }

    /// Clears up a registration that was under way; `first` becomes the lowest id that may be lost.
    fn resume_backing(&self, cell: &Cell, first: &mut Option<u32>) {
        if cell.is(Flag::Registering) {
            if cell.backing() != 0 {
                let id = cell.backing();
                *first = Some(first.map_or(id, |first| first.min(id)));
            }
            cell.set_backing(0);
            cell.set(Flag::Registering, false);
        }
        if cell.is(Flag::Unregistering) {
            self.unregister(cell);
            cell.set(Flag::Unregistering, false);
        }
        if cell.backing() != 0 {
            self.registered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Takes registrations back that nobody knows of: ids are given in their order (`idr_alloc_cyclic`).
    fn close_lost(&self, known: &HashSet<u32>, first: Option<u32>) {
        let Some(backing) = self.backing() else {
            return;
        };
        let next = self.with_scratch_file(PROBE, |file| backing.register(file.as_fd()));
        let Ok(Ok(next)) = next else {
            return;
        };
        backing.unregister(next);
        self.last_backing.store(next, Ordering::Relaxed);
        let lost = first.map_or(next..next, |first| first..next);
        lost.filter(|id| !known.contains(id))
            .for_each(|id| backing.unregister(id));
    }

    /// Closes, or opens again, what a request had opened or closed before its process died, and what it does not
    /// want now that it was carried out again.
    pub fn undo_handle(&self, (ino, net): (u64, i8)) {
        let Ok(inode) = self.superblock.inode(Ino(ino)) else {
            return;
        };
        if net > 0 {
            return self.release(inode.ino);
        }
        inode.state().cell.open_one();
    }

    /// What a request that was sent again had made, or given a name; the reference was counted then.
    pub fn made_before(&self, ino: Ino, (dir, name): (Dir, &[u8])) -> crate::errno::Result<Entry> {
        let tree = self.superblock.tree();
        let inode = tree.inode(ino)?;
        let located = self.locate(&tree, dir, name)?;
        self.entry_at(&tree, inode, dir, &located)
    }

    /// The same of what was also opened.
    pub fn created_before(
        &self,
        ino: Ino,
        at: (Dir, &[u8]),
        flags: CreateFlags,
    ) -> crate::errno::Result<(Entry, Opened)> {
        let entry = self.made_before(ino, at)?;
        let inode = self.superblock.inode(ino)?;
        let opened = self.opened(&inode.state().cell, flags.writable);
        let opened = self.direct(opened, &entry);
        Ok((entry, opened))
    }

    /// Says whether the inode has a data file.
    fn resume_data(&self, inode: &Inode) -> Result<bool, Damage> {
        let mut state = inode.state();
        if !state.data.present {
            state.data.reserved = 0;
            return Ok(false);
        }
        let counted = self.reserves() || state.data.pool != 0;
        if !counted {
            state.data.reserved = 0;
        }
        if !counted && !state.data.mtime_set {
            // There is nothing to ask it.
            return Ok(true);
        }
        let stat = self.files.stat(inode.ino);
        let stat = stat.map_err(|errno| {
            Damage::Contradiction(format!("the data of {:?} are lost: {errno}", inode.ino))
        })?;
        let holds = pages(stat.size).max(pages(stat.blocks * 512));
        if counted {
            state.data.reserved = state.data.reserved.max(holds);
        }
        if self.reserves() {
            self.room.retake(state.data.reserved);
        }
        // A write has moved it since.
        state.data.mtime_set &= stat.mtime == state.mtime;
        Ok(true)
    }

    /// The journal, where there is one.
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// This thread carries out the request of `slot` until what this returns is dropped, after the reply.
    pub fn in_hand(&self, slot: slots::InHand) -> InHand<'_> {
        InHand::enter(self.journal.as_deref(), slot)
    }

    /// What the request of this number, which was sent again, has come to already; `None` where it is to be carried out.
    pub fn answered(&self, unique: u64) -> Option<Answer> {
        match self.answers.of(unique)? {
            answer @ (Answer::Done | Answer::Made(_)) => Some(answer),
            Answer::Unfinished | Answer::Planned(_) => None,
        }
    }

    /// What the request in hand was about to do, where it was carried out in part before.
    pub(super) fn planned(&self) -> Option<u64> {
        match self.answers.of(unique_in_hand())? {
            Answer::Planned(what) => Some(what),
            Answer::Unfinished | Answer::Done | Answer::Made(_) => None,
        }
    }

    /// Says what the request in hand is about to do, which could not be told from what it leaves.
    pub(super) fn plan(&self, inode: &Inode, state: &mut State, what: u64) {
        if unique_in_hand() != 0 {
            self.superblock
                .commit_inode(inode, state, InodeChange::Data, Answer::Planned(what));
        }
    }

    /// No request that was sent again is left: from now on the journal may forget what they came to.
    pub fn resends_are_over(&self) {
        self.answers.clear();
        if let Some(journal) = &self.journal {
            journal.release();
        }
    }

    /// Does a part of what keeps the journal short.
    pub fn tend_journal(&self) -> Step {
        match &self.journal {
            Some(journal) => journal.compact(&self.superblock, STEP),
            None => Step::Idle,
        }
    }

    fn sweep(&self) {
        let all: Vec<Arc<Inode>> = self.superblock.tree().all().cloned().collect();
        for inode in all {
            let orphan = inode.state().is_orphan();
            if orphan {
                self.evict_if_unused(&inode);
            }
        }
    }
}
