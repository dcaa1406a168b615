//! Views beside the tree: the same objects under two names, a hundred thousand digests, and the price of a
//! view that nobody uses.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use shmfs::view::find;

use super::calls::{FIGURES, Filled, Line, create, directory, fill, names, report, stat, three};
use super::million::list;
use crate::Context;
use crate::measure::{Subject, interleave, time_each};
use crate::place::{Shmfs, pin_shmfs};
use crate::report::{Row, times};
use crate::sys;

const OBJECTS: usize = 100_000;
const LISTINGS: usize = 5;
const LOOKUPS: usize = 2_000;

pub(super) fn run(context: &mut Context) -> io::Result<()> {
    if context.place.stand_in {
        context.report.note("a tmpfs has no views");
        return Ok(());
    }
    beside_the_tree(context)?;
    unused(context)?;
    many(context)
}

/// What `key` makes of the object whose name in the tree is `entry`.
fn name_in(key: &str, entry: &str) -> io::Result<CString> {
    let scheme = find(key).ok_or(io::ErrorKind::NotFound)?;
    let name = format!("/{entry}");
    let place = scheme.object(name.as_bytes());
    let path = place.ok().and_then(|place| scheme.view_path(&place).ok());
    Ok(CString::new(path.ok_or(io::ErrorKind::InvalidInput)?)?)
}

fn view(shmfs: &Shmfs, key: &str) -> io::Result<OwnedFd> {
    directory(&shmfs.dir.join(".shmfs/views").join(key))
}

/// The same object by its names in the tree and in a view of one mount.
fn beside_the_tree(context: &mut Context) -> io::Result<()> {
    let shmfs = context.place.shmfs("views", "view=netbsd,view=openbsd")?;
    let tree = directory(&shmfs.dir)?;
    let names = [c"object".to_owned(), c"new".to_owned()];
    create(&tree, &names[0])?;
    for key in ["netbsd", "openbsd"] {
        let view = view(&shmfs, key)?;
        let theirs = [name_in(key, "object")?, name_in(key, "new")?];
        pin_shmfs()?;
        let subjects: [Subject<'_>; 2] = [&|_| three(&view, &theirs[..1], &theirs[1]), &|_| {
            three(&tree, &names[..1], &names[1])
        }];
        let samples = interleave(0, context.rounds(20), FIGURES.len(), &subjects)?;
        for (figure, call) in FIGURES.into_iter().enumerate() {
            let what = format!("{call}, by {key}'s name");
            let of = "the tree's";
            let limit = Some(1.3);
            report(context, &samples, figure, &Line { what, of, limit });
        }
    }
    Ok(())
}

/// The tree of a mount with views that nobody has used, and then with one that is open, beside a mount without.
fn unused(context: &mut Context) -> io::Result<()> {
    let with = context.place.shmfs("unused", "view=netbsd,view=openbsd")?;
    let without = context.place.shmfs("no-views", "")?;
    let trees = [directory(&with.dir)?, directory(&without.dir)?];
    let (old, new) = ([c"object".to_owned()], c"new".to_owned());
    trees.iter().try_for_each(|tree| create(tree, &old[0]))?;
    pin_shmfs()?;
    for (of_what, limit) in [("views unused", Some(1.1)), ("views in use", None)] {
        let subjects: [Subject<'_>; 2] = [&|_| three(&trees[0], &old, &new), &|_| {
            three(&trees[1], &old, &new)
        }];
        let samples = interleave(0, context.rounds(40), FIGURES.len(), &subjects)?;
        for (figure, call) in FIGURES.into_iter().enumerate() {
            let what = format!("{call} in the tree, {of_what}");
            let of = "without";
            report(context, &samples, figure, &Line { what, of, limit });
        }
        // The next round has them open.
        stat(&view(&with, "openbsd")?, &name_in("openbsd", "object")?)?;
    }
    Ok(())
}

/// A hundred thousand objects: by digest in a view, by name with a view of digests, and without any view.
fn many(context: &mut Context) -> io::Result<()> {
    let entry = |at: usize| format!("object-{at:07}");
    let plain = names(OBJECTS, entry)?;
    let digests: Vec<CString> = (0..OBJECTS)
        .map(|at| name_in("openbsd", &entry(at)))
        .collect::<io::Result<_>>()?;
    let options = "nr_inodes=200000,view=openbsd";
    let hashed = context.place.shmfs("hashed", options)?;
    let named = context.place.shmfs("named", options)?;
    let bare = context.place.shmfs("plain", "nr_inodes=200000")?;
    let views = [view(&hashed, "openbsd")?, view(&named, "openbsd")?];
    let trees = [directory(&named.dir)?, directory(&bare.dir)?];
    pin_shmfs()?;
    sys::pin(0)?;
    let filled = [
        ("by digest", fill(&views[0], &digests)?),
        ("by name, view open", fill(&trees[0], &plain)?),
        ("by name, no view", fill(&trees[1], &plain)?),
    ];
    report_filled(context, &filled);
    lookups(context, &views, &digests)?;
    let in_view = |shmfs: &Shmfs| shmfs.dir.join(".shmfs/views/openbsd");
    listings(context, [&in_view(&hashed), &in_view(&named), &bare.dir])
}

fn report_filled(context: &Context, filled: &[(&str, Filled)]) {
    let [.., (_, without)] = filled else {
        return;
    };
    for (how, one) in filled {
        context.report.row(&Row {
            what: &format!("create {OBJECTS}, {how}"),
            ours: Some(one.create),
            measured: format!("{:.2} × without", one.create / without.create),
            ..Row::default()
        });
        let bytes = format!("{:.0} bytes of shmfs each", one.bytes);
        context.report.note(&bytes);
    }
}

/// Digests among many, in the view where they wait and in the one where each has a name, beside one alone.
fn lookups(context: &Context, views: &[OwnedFd; 2], digests: &[CString]) -> io::Result<()> {
    let small = context.place.shmfs("small", "view=openbsd")?;
    create(&directory(&small.dir)?, &c"object".to_owned())?;
    let alone = view(&small, "openbsd")?;
    let digest = name_in("openbsd", "object")?;
    pin_shmfs()?;
    let one = |_| {
        sys::pin(0)?;
        Ok(vec![time_each(LOOKUPS, |_| stat(&alone, &digest))?])
    };
    for (view, which) in views.iter().zip(["unclaimed", "of a name"]) {
        let far = |round: usize, at: usize| (round * LOOKUPS + at) * 7919 % OBJECTS;
        let many = |round: usize| {
            sys::pin(0)?;
            let ask = |at| stat(view, &digests[far(round, at)]);
            Ok(vec![time_each(LOOKUPS, ask)?])
        };
        let subjects: [Subject<'_>; 2] = [&many, &one];
        let samples = interleave(0, context.rounds(12), 1, &subjects)?;
        let line = Line {
            what: format!("stat of a digest among {OBJECTS}, {which}"),
            of: "one alone",
            limit: Some(1.3),
        };
        report(context, &samples, 0, &line);
    }
    Ok(())
}

fn listings(context: &Context, directories: [&Path; 3]) -> io::Result<()> {
    let read = |at: usize| {
        sys::pin(0)?;
        list(directories[at], OBJECTS)
    };
    let subjects: [Subject<'_>; 3] = [&|_| read(0), &|_| read(1), &|_| read(2)];
    let samples = interleave(0, LISTINGS, 1, &subjects)?;
    for (at, which) in ["unclaimed", "of names"].into_iter().enumerate() {
        context.report.row(&Row {
            what: &format!("readdir of {OBJECTS} digests, {which}"),
            ours: Some(samples.median(at, 0)),
            measured: times(samples.ratio((at, 0), (2, 0)), "names without"),
            ..Row::default()
        });
    }
    Ok(())
}
