//! Exports beside the tree: what rules cost, one or ten thousand, long listings of which some is seen, and the price
//! of exports that nobody uses.

use std::ffi::CString;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::calls::{
    FIGURES, Line, create, directory, fill, names, open, report, report_pair, stat, three,
};
use super::million::list;
use crate::Context;
use crate::measure::{Samples, Subject, interleave, time_each};
use crate::place::{Shmfs, pin_shmfs};
use crate::report::{Row, time};
use crate::sys;
use crate::trace::Sent;

/// Exports by how many rules they have, each a glob, and the digits of a topic's number that each has.
const EXPORTS: [(&str, usize, usize); 3] = [
    ("1 rule", 1, 0),
    ("100 rules", 100, 2),
    ("10000 rules", 10_000, 4),
];
/// Objects that are opened in turn, found by as many rules as there are.
const TOPICS: usize = 64;
const TOPIC: usize = 10_000 / TOPICS;
const CALLS: usize = 200;
const OBJECTS: usize = 100_000;
const LISTINGS: usize = 5;
const LIMIT: f64 = 1.1;

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    if context.place.stand_in {
        context.report.note("a tmpfs has no exports");
        return Ok(());
    }
    beside_the_tree(context)?;
    unused(context)?;
    many(context)
}

/// Mounts with a configuration.
fn shmfs(context: &Context, name: &str, options: &str, config: &str) -> io::Result<Shmfs> {
    let file = context.place.path(&format!("{name}.toml"));
    fs::write(&file, config)?;
    let options = format!("{options},exports={}", file.display());
    context.place.shmfs(name, options.trim_start_matches(','))
}

fn path(shmfs: &Shmfs, export: &str) -> PathBuf {
    shmfs.dir.join(".shmfs/exports").join(export)
}

fn export(shmfs: &Shmfs, name: &str) -> io::Result<OwnedFd> {
    directory(&path(shmfs, name))
}

/// Globs in four sets of rights; one that only lets read besides.
fn rules() -> String {
    let rights = [
        r#"["read", "write", "create", "delete"]"#,
        r#"["read", "write"]"#,
        r#"["read", "write", "create"]"#,
        r#"["read", "write", "delete"]"#,
    ];
    let mut text = String::new();
    for (_, count, digits) in EXPORTS {
        for at in 0..count {
            let permissions = rights[at % rights.len()];
            let topic = match digits {
                0 => String::new(),
                _ => format!("{at:0digits$}"),
            };
            let _ = writeln!(
                text,
                "[[export.rules-{count}.rule]]\npath = \"topic_{topic}*\"\npermissions = {permissions}"
            );
        }
    }
    text + "[export.readers]\nread = [\"topic_*\"]\n"
}

/// Through exports of one mount, and in its tree, in turn.
fn beside_the_tree(context: &mut Context) -> io::Result<()> {
    let shmfs = shmfs(context, "exports", "", &rules())?;
    let tree = directory(&shmfs.dir)?;
    // Their numbers begin with those of as many rules.
    let old = names(TOPICS, |at| format!("topic_{:04}_data", at * TOPIC))?;
    // The first rule gives all rights.
    let new = c"topic_0000_new".to_owned();
    old.iter().try_for_each(|name| create(&tree, name))?;
    let dirs = EXPORTS.map(|(_, count, _)| export(&shmfs, &format!("rules-{count}")));
    let dirs: Vec<OwnedFd> = dirs.into_iter().collect::<io::Result<_>>()?;
    pin_shmfs()?;
    let through: Vec<_> = dirs
        .iter()
        .chain([&tree])
        .map(|dir| |_| three(dir, &old, &new))
        .collect();
    let subjects: Vec<Subject<'_>> = through.iter().map(|it| it as Subject<'_>).collect();
    let samples = interleave(0, context.rounds(40), FIGURES.len(), &subjects)?;
    for (at, (rules, ..)) in EXPORTS.into_iter().enumerate() {
        for (figure, call) in FIGURES.into_iter().enumerate() {
            let line = Line {
                what: format!("{call}, {rules}"),
                of: "the tree's",
                limit: Some(LIMIT),
            };
            report_pair(
                context,
                &samples,
                (at, figure),
                (EXPORTS.len(), figure),
                &line,
            );
        }
    }
    trips(context, &shmfs, [&dirs[1], &tree], (&old[0], &new))?;
    readers(context, &shmfs, &tree, &old)
}

/// The requests are the same.
fn trips(
    context: &Context,
    shmfs: &Shmfs,
    dirs: [&OwnedFd; 2],
    (old, new): (&CString, &CString),
) -> io::Result<()> {
    let Some(tracer) = &context.tracer else {
        return Ok(());
    };
    for (call, create_it) in [("open+close", false), ("create+close", true)] {
        let sent = dirs.map(|dir| {
            let body = || match create_it {
                false => open(dir, old, OFlags::RDWR),
                true => create(dir, new),
            };
            let sent = tracer.during(shmfs.connection()?, body)?;
            if create_it {
                fs::remove_file(shmfs.dir.join(new.to_string_lossy().as_ref()))?;
            }
            Ok(sent
                .into_iter()
                .map(Sent::label)
                .collect::<Vec<_>>()
                .join(" "))
        });
        let [ours, tree] = sent.map(|sent: io::Result<String>| sent);
        context
            .report
            .note(&format!("{call}: {}; in the tree: {}", ours?, tree?));
    }
    Ok(())
}

/// One who may only read: the file is another node to the kernel.
fn readers(context: &Context, shmfs: &Shmfs, tree: &OwnedFd, old: &[CString]) -> io::Result<()> {
    let readers = export(shmfs, "readers")?;
    let one = |dir: &OwnedFd| {
        sys::pin(0)?;
        let next = |at: usize| open(dir, &old[at % old.len()], OFlags::RDONLY);
        Ok(vec![time_each(CALLS, next)?])
    };
    let subjects: [Subject<'_>; 2] = [&|_| one(&readers), &|_| one(tree)];
    let samples = interleave(0, context.rounds(40), 1, &subjects)?;
    let line = Line {
        what: "open+close to read, of a read-only export".to_owned(),
        of: "the tree's",
        limit: Some(LIMIT),
    };
    report(context, &samples, 0, &line);
    Ok(())
}

/// The tree of a mount with exports that nobody has used, and then with one that is, beside a mount without.
fn unused(context: &mut Context) -> io::Result<()> {
    let with = shmfs(context, "unused-exports", "", &rules())?;
    let without = context.place.shmfs("no-exports", "")?;
    let trees = [directory(&with.dir)?, directory(&without.dir)?];
    let (old, new) = (
        [c"topic_0000_data".to_owned()],
        c"topic_0000_new".to_owned(),
    );
    trees.iter().try_for_each(|tree| create(tree, &old[0]))?;
    pin_shmfs()?;
    for (of_what, limit) in [("exports unused", Some(LIMIT)), ("an export in use", None)] {
        let subjects: [Subject<'_>; 2] = [&|_| three(&trees[0], &old, &new), &|_| {
            three(&trees[1], &old, &new)
        }];
        let samples = interleave(0, context.rounds(40), FIGURES.len(), &subjects)?;
        for (figure, call) in FIGURES.into_iter().enumerate() {
            let what = format!("{call} in the tree, {of_what}");
            let of = "without";
            report(context, &samples, figure, &Line { what, of, limit });
        }
        // The next round has one in use, which has been listed.
        stat(&export(&with, "rules-100")?, &old[0])?;
        list(&path(&with, "rules-100"), 1)?;
    }
    Ok(())
}

/// What the exports of [`many`] show.
const SEEN: [(&str, usize); 3] = [("all", OBJECTS), ("half", OBJECTS / 2), ("one", 1)];

const SOME: &str = r#"
[export.all]
read = ["object-*"]
[export.half]
read = ["object-*[02468]"]
[export.one]
read = ["object-0050000"]
[export.none]
read = ["object"]
"#;

/// Listings of a hundred thousand objects of which all, half or one is seen, beside the tree's.
fn many(context: &mut Context) -> io::Result<()> {
    let shmfs = shmfs(context, "many-exports", "nr_inodes=200000", SOME)?;
    let objects = names(OBJECTS, |at| format!("object-{at:07}"))?;
    let tree = directory(&shmfs.dir)?;
    pin_shmfs()?;
    sys::pin(0)?;
    fill(&tree, &objects)?;
    let paths = SEEN.map(|(name, _)| path(&shmfs, name));
    // In use: what the kernel drops then is not the listings'.
    whole(&shmfs.dir, OBJECTS)?;
    export(&shmfs, "none")?;
    whole(&shmfs.dir, OBJECTS)?;
    let first = first_listings(&paths)?;
    let ways = [&paths[0], &paths[1], &paths[2], &shmfs.dir];
    let samples = listings(ways)?;
    for (at, (which, count)) in SEEN.into_iter().enumerate() {
        let ratio = samples.ratio((at, 0), (3, 0));
        // Who is shown one name does not pay for the others.
        let limit = (count == 1).then_some(0.01);
        let goal = limit.map(|limit| format!("≤ {limit} × the tree's"));
        context.report.row(&Row {
            what: &format!("readdir of {OBJECTS}, {which} to be seen"),
            ours: Some(samples.median(at, 0)),
            measured: format!(
                "{:.3} × the tree's ({:.3}–{:.3})",
                ratio.median, ratio.low, ratio.high
            ),
            goal: goal.as_deref().unwrap_or_default(),
            pass: limit.map(|limit| ratio.median <= limit),
            ..Row::default()
        });
        let first = &first[at];
        context.report.note(&format!(
            "the first time {}; from then on {:.0} bytes of shmfs for each object of the tree",
            time(first.0),
            first.1
        ));
    }
    while_listed(context, &tree)
}

/// Nanoseconds of the listing that has to look at all rules, and the memory that it takes for each object.
fn first_listings(paths: &[PathBuf; 3]) -> io::Result<Vec<(f64, f64)>> {
    let mut all = Vec::new();
    for (path, (_, count)) in paths.iter().zip(SEEN) {
        let before = crate::place::memory_of_shmfs()?;
        let took = whole(path, count)?;
        let grown = crate::place::memory_of_shmfs()?.saturating_sub(before);
        all.push((took, grown as f64 / OBJECTS as f64));
    }
    Ok(all)
}

/// Nanoseconds of a whole listing.
fn whole(path: &Path, count: usize) -> io::Result<f64> {
    let each = list(path, count)?;
    Ok(each.iter().sum::<f64>() * count as f64)
}

fn listings(paths: [&PathBuf; 4]) -> io::Result<Samples> {
    let counts = SEEN.map(|(_, count)| count);
    let read = |at: usize| {
        sys::pin(0)?;
        let count = counts.get(at).copied().unwrap_or(OBJECTS);
        Ok(vec![whole(paths[at], count)?])
    };
    let subjects: [Subject<'_>; 4] = [&|_| read(0), &|_| read(1), &|_| read(2), &|_| read(3)];
    interleave(0, LISTINGS, 1, &subjects)
}

/// What the provider pays for three long listings that are kept up.
fn while_listed(context: &Context, tree: &OwnedFd) -> io::Result<()> {
    let (old, new) = ([c"object-0050000".to_owned()], c"object-new".to_owned());
    let small = shmfs(context, "few-exports", "", SOME)?;
    let beside = directory(&small.dir)?;
    create(&beside, &old[0])?;
    // In use as well, so that the kernel keeps nothing in either.
    stat(&export(&small, "one")?, &old[0])?;
    pin_shmfs()?;
    let subjects: [Subject<'_>; 2] = [&|_| three(tree, &old, &new), &|_| {
        three(&beside, &old, &new)
    }];
    let samples = interleave(0, context.rounds(20), FIGURES.len(), &subjects)?;
    for (figure, call) in FIGURES.into_iter().enumerate() {
        let line = Line {
            what: format!("{call} in the tree of {OBJECTS}"),
            of: "one alone",
            limit: Some(1.3),
        };
        report(context, &samples, figure, &line);
    }
    Ok(())
}
