//! STUB, replaced at merge: a file system with an empty tree.
#![allow(missing_docs)]

use std::ffi::{CStr, CString, OsStr};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, SystemTime};

use fuser::{
    Errno as FuseErrno, FileAttr, FileHandle, FileType, Filesystem, Generation, INodeNo,
    KernelConfig, ReplyAttr, ReplyDirectory, ReplyEntry, ReplyStatfs, Request,
};

use crate::errno::Errno;
use crate::error::{Error, Result};
use crate::options::{Limits, Options};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Anteroom,
    Direct,
}

#[derive(Debug)]
pub struct Service {
    entrance: Option<CString>,
    size: Arc<Mutex<u64>>,
    ended: Arc<(Mutex<bool>, Condvar)>,
    dev: OwnedFd,
}

struct Stub {
    entrance: Option<CString>,
    attr: FileAttr,
    size: Arc<Mutex<u64>>,
}

impl Stub {
    fn attr(&self, ino: u64) -> FileAttr {
        FileAttr {
            ino: INodeNo(ino),
            ..self.attr
        }
    }
}

impl Filesystem for Stub {
    fn init(&mut self, _req: &Request, _config: &mut KernelConfig) -> std::io::Result<()> {
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let wanted = self
            .entrance
            .as_ref()
            .map(|name| OsStr::from_bytes(name.as_bytes()));
        if u64::from(parent) == 1 && wanted == Some(name) {
            reply.entry(&Duration::from_secs(1), &self.attr(2), Generation(0));
        } else {
            reply.error(FuseErrno::ENOENT);
        }
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        reply.attr(&Duration::from_secs(1), &self.attr(u64::from(ino)));
    }

    fn readdir(
        &self,
        _req: &Request,
        _ino: INodeNo,
        _fh: FileHandle,
        _offset: u64,
        reply: ReplyDirectory,
    ) {
        reply.ok();
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        let blocks = *self.size.lock().unwrap() / 4096;
        reply.statfs(blocks, blocks, blocks, 10, 10, 4096, 255, 4096);
    }
}

impl Service {
    pub fn start(
        dev: OwnedFd,
        _data: Option<OwnedFd>,
        options: &Options,
        layout: Layout,
    ) -> Result<Service> {
        let entrance = (layout == Layout::Anteroom).then(|| c"entrance-stub".to_owned());
        let now = SystemTime::now();
        let attr = FileAttr {
            ino: INodeNo(1),
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            kind: FileType::Directory,
            perm: options.mode as u16,
            nlink: 2,
            uid: options.uid.unwrap_or(rustix::process::geteuid().as_raw()),
            gid: options.gid.unwrap_or(rustix::process::getegid().as_raw()),
            rdev: 0,
            flags: 0,
            blksize: 4096,
        };
        let size = Arc::new(Mutex::new(options.size));
        let stub = Stub {
            entrance: entrance.clone(),
            attr,
            size: size.clone(),
        };
        let kept = dev.try_clone().unwrap();
        let session =
            fuser::Session::from_fd(stub, dev, fuser::SessionACL::All, fuser::Config::default())
                .map_err(|error| Error::system("cannot talk to the kernel", error))?;
        let ended = Arc::new((Mutex::new(false), Condvar::new()));
        let tell = ended.clone();
        std::thread::spawn(move || {
            drop(session.run());
            *tell.0.lock().unwrap() = true;
            tell.1.notify_all();
        });
        Ok(Service {
            entrance,
            size,
            ended,
            dev: kept,
        })
    }

    pub fn entrance(&self) -> Option<&CStr> {
        self.entrance.as_deref()
    }

    pub fn wait(&self) -> Result<()> {
        let mut ended = self.ended.0.lock().unwrap();
        while !*ended {
            ended = self.ended.1.wait(ended).unwrap();
        }
        Ok(())
    }

    pub fn remount(&self, limits: &Limits) -> std::result::Result<(), Errno> {
        if let Some(size) = limits.size {
            *self.size.lock().unwrap() = size;
        }
        Ok(())
    }

    pub fn status(&self) -> String {
        format!("{{\"size\":{}}}", self.size.lock().unwrap())
    }

    pub fn passthrough(&self) -> bool {
        false
    }

    pub fn abort(&self) {
        // Closing is not enough while threads read: dup a closed device over theirs is the lead's.
        let stat = std::os::fd::AsRawFd::as_raw_fd(&self.dev);
        let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{stat}")).unwrap_or_default();
        let connection = info
            .lines()
            .find_map(|line| line.strip_prefix("fuse_connection:"));
        if let Some(id) = connection {
            drop(std::fs::write(
                format!("/sys/fs/fuse/connections/{}/abort", id.trim()),
                "1",
            ));
        }
    }
}
