//! The parts of the help that are not an argument's.

use std::fmt::Write;

use crate::options::{Group, Takes, WORDS, Word};

pub(super) const EXIT_STATUS: &str = "EXIT STATUS\n  \
    0 done; 1 wrong usage or no permission; 2 the system refused something;\n  \
    4 a fault in shmfs; 8 interrupted; 32 the mount failed";

pub(super) const fn exit_status_of_run() -> &'static str {
    "EXIT STATUS\n  \
    The command's; 128+n when signal n ended it; 125 shmfs failed before the command ran;\n  \
    126 the command cannot be executed; 127 it was not found"
}

/// `end` behind the table of mount options.
pub(super) fn help(end: &str) -> String {
    let mut text = String::from("MOUNT OPTIONS (-o)\n");
    for group in [Group::Tmpfs, Group::Shmfs] {
        for word in WORDS.iter().filter(|word| word.group == group) {
            describe(word, &mut text);
        }
    }
    text.push_str("  and the generic ones of mount(8):");
    let generic = WORDS.iter().filter(|word| word.group == Group::Generic);
    for (at, word) in generic.enumerate() {
        text.push_str(if at % 10 == 0 { "\n    " } else { " " });
        text.push_str(word.name);
    }
    text.push_str("\n  Defaults: size=50%, as many inodes as half of RAM has pages, mode=1777,");
    text.push_str(" nosuid, nodev.\n\n");
    text.push_str(end);
    text
}

fn describe(word: &Word, text: &mut String) {
    let value = match word.takes {
        Takes::Value(_) => "=",
        Takes::Nothing | Takes::Either => "",
    };
    // A `String` takes everything.
    let _ = writeln!(
        text,
        "  {:<13} {}",
        format!("{}{value}", word.name),
        word.about
    );
}
