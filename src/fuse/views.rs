//! Views for the kernel: the way to them, the moment when the first one opens, and names to be dropped.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};

use fuser::Notifier;
use parking_lot::Mutex;

use super::nodes::Nodes;
use crate::errno::{Errno, Result};
use crate::error::Error;
use crate::ops::{DEFAULT_SESSION, Dir, ExportId, Face, Fs, Listener, SessionId, ViewId};
use crate::options::Options;
use crate::types::Names;
use crate::view::Naming;

/// The names of each view that the options ask for, each once.
pub(super) fn chosen(options: &Options) -> Vec<Naming> {
    let mut chosen: Vec<Naming> = Vec::new();
    for view in &options.views {
        if !chosen.iter().any(|other| other.key() == view.naming.key()) {
            chosen.push(view.naming);
        }
    }
    chosen
}

/// What the thread is told that tells the kernel.
#[derive(Debug)]
pub(super) enum News {
    /// Names that are lost.
    Gone(Vec<(Dir, Vec<u8>)>),
    /// A session whose root the kernel has forgotten.
    Forgotten(SessionId),
}

/// Takes names that other directories must drop to the thread that tells the kernel: inside a request that
/// would wait for a lock that the request's caller holds.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Sender<News>>);

impl Queue {
    pub(super) fn tell(&self, news: News) {
        // Without the thread there is no mount any more.
        drop(self.0.lock().send(news));
    }
}

impl Listener for Arc<Queue> {
    fn names_gone(&self, names: Vec<(Dir, Vec<u8>)>) {
        self.tell(News::Gone(names));
    }
}

/// Lets the file system have its views and exports, and starts the thread that tells the kernel of lost names.
pub(super) fn install(
    fs: &Arc<Fs>,
    nodes: &Arc<Nodes>,
    notifier: &Arc<OnceLock<Notifier>>,
    namings: Vec<Naming>,
) -> crate::error::Result<Option<Arc<Queue>>> {
    if namings.is_empty() && !nodes.has_exports() {
        return Ok(None);
    }
    let (sender, receiver) = channel();
    let teller = Teller {
        fs: Arc::downgrade(fs),
        nodes: Arc::clone(nodes),
        notifier: Arc::clone(notifier),
    };
    std::thread::Builder::new()
        .name("shmfs-names".into())
        .spawn(move || teller.run(&receiver))
        .map_err(|error| Error::system("cannot start a thread", error))?;
    let queue = Arc::new(Queue(Mutex::new(sender)));
    let boxed = |naming| -> Box<dyn Names> { Box::new(naming) };
    fs.set_views(
        namings.into_iter().map(boxed).collect(),
        Box::new(Arc::clone(&queue)),
    );
    Ok(Some(queue))
}

/// Tells the kernel which names to drop. They are looked up again anyway; but as long as a directory keeps one
/// that nobody looks up, its inode and memory stay.
#[derive(Debug)]
struct Teller {
    fs: Weak<Fs>,
    nodes: Arc<Nodes>,
    notifier: Arc<OnceLock<Notifier>>,
}

impl Teller {
    fn run(&self, news: &Receiver<News>) {
        while let Ok(news) = news.recv() {
            match news {
                News::Gone(names) => names
                    .iter()
                    .for_each(|(dir, name)| self.drop_name(*dir, name)),
                News::Forgotten(id) => self.end(id),
            }
        }
    }

    /// Ends a session, unless somebody has looked it up again.
    fn end(&self, id: SessionId) {
        let Some(fs) = self.fs.upgrade() else {
            return;
        };
        let (ino, face) = (fs.root(), Face::Export(id));
        if self.nodes.known(Dir { ino, face }).is_none() {
            fs.end_session(id);
        }
    }

    fn drop_name(&self, dir: Dir, name: &[u8]) {
        let (Some(id), Some(notifier)) = (self.nodes.known(dir), self.notifier.get()) else {
            return;
        };
        // Dropping a directory's name takes mounts and working directories with it.
        let is_directory = |fs: Arc<Fs>| fs.is_directory(dir, name);
        if self.fs.upgrade().is_none_or(is_directory) {
            return;
        }
        if let Err(error) = notifier.inval_entry(id, OsStr::from_bytes(name)) {
            tracing::debug!(%error, "cannot drop a name");
        }
    }
}

/// `FUSE_NOTIFY_INC_EPOCH` (include/uapi/linux/fuse.h, Linux 6.17): every name that the kernel keeps is looked
/// up again.
const INC_EPOCH: i32 = 8;

/// A `struct fuse_out_header` alone.
fn increment_epoch(device: &OwnedFd) -> rustix::io::Result<()> {
    let mut header = [0u8; 16];
    header[..4].copy_from_slice(&16u32.to_ne_bytes());
    header[4..8].copy_from_slice(&INC_EPOCH.to_ne_bytes());
    rustix::io::write(device, &header).map(drop)
}

/// What opens views.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) device: Arc<OwnedFd>,
}

impl Opener {
    /// Opens those views that will be bound, while the kernel has nothing to forget; and all where it cannot
    /// be told later to look names up again.
    pub(super) fn prepare(
        &self,
        fs: &Fs,
        nodes: &Nodes,
        options: &Options,
    ) -> crate::error::Result<()> {
        let alone = nodes.keys().is_empty() && !nodes.has_exports();
        let tells = alone || increment_epoch(&self.device).is_ok();
        if !tells {
            tracing::info!(
                "this kernel keeps names for ever: all views and exports are open from the start"
            );
        }
        let bound = options.views.iter().filter(|view| view.directory.is_some());
        let bound: Vec<&str> = bound.map(|view| view.naming.key()).collect();
        for (at, key) in nodes.keys().iter().enumerate() {
            if !tells || bound.contains(key) {
                fs.open_view(ViewId(at))
                    .map_err(|errno| Error::system("cannot open a view", errno))?;
            }
        }
        for (id, _) in fs.exports().into_iter().filter(|_| !tells) {
            fs.open_session(id, DEFAULT_SESSION)
                .map_err(|errno| Error::system("cannot open an export", errno))?;
        }
        Ok(())
    }

    /// The directory of a session of an export, which is made where there is none.
    pub(super) fn open_session(
        &self,
        fs: &Fs,
        nodes: &Nodes,
        notifier: Option<&Notifier>,
        (id, token): (ExportId, &str),
    ) -> Result<Dir> {
        let (dir, first) = fs.open_session(id, token)?;
        if first {
            self.forget_everything(fs, nodes, notifier);
        }
        Ok(dir)
    }

    /// The directory of the view called `key`.
    pub(super) fn open(
        &self,
        fs: &Fs,
        nodes: &Nodes,
        notifier: Option<&Notifier>,
        key: &[u8],
    ) -> Result<Dir> {
        let mut keys = nodes.keys().iter();
        let at = keys
            .position(|other| other.as_bytes() == key)
            .ok_or(Errno::ENOENT)?;
        let (dir, first) = fs.open_view(ViewId(at))?;
        if first {
            self.forget_everything(fs, nodes, notifier);
        }
        Ok(dir)
    }

    /// After a recovery: whoever opened the first view may have got no further.
    pub(super) fn reopen(&self, fs: &Fs, nodes: &Nodes, notifier: Option<&Notifier>) {
        if fs.has_other_faces() {
            self.forget_everything(fs, nodes, notifier);
        }
    }

    /// From here on names and attributes can change behind the kernel's back: what it has for ever is not true.
    fn forget_everything(&self, fs: &Fs, nodes: &Nodes, notifier: Option<&Notifier>) {
        if let Err(error) = increment_epoch(&self.device) {
            tracing::error!(%error, "cannot make the kernel look names up again");
        }
        for ino in fs.referenced() {
            let id = nodes.id(ino);
            if let Some(Err(error)) = notifier.map(|notifier| notifier.inval_inode(id, -1, 0)) {
                tracing::warn!(%error, "cannot invalidate attributes");
            }
        }
    }
}
