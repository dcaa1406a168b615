//! The cases, a file per topic.

use crate::table::Case;

macro_rules! topics {
    ($($topic:ident)*) => {
        $(pub(crate) mod $topic;)*

        /// The whole table.
        pub(crate) fn all() -> impl Iterator<Item = Case> {
            let tables: &[&'static [Case]] = &[$($topic::CASES,)* crate::concurrency::CASES, crate::differential::CASES];
            tables.iter().copied().flatten().copied().collect::<Vec<_>>().into_iter()
        }
    };
}

topics! { acls acls_others alloc atime copy create handles limits link locks mapping misc names open readdir rename special suid sync times times_names truncate xattr utimens owners quotas }
