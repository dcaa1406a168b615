//! What a journal says.

use std::collections::HashMap;

use parking_lot::RwLock;

use super::journal::{Notes, Space};
use super::layout::Damage;
use super::scan::Record;
use crate::store::record::{Answer, Entity};
use crate::store::restore::Contents;

/// The last whole state that was recorded.
#[derive(Debug, Default)]
pub struct Image {
    /// Names and inodes.
    pub contents: Contents,
    /// Requests that may have no answer yet.
    pub answers: Answers,
    pub(super) notes: Notes,
    /// How many records there are.
    pub records: u64,
}

/// What requests had come to that may be sent again.
#[derive(Debug, Default)]
pub struct Answers(RwLock<HashMap<u64, Answer>>);

impl Image {
    pub(super) fn add(&mut self, record: &Record<'_>) -> Result<(), Damage> {
        let (origin, entities) = record.parts()?;
        for entity in entities {
            match entity? {
                Entity::Note { space, key, value } => {
                    let key = (space, key.into());
                    match value {
                        Some(value) => drop(self.notes.insert(key, value.into())),
                        None => drop(self.notes.remove(&key)),
                    }
                }
                entity => self.contents.apply(entity),
            }
        }
        if origin.unique != 0 && origin.answer != Answer::Unfinished {
            self.answers
                .0
                .get_mut()
                .insert(origin.unique, origin.answer);
        }
        self.records += 1;
        Ok(())
    }

    pub(super) fn check(&mut self) -> Result<(), Damage> {
        self.contents.check().map_err(Damage::Contradiction)
    }

    /// What is kept under this key.
    pub fn note(&self, space: Space, key: &[u8]) -> Option<&[u8]> {
        self.notes.get(&(space.0, key.into())).map(|value| &**value)
    }
}

impl Answers {
    /// What the request of this number had come to.
    pub fn of(&self, unique: u64) -> Option<Answer> {
        self.0.read().get(&unique).copied()
    }

    /// Whether there are any.
    pub fn is_empty(&self) -> bool {
        self.0.read().is_empty()
    }

    /// No request that was sent again is left.
    pub fn clear(&self) {
        *self.0.write() = HashMap::new();
    }
}
