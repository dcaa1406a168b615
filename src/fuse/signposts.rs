//! The directories above views and exports: what is in them, and the way through them.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use fuser::{FileType, Generation, INodeNo, ReplyDirectory, ReplyDirectoryPlus, ReplyEntry};

use super::adapter::{FOR_EVER, Refuse, Server};
use super::nodes::{Node, Nodes, Special};
use crate::errno::{Errno, Result};
use crate::export::Export;
use crate::ops::{DEFAULT_SESSION, Dir, ExportId, Face, Fs, SessionInfo, ViewId};

const VIEWS: &[u8] = b"views";
const EXPORTS: &[u8] = b"exports";
const PRIVATE: &[u8] = b"private";
/// Between an export's name and a session's own.
const OF_SESSION: char = ':';

/// An entry of such a directory.
#[derive(Debug)]
struct Signpost {
    /// Where the stream goes on after it.
    next: u64,
    name: Vec<u8>,
    to: Target,
}

/// What a signpost leads to.
#[derive(Clone, Copy, Debug)]
enum Target {
    /// `.` or `..`: nothing that the kernel is to keep.
    Dot(Special),
    Special(Special),
    /// Closed until somebody looks it up.
    Closed(Face),
    /// An export, of which nobody has a session yet.
    Unopened(ExportId),
    /// What is a session's own.
    Layer(Dir),
}

/// The directory of a session under `.shmfs/exports`.
pub(super) fn name_of_session(export: &str, token: &str) -> String {
    format!("{export}{OF_SESSION}{token}")
}

/// The export and the session that a name under `.shmfs/exports` means.
fn session_of_name(fs: &Fs, name: &[u8]) -> Option<(ExportId, String)> {
    let name = std::str::from_utf8(name).ok()?;
    let (export, token) = match name.rsplit_once(OF_SESSION) {
        Some((export, token)) => (export, token),
        None => (name, DEFAULT_SESSION),
    };
    Some((fs.export_id(export)?, token.to_owned()))
}

fn above(special: Special) -> Special {
    match special {
        Special::Way | Special::Views | Special::Exports | Special::Private => Special::Way,
        Special::PrivateOf(_) => Special::Private,
    }
}

/// What is in such a directory: each with a number that stays its own, whatever comes and goes beside it.
fn contents(nodes: &Nodes, fs: &Fs, special: Special) -> Vec<(u64, Vec<u8>, Target)> {
    let of = |number, name: &[u8], to| (number, name.to_vec(), Target::Special(to));
    match special {
        Special::Way => {
            let views = (!nodes.keys().is_empty()).then(|| of(0, VIEWS, Special::Views));
            let exports = nodes.has_exports().then(|| {
                let private = of(2, PRIVATE, Special::Private);
                [of(1, EXPORTS, Special::Exports), private]
            });
            views
                .into_iter()
                .chain(exports.into_iter().flatten())
                .collect()
        }
        Special::Views => {
            let keys = nodes.keys().iter().enumerate();
            let view = |at| Target::Closed(Face::View(ViewId(at)));
            keys.map(|(at, key)| (at as u64, key.as_bytes().to_vec(), view(at)))
                .collect()
        }
        Special::Exports => {
            let exports = fs.exports().into_iter();
            let entry = |id| match fs.session(id, DEFAULT_SESSION) {
                Ok(dir) => Target::Closed(dir.face),
                Err(_) => Target::Unopened(id),
            };
            let name = |export: &Export| export.name.clone().into_bytes();
            exports
                .map(|(id, export)| (id.0.into(), name(&export), entry(id)))
                .collect()
        }
        Special::Private => {
            let all = fs.sessions().into_iter().map(|it| it.export);
            let all: BTreeSet<ExportId> = all.collect();
            let named = |id: ExportId| {
                let to = Target::Special(Special::PrivateOf(id));
                Some((id.0.into(), fs.export_name(id)?.into_bytes(), to))
            };
            all.into_iter().filter_map(named).collect()
        }
        Special::PrivateOf(id) => {
            let sessions = fs.sessions().into_iter().filter(|it| it.export == id);
            let layer = |session: SessionInfo| {
                let to = Target::Layer(session.layer.into());
                (session.id.0.0, session.token.into_bytes(), to)
            };
            let mut layers: Vec<_> = sessions.map(layer).collect();
            layers.sort_unstable_by_key(|&(number, ..)| number);
            layers
        }
    }
}

/// The entries of a directory above views and exports, after the position `from`.
fn entries(nodes: &Nodes, fs: &Fs, special: Special, from: u64) -> Vec<Signpost> {
    let dots = [
        (1, b".".to_vec(), Target::Dot(special)),
        (2, b"..".to_vec(), Target::Dot(above(special))),
    ];
    let all = contents(nodes, fs, special).into_iter();
    let all = all.map(|(number, name, to)| (number + 3, name, to));
    let left = dots.into_iter().chain(all);
    left.filter(|&(next, ..)| next > from)
        .map(|(next, name, to)| Signpost { next, name, to })
        .collect()
}

impl Server {
    pub(super) fn lookup_special(&self, special: Special, name: &[u8], reply: ReplyEntry) {
        let to = match (special, name) {
            (_, b".") => special,
            (Special::Way, b"..") => {
                let root = self.fs.lookup(self.nodes.root(), b".");
                return self.reply_entry(reply, Face::Tree, root);
            }
            (_, b"..") => above(special),
            (Special::Way, VIEWS) if !self.nodes.keys().is_empty() => Special::Views,
            (Special::Way, EXPORTS) if self.nodes.has_exports() => Special::Exports,
            (Special::Way, PRIVATE) if self.nodes.has_exports() => Special::Private,
            (Special::Way, _) => return reply.refuse(Errno::ENOENT),
            (Special::Views, key) => {
                let opened = self
                    .opener
                    .open(&self.fs, &self.nodes, self.notifier.get(), key);
                return self.reply_root(reply, opened);
            }
            (Special::Exports, name) => return self.reply_root(reply, self.open_export(name)),
            (Special::Private, name) => match self.export_named(name) {
                Some(id) => Special::PrivateOf(id),
                None => return self.reply_absent(reply),
            },
            (Special::PrivateOf(id), token) => {
                return self.reply_root(reply, self.layer(id, token));
            }
        };
        // A reload can take an export away.
        let ttl = match to {
            Special::PrivateOf(_) => Duration::ZERO,
            Special::Way | Special::Views | Special::Exports | Special::Private => FOR_EVER,
        };
        reply.entry(&ttl, &self.nodes.special(to), Generation(1));
    }

    /// The root of a view, of an export, or of what is a session's own.
    fn reply_root(&self, reply: ReplyEntry, dir: Result<Dir>) {
        let face = dir.map_or(Face::Tree, |dir| dir.face);
        match dir.and_then(|dir| self.fs.lookup(dir, b".")) {
            Err(Errno::ENOENT) => self.reply_absent(reply),
            found => self.reply_entry(reply, face, found),
        }
    }

    fn open_export(&self, name: &[u8]) -> Result<Dir> {
        let (id, token) = session_of_name(&self.fs, name).ok_or(Errno::ENOENT)?;
        if token != DEFAULT_SESSION {
            return self.fs.session(id, &token);
        }
        let notifier = self.notifier.get();
        self.opener
            .open_session(&self.fs, &self.nodes, notifier, (id, &token))
    }

    fn export_named(&self, name: &[u8]) -> Option<ExportId> {
        let mut found = self.fs.sessions().into_iter().map(|it| it.export);
        found.find(|&id| {
            self.fs
                .export_name(id)
                .is_some_and(|it| it.as_bytes() == name)
        })
    }

    fn layer(&self, id: ExportId, token: &[u8]) -> Result<Dir> {
        let mut sessions = self.fs.sessions().into_iter();
        let found = sessions.find(|it| it.export == id && it.token.as_bytes() == token);
        found.map(|it| it.layer.into()).ok_or(Errno::ENOENT)
    }

    pub(super) fn list_signposts(&self, id: INodeNo, offset: u64, mut reply: ReplyDirectory) {
        let Node::Special(special) = self.nodes.node(id) else {
            return reply.ok();
        };
        for entry in entries(&self.nodes, &self.fs, special, offset) {
            let root = self.nodes.root();
            let id = match entry.to {
                Target::Dot(to) | Target::Special(to) => self.nodes.special(to).ino,
                Target::Closed(face) => self.nodes.id_in(face, root, true, None),
                Target::Unopened(id) => self.nodes.special(Special::PrivateOf(id)).ino,
                Target::Layer(dir) => self.nodes.id(dir.ino),
            };
            let name = OsStr::from_bytes(&entry.name);
            if reply.add(id, entry.next, FileType::Directory, name) {
                break;
            }
        }
        reply.ok();
    }

    pub(super) fn list_signposts_plus(
        &self,
        id: INodeNo,
        offset: u64,
        mut reply: ReplyDirectoryPlus,
    ) {
        let Node::Special(special) = self.nodes.node(id) else {
            return reply.ok();
        };
        for entry in entries(&self.nodes, &self.fs, special, offset) {
            if !self.add_signpost(&mut reply, &entry) {
                break;
            }
        }
        reply.ok();
    }

    /// Adds an entry with attributes.
    fn add_signpost(&self, reply: &mut ReplyDirectoryPlus, entry: &Signpost) -> bool {
        let name = OsStr::from_bytes(&entry.name);
        let zero = Duration::ZERO;
        let dir = match entry.to {
            // Nobody has opened it: what the kernel is told is looked up again before it is used.
            Target::Unopened(id) => {
                let attr = self.nodes.special(Special::PrivateOf(id));
                return !reply.add(attr.ino, entry.next, name, &zero, &attr, Generation(1));
            }
            Target::Dot(to) | Target::Special(to) => {
                let attr = self.nodes.special(to);
                return !reply.add(attr.ino, entry.next, name, &zero, &attr, Generation(1));
            }
            Target::Closed(face) => {
                let ino = self.nodes.root();
                Dir { ino, face }
            }
            Target::Layer(dir) => dir,
        };
        // A view that nobody has opened has nothing of its own yet.
        let found = self.fs.lookup(dir, b".");
        let Ok(found) = found.or_else(|_| self.fs.lookup(dir.ino, b".")) else {
            return false;
        };
        let (attr, generation) = self.nodes.attr_in(dir.face, &found);
        if reply.add(attr.ino, entry.next, name, &zero, &attr, generation) {
            self.fs.forget(dir.ino, 1);
            return false;
        }
        self.nodes.enter(dir.face, &found, attr.ino);
        true
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::export::Exports;
    use crate::fuse::nodes::Layout;
    use crate::ops::{Config, DataMode, SessionId};

    pub(in crate::fuse) fn new_fs() -> Arc<Fs> {
        let fs = Fs::of_memfds(Config::default(), DataMode::PageCache);
        let text = "[export.a]\nread = ['x']\n[export.b]\nprivate = true\n";
        let (exports, _) = Exports::parse(text, "exports.toml").unwrap();
        fs.set_exports(exports.into_iter().map(Arc::new).collect());
        Arc::new(fs)
    }

    pub(in crate::fuse) fn open(fs: &Fs, token: &str) -> SessionId {
        let id = fs.export_id("b").unwrap();
        match fs.open_session(id, token).unwrap().0.face {
            Face::Export(session) => session,
            face => panic!("{face:?}"),
        }
    }

    #[test]
    fn sessions_that_come_and_go_move_no_other_in_a_listing() {
        let fs = new_fs();
        let root = fs.getattr(fs.root()).unwrap().attr;
        let nodes = Nodes::new(Layout::Anteroom, &root, Vec::new(), true, &fs).unwrap();
        let special = Special::PrivateOf(fs.export_id("b").unwrap());
        let token = |number: usize| format!("session-{number}");
        let sessions: Vec<SessionId> = (0..100).map(|number| open(&fs, &token(number))).collect();
        let mut names = Vec::new();
        let mut from = 0;
        for (round, session) in sessions.into_iter().enumerate() {
            let left = entries(&nodes, &fs, special, from);
            let Some(entry) = left.first() else {
                break;
            };
            assert!(i64::try_from(entry.next).is_ok(), "telldir(3) has a sign");
            from = entry.next;
            names.push(String::from_utf8(entry.name.clone()).unwrap());
            // Each third goes, and another one comes.
            if round % 3 == 0 {
                fs.end_session(session);
                open(&fs, &format!("new-{round}"));
            }
        }
        names.extend(
            entries(&nodes, &fs, special, from)
                .into_iter()
                .map(|it| String::from_utf8(it.name).unwrap()),
        );
        for number in (0..100).filter(|number| number % 3 != 0) {
            let times = names.iter().filter(|name| **name == token(number)).count();
            assert_eq!(times, 1, "{}", token(number));
        }
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "a name twice");
    }
}
