//! The host's semaphores: their bytes in a file, and the mappings that sem_open gave out.

use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use super::lock::Lock;
use crate::errno::{Errno, Result};

/// The bytes of the host's semaphore.
pub(crate) const SIZE: usize = size_of::<libc::sem_t>();

/// A semaphore of this value, for processes to share.
pub(crate) fn image(value: u32) -> Result<[u8; SIZE]> {
    let mut semaphore = MaybeUninit::<libc::sem_t>::zeroed();
    // SAFETY: the place is large enough and aligned; a sem_t may be initialised anywhere.
    if unsafe { libc::sem_init(semaphore.as_mut_ptr(), 1, value) } != 0 {
        return Err(Errno::EINVAL);
    }
    // SAFETY: the two have one size, and every byte was zeroed before sem_init.
    Ok(unsafe { std::mem::transmute::<MaybeUninit<libc::sem_t>, [u8; SIZE]>(semaphore) })
}

/// A semaphore that the program has open.
#[derive(Debug)]
pub(super) struct Mapping {
    device: u64,
    inode: u64,
    address: usize,
    opened: usize,
}

/// All of them. One semaphore has one address in a process, however often it is opened.
pub(super) static OPEN: Lock<Vec<Mapping>> = Lock::new(Vec::new());

/// The address of the semaphore at the start of the file.
pub(crate) fn open(file: &OwnedFd) -> Result<*mut libc::sem_t> {
    let stat = rustix::fs::fstat(file.as_fd())?;
    // A shorter file would be SIGBUS at the first sem_wait.
    if stat.st_size < SIZE as i64 {
        return Err(Errno::EINVAL);
    }
    OPEN.with(|mappings| {
        let known = mappings
            .iter_mut()
            .find(|mapping| mapping.device == stat.st_dev && mapping.inode == stat.st_ino);
        if let Some(mapping) = known {
            mapping.opened += 1;
            return Ok(mapping.address as *mut libc::sem_t);
        }
        let address = map(file)?;
        mappings.push(Mapping {
            device: stat.st_dev,
            inode: stat.st_ino,
            address,
            opened: 1,
        });
        Ok(address as *mut libc::sem_t)
    })
}

fn map(file: &OwnedFd) -> Result<usize> {
    // SAFETY: a new mapping at an address of the kernel's choice; nothing is replaced.
    let address = unsafe {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let file = file.as_raw_fd();
        libc::mmap(
            std::ptr::null_mut(),
            SIZE,
            protection,
            libc::MAP_SHARED,
            file,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        let errno = std::io::Error::last_os_error().raw_os_error();
        return Err(Errno::from_raw(errno.unwrap_or(libc::ENOMEM)));
    }
    Ok(address as usize)
}

/// EINVAL for an address that no sem_open gave.
pub(crate) fn close(semaphore: *mut libc::sem_t) -> Result<()> {
    OPEN.with(|mappings| {
        let index = mappings
            .iter()
            .position(|mapping| mapping.address == semaphore as usize)
            .ok_or(Errno::EINVAL)?;
        mappings[index].opened -= 1;
        if mappings[index].opened > 0 {
            return Ok(());
        }
        let mapping = mappings.swap_remove(index);
        // SAFETY: the mapping is ours, and whoever opened it has closed it.
        unsafe { libc::munmap(mapping.address as *mut libc::c_void, SIZE) };
        Ok(())
    })
}
