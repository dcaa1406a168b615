//! Words, string literals and marks of source text in C, C++, Rust, Python and Go: enough to find a
//! call and its arguments, and not to be fooled by comments.

/// A language whose literals we can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    C,
    Rust,
    Python,
    Go,
}

impl Language {
    /// By the file name's extension.
    pub(super) fn of_extension(extension: &str) -> Option<Language> {
        match extension {
            "c" | "h" | "cc" | "cpp" | "cxx" | "c++" | "C" | "hh" | "hpp" | "hxx" | "inc" | "m"
            | "mm" => Some(Language::C),
            "rs" => Some(Language::Rust),
            "py" | "pyi" | "pyx" => Some(Language::Python),
            "go" => Some(Language::Go),
            _ => None,
        }
    }

    const fn has_slash_comments(self) -> bool {
        !matches!(self, Language::Python)
    }
}

/// A piece of source text and its line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) line: usize,
    pub(super) kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An identifier, a keyword or a number.
    Word(String),
    /// A string literal's bytes; `None` if they depend on more than the text.
    Text(Option<Vec<u8>>),
    /// Any other byte.
    Mark(u8),
}

/// The tokens of a source file.
pub(super) fn tokens(language: Language, source: &[u8]) -> Vec<Token> {
    let mut lexer = Lexer {
        language,
        source,
        at: 0,
        line: 1,
    };
    let mut tokens = Vec::new();
    while let Some(kind) = {
        lexer.skip_blanks();
        let line = lexer.line;
        lexer.next_kind().map(|kind| (line, kind))
    } {
        tokens.push(Token {
            line: kind.0,
            kind: kind.1,
        });
    }
    tokens
}

struct Lexer<'a> {
    language: Language,
    source: &'a [u8],
    at: usize,
    line: usize,
}

/// How a literal is written.
struct Style {
    raw: bool,
    bytes: bool,
    format: bool,
}

impl Lexer<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.source.get(self.at + ahead).copied()
    }

    fn rest(&self) -> &[u8] {
        &self.source[self.at.min(self.source.len())..]
    }

    fn advance(&mut self, count: usize) {
        let end = (self.at + count).min(self.source.len());
        self.line += self.source[self.at..end]
            .iter()
            .filter(|&&byte| byte == b'\n')
            .count();
        self.at = end;
    }

    /// Goes behind the next `end`, or to the end of the source.
    fn skip_past(&mut self, end: &[u8]) {
        let found = self
            .rest()
            .windows(end.len())
            .position(|window| window == end);
        self.advance(found.map_or(usize::MAX / 2, |found| found + end.len()));
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            if rest.first().is_some_and(u8::is_ascii_whitespace) || rest.starts_with(b"\\\n") {
                self.advance(1 + usize::from(rest[0] == b'\\'));
            } else if self.language == Language::Python && rest.starts_with(b"#")
                || self.language.has_slash_comments() && rest.starts_with(b"//")
            {
                self.skip_past(b"\n");
            } else if self.language.has_slash_comments() && rest.starts_with(b"/*") {
                self.skip_block_comment();
            } else {
                return;
            }
        }
    }

    fn skip_block_comment(&mut self) {
        self.advance(2);
        if self.language != Language::Rust {
            return self.skip_past(b"*/");
        }
        let mut depth = 1;
        while depth > 0 && self.at < self.source.len() {
            let (change, step) = match self.rest() {
                [b'/', b'*', ..] => (1, 2),
                [b'*', b'/', ..] => (-1, 2),
                _ => (0, 1),
            };
            depth += change;
            self.advance(step);
        }
    }

    fn next_kind(&mut self) -> Option<TokenKind> {
        let byte = self.peek(0)?;
        if is_word(byte) {
            return Some(self.word());
        }
        match byte {
            b'"' => Some(self.literal("")),
            b'\'' if self.language == Language::Python => Some(self.literal("")),
            b'\'' => {
                self.character();
                Some(TokenKind::Mark(b'\''))
            }
            b'`' if self.language == Language::Go => Some(self.backquoted()),
            mark => {
                self.advance(1);
                Some(TokenKind::Mark(mark))
            }
        }
    }

    /// A word, or the literal whose prefix it is.
    fn word(&mut self) -> TokenKind {
        let start = self.at;
        let is_number = self.source[start].is_ascii_digit();
        while let Some(byte) = self.peek(0) {
            // C++ groups digits with ' and a number may hold a point.
            let separates =
                self.language == Language::C && byte == b'\'' && self.peek(1).is_some_and(is_word);
            if !(is_word(byte) || is_number && separates) {
                break;
            }
            self.advance(1);
        }
        let word = String::from_utf8_lossy(&self.source[start..self.at]).into_owned();
        if self.begins_literal(&word) {
            self.literal(&word)
        } else {
            TokenKind::Word(word)
        }
    }

    fn begins_literal(&self, prefix: &str) -> bool {
        let quote = self.peek(0);
        match self.language {
            Language::C => {
                quote == Some(b'"')
                    && matches!(
                        prefix,
                        "L" | "u" | "U" | "u8" | "R" | "LR" | "uR" | "UR" | "u8R"
                    )
            }
            Language::Rust => {
                let after_hashes = self.rest().iter().find(|&&byte| byte != b'#');
                let raw = matches!(prefix, "r" | "br" | "cr") && after_hashes == Some(&b'"');
                raw || quote == Some(b'"') && matches!(prefix, "b" | "c")
            }
            Language::Python => {
                matches!(quote, Some(b'"' | b'\''))
                    && matches!(
                        prefix.to_ascii_lowercase().as_str(),
                        "r" | "b" | "u" | "f" | "rb" | "br" | "rf" | "fr"
                    )
            }
            Language::Go => false,
        }
    }

    /// A literal, from its opening quote or hashes on.
    fn literal(&mut self, prefix: &str) -> TokenKind {
        let lower = prefix.to_ascii_lowercase();
        let has = |letter| lower.contains(letter);
        let style = Style {
            raw: has('r'),
            bytes: has('b'),
            format: has('f') && self.language == Language::Python,
        };
        if style.raw && self.language == Language::Rust {
            return self.raw_until(b"\"", b"#");
        }
        if style.raw && self.language == Language::C {
            return self.raw_c();
        }
        let quote = self.peek(0).unwrap_or(b'"');
        let triple = self.language == Language::Python && self.rest().starts_with(&[quote; 3]);
        let width = if triple { 3 } else { 1 };
        self.advance(width);
        let start = self.at;
        while self.at < self.source.len() && !self.rest().starts_with(&[quote; 3][..width]) {
            if width == 1 && self.peek(0) == Some(b'\n') && self.language != Language::Rust {
                break; // an unfinished literal ends with its line
            }
            self.advance(if self.peek(0) == Some(b'\\') { 2 } else { 1 });
        }
        let body = &self.source[start.min(self.at)..self.at];
        let text = if style.format && body.iter().any(|&byte| matches!(byte, b'{' | b'}')) {
            None
        } else if style.raw {
            Some(body.to_vec())
        } else {
            super::unescape::unescape(self.language, style.bytes, body)
        };
        self.advance(width);
        TokenKind::Text(text)
    }

    /// Rust's raw literal: hashes, a quote, text, a quote, as many hashes.
    fn raw_until(&mut self, quote: &[u8], hash: &[u8]) -> TokenKind {
        let hashes = self
            .rest()
            .iter()
            .take_while(|&&byte| byte == hash[0])
            .count();
        self.advance(hashes + 1);
        self.raw_body(&[quote, &hash.repeat(hashes)].concat())
    }

    /// C++'s raw literal: a quote, a delimiter, a parenthesis, text, and all of it mirrored.
    fn raw_c(&mut self) -> TokenKind {
        self.advance(1);
        let delimiter = self.rest().iter().take_while(|&&byte| byte != b'(').count();
        let end = [b")", &self.rest()[..delimiter], b"\""].concat();
        self.advance(delimiter + 1);
        self.raw_body(&end)
    }

    fn backquoted(&mut self) -> TokenKind {
        self.advance(1);
        self.raw_body(b"`")
    }

    fn raw_body(&mut self, end: &[u8]) -> TokenKind {
        let start = self.at;
        self.skip_past(end);
        let body = self.source[start..self.at]
            .strip_suffix(end)
            .unwrap_or_default();
        TokenKind::Text(Some(body.to_vec()))
    }

    /// A character literal, or Rust's lifetime.
    fn character(&mut self) {
        self.advance(1);
        if self.peek(0) == Some(b'\\') {
            self.advance(2);
            while self
                .peek(0)
                .is_some_and(|byte| byte != b'\'' && byte != b'\n')
            {
                self.advance(1);
            }
            return self.advance(1);
        }
        let width = match self.peek(0) {
            Some(0xf0..) => 4,
            Some(0xe0..) => 3,
            Some(0xc0..) => 2,
            Some(_) | None => 1,
        };
        if self.peek(width) == Some(b'\'') {
            self.advance(width + 1);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(language: Language, source: &str) -> Vec<String> {
        let text = |token: Token| match token.kind {
            TokenKind::Text(text) => Some(text.map_or("?".into(), |text| {
                String::from_utf8_lossy(&text).into_owned()
            })),
            TokenKind::Word(_) | TokenKind::Mark(_) => None,
        };
        tokens(language, source.as_bytes())
            .into_iter()
            .filter_map(text)
            .collect()
    }

    #[test]
    fn c() {
        let source = r#"f("/a" /* "no" */ "\x2fg\057"); // "no"
            char c = '"'; char d = '\''; int n = 1'000; g(R"x(/r"\n)x", u8"/u");"#;
        assert_eq!(texts(Language::C, source), ["/a", "/g/", "/r\"\\n", "/u"]);
    }

    #[test]
    fn rust() {
        let source = r##"fn f<'a>(x: &'a str) { g("/a\u{e9}", b"/b\0", c"/c", r#"/"d"#, '"', '\'', 'é'); /* /* "no" */ "no" */ }"##;
        assert_eq!(texts(Language::Rust, source), ["/aé", "/b\0", "/c", "/\"d"]);
    }

    #[test]
    fn python() {
        let source = "f('/a', \"/b\\u00e9\", r'/c\\n', '''/d\n''', f'/e', f'/{x}', b'/\\x66') # 'no'\n\"it's\"";
        assert_eq!(
            texts(Language::Python, source),
            ["/a", "/bé", "/c\\n", "/d\n", "/e", "?", "/f", "it's"]
        );
    }

    #[test]
    fn go() {
        assert_eq!(
            texts(Language::Go, "f(\"/a\\u00e9\", `/b\\n`, '\"', '\\'')"),
            ["/aé", "/b\\n"]
        );
    }

    #[test]
    fn what_is_not_finished_does_no_harm() {
        for source in [
            "\"",
            "'",
            "r#\"",
            "/*",
            "\"\\",
            "R\"x(",
            "'''",
            "`",
            "'\\",
            "f(\"/a\nshm_open",
        ] {
            for language in [Language::C, Language::Rust, Language::Python, Language::Go] {
                tokens(language, source.as_bytes());
            }
        }
    }
}
