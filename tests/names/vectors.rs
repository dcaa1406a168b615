//! Every answer of `data/platform-vectors.json`: 53 keys, 127 names, open and unlink.

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value;
use shmfs::view::{self, NameOp, Place, SCHEMES};

fn decode(text: &Value) -> Vec<u8> {
    BASE64_STANDARD
        .decode(text.as_str().expect("a string"))
        .expect("base64")
}

/// kind, value, effective: as the file writes them.
fn answer(scheme: &view::Scheme, op: NameOp, name: &[u8]) -> (String, Value, Option<String>) {
    let place = match scheme.translate(op, name) {
        Ok(place) => place,
        Err(refusal) => return ("error".into(), refusal.name().into(), None),
    };
    let effective = scheme.effective(&place).map(|errno| format!("{errno:?}"));
    match place {
        Place::Path(path) => (
            "path".into(),
            BASE64_STANDARD.encode(path).into(),
            effective,
        ),
        Place::Key(key) => (
            "kernel".into(),
            BASE64_STANDARD.encode(key).into(),
            effective,
        ),
        Place::Hash(hash) => ("kernel".into(), hash.into(), effective),
    }
}

#[test]
fn every_vector_of_every_platform() {
    let vectors: Value =
        serde_json::from_str(include_str!("../data/platform-vectors.json")).expect("JSON");
    let names: Vec<Vec<u8>> = vectors["names"]
        .as_array()
        .expect("names")
        .iter()
        .map(decode)
        .collect();
    let platforms = vectors["platforms"].as_object().expect("platforms");
    assert_eq!((names.len(), platforms.len()), (127, 53));
    let mut wrong = Vec::new();
    let mut seen = 0;
    for (key, rows) in platforms {
        let scheme = view::find(key).unwrap_or_else(|| panic!("no scheme {key}"));
        let mut expected = BTreeMap::new();
        for row in rows.as_array().expect("rows") {
            let index = row[0].as_u64().expect("an index") as usize;
            let op = row[1].as_str().expect("an op").to_owned();
            let effective = row
                .get(4)
                .map(|errno| errno.as_str().expect("an errno").to_owned());
            let kind = row[2].as_str().expect("a kind").to_owned();
            expected.insert((index, op), (kind, row[3].clone(), effective));
        }
        for (index, name) in names.iter().enumerate() {
            for op in [NameOp::Open, NameOp::Unlink] {
                // An unlink row is there only where it differs from open.
                let row = expected.get(&(index, op.name().to_owned()));
                let row = row
                    .or_else(|| expected.get(&(index, "open".to_owned())))
                    .expect("a row");
                seen += 1;
                if answer(scheme, op, name) != *row {
                    wrong.push(format!(
                        "{key} {} {index}: {:?} != {row:?}",
                        op.name(),
                        answer(scheme, op, name)
                    ));
                }
            }
        }
    }
    assert_eq!(seen, 53 * 127 * 2);
    assert!(
        wrong.is_empty(),
        "{} wrong:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
}

#[test]
fn the_registry_holds_exactly_the_keys_of_the_vectors() {
    let vectors: Value =
        serde_json::from_str(include_str!("../data/platform-vectors.json")).expect("JSON");
    let mut expected: Vec<&str> = vectors["platforms"]
        .as_object()
        .expect("platforms")
        .keys()
        .map(String::as_str)
        .collect();
    let mut keys: Vec<&str> = SCHEMES.iter().map(|scheme| scheme.key).collect();
    expected.sort_unstable();
    keys.sort_unstable();
    assert_eq!(keys, expected);
}
