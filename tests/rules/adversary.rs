//! Patterns and names that a matcher which goes back in the name would need ages for.

use regex_automata::nfa::thompson::NFA;
use regex_automata::util::syntax;
use shmfs::export::{Pattern, Rights};

use crate::export;

/// States of the automaton that a pattern is turned into. Each byte of a name moves through each state once at most,
/// so a match costs no more than bytes times states.
fn states(pattern: &str) -> usize {
    let expression = Pattern::parse(pattern).unwrap().expression();
    let config = syntax::Config::new().unicode(false).utf8(false);
    let mut compiler = NFA::compiler();
    let compiler = compiler.syntax(config);
    compiler
        .configure(NFA::config().utf8(false))
        .build(&expression)
        .unwrap()
        .states()
        .len()
}

#[test]
fn the_automaton_grows_with_the_pattern_and_not_faster() {
    for unit in [
        "*a",
        "?*",
        "[a-c]*",
        "{a,*b}*",
        "{a,{b,{c,*}}}",
        "x*/**/",
        "{,*}{,?}",
    ] {
        let size = |count: usize| {
            let text = unit.repeat(count);
            states(text.strip_suffix('/').unwrap_or(&text))
        };
        let (one, many) = (size(4), size(24));
        assert!(
            many <= one * 6 + 16,
            "{unit}: {one} states, six times as long {many}"
        );
    }
}

#[test]
fn a_matcher_that_goes_back_would_not_come_to_an_end() {
    // 2^120 ways to divide the name among the stars.
    let stars = format!("{}b", "*a".repeat(120));
    let groups = format!("{}b", "{a,a*}".repeat(60));
    let classes = format!("{}[!a]", "[a-c]*".repeat(60));
    let trees = format!("{}b", "**/a/".repeat(20));
    let rules = export(&format!(
        "write = ['{stars}', '{groups}', '{classes}', '{trees}']"
    ))
    .rules;
    assert_eq!(rules.of_file(&[b'a'; 255]), Rights::NONE);
    assert_eq!(
        rules.of_file(&[&[b'a'; 254][..], b"b"].concat()),
        Rights::ALL
    );
    let deep = "a/".repeat(2000);
    assert_eq!(rules.of_file(format!("{deep}c").as_bytes()), Rights::NONE);
    assert_eq!(rules.of_file(format!("{deep}b").as_bytes()), Rights::ALL);
    assert!(rules.leads(deep.trim_end_matches('/').as_bytes()));
}

#[test]
fn ten_thousand_rules_of_all_kinds() {
    let list = |prefix: &str, suffix: &str| {
        let patterns = (0..2500).map(|number| format!("'{prefix}{number}{suffix}'"));
        patterns.collect::<Vec<_>>().join(",")
    };
    let text = format!(
        "read = [{}]\nwrite = [{},{}]\nhide = [{}]",
        list("r", "_*"),
        list("w", "_*"),
        list("name", ""),
        list("w", "_secret*"),
    );
    let rules = export(&text).rules;
    assert_eq!(rules.all().len(), 10_000);
    assert_eq!(rules.of_file(b"r2499_x"), Rights::READ);
    assert_eq!(rules.of_file(b"w0_x"), Rights::ALL);
    assert_eq!(rules.of_file(b"name1234"), Rights::ALL);
    assert_eq!(rules.of_file(b"name2500"), Rights::NONE);
    assert_eq!(rules.of_file(b"w17_secret1"), Rights::NONE);
}
