//! Cuts an option list into words.
//!
//! Commas separate; inside double quotes they do not (as in libmount), and `\,` is a comma (as in
//! libfuse), where `\\` is a backslash. A value loses its quotes. Empty words vanish, as on tmpfs.

use super::words::show;
use crate::error::{Error, Result};

/// One word of a list: `name` or `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Item {
    /// What is before the first `=`.
    pub(super) name: Vec<u8>,
    /// What is after it.
    pub(super) value: Option<Vec<u8>>,
}

/// The words of `list`.
pub(super) fn split(list: &[u8]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    let mut rest = list;
    while !rest.is_empty() {
        let (item, after) = next(rest)?;
        items.extend(item);
        rest = after;
    }
    Ok(items)
}

/// The first word of `list`, if it is not empty, and what follows its comma.
fn next(list: &[u8]) -> Result<(Option<Item>, &[u8])> {
    let mut name = Vec::new();
    let mut value: Option<Vec<u8>> = None;
    let mut quoted = false;
    let mut bytes = list.iter().copied().enumerate().peekable();
    let mut end = list.len();
    while let Some((at, byte)) = bytes.next() {
        let in_name = value.is_none();
        let into = value.as_mut().unwrap_or(&mut name);
        match byte {
            b'"' => quoted = !quoted,
            b'\\' => into.push(match bytes.peek() {
                Some(&(_, escaped @ (b',' | b'\\' | b'"'))) => {
                    bytes.next();
                    escaped
                }
                _ => byte,
            }),
            b',' if !quoted => {
                end = at;
                break;
            }
            b'=' if in_name && !quoted => value = Some(Vec::new()),
            _ => into.push(byte),
        }
    }
    let text = &list[..end];
    if quoted {
        return Err(Error::usage(format!(
            "option '{}': the double quote is not closed",
            show(text)
        )));
    }
    let after = list.get(end + 1..).unwrap_or_default();
    if text.is_empty() {
        return Ok((None, after));
    }
    if name.is_empty() {
        return Err(Error::usage(format!(
            "option '{}': nothing is before the '='",
            show(text)
        )));
    }
    Ok((Some(Item { name, value }), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(list: &str) -> Vec<String> {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        split(list.as_bytes())
            .unwrap()
            .into_iter()
            .map(|item| match item.value {
                Some(value) => format!("{}|{}", text(item.name), text(value)),
                None => text(item.name),
            })
            .collect()
    }

    #[test]
    fn commas_separate_and_empty_words_vanish() {
        assert_eq!(texts(",,ro,size=1m,,x=,"), ["ro", "size|1m", "x|"]);
        assert!(texts("").is_empty());
    }

    #[test]
    fn quotes_and_backslashes_keep_commas() {
        assert_eq!(
            texts(r#"context="a:b,c=d",x-n=1\,2,ro"#),
            ["context|a:b,c=d", "x-n|1,2", "ro"]
        );
        assert_eq!(texts(r#"x-a=\\,ro"#), [r"x-a|\", "ro"]);
        assert_eq!(texts(r#"x-a=C:\dir"#), [r"x-a|C:\dir"]);
        assert_eq!(texts(r#"x-a=\"q\""#), [r#"x-a|"q""#]);
        assert_eq!(texts(r"x-a=\"), [r"x-a|\"]);
    }

    #[test]
    fn an_equals_sign_of_the_value_stays() {
        assert_eq!(texts("x-a=b=c"), ["x-a|b=c"]);
    }

    #[test]
    fn an_open_quote_and_a_missing_name_are_refused() {
        for list in ["context=\"a,ro", "=5", "ro,=x", "\"\""] {
            let said = split(list.as_bytes()).unwrap_err().to_string();
            assert!(said.starts_with("option '"), "{list}: {said}");
        }
    }
}
