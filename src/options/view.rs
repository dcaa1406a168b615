//! `view=KEY` and `view=KEY:DIR`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::words::show;
use crate::error::{Error, Result};
use crate::types::Names;
use crate::view::{Naming, NoView};

/// A view of the tree under a platform's names.
#[derive(Clone, Debug)]
pub struct ViewOption {
    /// The platform's names.
    pub naming: Naming,
    /// Where it is bound, if anywhere; it is not bound at the platform's own directory unasked.
    pub directory: Option<PathBuf>,
}

impl PartialEq for ViewOption {
    fn eq(&self, other: &ViewOption) -> bool {
        self.naming.key() == other.naming.key() && self.directory == other.directory
    }
}

impl Eq for ViewOption {}

impl ViewOption {
    pub(super) fn parse(value: &[u8]) -> Result<ViewOption> {
        let mut parts = value.splitn(2, |&byte| byte == b':');
        let key = parts.next().unwrap_or_default();
        let directory = match parts.next() {
            Some(b"") => {
                let what = format!(
                    "option 'view={}': no directory after the colon",
                    show(value)
                );
                return Err(Error::usage(what));
            }
            Some(directory) => Some(Path::new(OsStr::from_bytes(directory)).to_owned()),
            None => None,
        };
        let known = std::str::from_utf8(key).map_err(|_| NoView::Unknown);
        let naming = known
            .and_then(Naming::of)
            .map_err(|why| refused(key, why))?;
        Ok(ViewOption { naming, directory })
    }
}

fn refused(key: &[u8], why: NoView) -> Error {
    let key = show(key);
    match why {
        NoView::Unknown => Error::usage(format!("option 'view={key}': there is no such platform"))
            .hint("They are listed by `shmfs name list`."),
        NoView::PartOf(first) => Error::usage(format!(
            "option 'view={key}': these files are part of another view"
        ))
        .hint(format!(
            "Use view={first}: it shows all that this platform keeps in one directory."
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_and_perhaps_a_directory() {
        let alone = ViewOption::parse(b"netbsd").unwrap();
        assert_eq!((alone.naming.key(), alone.directory), ("netbsd", None));
        let bound = ViewOption::parse(b"openbsd:/a:b").unwrap();
        assert_eq!(bound.directory.as_deref(), Some(Path::new("/a:b")));
    }

    #[test]
    fn what_is_no_view_says_why() {
        for (value, says) in [
            (&b"plan9"[..], "no such platform"),
            (b"illumos-sem", "part of another view"),
            (b"netbsd:", "no directory"),
            (b"\xff", "no such platform"),
        ] {
            let error = ViewOption::parse(value).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
