//! Exports of a live mount: their rules, and the sessions that end when nothing leads to them any more.
//!
//! The kernel keeps the name of a session's root for a while after its last use. So a thread looks whether it is still
//! bound in some mount namespace; where it is not, the name is dropped, and if really nobody has it the kernel forgets
//! the root at once, which ends the session. A name that is dropped while it is in use does no harm but that getcwd(2)
//! does not find it any more.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use fuser::Notifier;
use parking_lot::Mutex;

use super::nodes::{Nodes, Special};
use super::signposts::name_of_session;
use super::views::Opener;
use crate::error::{Error, Result};
use crate::export::{Export, Source};
use crate::ops::{DEFAULT_SESSION, Dir, ExportId, Face, Fs, SessionId, SessionInfo};
use crate::sys::mount_tables;
use crate::types::Names;
use crate::view::Naming;

/// How often the mount namespaces are looked through, while there are sessions that can end.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long a session may wait to be looked up.
const UNKNOWN: Duration = Duration::from_secs(60);
/// How long a session that was looked up may wait to be bound: whoever binds it has it in hand.
const UNBOUND: Duration = Duration::from_secs(5);

/// Lets the file system have the exports of a source.
pub(super) fn install(fs: &Fs, source: &Source) -> Result<()> {
    let (exports, _) = source
        .parse()
        .map_err(|problems| Error::usage(problems.to_string()))?;
    fs.set_exports(exports.into_iter().map(Arc::new).collect());
    Ok(())
}

/// The views that there are, and those that exports are seen in.
pub(super) fn with_views(fs: &Fs, mut namings: Vec<Naming>) -> Vec<Naming> {
    for (_, export) in fs.exports() {
        let naming = export
            .view
            .as_deref()
            .map(Naming::of)
            .and_then(|it| it.ok());
        if let Some(naming) = naming.filter(|new| !namings.iter().any(|it| it.key() == new.key())) {
            namings.push(naming);
        }
    }
    namings
}

/// Says what does not work for readers.
pub(super) fn warn_without_passthrough(fs: &Fs) {
    if fs.is_passthrough() {
        return;
    }
    for (_, export) in fs.exports() {
        if gives_reading(&export) {
            tracing::warn!(
                export = export.name,
                "without passthrough, shared mappings of what it only lets read are refused (ENODEV), and read(2) sees what has been written back"
            );
        }
    }
}

fn gives_reading(export: &Export) -> bool {
    use crate::export::{Rights, Verb};
    let reads = |verb| match verb {
        Verb::Grant(rights) => !Rights::contains(rights, Rights::READ.union(Rights::WRITE)),
        Verb::Hide => false,
    };
    export.rules.all().iter().any(|rule| reads(rule.verb))
}

/// Goes on with other exports, or says what of them needs a new mount.
pub(super) fn reload(fs: &Fs, nodes: &Nodes, source: &Source) -> std::result::Result<(), String> {
    if !nodes.has_exports() {
        return Err("it was mounted without exports".to_owned());
    }
    let (exports, _) = source.parse().map_err(|problems| problems.to_string())?;
    let exports: Vec<Arc<Export>> = exports.into_iter().map(Arc::new).collect();
    for new in &exports {
        if let Some(key) = new.view.as_deref().filter(|key| !fs.has_view(key)) {
            return Err(format!(
                "export {:?}: view = {key:?} needs a new mount: views are chosen when it is mounted",
                new.name
            ));
        }
    }
    for old in fs.exports_so_far() {
        if let Some(new) = exports.iter().find(|new| new.name == old.name) {
            check_change(&old, new)?;
        }
    }
    fs.set_exports(exports);
    Ok(())
}

fn check_change(old: &Export, new: &Export) -> std::result::Result<(), String> {
    let kept = [
        ("private", old.private == new.private),
        ("keep", old.keep == new.keep),
        ("view", old.view == new.view),
        ("size", old.size == new.size),
        ("nr_inodes", old.nr_inodes == new.nr_inodes),
        ("to", old.to == new.to),
    ];
    match kept.iter().find(|(_, same)| !same) {
        None => Ok(()),
        Some((key, _)) => Err(format!(
            "export {:?}: {key} cannot change on a live mount: give the export another name, or mount again",
            new.name
        )),
    }
}

/// Sessions that were made by request.
#[derive(Debug)]
pub(super) struct Sessions {
    watched: Arc<Mutex<HashMap<SessionId, Watched>>>,
    opener: Opener,
    notifier: Arc<OnceLock<Notifier>>,
}

/// What is known of one.
#[derive(Clone, Copy, Debug)]
struct Watched {
    since: Instant,
    /// When the kernel was first seen to know it.
    known: Option<Instant>,
    was_bound: bool,
}

impl Watched {
    fn new() -> Watched {
        Watched {
            since: Instant::now(),
            known: None,
            was_bound: false,
        }
    }
}

impl Sessions {
    /// Starts the thread that looks after them; `None` without exports.
    pub(super) fn watch(
        fs: &Arc<Fs>,
        nodes: &Arc<Nodes>,
        notifier: &Arc<OnceLock<Notifier>>,
        opener: Opener,
    ) -> Result<Option<Sessions>> {
        if !nodes.has_exports() {
            return Ok(None);
        }
        let watched: Arc<Mutex<HashMap<SessionId, Watched>>> = Arc::default();
        let watcher = Watcher {
            fs: Arc::downgrade(fs),
            nodes: Arc::clone(nodes),
            notifier: Arc::clone(notifier),
            watched: Arc::downgrade(&watched),
        };
        std::thread::Builder::new()
            .name("shmfs-sessions".into())
            .spawn(move || watcher.run())
            .map_err(|error| Error::system("cannot start a thread", error))?;
        Ok(Some(Sessions {
            watched,
            opener,
            notifier: Arc::clone(notifier),
        }))
    }

    /// Makes a session; returns the name of its directory.
    pub(super) fn open(
        &self,
        fs: &Fs,
        nodes: &Nodes,
        id: ExportId,
        export: &str,
    ) -> std::result::Result<String, String> {
        let token = random_token().map_err(|error| error.to_string())?;
        let notifier = self.notifier.get();
        let opened = self.opener.open_session(fs, nodes, notifier, (id, &token));
        let dir = opened.map_err(|errno| format!("cannot make a session: {errno}"))?;
        if let Face::Export(session) = dir.face {
            self.watched.lock().insert(session, Watched::new());
        }
        Ok(name_of_session(export, &token))
    }

    /// Who asked for a session has bound its `directory`: it ends as soon as it is bound no more.
    pub(super) fn is_bound(&self, fs: &Fs, directory: &str) {
        if let Some(session) = find(fs, directory) {
            let mut watched = self.watched.lock();
            let known = watched.entry(session.id).or_insert_with(Watched::new);
            known.was_bound = true;
        }
    }

    /// Who asked for a session uses its `directory` no more; where somebody else does, it goes on.
    pub(super) fn is_left(&self, fs: &Fs, nodes: &Nodes, directory: &str) {
        self.is_bound(fs, directory);
        if let Some(session) = find(fs, directory) {
            drop_name(fs, nodes, self.notifier.get(), &session);
        }
    }
}

/// The session whose root is `directory`, but for those that end with the mount.
fn find(fs: &Fs, directory: &str) -> Option<SessionInfo> {
    let is_it = |session: &SessionInfo| {
        let export = fs.export_name(session.export);
        let name = export.map(|export| name_of_session(&export, &session.token));
        session.token != DEFAULT_SESSION && name.as_deref() == Some(directory)
    };
    fs.sessions().into_iter().find(is_it)
}

fn random_token() -> Result<String> {
    let mut bytes = [0u8; 16];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())
        .map_err(|errno| Error::system("cannot get random numbers", errno))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Looks after sessions.
#[derive(Debug)]
struct Watcher {
    fs: Weak<Fs>,
    nodes: Arc<Nodes>,
    notifier: Arc<OnceLock<Notifier>>,
    watched: Weak<Mutex<HashMap<SessionId, Watched>>>,
}

impl Watcher {
    fn run(&self) {
        loop {
            std::thread::sleep(INTERVAL);
            let (Some(fs), Some(watched)) = (self.fs.upgrade(), self.watched.upgrade()) else {
                return;
            };
            let sessions = fs.sessions().into_iter();
            let sessions: Vec<SessionInfo> =
                sessions.filter(|it| it.token != DEFAULT_SESSION).collect();
            if !sessions.is_empty() {
                self.look(&fs, &sessions, &mut watched.lock());
            }
        }
    }

    fn look(&self, fs: &Fs, sessions: &[SessionInfo], watched: &mut HashMap<SessionId, Watched>) {
        watched.retain(|id, _| sessions.iter().any(|session| session.id == *id));
        let tokens: Vec<&str> = sessions.iter().map(|it| it.token.as_str()).collect();
        let bound = mount_tables::mentioned(&tokens);
        for session in sessions {
            let of_it = watched.entry(session.id).or_insert_with(Watched::new);
            if is_known(fs, &self.nodes, session) {
                of_it.known.get_or_insert_with(Instant::now);
            }
            let waited = of_it.known.is_some_and(|since| since.elapsed() > UNBOUND);
            if bound.contains(session.token.as_str()) {
                of_it.was_bound = true;
            } else if of_it.was_bound || waited || of_it.since.elapsed() > UNKNOWN {
                drop_name(fs, &self.nodes, self.notifier.get(), session);
            }
        }
    }
}

fn is_known(fs: &Fs, nodes: &Nodes, session: &SessionInfo) -> bool {
    let dir = Dir {
        ino: fs.root(),
        face: Face::Export(session.id),
    };
    nodes.known(dir).is_some()
}

/// Lets the kernel forget a session's root, if nobody has it. What it never knew ends here.
fn drop_name(fs: &Fs, nodes: &Nodes, notifier: Option<&Notifier>, session: &SessionInfo) {
    if !is_known(fs, nodes, session) {
        return fs.end_session(session.id);
    }
    let (Some(notifier), Some(export)) = (notifier, fs.export_name(session.export)) else {
        return;
    };
    let name = name_of_session(&export, &session.token);
    // What the owner looked at in its layer is known to the kernel by other names, and kept too.
    let ways = [
        (Special::PrivateOf(session.export), &session.token),
        (Special::Exports, &name),
    ];
    for (above, name) in ways {
        let above = nodes.special(above).ino;
        if let Err(error) = notifier.inval_entry(above, OsStr::new(name)) {
            tracing::debug!(%error, "cannot drop a name");
        }
    }
}
