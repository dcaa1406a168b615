//! Contradictions within an export, told when it is loaded: no surprise is left for run time.

use std::collections::HashMap;

use super::config::Unmatched;
use super::pattern::Pattern;
use super::problem::Code;
use super::read::Draft;
use super::report::Report;
use super::rights::Rights;
use super::rules::{Finder, Key, Rule, Rules, Verb};

/// For so many contradictions the other rule is looked up and named.
const NAMED: usize = 100;
/// Pairs of patterns that are compared at most, where only a warning depends on it.
const MAX_PAIRS: usize = 1 << 20;

/// What is seen without matching anything.
pub(super) fn draft(draft: &Draft, report: &mut Report<'_>) {
    report.enter(&draft.name);
    emptiness(draft, report);
    exclusive(draft, report);
    effects(draft, report);
    duplicates(&draft.rules, report);
    report.no_key();
}

/// What rules do to each other.
pub(super) fn rules(name: &str, rules: &Rules, report: &mut Report<'_>) {
    report.enter(name);
    literals(rules, report);
    for rule in rules.all() {
        alone(rule, report);
    }
    overlaps(rules.all(), report);
    files_only(rules.all(), report);
    report.no_key();
}

fn emptiness(draft: &Draft, report: &mut Report<'_>) {
    if draft.private || draft.has_grants || report.is_torn {
        return;
    }
    let instead = match draft.unmatched {
        Unmatched::Hidden => "Write read, write, semaphores or a rule, or private = true.",
        Unmatched::Private => "Write private = true for a tree of the consumer's own.",
    };
    report.error(Code::Empty, draft.at, "it grants nothing", instead);
}

fn exclusive(draft: &Draft, report: &mut Report<'_>) {
    if !draft.private {
        return;
    }
    for (key, at) in &draft.of_rules {
        report.at_key(key);
        report.error(
            Code::PrivateExclusive,
            *at,
            "a private export is empty and has no rules",
            format!("Leave {key} out, or write unmatched = \"private\" instead of private = true."),
        );
    }
}

fn effects(draft: &Draft, report: &mut Report<'_>) {
    let has_layer = draft.private || draft.semaphores || draft.unmatched == Unmatched::Private;
    if let (true, false, Some(at)) = (draft.keep, has_layer, draft.keep_at) {
        report.at_key("keep");
        report.warning(
            Code::NoEffect,
            at,
            "nothing in this export is the consumer's own",
            "It is for private = true, unmatched = \"private\" and semaphores.",
        );
    }
}

fn duplicates(rules: &[Rule], report: &mut Report<'_>) {
    let mut first: HashMap<&Pattern, &Rule> = HashMap::new();
    for rule in rules {
        let earlier = *first.entry(&rule.pattern).or_insert(rule);
        if std::ptr::eq(earlier, rule) {
            continue;
        }
        report.at_key(rule.key.word());
        report.error(
            Code::Duplicate,
            rule.offset,
            format!("{:?} is {} already", rule.text, place(earlier)),
            "Write it once, with all the rights that it is to have.",
        );
    }
}

/// Where another rule is.
fn place(rule: &Rule) -> String {
    format!("in {} on line {}", rule.key.word(), rule.line)
}

fn literals(rules: &Rules, report: &mut Report<'_>) {
    let mut finder = Naming::default();
    for rule in rules.all() {
        let (Verb::Grant(own), Some(path)) = (rule.verb, rule.pattern.literal()) else {
            continue;
        };
        report.at_key(rule.key.word());
        let is_directory = rule.pattern.is_directory();
        if rules.is_hidden(&path, is_directory) {
            let culprit = finder.name(rules, &path, is_directory, |other| other.verb == Verb::Hide);
            let what = format!("{:?} is hidden by {culprit}", rule.text);
            let instead = "Leave it out, or narrow what hide has.";
            report.error(Code::DeadRule, rule.offset, what, instead);
        }
        let wider = rules.granted_by_globs(&path, is_directory);
        if !own.contains(wider) {
            let is_wider = |other: &Rule| {
                other.pattern.literal().is_none()
                    && matches!(other.verb, Verb::Grant(rights) if !own.contains(rights))
            };
            let culprit = finder.name(rules, &path, is_directory, is_wider);
            let what = format!(
                "{:?} has {own} here and {wider} by {culprit}: rights add up",
                rule.text
            );
            let instead = "Narrow the pattern, or give the name all rights that the pattern gives.";
            report.error(Code::Shadowed, rule.offset, what, instead);
        } else if own == wider {
            let culprit = finder.name(rules, &path, is_directory, |other| {
                other.pattern.literal().is_none() && matches!(other.verb, Verb::Grant(_))
            });
            let what = format!("{:?} has the same rights by {culprit}", rule.text);
            report.warning(Code::Covered, rule.offset, what, "It can be left out.");
        }
    }
}

/// Finds the rule to name in a message; not for ever, where a file is wrong all over.
#[derive(Default)]
struct Naming<'a> {
    finder: Option<Finder<'a>>,
    named: usize,
}

impl<'a> Naming<'a> {
    fn name(
        &mut self,
        rules: &'a Rules,
        path: &[u8],
        is_directory: bool,
        is_it: impl Fn(&Rule) -> bool,
    ) -> String {
        self.named += 1;
        if self.named > NAMED {
            return "a wider pattern".to_owned();
        }
        let finder = self.finder.get_or_insert_with(|| Finder::new(rules.all()));
        let findings = finder.find(path, is_directory);
        let found = findings.iter().find(|finding| is_it(finding.rule));
        found.map_or_else(
            || "several patterns".to_owned(),
            |finding| format!("{:?} {}", finding.rule.text, place(finding.rule)),
        )
    }
}

fn alone(rule: &Rule, report: &mut Report<'_>) {
    let Verb::Grant(rights) = rule.verb else {
        return;
    };
    report.at_key(rule.key.word());
    if rule.pattern.is_everything() {
        report.warning(
            Code::Everything,
            rule.offset,
            format!("{:?} grants {rights} on everything", rule.text),
            "Name what the consumer needs; for semaphores there is the key semaphores.",
        );
    }
    let is_semaphore = rule.pattern.literal_prefix().starts_with(b"sem.");
    if is_semaphore && !rights.contains(Rights::READ | Rights::WRITE) {
        report.warning(
            Code::Semaphore,
            rule.offset,
            format!(
                "{:?} grants {rights}, and sem_open always opens for reading and writing",
                rule.text
            ),
            "Give read and write, or use semaphores.",
        );
    }
}

/// A pattern with wildcards that grants, as far as it matters for overlaps.
struct Glob<'a> {
    prefix: Vec<u8>,
    rights: Rights,
    rule: &'a Rule,
}

impl Glob<'_> {
    /// Both can match one path, as far as their kinds and depths tell.
    fn may_meet(&self, other: &Glob<'_>) -> bool {
        let (one, two) = (&self.rule.pattern, &other.rule.pattern);
        let kinds = one.matches_files() && two.matches_files()
            || one.matches_directories() && two.matches_directories();
        let depths = match (one.depth(), two.depth()) {
            (Some(one), Some(two)) => one == two,
            (Some(_), None) | (None, Some(_)) | (None, None) => true,
        };
        kinds && depths
    }

    fn is_like(&self, other: &Glob<'_>) -> bool {
        let (one, two) = (&self.rule.pattern, &other.rule.pattern);
        self.prefix == other.prefix
            && self.rights == other.rights
            && one.matches_files() == two.matches_files()
            && one.matches_directories() == two.matches_directories()
            && one.depth() == two.depth()
    }
}

/// Whether two patterns have a name in common cannot be told cheaply; that one's fixed beginning starts the other's can.
fn overlaps(rules: &[Rule], report: &mut Report<'_>) {
    let mut globs: Vec<Glob<'_>> = rules.iter().filter_map(glob).collect();
    globs.sort_by(|one, two| one.prefix.cmp(&two.prefix));
    // The patterns whose beginning starts the present one's, each kind once; behind it what it meets.
    let mut open: Vec<(&Glob<'_>, Vec<&Glob<'_>>)> = Vec::new();
    for glob in &globs {
        while let Some((last, _)) = open.last() {
            if glob.prefix.starts_with(&last.prefix) {
                break;
            }
            tell_overlap(open.pop(), report);
        }
        let different = open
            .iter_mut()
            .rev()
            .find(|(wide, _)| wide.rights != glob.rights && wide.may_meet(glob));
        if let Some((_, met)) = different {
            met.push(glob);
        }
        if !open.iter().rev().any(|(wide, _)| wide.is_like(glob)) {
            open.push((glob, Vec::new()));
        }
    }
    while !open.is_empty() {
        tell_overlap(open.pop(), report);
    }
}

fn glob(rule: &Rule) -> Option<Glob<'_>> {
    let Verb::Grant(rights) = rule.verb else {
        return None;
    };
    rule.pattern.literal().is_none().then(|| Glob {
        prefix: rule.pattern.literal_prefix(),
        rights,
        rule,
    })
}

fn tell_overlap(open: Option<(&Glob<'_>, Vec<&Glob<'_>>)>, report: &mut Report<'_>) {
    let Some((wide, met)) = open else { return };
    let Some(first) = met.first() else { return };
    let others = match met.len() {
        1 => String::new(),
        more => format!(" and {} more", more - 1),
    };
    report.at_key(wide.rule.key.word());
    report.warning(
        Code::Overlap,
        wide.rule.offset,
        format!(
            "{:?} has {} and may match names of {:?} {}{others}, which has {}",
            wide.rule.text,
            wide.rights,
            first.rule.text,
            place(first.rule),
            first.rights
        ),
        "A name that both match has the rights of both.",
    );
}

/// A pattern in `hide` without a slash at its end leaves directories of that name where they are.
fn files_only(rules: &[Rule], report: &mut Report<'_>) {
    let trees: Vec<&Rule> = rules
        .iter()
        .filter(|rule| matches!(rule.verb, Verb::Grant(_)))
        .filter(|rule| rule.pattern.matches_directories() || rule.pattern.depth() != Some(1))
        .collect();
    let hidden: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.verb == Verb::Hide && !rule.pattern.matches_directories())
        .collect();
    if rules.len().saturating_mul(hidden.len()) > MAX_PAIRS {
        return;
    }
    report.at_key(Key::Hide.word());
    let is_directory_of = |one: &Rule, other: &Rule| {
        one.verb == Verb::Hide && one.pattern.is_directory_of(&other.pattern)
    };
    for rule in hidden {
        let shown = trees.iter().find(|tree| may_show(tree, rule));
        let has_twin = rules.iter().any(|other| is_directory_of(other, rule));
        if let (Some(tree), false) = (shown, has_twin) {
            let what = format!(
                "{:?} hides files only, and {:?} {} may show directories of such names",
                rule.text,
                tree.text,
                place(tree)
            );
            let instead = format!(
                "Write \"{}/\" as well to hide a directory and all below it.",
                rule.text
            );
            report.warning(Code::FilesOnly, rule.offset, what, instead);
        }
    }
}

/// Whether a rule may let directories be seen that are called as the files that another one hides.
fn may_show(tree: &Rule, hide: &Rule) -> bool {
    let (tree, hide) = (&tree.pattern, &hide.pattern);
    let is_deeper = tree.depth().is_none() || tree.depth() > hide.depth();
    let (one, other) = (tree.literal_prefix(), hide.literal_prefix());
    (tree.matches_directories() || is_deeper)
        && (one.starts_with(&other) || other.starts_with(&one))
}
