//! The bytes that a string literal stands for.

use super::lex::Language;

/// The literal's bytes; `None` where they cannot be known from the text.
pub(super) fn unescape(language: Language, bytes: bool, body: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader {
        language,
        bytes,
        rest: body,
        out: Vec::with_capacity(body.len()),
    };
    while let Some(byte) = reader.take() {
        if byte == b'\\' {
            reader.escape()?
        } else {
            reader.out.push(byte)
        }
    }
    Some(reader.out)
}

struct Reader<'a> {
    language: Language,
    bytes: bool,
    rest: &'a [u8],
    out: Vec<u8>,
}

impl Reader<'_> {
    fn take(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn escape(&mut self) -> Option<()> {
        let code = self.take()?;
        match code {
            b'n' => self.out.push(b'\n'),
            b'r' => self.out.push(b'\r'),
            b't' => self.out.push(b'\t'),
            b'a' => self.out.push(7),
            b'b' => self.out.push(8),
            b'f' => self.out.push(12),
            b'v' => self.out.push(11),
            b'e' if self.language == Language::C => self.out.push(27),
            b'\\' | b'\'' | b'"' | b'?' => self.out.push(code),
            b'\n' => self.skip_line_break(),
            b'0' if self.language == Language::Rust => self.out.push(0),
            b'0'..=b'7' => self.octal(code),
            b'x' => self.hex_byte()?,
            b'u' if self.language == Language::Rust => self.braced()?,
            b'u' if !self.bytes => self.code_point(4)?,
            b'U' if !self.bytes => self.code_point(8)?,
            b'N' if self.language == Language::Python && !self.bytes => return None,
            other if self.language == Language::Python => self.out.extend([b'\\', other]),
            other => self.out.push(other),
        }
        Some(())
    }

    fn skip_line_break(&mut self) {
        if self.language == Language::Rust {
            self.rest = self.rest.trim_ascii_start();
        }
    }

    /// The value of at most `most` digits of this base.
    fn digits(&mut self, base: u32, most: usize) -> Option<u32> {
        let count = self
            .rest
            .iter()
            .take(most)
            .take_while(|&&byte| char::from(byte).is_digit(base))
            .count();
        let (digits, rest) = self.rest.split_at(count);
        self.rest = rest;
        let value = |value: u32, &digit: &u8| {
            Some(value.wrapping_mul(base) + char::from(digit).to_digit(base)?)
        };
        if count == 0 {
            None
        } else {
            digits.iter().try_fold(0, value)
        }
    }

    fn octal(&mut self, first: u8) {
        let rest = self.rest;
        let more = rest
            .iter()
            .take(2)
            .take_while(|&&byte| matches!(byte, b'0'..=b'7'))
            .count();
        self.rest = &rest[more..];
        let value = rest[..more]
            .iter()
            .fold(u32::from(first - b'0'), |value, &digit| {
                value * 8 + u32::from(digit - b'0')
            });
        self.push_value(value);
    }

    /// C's `\x` takes all hex digits that follow, the others two.
    fn hex_byte(&mut self) -> Option<()> {
        let most = if self.language == Language::C {
            usize::MAX
        } else {
            2
        };
        let value = self.digits(16, most)?;
        self.push_value(value);
        Some(())
    }

    /// A byte; in a Python text a code point.
    fn push_value(&mut self, value: u32) {
        match char::from_u32(value) {
            Some(character) if self.language == Language::Python && !self.bytes => {
                self.push_char(character)
            }
            Some(_) | None => self.out.push((value & 0xff) as u8),
        }
    }

    fn code_point(&mut self, digits: usize) -> Option<()> {
        let value = self.digits(16, digits)?;
        self.push_char(char::from_u32(value)?);
        Some(())
    }

    fn braced(&mut self) -> Option<()> {
        (self.take()? == b'{').then_some(())?;
        self.code_point(6)?;
        (self.take()? == b'}').then_some(())
    }

    fn push_char(&mut self, character: char) {
        self.out
            .extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
}
