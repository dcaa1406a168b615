//! Writes at the end of a file that the kernel knows as several nodes: each has a size of its own there, and may not
//! have heard of what has been appended by another one.

use parking_lot::{Mutex, MutexGuard};

use super::Fs;
use crate::errno::Result;
use crate::store::Inode;
use crate::types::Ino;

/// So many files can grow at once without waiting for each other.
const TURNS: usize = 64;

/// One write at a time is at the end of a file.
#[derive(Debug)]
pub(super) struct Appends([Mutex<()>; TURNS]);

impl Default for Appends {
    fn default() -> Appends {
        Appends(std::array::from_fn(|_| Mutex::default()))
    }
}

impl Appends {
    /// Waits for the end of a file; before its state is locked.
    fn turn(&self, Ino(ino): Ino) -> MutexGuard<'_, ()> {
        self.0[ino as usize % TURNS].lock()
    }
}

impl Fs {
    /// The end of a file, which the kernel may take to be elsewhere, and the right to write there until it is dropped.
    ///
    /// The place is recorded: done again it would be another one.
    pub(super) fn end_of(&self, inode: &Inode) -> Result<(u64, MutexGuard<'_, ()>)> {
        let turn = self.appends.turn(inode.ino);
        if let Some(planned) = self.planned() {
            return Ok((planned, turn));
        }
        let mut state = inode.state();
        let end = self.data_stat(inode.ino, &state)?.size;
        self.plan(inode, &mut state, end);
        Ok((end, turn))
    }
}
