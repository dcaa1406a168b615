//! The names in source text: string literals that are passed to shm_open and its like, and constants
//! of the same file that hold such a literal.

use std::collections::HashMap;
use std::ops::Range;

use super::lex::{Language, Token, TokenKind, tokens};
use super::literals::{constants, literals};
use crate::view::Kind;

/// A call that takes a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) function: String,
    pub(super) kind: Kind,
    pub(super) line: usize,
    /// The names; none if they are not in the text.
    pub(super) names: Vec<Vec<u8>>,
}

/// No call has so many tokens; without a bound one that is never closed is read to the end of the file.
const LONGEST_CALL: usize = 10_000;

/// All calls in a file.
pub(super) fn calls(language: Language, source: &[u8]) -> Vec<Call> {
    let tokens = tokens(language, source);
    let file = File {
        language,
        constants: constants(language, &tokens),
        aliases: aliases(language, &tokens),
        posix_ipc: is_posix_ipc(language, &tokens),
        tokens: &tokens,
    };
    (0..tokens.len()).flat_map(|at| file.calls_at(at)).collect()
}

struct File<'a> {
    language: Language,
    tokens: &'a [Token],
    constants: HashMap<&'a str, Vec<Vec<u8>>>,
    /// Names given by `use … as` and `import … as`, and what they stand for.
    aliases: HashMap<&'a str, &'a str>,
    /// Unqualified classes of Python are those of posix_ipc.
    posix_ipc: bool,
}

fn is_posix_ipc(language: Language, tokens: &[Token]) -> bool {
    let has = |word: &str| {
        let mut kinds = tokens.iter().map(|token| &token.kind);
        kinds.any(|kind| matches!(kind, TokenKind::Word(found) if found == word))
    };
    language == Language::Python && has("posix_ipc") && !has("multiprocessing") && !has("threading")
}

fn aliases(language: Language, tokens: &[Token]) -> HashMap<&str, &str> {
    let renamed = tokens.windows(3).filter_map(|three| {
        let [of, by, to] = three else {
            return None;
        };
        match (&of.kind, &by.kind, &to.kind) {
            (TokenKind::Word(of), TokenKind::Word(by), TokenKind::Word(to)) if by == "as" => {
                Some((to.as_str(), of.as_str()))
            }
            _ => None,
        }
    });
    match language {
        Language::Python | Language::Rust => renamed.collect(),
        Language::C | Language::Go => HashMap::new(),
    }
}

/// Where a function takes its name.
struct Signature {
    kind: Kind,
    /// The arguments that are names.
    positions: &'static [usize],
    /// Python's keyword for it.
    keyword: Option<&'static str>,
    /// Whether a slash is put before it, as multiprocessing.shared_memory does.
    slash: bool,
    /// Whether the name may be left out.
    optional: bool,
}

const fn signature(kind: Kind, positions: &'static [usize]) -> Signature {
    Signature {
        kind,
        positions,
        keyword: None,
        slash: false,
        optional: false,
    }
}

impl File<'_> {
    fn word(&self, at: usize) -> Option<&str> {
        match &self.tokens.get(at)?.kind {
            TokenKind::Word(word) => Some(word),
            TokenKind::Text(_) | TokenKind::Mark(_) => None,
        }
    }

    fn is_mark(&self, at: usize, mark: u8) -> bool {
        self.tokens
            .get(at)
            .is_some_and(|token| token.kind == TokenKind::Mark(mark))
    }

    /// What the word stands for, if it was imported under another name.
    fn meant<'w>(&'w self, word: &'w str) -> &'w str {
        self.aliases.get(word).copied().unwrap_or(word)
    }

    /// The word before `.` or `::` and this one.
    fn qualifier(&self, at: usize) -> Option<&str> {
        let before = at.checked_sub(2)?;
        if self.is_mark(at - 1, b'.') {
            return self.word(before).map(|word| self.meant(word));
        }
        let is_path = self.is_mark(at - 1, b':') && self.is_mark(before, b':');
        if is_path {
            self.word(before.checked_sub(1)?)
                .map(|word| self.meant(word))
        } else {
            None
        }
    }

    fn signature(&self, at: usize) -> Option<Signature> {
        let word = self.meant(self.word(at)?);
        match word {
            "shm_open" | "shm_unlink" | "shm_open2" | "shm_mkstemp" | "shm_create_largepage" => {
                Some(signature(Kind::SharedMemory, &[0]))
            }
            "shm_rename" => Some(signature(Kind::SharedMemory, &[0, 1])),
            "sem_open" | "sem_unlink" => Some(signature(Kind::Semaphore, &[0])),
            "mq_open" | "mq_unlink" => Some(signature(Kind::MessageQueue, &[0])),
            _ => match self.language {
                Language::C => None,
                Language::Rust => self.rust_signature(at, word),
                Language::Python => self.python_signature(at, word),
                Language::Go => self.go_signature(at, word),
            },
        }
    }

    fn rust_signature(&self, at: usize, word: &str) -> Option<Signature> {
        match word {
            // rustix::shm
            "open" | "unlink" if self.qualifier(at) == Some("shm") => {
                Some(signature(Kind::SharedMemory, &[0]))
            }
            // the crate shared_memory
            "os_id" => Some(signature(Kind::SharedMemory, &[0])),
            _ => None,
        }
    }

    fn python_signature(&self, at: usize, word: &str) -> Option<Signature> {
        let posix_ipc = self.qualifier(at) == Some("posix_ipc") || self.posix_ipc;
        let by_name = |kind, position: &'static [usize], slash: bool| {
            Some(Signature {
                kind,
                positions: position,
                keyword: Some("name"),
                slash,
                optional: true,
            })
        };
        match word {
            "SharedMemory" => by_name(Kind::SharedMemory, &[0], !posix_ipc),
            "ShareableList" => by_name(Kind::SharedMemory, &[1], true),
            "unlink_shared_memory" => by_name(Kind::SharedMemory, &[0], false),
            "Semaphore" | "unlink_semaphore" if posix_ipc => by_name(Kind::Semaphore, &[0], false),
            "MessageQueue" | "unlink_message_queue" if posix_ipc => {
                by_name(Kind::MessageQueue, &[0], false)
            }
            _ => None,
        }
    }

    fn go_signature(&self, at: usize, word: &str) -> Option<Signature> {
        match word {
            "ShmOpen" | "ShmUnlink" => Some(signature(Kind::SharedMemory, &[0])),
            "SemOpen" | "SemUnlink" => Some(signature(Kind::Semaphore, &[0])),
            "MqOpen" | "MqUnlink" => Some(signature(Kind::MessageQueue, &[0])),
            "Open" | "Unlink" if self.qualifier(at) == Some("shm") => {
                Some(signature(Kind::SharedMemory, &[0]))
            }
            _ => None,
        }
    }

    fn calls_at(&self, at: usize) -> Vec<Call> {
        if !self.is_mark(at + 1, b'(') || self.is_definition(at) {
            return Vec::new();
        }
        let (Some(function), Some(signature)) = (self.word(at), self.signature(at)) else {
            return Vec::new();
        };
        let arguments = self.arguments(at + 1);
        let named: Vec<Range<usize>> = match signature
            .keyword
            .and_then(|word| self.keyword(&arguments, word))
        {
            Some(argument) => vec![argument],
            None => signature
                .positions
                .iter()
                .filter_map(|&position| arguments.get(position).cloned())
                .collect(),
        };
        let named = named
            .into_iter()
            .filter(|argument| !self.is_declaration(argument));
        let call = |argument: Range<usize>| {
            let mut names = self.names(argument.clone());
            if names.is_empty() && signature.optional && self.is_left_out(&argument) {
                return None;
            }
            for name in &mut names {
                finish(name, signature.slash);
            }
            Some(Call {
                function: function.to_owned(),
                kind: signature.kind,
                line: self.tokens[at].line,
                names,
            })
        };
        named.filter_map(call).collect()
    }

    /// Whether the function is being declared here.
    fn is_definition(&self, at: usize) -> bool {
        at.checked_sub(1)
            .and_then(|before| self.word(before))
            .is_some_and(|word| matches!(word, "fn" | "def" | "func" | "class"))
    }

    /// Whether the argument is C's declaration of a parameter: two words in a row are no expression, but for
    /// casts, which are in brackets.
    fn is_declaration(&self, argument: &Range<usize>) -> bool {
        if self.language != Language::C {
            return false;
        }
        let mut depth = 0;
        let mut follows_word = false;
        for token in &self.tokens[argument.clone()] {
            match &token.kind {
                TokenKind::Text(_) => return false,
                TokenKind::Word(word) if depth == 0 && (follows_word || word == "const") => {
                    return true;
                }
                TokenKind::Mark(b'(' | b'<') => depth += 1,
                TokenKind::Mark(b')' | b'>') => depth -= 1,
                TokenKind::Word(_) | TokenKind::Mark(_) => {}
            }
            follows_word = matches!(token.kind, TokenKind::Word(_));
        }
        false
    }

    /// A keyword argument other than the name, or `None`.
    fn is_left_out(&self, argument: &Range<usize>) -> bool {
        let is_keyword =
            self.is_mark(argument.start + 1, b'=') && !self.is_mark(argument.start + 2, b'=');
        is_keyword || argument.len() == 1 && self.word(argument.start) == Some("None")
    }

    /// The arguments between this parenthesis and its partner.
    fn arguments(&self, open: usize) -> Vec<Range<usize>> {
        let mut arguments = Vec::new();
        let mut depth = 0;
        let mut start = open + 1;
        for at in (open..self.tokens.len()).take(LONGEST_CALL) {
            let TokenKind::Mark(mark) = self.tokens[at].kind else {
                continue;
            };
            match mark {
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth -= 1,
                b',' if depth == 1 => {
                    arguments.push(start..at);
                    start = at + 1;
                }
                _ => {}
            }
            if depth == 0 {
                arguments.push(start..at);
                break;
            }
        }
        arguments.retain(|argument| !argument.is_empty());
        arguments
    }

    fn keyword(&self, arguments: &[Range<usize>], keyword: &str) -> Option<Range<usize>> {
        let found = arguments.iter().find(|argument| {
            self.word(argument.start) == Some(keyword) && self.is_mark(argument.start + 1, b'=')
        })?;
        Some(found.start + 2..found.end)
    }

    /// The names that an argument can be; none if that depends on more than the text.
    fn names(&self, argument: Range<usize>) -> Vec<Vec<u8>> {
        if argument
            .clone()
            .any(|at| self.is_dynamic(at, argument.start))
        {
            return Vec::new();
        }
        let literals = literals(&self.tokens[argument.clone()]);
        if !literals.is_empty() {
            return literals
                .into_iter()
                .collect::<Option<_>>()
                .unwrap_or_default();
        }
        let mut known = argument.filter_map(|at| self.constants.get(self.word(at)?));
        match (known.next(), known.next()) {
            (Some(values), None) => values.clone(),
            (Some(_), Some(_)) | (None, _) => Vec::new(),
        }
    }

    /// Whether a token makes the value depend on more than literals: `+`, `%`, or a call that is
    /// not known to pass its argument on.
    fn is_dynamic(&self, at: usize, start: usize) -> bool {
        const PASSING: &[&str] = &[
            "CString",
            "CStr",
            "new",
            "from",
            "string",
            "String",
            "str",
            "c_str",
            "as_ptr",
            "cast",
            "unwrap",
            "expect",
            "from_bytes_with_nul",
            "from_bytes_with_nul_unchecked",
            "from_bytes_until_nul",
            "from_ptr",
            "encode",
            "bytes",
            "fsencode",
            "c_char_p",
            "create_string_buffer",
            "BytePtrFromString",
            "as_bytes",
            "as_c_str",
            "to_owned",
            "to_string",
            "into",
            "as_ref",
            "CharPtr",
            "Pointer",
            "data",
            "into_raw",
            "as_str",
        ];
        match &self.tokens[at].kind {
            TokenKind::Mark(b'+' | b'%') => true,
            TokenKind::Mark(b'*') => self.language == Language::Python,
            TokenKind::Mark(b'!') => at > start && self.word(at - 1).is_some(),
            TokenKind::Mark(b'(') if at > start => self
                .word(at - 1)
                .is_some_and(|callee| !PASSING.contains(&callee)),
            TokenKind::Text(_) => {
                let next_is_word = self
                    .word(at + 1)
                    .is_some_and(|word| !matches!(word, "if" | "else" | "as" | "or" | "and"));
                let after_word = at > start
                    && self
                        .word(at - 1)
                        .is_some_and(|word| !matches!(word, "else" | "return" | "or" | "and"));
                next_is_word || after_word
            }
            TokenKind::Mark(_) | TokenKind::Word(_) => false,
        }
    }
}

/// What C makes of a literal: it ends at its first NUL.
fn finish(name: &mut Vec<u8>, slash: bool) {
    if let Some(nul) = name.iter().position(|&byte| byte == 0) {
        name.truncate(nul);
    }
    if slash {
        name.insert(0, b'/');
    }
}

#[cfg(test)]
#[path = "scan_tests.rs"]
mod tests;
