//! What a person reads when starting, mounting or unmounting fails, and the exit codes.

use std::fmt;
use std::io;
use std::path::Path;

/// The exit codes of `shmfs` and `mount.shmfs`; they are those of mount(8).
///
/// `shmfs run` exits with its command's status instead, or with 125 when shmfs itself fails
/// before the command runs, 126 when the command cannot be executed and 127 when it is not
/// found, as env(1) and nohup(1) do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Success = 0,
    /// The command line or an option is wrong, or the caller may not do this.
    Usage = 1,
    /// The system refused something: out of memory, no /dev/fuse, no user namespaces, ….
    System = 2,
    /// A fault in shmfs itself.
    Internal = 4,
    /// Interrupted by the user.
    Interrupted = 8,
    /// The mount failed.
    Mount = 32,
    /// `run`: shmfs failed before the command started.
    RunFailed = 125,
    /// `run`: the command exists but cannot be executed.
    CannotExecute = 126,
    /// `run`: the command was not found.
    NotFound = 127,
}

/// A failure for a person to read: what was tried, on what, what the system answered, what to do.
#[derive(Debug)]
pub struct Error {
    code: ExitCode,
    what: String,
    cause: Option<io::Error>,
    hint: Option<String>,
    for_good: bool,
}

/// The result of something that a person asked for.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// A failure described by `what`: a clause such as `cannot open /dev/fuse`.
    pub fn new(code: ExitCode, what: impl Into<String>) -> Error {
        Error {
            code,
            what: what.into(),
            cause: None,
            hint: None,
            for_good: false,
        }
    }

    /// A failure of a system call.
    pub fn system(what: impl Into<String>, cause: impl Into<io::Error>) -> Error {
        Error::new(ExitCode::System, what).because(cause)
    }

    /// A failure of a system call on `path`: `cannot <verb> <path>`.
    pub fn path(verb: &str, path: &Path, cause: impl Into<io::Error>) -> Error {
        Error::system(format!("cannot {verb} {}", path.display()), cause)
    }

    /// A wrong command line or option.
    pub fn usage(what: impl Into<String>) -> Error {
        Error::new(ExitCode::Usage, what)
    }

    /// The same with what the system answered.
    pub fn because(mut self, cause: impl Into<io::Error>) -> Error {
        self.cause = Some(cause.into());
        self
    }

    /// The same with what the reader can do about it: a sentence.
    pub fn hint(mut self, hint: impl Into<String>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// The same, where trying again is of no use.
    pub fn for_good(mut self) -> Error {
        self.for_good = true;
        self
    }

    /// Whether trying again is of no use.
    pub fn is_for_good(&self) -> bool {
        self.for_good
    }

    /// The same with another exit code.
    pub fn code(mut self, code: ExitCode) -> Error {
        self.code = code;
        self
    }

    /// The exit code that goes with it.
    pub fn exit_code(&self) -> ExitCode {
        self.code
    }

    /// The failure as a message to another process: the exit code, and the text.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.exit_code() as u8];
        bytes.extend_from_slice(self.to_string().as_bytes());
        bytes.truncate(8192);
        bytes
    }

    /// Reads such a message; `None` where there is none.
    pub fn decode(bytes: &[u8]) -> Option<Error> {
        let (&code, text) = bytes.split_first()?;
        let codes = [
            ExitCode::Usage,
            ExitCode::System,
            ExitCode::Interrupted,
            ExitCode::Mount,
            ExitCode::RunFailed,
            ExitCode::CannotExecute,
            ExitCode::NotFound,
        ];
        let code = codes
            .into_iter()
            .find(|&known| known as u8 == code)
            .unwrap_or(ExitCode::Internal);
        Some(Error::new(code, String::from_utf8_lossy(text)))
    }

    /// The system's answer, where there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        self.cause.as_ref().and_then(io::Error::raw_os_error)
    }
}

impl From<crate::export::Problems> for Error {
    fn from(problems: crate::export::Problems) -> Error {
        Error::usage(problems.to_string())
            .hint("Nothing is served from a file with an error; docs/EXPORTS.md has the codes.")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        if let Some(cause) = &self.cause {
            write!(f, ": {cause}")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "\n  {hint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.as_ref().map(|cause| cause as _)
    }
}
