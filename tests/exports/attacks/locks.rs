//! Attempts to make the provider wait.

use std::path::Path;

use super::Cell;
use crate::calls::{flock, lock};
use crate::consumer::start_prisoner;
use crate::model::Who;
use crate::proc::Step;
use crate::sys::{self, EACCES, EAGAIN};
use crate::syscall;

/// The consumer holds something while the provider works.
fn while_held(cell: &Cell, hold: impl Fn(&Path) -> Vec<std::os::fd::OwnedFd>, work: impl Fn()) {
    for who in [Who::Root, Who::User] {
        let (held, end) = (Step::new(), Step::new());
        let holder = start_prisoner(&cell.world, "cell", who, |jail| {
            let _files = hold(jail);
            held.make();
            end.wait();
        });
        held.wait();
        work();
        end.make();
        holder.join();
    }
}

/// The provider's side: at once, or not at all.
fn provider(cell: &Cell) -> std::os::fd::OwnedFd {
    sys::open(cell.world.path("ro"), libc::O_RDWR).unwrap()
}

pub(super) fn flock_of_a_reader_does_not_block(cell: &mut Cell) {
    for kind in [libc::LOCK_SH, libc::LOCK_EX] {
        let hold = |jail: &Path| {
            let file = sys::open(jail.join("ro"), libc::O_RDONLY).unwrap();
            match flock(&file, kind | libc::LOCK_NB) {
                Ok(()) => {}
                Err(errno) => assert_eq!((errno, kind), (EACCES, libc::LOCK_EX)),
            }
            vec![file]
        };
        while_held(cell, hold, || {
            let file = provider(cell);
            flock(&file, libc::LOCK_EX | libc::LOCK_NB).expect("a reader blocks the provider");
        });
    }
}

pub(super) fn record_locks_of_a_reader_do_not_block(cell: &mut Cell) {
    for ofd in [false, true] {
        let hold = |jail: &Path| {
            let file = sys::open(jail.join("ro"), libc::O_RDONLY).unwrap();
            lock(&file, libc::F_RDLCK, ofd).expect("a shared lock goes with read");
            vec![file]
        };
        while_held(cell, hold, || {
            let file = provider(cell);
            lock(&file, libc::F_WRLCK, ofd).expect("a reader blocks the provider");
        });
    }
}

/// A lease makes others wait until it is broken: the provider must not.
pub(super) fn leases_of_a_reader_do_not_block(cell: &mut Cell) {
    let hold = |jail: &Path| {
        // SAFETY: a lease that is broken says so by SIGIO, which would end us.
        unsafe { libc::signal(libc::SIGIO, libc::SIG_IGN) };
        let file = sys::open(jail.join("ro"), libc::O_RDONLY).unwrap();
        let descriptor = sys::raw(&file);
        // Refused or not: it is the provider that counts.
        let _ = syscall!(libc::SYS_fcntl, descriptor, libc::F_SETLEASE, libc::F_RDLCK);
        vec![file]
    };
    while_held(cell, hold, || {
        let flags = libc::O_RDWR | libc::O_NONBLOCK;
        match sys::open(cell.world.path("ro"), flags) {
            Ok(_) => {}
            Err(EAGAIN) => panic!("a reader's lease holds the provider's open"),
            Err(errno) => panic!("{errno:?}"),
        }
    });
}

/// Nor does F_GETLK tell who holds what.
pub(super) fn a_reader_does_not_see_the_providers_locks(cell: &mut Cell) {
    let file = provider(cell);
    flock(&file, libc::LOCK_EX | libc::LOCK_NB).unwrap();
    cell.attack(|jail| {
        let mine = sys::open(jail.join("ro"), libc::O_RDONLY).unwrap();
        // Locks of an export's node are its own; a shared lock does not wait.
        flock(&mine, libc::LOCK_SH | libc::LOCK_NB).expect("a lock of the export's own node");
    });
}
