//! Patterns and rules as the program reads them, against the model: no mount is needed.

use shmfs::export::Exports;

use crate::model::{Kind, Pattern, Rights, Rules};
use crate::rng::Rng;

/// The seed of a run: SHMFS_SEED, or always the same.
pub(crate) fn seed() -> u64 {
    let given = std::env::var("SHMFS_SEED").ok();
    let seed = given.map_or(0x5eed, |text| text.parse().expect("SHMFS_SEED is a number"));
    println!("SHMFS_SEED={seed}");
    seed
}

/// How many cases: SHMFS_CASES times as many as usual.
pub(crate) fn cases(usual: usize) -> usize {
    let given = std::env::var("SHMFS_CASES").ok();
    usual * given.map_or(1, |text| text.parse().expect("SHMFS_CASES is a number"))
}

/// Of one name or part of a name.
const PARTS: [&str; 8] = ["a", "b", "ab", ".a", "", "c", "abc", "a-b"];

const GLOBS: [&str; 22] = [
    "a",
    "b",
    "ab",
    ".a",
    "*",
    "a*",
    "*b",
    "?",
    "??",
    "a?",
    "[ab]",
    "[!a]",
    "[^b]*",
    "[a-b]*",
    "{a,b}",
    "{,.}a",
    "{a*,b?}",
    "\\a",
    "a\\-b",
    "*-*",
    "**",
    "{a,{b,c}}*",
];

pub(crate) fn random_pattern(rng: &mut Rng) -> String {
    let depth = 1 + rng.below(3);
    let parts: Vec<&str> = (0..depth).map(|_| rng.pick(&GLOBS)).collect();
    let slash = if rng.below(4) == 0 { "/" } else { "" };
    parts.join("/") + slash
}

pub(crate) fn random_rights(rng: &mut Rng) -> Rights {
    let all: Vec<Rights> = Rights::every().collect();
    rng.pick(&all)
}

pub(crate) fn random_rules(rng: &mut Rng) -> Rules {
    let mut rules = Rules::default();
    for _ in 0..1 + rng.below(4) {
        rules = rules.grant(&random_pattern(rng), random_rights(rng));
    }
    for _ in 0..rng.below(3) {
        rules = rules.hide(&random_pattern(rng));
    }
    rules
}

/// Refused because two rules contradict each other, and for no other reason.
fn contradicts(said: &str) -> bool {
    let known = ["E_DUPLICATE", "E_SHADOWED", "E_DEAD_RULE"];
    known.iter().any(|code| said.contains(code))
}

/// Every path of up to three of these names.
fn paths() -> Vec<String> {
    let names: Vec<&str> = PARTS.into_iter().filter(|name| !name.is_empty()).collect();
    let mut all: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut last = all.clone();
    for _ in 0..2 {
        last = last
            .iter()
            .flat_map(|path| names.iter().map(move |name| format!("{path}/{name}")))
            .collect();
        all.extend(last.iter().cloned());
    }
    all
}

fn ours(rights: shmfs::export::Rights) -> Rights {
    let words = shmfs::export::Rights::EACH.into_iter();
    Rights::of_words(
        words
            .filter(|one| rights.contains(*one))
            .map(|one| one.word()),
    )
}

/// Random rules give each path the rights that the model gives it.
pub(crate) fn rights_are_the_models() {
    let (mut rng, paths) = (Rng::new(seed()), paths());
    let (mut accepted, wanted) = (0, cases(150));
    for _ in 0..wanted * 4 {
        let rules = random_rules(&mut rng);
        let text = rules.toml("x");
        let exports = match Exports::parse(&text, "random") {
            Ok((exports, _)) => exports,
            Err(problems) => {
                let said = format!("{problems}");
                assert!(contradicts(&said), "{said}\n{text}");
                continue;
            }
        };
        let export = exports.get("x").unwrap();
        for path in &paths {
            let bytes = path.as_bytes();
            let file = ours(export.rules.of_file(bytes));
            assert_eq!(file, rules.rights(bytes, Kind::File), "file {path}\n{text}");
            let directory = ours(export.rules.of_directory(bytes));
            let expected = rules.rights(bytes, Kind::Directory);
            assert_eq!(directory, expected, "directory {path}\n{text}");
            let leads = export.rules.leads(bytes);
            assert_eq!(leads, rules.leads(bytes), "leads {path}\n{text}");
        }
        accepted += 1;
        if accepted == wanted {
            return;
        }
    }
    panic!("only {accepted} rule sets of {} were accepted", wanted * 4);
}

/// A literal name that is hidden, or that one wider pattern gives more than its own rule does,
/// is an error.
pub(crate) fn what_is_accepted_says_what_holds() {
    let mut rng = Rng::new(seed());
    let (mut refused, mut accepted) = (0, 0);
    for _ in 0..cases(400) {
        let literal = rng.pick(&["a", "ab", "a/b", ".a"]);
        let own = random_rights(&mut rng);
        let rules = random_rules(&mut rng).grant(literal, own);
        let effective = rules.rights(literal.as_bytes(), Kind::File);
        let more = |(pattern, rights): &(String, Rights)| {
            let matches = Pattern::of(pattern).matches(literal.as_bytes(), Kind::File);
            matches && rights.has(own) && *rights != own
        };
        let text = rules.toml("x");
        let result = Exports::parse(&text, "random");
        if effective != Rights::NONE && !rules.grants.iter().any(more) {
            accepted += u32::from(result.is_ok());
            continue;
        }
        let said = match result {
            Ok(_) => panic!("{literal} has {effective}, its rule says {own}:\n{text}"),
            Err(problems) => format!("{problems}"),
        };
        assert!(contradicts(&said), "{said}");
        refused += 1;
    }
    assert!(
        refused > 50 && accepted > 50,
        "{refused} refused, {accepted} accepted"
    );
}

/// A real name, the pattern for it, and an object that has it.
pub(crate) struct RealName {
    pub(crate) kind: &'static str,
    pub(crate) pattern: &'static str,
    pub(crate) example: &'static str,
}

pub(crate) fn real_names() -> impl Iterator<Item = RealName> {
    let lines = include_str!("shm-names.tsv").lines();
    lines.filter(|line| !line.starts_with("# ")).map(|line| {
        let fields: Vec<&str> = line.split('\t').collect();
        let [kind, pattern, example] = fields[..] else {
            panic!("three fields: {line}");
        };
        RealName {
            kind,
            pattern,
            example,
        }
    })
}

/// Each pattern matches its example, in the model and in the program, and is accepted.
pub(crate) fn real_patterns_match_real_names() {
    let mut count = 0;
    for RealName {
        pattern, example, ..
    } in real_names()
    {
        let (path, kind) = match example.strip_suffix('/') {
            Some(path) => (path, Kind::Directory),
            None => (example, Kind::File),
        };
        assert!(
            Pattern::of(pattern).matches(path.as_bytes(), kind),
            "{pattern} {example}"
        );
        let rules = Rules::default().grant(pattern, Rights::ALL);
        let text = rules.toml("x");
        let (exports, _) = Exports::parse(&text, "real").unwrap_or_else(|why| panic!("{why}"));
        let found = &exports.get("x").unwrap().rules;
        let rights = match kind {
            Kind::File => found.of_file(path.as_bytes()),
            Kind::Directory => found.of_directory(path.as_bytes()),
        };
        assert_eq!(ours(rights), Rights::ALL, "{pattern} {example}");
        count += 1;
    }
    assert_eq!(count, 79);
}

/// Whatever the pattern, a long name takes no longer than it is long: nothing is tried twice.
pub(crate) fn matching_is_linear() {
    let evil = "*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*a*b";
    let deep = "**/a/**/a/**/a/**/a/**/a/**/b";
    let rules = Rules::default()
        .grant(evil, Rights::READ)
        .grant(deep, Rights::READ);
    let (exports, _) = Exports::parse(&rules.toml("x"), "evil").unwrap();
    let found = &exports.get("x").unwrap().rules;
    // Backtracking would not come to an end.
    let name = "a".repeat(255);
    let path = vec!["a"; 2000].join("/");
    for _ in 0..100 {
        assert!(found.of_file(name.as_bytes()).is_empty());
        assert!(found.of_file(path.as_bytes()).is_empty());
    }
}
