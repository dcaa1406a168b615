//! Attempts while the provider is at work.

use std::path::Path;

use super::descriptors::refused;
use super::{Cell, LENGTH, PUBLIC, SECRET};
use crate::consumer::start_prisoner;
use crate::model::Who;
use crate::proc::Step;
use crate::sys::{self, EACCES, EEXIST, ENOENT, EPERM, ESTALE};

/// How often the attacker tries.
const TRIES: usize = 400;

/// The provider works until the attacker has tried often enough.
fn race(cell: &Cell, who: Who, attack: impl Fn(&Path, usize), work: impl Fn(usize)) {
    let done = Step::new();
    let attacker = start_prisoner(&cell.world, "cell", who, |jail| {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            (0..TRIES).for_each(|number| attack(jail, number));
        }));
        done.make();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });
    for round in 0.. {
        if done.is_made() {
            break;
        }
        work(round);
    }
    attacker.join();
}

/// One object goes to and fro between a name that may be read and one that may be written.
pub(super) fn opening_while_names_are_exchanged(cell: &mut Cell) {
    let path = |name: &str| cell.world.path(name);
    cell.provide("rw-moving");
    cell.provide("secret-moving");
    let attack = |jail: &Path, _| {
        for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDONLY | libc::O_TRUNC] {
            match sys::open(jail.join("ro-moving"), flags) {
                Err(EACCES | ENOENT | ESTALE) => {}
                other => panic!("opened for writing by a name to be read: {other:?}"),
            }
        }
        if let Ok(file) = sys::open(jail.join("ro-moving"), libc::O_PATH) {
            let again = crate::calls::reopen(&file, libc::O_RDWR);
            assert!(again.is_err(), "opened again for writing");
        }
        if let Ok(file) = sys::open(jail.join("ro-moving"), libc::O_RDONLY) {
            // It was another's secret until it had this name, and may be read now.
            assert!(sys::pread(&file, 1, 0).is_ok());
        }
        let opened = sys::open(jail.join("secret-moving"), libc::O_RDONLY);
        assert_eq!(opened.map(drop), Err(ENOENT));
    };
    race(cell, Who::Root, attack, |_| {
        sys::rename(path("rw-moving"), path("ro-moving")).unwrap();
        let exchange = libc::RENAME_EXCHANGE;
        sys::rename2(path("ro-moving"), path("secret-moving"), exchange).unwrap();
        sys::rename2(path("ro-moving"), path("secret-moving"), exchange).unwrap();
        sys::rename(path("ro-moving"), path("rw-moving")).unwrap();
    });
}

/// The same by the directory above it, which is shown as `mr` or is in the dark.
pub(super) fn opening_while_directories_are_exchanged(cell: &mut Cell) {
    let path = |name: &str| cell.world.path(name);
    sys::mkdir(path("dark"), 0o777).unwrap();
    drop(sys::put(path("dark/x"), &[PUBLIC; 10]));
    sys::chmod(path("dark/x"), 0o666).unwrap();
    let attack = |jail: &Path, _| {
        for name in ["mr/x", "dark/x"] {
            let gone = [EACCES, ENOENT, ESTALE];
            refused(sys::open(jail.join(name), libc::O_RDWR), &gone);
            refused(sys::rename(jail.join(name), jail.join("rw9")), &gone);
            let linked = sys::link(jail.join(name), jail.join("rw9"));
            refused(linked, &[EPERM, ENOENT, ESTALE]);
            refused(sys::unlink(jail.join(name)), &gone);
        }
        refused(sys::stat(jail.join("dark/x")), &[ENOENT]);
    };
    race(cell, Who::Root, attack, |_| {
        let exchange = libc::RENAME_EXCHANGE;
        sys::rename2(path("mr"), path("dark"), exchange).unwrap();
        sys::rename2(path("mr"), path("dark"), exchange).unwrap();
    });
}

/// LOOKUP finds nothing, the provider makes an object for itself, CREATE arrives: what the
/// mode refuses is not opened.
pub(super) fn creating_what_is_made_meanwhile(cell: &mut Cell) {
    let path = cell.world.path("rw-meanwhile");
    let flags = libc::O_RDWR | libc::O_CREAT;
    let attack = |jail: &Path, _| {
        let name = jail.join("rw-meanwhile");
        match sys::open_mode(&name, flags, 0o600) {
            Ok(file) => {
                assert_ne!(
                    sys::fstat(&file).unwrap().uid,
                    0,
                    "another's object was opened"
                );
                let _ = sys::unlink(&name);
            }
            Err(EACCES | ENOENT | ESTALE) => {}
            other => panic!("{other:?}"),
        }
    };
    race(cell, Who::User, attack, |_| {
        if let Ok(file) = sys::open_mode(&path, flags | libc::O_EXCL, 0o600) {
            sys::write(&file, &[SECRET; 10]).unwrap();
            // The user removes only what is his: the directory is sticky.
            sys::unlink(&path).unwrap();
        } else {
            let _ = sys::unlink(&path);
        }
    });
    let _ = sys::unlink(&path);
}

pub(super) fn looking_while_secrets_come_and_go(cell: &mut Cell) {
    let path = |name: &str| cell.world.path(name);
    let attack = |jail: &Path, _| {
        for name in ["secret1", "d/secret1"] {
            let name = jail.join(name);
            assert_eq!(sys::stat(&name), Err(ENOENT));
            assert_eq!(sys::open(&name, libc::O_RDONLY).map(drop), Err(ENOENT));
            let flags = libc::O_RDWR | libc::O_CREAT;
            for more in [0, libc::O_EXCL] {
                assert_eq!(sys::open(&name, flags | more).map(drop), Err(EACCES));
            }
            assert_eq!(sys::link(jail.join("rw"), &name), Err(EACCES));
            assert_eq!(sys::mkdir(&name, 0o777), Err(EACCES));
        }
        let seen = sys::ls(jail.join("d"));
        assert_eq!(seen, ["ro", "rw"]);
    };
    race(cell, Who::Root, attack, |_| {
        for name in ["secret1", "d/secret1"] {
            drop(sys::put(path(name), &[SECRET; 10]));
            sys::rename(path(name), path("secret2")).unwrap();
            sys::unlink(path("secret2")).unwrap();
            sys::mkdir(path(name), 0o777).unwrap();
            sys::rmdir(path(name)).unwrap();
        }
    });
}

/// A link that is decided on a name must be of the object that has it then.
pub(super) fn linking_while_names_change(cell: &mut Cell) {
    let path = |name: &str| cell.world.path(name);
    drop(sys::put(path("rw-swapped"), &[PUBLIC; LENGTH]));
    sys::chmod(path("rw-swapped"), 0o666).unwrap();
    let mark = |name: &str| sys::setxattr(path(name), "user.guarded", b"1", 0).unwrap();
    drop(sys::put(path("ro-swapped"), &[PUBLIC; LENGTH]));
    mark("ro-swapped");
    let attack = |jail: &Path, number: usize| {
        let linked = jail.join(format!("rw-link{number}"));
        match sys::link(jail.join("ro-swapped"), &linked) {
            Err(EPERM | ENOENT | ESTALE) => {}
            other => panic!("linked to a wider name: {other:?}"),
        }
        match sys::link(jail.join("rw-swapped"), &linked) {
            Ok(()) => {
                sys::unlink(&linked).unwrap();
            }
            Err(EPERM | EACCES | ENOENT | EEXIST | ESTALE) => {}
            other => panic!("{other:?}"),
        }
    };
    race(cell, Who::Root, attack, |_| {
        let exchange = libc::RENAME_EXCHANGE;
        sys::rename2(path("ro-swapped"), path("rw-swapped"), exchange).unwrap();
        sys::rename2(path("ro-swapped"), path("rw-swapped"), exchange).unwrap();
    });
    let kept = sys::getxattr(path("ro-swapped"), "user.guarded");
    assert_eq!(kept, Ok(b"1".to_vec()));
}
