//! Configurations and patterns of exports: no text panics, and rules match as a naive matcher says.

#![no_main]

use libfuzzer_sys::arbitrary::{self, Arbitrary};
use libfuzzer_sys::fuzz_target;
use shmfs::export::{Exports, Pattern, Rights};

#[path = "../../tests/rules/oracle.rs"]
mod oracle;

/// Signs of which patterns are made; the oracle tries everything, so they are short.
const SIGNS: &[&str] = &[
    "a", "b", "c", ".", "-", "*", "*", "?", "[", "]", "!", "^", "{", ",", "}", "/", "/", "\\", "é",
    "0", "9", "+", "**", "**/",
];
const BYTES: &[u8] = b"aaabbbc.-*?[]{},!^\\09+\xc3\xa9\xff\n//";
const MAX_SIGNS: usize = 20;
const MAX_BYTES: usize = 16;

#[derive(Arbitrary, Debug)]
enum Input<'a> {
    /// A file.
    Text(&'a str),
    /// Rules and paths.
    Rules {
        rules: Vec<(u8, Vec<u8>)>,
        paths: Vec<Vec<u8>>,
    },
}

fuzz_target!(|input: Input<'_>| match input {
    Input::Text(text) => text_only(text),
    Input::Rules { rules, paths } => matching(&rules, &paths),
});

fn text_only(text: &str) {
    match Exports::parse(text, "x") {
        Ok((exports, warnings)) => {
            for export in &exports {
                drop(export.rules.explain(text.as_bytes(), true));
            }
            drop(format!("{warnings:?}"));
        }
        Err(problems) => {
            assert!(!problems.errors.is_empty());
            for error in &problems.errors {
                assert!(error.line > 0 && error.column > 0 && !error.what.is_empty());
            }
            drop(problems.to_string());
        }
    }
}

/// A rule: what it grants, or `None` where it hides.
type Rule = (String, Option<Rights>);

fn matching(rules: &[(u8, Vec<u8>)], paths: &[Vec<u8>]) {
    let rules: Vec<Rule> = rules.iter().take(8).filter_map(rule).collect();
    let Ok((exports, _)) = Exports::parse(&configuration(&rules), "x") else {
        return;
    };
    let Some(found) = exports.get("a") else {
        return;
    };
    for path in paths.iter().take(8) {
        let path = self::path(path);
        if path.is_empty() {
            continue;
        }
        let found = &found.rules;
        assert_eq!(
            found.of_file(&path),
            of_file(&rules, &path),
            "{rules:?} {path:?}"
        );
        assert_eq!(
            found.of_directory(&path),
            of_directory(&rules, &path),
            "{rules:?} {path:?}/"
        );
        assert_eq!(
            found.leads(&path),
            leads(&rules, &path),
            "{rules:?} above {path:?}"
        );
    }
}

fn rule((bits, signs): &(u8, Vec<u8>)) -> Option<Rule> {
    let signs = signs.iter().take(MAX_SIGNS);
    let text: String = signs
        .map(|sign| SIGNS[usize::from(*sign) % SIGNS.len()])
        .collect();
    Pattern::parse(&text).ok()?;
    let rights = Rights::from_bits(*bits);
    let is_alone = rights.contains(Rights::CREATE) && rights.access().is_empty();
    let verb = match rights.is_empty() || is_alone {
        true => None,
        false => Some(rights),
    };
    Some((text, verb))
}

fn path(bytes: &[u8]) -> Vec<u8> {
    let bytes = bytes.iter().take(MAX_BYTES);
    let bytes: Vec<u8> = bytes
        .map(|byte| BYTES[usize::from(*byte) % BYTES.len()])
        .collect();
    let names = bytes
        .split(|byte| *byte == b'/')
        .filter(|name| !name.is_empty());
    names.collect::<Vec<_>>().join(&b'/')
}

fn configuration(rules: &[Rule]) -> String {
    let hidden = rules.iter().filter(|(_, verb)| verb.is_none());
    let hidden: Vec<String> = hidden.map(|(text, _)| format!("'{text}'")).collect();
    let mut out = format!("[export.a]\nhide = [{}]\n", hidden.join(","));
    for (text, verb) in rules {
        let Some(rights) = verb else { continue };
        let words = Rights::EACH.iter().filter(|right| rights.contains(**right));
        let words: Vec<String> = words.map(|right| format!("'{}'", right.word())).collect();
        let words = words.join(",");
        out.push_str(&format!(
            "[[export.a.rule]]\npath = '{text}'\npermissions = [{words}]\n"
        ));
    }
    out
}

fn granted(rules: &[Rule], matches: impl Fn(&str) -> bool) -> Rights {
    let granted = rules
        .iter()
        .filter(|(text, _)| matches(text))
        .filter_map(|(_, verb)| *verb);
    granted.fold(Rights::NONE, Rights::union)
}

fn hides(rules: &[Rule], matches: impl Fn(&str) -> bool) -> bool {
    rules
        .iter()
        .any(|(text, verb)| verb.is_none() && matches(text))
}

fn hides_directory(rules: &[Rule], path: &[u8]) -> bool {
    let mut ends = (1..=path.len()).filter(|&end| end == path.len() || path[end] == b'/');
    ends.any(|end| hides(rules, |text| oracle::matches_directory(text, &path[..end])))
}

fn of_file(rules: &[Rule], path: &[u8]) -> Rights {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    let above = slash.is_some_and(|slash| hides_directory(rules, &path[..slash]));
    match above || hides(rules, |text| oracle::matches_file(text, path)) {
        true => Rights::NONE,
        false => granted(rules, |text| oracle::matches_file(text, path)),
    }
}

fn of_directory(rules: &[Rule], path: &[u8]) -> Rights {
    match hides_directory(rules, path) {
        true => Rights::NONE,
        false => granted(rules, |text| oracle::matches_directory(text, path)),
    }
}

fn leads(rules: &[Rule], path: &[u8]) -> bool {
    !granted(rules, |text| oracle::leads(text, path)).is_empty() && !hides_directory(rules, path)
}
