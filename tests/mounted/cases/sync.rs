//! Synchronisation between unrelated processes through shared memory.

use std::sync::atomic::{AtomicU32, Ordering};



use crate::consts::*;
use crate::proc::{Map, eventually, shared};
use crate::sys::{self, *};
use crate::table::Ctx;

crate::cases!["sync";
    nobody: mutex_between_unrelated_processes, robust_mutex_of_a_dead_process, futex_wakes_another_process,
        futex_by_hard_link, semaphore_as_glibc_makes_it, atomic_counter, stores_are_seen_at_once;
];

const WORDS: usize = 4096;
const ROUNDS: u32 = 20_000;

fn map(path: &str) -> Map {
    shared(&open(path, O_RDWR).expect("open the shared object"), WORDS)
}

fn word(map: &Map, index: usize) -> &AtomicU32 {
    // SAFETY: aligned, inside the mapping, and only used as an atomic.
    unsafe { &*map.at.add(2048 + 4 * index).cast::<AtomicU32>() }
}

fn object(c: &Ctx<'_>, name: &str) -> (std::path::PathBuf, Map) {
    let fd = put(c.p(name), b"");
    ftruncate(&fd, WORDS as i64).unwrap();
    (c.p(name), shared(&fd, WORDS))
}

fn start(role: &str, path: &std::path::Path) -> std::process::Child {
    let exe = std::env::current_exe().expect("the path of this test");
    std::process::Command::new(exe).args(["--role", role]).arg(path).spawn().expect("start an unrelated process")
}

fn finish(mut child: std::process::Child) {
    let mut status = None;
    eventually("the unrelated process ends", || {
        status = child.try_wait().expect("wait");
        status.is_some()
    });
    assert!(status.is_some_and(|s| s.success()), "the unrelated process failed: {status:?}");
}

fn mutex_at(map: &Map) -> *mut libc::pthread_mutex_t {
    map.at.cast()
}

fn init_mutex(map: &Map, robust: bool) {
    // SAFETY: the attribute and the mutex are ours and initialised in order.
    unsafe {
        let mut attr: libc::pthread_mutexattr_t = std::mem::zeroed();
        libc::pthread_mutexattr_init(&mut attr);
        libc::pthread_mutexattr_setpshared(&mut attr, libc::PTHREAD_PROCESS_SHARED);
        if robust {
            libc::pthread_mutexattr_setrobust(&mut attr, libc::PTHREAD_MUTEX_ROBUST);
        }
        assert_eq!(libc::pthread_mutex_init(mutex_at(map), &attr), 0);
    }
}

/// Adds to a plain counter under the mutex, so that a lost exclusion shows as a lost increment.
fn add_under_mutex(map: &Map) {
    let counter = map.at.wrapping_add(1024).cast::<u32>();
    for _ in 0..ROUNDS {
        // SAFETY: the mutex is initialised; the counter is only touched under it.
        unsafe {
            assert_eq!(libc::pthread_mutex_lock(mutex_at(map)), 0);
            counter.write_volatile(counter.read_volatile() + 1);
            libc::pthread_mutex_unlock(mutex_at(map));
        }
    }
}

/// The other process of `mutex_between_unrelated_processes`.
pub(crate) fn mutex_partner(path: &str) -> i32 {
    let map = map(path);
    word(&map, 0).fetch_add(1, Ordering::SeqCst);
    add_under_mutex(&map);
    0
}

fn mutex_between_unrelated_processes(c: &Ctx<'_>) {
    let (path, map) = object(c, "shm");
    init_mutex(&map, false);
    let partners = [start("mutex", &path), start("mutex", &path)];
    eventually("both partners run", || word(&map, 0).load(Ordering::SeqCst) == 2);
    add_under_mutex(&map);
    partners.into_iter().for_each(finish);
    // SAFETY: everybody else has ended.
    let total = unsafe { map.at.add(1024).cast::<u32>().read_volatile() };
    assert_eq!(total, 3 * ROUNDS);
}

fn robust_mutex_of_a_dead_process(c: &Ctx<'_>) {
    let (_, map) = object(c, "shm");
    init_mutex(&map, true);
    crate::proc::child(|| {
        // SAFETY: an initialised mutex; the child ends while it holds it.
        unsafe { assert_eq!(libc::pthread_mutex_lock(mutex_at(&map)), 0) };
    });
    // SAFETY: an initialised mutex.
    unsafe {
        assert_eq!(libc::pthread_mutex_lock(mutex_at(&map)), EOWNERDEAD);
        assert_eq!(libc::pthread_mutex_consistent(mutex_at(&map)), 0);
        assert_eq!(libc::pthread_mutex_unlock(mutex_at(&map)), 0);
    }
}

fn futex(word: &AtomicU32, op: i32, value: u32) -> R<i64> {
    let limit = libc::timespec { tv_sec: 60, tv_nsec: 0 };
    crate::syscall!(libc::SYS_futex, word.as_ptr(), op, value, &limit, 0, 0)
}

fn wait_for_change(word: &AtomicU32, from: u32) {
    while word.load(Ordering::SeqCst) == from {
        match futex(word, FUTEX_WAIT, from) {
            Ok(_) | Err(sys::EAGAIN | sys::EINTR) => {}
            Err(e) => panic!("futex wait: {e:?}"),
        }
    }
}

/// The other process of the futex cases: waits for 1, answers 2.
pub(crate) fn futex_waker(path: &str) -> i32 {
    let map = map(path);
    wait_for_change(word(&map, 0), 0);
    word(&map, 0).store(2, Ordering::SeqCst);
    futex(word(&map, 0), FUTEX_WAKE, 9).map_or(1, |_| 0)
}

fn ping_pong(map: &Map, path: &std::path::Path) {
    let partner = start("waker", path);
    // Woken and not merely lucky: the wake must find the partner asleep.
    let mut woken = 0;
    eventually("the partner waits on the futex", || {
        woken = futex(word(map, 0), FUTEX_WAKE, 9).expect("futex wake");
        woken == 1
    });
    word(map, 0).store(1, Ordering::SeqCst);
    futex(word(map, 0), FUTEX_WAKE, 9).expect("futex wake");
    wait_for_change(word(map, 0), 1);
    assert_eq!(word(map, 0).load(Ordering::SeqCst), 2);
    finish(partner);
}

fn futex_wakes_another_process(c: &Ctx<'_>) {
    let (path, map) = object(c, "shm");
    ping_pong(&map, &path);
}

fn futex_by_hard_link(c: &Ctx<'_>) {
    let (path, map) = object(c, "shm");
    link(&path, c.p("other")).unwrap();
    unlink(&path).unwrap();
    ping_pong(&map, &c.p("other"));
}

fn semaphore_as_glibc_makes_it(c: &Ctx<'_>) {
    // sem_open writes a libc::sem_t to a temporary file, links it to its name and maps it.
    // SAFETY: a zeroed libc::sem_t, initialised by libc::sem_init before use.
    let mut sem: libc::sem_t = unsafe { std::mem::zeroed() };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::sem_init(&mut sem, 1, 0) }, 0);
    // SAFETY: a libc::sem_t is plain bytes.
    let bytes = unsafe { std::slice::from_raw_parts((&raw const sem).cast::<u8>(), size_of::<libc::sem_t>()) };
    let fd = open_mode(c.p("sem.Xy12zA"), O_RDWR | O_CREAT | O_EXCL, 0o600).unwrap();
    assert_eq!(sys::write(&fd, bytes), Ok(bytes.len()));
    let mine = shared(&fd, size_of::<libc::sem_t>());
    link(c.p("sem.Xy12zA"), c.p("sem.name")).unwrap();
    unlink(c.p("sem.Xy12zA")).unwrap();
    let kid = crate::proc::spawn(|| {
        let theirs = shared(&open(c.p("sem.name"), O_RDWR).unwrap(), size_of::<libc::sem_t>());
        // SAFETY: an initialised semaphore.
        assert_eq!(unsafe { libc::sem_post(theirs.at.cast()) }, 0);
    });
    // SAFETY: an initialised semaphore.
    assert_eq!(unsafe { libc::sem_wait(mine.at.cast()) }, 0);
    kid.join();
}

fn atomic_counter(c: &Ctx<'_>) {
    let (path, map) = object(c, "shm");
    let kids: Vec<_> = (0..4)
        .map(|_| {
            crate::proc::spawn(|| {
                let theirs = self::map(path.to_str().unwrap());
                for _ in 0..ROUNDS {
                    word(&theirs, 1).fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    kids.into_iter().for_each(crate::proc::Kid::join);
    assert_eq!(word(&map, 1).load(Ordering::SeqCst), 4 * ROUNDS);
}

fn stores_are_seen_at_once(c: &Ctx<'_>) {
    let (path, map) = object(c, "shm");
    let kid = crate::proc::spawn(|| {
        let theirs = self::map(path.to_str().unwrap());
        for i in 0..1_000 {
            eventually("the other process's store", || word(&theirs, 0).load(Ordering::SeqCst) == 2 * i + 1);
            word(&theirs, 0).store(2 * i + 2, Ordering::SeqCst);
        }
    });
    for i in 0..1_000 {
        word(&map, 0).store(2 * i + 1, Ordering::SeqCst);
        while word(&map, 0).load(Ordering::SeqCst) == 2 * i + 1 {
            std::thread::yield_now();
        }
    }
    kid.join();
}
