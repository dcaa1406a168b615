//! Options back to the list that means them.

use std::fmt;
use std::path::Path;

use super::{Atime, Huge, Options, Passthrough};
use crate::types::Names;

impl fmt::Display for Options {
    /// The canonical list: parsed again, over whatever defaults, it gives the same options.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.read_only { "ro" } else { "rw" })?;
        f.write_str(if self.suid { ",suid" } else { ",nosuid" })?;
        f.write_str(if self.dev { ",dev" } else { ",nodev" })?;
        f.write_str(if self.exec { ",exec" } else { ",noexec" })?;
        f.write_str(match self.atime {
            Atime::Relative => ",relatime",
            Atime::Strict => ",strictatime",
            Atime::Never => ",noatime",
        })?;
        let words = [
            (self.nodiratime, ",nodiratime"),
            (!self.symfollow, ",nosymfollow"),
            (self.allow_other, ",allow_other"),
            (self.reserve, ",reserve"),
            (!self.journal, ",journal=off"),
        ];
        for (_, word) in words.iter().filter(|(given, _)| *given) {
            f.write_str(word)?;
        }
        self.fmt_values(f)
    }
}

impl Options {
    fn fmt_values(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As shmem_show_options(): in KiB, since a size is whole pages.
        if self.size % 1024 == 0 {
            write!(f, ",size={}k", self.size / 1024)?;
        } else {
            write!(f, ",size={}", self.size)?;
        }
        write!(f, ",nr_inodes={},mode={:o}", self.nr_inodes, self.mode)?;
        if self.uid_size != 0 {
            write!(f, ",uid_size={}", self.uid_size)?;
        }
        if self.uid_nr_inodes != 0 {
            write!(f, ",uid_nr_inodes={}", self.uid_nr_inodes)?;
        }
        for (name, id) in [("uid", self.uid), ("gid", self.gid)] {
            if let Some(id) = id {
                write!(f, ",{name}={id}")?;
            }
        }
        if self.huge != Huge::Never {
            write!(f, ",huge={}", self.huge.word())?;
        }
        if self.passthrough != Passthrough::Auto {
            write!(f, ",passthrough={}", self.passthrough.word())?;
        }
        if let Some(file) = &self.exports {
            write!(f, ",exports={}", escaped(file))?;
        }
        for view in &self.views {
            write!(f, ",view={}", view.naming.key())?;
            if let Some(directory) = &view.directory {
                write!(f, ":{}", escaped(directory))?;
            }
        }
        Ok(())
    }
}

/// A path as a value.
fn escaped(path: &Path) -> String {
    let path = path.to_string_lossy().replace('\\', "\\\\");
    path.replace(',', "\\,").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use proptest::prelude::*;

    use super::super::{Environment, ViewOption};
    use super::*;
    use crate::view::Naming;

    const HOST: Environment = Environment::with_ram(1 << 30);

    #[test]
    fn defaults_read_as_on_dev_shm() {
        assert_eq!(
            Options::new(&HOST).to_string(),
            "rw,nosuid,nodev,exec,relatime,size=524288k,nr_inodes=131072,mode=1777"
        );
    }

    fn views(one: bool, other: bool) -> Vec<ViewOption> {
        let naming = |key| Naming::of(key).unwrap();
        let alone = ViewOption {
            naming: naming("netbsd"),
            directory: None,
        };
        let bound = ViewOption {
            naming: naming("openbsd"),
            directory: Some("/a \\\"b,c".into()),
        };
        let views = [(one, alone), (other, bound)].into_iter();
        views
            .filter_map(|(wanted, view)| wanted.then_some(view))
            .collect()
    }

    fn options() -> impl Strategy<Value = Options> {
        let limits = (0..=u64::MAX / 4096, 0..=u64::MAX / 1024, 0..=0o7777u32);
        let users = (0..=u64::MAX / 4096, 0..=u64::MAX / 1024);
        let ids = prop::option::of(0..u32::MAX);
        let huge =
            prop::sample::select(&[Huge::Never, Huge::Always, Huge::WithinSize, Huge::Advise]);
        let way = prop::sample::select(&[Passthrough::Auto, Passthrough::On, Passthrough::Off]);
        let atime = prop::sample::select(&[Atime::Relative, Atime::Strict, Atime::Never]);
        let rest = (
            (limits, users),
            ids.clone(),
            ids,
            huge,
            way,
            atime,
            any::<[bool; 8]>(),
        );
        rest.prop_map(
            |(
                ((pages, nr_inodes, mode), (uid_pages, uid_nr_inodes)),
                uid,
                gid,
                huge,
                passthrough,
                atime,
                b,
            )| Options {
                size: pages * 4096,
                nr_inodes,
                uid_size: uid_pages * 4096,
                uid_nr_inodes,
                mode,
                uid,
                gid,
                huge,
                passthrough,
                atime,
                reserve: b[0],
                journal: b[6],
                nodiratime: b[1],
                read_only: b[2],
                suid: b[3],
                dev: b[4],
                exec: b[5],
                symfollow: b[6],
                allow_other: b[7],
                exports: b[2].then(|| "/e \\x\"y,z".into()),
                views: views(b[0], b[1]),
            },
        )
    }

    proptest! {
        #[test]
        fn a_list_means_what_it_was_made_of(options in options()) {
            let list = options.to_string();
            let again = Options::parse(OsStr::new(&list), &HOST).unwrap();
            prop_assert_eq!(&again, &options, "{}", list);
            prop_assert_eq!(again.to_string(), list);
        }

        #[test]
        fn any_bytes_are_answered(list in prop::collection::vec(any::<u8>(), 0..200)) {
            use std::os::unix::ffi::OsStrExt;
            if let Err(error) = Options::parse(OsStr::from_bytes(&list), &HOST) {
                prop_assert!(error.to_string().starts_with("option '"), "{}", error);
            }
        }
    }
}
