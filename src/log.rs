//! Where messages go: to the terminal, or to the system's log once there is none.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Level;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::error::{Error, ExitCode, Result};
use crate::sys::syslog;

static TO_SYSLOG: AtomicBool = AtomicBool::new(false);
static CHOSEN: OnceLock<String> = OnceLock::new();

/// Starts the log at `level`, unless `SHMFS_LOG` chooses what is in it, as in `SHMFS_LOG=debug`.
pub fn start(level: &str) -> Result<()> {
    let filter = filter(level)?;
    // Set once: a log can be started once.
    let _ = CHOSEN.set(filter.to_string());
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .without_time();
    let log = log.with_target(false).with_writer(Destination);
    log.try_init()
        .map_err(|error| Error::new(ExitCode::Internal, format!("cannot start the log: {error}")))
}

fn filter(level: &str) -> Result<EnvFilter> {
    match std::env::var("SHMFS_LOG") {
        Ok(chosen) if !chosen.is_empty() => EnvFilter::try_new(&chosen).map_err(|error| {
            Error::usage(format!("SHMFS_LOG={chosen}: {error}"))
                .hint("It is error, warn, info, debug or trace, or a list such as shmfs=debug.")
        }),
        Ok(_) | Err(_) => Ok(EnvFilter::new(level)),
    }
}

/// What the log was started with, for another process to start its own with.
pub fn chosen() -> &'static str {
    CHOSEN.get().map_or("warn", String::as_str)
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
