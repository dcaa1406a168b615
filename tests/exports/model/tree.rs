//! A naive tree: what the provider and a consumer have made of it, and what each of them sees.

use std::collections::BTreeMap;

use super::{Expect, Kind, Other, Presence, Rights, Rules, Situation, Way, Who, verdict};
use crate::calls::{Call, Descriptor};
use crate::sys::{E, EACCES, EINVAL, ENOENT, ENOTDIR, ENOTEMPTY, EXDEV, R};

/// Whose call it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Actor {
    Provider,
    Consumer,
}

/// All names, and the contents of what they name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    /// Directories have no number.
    names: BTreeMap<String, Option<usize>>,
    contents: Vec<Vec<u8>>,
}

/// What consumers write.
const WRITTEN: &[u8] = b"consumer";

fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(above, _)| above)
}

impl Tree {
    pub(crate) fn kind(&self, path: &str) -> Option<Kind> {
        self.names.get(path).map(|object| match object {
            Some(_) => Kind::File,
            None => Kind::Directory,
        })
    }

    fn presence(&self, path: &str) -> Presence {
        match self.kind(path) {
            None => Presence::Absent,
            Some(Kind::File) => Presence::File,
            Some(Kind::Directory) => Presence::Directory,
        }
    }

    /// Names below a directory, at any depth.
    fn below(&self, path: &str) -> impl Iterator<Item = &String> {
        let prefix = format!("{path}/");
        self.names
            .keys()
            .filter(move |name| name.starts_with(&prefix))
    }

    /// All paths that this actor can find by listing, with their kinds.
    pub(crate) fn listing(&self, actor: Actor, rules: &Rules) -> Vec<(String, Kind)> {
        let found = self.names.keys().filter(|path| {
            let mut above = path.as_str();
            while let Some(directory) = parent(above) {
                if !is_listed(directory, actor, rules) {
                    return false;
                }
                above = directory;
            }
            actor == Actor::Provider || rules.shows(path.as_bytes(), self.kind(path).unwrap())
        });
        found
            .map(|path| (path.clone(), self.kind(path).unwrap()))
            .collect()
    }

    /// What is in a file.
    pub(crate) fn contents(&self, path: &str) -> &[u8] {
        &self.contents[self.names[path].expect("a file")]
    }

    /// What this call answers here.
    pub(crate) fn expect(
        &self,
        actor: Actor,
        rules: &Rules,
        way: Way,
        call: Call,
        a: &str,
        b: &str,
    ) -> Expect {
        if let Some(refusal) = self.way_to(a, actor, rules) {
            return refusal;
        }
        let source = self.kind(a).unwrap_or(wanted(call));
        let situation = Situation {
            who: Who::User,
            way: if actor == Actor::Provider {
                Way::Plain
            } else {
                way
            },
            name: self.other(a, source, actor, rules),
            target: self.other(b, self.kind(b).unwrap_or(source), actor, rules),
        };
        if !call.has_target() {
            let is_full = call == Call::Rmdir && self.below(a).next().is_some();
            let expected = verdict(call, &situation);
            return if is_full {
                or_not_empty(expected)
            } else {
                expected
            };
        }
        if let (Some(refusal), true) = (self.way_to(b, actor, rules), call == Call::Link) {
            let missing = situation.name.seen() == Presence::Absent;
            return if missing {
                verdict(call, &situation)
            } else {
                refusal
            };
        }
        if let Some(refusal) = self.way_to(b, actor, rules) {
            return refusal;
        }
        match call {
            Call::Rename(flags) => self.rename(flags, a, b, actor, rules, &situation),
            _ => verdict(call, &situation),
        }
    }

    /// Why the directory of a path is not reached.
    fn way_to(&self, path: &str, actor: Actor, rules: &Rules) -> Option<Expect> {
        let mut at = 0;
        while let Some(next) = path[at..].find('/') {
            let directory = &path[..at + next];
            let kind = self.kind(directory);
            let shown = |kind| actor == Actor::Provider || rules.shows(directory.as_bytes(), kind);
            let errno = match kind {
                Some(Kind::Directory) if shown(Kind::Directory) => None,
                Some(Kind::File) if shown(Kind::File) => Some(ENOTDIR),
                _ => Some(ENOENT),
            };
            if let Some(errno) = errno {
                return Some(expect(&[Err(errno)], "the way there"));
            }
            at += next + 1;
        }
        None
    }

    fn other(&self, path: &str, kind: Kind, actor: Actor, rules: &Rules) -> Other {
        let consumer = actor == Actor::Consumer;
        Other {
            rights: match consumer {
                true => rules.rights(path.as_bytes(), kind),
                false => Rights::ALL,
            },
            presence: self.presence(path),
            leads: consumer && kind == Kind::Directory && rules.leads(path.as_bytes()),
        }
    }

    fn rename(
        &self,
        flags: u32,
        a: &str,
        b: &str,
        actor: Actor,
        rules: &Rules,
        s: &Situation,
    ) -> Expect {
        let expected = verdict(Call::Rename(flags), s);
        let early = [ENOENT, crate::sys::EEXIST];
        if let [Err(errno)] = expected.any[..] {
            // What the kernel finds before it looks at the shape of the tree.
            if early.contains(&errno) {
                return expected;
            }
        }
        let exchange = flags & libc::RENAME_EXCHANGE != 0;
        if b.starts_with(&format!("{a}/")) {
            return expect(&[Err(EINVAL)], "the kernel: into itself");
        }
        if a.starts_with(&format!("{b}/")) {
            let errno = if exchange { EINVAL } else { ENOTEMPTY };
            return expect(&[Err(errno)], "the kernel: over what it is in");
        }
        let is_same = self.names[a].is_some() && self.names.get(b) == Some(&self.names[a]);
        if is_same || a == b {
            let mut either = expected;
            either.any.push(Ok(()));
            return either;
        }
        let is_consumer = actor == Actor::Consumer;
        if is_consumer && s.name.presence != s.target.presence && exchange {
            return expect(&EVERYTHING, "the specification does not say");
        }
        let is_directory = self.kind(a) == Some(Kind::Directory);
        let full = self.below(b).next().is_some() && !exchange && is_directory;
        let expected = if full {
            or_not_empty(expected)
        } else {
            expected
        };
        if !is_directory || actor == Actor::Provider {
            return expected;
        }
        let there = self.moved_rights(a, b, rules);
        let back = if exchange {
            self.moved_rights(b, a, rules)
        } else {
            Moved::Less
        };
        match there.max(back) {
            Moved::Less => expected,
            Moved::More => {
                let mut either = expected;
                either.any.extend([Ok(()), Err(EACCES), Err(EXDEV)]);
                either
            }
            Moved::Widened => {
                let mut refused = or(expected, EACCES);
                refused.any.retain(Result::is_err);
                or(refused, EXDEV)
            }
        }
    }

    /// What the objects in a directory would win if it went there.
    fn moved_rights(&self, from: &str, to: &str, rules: &Rules) -> Moved {
        let each = self.below(from).map(|path| {
            let kind = self.kind(path).unwrap();
            let there = format!("{to}{}", &path[from.len()..]);
            let before = rules.rights(path.as_bytes(), kind);
            let after = rules.rights(there.as_bytes(), kind);
            let appears =
                rules.shows(there.as_bytes(), kind) && !rules.shows(path.as_bytes(), kind);
            match after.widens(before) {
                true => Moved::Widened,
                false if appears || !before.has(after) => Moved::More,
                false => Moved::Less,
            }
        });
        each.max().unwrap_or(Moved::Less)
    }

    /// Does what was answered with success.
    pub(crate) fn apply(&mut self, call: Call, a: &str, b: &str) {
        let is_new = !self.names.contains_key(a);
        match call {
            Call::Open(flags) if flags & libc::O_CREAT != 0 && is_new => {
                self.contents.push(Vec::new());
                self.names
                    .insert(a.to_owned(), Some(self.contents.len() - 1));
            }
            Call::Open(flags) if flags & libc::O_TRUNC != 0 => self.file(a).clear(),
            Call::Truncate | Call::By(_, Descriptor::Ftruncate) => self.file(a).resize(3, 0),
            Call::By(_, Descriptor::Write) => {
                let file = self.file(a);
                file.resize(file.len().max(WRITTEN.len()), 0);
                file[..WRITTEN.len()].copy_from_slice(WRITTEN);
            }
            Call::Mkdir => drop(self.names.insert(a.to_owned(), None)),
            Call::Unlink | Call::Rmdir => drop(self.names.remove(a)),
            Call::Link => drop(self.names.insert(b.to_owned(), self.names[a])),
            Call::Rename(flags) => self.moved(flags & libc::RENAME_EXCHANGE != 0, a, b),
            _ => {}
        }
    }

    fn file(&mut self, path: &str) -> &mut Vec<u8> {
        &mut self.contents[self.names[path].expect("a file")]
    }

    fn moved(&mut self, exchange: bool, a: &str, b: &str) {
        let one = self.names[a];
        if a == b || (one.is_some() && self.names.get(b) == Some(&one)) {
            return;
        }
        let there = self.take(a);
        let back = self.take(b);
        self.put(b, there);
        if exchange {
            self.put(a, back);
        }
    }

    /// An object with all that is below it, by the rest of the path.
    fn take(&mut self, path: &str) -> Vec<(String, Option<usize>)> {
        let mut names: Vec<String> = self.below(path).cloned().collect();
        names.extend(self.names.contains_key(path).then(|| path.to_owned()));
        let taken = names.into_iter().map(|name| {
            let object = self.names.remove(&name).unwrap();
            (name[path.len()..].to_owned(), object)
        });
        taken.collect()
    }

    fn put(&mut self, path: &str, objects: Vec<(String, Option<usize>)>) {
        let named = objects.into_iter();
        self.names
            .extend(named.map(|(rest, object)| (format!("{path}{rest}"), object)));
    }
}

/// What the objects in a directory win by a move, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moved {
    Less,
    /// Something else than read or write.
    More,
    Widened,
}

/// Where two names are of different kinds, only what it leaves behind is looked at.
const EVERYTHING: [R; 3] = [Ok(()), Err(EACCES), Err(EXDEV)];

fn expect(any: &[R], why: &'static str) -> Expect {
    Expect {
        any: any.to_vec(),
        why,
    }
}

fn or(mut expected: Expect, errno: E) -> Expect {
    if !expected.any.contains(&Err(errno)) {
        expected.any.push(Err(errno));
    }
    expected
}

/// Where it is not empty, that is the answer, unless the rules refuse it anyway.
fn or_not_empty(mut expected: Expect) -> Expect {
    let is_kernels = |answer: &R| matches!(answer, Err(errno) if *errno != EACCES);
    if expected.any.iter().all(is_kernels) {
        return expected;
    }
    expected.any.retain(Result::is_err);
    or(expected, ENOTEMPTY)
}

/// The kind that a call makes where there is nothing.
fn wanted(call: Call) -> Kind {
    match call {
        Call::Mkdir => Kind::Directory,
        _ => Kind::File,
    }
}

fn is_listed(directory: &str, actor: Actor, rules: &Rules) -> bool {
    let path = directory.as_bytes();
    actor == Actor::Provider
        || rules.leads(path)
        || rules.rights(path, Kind::Directory).has(Rights::READ)
}
