//! Contradictions within an export, told when it is loaded: no surprise is left for run time.

use std::collections::HashMap;

use super::config::Unmatched;
use super::pattern::Pattern;
use super::problem::Code;
use super::read::{Draft, Report};

/// Looks for all of them.
pub(super) fn draft(draft: &Draft, report: &mut Report<'_>) {
    report.enter(&draft.name);
    emptiness(draft, report);
    exclusive(draft, report);
    duplicates(draft, report);
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

fn duplicates(draft: &Draft, report: &mut Report<'_>) {
    let mut first: HashMap<&Pattern, usize> = HashMap::new();
    for (at, rule) in draft.rules.iter().enumerate() {
        let Some(earlier) = first.insert(&rule.pattern, at) else {
            continue;
        };
        first.insert(&rule.pattern, earlier);
        let earlier = &draft.rules[earlier];
        report.at_key(rule.key.word());
        report.error(
            Code::Duplicate,
            report.offset(rule.line, rule.column),
            format!(
                "{:?} stands in {} on line {} already",
                rule.text,
                earlier.key.word(),
                earlier.line
            ),
            "Write it once, with all the rights that it is to have.",
        );
    }
}
