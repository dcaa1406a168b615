//! Which names mean the same on every current platform, and what becomes of the others.

use sha2::{Digest, Sha256};

use super::openbsd::hex;
use super::scheme::{Age, Kind, NameOp, Refusal, Scheme};
use super::{SCHEMES, concat, strip_slashes};

/// What a platform makes of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It names the object that `/name` names.
    Works,
    /// It names an object, but `/name`, with the same rest, names another.
    Another,
    /// It names a file that is also the semaphore of this name.
    Semaphore(Vec<u8>),
    /// The platform opens a file outside its directory.
    Escapes,
    /// The platform refuses it.
    Refused(Refusal),
}

impl Verdict {
    /// Whether a program on the platform gets an object in its place.
    pub fn is_usable(&self) -> bool {
        match self {
            Verdict::Works | Verdict::Another | Verdict::Semaphore(_) => true,
            Verdict::Escapes | Verdict::Refused(_) => false,
        }
    }
}

/// What the platform of `scheme` makes of `name`.
pub fn verdict(scheme: &Scheme, name: &[u8]) -> Verdict {
    let place = match scheme.object(name) {
        Ok(place) => place,
        Err(refusal) => return Verdict::Refused(refusal),
    };
    if scheme.view_path(&place).is_err() {
        return Verdict::Escapes;
    }
    if let Some((_, semaphore)) = scheme.semaphore_of(name) {
        return Verdict::Semaphore(semaphore);
    }
    let usual = concat(b"/", strip_slashes(name));
    if scheme.translate(NameOp::Open, &usual).is_ok() && !scheme.same_object(name, &usual) {
        return Verdict::Another;
    }
    Verdict::Works
}

/// The schemes of this kind whose rules still hold, one for each platform.
pub fn current(kind: Kind) -> impl Iterator<Item = &'static Scheme> {
    objects(kind).filter(|scheme| scheme.age == Age::Current)
}

/// The schemes of this kind, without the files that only accompany an object.
pub fn objects(kind: Kind) -> impl Iterator<Item = &'static Scheme> {
    SCHEMES
        .iter()
        .copied()
        .filter(move |scheme| scheme.kind == kind && scheme.companion.is_none())
}

/// What a portable name keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// It begins with one slash.
    LeadingSlash,
    /// Something follows the slash.
    NotEmpty,
    /// No other slash, and no backslash.
    NoSeparator,
    /// Not `.` and not `..`.
    NotDots,
    /// Only letters, digits, `.`, `_` and `-`.
    Characters,
    /// So many bytes with the slash.
    Length(usize),
    /// Not a semaphore's file.
    NotSemaphore,
    /// Not a temporary file of musl.
    NotTemporary,
}

impl Rule {
    /// A short word for programs.
    pub const fn id(self) -> &'static str {
        match self {
            Rule::LeadingSlash => "leading-slash",
            Rule::NotEmpty => "not-empty",
            Rule::NoSeparator => "no-separator",
            Rule::NotDots => "not-dots",
            Rule::Characters => "characters",
            Rule::Length(_) => "length",
            Rule::NotSemaphore => "not-semaphore",
            Rule::NotTemporary => "not-temporary",
        }
    }

    /// What the name should do.
    pub fn text(self) -> String {
        match self {
            Rule::LeadingSlash => "begins with exactly one slash".into(),
            Rule::NotEmpty => "has something after its slash".into(),
            Rule::NoSeparator => "has no slash but the first, and no backslash".into(),
            Rule::NotDots => "is neither /. nor /..".into(),
            Rule::Characters => "has only letters, digits, '.', '_' and '-' after the slash".into(),
            Rule::Length(longest) => format!("is at most {longest} bytes long, its slash included"),
            Rule::NotSemaphore => "does not begin with sem., the file of a semaphore".into(),
            Rule::NotTemporary => {
                "is not tmp- and digits, a temporary file of musl's sem_open".into()
            }
        }
    }
}

/// The longest portable name, its slash included.
pub const fn longest(kind: Kind) -> usize {
    match kind {
        Kind::SharedMemory | Kind::LockFile => 31, // XNU
        Kind::Semaphore => 14,                     // NetBSD
        Kind::MessageQueue => 255,                 // Cygwin
    }
}

/// The rules that the name breaks.
pub fn misses(kind: Kind, name: &[u8]) -> Vec<Rule> {
    let body = strip_slashes(name);
    let rules = [
        (Rule::LeadingSlash, name.len() == body.len() + 1),
        (Rule::NotEmpty, !body.is_empty()),
        (
            Rule::NoSeparator,
            !body.iter().any(|&byte| is_separator(byte)),
        ),
        (Rule::NotDots, body != b"." && body != b".."),
        (
            Rule::Characters,
            body.iter()
                .all(|&byte| is_portable(byte) || is_separator(byte)),
        ),
        (Rule::Length(longest(kind)), name.len() <= longest(kind)),
        (
            Rule::NotSemaphore,
            kind != Kind::SharedMemory || !body.starts_with(b"sem."),
        ),
        (
            Rule::NotTemporary,
            kind == Kind::MessageQueue || !is_musl_temporary(body),
        ),
    ];
    rules
        .into_iter()
        .filter_map(|(rule, kept)| (!kept).then_some(rule))
        .collect()
}

/// The portable name that is nearest to this one; the name itself if it is portable.
pub fn nearest(kind: Kind, name: &[u8]) -> Vec<u8> {
    if misses(kind, name).is_empty() {
        return name.to_vec();
    }
    let body: Vec<u8> = trim(name)
        .iter()
        .map(|&byte| if is_portable(byte) { byte } else { b'_' })
        .collect();
    let mut body = match body.as_slice() {
        b"" => b"object".to_vec(),
        b"." => b"_".to_vec(),
        b".." => b"__".to_vec(),
        _ => body,
    };
    if (kind == Kind::SharedMemory && body.starts_with(b"sem.")) || is_musl_temporary(&body) {
        body[3] = b'_';
    }
    let room = longest(kind) - 1;
    if body.len() > room {
        // What is cut is told apart by a digest of the whole.
        body.truncate(room - 7);
        body.push(b'-');
        body.extend_from_slice(&hex(&Sha256::digest(name)).as_bytes()[..6]);
    }
    concat(b"/", &body)
}

fn trim(name: &[u8]) -> &[u8] {
    let start = name
        .iter()
        .position(|&byte| !is_separator(byte))
        .unwrap_or(name.len());
    let end = name
        .iter()
        .rposition(|&byte| !is_separator(byte))
        .map_or(start, |last| last + 1);
    &name[start..end]
}

const fn is_separator(byte: u8) -> bool {
    byte == b'/' || byte == b'\\'
}

const fn is_portable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')
}

fn is_musl_temporary(body: &[u8]) -> bool {
    body.strip_prefix(b"tmp-")
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;
    use crate::view::find;

    fn on(key: &str, name: &[u8]) -> Verdict {
        verdict(find(key).expect("a key"), name)
    }

    #[test]
    fn verdicts() {
        assert_eq!(on("glibc", b"/foo"), Verdict::Works);
        assert_eq!(on("glibc", b"foo"), Verdict::Works);
        assert_eq!(on("openbsd", b"foo"), Verdict::Another);
        assert_eq!(on("xnu", b"//foo"), Verdict::Another);
        assert_eq!(
            on("freebsd", b"foo"),
            Verdict::Refused(Refusal::Errno(Errno::EINVAL))
        );
        assert_eq!(
            on("glibc", b"/sem.foo"),
            Verdict::Semaphore(b"/foo".to_vec())
        );
        assert_eq!(on("musl", b"/foo"), Verdict::Semaphore(b"/foo".to_vec()));
        assert_eq!(on("uclibc", b"/../../etc/x"), Verdict::Escapes);
        assert_eq!(
            on("dragonfly-sem", b"foo"),
            Verdict::Refused(Refusal::Undefined)
        );
        assert_eq!(on("cygwin", b"\\foo"), Verdict::Works);
        assert_eq!(on("cygwin-1.7", b"/..\\..\\x"), Verdict::Escapes);
        assert_eq!(
            on("glibc", b"/.."),
            Verdict::Refused(Refusal::Errno(Errno::EINVAL))
        );
    }

    #[test]
    fn nearest_portable_names() {
        let shm =
            |name: &[u8]| String::from_utf8(nearest(Kind::SharedMemory, name)).expect("ASCII");
        assert_eq!(shm(b"/foo"), "/foo");
        assert_eq!(shm(b"foo"), "/foo");
        assert_eq!(shm(b"//a/b/"), "/a_b");
        assert_eq!(shm(b""), "/object");
        assert_eq!(shm(b"/.."), "/__");
        assert_eq!(shm(b"/sem.x"), "/sem_x");
        assert_eq!(shm(b"/tmp-12"), "/tmp_12");
        assert_eq!(shm(&[b'a'; 40]).len(), 31);
        assert_ne!(shm(&[b'a'; 40]), shm(&[b'a'; 41]));
    }
}
