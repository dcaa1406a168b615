//! Times are marks: the harness knows when an operation began and ended, and a time that it touched must lie
//! between.

use shmfs::types::Timestamp;

use crate::reference::{Id, Model};

/// What an operation did to a time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mark {
    #[default]
    Kept,
    /// Stamped.
    Touched,
    /// Stamped or not: reading a regular file, whose access time is the host kernel's business.
    Maybe,
    Exact(Timestamp),
}

/// What an operation did to the times of an object.
#[derive(Clone, Copy, Debug, Default)]
pub struct Marks {
    pub atime: Mark,
    pub mtime: Mark,
    pub ctime: Mark,
    /// What was touched has one time.
    pub together: bool,
}

impl Model {
    pub fn marks_of(&mut self, id: Id) -> &mut Marks {
        self.marks.entry(id).or_default()
    }

    /// The contents changed.
    pub fn touch_data(&mut self, id: Id) {
        let marks = self.marks_of(id);
        (marks.mtime, marks.ctime) = (Mark::Touched, Mark::Touched);
    }

    /// Anything changed.
    pub fn touch_ctime(&mut self, id: Id) {
        self.marks_of(id).ctime = Mark::Touched;
    }
}
