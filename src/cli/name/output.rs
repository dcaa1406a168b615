//! Bytes for people and for programs, and tables.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, Write};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

/// Bytes as a person can read them: what is no printable UTF-8 is `\xNN`, a backslash is doubled
/// where such an escape is present.
pub(in crate::cli) fn show(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => Cow::Borrowed(text),
        Ok(_) | Err(_) => Cow::Owned(escape(bytes)),
    }
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                control if control.is_control() => {
                    let mut bytes = [0; 4];
                    control
                        .encode_utf8(&mut bytes)
                        .bytes()
                        .for_each(|byte| push_hex(&mut text, byte));
                }
                character => text.push(character),
            }
        }
        chunk
            .invalid()
            .iter()
            .for_each(|&byte| push_hex(&mut text, byte));
    }
    text
}

fn push_hex(text: &mut String, byte: u8) {
    // Writing to a String cannot fail.
    let _ = write!(text, "\\x{byte:02x}");
}

/// Bytes in base64.
pub(in crate::cli) fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

/// Bytes in JSON: as text where they are UTF-8, and always in base64.
#[derive(Debug, Serialize)]
pub(in crate::cli) struct JsonBytes {
    text: Option<String>,
    base64: String,
}

impl JsonBytes {
    pub(in crate::cli) fn new(bytes: &[u8]) -> JsonBytes {
        JsonBytes {
            text: std::str::from_utf8(bytes).ok().map(str::to_owned),
            base64: base64(bytes),
        }
    }
}

/// One JSON document, for people to read too.
pub(in crate::cli) fn json(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Rows whose columns are aligned; the last column is not padded.
pub(in crate::cli) fn table<const N: usize>(
    out: &mut dyn Write,
    indent: usize,
    rows: &[[Cow<'_, str>; N]],
) -> io::Result<()> {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let mut line = " ".repeat(indent);
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_printed_is_escaped() {
        assert_eq!(show(b"/a\\b"), "/a\\b");
        assert_eq!(show(b"/a\n\\\xff"), "/a\\x0a\\\\\\xff");
        assert_eq!(show("/😀".as_bytes()), "/😀");
    }
}
