//! Real names of shared memory, and the pattern that an administrator writes for each.

use shmfs::export::Rights;

use crate::{export, oracle};

/// Pattern and example of each line of tests/data/shm-names.tsv.
fn lines() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("../data/shm-names.tsv").lines().skip(1);
    lines.map(|line| {
        let columns: Vec<&str> = line.split('\t').collect();
        (columns[3], columns[4])
    })
}

#[test]
fn every_real_name_is_matched_by_its_pattern() {
    let mut count = 0;
    for (pattern, example) in lines() {
        let rules = export(&format!("write = ['{pattern}']")).rules;
        let (rights, expected) = match example.strip_suffix('/') {
            Some(directory) => (
                rules.of_directory(directory.as_bytes()),
                oracle::matches_directory(pattern, directory.as_bytes()),
            ),
            None => (
                rules.of_file(example.as_bytes()),
                oracle::matches_file(pattern, example.as_bytes()),
            ),
        };
        assert_eq!(rights, Rights::ALL, "{pattern} {example}");
        assert!(expected, "{pattern} {example}: the oracle differs");
        count += 1;
    }
    assert_eq!(count, 79);
}

#[test]
fn all_patterns_together_match_all_names() {
    let mut patterns: Vec<&str> = lines().map(|(pattern, _)| pattern).collect();
    patterns.sort();
    patterns.dedup();
    // Names that wider patterns of the list have as well are told as warnings.
    let list: Vec<String> = patterns.iter().map(|text| format!("'{text}'")).collect();
    let rules = export(&format!("write = [{}]", list.join(","))).rules;
    for (_, example) in lines() {
        let rights = match example.strip_suffix('/') {
            Some(directory) => rules.of_directory(directory.as_bytes()),
            None => rules.of_file(example.as_bytes()),
        };
        assert_eq!(rights, Rights::ALL, "{example}");
    }
}

#[test]
fn a_real_name_is_not_matched_by_the_patterns_of_other_programs() {
    let fixed = [
        "iceoryx_mgmt",
        "looking-glass",
        "aufs.xino",
        "jack-shm-registry",
    ];
    for (pattern, example) in lines() {
        for other in fixed {
            let is_other = oracle::matches_file(pattern, other.as_bytes());
            let rights = export(&format!("write = ['{pattern}']"))
                .rules
                .of_file(other.as_bytes());
            assert_eq!(
                !rights.is_empty(),
                is_other,
                "{pattern} ({example}) and {other}"
            );
        }
    }
}
