//! What takes long is done beside the threads that read requests; what must wait does so for a moment only.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// An operation on more bytes than this is carried out beside the threads that read requests.
const LONG_OPERATION: u64 = 4 << 20;

/// How long a request waits for inodes that are about to go: in steps of 0.1 ms, for 5 ms at most.
const PATIENCE: u32 = 50;

/// Only one request waits at a time: the others' threads are there for what it waits for.
static WAITING: AtomicBool = AtomicBool::new(false);

/// Gives the kernel time to forget what was unlinked a moment ago.
pub(super) fn wait_while(condition: impl Fn() -> bool) {
    if !condition() || WAITING.swap(true, Ordering::Acquire) {
        return;
    }
    for _ in 0..PATIENCE {
        std::thread::sleep(Duration::from_micros(100));
        if !condition() {
            break;
        }
    }
    WAITING.store(false, Ordering::Release);
}

/// Runs an operation of `bytes` bytes here, or beside us where it would take long.
pub(super) fn run_beside(bytes: u64, operation: impl FnOnce() + Send + 'static) {
    if bytes <= LONG_OPERATION {
        return operation();
    }
    let cell = Arc::new(parking_lot::Mutex::new(Some(operation)));
    let theirs = Arc::clone(&cell);
    let run = move || {
        if let Some(operation) = theirs.lock().take() {
            operation();
        }
    };
    let spawned = std::thread::Builder::new()
        .name("shmfs-long".into())
        .spawn(run);
    if spawned.is_ok() {
        return;
    }
    // No thread to be had: slow is better than not at all.
    if let Some(operation) = cell.lock().take() {
        operation();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn long_operations_are_carried_out() {
        let (done, answers) = mpsc::channel();
        for number in 0..100 {
            let done = done.clone();
            run_beside(LONG_OPERATION + 1, move || done.send(number).unwrap());
        }
        drop(done);
        let mut numbers: Vec<i32> = answers.iter().collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}
