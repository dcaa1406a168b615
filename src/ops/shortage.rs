//! Requests that come when memory is short: who would add something is refused before anything has changed, and who
//! frees something goes on.

use super::Fs;
use crate::errno::{Errno, Result};
use crate::recovery::{Effect, Step};
use crate::sys::memory;

impl Fs {
    /// There must be memory for what is about to be added.
    pub(super) fn may_add(&self) -> Result<()> {
        match memory::must_refuse() {
            true => Err(Errno::ENOMEM),
            false => self.check_journal(Effect::Adds),
        }
    }

    /// There must be memory to say what is gone; what went before makes room for that, where nothing else does.
    ///
    /// The caller has no locks.
    pub(super) fn may_free(&self) -> Result<()> {
        while self.may_free_now().is_err() {
            if self.tend_journal() == Step::Idle {
                return self.may_free_now();
            }
        }
        Ok(())
    }

    /// The same for who has locks and cannot wait for that.
    pub(super) fn may_free_now(&self) -> Result<()> {
        self.check_journal(Effect::Frees)
    }

    fn check_journal(&self, effect: Effect) -> Result<()> {
        let journal = self.journal.as_ref();
        match journal.is_none_or(|journal| journal.has_room(effect)) {
            true => Ok(()),
            false => Err(Errno::ENOMEM),
        }
    }

    /// Whether what nobody asked for had better not be recorded.
    pub(super) fn must_save(&self) -> bool {
        self.journal
            .as_ref()
            .is_some_and(|journal| journal.is_low())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustix::fs::{Mode, OFlags};
    use rustix::mount::MountAttrFlags;

    use super::*;
    use crate::data::{DataFiles, KernelClock};
    use crate::ops::{Caller, Config, NewNode, RenameMode};
    use crate::recovery::Journal;
    use crate::slots::Slots;
    use crate::types::Kind;

    /// A file system whose journal finds no more memory than `size`.
    fn with_journal_of(size: &std::ffi::CStr) -> Fs {
        let made = crate::sys::mount::make(c"tmpfs", &[(c"size", size)], MountAttrFlags::empty());
        let flags = OFlags::CREATE | OFlags::RDWR | OFlags::CLOEXEC;
        let root = made.expect("a tmpfs needs root");
        let file = rustix::fs::openat(&root, "journal", flags, Mode::from(0o600)).unwrap();
        let journal = Arc::new(Journal::create_in(file).unwrap());
        let files = DataFiles::memfds();
        let clock = Box::new(KernelClock::of(&files).unwrap());
        let config = Config {
            nr_inodes: 0,
            ..Config::default()
        };
        Fs::recorded(config, files, clock, Slots::default(), Some(journal))
    }

    /// Nothing but what is freed makes room: however much is there, all of it can go.
    #[test]
    fn whoever_frees_is_never_refused_for_good() {
        for (size, value) in [(c"1280k", 0), (c"2m", 0), (c"2m", 50), (c"4m", 5000)] {
            let fs = with_journal_of(size);
            let (root, caller) = (fs.root(), Caller::new(0, 0, 0));
            let name = |number: u32| format!("name-{number}").into_bytes();
            // As the thread does that keeps the journal short.
            let tend = || while fs.tend_journal() == Step::More {};
            let node = || NewNode {
                kind: Kind::Fifo,
                mode: 0o600,
                umask: 0,
            };
            let mut inodes = Vec::new();
            while let Ok(made) = fs.mknod(&caller, root, &name(inodes.len() as u32), node()) {
                inodes.push(made.attr.ino);
                if value > 0 {
                    let value = vec![7; value];
                    let set = fs.setxattr(&caller, made.attr.ino, b"trusted.a", &value, 0);
                    assert!(matches!(set, Ok(()) | Err(Errno::ENOMEM)), "{set:?}");
                }
                tend();
                assert!(inodes.len() < 50_000, "there is no end of memory");
            }
            let case = format!("{} inodes, {size:?}, {value}", inodes.len());
            assert!(inodes.len() > 300, "{case}");
            for (number, &ino) in inodes.iter().enumerate() {
                if number % 3 == 0 {
                    let gone = fs.removexattr(&caller, ino, b"trusted.a");
                    assert!(
                        matches!(gone, Ok(()) | Err(Errno::ENODATA)),
                        "{gone:?} {case}"
                    );
                }
                let (at, next) = (name(number as u32), name(number as u32 + 1));
                let gone = match number % 2 == 0 && number + 1 < inodes.len() {
                    true => fs.rename(&caller, (root, &at), (root, &next), RenameMode::Replace),
                    false => fs.unlink(&caller, root, &at),
                };
                // That thread may be late.
                assert_eq!(gone, Ok(()), "{number} of {case}");
            }
            inodes.iter().for_each(|&ino| fs.forget(ino, 1));
            let again = |_: &u32| {
                std::thread::sleep(std::time::Duration::from_millis(30));
                let made = fs.mknod(&caller, root, b"again", node());
                tend();
                made.is_ok()
            };
            assert!((0..3).any(|count| again(&count)), "no room: {case}");
        }
    }
}
