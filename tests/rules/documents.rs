//! docs/EXPORTS.md says what the program does.
//!
//! `SHMFS_UPDATE_DOCS=1 cargo test --test rules documents` writes what is made by the program.

use shmfs::export::{Code, Exports, Presence, ROWS, Rights, Subject, verdict};

use crate::written::{document, head, holds, row};

/// The rights that have a column.
const COLUMNS: [(&str, Rights); 4] = [
    ("hidden", Rights::NONE),
    ("read", Rights::READ),
    ("read, write", Rights::from_bits(3)),
    ("all four", Rights::ALL),
];

#[test]
fn the_table_of_operations_is_current() {
    let titles = COLUMNS.map(|(title, _)| title.to_owned());
    let mut table = head(&[&["operation".to_owned()][..], &titles].concat());
    for line in ROWS {
        let presence = match line.subject {
            Subject::Directory => Presence::Directory { leads: false },
            Subject::File | Subject::Both | Subject::Layer => Presence::File,
        };
        let cells = COLUMNS.map(|(_, rights)| {
            let answer = |presence| match verdict(line.operation, rights, presence) {
                Ok(()) => "–",
                Err(errno) => errno.name().unwrap(),
            };
            match (answer(presence), answer(Presence::Absent)) {
                (present, absent) if present == absent => present.to_owned(),
                (present, absent) => format!("{present} / {absent}"),
            }
        });
        let label = line.label.replace('|', "\\|");
        table += &row([label].into_iter().chain(cells));
    }
    holds("EXPORTS.md", "operations", &table);
}

/// Lines of an export that give each code. Of what no text can show there is none.
fn example(code: Code) -> Option<&'static str> {
    Some(match code {
        Code::Read => return None,
        Code::Toml => "read = [",
        Code::Name => return None,
        Code::Empty => "hide = ['x']",
        Code::Type => "read = 'foo'",
        Code::UnknownKey => "reads = ['foo']",
        Code::NoPath => "rule = [{permissions = ['read']}]",
        Code::EmptyPattern => "read = ['']",
        Code::Whitespace => "read = ['foo ']",
        Code::Control => "read = [\"a\\nb\"]",
        Code::TooLong => return None,
        Code::Absolute => "read = ['/dev/shm/foo']",
        Code::Unclean => "read = ['a/../b']",
        Code::DoubleStar => "read = ['mem**']",
        Code::Syntax => "read = ['[z-a]', '{a,b']",
        Code::Permission => "rule = [{path = 'q', permissions = ['open']}]",
        Code::CreateAlone => "rule = [{path = 'q', permissions = ['create']}]",
        Code::Duplicate => "read = ['foo']; write = ['foo']",
        Code::Shadowed => "read = ['foo-ro']; write = ['foo*']",
        Code::DeadRule => "read = ['foo']; hide = ['f*']",
        Code::PrivateExclusive => "private = true; read = ['foo']",
        Code::Everything => "read = ['*']",
        Code::Covered => "read = ['foo*', 'foo1']",
        Code::Semaphore => "read = ['sem.foo']",
        Code::Overlap => "read = ['foo*']; write = ['foo*-rw']",
        Code::FilesOnly => "read = ['tree/**']; hide = ['tree/secret']",
        Code::NoEffect => "read = ['foo']; keep = true",
    })
}

#[test]
fn the_table_of_codes_is_current_and_its_examples_are_true() {
    let mut table = head(&["code", "when", "for example"].map(str::to_owned));
    for &code in Code::ALL {
        let example = example(code);
        if let Some(lines) = example {
            let text = format!("[export.a]\n{}\n", lines.replace("; ", "\n"));
            let found = match Exports::parse(&text, "x") {
                Ok((_, warnings)) => warnings.iter().any(|warning| warning.problem.code == code),
                Err(problems) => problems.has(code),
            };
            assert!(found, "{lines} is not {code}");
        }
        let shown = example.map_or_else(String::new, |lines| format!("`{lines}`"));
        table += &row([
            format!("`{code}`"),
            code.meaning().to_owned(),
            shown.replace('|', "\\|"),
        ]);
    }
    holds("EXPORTS.md", "codes", &table);
}

/// The blocks of a document that are TOML.
fn blocks(text: &str) -> Vec<String> {
    let blocks = text.split("```toml\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap_or_default().to_owned())
        .collect()
}

#[test]
fn every_configuration_in_the_document_is_sound() {
    let blocks = blocks(&document("EXPORTS.md"));
    assert!(!blocks.is_empty(), "no block");
    for block in blocks {
        let (exports, _) = Exports::parse(&block, "docs/EXPORTS.md")
            .unwrap_or_else(|problems| panic!("{block}\n{problems}"));
        assert!(!exports.is_empty(), "{block}");
    }
}
