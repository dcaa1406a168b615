//! What a consumer may see and do: exports, their rules, and the one table from operation to answer.
//!
//! Pure: it knows names, rights and errno, nothing of FUSE, of the store or of platforms. docs/EXPORTS.md is the
//! reference for people; the configuration is read by `Exports`, a name's rights are found by `Rules`, and `verdict` says
//! what an operation answers.

mod check;
mod config;
mod pattern;
mod problem;
mod read;
mod report;
mod rights;
mod rules;
mod source;
mod table;
mod values;
mod verdict;

pub use config::{Export, Exports, Unmatched};
pub use pattern::{Fault, Pattern};
pub use problem::{Code, Problem, Problems, Warning};
pub use rights::Rights;
pub use rules::{Finding, Key, Reason, Rule, Rules, Verb};
pub use source::Source;
pub use table::{ROWS, Row, Subject};
pub use verdict::{Operation, Presence, RenameMode, XattrClass, verdict};
