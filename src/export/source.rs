//! A configuration as it was read: what a live mount's rules are from, and what another process makes the same of.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::config::{Exports, read_file, unreadable};
use super::problem::{Problems, Warning};

/// A text, and the file that it is from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file's path.
    pub origin: PathBuf,
    /// All of it.
    pub text: String,
}

impl Source {
    /// Reads a file.
    pub fn read(path: &Path) -> Result<Source, Problems> {
        let text = read_file(path);
        Ok(Source {
            origin: path.to_owned(),
            text: text.map_err(|what| unreadable(&path.display().to_string(), what))?,
        })
    }

    /// The exports that it means.
    pub fn parse(&self) -> Result<(Exports, Vec<Warning>), Problems> {
        Exports::parse(&self.text, &self.origin.display().to_string())
    }

    /// Both as bytes.
    pub fn encode(&self) -> Vec<u8> {
        let origin = self.origin.as_os_str().as_bytes();
        [origin, b"\0", self.text.as_bytes()].concat()
    }

    /// Reads such bytes; `None` where they are none.
    pub fn decode(bytes: &[u8]) -> Option<Source> {
        let end = bytes.iter().position(|&byte| byte == 0)?;
        let text = bytes.get(end + 1..)?.to_vec();
        Some(Source {
            origin: OsStr::from_bytes(&bytes[..end]).into(),
            text: String::from_utf8(text).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_travels() {
        let source = Source {
            origin: OsStr::from_bytes(b"/a\n\xff b").into(),
            text: "[export.a]\nread = [\"\u{e9}\"]\n".to_owned(),
        };
        assert_eq!(Source::decode(&source.encode()), Some(source));
        assert_eq!(Source::decode(b"no end"), None);
        assert_eq!(Source::decode(b"a\0\xff"), None);
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        let problems = Source::read(Path::new("/nowhere/at all")).unwrap_err();
        assert!(
            problems
                .to_string()
                .contains("/nowhere/at all: E_READ: it cannot be opened")
        );
    }
}
