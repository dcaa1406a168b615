//! PostgreSQL on a `/dev/shm` whose worker is killed every second.

use std::time::Duration;

use crate::kills::{is_measured, times};
use crate::support::{Case, Outcome, Site, check, find_program};

/// Kills in the test command; `SHMFS_KILLS=60` is a minute.
const KILLS: usize = 8;

pub(crate) fn cases() -> Vec<Case> {
    if find_program("pg_ctl").is_none() || find_program("pgbench").is_none() {
        eprintln!(
            "NOT RUN: postgresql::killed_every_second (optional): no pg_ctl and pgbench in PATH"
        );
        return Vec::new();
    }
    let reason = "PostgreSQL is started as nobody";
    vec![Case {
        deadline: Duration::from_secs(600),
        is_alone: is_measured(),
        ..Case::root("postgresql::killed_every_second", reason, kills)
    }]
}

fn kills(site: &Site) -> Outcome {
    let mut command = site.bash("postgresql_kills.sh");
    command.env("KILLS", times(KILLS).to_string());
    if let Some(daemon) = site.daemon() {
        site.expect_deaths();
        command.env("DAEMON", daemon.as_raw_nonzero().to_string());
    }
    let said = check(&mut command)?;
    println!("{}", String::from_utf8_lossy(&said.stdout));
    site.wait_until_empty()
}
