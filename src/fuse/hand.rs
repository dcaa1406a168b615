//! Requests in hand, and requests that the kernel sends again.
//!
//! Each request is in a slot of shared memory from here to after its reply. What a process that died had in hand
//! comes again, marked: a change that is recorded is answered from its record, and done only where it is not.

use fuser::{INodeNo, ReplyEmpty, Request};

use super::adapter::{Server, done};
use crate::errno::Result;
use crate::ops::{Caller, Fs};
use crate::recovery;
use crate::slots::{self, failpoint};
use crate::store::record::Answer;

/// Numbers of requests, as the kernel has them (`enum fuse_opcode`).
#[allow(missing_docs)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Lookup = 1,
    Getattr = 3,
    Setattr = 4,
    Readlink = 5,
    Symlink = 6,
    Mknod = 8,
    Mkdir = 9,
    Unlink = 10,
    Rmdir = 11,
    Rename = 12,
    Link = 13,
    Open = 14,
    Read = 15,
    Write = 16,
    Statfs = 17,
    Release = 18,
    Setxattr = 21,
    Getxattr = 22,
    Listxattr = 23,
    Removexattr = 24,
    Opendir = 27,
    Readdir = 28,
    Create = 35,
    Fallocate = 43,
    Readdirplus = 44,
    Lseek = 46,
    CopyFileRange = 47,
}

/// A request in hand, until it is dropped, which is after its reply.
#[derive(Debug)]
pub(super) struct Hand<'s> {
    fs: &'s Fs,
    request: recovery::InHand<'s>,
}

impl<'s> Hand<'s> {
    pub(super) fn enter(fs: &'s Fs, slot: slots::InHand) -> Hand<'s> {
        Hand {
            fs,
            request: fs.in_hand(slot),
        }
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        failpoint("after-reply");
        // It was to be carried out again, and came to something else.
        if let Some(handle) = self.request.slot().left_over() {
            self.fs.undo_handle(handle);
        }
    }
}

impl Server {
    /// Takes a request in hand.
    pub(super) fn begin(&self, request: &Request, opcode: Opcode, node: INodeNo) -> Hand<'_> {
        Hand::enter(&self.fs, self.hold(request, opcode, node))
    }

    /// The same, for who goes on with it on another thread.
    pub(super) fn hold(&self, request: &Request, opcode: Opcode, node: INodeNo) -> slots::InHand {
        let request = slots::Request {
            unique: request.unique().0,
            opcode: opcode as u32,
            node: node.0,
        };
        self.resends.saw(request.is_resent());
        let held = self.fs.slots().requests().begin(request);
        failpoint("begun");
        self.drain.admit();
        held
    }

    /// What the request in hand has come to already, where it is sent again.
    pub(super) fn answered(&self, request: &Request) -> Option<Answer> {
        let resent = request.unique().0 & slots::RESENT != 0;
        let answer = || self.fs.answered(slots::unique_in_hand());
        resent.then(answer).flatten()
    }

    /// As [`Server::change`], where there is nothing to say but that it is done.
    pub(super) fn change_once(
        &self,
        request: &Request,
        reply: ReplyEmpty,
        operation: impl FnOnce(&Caller) -> Result<()>,
    ) {
        if self.answered(request).is_some() {
            return done(reply, ());
        }
        self.change(request, reply, operation, done);
    }
}
