//! A live connection: what is asked of the kernel, the threads that serve, the end.

use std::ffi::CStr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use fuser::InitFlags;
use parking_lot::Mutex;

use super::adapter::{Adapter, Server};
use super::connection;
use super::drain::Drain;
use super::exports::{self, Sessions};
use super::handshake::{self, Handshake};
use super::nodes::{Layout, Nodes};
use super::passthrough::Registry;
use super::patience::Patience;
use super::resends::Aftermath;
use super::views::{self, Opener};
use crate::data::{DataFiles, KernelClock, PAGE_SIZE};
use crate::error::{Error, ExitCode, Result};
use crate::export::Source;
use crate::ops::{Config, DataMode, Fs, UserLimit};
use crate::options::{Limits, Options, Passthrough};
use crate::recovery::{Damage, Journal, Space, Step};
use crate::slots::{Request, Slots, Survivors, failpoint};
use crate::store::Share;
use crate::types::{Ino, Names};

/// Bytes in one write request: beyond, larger requests gain little, and each thread has a buffer.
pub(super) const MAX_WRITE: u32 = 1 << 20;
/// Threads that read requests, at least.
const MIN_THREADS: usize = 4;
/// And at most: they share one descriptor.
const MAX_THREADS: usize = 16;
/// Users in an answer, which is one message.
const USERS_SHOWN: usize = 100;
/// A data file for a moment.
const PROBE: Ino = Ino(1);

/// What is asked of the kernel at INIT, as far as it has it.
///
/// Not asked for, and why: `WRITEBACK_CACHE` (excludes passthrough), `ATOMIC_O_TRUNC` (hides a truncation in
/// OPEN, where one of a read-only open is missed), `DIRECT_IO_ALLOW_MMAP` (silently incoherent),
/// `POSIX_LOCKS` and `FLOCK_LOCKS` (the kernel's own can be interrupted, and outlive us), `SETXATTR_EXT` and
/// `ALLOW_IDMAP` (fuser 0.18 does not understand them), `CACHE_SYMLINKS` (readlink(2) moves atime).
pub(super) fn request_capabilities(passthrough: bool) -> InitFlags {
    let wanted = InitFlags::FUSE_ASYNC_READ
        | InitFlags::FUSE_BIG_WRITES
        | InitFlags::FUSE_MAX_PAGES
        | InitFlags::FUSE_PARALLEL_DIROPS
        | InitFlags::FUSE_POSIX_ACL
        | InitFlags::FUSE_DONT_MASK
        | InitFlags::FUSE_HANDLE_KILLPRIV_V2
        | InitFlags::FUSE_EXPORT_SUPPORT
        | InitFlags::FUSE_DO_READDIRPLUS
        | InitFlags::FUSE_READDIRPLUS_AUTO
        | InitFlags::FUSE_HAS_RESEND;
    if passthrough {
        wanted | InitFlags::FUSE_PASSTHROUGH
    } else {
        wanted
    }
}

/// Where a file system is saved: two memfds, empty at first.
#[derive(Debug)]
pub struct Saved {
    /// The journal.
    pub journal: OwnedFd,
    /// The kernel's references, and the requests in hand.
    pub slots: OwnedFd,
}

/// What a file system is served on.
#[derive(Debug)]
pub struct Resources<'a> {
    /// An open `/dev/fuse` that is the connection of a mount.
    pub device: OwnedFd,
    /// The bytes of the objects.
    pub data: DataFiles,
    /// Where it is saved; without it nothing is.
    pub saved: Option<Saved>,
    /// What node 1 is.
    pub layout: Layout,
    /// What exports there are.
    pub exports: Option<Source>,
    /// How the session begins.
    pub handshake: Handshake<'a>,
}

/// A file system that is being served.
#[derive(Debug)]
pub struct Service {
    fs: Arc<Fs>,
    nodes: Arc<Nodes>,
    device: Arc<OwnedFd>,
    saved: bool,
    sessions: Option<Sessions>,
    drain: Arc<Drain>,
    thread: Mutex<Option<JoinHandle<std::io::Result<()>>>>,
}

impl Service {
    /// Serves a new file system. On return the kernel's INIT has been answered and requests are served.
    pub fn start(resources: Resources<'_>, options: &Options) -> Result<Service> {
        let Resources {
            device,
            data,
            saved,
            layout,
            exports,
            handshake,
        } = resources;
        let device = Arc::new(device);
        let (fs, survivors) = make_fs(data, saved, options)?;
        let fs = Arc::new(fs);
        let root = fs
            .getattr(fs.root())
            .map_err(|errno| Error::system("cannot make the root", errno))?;
        let namings = views::chosen(options);
        let keys = namings.iter().map(|naming| naming.key()).collect();
        if let Some(source) = &exports {
            exports::install(&fs, source)?;
        }
        let nodes = Arc::new(Nodes::new(
            layout,
            &root.attr,
            keys,
            exports.is_some(),
            &fs,
        )?);
        let notifier = Arc::new(OnceLock::new());
        let namings = exports::with_views(&fs, namings);
        let queue = views::install(&fs, &nodes, &notifier, namings)?;
        let drain = Arc::<Drain>::default();
        let server = Server {
            fs: Arc::clone(&fs),
            nodes: Arc::clone(&nodes),
            notifier: Arc::clone(&notifier),
            passthrough: options.passthrough != Passthrough::Off,
            opener: Opener {
                device: Arc::clone(&device),
            },
            resends: Arc::default(),
            drain: Arc::clone(&drain),
            queue,
            patience: Patience::default(),
        };
        let resends = Arc::clone(&server.resends);
        let queue = server.queue.clone();
        let adapter = Adapter(Arc::new(server));
        let session = handshake::session(adapter, &device, configuration(), handshake)?;
        let _ = notifier.set(session.notifier());
        let opener = Opener {
            device: Arc::clone(&device),
        };
        fs.set_data_mode(choose_mode(&fs, &device, wish(&fs, options.passthrough))?);
        keep_mode(&fs);
        exports::warn_without_passthrough(&fs);
        opener.prepare(&fs, &nodes, options)?;
        if let Some(survivors) = survivors {
            fs.resume(survivors).map_err(damaged)?;
            fs.restore_sessions();
            opener.reopen(&fs, &nodes, notifier.get());
            let aftermath = Aftermath {
                fs: Arc::downgrade(&fs),
                nodes: Arc::clone(&nodes),
                device: Arc::clone(&device),
                resends,
                queue,
            };
            aftermath.start()?;
        }
        // Before the first worker has read a request this says whether the kernel can do so at all.
        let resent = connection::resend(&device);
        if let Err(error) = &resent {
            tracing::warn!(%error, "this kernel sends no request again: a worker that dies takes the mount with it");
        }
        let saved = fs.journal().is_some() && resent.is_ok();
        failpoint("resent");
        tend(&fs)?;
        let sessions = Sessions::watch(&fs, &nodes, &notifier, opener)?;
        let thread = std::thread::Builder::new()
            .name("shmfs-session".into())
            .spawn(move || session.run())
            .map_err(|error| Error::system("cannot start a thread", error))?;
        Ok(Service {
            fs,
            nodes,
            device,
            saved,
            sessions,
            drain,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Goes on with other exports; where something of them cannot change on a live mount the old ones stay.
    pub fn reload_exports(&self, exports: &Source) -> std::result::Result<(), String> {
        exports::reload(&self.fs, &self.nodes, exports)
    }

    /// Opens a session of an export; returns the name of its directory under `.shmfs/exports`.
    ///
    /// It ends when nothing leads to that directory any more.
    pub fn open_session(&self, export: &str) -> std::result::Result<String, String> {
        let none = || format!("there is no export {export:?}");
        let sessions = self.sessions.as_ref().ok_or_else(none)?;
        let id = self.fs.export_id(export).ok_or_else(none)?;
        sessions.open(&self.fs, &self.nodes, id, export)
    }

    /// The `directory` of a session has been bound: it ends once it is bound no more.
    pub fn session_is_bound(&self, directory: &str) {
        if let Some(sessions) = &self.sessions {
            sessions.is_bound(&self.fs, directory);
        }
    }

    /// Who asked for the session with this `directory` does not use it any more.
    pub fn session_is_left(&self, directory: &str) {
        if let Some(sessions) = &self.sessions {
            sessions.is_left(&self.fs, &self.nodes, directory);
        }
    }

    /// The file system.
    pub fn fs(&self) -> &Arc<Fs> {
        &self.fs
    }

    /// The name of the tree in the anteroom.
    pub fn entrance(&self) -> Option<&CStr> {
        self.nodes.entrance()
    }

    /// Whether another process could go on with it.
    pub fn is_saved(&self) -> bool {
        self.saved
    }

    /// Whether data goes by passthrough.
    pub fn passthrough(&self) -> bool {
        self.fs.is_passthrough()
    }

    /// Changes the limits of the live file system.
    pub fn remount(&self, limits: &Limits) -> crate::errno::Result<()> {
        self.fs.set_limits(limits.size, limits.nr_inodes)?;
        if limits.uid_size.is_some() || limits.uid_nr_inodes.is_some() {
            self.fs
                .set_user_limit(limits.uid_size, limits.uid_nr_inodes)?;
        }
        Ok(())
    }

    /// What is known of it, as JSON.
    pub fn status(&self) -> String {
        let statfs = self.fs.statfs();
        let mode = if self.passthrough() {
            "passthrough"
        } else {
            "page-cache"
        };
        let views: Vec<String> = self
            .nodes
            .keys()
            .iter()
            .map(|key| format!("\"{key}\""))
            .collect();
        format!(
            "{{\"version\":\"{}\",\"data\":\"{mode}\",\"page_size\":{PAGE_SIZE},\"blocks\":{},\"blocks_free\":{},\
             \"files\":{},\"files_free\":{},\"inodes\":{},\"views\":[{}],\"users\":{}}}",
            env!("CARGO_PKG_VERSION"),
            statfs.blocks,
            statfs.blocks_free,
            statfs.files,
            statfs.files_free,
            self.fs.inode_count(),
            views.join(","),
            self.users(),
        )
    }

    /// The limit of each user and what each has, as JSON; `null` without a limit.
    fn users(&self) -> String {
        let limit = self.fs.user_limit();
        if limit == Share::default() {
            return "null".to_owned();
        }
        let has = |(uid, share): &(u32, Share)| {
            let (blocks, files) = (share.pages, share.inodes);
            format!("{{\"uid\":{uid},\"blocks\":{blocks},\"files\":{files}}}")
        };
        let mut shares = self.fs.user_shares();
        shares.sort_by_key(|(_, share)| std::cmp::Reverse(share.pages));
        let first: Vec<String> = shares.iter().take(USERS_SHOWN).map(has).collect();
        format!(
            "{{\"blocks\":{},\"files\":{},\"count\":{},\"largest\":[{}]}}",
            limit.pages,
            limit.inodes,
            shares.len(),
            first.join(","),
        )
    }

    /// Ends the connection at once: programs that use it get ENOTCONN. Says whether the kernel let us;
    /// otherwise only the end of this process does it.
    pub fn abort(&self) -> bool {
        connection::abort(&self.device)
    }

    /// Finishes what is in hand, and begins nothing more; says whether all was finished by `until`.
    pub fn finish(&self, until: Instant) -> bool {
        self.drain.finish(self.fs.slots().requests(), until)
    }

    /// Returns when the connection has ended: unmounted everywhere, or aborted.
    pub fn wait(&self) -> Result<()> {
        let Some(thread) = self.thread.lock().take() else {
            return Ok(());
        };
        match thread.join() {
            // ECONNABORTED is what an abort looks like from here.
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) if error.raw_os_error() == Some(libc::ECONNABORTED) => Ok(()),
            Ok(Err(error)) => Err(Error::system("the FUSE connection broke", error)),
            Err(_) => Err(Error::new(
                ExitCode::Internal,
                "a thread that served requests panicked",
            )),
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(journal) = self.fs.journal() {
            journal.close();
        }
    }
}

/// A new file system, or the one that the journal is of; says which.
fn make_fs(
    files: DataFiles,
    saved: Option<Saved>,
    options: &Options,
) -> Result<(Fs, Option<Survivors>)> {
    let clock =
        KernelClock::of(&files).map_err(|errno| Error::system("cannot make a data file", errno))?;
    let config = Config {
        size: options.size,
        nr_inodes: options.nr_inodes,
        users: UserLimit {
            size: options.uid_size,
            nr_inodes: options.uid_nr_inodes,
        },
        mode: options.mode,
        uid: options
            .uid
            .unwrap_or_else(|| rustix::process::geteuid().as_raw()),
        gid: options
            .gid
            .unwrap_or_else(|| rustix::process::getegid().as_raw()),
        reserve: options.reserve || !files.counts_itself(),
        atime: options.atime,
        nodiratime: options.nodiratime,
    };
    let clock = Box::new(clock);
    let Some(Saved { journal, slots }) = saved else {
        return Ok((Fs::new(config, files, clock), None));
    };
    let (slots, mut survivors) = Slots::resume(slots)
        .map_err(|error| Error::system("cannot take up the kernel's references", error))?;
    let (journal, image) = Journal::resume(journal).map_err(damaged)?;
    let journal = Arc::new(journal);
    match image {
        Some(image) => {
            log_lost(&survivors);
            let from = (journal, image);
            let fs = Fs::restore(config, files, clock, (slots, &mut survivors), from);
            fs.map(|fs| (fs, Some(survivors))).map_err(damaged)
        }
        None => {
            let fs = Fs::recorded(config, files, clock, slots, Some(journal));
            Ok((fs, None))
        }
    }
}

/// Says what the last process had in hand.
fn log_lost(survivors: &Survivors) {
    for seen in &survivors.in_hand {
        let Request {
            unique,
            opcode,
            node,
        } = seen.request;
        tracing::warn!(unique, opcode, node, "in hand when the last worker ended");
    }
}

fn damaged(damage: Damage) -> Error {
    if let Damage::Unreadable(error) = damage {
        return Error::system("cannot read the journal", error);
    }
    let error = Error::new(ExitCode::System, damage.to_string())
        .hint("What was saved cannot be trusted, so nothing is made of it. `shmfs journal dump` shows what there is.");
    error.for_good()
}

/// Keeps the journal short, beside the requests.
fn tend(fs: &Arc<Fs>) -> Result<()> {
    let Some(journal) = fs.journal().cloned() else {
        return Ok(());
    };
    let fs = Arc::downgrade(fs);
    let run = move || {
        while journal.wait_for_work() {
            let Some(fs) = fs.upgrade() else {
                return;
            };
            while fs.tend_journal() == Step::More {}
        }
    };
    let thread = std::thread::Builder::new().name("shmfs-journal".into());
    let spawned = thread.spawn(run);
    spawned
        .map(drop)
        .map_err(|error| Error::system("cannot start a thread", error))
}

fn configuration() -> fuser::Config {
    let mut config = fuser::Config::default();
    let processors = std::thread::available_parallelism().map_or(MIN_THREADS, usize::from);
    config.n_threads = Some(processors.clamp(MIN_THREADS, MAX_THREADS));
    // One descriptor for all: a clone would take its unanswered requests with it when we die.
    config.clone_fd = false;
    config
}

/// Where the note of how data travels is.
const MODE: &[u8] = b"data";

/// What is wished for: after a recovery what there was before, since files are open.
fn wish(fs: &Fs, options: Passthrough) -> Passthrough {
    let kept = fs
        .journal()
        .and_then(|journal| journal.note(Space::MOUNT, MODE));
    match kept.as_deref() {
        Some([1]) => Passthrough::On,
        Some([0]) => Passthrough::Off,
        Some(_) | None => options,
    }
}

fn keep_mode(fs: &Fs) {
    if let Some(journal) = fs.journal() {
        let mode = u8::from(fs.is_passthrough());
        journal.set_note(Space::MOUNT, MODE, Some(&[mode]));
    }
}

/// Chooses passthrough where it works: only a registration tells.
fn choose_mode(fs: &Fs, device: &Arc<OwnedFd>, wish: Passthrough) -> Result<DataMode> {
    if wish == Passthrough::Off {
        tracing::info!("data goes through the page cache: passthrough=off");
        return Ok(DataMode::PageCache);
    }
    let registry = Registry::new(Arc::clone(device));
    let probed = fs.with_scratch_file(PROBE, |file| registry.probe(file.as_fd()));
    match probed {
        Ok(Ok(())) => {
            tracing::info!("data goes by passthrough");
            Ok(DataMode::Passthrough(Box::new(registry)))
        }
        Ok(Err(error)) if wish == Passthrough::On => Err(Error::system("passthrough=on, but the kernel refuses it", error)
            .hint("It needs Linux 6.9 and root outside of any user namespace; passthrough=auto does without.")),
        Ok(Err(error)) => {
            tracing::info!(%error, "data goes through the page cache: the kernel refuses passthrough");
            Ok(DataMode::PageCache)
        }
        Err(errno) => Err(Error::system("cannot make a data file", errno)),
    }
}
