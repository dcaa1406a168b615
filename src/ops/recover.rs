//! A file system from what its journal says, and requests that the kernel sends again.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Config, Fs};
use crate::data::{DataFiles, pages};
use crate::recovery::{Damage, Image, InHand, Journal, Step};
use crate::slots::{Slots, Survivors};
use crate::store::record::{Answer, Limits, Recorder};
use crate::store::{Inode, Superblock};
use crate::types::{Clock, Ino, Kind};

/// Old records that are looked at in one step.
const STEP: usize = 64;

impl Fs {
    /// The file system that `journal` is the history of, with the data files that it left.
    ///
    /// The kernel's references, open handles and registrations are not in the journal: whoever keeps them sets them
    /// before the first request, and then calls [`Fs::sweep`].
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
        });
        (config.size, config.nr_inodes) = (limits.size, limits.nr_inodes);
        let recorder: Arc<dyn Recorder> = Arc::clone(&journal) as _;
        let superblock = Superblock::restore(contents, limits, (slots, survivors), Some(recorder))
            .map_err(Damage::Contradiction)?;
        let fs = Fs::with(superblock, config, files, clock, Some(journal), answers);
        fs.restore_data()?;
        Ok(fs)
    }

    /// Lets inodes and data files agree.
    fn restore_data(&self) -> Result<(), Damage> {
        let mut known = HashSet::new();
        for inode in self.superblock.tree().all() {
            let mut state = inode.state();
            if state.data.present {
                known.insert(inode.ino);
                let stat = self.files.stat(inode.ino);
                let stat = stat.map_err(|errno| lost_data(inode, errno))?;
                let holds = pages(stat.size).max(pages(stat.blocks * 512));
                state.data.reserved = state.data.reserved.max(holds);
                // A write has set another one since.
                state.data.mtime_set &= stat.mtime == state.mtime;
            }
        }
        Ok(())
    }

    /// The journal, where there is one.
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.journal.as_ref()
    }

    /// This thread carries out the request `unique` until the answer is dropped.
    pub fn in_hand(&self, unique: u64) -> InHand<'_> {
        InHand::enter(self.journal.as_deref(), unique)
    }

    /// What a request that was sent again has come to already; `None` where it is to be carried out.
    pub fn answered(&self, unique: u64) -> Option<Answer> {
        self.answers.of(unique)
    }

    /// No request that was sent again is left: from now on the journal may forget their answers.
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

    /// Evicts all inodes that nothing leads to: requests that would have done so were lost.
    pub fn sweep(&self) {
        let all: Vec<Arc<Inode>> = self.superblock.tree().all().cloned().collect();
        for inode in all {
            let orphan = inode.state().is_orphan();
            if orphan {
                self.evict_if_unused(&inode);
            }
        }
    }
}

fn lost_data(inode: &Inode, errno: crate::errno::Errno) -> Damage {
    let _ = (Ino(0), Kind::Regular);
    Damage::Contradiction(format!("the data of {:?} are lost: {errno}", inode.ino))
}
