//! Views for the kernel: the way to them, the moment when the first one opens, and names to be dropped.

use std::ffi::OsStr;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, OnceLock, Weak};

use fuser::Notifier;
use parking_lot::Mutex;

use super::nodes::{Node, Nodes};
use crate::errno::{Errno, Result};
use crate::error::Error;
use crate::ops::{Dir, Fs, Listener, ViewId};
use crate::options::Options;
use crate::types::Names;
use crate::view::Naming;

/// The name of the directory of views.
const VIEWS: &[u8] = b"views";

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

type Gone = Vec<(Dir, Vec<u8>)>;

/// Takes names that other directories must drop to the thread that tells the kernel: inside a request that
/// would wait for a lock that the request's caller holds.
#[derive(Debug)]
pub(super) struct Queue(Mutex<Sender<Gone>>);

impl Listener for Queue {
    fn names_gone(&self, names: Gone) {
        // Without the thread there is no mount any more.
        drop(self.0.lock().send(names));
    }
}

/// Lets the file system have its views, and starts the thread that tells the kernel of lost names.
pub(super) fn install(
    fs: &Arc<Fs>,
    nodes: &Arc<Nodes>,
    notifier: &Arc<OnceLock<Notifier>>,
    namings: Vec<Naming>,
) -> crate::error::Result<()> {
    if namings.is_empty() {
        return Ok(());
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
    let boxed = |naming| -> Box<dyn Names> { Box::new(naming) };
    fs.set_views(
        namings.into_iter().map(boxed).collect(),
        Box::new(Queue(Mutex::new(sender))),
    );
    Ok(())
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
    fn run(&self, names: &Receiver<Gone>) {
        while let Ok(names) = names.recv() {
            for (dir, name) in names {
                self.drop_name(dir, &name);
            }
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
        let tells = nodes.keys().is_empty() || increment_epoch(&self.device).is_ok();
        if !tells {
            tracing::info!("this kernel keeps names for ever: all views are open from the start");
        }
        let bound = options.views.iter().filter(|view| view.directory.is_some());
        let bound: Vec<&str> = bound.map(|view| view.naming.key()).collect();
        for (at, key) in nodes.keys().iter().enumerate() {
            if !tells || bound.contains(key) {
                fs.open_view(ViewId(at))
                    .map_err(|errno| Error::system("cannot open a view", errno))?;
            }
        }
        Ok(())
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
        if fs.has_open_views() {
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

/// An entry of a directory on the way to the views.
#[derive(Debug)]
pub(super) struct Signpost {
    /// Where the stream goes on after it.
    pub(super) next: u64,
    /// Its name.
    pub(super) name: Vec<u8>,
    /// What it is.
    pub(super) to: Target,
}

/// What a signpost leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Target {
    /// `.` or `..`: nothing that the kernel is to keep.
    Dot(Node),
    Special(Node),
    View(ViewId),
}

/// The entries of `.shmfs` and `.shmfs/views`, after the position `from`.
pub(super) fn entries(nodes: &Nodes, node: Node, from: u64) -> Vec<Signpost> {
    let mut all = vec![
        (b".".to_vec(), Target::Dot(node)),
        (b"..".to_vec(), Target::Dot(Node::Way)),
    ];
    match node {
        Node::Way => all.push((VIEWS.to_vec(), Target::Special(Node::Views))),
        Node::Views => {
            let keys = nodes.keys().iter().enumerate();
            all.extend(keys.map(|(at, key)| (key.as_bytes().to_vec(), Target::View(ViewId(at)))));
        }
        Node::Anteroom | Node::Inode(_) => all.clear(),
    }
    let numbered = all.into_iter().zip(1..);
    let left = numbered.filter(|(_, next)| *next > from);
    left.map(|((name, to), next)| Signpost { next, name, to })
        .collect()
}

/// Whether `name` in `.shmfs` is the directory of views.
pub(super) fn is_views(name: &[u8]) -> bool {
    name == VIEWS
}
