//! FUSE requests become calls of [`Fs`], its answers replies. There are no rules here.
//!
//! Each request that changes something passes through [`Server::change`] or [`Server::change_beside`].

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fuser::{
    FileAttr, Generation, INodeNo, Notifier, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory,
    ReplyDirectoryPlus, ReplyEmpty, ReplyEntry, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite,
    ReplyXattr, Request,
};

use super::beside::run_beside;
use super::convert::errno;
use super::drain::Drain;
use super::hand::Hand;
use super::nodes::Nodes;
use super::patience::Patience;
use super::resends::Resends;
use super::views::{News, Opener, Queue};
use crate::errno::{Errno, Result};
use crate::ops::{Caller, Entry, Face, Fs};
use crate::slots::{self, failpoint};

/// What the kernel learns stays true until it changes it itself.
pub(super) const FOR_EVER: Duration = Duration::from_secs(1 << 31);

/// The file system as fuser wants it.
#[derive(Debug)]
pub(super) struct Adapter(pub(super) Arc<Server>);

/// What answers requests.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) fs: Arc<Fs>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) notifier: Arc<OnceLock<Notifier>>,
    pub(super) passthrough: bool,
    pub(super) opener: Opener,
    pub(super) resends: Arc<Resends>,
    pub(super) drain: Arc<Drain>,
    pub(super) queue: Option<Arc<Queue>>,
    pub(super) patience: Patience,
}

/// A reply that can be a refusal.
pub(super) trait Refuse {
    /// Sends the error.
    fn refuse(self, error: Errno);
}

macro_rules! refuse {
    ($($reply:ty),*) => {
        $(impl Refuse for $reply {
            fn refuse(self, error: Errno) {
                self.error(errno(error));
            }
        })*
    };
}

refuse!(
    ReplyAttr,
    ReplyCreate,
    ReplyData,
    ReplyDirectory,
    ReplyDirectoryPlus,
    ReplyEmpty,
    ReplyEntry,
    ReplyLseek,
    ReplyOpen,
    ReplyStatfs,
    ReplyWrite,
    ReplyXattr
);

/// Sends what an operation answers.
pub(super) fn answer<R: Refuse, T>(reply: R, result: Result<T>, send: impl FnOnce(R, T)) {
    failpoint("before-reply");
    match result {
        Ok(value) => send(reply, value),
        Err(error) => reply.refuse(error),
    }
}

/// Says that it is done.
pub(super) fn done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

pub(super) fn caller(request: &Request) -> Caller {
    Caller::new(request.uid(), request.gid(), request.pid())
}

impl Server {
    /// Carries out what a request changes, and answers it.
    pub(super) fn change<R: Refuse, T>(
        &self,
        request: &Request,
        reply: R,
        operation: impl FnOnce(&Caller) -> Result<T>,
        send: impl FnOnce(R, T),
    ) {
        answer(reply, operation(&caller(request)), send);
    }

    /// As [`Server::change`], for what takes long where it concerns many `bytes`.
    pub(super) fn change_beside<R: Refuse + Send + 'static, T>(
        self: &Arc<Server>,
        held: slots::InHand,
        request: &Request,
        reply: R,
        bytes: u64,
        operation: impl FnOnce(&Server, &Caller) -> Result<T> + Send + 'static,
        send: impl FnOnce(&Server, R, T) + Send + 'static,
    ) {
        let (server, caller) = (Arc::clone(self), caller(request));
        held.leave();
        run_beside(bytes, move || {
            let _hand = Hand::enter(&server.fs, held);
            let result = operation(&server, &caller);
            answer(reply, result, |reply, value| send(&server, reply, value));
        });
    }

    pub(super) fn tell(&self, news: News) {
        if let Some(queue) = &self.queue {
            queue.tell(news);
        }
    }

    /// How long names last.
    pub(super) fn entry_ttl(&self) -> Duration {
        if self.fs.has_other_faces() {
            Duration::ZERO
        } else {
            FOR_EVER
        }
    }

    /// How long attributes last: not at all where another directory can change them unseen.
    pub(super) fn attr_ttl(&self, entry: &Entry) -> Duration {
        if entry.lasting && !self.fs.has_other_faces() {
            FOR_EVER
        } else {
            Duration::ZERO
        }
    }

    /// Sends what was found or made in a directory that has the face `face`.
    pub(super) fn send_entry(&self, reply: ReplyEntry, face: Face, entry: &Entry) {
        let (attr, generation) = self.nodes.attr_in(face, entry);
        self.nodes.enter(face, entry, attr.ino);
        let (entry_ttl, attr_ttl) = (self.entry_ttl(), self.attr_ttl(entry));
        reply.entry_with_ttls(&attr_ttl, &entry_ttl, &attr, generation);
    }

    pub(super) fn reply_entry(&self, reply: ReplyEntry, face: Face, result: Result<Entry>) {
        answer(reply, result, |reply, entry| {
            self.send_entry(reply, face, &entry);
        });
    }

    pub(super) fn send_attr(&self, reply: ReplyAttr, id: INodeNo, entry: &Entry) {
        let attr = FileAttr {
            ino: id,
            ..self.nodes.attr(&entry.attr).0
        };
        reply.attr(&self.attr_ttl(entry), &attr);
    }

    /// The kernel keeps that there is no such name, until it makes one.
    pub(super) fn reply_absent(&self, reply: ReplyEntry) {
        let (zero, nothing) = (Duration::ZERO, self.nodes.nothing());
        reply.entry_with_ttls(&zero, &self.entry_ttl(), &nothing, Generation(0));
    }

    /// Makes the kernel ask for attributes again: those that it has for ever are true no more.
    pub(super) fn forget_attributes(&self, id: INodeNo) {
        // A negative offset leaves the data alone, and takes no lock that the caller could hold.
        let told = self.notifier.get().map(|it| it.inval_inode(id, -1, 0));
        if let Some(Err(error)) = told {
            tracing::warn!(%error, "cannot invalidate attributes");
        }
    }
}
