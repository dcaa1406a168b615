//! What takes long is done beside the threads that read requests.

use std::sync::Arc;

/// An operation on more bytes than this is carried out beside the threads that read requests.
const LONG_OPERATION: u64 = 4 << 20;

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
