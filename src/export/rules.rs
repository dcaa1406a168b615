//! The rules of one export, made ready for many names: linear in the name, whatever the patterns.
//!
//! Names without a wildcard are in hash tables. The others are one regular expression for each distinct set of rights,
//! run by an engine that never goes back in the name.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;

use regex::bytes::{Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use super::pattern::Pattern;
use super::rights::Rights;

/// Memory for the automaton of one expression. A configuration file is limited, and the automaton grows with it.
const SIZE_LIMIT: usize = 1 << 30;
/// Memory for the part of an automaton that is made while names are matched, for each thread.
const CACHE_LIMIT: usize = 8 << 20;
/// The nesting of an expression: groups, and one level for each component of a path.
const NEST_LIMIT: u32 = 1000;

/// The temporary names of sem_open: glibc, older glibc, musl.
const SCRATCH: [&str; 3] = ["sem.??????", "??????", "tmp-[0-9]*"];

/// Where a rule stands in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Key {
    /// `read = […]`
    Read,
    /// `write = […]`
    Write,
    /// `semaphores = […]`
    Semaphores,
    /// `hide = […]`
    Hide,
    /// `[[export.NAME.rule]]`
    Rule,
}

impl Key {
    /// The word in the configuration.
    pub fn word(self) -> &'static str {
        match self {
            Key::Read => "read",
            Key::Write => "write",
            Key::Semaphores => "semaphores",
            Key::Hide => "hide",
            Key::Rule => "rule",
        }
    }
}

/// What a rule does with the names that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// It adds these rights.
    Grant(Rights),
    /// It takes all rights away.
    Hide,
}

/// One pattern of the configuration and what it does.
#[derive(Clone, Debug)]
pub struct Rule {
    /// As it is written there.
    pub text: String,
    /// What matches; for `semaphores` with the `sem.` before it.
    pub pattern: Pattern,
    /// What it does.
    pub verb: Verb,
    /// Where it stands.
    pub key: Key,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    /// Its offset in the text.
    pub offset: usize,
}

/// The rules of one export.
pub struct Rules {
    rules: Vec<Rule>,
    files: Grants,
    directories: Grants,
    hidden_files: Set,
    /// Directories that are hidden with all below them.
    hidden_directories: Set,
    above: Set,
    scratch: Option<Regex>,
}

/// Rights by path.
#[derive(Default)]
struct Grants {
    literals: HashMap<Box<[u8]>, Rights>,
    globs: Vec<(Rights, Regex)>,
}

/// A set of paths.
#[derive(Default)]
struct Set {
    literals: HashSet<Box<[u8]>>,
    globs: Option<Regex>,
}

impl Rules {
    /// Prepares rules. It fails where they are too large together for an automaton.
    pub fn new(rules: Vec<Rule>, semaphores: bool) -> Result<Rules, regex::Error> {
        let granting = || {
            rules.iter().filter_map(|rule| match rule.verb {
                Verb::Grant(rights) => Some((rights, &rule.pattern)),
                Verb::Hide => None,
            })
        };
        let hiding = || {
            let hide = rules.iter().filter(|rule| rule.verb == Verb::Hide);
            hide.map(|rule| &rule.pattern)
        };
        let grants = granting();
        let files = Grants::new(grants.filter(|(_, pattern)| pattern.matches_files()))?;
        let grants = granting();
        let directories = Grants::new(grants.filter(|(_, pattern)| pattern.matches_directories()))?;
        let hidden_files = Set::new(hiding().filter(|pattern| pattern.matches_files()))?;
        let hidden_directories =
            Set::new(hiding().filter(|pattern| pattern.matches_directories()))?;
        let above = Set::above(granting().map(|(_, pattern)| pattern))?;
        let scratch = semaphores.then(scratch_names).transpose()?;
        Ok(Rules {
            files,
            directories,
            hidden_files,
            hidden_directories,
            above,
            scratch,
            rules,
        })
    }

    /// The rights of a regular file at this path: relative to the export's root, without a leading slash.
    pub fn of_file(&self, path: &[u8]) -> Rights {
        let rights = self.files.of(path);
        if rights.is_empty() || self.hides_file(path) {
            return Rights::NONE;
        }
        rights
    }

    /// The rights of a directory itself: by patterns that end in `/`, and by `**`.
    pub fn of_directory(&self, path: &[u8]) -> Rights {
        let rights = self.directories.of(path);
        if rights.is_empty() || self.hides_directory(path) {
            return Rights::NONE;
        }
        rights
    }

    /// Whether a directory is above something that may be granted, and not hidden: then it is visible. The root is.
    pub fn leads(&self, path: &[u8]) -> bool {
        path.is_empty() || (self.above.has(path) && !self.hides_directory(path))
    }

    /// Whether a name is spelt like a temporary of sem_open and `semaphores` is given; a name of the root, not a path.
    pub fn is_scratch(&self, name: &[u8]) -> bool {
        self.scratch
            .as_ref()
            .is_some_and(|scratch| scratch.is_match(name))
    }

    /// Whether no rule lets anything of this name be seen or made, as a file or as a directory.
    pub fn is_unmatched(&self, path: &[u8]) -> bool {
        self.of_file(path).is_empty() && self.of_directory(path).is_empty() && !self.leads(path)
    }

    /// All rules in the order of the file.
    pub fn all(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules that say something of a path, as a file or as a directory. For people: it takes its time.
    pub fn explain(&self, path: &[u8], is_directory: bool) -> Vec<Finding<'_>> {
        Finder::new(&self.rules).find(path, is_directory)
    }

    /// What patterns with wildcards grant, whatever is hidden.
    pub(super) fn granted_by_globs(&self, path: &[u8], is_directory: bool) -> Rights {
        match is_directory {
            true => self.directories.by_globs(path, Rights::NONE),
            false => self.files.by_globs(path, Rights::NONE),
        }
    }

    /// Whether `hide` takes a path away, or a directory above it.
    pub(super) fn is_hidden(&self, path: &[u8], is_directory: bool) -> bool {
        match is_directory {
            true => self.hides_directory(path),
            false => self.hides_file(path),
        }
    }

    fn hides_file(&self, path: &[u8]) -> bool {
        self.hidden_files.has(path) || parent(path).is_some_and(|above| self.hides_directory(above))
    }

    /// Whether a directory or one above it is hidden.
    fn hides_directory(&self, path: &[u8]) -> bool {
        if self.hidden_directories.is_empty() {
            return false;
        }
        let mut at = Some(path);
        while let Some(directory) = at {
            if self.hidden_directories.has(directory) {
                return true;
            }
            at = parent(directory);
        }
        false
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules")
            .field("rules", &self.rules.len())
            .finish_non_exhaustive()
    }
}

/// The directory that a path is in; `None` for a name in the root.
fn parent(path: &[u8]) -> Option<&[u8]> {
    let slash = path.iter().rposition(|&byte| byte == b'/')?;
    Some(&path[..slash])
}

impl Grants {
    fn new<'a>(
        grants: impl Iterator<Item = (Rights, &'a Pattern)>,
    ) -> Result<Grants, regex::Error> {
        let mut literals: HashMap<Box<[u8]>, Rights> = HashMap::new();
        let mut globs: BTreeMap<Rights, Vec<String>> = BTreeMap::new();
        for (rights, pattern) in grants {
            match pattern.literal() {
                Some(path) => {
                    let entry = literals.entry(path.into()).or_default();
                    *entry = *entry | rights;
                }
                None => globs.entry(rights).or_default().push(pattern.expression()),
            }
        }
        // The widest first: with all rights nothing is left to look for.
        let globs = globs.into_iter().rev();
        let globs = globs
            .map(|(rights, expressions)| Ok((rights, union(&expressions)?)))
            .collect::<Result<_, regex::Error>>()?;
        Ok(Grants { literals, globs })
    }

    fn of(&self, path: &[u8]) -> Rights {
        let rights = match self.literals.is_empty() {
            true => Rights::NONE,
            false => self.literals.get(path).copied().unwrap_or_default(),
        };
        self.by_globs(path, rights)
    }

    fn by_globs(&self, path: &[u8], mut rights: Rights) -> Rights {
        for (granted, expression) in &self.globs {
            if !rights.contains(*granted) && expression.is_match(path) {
                rights = rights | *granted;
            }
        }
        rights
    }
}

impl Set {
    fn new<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> Result<Set, regex::Error> {
        let mut set = Set::default();
        let mut expressions = Vec::new();
        for pattern in patterns {
            match pattern.literal() {
                Some(path) => {
                    set.literals.insert(path.into());
                }
                None => expressions.push(pattern.expression()),
            }
        }
        set.take(&expressions)
    }

    /// The directories above what the patterns match.
    fn above<'a>(patterns: impl Iterator<Item = &'a Pattern>) -> Result<Set, regex::Error> {
        let mut set = Set::default();
        let mut expressions = HashSet::new();
        for pattern in patterns {
            match pattern.literal() {
                Some(path) => {
                    let mut at = parent(&path);
                    while let Some(above) = at {
                        set.literals.insert(above.into());
                        at = parent(above);
                    }
                }
                None => expressions.extend(pattern.expression_above()),
            }
        }
        let mut expressions: Vec<String> = expressions.into_iter().collect();
        expressions.sort();
        set.take(&expressions)
    }

    fn take(mut self, expressions: &[String]) -> Result<Set, regex::Error> {
        if !expressions.is_empty() {
            self.globs = Some(union(expressions)?);
        }
        Ok(self)
    }

    fn is_empty(&self) -> bool {
        self.literals.is_empty() && self.globs.is_none()
    }

    fn has(&self, path: &[u8]) -> bool {
        (!self.literals.is_empty() && self.literals.contains(path))
            || self
                .globs
                .as_ref()
                .is_some_and(|expression| expression.is_match(path))
    }
}

/// Why a rule is about a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It matches the path.
    Matches,
    /// It hides this directory, which is above.
    HidesAbove(Vec<u8>),
    /// The path is a directory on the way to what it matches.
    Leads,
}

/// A rule that is about a path.
#[derive(Clone, Debug)]
pub struct Finding<'a> {
    /// The rule.
    pub rule: &'a Rule,
    /// Why.
    pub reason: Reason,
}

/// Says which rules match, where `Rules` says only what they come to.
pub(super) struct Finder<'a> {
    rules: &'a [Rule],
    matching: RegexSet,
    above: RegexSet,
}

impl<'a> Finder<'a> {
    pub(super) fn new(rules: &'a [Rule]) -> Finder<'a> {
        let matching = rules.iter().map(|rule| rule.pattern.expression());
        let above = rules.iter().map(|rule| {
            let above = rule.pattern.expression_above();
            // Nothing: no path has an empty component.
            above.unwrap_or_else(|| "//".to_owned())
        });
        Finder {
            rules,
            matching: each(matching),
            above: each(above),
        }
    }

    pub(super) fn find(&self, path: &[u8], is_directory: bool) -> Vec<Finding<'a>> {
        let mut findings = Vec::new();
        let mut add = |at: usize, reason| {
            findings.push((
                at,
                Finding {
                    rule: &self.rules[at],
                    reason,
                },
            ));
        };
        for at in self.matching.matches(path) {
            let pattern = &self.rules[at].pattern;
            let is_of_kind = match is_directory {
                true => pattern.matches_directories(),
                false => pattern.matches_files(),
            };
            if is_of_kind {
                add(at, Reason::Matches);
            }
        }
        let mut directory = parent(path);
        while let Some(above) = directory {
            for at in self.matching.matches(above) {
                let rule = &self.rules[at];
                if rule.verb == Verb::Hide && rule.pattern.matches_directories() {
                    add(at, Reason::HidesAbove(above.to_vec()));
                }
            }
            directory = parent(above);
        }
        for at in self.above.matches(path) {
            if is_directory && self.rules[at].verb != Verb::Hide {
                add(at, Reason::Leads);
            }
        }
        findings.sort_by_key(|(at, _)| *at);
        findings.into_iter().map(|(_, finding)| finding).collect()
    }
}

/// Each expression by itself. That of all together was built, so this one can be too.
fn each(expressions: impl Iterator<Item = String>) -> RegexSet {
    RegexSetBuilder::new(expressions.map(|expression| format!("^(?:{expression})$")))
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
        .unwrap_or_else(|_| RegexSet::empty())
}

fn scratch_names() -> Result<Regex, regex::Error> {
    let patterns = SCRATCH
        .iter()
        .filter_map(|text| Pattern::parse(text).ok())
        .map(|pattern| pattern.expression())
        .collect::<Vec<_>>();
    union(&patterns)
}

/// One expression for whole paths, of several.
fn union(expressions: &[String]) -> Result<Regex, regex::Error> {
    RegexBuilder::new(&format!("^(?:{})$", expressions.join("|")))
        .unicode(false)
        .size_limit(SIZE_LIMIT)
        .dfa_size_limit(CACHE_LIMIT)
        .nest_limit(NEST_LIMIT)
        .build()
}

#[cfg(test)]
mod tests {
    use crate::export::{Exports, Rights};

    #[test]
    fn files_directories_and_what_is_above() {
        let text = "[export.a]\nwrite = ['jack-[0-9]*/*/*', 'aeron-*/', 'aeron-*/**', 'x/y/z']\nhide = ['aeron-root/']\n";
        let (exports, _) = Exports::parse(text, "test").unwrap();
        let rules = &exports.get("a").unwrap().rules;
        assert_eq!(rules.of_file(b"jack-1000/default/jack_0"), Rights::ALL);
        assert_eq!(rules.of_file(b"jack-1000/note"), Rights::NONE);
        assert!(rules.leads(b"") && rules.leads(b"jack-1000") && rules.leads(b"jack-1/x"));
        assert!(!rules.leads(b"other") && !rules.leads(b"jack-1/x/y"));
        assert_eq!(rules.of_directory(b"aeron-u"), Rights::ALL);
        assert_eq!(rules.of_directory(b"aeron-u/a/b"), Rights::ALL);
        assert_eq!(rules.of_file(b"aeron-u"), Rights::NONE);
        assert_eq!(rules.of_file(b"aeron-root/cnc.dat"), Rights::NONE);
        assert!(!rules.leads(b"aeron-root") && rules.leads(b"aeron-u"));
        assert_eq!(rules.of_file(b"x/y/z"), Rights::ALL);
        assert!(rules.leads(b"x") && rules.leads(b"x/y") && !rules.leads(b"x/y/z"));
    }
}
