//! Where messages go: to the terminal, or to the system's log once there is none.

use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::sys::syslog;

static TO_SYSLOG: AtomicBool = AtomicBool::new(false);

/// Starts the log; `SHMFS_LOG` chooses what is in it, as in `SHMFS_LOG=debug`.
pub fn start() {
    let filter = EnvFilter::try_from_env("SHMFS_LOG").unwrap_or_else(|_| EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .without_time();
    if let Err(error) = log.with_target(false).with_writer(Destination).try_init() {
        eprintln!("shmfs: the log is already there: {error}");
    }
}

/// From now on messages go to the system's log.
pub fn to_syslog() {
    TO_SYSLOG.store(true, Ordering::Relaxed);
}

struct Destination;

impl<'a> MakeWriter<'a> for Destination {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line {
            priority: libc::LOG_INFO,
        }
    }

    fn make_writer_for(&'a self, metadata: &tracing::Metadata<'_>) -> Line {
        let priority = match *metadata.level() {
            Level::ERROR => libc::LOG_ERR,
            Level::WARN => libc::LOG_WARNING,
            Level::INFO => libc::LOG_INFO,
            Level::DEBUG | Level::TRACE => libc::LOG_DEBUG,
        };
        Line { priority }
    }
}

/// The writer of one message.
struct Line {
    priority: i32,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if !TO_SYSLOG.load(Ordering::Relaxed) {
            io::stderr().write_all(bytes)?;
            return Ok(bytes.len());
        }
        syslog::send(self.priority, bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
