//! What a platform's file system must say of a path, whatever directories exist.

use crate::errno::Errno;

/// The longest name of one file, on every platform here.
pub(super) const NAME_MAX: usize = 255;

/// The limits of a platform's file system and path walk.
#[derive(Clone, Copy, Debug)]
pub struct FileSystem {
    /// A path of this many bytes or more is too long; the NUL counts in every PATH_MAX.
    path_max: Option<usize>,
    /// Bytes of the path that are not given to the kernel, because a directory descriptor stands for them.
    opened_from: usize,
    /// Whether a trailing slash is looked at before the length of the last component, as Linux's
    /// `open_last_lookups` does.
    slash_first: bool,
    /// What the library makes of EISDIR.
    directory: Errno,
    /// Whether a backslash can separate directories too.
    backslash: bool,
}

impl FileSystem {
    /// Linux.
    pub(super) const LINUX: FileSystem = FileSystem {
        path_max: Some(4096),
        opened_from: 0,
        slash_first: true,
        directory: Errno::EISDIR,
        backslash: false,
    };

    /// Linux under a shm_open that turns EISDIR into EINVAL.
    pub(super) const LINUX_EINVAL: FileSystem = FileSystem {
        directory: Errno::EINVAL,
        ..FileSystem::LINUX
    };

    /// A BSD, illumos or Haiku: PATH_MAX is 1024.
    pub(super) const BSD: FileSystem = FileSystem {
        path_max: Some(1024),
        slash_first: false,
        ..FileSystem::LINUX
    };

    /// Cygwin: PATH_MAX is 4096.
    pub(super) const CYGWIN: FileSystem = FileSystem {
        slash_first: false,
        backslash: true,
        ..FileSystem::LINUX
    };

    /// A system whose PATH_MAX we have not seen.
    pub(super) const UNKNOWN: FileSystem = FileSystem {
        path_max: None,
        slash_first: false,
        ..FileSystem::LINUX
    };

    /// The same where the library opens the directory, and what follows relative to it.
    pub(super) const fn relative_to(self, directory: &str) -> FileSystem {
        FileSystem {
            opened_from: directory.len(),
            ..self
        }
    }

    /// Whether a backslash can separate directories too.
    pub(super) const fn backslash_separates(&self) -> bool {
        self.backslash
    }

    /// The errno with which `open(path, O_RDWR | O_CREAT)` must fail; `None` where it can succeed.
    pub(super) fn refusal(&self, path: &[u8]) -> Option<Errno> {
        let path = path.get(self.opened_from..).unwrap_or(path);
        if self.path_max.is_some_and(|max| path.len() >= max) {
            return Some(Errno::ENAMETOOLONG);
        }
        let trimmed =
            &path[..path.len() - path.iter().rev().take_while(|&&byte| byte == b'/').count()];
        let leaf_at = trimmed
            .iter()
            .rposition(|&byte| byte == b'/')
            .map_or(0, |slash| slash + 1);
        let (parents, leaf) = trimmed.split_at(leaf_at);
        if parents
            .split(|&byte| byte == b'/')
            .any(|component| component.len() > NAME_MAX)
        {
            return Some(Errno::ENAMETOOLONG);
        }
        let too_long = (leaf.len() > NAME_MAX).then_some(Errno::ENAMETOOLONG);
        let directory =
            (trimmed.len() < path.len() || leaf == b"." || leaf == b"..").then_some(self.directory);
        if self.slash_first {
            directory.or(too_long)
        } else {
            too_long.or(directory)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn linux_says_eisdir_before_the_length_of_the_leaf_but_after_that_of_the_path() {
        let long = "a".repeat(256);
        let linux = FileSystem::LINUX;
        assert_eq!(
            linux.refusal(format!("/dev/shm/{long}/").as_bytes()),
            Some(Errno::EISDIR)
        );
        assert_eq!(
            linux.refusal(format!("/dev/shm/{long}/..").as_bytes()),
            Some(Errno::ENAMETOOLONG)
        );
        assert_eq!(
            linux.refusal(format!("/dev/shm/{}", "a/".repeat(2048)).as_bytes()),
            Some(Errno::ENAMETOOLONG)
        );
        assert_eq!(
            FileSystem::BSD.refusal(format!("/tmp/{long}/").as_bytes()),
            Some(Errno::ENAMETOOLONG)
        );
    }

    #[test]
    fn a_plain_file_is_not_refused() {
        assert_eq!(FileSystem::LINUX.refusal(b"/dev/shm/foo"), None);
        assert_eq!(
            FileSystem::LINUX.refusal(format!("/dev/shm/{}", "a".repeat(255)).as_bytes()),
            None
        );
        assert_eq!(
            FileSystem::LINUX.refusal(b"/dev/shm/x/.."),
            Some(Errno::EISDIR)
        );
    }
}
