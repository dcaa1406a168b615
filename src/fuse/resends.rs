//! After a recovery: when the last request has come that was sent again, and what is cleared up then.

use std::fs;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use fuser::INodeNo;

use super::nodes::Nodes;
use super::views::{News, Queue};
use crate::error::{Error, Result};
use crate::ops::Fs;
use crate::sys::fuse_device;
use crate::types::Ino;

/// How often it is looked whether the threads have got beyond the requests that were sent again.
const LOOK: Duration = Duration::from_millis(5);
/// How often, at most: where /proc tells nothing a second is enough for a thread to begin what it has read.
const LOOKS: u32 = 200;
/// How often the kernel is asked of inodes that it may have forgotten.
const ASK: Duration = Duration::from_millis(50);

/// Whether requests that were sent again may still come.
///
/// The kernel puts them before all others (`fuse_resend`): with the first other one all have been read. They are
/// in hand when each thread that reads has begun another one since, or sleeps as it waits for one.
#[derive(Debug, Default)]
pub(super) struct Resends {
    /// One that was not sent again has come.
    other: AtomicBool,
}

impl Resends {
    /// A request has come.
    pub(super) fn saw(&self, resent: bool) {
        if !resent && !self.other.load(Ordering::Relaxed) {
            self.other.store(true, Ordering::Relaxed);
        }
    }
}

/// What goes on beside the requests after a recovery.
#[derive(Debug)]
pub(super) struct Aftermath {
    pub(super) fs: Weak<Fs>,
    pub(super) nodes: Arc<Nodes>,
    pub(super) device: Arc<OwnedFd>,
    pub(super) resends: Arc<Resends>,
    pub(super) queue: Option<Arc<Queue>>,
}

impl Aftermath {
    /// Begins, on a thread of its own.
    pub(super) fn start(self) -> Result<()> {
        let thread = std::thread::Builder::new().name("shmfs-recovery".into());
        let spawned = thread.spawn(move || self.run());
        spawned
            .map(drop)
            .map_err(|error| Error::system("cannot start a thread", error))
    }

    fn run(&self) {
        if !self.wait_for_resends() {
            return;
        }
        loop {
            let Some(fs) = self.fs.upgrade() else {
                return;
            };
            if self.nodes.has_doubts() {
                self.settle_nodes();
            }
            if fs.has_doubts() {
                fs.settle_doubts(|ino| self.is_known(ino));
            }
            drop(fs);
            std::thread::sleep(ASK);
        }
    }

    /// Says whether there is still somebody to serve.
    fn wait_for_resends(&self) -> bool {
        let mut threads: Option<Vec<Reader>> = None;
        let (mut looks, mut wait) = (0, LOOK);
        loop {
            std::thread::sleep(wait);
            let Some(fs) = self.fs.upgrade() else {
                return false;
            };
            if !self.resends.other.load(Ordering::Relaxed) {
                // Nobody may want anything for long.
                wait = ASK.min(wait * 2);
                continue;
            }
            wait = LOOK;
            let threads = threads.get_or_insert_with(|| readers(&fs));
            threads.retain(|reader| !reader.is_beyond(&fs));
            looks += 1;
            if (threads.is_empty() || looks > LOOKS) && !fs.slots().requests().is_any_resent() {
                fs.resends_are_over();
                return true;
            }
        }
    }

    /// Lets go of nodes in views and exports that the kernel has forgotten, and of sessions with their roots.
    fn settle_nodes(&self) {
        let gone = self.nodes.settle(|id| self.is_known_node(id));
        for object in gone {
            tracing::debug!(?object, "the kernel does not know it");
            if let (Some(session), Some(queue)) = (self.nodes.session_of(&object), &self.queue) {
                queue.tell(News::Forgotten(session));
            }
        }
    }

    /// Whether the kernel knows the inode, be it by a node that it has in a view or an export alone.
    fn is_known(&self, ino: Ino) -> bool {
        let ids = self.nodes.ids(ino);
        ids.into_iter().any(|id| self.is_known_node(id))
    }

    /// The kernel has no attributes of a node that it does not know to drop.
    fn is_known_node(&self, id: INodeNo) -> bool {
        fuse_device::is_known(&self.device, id.0)
    }
}

/// A thread that reads requests, as it was when the first other request had come.
struct Reader {
    thread: u32,
    finished: u64,
}

/// How the names of threads begin that read requests: fuser gives them.
const READERS: &str = "fuser-";

/// Threads that read requests.
fn readers(fs: &Fs) -> Vec<Reader> {
    let Ok(tasks) = fs::read_dir("/proc/self/task") else {
        return Vec::new();
    };
    let tasks = tasks.flatten().filter(|task| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.is_ok_and(|name| name.starts_with(READERS))
    });
    let threads = tasks.filter_map(|task| task.file_name().to_str()?.parse().ok());
    let requests = fs.slots().requests();
    threads
        .map(|thread| Reader {
            thread,
            finished: requests.finished_by(thread),
        })
        .collect()
}

impl Reader {
    /// It has begun another request, or waits for one.
    fn is_beyond(&self, fs: &Fs) -> bool {
        if fs.slots().requests().finished_by(self.thread) != self.finished {
            return true;
        }
        // A thread that runs says so instead of a number.
        let path = format!("/proc/self/task/{}/syscall", self.thread);
        let call = fs::read_to_string(path).unwrap_or_default();
        let number = call.split(' ').next().and_then(|word| word.parse().ok());
        number == Some(libc::SYS_read)
    }
}
