//! What a case is, where it runs, and where shmfs is allowed to differ from tmpfs.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use crate::harness::{Extra, Host};

/// One place where every case runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub(crate) enum Target {
    /// A real tmpfs, as root: the arbiter.
    Tmpfs,
    /// shmfs, as root, data passed through to a backing file.
    Passthrough,
    /// shmfs, as root, data in the page cache.
    Cached,
    /// A real tmpfs in a user namespace, without any capability.
    UserTmpfs,
    /// shmfs mounted in a user namespace, without any capability.
    UserCached,
}

impl Target {
    /// All of them, in the order in which they are run.
    pub(crate) const ALL: [Target; 5] = [
        Target::Tmpfs,
        Target::Passthrough,
        Target::Cached,
        Target::UserTmpfs,
        Target::UserCached,
    ];

    /// The first part of a trial's name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Target::Tmpfs => "tmpfs",
            Target::Passthrough => "passthrough",
            Target::Cached => "cached",
            Target::UserTmpfs => "user_tmpfs",
            Target::UserCached => "user_cached",
        }
    }

    /// Whether cases run there as an ordinary user.
    pub(crate) fn is_user(self) -> bool {
        matches!(self, Target::UserTmpfs | Target::UserCached)
    }

    /// Whether it is the real tmpfs.
    pub(crate) fn is_tmpfs(self) -> bool {
        matches!(self, Target::Tmpfs | Target::UserTmpfs)
    }
}

/// Every shmfs.
pub(crate) const SHMFS: &[Target] = &[Target::Passthrough, Target::Cached, Target::UserCached];
/// shmfs where the kernel keeps the data in its page cache.
pub(crate) const PAGE_CACHE: &[Target] = &[Target::Cached, Target::UserCached];

/// Who can run a case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Needs {
    /// Root and an ordinary user alike.
    Nobody,
    /// Root: other users, devices, trusted xattrs, mounts of its own.
    Root,
    /// Root, and of tmpfs a kernel that has quotas for it (`CONFIG_TMPFS_QUOTA`).
    Quotas,
}

/// One case.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The operation or topic.
    pub(crate) group: &'static str,
    /// The behaviour or errno.
    pub(crate) name: &'static str,
    /// Who can run it.
    pub(crate) needs: Needs,
    /// What it does; it panics where the file system does not do what tmpfs does.
    pub(crate) run: fn(&Ctx<'_>),
}

/// The cases of one file: `cases!["group"; nobody: a, b; root: c]`.
#[macro_export]
macro_rules! cases {
    ($group:literal; $($who:ident: $($name:ident),+);+ $(;)?) => {
        pub(crate) const CASES: &[$crate::table::Case] = &[$($($crate::table::Case {
            group: $group,
            name: stringify!($name),
            needs: $crate::cases!(@ $who),
            run: $name,
        },)+)+];
    };
    (@ nobody) => { $crate::table::Needs::Nobody };
    (@ quotas) => { $crate::table::Needs::Quotas };
    (@ root) => { $crate::table::Needs::Root };
}

/// A case in which a target is allowed to answer differently from tmpfs.
pub(crate) struct Differs {
    /// `group::name` of the case, which asserts the different result.
    pub(crate) case: &'static str,
    /// Where it differs.
    pub(crate) targets: &'static [Target],
    /// What forces the difference.
    pub(crate) why: &'static str,
    /// What a program finds instead.
    pub(crate) expect: &'static str,
}

/// What a case gets: a fresh directory on its target.
pub(crate) struct Ctx<'h> {
    /// The case's own directory, empty, mode 0755, owned by the caller.
    pub(crate) dir: PathBuf,
    /// Where it runs.
    pub(crate) target: Target,
    /// The host, for mounts of a case's own.
    pub(crate) host: &'h Host,
    difference: Option<&'static Differs>,
    consulted: Cell<bool>,
}

impl<'h> Ctx<'h> {
    /// The context of one trial.
    pub(crate) fn new(
        host: &'h Host,
        target: Target,
        dir: PathBuf,
        difference: Option<&'static Differs>,
    ) -> Ctx<'h> {
        Ctx {
            dir,
            target,
            host,
            difference,
            consulted: Cell::new(false),
        }
    }

    /// A path in the case's directory.
    pub(crate) fn p(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Whether this case is listed as different on this target; then it must assert the different result.
    pub(crate) fn differs(&self) -> bool {
        self.consulted.set(true);
        self.difference.is_some()
    }

    /// Fails a case that is listed as different and never asked.
    pub(crate) fn check_consulted(&self) {
        let forgotten = self.difference.is_some() && !self.consulted.get();
        assert!(
            !forgotten,
            "listed in DIFFERS, but the case has no different result to assert"
        );
    }

    /// A mount of the case's own, of the same kind of target, gone when the guard drops.
    pub(crate) fn mount(&self, options: &str) -> Extra {
        self.host.extra(self.target, options)
    }

    /// The directory in which the target is mounted.
    pub(crate) fn mountpoint(&self) -> &Path {
        self.host.mountpoint(self.target)
    }
}
