//! Random rules, and random calls by a consumer and its provider: the model decides.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use shmfs::export::Exports;

use crate::calls::{Call, Descriptor};
use crate::consumer::{Crew, Order};
use crate::model::{
    Actor, Expect, Kind, Other, Presence, Rights, Rules, Situation, Tree, Way, Who, answer, verdict,
};
use crate::rng::Rng;
use crate::rules::{cases, random_rules, seed};
use crate::sys::{self, E, ENOENT, ENOTDIR, ESTALE, R};
use crate::world::World;

const NAMES: [&str; 4] = ["a", "b", "ab", ".a"];

/// Steps of one rule set.
const STEPS: usize = 40;

/// Calls from which they are chosen.
const POOL: usize = 300;

fn random_path(rng: &mut Rng) -> String {
    let depth = 1 + rng.below(5) / 3;
    let parts: Vec<&str> = (0..depth).map(|_| rng.pick(&NAMES)).collect();
    parts.join("/")
}

/// More makes than removes, or nothing would ever be there.
fn random_call(rng: &mut Rng) -> Call {
    use libc::*;
    rng.pick(&[
        Call::Open(O_CREAT | O_RDWR),
        Call::Open(O_CREAT | O_RDONLY),
        Call::Open(O_CREAT | O_WRONLY),
        Call::Open(O_CREAT | O_EXCL | O_RDWR),
        Call::Open(O_CREAT | O_RDWR),
        Call::Open(O_RDWR | O_TRUNC),
        Call::Open(O_RDONLY),
        Call::Open(O_RDONLY | O_TRUNC),
        Call::By(O_WRONLY, Descriptor::Write),
        Call::By(O_RDWR, Descriptor::Ftruncate),
        Call::Truncate,
        Call::Stat,
        Call::ListXattr,
        Call::Unlink,
        Call::Rmdir,
        Call::Mkdir,
        Call::Mkdir,
        Call::Mkdir,
        Call::Link,
        Call::Link,
        Call::Link,
        Call::Rename(0),
        Call::Rename(0),
        Call::Rename(RENAME_NOREPLACE),
        Call::Rename(RENAME_EXCHANGE),
    ])
}

fn random_orders(rng: &mut Rng, count: usize) -> Vec<Order> {
    let order = |_| Order {
        call: random_call(rng),
        name: random_path(rng),
        target: random_path(rng),
    };
    (0..count).map(order).collect()
}

/// What the provider does first, so that something is there.
fn first_orders() -> Vec<Order> {
    let create = Call::Open(libc::O_CREAT | libc::O_RDWR);
    let order = |(call, name): (Call, &str)| Order {
        call,
        name: name.to_owned(),
        target: String::new(),
    };
    let first = [
        (create, "a"),
        (Call::By(libc::O_WRONLY, Descriptor::Write), "a"),
        (create, "b"),
        (Call::Mkdir, "ab"),
        (create, "ab/a"),
        (create, "ab/b"),
    ];
    first.into_iter().map(order).collect()
}

/// Rule sets that the program accepts, each an export of one mount.
fn accepted(rng: &mut Rng, count: usize) -> Vec<Rules> {
    let mut all = Vec::new();
    while all.len() < count {
        let mut rules = match rng.below(2) {
            0 => random_rules(rng),
            _ => each_name_its_own(rng),
        };
        // Something simple too, or hardly anything would be granted.
        let more = rng.pick(&["a", "b", "*", "a/", "a/*", "*/", "**"]);
        rules = rules.grant(more, crate::rules::random_rights(rng));
        if Exports::parse(&rules.toml("x"), "random").is_ok() {
            all.push(rules);
        }
    }
    all
}

/// Names next to each other with different rights: what links and renames could win.
fn each_name_its_own(rng: &mut Rng) -> Rules {
    let names = ["a", "b", ".a", "ab/", "ab/a", "ab/b", "b/", "a/", "b/a"];
    let mut rules = Rules::default();
    for name in names {
        rules = rules.grant(name, crate::rules::random_rights(rng));
    }
    rules
}

fn world_of(way: Way, all: &[Rules]) -> World {
    let exports = all.iter().enumerate();
    let config = exports.map(|(number, rules)| rules.toml(&format!("r{number}")));
    World::new(way, &config.collect::<String>())
}

/// The model knows a tmpfs, where a provider is alone.
pub(crate) fn the_provider_on_a_tmpfs() {
    in_turns(Way::Plain);
}

/// One call after another, each answer and each state compared.
pub(crate) fn one_call_after_another_passthrough() {
    in_turns(Way::Passthrough);
}

pub(crate) fn one_call_after_another_page_cache() {
    in_turns(Way::PageCache);
}

fn in_turns(way: Way) {
    let seed = seed();
    let mut rng = Rng::new(seed);
    let all = accepted(&mut rng, cases(40));
    let world = world_of(way, &all);
    let mut met = Met::new();
    for (number, rules) in all.iter().enumerate() {
        let export = world.export(&format!("r{number}"));
        let mut orders = first_orders();
        let first = orders.len();
        orders.extend(random_orders(&mut rng, POOL));
        let provider = Crew::new(Who::User, &world.tree(), &orders);
        let consumer = Crew::new(Who::User, &export, &orders);
        let mut run = Run {
            world: &world,
            export: &export,
            rules,
            tree: Tree::default(),
            said: Vec::new(),
        };
        for step in 0..first + STEPS {
            let by_provider = way == Way::Plain || step < first || rng.below(4) == 0;
            let (actor, crew) = match by_provider {
                true => (Actor::Provider, &provider),
                false => (Actor::Consumer, &consumer),
            };
            let at = match step < first {
                true => step,
                false => run.choose(actor, &orders, &mut met, &mut rng),
            };
            if let Err(complaint) = run.step(actor, &orders[at], crew.make(at)) {
                panic!(
                    "SHMFS_SEED={seed}, export r{number}, {way:?}: {complaint}\n{}",
                    run.tell()
                );
            }
        }
        drop((provider, consumer));
        crate::cases::empty(&world.tree());
    }
    world.stop();
}

/// How often a kind of call was answered for a reason.
type Met = HashMap<(std::mem::Discriminant<Call>, &'static str), usize>;

struct Run<'a> {
    world: &'a World,
    export: &'a Path,
    rules: &'a Rules,
    tree: Tree,
    said: Vec<String>,
}

impl Run<'_> {
    fn tell(&self) -> String {
        format!("{}\n{}", self.rules.toml("x"), self.said.join("\n"))
    }

    /// Of some calls the one whose answer has a reason that was met least so far.
    fn choose(&self, actor: Actor, orders: &[Order], met: &mut Met, rng: &mut Rng) -> usize {
        let some: Vec<usize> = (0..24).map(|_| rng.below(orders.len())).collect();
        let reason = |at: usize| {
            let kind = std::mem::discriminant(&orders[at].call);
            (kind, self.expect(actor, &orders[at]).why)
        };
        let count = |at: &usize| met.get(&reason(*at)).copied().unwrap_or(0);
        let at = some.iter().copied().min_by_key(count).expect("some calls");
        *met.entry(reason(at)).or_insert(0) += 1;
        at
    }

    fn expect(&self, actor: Actor, order: &Order) -> Expect {
        let Order { call, name, target } = order;
        let way = self.world.way;
        self.tree
            .expect(actor, self.rules, way, *call, name, target)
    }

    fn step(&mut self, actor: Actor, order: &Order, got: R) -> Result<(), String> {
        let Order { call, name, target } = order;
        self.said.push(format!(
            "{actor:?} {call:?} {name} {target}: {}",
            answer(&got)
        ));
        let way = self.world.way;
        let expected = self.expect(actor, order);
        if !expected.any.contains(&got) {
            return Err(format!("expected {expected}, got {}", answer(&got)));
        }
        if got.is_ok() {
            self.tree.apply(*call, name, target);
        }
        self.compare(Actor::Provider, &self.world.tree())?;
        match way {
            Way::Plain => Ok(()),
            Way::Passthrough | Way::PageCache => self.compare(Actor::Consumer, self.export),
        }
    }

    /// Names, kinds and contents as this actor finds them.
    fn compare(&self, actor: Actor, directory: &Path) -> Result<(), String> {
        let expected = self.tree.listing(actor, self.rules);
        let mut found = Vec::new();
        walk(directory, "", &mut found);
        found.sort();
        if found != expected {
            return Err(format!(
                "{actor:?} sees {found:?}\n    and not {expected:?}"
            ));
        }
        for (path, kind) in &expected {
            let rights = match actor {
                Actor::Provider => Rights::ALL,
                Actor::Consumer => self.rules.rights(path.as_bytes(), *kind),
            };
            if *kind == Kind::File && rights.has(Rights::READ) {
                let (got, wanted) = (sys::slurp(directory.join(path)), self.tree.contents(path));
                if got != wanted {
                    return Err(format!(
                        "{actor:?} reads {got:?} in {path} and not {wanted:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

fn walk(root: &Path, below: &str, found: &mut Vec<(String, Kind)>) {
    let entries = match std::fs::read_dir(root.join(below)) {
        Ok(entries) => entries,
        // What is shown need not be listed.
        Err(error) if error.raw_os_error() == Some(libc::EACCES) && !below.is_empty() => return,
        Err(error) => panic!("list {below:?} of {}: {error}", root.display()),
    };
    for entry in entries {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().unwrap();
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if entry.file_type().unwrap().is_dir() {
            found.push((path.clone(), Kind::Directory));
            walk(root, &path, found);
        } else {
            found.push((path, Kind::File));
        }
    }
}

/// Both at once: every answer is one that some state of the tree explains, and nothing is
/// listed that no state shows.
pub(crate) fn both_at_once_passthrough() {
    at_once(Way::Passthrough);
}

pub(crate) fn both_at_once_page_cache() {
    at_once(Way::PageCache);
}

fn at_once(way: Way) {
    let seed = seed();
    let mut rng = Rng::new(seed ^ 1);
    let all = accepted(&mut rng, cases(12));
    let world = world_of(way, &all);
    for (number, rules) in all.iter().enumerate() {
        let export = world.export(&format!("r{number}"));
        let orders = random_orders(&mut rng, 250);
        let consumer = Crew::new(Who::User, &export, &orders);
        let work = random_orders(&mut rng, 100);
        let tree = world.tree();
        let mut provider = crate::proc::spawn(|| {
            crate::consumer::become_consumer(Who::User);
            for order in work.iter().cycle() {
                let _ = order.call.run(&tree, &order.name, &order.target);
            }
        });
        for (at, order) in orders.iter().enumerate() {
            let got = consumer.make(at);
            let allowed = possible(rules, way, order);
            assert!(
                allowed.contains(&answer(&got)) || got == Err(ESTALE),
                "SHMFS_SEED={seed}, export r{number}, {way:?}: {order:?} answers {}, \
                 which no state of the tree explains: {allowed:?}\n{}",
                answer(&got),
                rules.toml("x")
            );
            let shown = sys::ls(&export);
            let never = shown.iter().find(|name| {
                let kinds = [Kind::File, Kind::Directory];
                !kinds.iter().any(|kind| rules.shows(name.as_bytes(), *kind))
            });
            assert_eq!(
                never,
                None,
                "SHMFS_SEED={seed}: listed\n{}",
                rules.toml("x")
            );
        }
        provider.kill(libc::SIGKILL);
        let _ = provider.end(crate::consumer::PATIENCE);
        drop(consumer);
        crate::cases::empty(&tree);
    }
    world.stop();
}

/// Every answer that the model gives for this call, whatever is there, and wherever the
/// directory of a name has been moved to meanwhile.
fn possible(rules: &Rules, way: Way, order: &Order) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    let kinds: &[Kind] = match order.call {
        Call::Mkdir => &[Kind::Directory],
        Call::Rename(_) => &[Kind::File, Kind::Directory],
        _ => &[Kind::File],
    };
    for wanted in kinds {
        for name in states(rules, &order.name, *wanted) {
            for target in states(rules, &order.target, *wanted) {
                let who = Who::User;
                let situation = Situation {
                    who,
                    way,
                    name,
                    target,
                };
                let expected = verdict(order.call, &situation);
                all.extend(expected.any.iter().map(answer));
                if !order.call.has_target() {
                    break;
                }
            }
        }
    }
    let more: &[E] = match order.call {
        // The shape of the tree, and what is in a directory.
        Call::Rename(_) | Call::Rmdir => &[
            sys::ENOTEMPTY,
            sys::EINVAL,
            sys::EXDEV,
            sys::EACCES,
            sys::EISDIR,
            sys::EEXIST,
        ],
        // Into a directory that was removed meanwhile.
        Call::Link => &[sys::EEXIST, sys::EXDEV],
        _ => &[],
    };
    // The kernel found one thing, and the operation another.
    let more = more.iter().chain(&[ENOENT, ENOTDIR]);
    all.extend(more.map(|errno| answer(&Err(*errno))));
    if let Call::Rename(_) = order.call {
        // Two names of one object: nothing is done.
        all.insert("OK".to_owned());
    }
    all
}

/// What may be there, under each name that its directory can come to have.
fn states(rules: &Rules, path: &str, wanted: Kind) -> BTreeSet<Other> {
    let mut paths = vec![path.to_owned()];
    if let Some((_, last)) = path.rsplit_once('/') {
        for above in NAMES {
            paths.push(format!("{above}/{last}"));
            paths.extend(NAMES.iter().map(|top| format!("{top}/{above}/{last}")));
        }
    }
    let state = |path: &String, presence, kind| Other {
        rights: rules.rights(path.as_bytes(), kind),
        presence,
        leads: kind == Kind::Directory && rules.leads(path.as_bytes()),
    };
    let of = |path: &String| {
        [
            state(path, Presence::Absent, wanted),
            state(path, Presence::File, Kind::File),
            state(path, Presence::Directory, Kind::Directory),
        ]
    };
    paths.iter().flat_map(of).collect()
}
