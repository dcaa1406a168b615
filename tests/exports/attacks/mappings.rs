//! Attempts by the memory of what may be read.

use std::os::fd::{AsRawFd, OwnedFd};

use super::descriptors::{WRITING, read_only, refused};
use super::{Cell, LENGTH, PUBLIC};
use crate::model::Way;
use crate::proc::{self, Map, mmap};
use crate::sys::{self, EACCES, EFAULT, EINVAL, EIO, ENODEV, EPERM, fails};

/// A shared mapping of what may be read; without passthrough there is none.
fn mapping(file: &OwnedFd, way: Way) -> Option<Map> {
    let mapped = mmap(file, LENGTH, libc::PROT_READ, libc::MAP_SHARED, 0);
    match (mapped, way) {
        (Ok(map), Way::Passthrough) => Some(map),
        (Err(ENODEV), Way::PageCache) => None,
        (Ok(_), _) => panic!("a shared mapping that nobody keeps coherent"),
        (Err(errno), _) => panic!("mmap: {errno:?}"),
    }
}

pub(super) fn writable_mappings(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        for kind in [libc::MAP_SHARED, libc::MAP_SHARED_VALIDATE] {
            fails(mmap(&file, LENGTH, both, kind, 0).map(drop), EACCES);
            fails(
                mmap(&file, LENGTH, libc::PROT_WRITE, kind, 0).map(drop),
                EACCES,
            );
        }
        for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDWR | libc::O_DIRECT] {
            fails(sys::open(jail.join("ro"), flags), EACCES);
        }
    });
}

pub(super) fn mprotect_afterwards(cell: &mut Cell) {
    let way = cell.world.way;
    cell.attack(|jail| {
        let file = read_only(jail);
        let Some(map) = mapping(&file, way) else {
            return;
        };
        for prot in [
            libc::PROT_WRITE,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::PROT_EXEC,
        ] {
            fails(map.protect(prot), EACCES);
        }
        drop(file);
        fails(map.protect(libc::PROT_READ | libc::PROT_WRITE), EACCES);
        let died = proc::dies_of(|| map.set(0, b'x'));
        assert_eq!(died, Some(libc::SIGSEGV));
    });
}

pub(super) fn madvise_remove(cell: &mut Cell) {
    let way = cell.world.way;
    cell.attack(|jail| {
        let Some(map) = mapping(&read_only(jail), way) else {
            return;
        };
        let (at, length) = (map.at.cast(), map.len);
        // SAFETY: our own mapping; each of these is refused or harmless.
        unsafe {
            fails(
                sys::check(libc::madvise(at, length, libc::MADV_REMOVE)),
                EACCES,
            );
            let populated = libc::madvise(at, length, libc::MADV_POPULATE_WRITE);
            refused(sys::check(populated), &[EINVAL, EFAULT, EACCES]);
            let _ = libc::madvise(at, length, libc::MADV_DONTNEED);
            let _ = libc::madvise(at, length, libc::MADV_FREE);
            let _ = libc::msync(at, length, libc::MS_SYNC | libc::MS_INVALIDATE);
        }
        assert_eq!(map.get(0), PUBLIC);
    });
}

/// /proc/self/mem and process_vm_writev force their way into private mappings only.
pub(super) fn memory_of_the_process(cell: &mut Cell) {
    let way = cell.world.way;
    cell.attack(|jail| {
        let Some(map) = mapping(&read_only(jail), way) else {
            return;
        };
        let memory = sys::open("/proc/self/mem", libc::O_RDWR).expect("our own memory");
        refused(
            sys::pwrite(&memory, b"attack", map.at as i64),
            &[EIO, EFAULT, EACCES],
        );
        let local = libc::iovec {
            iov_base: b"attack".as_ptr().cast_mut().cast(),
            iov_len: 6,
        };
        let remote = libc::iovec {
            iov_base: map.at.cast(),
            iov_len: 6,
        };
        // SAFETY: six bytes here, six bytes there; a refusal writes nothing.
        let written = unsafe {
            let me = libc::getpid();
            libc::process_vm_writev(me, &raw const local, 1, &raw const remote, 1, 0)
        };
        refused(sys::check(written), &[EFAULT, EPERM, EACCES]);
    });
}

/// The kernel itself does not store there either.
pub(super) fn reading_into_a_mapping(cell: &mut Cell) {
    let way = cell.world.way;
    cell.attack(|jail| {
        let Some(map) = mapping(&read_only(jail), way) else {
            return;
        };
        let zero = sys::open("/dev/zero", libc::O_RDONLY).unwrap();
        // SAFETY: the kernel checks the mapping before it stores.
        let read = unsafe { libc::read(zero.as_raw_fd(), map.at.cast(), 100) };
        fails(sys::check(read), EFAULT);
    });
}

pub(super) fn private_mappings_stay_private(cell: &mut Cell) {
    cell.attack(|jail| {
        let file = read_only(jail);
        let both = libc::PROT_READ | libc::PROT_WRITE;
        let map = mmap(&file, LENGTH, both, libc::MAP_PRIVATE, 0).expect("a private mapping");
        map.set(0, b'x');
        map.sync(libc::MS_SYNC).expect("msync");
        let memory = sys::open("/proc/self/mem", libc::O_RDWR).expect("our own memory");
        sys::pwrite(&memory, b"attack", map.at as i64 + 100).expect("it is our copy");
        assert_eq!(sys::pread(&file, 1, 0), Ok(vec![PUBLIC]));
    });
}

pub(super) fn reopening_by_map_files(cell: &mut Cell) {
    let way = cell.world.way;
    cell.attack(|jail| {
        let Some(map) = mapping(&read_only(jail), way) else {
            return;
        };
        let from = map.at as usize;
        let link = format!("/proc/self/map_files/{from:x}-{:x}", from + map.len);
        for flags in WRITING {
            // EPERM without CAP_CHECKPOINT_RESTORE.
            refused(sys::open(&link, flags), &[EACCES, EPERM]);
        }
        refused(sys::truncate(&link, 0), &[EACCES, EPERM]);
    });
}
