//! Requests that come when memory is short: who would add something is refused before anything has changed, and who
//! frees something goes on.

use super::Fs;
use crate::errno::{Errno, Result};
use crate::recovery::Effect;
use crate::sys::memory;

impl Fs {
    /// There must be memory for what is about to be added.
    pub(super) fn may_add(&self) -> Result<()> {
        match memory::is_short() {
            true => Err(Errno::ENOMEM),
            false => self.check_journal(Effect::Adds),
        }
    }

    /// There must be memory to say what is gone.
    pub(super) fn may_free(&self) -> Result<()> {
        self.check_journal(Effect::Frees)
    }

    fn check_journal(&self, effect: Effect) -> Result<()> {
        let journal = self.journal.as_ref();
        match journal.is_none_or(|journal| journal.has_room(effect)) {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        }
    }

    /// Whether what nobody asked for had better not be recorded.
    pub(super) fn must_save(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.is_low())
    }
}
