//! What a scheme is, and what follows from its rules for every platform alike.

use std::fmt;

use super::file_system::FileSystem;
use super::key_name::{self, FileName};
use crate::errno::Errno;

/// What a name is a name of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// `shm_open`.
    SharedMemory,
    /// `sem_open`.
    Semaphore,
    /// `mq_open`.
    MessageQueue,
    /// A file that is created to lock a name while it is opened or unlinked.
    LockFile,
}

impl Kind {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::SharedMemory => "shared memory",
            Kind::Semaphore => "semaphore",
            Kind::MessageQueue => "message queue",
            Kind::LockFile => "lock file",
        }
    }
}

/// Whether a platform's newest release has these rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Age {
    /// It has.
    Current,
    /// An older release had.
    Past,
}

impl Age {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Age::Current => "current",
            Age::Past => "past",
        }
    }
}

/// Which call gets the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NameOp {
    /// `shm_open`, `sem_open`, `mq_open`, as a call that creates.
    Open,
    /// `shm_unlink`, `sem_unlink`, `mq_unlink`.
    Unlink,
}

impl NameOp {
    /// As on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            NameOp::Open => "open",
            NameOp::Unlink => "unlink",
        }
    }
}

/// Where a platform keeps the object of a name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// A file.
    Path(Vec<u8>),
    /// An entry of a table in the kernel, found by these bytes.
    Key(Vec<u8>),
    /// An entry of a table in the kernel, found by this number alone.
    Hash(u32),
}

/// Why a platform has no place for a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The call fails.
    Errno(Errno),
    /// The platform reads memory that it never wrote: anything may happen.
    Undefined,
}

impl Refusal {
    /// The errno's name, or `UNDEFINED`.
    pub fn name(self) -> &'static str {
        match self {
            Refusal::Errno(errno) => errno.name().unwrap_or("EIO"),
            Refusal::Undefined => "UNDEFINED",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What a platform makes of a name.
pub type Answer = Result<Place, Refusal>;

/// A refusal with this errno.
pub(super) const fn refuse<T>(errno: Errno) -> Result<T, Refusal> {
    Err(Refusal::Errno(errno))
}

/// The rules of a scheme: its platform's checks in their order.
pub trait NameScheme: fmt::Debug + Sync {
    /// Where the object of a name is, for a call that opens or creates.
    fn open(&self, name: &[u8]) -> Answer;

    /// The same for a call that unlinks.
    fn unlink(&self, name: &[u8]) -> Answer {
        self.open(name)
    }

    /// A name that may have led to this path: [`Scheme::reverse`] checks it, so a guess will do.
    fn guess(&self, path: &[u8]) -> Option<Vec<u8>>;

    /// Whether the path has the form of a digest, which only its name can claim.
    fn is_digest(&self, _path: &[u8]) -> bool {
        false
    }
}

/// The directory of a scheme's objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Directory {
    /// Paths begin with this; it ends where a name begins, mostly with a slash.
    Path(&'static str),
    /// There is none: objects are known to the kernel alone.
    Kernel,
}

impl Directory {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Directory::Path(path) => path,
            Directory::Kernel => "(kernel)",
        }
    }
}

/// What is known of a name when only its place is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reversible {
    /// All: a place has one name.
    Exact,
    /// All but the spelling: several names share a place, and the one of the form `/x` is told.
    Spelling,
    /// Nothing: a name must be guessed and tried.
    Digest,
}

impl Reversible {
    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Reversible::Exact => "exact",
            Reversible::Spelling => "up to spelling",
            Reversible::Digest => "by candidates",
        }
    }
}

/// The name behind a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reversal {
    /// This one.
    Name(Vec<u8>),
    /// An object whose name only trying can tell.
    Digest,
    /// No name leads there.
    NotAnObject,
}

/// The path leaves the scheme's directory, or is it; the platform lets it, a view refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside;

/// One platform's names of one kind of object.
#[derive(Clone, Copy, Debug)]
pub struct Scheme {
    /// As in `--scheme`, `view=` and `--as`.
    pub key: &'static str,
    /// The key of the same platform's shared memory.
    pub platform: &'static str,
    /// The platform and its versions, for people.
    pub title: &'static str,
    /// What is named.
    pub kind: Kind,
    /// What this file is beside the object itself; `None` for the object.
    pub companion: Option<&'static str>,
    /// Whether these rules still hold.
    pub age: Age,
    /// Where objects are.
    pub directory: Directory,
    /// The longest name, for people.
    pub limit: &'static str,
    /// What a place tells of the name.
    pub reversible: Reversible,
    /// The semaphores of the same platform, if they are files in the same directory.
    pub semaphores: Option<&'static str>,
    /// Where the rules were read.
    pub source: &'static str,
    /// What the file system adds to the rules.
    pub file_system: FileSystem,
    /// The rules.
    pub rules: &'static dyn NameScheme,
}

impl Scheme {
    /// Where the platform looks for the object of `name`, or how it refuses the name.
    pub fn translate(&self, op: NameOp, name: &[u8]) -> Answer {
        match op {
            NameOp::Open => self.rules.open(name),
            NameOp::Unlink => self.rules.unlink(name),
        }
    }

    /// The errno with which opening `place` to write or create must fail whatever directories exist.
    pub fn effective(&self, place: &Place) -> Option<Errno> {
        match place {
            Place::Path(path) => self.file_system.refusal(path),
            Place::Key(_) | Place::Hash(_) => None,
        }
    }

    /// The place of `name` if the platform can create an object there.
    pub fn object(&self, name: &[u8]) -> Answer {
        let place = self.rules.open(name)?;
        match self.effective(&place) {
            Some(errno) => refuse(errno),
            None => Ok(place),
        }
    }

    /// The path below the view's directory that shows `place`: no `.`, no `..`, no empty component.
    pub fn view_path(&self, place: &Place) -> Result<Vec<u8>, Outside> {
        match place {
            Place::Key(key) => Ok(key_name::encode(key)),
            Place::Hash(hash) => Ok(format!("{hash:08x}").into_bytes()),
            Place::Path(path) => match self.directory {
                Directory::Path(directory) => {
                    self.walk(path.strip_prefix(directory.as_bytes()).ok_or(Outside)?)
                }
                Directory::Kernel => Err(Outside),
            },
        }
    }

    /// The path without `.`, empty components and `..`, as a walk through real directories would have it;
    /// [`Outside`] if nothing is left.
    fn walk(&self, path: &[u8]) -> Result<Vec<u8>, Outside> {
        if self.file_system.backslash_separates() {
            steps(path, |byte| byte == b'/' || byte == b'\\')?;
        }
        let steps = steps(path, |byte| byte == b'/')?;
        if steps.is_empty() {
            Err(Outside)
        } else {
            Ok(steps.join(&b'/'))
        }
    }

    /// Whether `place` is the scheme's directory itself, as `/.` may be: platforms open it, but it is no
    /// object of a view.
    pub fn is_directory(&self, place: &Place) -> bool {
        let (Place::Path(path), Directory::Path(directory)) = (place, self.directory) else {
            return false;
        };
        path.strip_prefix(directory.as_bytes())
            .and_then(|path| steps(path, |byte| byte == b'/').ok())
            .is_some_and(|steps| steps.is_empty())
    }

    /// Whether the two names can be opened and are one object.
    pub fn same_object(&self, one: &[u8], other: &[u8]) -> bool {
        match (self.object(one), self.object(other)) {
            (Ok(one), Ok(other)) => self.same_place(&one, &other),
            _ => false,
        }
    }

    /// Whether two places are one: paths may be spelt with more slashes than they need.
    pub fn same_place(&self, one: &Place, other: &Place) -> bool {
        if one == other {
            return true;
        }
        let (Place::Path(_), Place::Path(_)) = (one, other) else {
            return false;
        };
        matches!((self.view_path(one), self.view_path(other)), (Ok(one), Ok(other)) if one == other)
    }

    /// The name behind a path, as the platform spells it from its root; of a scheme whose objects are
    /// in the kernel, behind a file name in its view.
    pub fn reverse(&self, path: &[u8]) -> Reversal {
        if self.rules.is_digest(path) {
            return Reversal::Digest;
        }
        let (name, place) = match self.directory {
            Directory::Path(_) => match self.rules.guess(path) {
                Some(name) => (name, Place::Path(path.to_vec())),
                None => return Reversal::NotAnObject,
            },
            Directory::Kernel => match key_name::decode(path) {
                FileName::Key(key) => (key.clone(), Place::Key(key)),
                FileName::Digest => return Reversal::Digest,
                FileName::Other => return Reversal::NotAnObject,
            },
        };
        match self.object(&name) {
            Ok(found) if self.same_place(&found, &place) && self.view_path(&found).is_ok() => {
                Reversal::Name(name)
            }
            Ok(_) | Err(_) => Reversal::NotAnObject,
        }
    }

    /// Whether `name` leads to this path (as in [`Scheme::reverse`]).
    pub fn leads_to(&self, name: &[u8], path: &[u8]) -> bool {
        let Ok(place) = self.object(name) else {
            return false;
        };
        match self.directory {
            Directory::Path(_) => self.same_place(&place, &Place::Path(path.to_vec())),
            Directory::Kernel => self.view_path(&place).is_ok_and(|file| file == path),
        }
    }

    /// The semaphore that is the same file as the shared memory `name`.
    pub fn semaphore_of(&self, name: &[u8]) -> Option<(&'static Scheme, Vec<u8>)> {
        let semaphores = super::find(self.semaphores?)?;
        let Ok(Place::Path(path)) = self.object(name) else {
            return None;
        };
        match semaphores.reverse(&path) {
            Reversal::Name(semaphore) => Some((semaphores, semaphore)),
            Reversal::Digest | Reversal::NotAnObject => None,
        }
    }
}

fn steps(path: &[u8], is_separator: fn(u8) -> bool) -> Result<Vec<&[u8]>, Outside> {
    let mut steps: Vec<&[u8]> = Vec::new();
    for step in path.split(|&byte| is_separator(byte)) {
        match step {
            b"" | b"." => {}
            b".." => drop(steps.pop().ok_or(Outside)?),
            step => steps.push(step),
        }
    }
    Ok(steps)
}
