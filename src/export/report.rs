//! Collects what is wrong with a configuration, with its lines.

use super::problem::{Code, Problem, Problems, Warning};

/// Collects what is wrong, with lines.
pub(super) struct Report<'a> {
    text: &'a str,
    /// Where each line begins.
    lines: Vec<usize>,
    errors: Vec<(usize, Problem)>,
    warnings: Vec<(usize, Problem)>,
    export: Option<String>,
    key: Option<String>,
    /// The file is no sound TOML: what seems to be missing may be there.
    pub(super) is_torn: bool,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Report<'a> {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = std::iter::once(0).chain(ends.map(|(at, _)| at + 1));
        Report {
            text,
            lines: lines.collect(),
            errors: Vec::new(),
            warnings: Vec::new(),
            export: None,
            key: None,
            is_torn: false,
        }
    }

    /// What follows is about this export.
    pub(super) fn enter(&mut self, export: &str) {
        self.export = Some(export.to_owned());
        self.key = None;
    }

    /// What follows is about this key.
    pub(super) fn at_key(&mut self, key: &str) {
        self.key = Some(key.to_owned());
    }

    pub(super) fn no_key(&mut self) {
        self.key = None;
    }

    pub(super) fn error(
        &mut self,
        code: Code,
        at: usize,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let problem = self.problem(code, at, what.into(), instead.into());
        self.errors.push((at, problem));
    }

    pub(super) fn warning(
        &mut self,
        code: Code,
        at: usize,
        what: impl Into<String>,
        instead: impl Into<String>,
    ) {
        let problem = self.problem(code, at, what.into(), instead.into());
        self.warnings.push((at, problem));
    }

    fn problem(&self, code: Code, at: usize, what: String, instead: String) -> Problem {
        let (line, column) = self.place(at);
        Problem {
            code,
            export: self.export.clone(),
            key: self.key.clone(),
            line,
            column,
            what,
            instead,
        }
    }

    /// Line and column of an offset, from 1.
    pub(super) fn place(&self, at: usize) -> (usize, usize) {
        let line = self.lines.partition_point(|start| *start <= at);
        let start = self.lines[line - 1];
        let before = self.text.get(start..at).unwrap_or_default();
        (line, before.chars().count() + 1)
    }

    /// The warnings where there is no error; otherwise all.
    pub(super) fn finish(mut self, origin: &str) -> Result<Vec<Warning>, Problems> {
        self.errors.sort_by_key(|(at, _)| *at);
        self.warnings.sort_by_key(|(at, _)| *at);
        let warnings = self.warnings.into_iter().map(|(_, problem)| Warning {
            origin: origin.to_owned(),
            problem,
        });
        let warnings = warnings.collect();
        if self.errors.is_empty() {
            return Ok(warnings);
        }
        Err(Problems {
            origin: origin.to_owned(),
            errors: self.errors.into_iter().map(|(_, error)| error).collect(),
            warnings,
        })
    }

    /// Where `offset` of a string is in the file: right in it, where it is written as it reads.
    pub(super) fn within(&self, start: usize, written: &str, offset: usize) -> usize {
        let rest = self.text.get(start + 1..).unwrap_or_default();
        match rest.starts_with(written) {
            true => start + 1 + offset,
            false => start,
        }
    }
}
