//! String literals in tokens, and the constants of a file that hold one.

use std::collections::HashMap;

use super::lex::{Language, Token, TokenKind};

/// The literals among the tokens; those in a row are one.
pub(super) fn literals(tokens: &[Token]) -> Vec<Option<Vec<u8>>> {
    let mut literals: Vec<Option<Vec<u8>>> = Vec::new();
    let mut continues = false;
    for token in tokens {
        let TokenKind::Text(text) = &token.kind else {
            continues = false;
            continue;
        };
        match literals.last_mut() {
            Some(last) if continues => {
                *last = last
                    .take()
                    .zip(text.as_ref())
                    .map(|(last, text)| [last.as_slice(), text].concat());
            }
            Some(_) | None => literals.push(text.clone()),
        }
        continues = true;
    }
    literals
}

/// Names that are given a literal outside of parentheses: `#define N "…"`, `const N: &str = "…"`,
/// `char N[] = "…"`, `N = "…"`, `N := "…"`.
pub(super) fn constants(language: Language, tokens: &[Token]) -> HashMap<&str, Vec<Vec<u8>>> {
    let mut constants: HashMap<&str, Vec<Vec<u8>>> = HashMap::new();
    let mut depth = 0_i32;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            TokenKind::Mark(b'(') => depth += 1,
            TokenKind::Mark(b')') => depth -= 1,
            TokenKind::Text(_) if depth <= 0 => {
                let Some(name) = assigned(language, tokens, at) else {
                    continue;
                };
                if let Some(Some(value)) = literals(&tokens[at..literal_end(tokens, at)])
                    .into_iter()
                    .next()
                {
                    let values = constants.entry(name).or_default();
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
            }
            TokenKind::Text(_) | TokenKind::Mark(_) | TokenKind::Word(_) => {}
        }
    }
    constants
}

/// Where the run of literals that begins here ends, if nothing is done to them; else here.
fn literal_end(tokens: &[Token], at: usize) -> usize {
    let run = tokens[at..]
        .iter()
        .take_while(|token| matches!(token.kind, TokenKind::Text(_)))
        .count();
    match tokens.get(at + run) {
        Some(next)
            if next.line == tokens[at + run - 1].line
                && next.kind != TokenKind::Mark(b';')
                && next.kind != TokenKind::Mark(b'}') =>
        {
            at
        }
        Some(_) | None => at + run,
    }
}

/// The name to which the literal at `at` is given, from its line.
fn assigned<'a>(language: Language, tokens: &'a [Token], at: usize) -> Option<&'a str> {
    let is_mark = |back: usize, mark: u8| {
        let token = at.checked_sub(back).map(|at| &tokens[at].kind);
        token == Some(&TokenKind::Mark(mark))
    };
    // Most literals are none: a long line is not searched for each.
    if !is_mark(1, b'=') && !is_mark(3, b'#') {
        return None;
    }
    let line = tokens[at].line;
    let start = tokens[..at]
        .iter()
        .rposition(|token| token.line != line || token.kind == TokenKind::Mark(b';'));
    let before = &tokens[start.map_or(0, |start| start + 1)..at];
    let word = |token: &'a Token| match &token.kind {
        TokenKind::Word(word) => Some(word.as_str()),
        TokenKind::Text(_) | TokenKind::Mark(_) => None,
    };
    if let [hash, define, name] = before {
        if hash.kind == TokenKind::Mark(b'#') && word(define) == Some("define") {
            return word(name);
        }
    }
    let (equals, target) = before.split_last()?;
    if equals.kind != TokenKind::Mark(b'=')
        || target
            .iter()
            .any(|token| token.kind == TokenKind::Mark(b'='))
    {
        return None;
    }
    match language {
        Language::C => {
            let bracket = target
                .iter()
                .position(|token| token.kind == TokenKind::Mark(b'['));
            target[..bracket.unwrap_or(target.len())]
                .iter()
                .rev()
                .find_map(word)
        }
        Language::Rust | Language::Python | Language::Go => {
            target.iter().filter_map(word).find(|word| {
                !matches!(
                    *word,
                    "const" | "static" | "let" | "mut" | "pub" | "var" | "crate"
                )
            })
        }
    }
}
