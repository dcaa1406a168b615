//! The decision table: every operation, with every set of rights, on what is and is not there.

mod calls;

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::calls::{Call, Descriptor, SEED, XATTR};
use crate::consumer::{Crew, Order};
use crate::model::{Expect, Other, Presence, Rights, Rules, Situation, Way, Who, answer, verdict};
use crate::sys::{self, R, Stat};
use crate::world::{USER, World};

/// Differences that a failure shows; the rest is counted.
const SHOWN: usize = 30;

/// What a name's rights are called in it, and what they are.
fn classes() -> Vec<(String, Rights)> {
    let granted = Rights::every().map(|rights| (rights.to_string(), rights));
    let hidden = [("none", Rights::NONE), ("hide", Rights::NONE)];
    let hidden = hidden.map(|(word, rights)| (word.to_owned(), rights));
    granted.chain(hidden).collect()
}

/// `a-rw` and `a-rw/` are granted read and write, and so on; `a-hide` matches a grant and is
/// hidden, `a-none` matches nothing.
fn rules() -> Rules {
    let mut rules = Rules::default().grant(SEED, Rights::ALL);
    for rights in Rights::every() {
        for side in ["a", "b"] {
            rules = rules.grant(&format!("{side}-{rights}"), rights);
            rules = rules.grant(&format!("{side}-{rights}/"), rights);
        }
    }
    let rules = rules
        .grant("?-hid*", Rights::ALL)
        .grant("?-hid*/", Rights::ALL);
    rules.hide("?-hide").hide("?-hide/")
}

/// One line of the table.
struct Line {
    order: Order,
    situation: Situation,
}

impl Line {
    fn new(call: Call, who: Who, way: Way, a: &Named, b: &Named) -> Line {
        Line {
            order: Order {
                call,
                name: format!("a-{}", a.word),
                target: format!("b-{}", b.word),
            },
            situation: Situation {
                who,
                way,
                name: a.other,
                target: b.other,
            },
        }
    }
}

/// A name with the word of its class.
struct Named {
    word: String,
    other: Other,
}

fn named(word: &str, rights: Rights, presence: Presence) -> Named {
    Named {
        word: word.to_owned(),
        other: Other {
            rights,
            presence,
            leads: false,
        },
    }
}

/// On a tmpfs there is one class, with all rights; nothing there is hidden.
fn classes_of(way: Way) -> Vec<(String, Rights)> {
    match way {
        Way::Plain => vec![("rwcd".to_owned(), Rights::ALL)],
        Way::Passthrough | Way::PageCache => classes(),
    }
}

fn presences_of(way: Way) -> &'static [Presence] {
    use Presence::*;
    match way {
        Way::Plain => &[Absent, File, Directory],
        Way::Passthrough | Way::PageCache => &[Absent, File, Directory, Special],
    }
}

/// All lines with one name.
fn singles(who: Who, way: Way) -> Vec<Line> {
    let mut lines = Vec::new();
    let nothing = named("none", Rights::NONE, Presence::Absent);
    for (word, rights) in classes_of(way) {
        for presence in presences_of(way) {
            let a = named(&word, rights, *presence);
            let mut calls = calls::by_name();
            if *presence == Presence::File && rights.visible() {
                calls.extend(calls::by_descriptor());
            }
            // What changes something comes last: the object is made once for all before.
            calls.sort_by_key(|call| matches!(call, Call::Unlink | Call::Rmdir));
            lines.extend(
                calls
                    .into_iter()
                    .map(|call| Line::new(call, who, way, &a, &nothing)),
            );
        }
    }
    lines
}

/// All lines with two names: all rights with all for files, some with some for all else.
fn doubles(who: Who, way: Way) -> Vec<Line> {
    use Presence::*;
    let (noreplace, exchange) = (libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE);
    let few = [Call::Link, Call::Rename(0), Call::Rename(exchange)];
    let more = [
        Call::LinkPath,
        Call::Rename(noreplace),
        Call::Rename(libc::RENAME_WHITEOUT),
        Call::Rename(noreplace | exchange),
    ];
    let mut lines = Vec::new();
    for (from, from_rights) in classes_of(way) {
        for (to, to_rights) in classes_of(way) {
            let mut add = |calls: &[Call], from_is: &[Presence], to_is: &[Presence]| {
                for (call, source, target) in every(calls, from_is, to_is) {
                    let a = named(&from, from_rights, source);
                    let b = named(&to, to_rights, target);
                    lines.push(Line::new(call, who, way, &a, &b));
                }
            };
            let is_usual = |word: &String| USUAL.contains(&word.as_str());
            let (usual, here) = (is_usual(&from) && is_usual(&to), presences_of(way));
            add(&few, &[File], &[Absent, File]);
            if usual {
                add(&few, &[File], &here[2..]);
                add(&few, &[Absent, Directory], here);
                add(&more, &[File, Directory], here);
            }
        }
    }
    lines
}

/// The rights that are tried with everything.
const USUAL: [&str; 6] = ["none", "r", "rw", "rwcd", "rcd", "wd"];

fn every(calls: &[Call], a: &[Presence], b: &[Presence]) -> Vec<(Call, Presence, Presence)> {
    let mut all = Vec::new();
    for call in calls {
        for source in a {
            all.extend(b.iter().map(|target| (*call, *source, *target)));
        }
    }
    all
}

/// The provider's side: puts objects where a line wants them.
struct Provider {
    tree: PathBuf,
    /// What it saw last, as long as nothing was changed since.
    known: HashMap<String, Option<Stat>>,
}

impl Provider {
    /// Makes the name what it is to be, unless it is that already.
    fn place(&mut self, name: &str, wanted: Presence) {
        let path = self.tree.join(name);
        if let Some(seen) = self.known.get(name) {
            if presence(seen.as_ref()) == wanted {
                return;
            }
        }
        match presence(sys::lstat(&path).ok().as_ref()) {
            Presence::Absent => {}
            Presence::Directory => sys::rmdir(&path).expect("remove a directory"),
            Presence::File | Presence::Special => sys::unlink(&path).expect("remove a file"),
        }
        self.make(&path, wanted);
        self.known.insert(name.to_owned(), self.look(name));
    }

    fn make(&self, path: &Path, wanted: Presence) {
        match wanted {
            Presence::Absent => return,
            Presence::File => drop(sys::put(path, CONTENTS)),
            Presence::Directory => sys::mkdir(path, 0o777).expect("make a directory"),
            Presence::Special => sys::mknod(path, libc::S_IFIFO | 0o666, 0).expect("make a FIFO"),
        }
        if wanted != Presence::Special {
            sys::setxattr(path, XATTR, b"v", 0).expect("give an attribute");
        }
        sys::chown(path, USER, USER).expect("chown");
        let mode = if wanted == Presence::Directory {
            0o777
        } else {
            0o666
        };
        sys::chmod(path, mode).expect("chmod");
    }

    /// All that a refused operation must leave alone.
    fn look(&self, name: &str) -> Option<Stat> {
        let mut seen = sys::lstat(self.tree.join(name)).ok()?;
        seen.atime = (0, 0);
        Some(seen)
    }

    /// What is there after a call, and whether that is what was there before.
    fn is_changed(&mut self, name: &str, got: R, was: &Other) -> bool {
        let after = self.look(name);
        let changed = self.known.get(name) != Some(&after);
        // What may not be written has what the provider wrote.
        let is_old = presence(after.as_ref()) == Presence::File && was.presence == Presence::File;
        if is_old && !was.rights.has(Rights::WRITE) {
            assert_eq!(sys::slurp(self.tree.join(name)), CONTENTS, "{name}");
        }
        if changed || got.is_ok() {
            self.known.remove(name);
        }
        changed
    }
}

fn presence(seen: Option<&Stat>) -> Presence {
    match seen.map(Stat::kind) {
        None => Presence::Absent,
        Some(libc::S_IFREG) => Presence::File,
        Some(libc::S_IFDIR) => Presence::Directory,
        Some(_) => Presence::Special,
    }
}

const CONTENTS: &[u8] = b"the provider wrote this";

/// What is wrong with one line.
fn try_line(provider: &mut Provider, crew: &Crew, number: usize, line: &Line) -> Verdict {
    let Line { order, situation } = line;
    provider.place(SEED, Presence::File);
    provider.place(&order.name, situation.name.presence);
    let has_target = order.call.has_target();
    if has_target {
        provider.place(&order.target, situation.target.presence);
    }
    let got = crew.make(number);
    let mut changed = provider.is_changed(&order.name, got, &situation.name);
    if has_target {
        // Not short-circuited: it also takes note.
        changed |= provider.is_changed(&order.target, got, &situation.target);
    }
    if matches!(order.call, Call::By(_, Descriptor::CopyFrom)) && got.is_ok() {
        provider.known.remove(SEED);
    }
    let expected = verdict(order.call, situation);
    let complaint = if !expected.any.contains(&got) {
        Some(format!("got {}", answer(&got)))
    } else if got.is_err() && changed {
        Some(format!("got {}, but something was changed", answer(&got)))
    } else {
        None
    };
    Verdict {
        complaint: complaint.map(|text| describe(line, &expected, &text)),
        got,
    }
}

struct Verdict {
    complaint: Option<String>,
    got: R,
}

fn describe(line: &Line, expected: &Expect, complaint: &str) -> String {
    let Line { order, situation } = line;
    let one = |name: &str, other: &Other| {
        format!("{name} (rights {}): {:?}", other.rights, other.presence)
    };
    let mut objects = one(&order.name, &situation.name);
    if order.call.has_target() {
        objects += &format!(", {}", one(&order.target, &situation.target));
    }
    format!(
        "as {:?}, {:?}: {:?} on {objects}\n    expected {expected}\n    {complaint}",
        situation.who, situation.way, order.call
    )
}

/// Runs lines one after another; fails with all that differ.
fn run(who: Who, way: Way, lines: &[Line]) {
    let world = World::new(way, &rules().toml("table"));
    let export = world.export("table");
    let orders: Vec<Order> = lines.iter().map(|line| line.order.clone()).collect();
    let crew = Crew::new(who, &export, &orders);
    let mut provider = Provider {
        tree: world.tree(),
        known: HashMap::new(),
    };
    let (mut text, mut wrong) = (String::new(), 0);
    let mut answers = Answers::default();
    for (number, line) in lines.iter().enumerate() {
        let verdict = try_line(&mut provider, &crew, number, line);
        let oracle = answers.differs(line, verdict.got);
        for complaint in verdict.complaint.into_iter().chain(oracle) {
            wrong += 1;
            if wrong <= SHOWN {
                writeln!(text, "{complaint}").unwrap();
            }
        }
    }
    drop(crew);
    let rules = "(rules: each name grants what it is called after its dash; none, hide: nothing)";
    assert!(
        wrong == 0,
        "{wrong} of {} lines differ {rules}\n{text}",
        lines.len()
    );
    world.stop();
}

/// What was answered where nothing is to be seen: it must not depend on what is there.
#[derive(Default)]
struct Answers(Vec<(Order, Other, R)>);

impl Answers {
    /// Says so if another presence of the same name had another answer.
    fn differs(&mut self, line: &Line, got: R) -> Option<String> {
        let Line { order, situation } = line;
        if situation.name.rights != Rights::NONE || order.call.has_target() {
            return None;
        }
        let same = |other: &Order| other.name == order.name && other.call == order.call;
        let Some((_, first, answer)) = self.0.iter().find(|(other, ..)| same(other)) else {
            self.0.push((order.clone(), situation.name, got));
            return None;
        };
        (*answer != got).then(|| {
            format!(
                "{:?} on {} tells what is there: {answer:?} with {:?}, {got:?} with {:?}",
                order.call, order.name, first.presence, situation.name.presence
            )
        })
    }
}

macro_rules! tables {
    ($($name:ident = $lines:ident($who:ident, $way:ident);)*) => {
        $(pub(crate) fn $name() {
            run(Who::$who, Way::$way, &$lines(Who::$who, Way::$way));
        })*
    };
}

tables! {
    one_name_on_a_tmpfs_as_a_user = singles(User, Plain);
    one_name_on_a_tmpfs_as_root = singles(Root, Plain);
    two_names_on_a_tmpfs_as_a_user = doubles(User, Plain);
    two_names_on_a_tmpfs_as_root = doubles(Root, Plain);
    one_name_passthrough_as_a_user = singles(User, Passthrough);
    one_name_passthrough_as_root = singles(Root, Passthrough);
    one_name_page_cache_as_a_user = singles(User, PageCache);
    one_name_page_cache_as_root = singles(Root, PageCache);
    two_names_passthrough_as_a_user = doubles(User, Passthrough);
    two_names_passthrough_as_root = doubles(Root, Passthrough);
    two_names_page_cache_as_a_user = doubles(User, PageCache);
    two_names_page_cache_as_root = doubles(Root, PageCache);
}
