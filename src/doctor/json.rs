//! A report as one JSON object.

use std::fmt::Write;

use super::host::{DataMode, Way};
use super::report::{Line, Report};

/// `{"run":true,"way":"…","data":"…","findings":[{"state":"ok","what":"…","reason":"…","remedy":null},…]}`
pub(super) fn object(report: &Report) -> String {
    let way = match report.way {
        Some(Way::Privileged) => "\"mount-namespace\"",
        Some(Way::UserNamespace) => "\"user-namespace\"",
        Some(Way::Fusermount) => "\"fusermount3\"",
        None => "null",
    };
    let data = match report.data {
        DataMode::Passthrough => "passthrough",
        DataMode::PageCache => "page-cache",
    };
    let lines: Vec<String> = report.lines.iter().map(finding).collect();
    format!(
        "{{\"run\":{},\"way\":{way},\"data\":\"{data}\",\"findings\":[{}]}}",
        report.run_works(),
        lines.join(",")
    )
}

fn finding(line: &Line) -> String {
    let remedy = line.remedy.as_deref().map_or_else(|| "null".into(), string);
    format!(
        "{{\"state\":{},\"what\":{},\"reason\":{},\"remedy\":{remedy}}}",
        string(&line.state.word().to_lowercase()),
        string(line.what),
        string(&line.reason)
    )
}

fn string(text: &str) -> String {
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            character if character < ' ' => {
                // A `String` takes everything.
                let _ = write!(quoted, "\\u{:04x}", u32::from(character));
            }
            character => quoted.push(character),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::string;

    #[test]
    fn strings_are_escaped() {
        assert_eq!(string("a\"b\\c\nd—"), "\"a\\\"b\\\\c\\u000ad—\"");
    }
}
