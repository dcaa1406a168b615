//! From TOML to drafts of exports: types, keys, patterns and permissions.

use std::path::PathBuf;

use toml::de::{DeTable, DeValue};

use super::config::Unmatched;
use super::pattern::Pattern;
use super::problem::Code;
use super::report::Report;
use super::rights::Rights;
use super::rules::{Key, Rule, Verb};
use super::values::{Value, array, boolean, directory, number, string, unmatched, wrong_type};

/// Longer than anybody types; it leaves room where the name is part of another.
const MAX_NAME: usize = 200;

const KEYS: &str = "read, write, semaphores, hide, rule, unmatched, private, keep, sticky, size, nr_inodes, view, to";

/// One export as it is written.
pub(super) struct Draft {
    pub(super) name: String,
    /// Where it begins in the file.
    pub(super) at: usize,
    pub(super) rules: Vec<Rule>,
    /// Some grant is written, though it may be wrong.
    pub(super) has_grants: bool,
    /// Keys that a private export cannot have, and where they are.
    pub(super) of_rules: Vec<(&'static str, usize)>,
    /// Where `keep` is.
    pub(super) keep_at: Option<usize>,
    pub(super) private: bool,
    pub(super) keep: bool,
    pub(super) unmatched: Unmatched,
    pub(super) semaphores: bool,
    pub(super) sticky: bool,
    pub(super) view: Option<String>,
    pub(super) size: Option<u64>,
    pub(super) nr_inodes: Option<u64>,
    pub(super) to: Option<PathBuf>,
}

/// All exports of a file, in its order.
pub(super) fn document(table: &DeTable<'_>, report: &mut Report<'_>) -> Vec<Draft> {
    let mut found = Vec::new();
    for (key, value) in table {
        if key.get_ref() != "export" {
            report.error(
                Code::UnknownKey,
                key.span().start,
                format!("{:?} is no key of the file", key.get_ref()),
                "All is below [export.NAME].",
            );
            continue;
        }
        let DeValue::Table(exports) = value.get_ref() else {
            wrong_type(report, value, "a table", "Write [export.NAME].");
            continue;
        };
        for (name, value) in exports {
            found.push((name, value));
        }
    }
    found.sort_by_key(|(name, _)| name.span().start);
    let drafts = found
        .into_iter()
        .filter_map(|(name, value)| export(name.get_ref(), name.span().start, value, report));
    drafts.collect()
}

fn export(name: &str, at: usize, value: &Value<'_>, report: &mut Report<'_>) -> Option<Draft> {
    report.enter(name);
    check_name(name, at, report);
    let DeValue::Table(table) = value.get_ref() else {
        let instead = format!("Write [export.{name}] and the keys below it.");
        wrong_type(report, value, "a table", &instead);
        return None;
    };
    let mut draft = Draft {
        name: name.to_owned(),
        at,
        rules: Vec::new(),
        has_grants: false,
        of_rules: Vec::new(),
        keep_at: None,
        private: false,
        keep: false,
        unmatched: Unmatched::Hidden,
        semaphores: false,
        sticky: true,
        view: None,
        size: None,
        nr_inodes: None,
        to: None,
    };
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        report.at_key(key.get_ref());
        field(&mut draft, key.get_ref(), key.span().start, value, report);
    }
    report.no_key();
    Some(draft)
}

fn check_name(name: &str, at: usize, report: &mut Report<'_>) {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '+' | '@');
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if !(starts_well && name.chars().all(is_plain) && name.len() <= MAX_NAME) {
        report.error(
            Code::Name,
            at,
            "it cannot be called so",
            format!("Use letters, digits and _ - . + @ only, a letter or a digit first, and at most {MAX_NAME} of them."),
        );
    }
}

fn field(draft: &mut Draft, key: &str, at: usize, value: &Value<'_>, report: &mut Report<'_>) {
    if rule_field(draft, key, at, value, report) {
        return;
    }
    match key {
        "private" => match boolean(value, report) {
            Some(answer) => draft.private = answer,
            // Something was meant.
            None => draft.has_grants = true,
        },
        "keep" => {
            draft.keep = boolean(value, report).unwrap_or_default();
            draft.keep_at = Some(at);
        }
        "sticky" => draft.sticky = boolean(value, report).unwrap_or(true),
        "size" => draft.size = number(value, true, report),
        "nr_inodes" => draft.nr_inodes = number(value, false, report),
        "view" => draft.view = string(value, "the key of a scheme, such as \"musl\"", report),
        "to" => draft.to = directory(value, report),
        other => {
            report.no_key();
            let what = format!("there is no key {other:?}");
            report.error(Code::UnknownKey, at, what, format!("There are {KEYS}."));
        }
    }
}

/// A key that a private export cannot have; says whether it is one.
fn rule_field(
    draft: &mut Draft,
    key: &str,
    at: usize,
    value: &Value<'_>,
    report: &mut Report<'_>,
) -> bool {
    let all = Verb::Grant(Rights::ALL);
    let (word, grants) = match key {
        "read" => {
            let verb = Verb::Grant(Rights::READ);
            patterns(draft, Key::Read, verb, value, report);
            ("read", true)
        }
        "write" => {
            patterns(draft, Key::Write, all, value, report);
            ("write", true)
        }
        "semaphores" => {
            draft.semaphores = has_elements(value);
            patterns(draft, Key::Semaphores, all, value, report);
            ("semaphores", true)
        }
        "hide" => {
            patterns(draft, Key::Hide, Verb::Hide, value, report);
            ("hide", false)
        }
        "rule" => {
            rules(draft, value, report);
            ("rule", true)
        }
        "unmatched" => {
            draft.unmatched = unmatched(value, report);
            ("unmatched", false)
        }
        _ => return false,
    };
    draft.of_rules.push((word, at));
    draft.has_grants |= grants && has_elements(value);
    true
}

/// Whether a list has something in it. What is no list has been meant to have.
fn has_elements(value: &Value<'_>) -> bool {
    match value.get_ref() {
        DeValue::Array(array) => !array.is_empty(),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => true,
    }
}

fn patterns(draft: &mut Draft, key: Key, verb: Verb, value: &Value<'_>, report: &mut Report<'_>) {
    for element in array(value, report).into_iter().flatten() {
        draft.rules.extend(rule(key, verb, element, report));
    }
}

fn rule(key: Key, verb: Verb, value: &Value<'_>, report: &mut Report<'_>) -> Option<Rule> {
    let DeValue::String(text) = value.get_ref() else {
        wrong_type(
            report,
            value,
            "a string",
            "Write a name or a pattern in quotes.",
        );
        return None;
    };
    let start = value.span().start;
    let pattern = match key {
        Key::Semaphores => semaphore(text, start, report)?,
        Key::Read | Key::Write | Key::Hide | Key::Rule => parse(text, text, start, report)?,
    };
    let (line, column) = report.place(start);
    Some(Rule {
        text: text.to_string(),
        pattern,
        verb,
        key,
        line,
        column,
        offset: start,
    })
}

/// A pattern as it is written, and as it is meant.
fn parse(written: &str, meant: &str, start: usize, report: &mut Report<'_>) -> Option<Pattern> {
    let faults = match Pattern::parse(meant) {
        Ok(pattern) => return Some(pattern),
        Err(faults) => faults,
    };
    let added = meant.len() - written.len();
    for fault in faults {
        let within = fault.offset.saturating_sub(added);
        let at = report.within(start, written, within);
        report.error(
            fault.code,
            at,
            format!("{written:?} {}", fault.what),
            fault.instead,
        );
    }
    None
}

fn semaphore(text: &str, start: usize, report: &mut Report<'_>) -> Option<Pattern> {
    // What is wrong with the name by itself is told of the name.
    parse(text, text, start, report)?;
    if text.contains('/') {
        report.error(
            Code::Syntax,
            start,
            format!("{text:?} has a slash"),
            "A semaphore is a file in the root: write its name as sem_open gets it, without the slash.",
        );
        return None;
    }
    if text.starts_with("sem.") {
        report.warning(
            Code::Semaphore,
            start,
            format!("{text:?} stands for the file \"sem.{text}\""),
            "Write the name as sem_open gets it: \"sem.\" is put before it.",
        );
    }
    parse(text, &format!("sem.{text}"), start, report)
}

fn rules(draft: &mut Draft, value: &Value<'_>, report: &mut Report<'_>) {
    let DeValue::Array(tables) = value.get_ref() else {
        let instead = format!("Write [[export.{}.rule]] with two brackets.", draft.name);
        return wrong_type(report, value, "a list of tables", &instead);
    };
    for table in tables {
        report.at_key("rule");
        let DeValue::Table(fields) = table.get_ref() else {
            let instead = "Write {path = \"name\", permissions = [\"read\"]}.";
            wrong_type(report, table, "a table", instead);
            continue;
        };
        one_rule(draft, fields, table.span().start, report);
    }
}

fn one_rule(draft: &mut Draft, fields: &DeTable<'_>, at: usize, report: &mut Report<'_>) {
    let mut rights = Some(Rights::READ | Rights::WRITE);
    let mut path = None;
    let mut entries: Vec<_> = fields.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in entries {
        match key.get_ref().as_ref() {
            "path" => path = Some(value),
            "permissions" => {
                report.at_key("rule.permissions");
                rights = permissions(value, report);
            }
            other => {
                report.at_key("rule");
                let what = format!("there is no key {other:?} in a rule");
                let instead = "There are path and permissions.";
                report.error(Code::UnknownKey, key.span().start, what, instead);
            }
        }
    }
    report.at_key("rule");
    let Some(path) = path else {
        return no_path(at, report);
    };
    report.at_key("rule.path");
    let kept = draft.rules.len();
    paths(draft, Verb::Grant(rights.unwrap_or_default()), path, report);
    // Its patterns have been looked at, and it contradicts nothing.
    if rights.is_none() {
        draft.rules.truncate(kept);
    }
}

/// The patterns of a rule.
fn paths(draft: &mut Draft, verb: Verb, path: &Value<'_>, report: &mut Report<'_>) {
    match path.get_ref() {
        DeValue::String(_) => draft.rules.extend(rule(Key::Rule, verb, path, report)),
        DeValue::Array(paths) if paths.is_empty() => no_path(path.span().start, report),
        DeValue::Array(_) => patterns(draft, Key::Rule, verb, path, report),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Table(_) => {
            let instead = "Write path = \"name\" or path = [\"name\", \"pattern_*\"].";
            wrong_type(report, path, "a string or a list of strings", instead);
        }
    }
}

fn no_path(at: usize, report: &mut Report<'_>) {
    report.error(
        Code::NoPath,
        at,
        "a rule has no path",
        "Write path = \"name\" or path = [\"name\", \"pattern_*\"].",
    );
}

const PERMISSIONS: &str = "The permissions are read, write, create and delete.";

/// `None` where something is wrong with them; told.
fn permissions(value: &Value<'_>, report: &mut Report<'_>) -> Option<Rights> {
    let words = array(value, report)?;
    let at = value.span().start;
    if words.is_empty() {
        let instead = format!("{PERMISSIONS} To hide names use hide.");
        report.error(Code::Permission, at, "there is no permission", instead);
        return None;
    }
    let mut rights = Some(Rights::NONE);
    for word in words {
        let so_far = rights.unwrap_or_default();
        let right = permission(word, so_far, report);
        rights = rights.zip(right).map(|(one, other)| one | other);
    }
    let rights = rights?;
    if rights.contains(Rights::CREATE) && rights.access().is_empty() {
        report.error(
            Code::CreateAlone,
            at,
            "create is without read and write: an object that is made could be neither opened nor seen",
            format!("Write [\"write\", {}].", quoted(rights)),
        );
    }
    Some(rights)
}

fn permission(word: &Value<'_>, others: Rights, report: &mut Report<'_>) -> Option<Rights> {
    let at = word.span().start;
    let DeValue::String(text) = word.get_ref() else {
        wrong_type(report, word, "a string", PERMISSIONS);
        return None;
    };
    let right = Rights::of_word(text);
    match right {
        None => {
            let what = format!("there is no permission {text:?}");
            report.error(Code::Permission, at, what, PERMISSIONS);
        }
        Some(right) if others.contains(right) => {
            let what = format!("{text:?} is there twice");
            report.error(Code::Permission, at, what, "Write it once.");
        }
        Some(_) => {}
    }
    right
}

fn quoted(rights: Rights) -> String {
    let words = Rights::EACH
        .into_iter()
        .filter(|right| rights.contains(*right));
    let words: Vec<String> = words.map(|right| format!("{:?}", right.word())).collect();
    words.join(", ")
}
