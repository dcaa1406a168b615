//! One table of cases, run on a real tmpfs and on shmfs in each mode.
//!
//! `tmpfs::…` asks the arbiter, `passthrough::…` and `cached::…` shmfs as root,
//! `user_tmpfs::…` and `user_cached::…` the same two as an ordinary user in a user
//! namespace. Each trial is a process of its own in a directory of its own; all
//! mounts are in private namespaces that end with the run.

#![allow(unreachable_pub)] // nothing of a test is for others

mod acl;
mod cases;
mod concurrency;
mod consts;
mod differential;
mod differs;
mod harness;
mod namespaces;
mod proc;
mod rng;
mod roles;
mod sys;
mod table;

use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};

use harness::Host;
use table::{Case, Needs, Target};

fn main() {
    if let Some(code) = roles::play() {
        std::process::exit(code);
    }
    let args = Arguments::from_args();
    proc::keep_panics();
    if args.list {
        let trials = plan(&args)
            .into_iter()
            .map(|(case, target)| Trial::test(name(&case, target), || Ok(())));
        libtest_mimic::run(&args, trials.collect()).exit();
    }
    std::process::exit(namespaces::in_namespaces(|base, root| {
        run(base, root, &args)
    }));
}

fn name(case: &Case, target: Target) -> String {
    format!("{}::{}::{}", target.name(), case.group, case.name)
}

/// What will be run: the mounts are made only for these.
fn plan(args: &Arguments) -> Vec<(Case, Target)> {
    let root = proc::ids().0 == 0;
    let matches = |name: &str, word: &String| {
        if args.exact {
            name == word
        } else {
            name.contains(word)
        }
    };
    let quotas = namespaces::tmpfs_has_quotas();
    let mut plan = Vec::new();
    for target in Target::ALL.into_iter().filter(|t| root || t.is_user()) {
        for case in cases::all().filter(|case| !target.is_user() || case.needs == Needs::Nobody) {
            let name = name(&case, target);
            let wanted = args.filter.as_ref().is_none_or(|word| matches(&name, word));
            if target == Target::Tmpfs && case.needs == Needs::Quotas && !quotas {
                continue;
            }
            if wanted && !args.skip.iter().any(|word| matches(&name, word)) {
                plan.push((case, target));
            }
        }
    }
    plan
}

/// Says what the arbiter was not asked.
fn say_what_is_missing() {
    if !namespaces::tmpfs_has_quotas() {
        eprintln!(
            "tmpfs::quotas: not run, since this kernel's tmpfs has none (CONFIG_TMPFS_QUOTA)"
        );
    }
}

fn run(base: std::path::PathBuf, root: bool, args: &Arguments) -> i32 {
    let plan = plan(args);
    say_what_is_missing();
    let wanted: Vec<Target> = Target::ALL
        .into_iter()
        .filter(|t| plan.iter().any(|(_, p)| p == t))
        .collect();
    let (host, daemons, failed) = Host::start(base, root, &wanted);
    let host = Arc::new(host);
    let mut trials = vec![Trial::test("table::differences_name_cases", differs::check)];
    for (target, why) in &failed {
        eprintln!("{}: {why}", target.name());
        let why = why.clone();
        trials.push(Trial::test(
            format!("{}::mount", target.name()),
            move || Err(Failed::from(why)),
        ));
    }
    for (case, target) in plan
        .into_iter()
        .filter(|(_, t)| failed.iter().all(|(f, _)| f != t))
    {
        let host = Arc::clone(&host);
        let difference = differs::find(&case, target);
        let body = move || host.run(&case, target, difference).map_err(Failed::from);
        trials.push(Trial::test(name(&case, target), body));
    }
    let conclusion = libtest_mimic::run(args, trials);
    for daemon in daemons.iter().filter(|_| conclusion.has_failed()) {
        println!("{}", daemon.log());
    }
    drop(daemons);
    if conclusion.has_failed() || !failed.is_empty() {
        101
    } else {
        0
    }
}
