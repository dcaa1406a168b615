//! Exports: the tree's root as one consumer may have it.
//!
//! A *session* is one consumer's instance of an export. It is a hidden directory, which is also the consumer's own
//! *layer*: what no rule gives him can live there, if the export says so. What a name stands for, and what may be done
//! with it, is settled by [`gate`] under the tree's lock, in one step with the operation. What a directory shows has
//! positions, a size, a link count and times of its own ([`index`]), which nothing hidden moves.

pub(super) mod gate;
mod index;
mod kept;
mod listing;
mod moves;
pub(super) mod objects;
mod pools;
pub(super) mod sessions;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};

use parking_lot::{Mutex, RwLock};

use self::gate::Inside;
use self::index::Index;
use super::Fs;
use crate::errno::{Errno, Result};
use crate::export::{Export, Unmatched};
use crate::recovery::Journal;
use crate::types::Ino;

/// Which export: a number for as long as the file system lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ExportId(pub u32);

/// Which session: its hidden directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SessionId(pub Ino);

/// The exports of one file system.
#[derive(Debug, Default)]
pub(super) struct Exports {
    /// There are any.
    configured: AtomicBool,
    /// A session has been opened.
    active: AtomicBool,
    /// Changed under the tree's lock for writing, and taken after it.
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    served: Vec<Arc<Served>>,
    sessions: HashMap<SessionId, Arc<Session>>,
}

/// One export.
#[derive(Debug)]
pub(super) struct Served {
    id: ExportId,
    name: Box<str>,
    /// The rules in force; `None` once a reload has taken the export away.
    config: RwLock<Option<Arc<Export>>>,
    /// Those that were in force last: its sessions are of their kind.
    last: RwLock<Option<Arc<Export>>>,
    /// The pool of what is made under its rules; 0 is none.
    pool: AtomicU16,
    /// What its directories show, as far as anybody looked.
    indexes: Mutex<HashMap<Ino, Index>>,
}

/// One consumer's instance of an export.
#[derive(Debug)]
pub(super) struct Session {
    id: SessionId,
    token: Box<str>,
    served: Arc<Served>,
    layer: Ino,
    /// The pool of what is its own; 0 is none.
    pool: u16,
}

impl Exports {
    pub(super) fn is_configured(&self) -> bool {
        self.configured.load(Ordering::Acquire)
    }

    pub(super) fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    fn session(&self, id: SessionId) -> Result<Arc<Session>> {
        let table = self.table.read();
        table.sessions.get(&id).cloned().ok_or(Errno::ESTALE)
    }

    fn sessions(&self) -> Vec<Arc<Session>> {
        self.table.read().sessions.values().cloned().collect()
    }

    fn served(&self, id: ExportId) -> Result<Arc<Served>> {
        let table = self.table.read();
        table
            .served
            .get(id.0 as usize)
            .cloned()
            .ok_or(Errno::ESTALE)
    }

    /// A directory is gone for good.
    pub(super) fn forget_directory(&self, ino: Ino, journal: Option<&Journal>) {
        if self.is_active() {
            for served in &self.table.read().served {
                let index = served.indexes.lock().remove(&ino);
                if let (Some(index), Some(journal)) = (index, journal) {
                    kept::drop_kept(journal, (served.id, ino), &index);
                }
            }
        }
    }
}

impl Session {
    /// Whether nothing is the session's own but temporary names.
    fn has_scratch_alone(&self) -> bool {
        let config = self.served.config();
        config.is_some_and(|config| !config.private && config.unmatched == Unmatched::Hidden)
    }

    /// Whether a name of the root is the session's own.
    fn is_own(&self, name: &[u8]) -> bool {
        let config = self.served.config();
        config.is_some_and(|config| config.is_in_layer(name))
    }
}

impl Served {
    fn config(&self) -> Option<Arc<Export>> {
        self.config.read().clone()
    }
}

impl Fs {
    /// Whether names or attributes can change without the kernel's knowledge: a view or an export has been opened.
    pub fn has_other_faces(&self) -> bool {
        self.views.is_active() || self.exports.is_active()
    }
}
