//! Values of the configuration: each of its type, or told.

use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeArray, DeValue};

use super::config::Unmatched;
use super::problem::Code;
use super::report::Report;

pub(super) type Value<'i> = Spanned<DeValue<'i>>;

pub(super) fn wrong_type(report: &mut Report<'_>, value: &Value<'_>, wanted: &str, instead: &str) {
    let what = format!("it is {} and must be {wanted}", article(value.get_ref()));
    report.error(Code::Type, value.span().start, what, instead);
}

fn article(value: &DeValue<'_>) -> String {
    let word = value.type_str();
    let article = match word.starts_with(['a', 'i']) {
        true => "an",
        false => "a",
    };
    format!("{article} {word}")
}

pub(super) fn array<'v, 'i>(
    value: &'v Value<'i>,
    report: &mut Report<'_>,
) -> Option<&'v DeArray<'i>> {
    if let DeValue::Array(array) = value.get_ref() {
        return Some(array);
    }
    let instead = match value.get_ref() {
        DeValue::String(text) => format!("Write [{text:?}]."),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => "Write [\"name\", \"pattern_*\"].".to_owned(),
    };
    wrong_type(report, value, "a list of strings", &instead);
    None
}

pub(super) fn unmatched(value: &Value<'_>, report: &mut Report<'_>) -> Unmatched {
    match value.get_ref() {
        DeValue::String(text) if text == "hidden" => Unmatched::Hidden,
        DeValue::String(text) if text == "private" => Unmatched::Private,
        other => {
            let what = match other {
                DeValue::String(text) => format!("it cannot be {text:?}"),
                other => format!("it is {} and must be a string", article(other)),
            };
            let instead = "Write \"hidden\" or \"private\".";
            report.error(Code::Type, value.span().start, what, instead);
            Unmatched::Hidden
        }
    }
}

pub(super) fn boolean(value: &Value<'_>, report: &mut Report<'_>) -> Option<bool> {
    if let DeValue::Boolean(answer) = value.get_ref() {
        return Some(*answer);
    }
    wrong_type(
        report,
        value,
        "a boolean",
        "Write true or false, without quotes.",
    );
    None
}

pub(super) fn string(value: &Value<'_>, wanted: &str, report: &mut Report<'_>) -> Option<String> {
    match value.get_ref() {
        DeValue::String(text) if !text.is_empty() => Some(text.to_string()),
        DeValue::String(_) => {
            let instead = format!("Write {wanted}, or leave it out.");
            report.error(Code::Type, value.span().start, "it is empty", instead);
            None
        }
        _ => {
            wrong_type(report, value, "a string", &format!("Write {wanted}."));
            None
        }
    }
}

pub(super) fn directory(value: &Value<'_>, report: &mut Report<'_>) -> Option<PathBuf> {
    let text = string(value, "the path of a directory", report)?;
    if !text.starts_with('/') || text.contains('\0') {
        report.error(
            Code::Type,
            value.span().start,
            format!("{text:?} is no absolute path"),
            "Write the path of a directory from the root on.",
        );
        return None;
    }
    Some(text.into())
}

/// A limit; 0 is none, as for tmpfs.
pub(super) fn number(value: &Value<'_>, is_size: bool, report: &mut Report<'_>) -> Option<u64> {
    let parsed = match value.get_ref() {
        DeValue::Integer(number) => {
            let text: String = number.as_str().chars().filter(|c| *c != '_').collect();
            u64::from_str_radix(&text, number.radix()).ok()
        }
        DeValue::String(text) => with_suffix(text),
        _ => None,
    };
    if parsed.is_none() {
        let instead = match is_size {
            true => "Write bytes, or a number with k, m, g, t, p or e in quotes, such as \"64m\".",
            false => "Write a number.",
        };
        let what = match value.get_ref() {
            DeValue::String(text) => format!("{text:?} is no number"),
            DeValue::Integer(number) => format!("{} is out of range", number.as_str()),
            other => format!("it is {} and must be a number", article(other)),
        };
        report.error(Code::Type, value.span().start, what, instead);
    }
    parsed.filter(|number| *number > 0)
}

fn with_suffix(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        "e" => 60,
        _ => return None,
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
}
