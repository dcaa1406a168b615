//! What a worker does for the folders above its service: requests of the control socket that concern the
//! store, and the end of a mount whose supervisor is gone.

use std::ffi::OsString;

use super::control::decode;
use super::live::Identity;
use super::serve::detach;
use crate::errno::Errno;
use crate::fuse::Service;
use crate::supervisor::{self, Orphaned, Question};

/// Where the command line `words` starts a worker: its life; returns its exit status.
pub fn worker(words: &[OsString]) -> Option<i32> {
    let above = Orphaned {
        detach: detach_all,
        answer,
    };
    supervisor::is_worker(words).map(|channel| supervisor::work(channel, above))
}

fn detach_all(mounts: &str) {
    let mounts = mounts.split_ascii_whitespace();
    mounts
        .filter_map(Identity::decode)
        .for_each(|identity| detach(&identity));
}

/// Answers one line.
fn answer(service: &Service, question: Question) -> Result<String, String> {
    let Question { line, exports } = question;
    let (verb, rest) = line.split_once(' ').unwrap_or((line.as_str(), ""));
    match verb {
        "status" => Ok(service.status()),
        "remount" => remount(service, rest),
        "export-session" => service.open_session(rest),
        "export-bound" => {
            service.session_is_bound(rest);
            Ok(String::new())
        }
        "export-left" => {
            service.session_is_left(rest);
            Ok(String::new())
        }
        "export-reload" => {
            let exports = exports.ok_or("no exports came with it")?;
            service.reload_exports(&exports).map(|()| String::new())
        }
        _ => Err("unknown request".to_owned()),
    }
}

fn remount(service: &Service, words: &str) -> Result<String, String> {
    let limits = decode(words)
        .ok_or("size=BYTES, nr_inodes=N, uid_size=BYTES and uid_nr_inodes=N can be changed")?;
    service
        .remount(&limits)
        .map(|()| String::new())
        .map_err(|errno| match errno {
            Errno::EINVAL => "more than that is in use, or there was no limit".to_owned(),
            // Its memory is in a user namespace, in which this process is not.
            Errno::EPERM => "the size of a mount that an ordinary user has made stays as it is: \
                unmount it, and mount it again"
                .to_owned(),
            other => other.to_string(),
        })
}
