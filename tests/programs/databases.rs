//! Databases: mapped files, locks, fsync, dynamic shared memory.

use crate::support::{Case, Outcome, Site, check, find_program, need};

pub(crate) fn cases() -> Vec<Case> {
    let mut cases = vec![Case::new("sqlite::wal", sqlite)];
    if find_program("pg_ctl").is_some() && find_program("pgbench").is_some() {
        let reason = "PostgreSQL is started as nobody";
        cases.push(Case::root("postgresql::pgbench", reason, postgresql));
    } else {
        eprintln!("NOT RUN: postgresql::pgbench (optional): no pg_ctl and pgbench in PATH");
    }
    cases
}

/// The write-ahead log's index is a shared mapping, `-shm`.
fn sqlite(site: &Site) -> Outcome {
    need("python3", "python3")?;
    check(&mut site.interpret("python3", "sqlite.py"))?;
    site.wait_until_empty()
}

fn postgresql(site: &Site) -> Outcome {
    check(&mut site.bash("postgresql.sh")).map(|_| ())
}
