//! Parts of the documents that the program makes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name)
}

/// The text of a document.
pub(crate) fn document(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The part of a document between `<!-- what -->` and its end is `made`, or is written so where
/// SHMFS_UPDATE_DOCS is set.
pub(crate) fn holds(name: &str, what: &str, made: &str) {
    // Two tests may write one document.
    static WRITING: Mutex<()> = Mutex::new(());
    let _alone = WRITING.lock();
    let text = document(name);
    let (begin, end) = (
        format!("<!-- {what} -->\n"),
        format!("<!-- end of {what} -->\n"),
    );
    let (before, rest) = text
        .split_once(&begin)
        .unwrap_or_else(|| panic!("docs/{name} has no {begin}"));
    let (written, after) = rest
        .split_once(&end)
        .unwrap_or_else(|| panic!("docs/{name} has no {end}"));
    if std::env::var_os("SHMFS_UPDATE_DOCS").is_some() {
        let whole = [before, &begin, made, &end, after].concat();
        return fs::write(path(name), whole).expect("the document can be written");
    }
    assert_eq!(
        written, made,
        "docs/{name} is not current: run this with SHMFS_UPDATE_DOCS=1"
    );
}

/// A row of a table.
pub(crate) fn row(cells: impl IntoIterator<Item = String>) -> String {
    let cells: Vec<String> = cells.into_iter().collect();
    format!("| {} |\n", cells.join(" | "))
}

/// The head of a table, and the line below it.
pub(crate) fn head(cells: &[String]) -> String {
    row(cells.iter().cloned()) + "|" + &"---|".repeat(cells.len()) + "\n"
}
