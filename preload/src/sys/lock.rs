//! A lock that a fork cannot leave locked in the child.

use std::cell::UnsafeCell;

/// Guards what is inside. Each one must be named in `before` and `after`.
#[derive(Debug)]
pub(super) struct Lock<T> {
    mutex: UnsafeCell<libc::pthread_mutex_t>,
    inside: UnsafeCell<T>,
}

// SAFETY: `inside` is reached only through `with`, which holds the mutex.
unsafe impl<T: Send> Sync for Lock<T> {}

impl<T> Lock<T> {
    /// An open lock.
    pub(super) const fn new(inside: T) -> Lock<T> {
        Lock {
            mutex: UnsafeCell::new(libc::PTHREAD_MUTEX_INITIALIZER),
            inside: UnsafeCell::new(inside),
        }
    }

    /// Does something alone. `work` must not come back here, and must not unwind.
    pub(super) fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        self.acquire();
        // SAFETY: the mutex is held, and `work` does not take it again.
        let done = work(unsafe { &mut *self.inside.get() });
        self.release();
        done
    }

    fn acquire(&self) {
        // SAFETY: the mutex was initialised statically and never moves.
        unsafe { libc::pthread_mutex_lock(self.mutex.get()) };
    }

    fn release(&self) {
        // SAFETY: as above; this thread holds it.
        unsafe { libc::pthread_mutex_unlock(self.mutex.get()) };
    }
}

/// From now on a fork waits for the locks, and both sides of it go on with them open. Once, at load:
/// later, a fork could come between.
#[cfg(not(test))]
pub(super) fn survive_forks() {
    // SAFETY: the three functions only lock and unlock a static mutex.
    unsafe { libc::pthread_atfork(Some(before), Some(after), Some(after)) };
}

extern "C" fn before() {
    super::semaphore::OPEN.acquire();
}

extern "C" fn after() {
    super::semaphore::OPEN.release();
}
