//! Extended attributes: the namespaces that tmpfs has, and the ACLs that travel as two of them.
//!
//! What depends on the caller alone (`trusted.*` needs a capability, `user.*` goes with regular files and
//! directories) the kernel has checked (`xattr_permission`).

use super::access::{Caller, keeps_setgid};
use super::{Fs, Object};
use crate::errno::{Errno, Result};
use crate::store::acl::{Acl, Acls, XATTR_ACCESS, XATTR_DEFAULT};
use crate::store::change::{Attributes, InodeChange};
use crate::store::record::Answer;
use crate::store::{Inode, State, xattr};
use crate::types::Kind;

/// Whom an attribute belongs to.
enum Namespace {
    /// `user.*`, `trusted.*`, `security.*`.
    Plain,
    AccessAcl,
    DefaultAcl,
}

const TRUSTED: &[u8] = b"trusted.";

fn namespace(name: &[u8]) -> Result<Namespace> {
    match name {
        XATTR_ACCESS => return Ok(Namespace::AccessAcl),
        XATTR_DEFAULT => return Ok(Namespace::DefaultAcl),
        _ => {}
    }
    let prefixes: [&[u8]; 3] = [b"user.", TRUSTED, b"security."];
    match prefixes
        .iter()
        .find_map(|prefix| name.strip_prefix(*prefix))
    {
        Some(b"") => Err(Errno::EINVAL),
        Some(_) if name.len() > xattr::NAME_MAX => Err(Errno::ERANGE),
        Some(_) => Ok(Namespace::Plain),
        None => Err(Errno::EOPNOTSUPP),
    }
}

impl Fs {
    /// Sets an attribute; `flags` are those of setxattr(2).
    pub fn setxattr(
        &self,
        caller: &Caller,
        of: impl Into<Object>,
        name: &[u8],
        value: &[u8],
        flags: i32,
    ) -> Result<()> {
        let of = of.into();
        self.check_setxattr(&of, name)?;
        self.may_add()?;
        let inode = self.superblock.inode(of.ino)?;
        match namespace(name)? {
            Namespace::Plain => self.set_plain(&inode, name, value, flags),
            Namespace::AccessAcl => self.set_access(caller, &inode, Acl::from_xattr(value)?),
            Namespace::DefaultAcl => self.set_default(caller, &inode, Acl::from_xattr(value)?),
        }?;
        self.follow_xattr(&inode);
        Ok(())
    }

    /// A directory's ctime has moved, also where an export shows it.
    fn follow_xattr(&self, inode: &Inode) {
        if inode.kind.is_dir() {
            let ctime = inode.state().ctime;
            self.follow_attributes(inode.ino, (None, None), ctime);
        }
    }

    fn set_plain(&self, inode: &Inode, name: &[u8], value: &[u8], flags: i32) -> Result<()> {
        if value.len() > xattr::VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        let mut state = inode.state();
        let space = xattr::space(name, value.len());
        self.superblock.inodes.take(space)?;
        let exists = state
            .xattrs
            .as_ref()
            .is_some_and(|xattrs| xattrs.get(name).is_some());
        // Both flags at once always fail, by whichever fits (simple_xattr_set).
        let refused = match exists {
            true => (flags & libc::XATTR_CREATE != 0).then_some(Errno::EEXIST),
            false => (flags & libc::XATTR_REPLACE != 0).then_some(Errno::ENODATA),
        };
        if let Some(errno) = refused {
            self.superblock.inodes.give(space);
            return Err(errno);
        }
        let change = InodeChange::Xattr {
            name,
            value: Some(value),
            now: self.clock.now(),
        };
        self.superblock
            .commit_inode(inode, &mut state, change, Answer::Done);
        Ok(())
    }

    /// `simple_set_acl` of an access list: the mode follows, and an equivalent mode says it all. Taking a list
    /// away is setting the one that the mode stands for.
    fn set_access(&self, caller: &Caller, inode: &Inode, acl: Option<Acl>) -> Result<()> {
        let mut state = inode.state();
        check_acl_change(caller, inode, &state)?;
        let (bits, equivalent) = match &acl {
            Some(acl) => acl.mode(),
            None => (state.mode & 0o777, true),
        };
        let mode = Some(mode_with_acl(caller, &state, bits));
        let acls = Acls {
            access: acl.filter(|_| !equivalent),
            default: current(&state).default,
        };
        self.set_acls(inode, &mut state, acls, mode);
        Ok(())
    }

    fn set_default(&self, caller: &Caller, inode: &Inode, acl: Option<Acl>) -> Result<()> {
        let mut state = inode.state();
        if !inode.kind.is_dir() && !matches!(inode.kind, Kind::Symlink(_)) {
            return if acl.is_some() {
                Err(Errno::EACCES)
            } else {
                Ok(())
            };
        }
        check_acl_change(caller, inode, &state)?;
        let acls = Acls {
            access: current(&state).access,
            default: acl,
        };
        self.set_acls(inode, &mut state, acls, None);
        Ok(())
    }

    fn set_acls(&self, inode: &Inode, state: &mut State, acls: Acls, mode: Option<u32>) {
        let ctime = Some(self.clock.now());
        let change = Attributes {
            mode,
            ctime,
            acls: Some(acls),
            ..Attributes::default()
        };
        self.superblock
            .commit_inode(inode, state, InodeChange::Attributes(change), Answer::Done);
    }

    /// The value of an attribute.
    pub fn getxattr(&self, of: impl Into<Object>, name: &[u8]) -> Result<Vec<u8>> {
        let of = of.into();
        self.check_getxattr(&of, name)?;
        let inode = self.superblock.inode(of.ino)?;
        let state = inode.state();
        let value = match namespace(name)? {
            Namespace::Plain => state
                .xattrs
                .as_ref()
                .and_then(|xattrs| xattrs.get(name))
                .map(<[u8]>::to_vec),
            Namespace::AccessAcl => state
                .acls
                .as_ref()
                .and_then(|acls| acls.access.as_ref())
                .map(|acl| acl.masked(self.shown_permissions(&of)).to_xattr()),
            Namespace::DefaultAcl => state
                .acls
                .as_ref()
                .and_then(|acls| acls.default.as_ref())
                .map(Acl::to_xattr),
        };
        value.ok_or(Errno::ENODATA)
    }

    /// The names of all attributes, each with a NUL behind it: ACLs first, then in their order.
    ///
    /// `trusted.*` is for those who could read it (`simple_xattr_list`).
    pub fn listxattr(&self, caller: &Caller, of: impl Into<Object>) -> Result<Vec<u8>> {
        let of = of.into();
        self.check_listxattr(&of)?;
        let inode = self.superblock.inode(of.ino)?;
        let state = inode.state();
        let mut list = Vec::new();
        let mut add = |name: &[u8]| {
            list.extend_from_slice(name);
            list.push(0);
        };
        let acls = current(&state);
        acls.access.iter().for_each(|_| add(XATTR_ACCESS));
        acls.default.iter().for_each(|_| add(XATTR_DEFAULT));
        for name in state.xattrs.iter().flat_map(|xattrs| xattrs.names()) {
            if !name.starts_with(TRUSTED) || caller.is_admin() {
                add(name);
            }
        }
        Ok(list)
    }

    /// Takes an attribute away; an ACL may be absent already.
    pub fn removexattr(&self, caller: &Caller, of: impl Into<Object>, name: &[u8]) -> Result<()> {
        let of = of.into();
        self.check_setxattr(&of, name)?;
        self.may_free()?;
        let inode = self.superblock.inode(of.ino)?;
        match namespace(name)? {
            Namespace::AccessAcl => self.set_access(caller, &inode, None),
            Namespace::DefaultAcl => self.set_default(caller, &inode, None),
            Namespace::Plain => self.remove_plain(&inode, name),
        }?;
        self.follow_xattr(&inode);
        Ok(())
    }

    fn remove_plain(&self, inode: &Inode, name: &[u8]) -> Result<()> {
        let mut state = inode.state();
        if state
            .xattrs
            .as_ref()
            .and_then(|xattrs| xattrs.get(name))
            .is_none()
        {
            return Err(Errno::ENODATA);
        }
        let change = InodeChange::Xattr {
            name,
            value: None,
            now: self.clock.now(),
        };
        self.superblock
            .commit_inode(inode, &mut state, change, Answer::Done);
        Ok(())
    }
}

/// `set_posix_acl`.
fn check_acl_change(caller: &Caller, inode: &Inode, state: &State) -> Result<()> {
    if matches!(inode.kind, Kind::Symlink(_)) {
        return Err(Errno::EOPNOTSUPP);
    }
    if caller.owns(state) {
        Ok(())
    } else {
        Err(Errno::EPERM)
    }
}

/// `posix_acl_update_mode`: an owner outside the file's group loses set-group-ID.
fn mode_with_acl(caller: &Caller, state: &State, bits: u32) -> u32 {
    let mode = state.mode & !0o777 | bits;
    if mode & libc::S_ISGID != 0 && !keeps_setgid(caller, state) {
        mode & !libc::S_ISGID
    } else {
        mode
    }
}

fn current(state: &State) -> Acls {
    state.acls.as_deref().cloned().unwrap_or_default()
}
