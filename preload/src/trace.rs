//! What `SHMFS_TRACE=1` prints: each call, where it led, its result, and what other platforms say.

use std::cell::RefCell;
use std::fmt::{self, Write};

use crate::errno::Errno;
use crate::view::portable::{self, Verdict};
use crate::view::{Kind, NameOp, Place, Scheme};

/// What a call leaves behind for the trace.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    place: RefCell<Option<Place>>,
    notes: RefCell<Vec<&'static str>>,
}

impl Trail {
    /// The name leads there.
    pub(crate) fn set_place(&self, place: &Place) {
        *self.place.borrow_mut() = Some(place.clone());
    }

    /// Something that the errno does not tell.
    pub(crate) fn note(&self, note: &'static str) {
        let mut notes = self.notes.borrow_mut();
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
}

/// A call as the program wrote it.
#[derive(Clone, Debug)]
pub(crate) struct Called<'n> {
    /// `shm_open("/foo", O_RDWR|O_CREAT, 0600)`.
    pub(crate) text: String,
    /// What is named, and its name; `None` where nothing is.
    pub(crate) named: Option<(NameOp, Kind, &'n [u8])>,
}

/// One line for the call, one for the other platforms.
pub(crate) fn report(key: &str, called: &Called<'_>, result: Result<String, Errno>, trail: &Trail) {
    let mut line = format!("shmfs[{}] {key}: {} = ", std::process::id(), called.text);
    match result {
        Ok(value) => line.push_str(&value),
        Err(errno) => line.push_str(&errno_name(errno)),
    }
    match &*trail.place.borrow() {
        Some(Place::Path(path)) => line.push_str(&format!("  at {}", quoted(path))),
        Some(Place::Key(key)) => line.push_str(&format!("  in the kernel, key {}", quoted(key))),
        Some(Place::Hash(hash)) => line.push_str(&format!("  in the kernel, hash {hash:08x}")),
        None => {}
    }
    for note in trail.notes.borrow().iter() {
        line.push_str("; ");
        line.push_str(note);
    }
    line.push('\n');
    if let Some((op, kind, name)) = called.named {
        line.push_str(&others(key, op, kind, name));
    }
    crate::sys::print(line.as_bytes());
}

fn others(key: &str, op: NameOp, kind: Kind, name: &[u8]) -> String {
    let mut groups: Vec<(String, Vec<&str>)> = Vec::new();
    for scheme in portable::current(kind).filter(|scheme| scheme.platform != key) {
        let words = in_words(scheme, op, name);
        match groups.iter_mut().find(|(group, _)| *group == words) {
            Some((_, keys)) => keys.push(scheme.key),
            None => groups.push((words, vec![scheme.key])),
        }
    }
    let groups: Vec<String> = groups
        .iter()
        .map(|(words, keys)| format!("{words}: {}", keys.join(" ")))
        .collect();
    format!("    elsewhere {}\n", groups.join("; "))
}

fn in_words(scheme: &Scheme, op: NameOp, name: &[u8]) -> String {
    if let (NameOp::Unlink, Err(refusal)) = (op, scheme.translate(op, name)) {
        return refusal.name().to_owned();
    }
    match portable::verdict(scheme, name) {
        Verdict::Works => "works".to_owned(),
        Verdict::Another => "an object that is not /name's".to_owned(),
        Verdict::Semaphore(semaphore) => {
            format!("works, and is the semaphore {}", quoted(&semaphore))
        }
        Verdict::Escapes => "leaves its directory".to_owned(),
        Verdict::Refused(refusal) => refusal.name().to_owned(),
    }
}

/// The symbolic name, or the number.
pub(crate) fn errno_name(errno: Errno) -> String {
    match errno.name() {
        Some(name) => name.to_owned(),
        None => format!("errno {}", errno.raw()),
    }
}

/// As a C string literal.
pub(crate) fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", bytes.escape_ascii())
}

/// The flags of an open, by name.
pub(crate) fn flags(flags: i32) -> String {
    const NAMES: &[(i32, &str)] = &[
        (libc::O_CREAT, "O_CREAT"),
        (libc::O_EXCL, "O_EXCL"),
        (libc::O_TRUNC, "O_TRUNC"),
        (libc::O_CLOEXEC, "O_CLOEXEC"),
        (libc::O_NOFOLLOW, "O_NOFOLLOW"),
        (libc::O_NONBLOCK, "O_NONBLOCK"),
        (libc::O_APPEND, "O_APPEND"),
    ];
    let mut text = match flags & libc::O_ACCMODE {
        libc::O_RDONLY => "O_RDONLY".to_owned(),
        libc::O_WRONLY => "O_WRONLY".to_owned(),
        libc::O_RDWR => "O_RDWR".to_owned(),
        other => format!("{other}"),
    };
    let mut rest = flags & !libc::O_ACCMODE;
    for (bit, name) in NAMES.iter().filter(|(bit, _)| flags & bit != 0) {
        text.push('|');
        text.push_str(name);
        rest &= !bit;
    }
    if rest != 0 {
        text.push_str(&format!("|{rest:#x}"));
    }
    text
}

/// A line without a heap: what a signal handler may call is traced with it.
struct Line {
    bytes: [u8; 160],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            let slot = self.bytes.get_mut(self.len).ok_or(fmt::Error)?;
            *slot = byte;
            self.len += 1;
        }
        Ok(())
    }
}

/// One line for a descriptor that the platform would treat otherwise than this host.
pub(crate) fn refused(key: &str, call: &str, fd: i32, errno: Errno) {
    let mut line = Line {
        bytes: [0; 160],
        len: 0,
    };
    // Too long only for a key that does not exist; what fits is printed.
    let _ = writeln!(
        line,
        "shmfs {key}: {call} on shared memory, descriptor {fd} = {}",
        errno.name().unwrap_or("error")
    );
    crate::sys::print(line.bytes.get(..line.len).unwrap_or_default());
}
