//! Random rules and names against the naive matcher.

use proptest::prelude::*;
use shmfs::export::{Code, Exports, Pattern, Rights};

use crate::oracle;

/// One component of a pattern; few letters, so that much matches.
fn glob() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => "[abc.]{1,2}",
        2 => Just("?".to_owned()),
        2 => Just("*".to_owned()),
        1 => Just("[ab]".to_owned()),
        1 => Just("[!a]".to_owned()),
        1 => Just("[^a-b]".to_owned()),
        1 => Just("[+-9]".to_owned()),
        1 => Just(r"[\]a-]".to_owned()),
        1 => Just(r"\*".to_owned()),
        1 => Just(r"\{".to_owned()),
        1 => Just("é".to_owned()),
    ];
    let group = prop::collection::vec(prop_oneof![piece.clone(), Just(String::new())], 2..4)
        .prop_map(|choices| format!("{{{}}}", choices.join(",")));
    let nested =
        (group.clone(), piece.clone()).prop_map(|(group, piece)| format!("{{{group},{piece}}}"));
    prop::collection::vec(prop_oneof![6 => piece, 1 => group, 1 => nested], 1..4)
        .prop_map(|pieces| pieces.concat())
}

fn pattern() -> impl Strategy<Value = String> {
    let component = prop_oneof![5 => glob(), 1 => Just("**".to_owned())];
    (
        prop::collection::vec(component, 1..4),
        prop::bool::weighted(0.25),
    )
        .prop_map(|(components, is_directory)| {
            let slash = if is_directory { "/" } else { "" };
            format!("{}{slash}", components.join("/"))
        })
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![
        8 => prop::sample::select(b"abc.".to_vec()),
        2 => prop::sample::select(b"*{[]-,0\n\\\xc3\xa9\xff ".to_vec()),
    ];
    let name = prop_oneof![
        1 => prop::collection::vec(byte, 1..5),
        1 => Just("é".as_bytes().to_vec()),
    ];
    prop::collection::vec(name, 1..4).prop_map(|names| names.join(&b'/'))
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Verb {
    Grant(Rights),
    Hide,
}

fn verb() -> impl Strategy<Value = Verb> {
    prop_oneof![
        3 => (1u8..16).prop_filter_map("create alone", |bits| {
            let rights = Rights::from_bits(bits);
            let is_sound = !rights.contains(Rights::CREATE) || !rights.access().is_empty();
            is_sound.then_some(Verb::Grant(rights))
        }),
        1 => Just(Verb::Hide),
    ]
}

/// What the words of the documentation say of a rule set.
struct Model<'a>(&'a [(String, Verb)]);

impl Model<'_> {
    fn rights(&self, matches: impl Fn(&str) -> bool) -> Rights {
        let granted = self.0.iter().filter_map(|(text, verb)| match verb {
            Verb::Grant(rights) if matches(text) => Some(*rights),
            Verb::Grant(_) | Verb::Hide => None,
        });
        granted.fold(Rights::NONE, Rights::union)
    }

    fn hides(&self, matches: impl Fn(&str) -> bool) -> bool {
        let mut all = self.0.iter();
        all.any(|(text, verb)| *verb == Verb::Hide && matches(text))
    }

    /// A directory is hidden, or one above it.
    fn hides_directory(&self, path: &[u8]) -> bool {
        let ends = (0..=path.len()).filter(|&end| end == path.len() || path[end] == b'/');
        let mut above = ends.map(|end| &path[..end]);
        above.any(|directory| self.hides(|text| oracle::matches_directory(text, directory)))
    }

    fn of_file(&self, path: &[u8]) -> Rights {
        let parent = path.iter().rposition(|&byte| byte == b'/');
        let is_hidden = self.hides(|text| oracle::matches_file(text, path))
            || parent.is_some_and(|slash| self.hides_directory(&path[..slash]));
        match is_hidden {
            true => Rights::NONE,
            false => self.rights(|text| oracle::matches_file(text, path)),
        }
    }

    fn of_directory(&self, path: &[u8]) -> Rights {
        match self.hides_directory(path) {
            true => Rights::NONE,
            false => self.rights(|text| oracle::matches_directory(text, path)),
        }
    }

    fn leads(&self, path: &[u8]) -> bool {
        let is_above = |(text, verb): &(String, Verb)| {
            matches!(verb, Verb::Grant(_)) && oracle::leads(text, path)
        };
        self.0.iter().any(is_above) && !self.hides_directory(path)
    }
}

fn configuration(rules: &[(String, Verb)]) -> String {
    let mut text = String::from("[export.a]\nhide = [");
    let hidden = rules.iter().filter(|(_, verb)| *verb == Verb::Hide);
    text.extend(hidden.map(|(pattern, _)| format!("'{pattern}',")));
    text.push_str("]\n");
    for (pattern, verb) in rules {
        let Verb::Grant(rights) = verb else { continue };
        let words = Rights::EACH.iter().filter(|right| rights.contains(**right));
        let words: Vec<String> = words.map(|right| format!("'{}'", right.word())).collect();
        let words = words.join(",");
        text.push_str(&format!(
            "[[export.a.rule]]\npath = '{pattern}'\npermissions = [{words}]\n"
        ));
    }
    text
}

/// Contradictions are refused, and nothing else of these: they have tests of their own, and another case is tried.
fn parsed(rules: &[(String, Verb)]) -> Result<Exports, TestCaseError> {
    let contradictions = [Code::Duplicate, Code::Shadowed, Code::DeadRule, Code::Empty];
    Exports::parse(&configuration(rules), "x")
        .map(|(exports, _)| exports)
        .map_err(|problems| {
            let mut errors = problems.errors.iter();
            match errors.all(|error| contradictions.contains(&error.code)) {
                true => TestCaseError::reject("a contradiction"),
                false => TestCaseError::fail(problems.to_string()),
            }
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn one_pattern_matches_as_its_words_say(
        pattern in pattern(),
        paths in prop::collection::vec(path(), 1..12),
    ) {
        let Ok((exports, _)) = Exports::parse(&configuration(&[(pattern.clone(), Verb::Grant(Rights::ALL))]), "x") else {
            // `.` and `..` as components, and two stars that met: told as such.
            prop_assert!(Pattern::parse(&pattern).is_err(), "{}", pattern);
            return Ok(());
        };
        let rules = &exports.get("a").unwrap().rules;
        for path in &paths {
            let shown = String::from_utf8_lossy(path);
            prop_assert_eq!(!rules.of_file(path).is_empty(), oracle::matches_file(&pattern, path), "{} {}", pattern, shown);
            prop_assert_eq!(!rules.of_directory(path).is_empty(), oracle::matches_directory(&pattern, path), "{} {}/", pattern, shown);
            prop_assert_eq!(rules.leads(path), oracle::leads(&pattern, path), "{} above {}", pattern, shown);
        }
    }

    #[test]
    fn rules_add_up_and_hide_wins(
        mut rules in prop::collection::vec((pattern(), verb()), 1..7),
        paths in prop::collection::vec(path(), 1..12),
    ) {
        rules.retain(|(text, _)| Pattern::parse(text).is_ok());
        let exports = parsed(&rules)?;
        let (found, model) = (&exports.get("a").unwrap().rules, Model(&rules));
        for path in &paths {
            let shown = String::from_utf8_lossy(path);
            prop_assert_eq!(found.of_file(path), model.of_file(path), "{}", shown);
            prop_assert_eq!(found.of_directory(path), model.of_directory(path), "{}/", shown);
            prop_assert_eq!(found.leads(path), model.leads(path), "above {}", shown);
        }
    }

    #[test]
    fn the_explanation_comes_to_the_same_rights(
        mut rules in prop::collection::vec((pattern(), verb()), 1..7),
        path in path(),
        is_directory in any::<bool>(),
    ) {
        use shmfs::export::{Reason, Verb as Does};
        rules.retain(|(text, _)| Pattern::parse(text).is_ok());
        let exports = parsed(&rules)?;
        let rules = &exports.get("a").unwrap().rules;
        let mut rights = Rights::NONE;
        let mut is_hidden = false;
        for finding in rules.explain(&path, is_directory) {
            match (finding.rule.verb, finding.reason) {
                (Does::Grant(granted), Reason::Matches) => rights = rights | granted,
                (Does::Grant(_), Reason::Leads) => prop_assert!(is_directory),
                (Does::Grant(_), Reason::HidesAbove(_)) | (Does::Hide, Reason::Leads) => prop_assert!(false),
                (Does::Hide, Reason::Matches | Reason::HidesAbove(_)) => is_hidden = true,
            }
        }
        let expected = if is_hidden { Rights::NONE } else { rights };
        let found = if is_directory { rules.of_directory(&path) } else { rules.of_file(&path) };
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,40}") {
        drop(Pattern::parse(&text));
        drop(Exports::parse(&text, "x"));
        drop(Exports::parse(&format!("[export.a]\nread = [{text:?}]"), "x"));
    }
}
